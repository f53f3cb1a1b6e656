"""Whom policy lets an asker reach: some flow for an address, that very port for a service."""

from __future__ import annotations

import random

import pytest
from policy_bed import ALLOW, DENY, OPEN, PASS, host_endpoint, policy, profile, resource, tier, workload

from ocicat.dns.reach import Known, view
from ocicat.dns.zone import Goal
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.net import Addr
from ocicat.policy import Hop, Packet, evaluate

H1, H2 = (resource("Node", f"h{n}", {"bgp": {"ipv4Address": f"192.168.0.{n}/24"}}) for n in (1, 2))
POOL = resource("IPPool", "pool", {"cidr": "10.0.0.0/16"})
W1, W2 = (workload(f"w{n}", f"10.0.0.{n}/32", f"fd00::{n}/128", labels={"app": str(n)}) for n in (1, 2))
W3 = workload("w3", "10.0.0.3/32", host="h2", labels={"app": "3"})
HERE = (H1, H2, POOL, OPEN, W1, W2, W3)
A1, A2, A3, NOBODY, OUTSIDE = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.9.9", "203.0.113.9"
TCP, UDP = 6, 17


def goal(address, protocol=0, port=0):
    return Goal((Addr.parse(address),), protocol, port)


def reaches(seen, asker, *wanted):
    return seen.reaches(Addr.parse(asker), goal(*wanted))


def to(label, *ports, protocol="TCP", **fields):
    """A policy for those labelled so, which lets in what is given."""
    rule = {"action": "Allow", **({"protocol": protocol, "destination": {"ports": list(ports)}} if ports else {})}
    return policy(f"to-{label}", selector=f"app == '{label}'", types=["Ingress"], ingress=[rule], **fields)


@pytest.mark.parametrize(
    ("asker", "wanted"), [(A1, A2), (A1, A3), (A3, A1), (OUTSIDE, A1), (A1, OUTSIDE), ("192.168.0.1", A1)]
)
def test_without_policy_everybody_is_reached(asker, wanted):
    assert reaches(view(HERE), asker, wanted)


def test_a_service_is_reached_by_its_port_and_an_address_by_any():
    seen = view((*HERE, to("2", 8080)))
    assert reaches(seen, A1, A2)
    assert reaches(seen, A1, A2, TCP, 8080)
    assert not reaches(seen, A1, A2, TCP, 8081)
    assert not reaches(seen, A1, A2, UDP, 8080)


@pytest.mark.parametrize(
    "open_",
    [
        {"protocol": "UDP", "destination": {"ports": ["5000:5001"]}},
        {"protocol": "TCP", "destination": {"ports": [65535]}},
        {"protocol": "TCP", "destination": {"notPorts": ["1:65533", 65535]}},
        {"protocol": "ICMP"},
        {"protocol": "ICMP", "icmp": {"type": 13, "code": 0}},
        {"protocol": "ICMP", "notICMP": {"type": 8}},
        {"protocol": 89},
        {"notProtocol": "TCP"},
        {"protocol": "SCTP", "destination": {"ports": [36412]}},
        {"protocol": "TCP", "destination": {"ports": ["http"], "selector": "all()"}},
        {"protocol": "TCP", "source": {"selector": "app == '1'"}, "destination": {"nets": ["10.0.0.2/32"]}},
    ],
)
def test_any_flow_at_all_is_found(open_):
    named = workload(
        "w2", "10.0.0.2/32", labels={"app": "2"}, ports=[{"name": "http", "port": 8888, "protocol": "TCP"}]
    )
    rules = [{"action": "Allow", **open_}]
    closed = policy("closed", selector="app == '2'", types=["Ingress"], ingress=rules)
    assert reaches(view((H1, H2, POOL, OPEN, W1, named, closed)), A1, A2)
    shut = policy("closed", selector="app == '2'", types=["Ingress"], ingress=[DENY, *rules])
    assert not reaches(view((H1, H2, POOL, OPEN, W1, named, shut)), A1, A2)


def test_who_may_not_go_out_reaches_nobody_but_whom_his_host_serves():
    mute = policy("mute", selector="app == '1'", types=["Egress"], egress=[])
    seen = view((*HERE, mute))
    assert not any(reaches(seen, A1, address) for address in (A2, A3, OUTSIDE, "192.168.0.1", "192.168.0.2"))
    assert reaches(seen, A2, A1)
    with_agent = view((*HERE, mute), (5051,))
    assert reaches(with_agent, A1, "192.168.0.1")
    assert not reaches(with_agent, A1, "192.168.0.2")


def test_the_policy_of_a_host_on_the_way_counts():
    governed = host_endpoint("up", "h2", interfaceName="*")
    wall = policy("wall", selector="all()", applyOnForward=True, types=["Ingress"], ingress=[DENY], tier="wall")
    mine = policy("mine", selector="has(app)", tier="wall", order=1, ingress=[PASS], egress=[PASS])
    seen = view((*HERE, tier("wall", 1), mine, wall, governed))
    assert reaches(seen, A1, A2)
    assert not reaches(seen, A1, A3)
    assert not reaches(seen, OUTSIDE, A3)


@pytest.mark.parametrize(("asker", "wanted"), [(A1, NOBODY), (NOBODY, A1), (NOBODY, OUTSIDE), (NOBODY, "192.168.0.1")])
def test_of_an_address_that_nobody_has_nothing_is_known(asker, wanted):
    assert not reaches(view(HERE), asker, wanted)


def test_the_other_family_is_reached_from_the_askers_own_address_of_it():
    v6 = policy("six", selector="app == '2'", types=["Ingress"], ingress=[{"action": "Allow", "ipVersion": 6}])
    seen = view((*HERE, v6))
    assert reaches(seen, A1, "fd00::2")
    assert not reaches(seen, A1, A2)
    assert not reaches(seen, A3, "fd00::2")  # has no address of that family
    assert seen.reaches(Addr.parse(A1), Goal((Addr.parse(A2), Addr.parse("fd00::2"))))


def test_a_host_reaches_its_own_workloads_and_everybody_himself():
    deny = policy("deny", selector="has(app)", types=["Ingress"], ingress=[DENY])
    seen = view((*HERE, deny))
    assert reaches(seen, "192.168.0.1", A1)
    assert reaches(seen, "192.168.0.1", "192.168.0.1")
    assert not reaches(seen, "192.168.0.1", A3)
    assert reaches(seen, A1, A1)


def test_staged_policies_hide_nobody():
    staged = resource("StagedGlobalNetworkPolicy", "no", {"selector": "all()", "types": ["Ingress"], "ingress": [DENY]})
    assert reaches(view((*HERE, staged)), A1, A2)


def test_some_port_is_found_whenever_there_is_one():
    """Against asking about every port."""
    rng = random.Random(3)
    for _ in range(12):
        rules = [_rule(rng) for _ in range(rng.randint(1, 4))]
        seen = view((*HERE, policy("p", selector="app == '2'", types=["Ingress"], ingress=rules)))
        hops = (Hop("h1", "caliw1", "caliw2"),)
        ends = Addr.parse(A1), Addr.parse(A2)
        packets = [Packet(TCP, *ends, 40000, port) for port in range(1, 60)] + [Packet(UDP, *ends, 40000, 9)]
        wanted = any(evaluate(seen.cluster, packet, hops).action == "Allow" for packet in packets)
        assert reaches(seen, A1, A2) == wanted


def _rule(rng):
    first = rng.randint(1, 40)
    span = f"{first}:{rng.randint(first, 50)}"
    key = rng.choice(("ports", "notPorts"))
    return {"action": rng.choice(("Allow", "Deny")), "protocol": "TCP", "destination": {key: [span]}}


# --- what is kept of the datastore --------------------------------------------------------------------------------


def stored(one):
    key = {
        "WorkloadEndpoint": lambda: keys.workload("ns", one.metadata.name),
        "Profile": lambda: keys.profile(one.metadata.name),
        "Node": lambda: keys.node(one.metadata.name),
    }[one.kind]()
    return key, encode_json(one)


def test_the_datastores_changes_are_kept():
    known = Known()
    assert all(known.observe(*stored(one)) for one in (H1, OPEN, W1, W2))
    assert reaches(view(known.documents()), A1, A2)
    assert not known.observe(*stored(W1))  # nothing new
    assert not known.observe("/calico/ipam/v2/config", b"{}")
    shut = stored(profile("open", [DENY], [ALLOW]))
    assert known.observe(*shut)
    assert not reaches(view(known.documents()), A1, A2)
    assert known.observe(shut[0], None)
    assert not known.observe(shut[0], None)
    assert not reaches(view(known.documents()), A1, A2)


def test_what_cannot_be_read_is_as_if_it_were_not_there():
    known = Known()
    for one in (H1, OPEN, W1, W2):
        known.observe(*stored(one))
    assert known.observe(keys.profile("open"), b"no JSON")
    assert not reaches(view(known.documents()), A1, A2)


def test_a_rule_with_a_word_that_nobody_knows_lets_nothing_in():
    known = Known()
    key, value = stored(profile("open", [ALLOW], [ALLOW]))
    for one in (H1, W1, W2):
        known.observe(*stored(one))
    known.observe(key, value)
    assert reaches(view(known.documents()), A1, A2)
    raw = decode_json(dict[str, object], value, what=key)
    raw["spec"]["ingress"][0]["when"] = "never"
    known.observe(key, encode_json(raw))
    assert not reaches(view(known.documents()), A1, A2)


def test_an_object_is_called_what_its_key_says():
    known = Known()
    for one in (H1, W1, W2):
        known.observe(*stored(one))
    _, value = stored(OPEN)
    known.observe(keys.profile("open"), with_field(value, ("metadata", "name"), "other", what="it"))
    assert reaches(view(known.documents()), A1, A2)
