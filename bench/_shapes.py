"""Clusters as v3 resources, in which N policies all apply to the two endpoints that are measured; the last one lets them talk.

Every policy governs both directions, so a connection passes all of them twice: where it leaves its sender, and where it reaches its
receiver. What the policies before the last one say is never true of the measured packets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from _wiring import Update
from ocicat.model import keys
from ocicat.model.net import Addr
from ocicat.model.v3.kinds import KINDS

HOST = "host0"
CLIENT, SERVER = "10.65.0.2", "10.65.0.3"
PORTS = (5001, 5201)  # that the measured endpoints talk on
_PEERS = (10 << 24) + (66 << 16)
Side = dict[str, object]
Rule = dict[str, object]


def endpoint_key(name: str) -> str:
    return keys.workload("mesos", name)


def endpoint(name: str, host: str, address: str, labels: dict[str, str]) -> Update:
    spec = {"orchestrator": "mesos", "node": host, "ipNetworks": [f"{address}/32"], "interfaceName": f"oci{name}"}
    value = {"metadata": {"name": name, "namespace": "mesos", "labels": labels}, "spec": spec}
    return endpoint_key(name), json.dumps(value).encode()


def policy(number: int, rules: list[tuple[str, Side, list[object]]], selector: str = "has(measured)") -> Update:
    """A rule: its action, its peer, and the ports of who is asked."""
    name = f"default.p{number}"
    spec = {
        "order": number,
        "selector": selector,
        "types": ["Ingress", "Egress"],
        "ingress": [
            {"action": action, "protocol": "TCP", "source": peer, "destination": {"ports": ports}}
            for action, peer, ports in rules
        ],
        "egress": [
            {"action": action, "protocol": "TCP", "destination": {**peer, "ports": ports}}
            for action, peer, ports in rules
        ],
    }
    return KINDS["GlobalNetworkPolicy"].key(name), json.dumps({"metadata": {"name": name}, "spec": spec}).encode()


def measured() -> list[Update]:
    labels = {"measured": "yes", "peer": "me"}
    return [endpoint("client", HOST, CLIENT, labels), endpoint("server", HOST, SERVER, labels)]


def no_policy() -> Iterator[Update]:
    """Then profiles decide: one that allows everything."""
    allow = [{"action": "Allow"}]
    profile = {"metadata": {"name": "all"}, "spec": {"ingress": allow, "egress": allow}}
    yield keys.profile("all"), json.dumps(profile).encode()
    for key, value in measured():
        resource = json.loads(value or b"")
        resource["spec"]["profiles"] = ["all"]
        yield key, json.dumps(resource).encode()


def one_policy() -> Iterator[Update]:
    """Whatever the protocol, and nothing else."""
    yield from measured()
    allow = {"action": "Allow", "source": {"selector": "peer == 'me'"}, "destination": {"selector": "peer == 'me'"}}
    spec = {"selector": "has(measured)", "types": ["Ingress", "Egress"], "ingress": [allow], "egress": [allow]}
    value = {"metadata": {"name": "default.one"}, "spec": spec}
    yield KINDS["GlobalNetworkPolicy"].key("default.one"), json.dumps(value).encode()


def own_peer(number: int) -> tuple[str, Side, list[object]]:
    return ("Allow", {"selector": f"peer == 'p{number}'"}, [5001])


def own_port(number: int) -> tuple[str, Side, list[object]]:
    return ("Allow", {}, [10_000 + number])


def mixed(number: int) -> tuple[str, Side, list[object]]:
    match number % 4:
        case 0:
            return own_peer(number)
        case 1:
            return own_port(number)
        case 2:
            return ("Deny", {"selector": f"peer == 'p{number}'"}, [])
        case _:
            return ("Deny", {"nets": [f"{Addr(4, (172 << 24) + (16 << 16) + 16 * number)}/28"]}, [])


SHAPES: dict[str, Callable[[int], tuple[str, Side, list[object]]]] = {
    "own peer": own_peer,
    "own port": own_port,
    "mixed": mixed,
}


def any_protocol(policies: int) -> Iterator[Update]:
    """`one_policy`, behind others with peers of their own."""
    yield from one_policy()
    yield from _others("own peer", policies - 1)


def _others(shape: str, count: int) -> Iterator[Update]:
    """A policy's own peer is an endpoint of another host."""
    for number in range(count):
        yield policy(number, [SHAPES[shape](number)])
        yield endpoint(f"peer{number}", "host1", str(Addr(4, _PEERS + number)), {"peer": f"p{number}"})


def cluster(shape: str, policies: int) -> Iterator[Update]:
    yield from measured()
    yield from _others(shape, policies - 1)
    yield policy(policies, [("Allow", {"selector": "peer == 'me'"}, list(PORTS))])
