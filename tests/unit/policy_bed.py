"""A small cluster for tests of policy: two hosts, each with an uplink, and resources written as briefly as they can be."""

from __future__ import annotations

from ocicat.model.net import Addr
from ocicat.model.v3.document import parse
from ocicat.model.v3.metadata import API_VERSION, Resource
from ocicat.policy import Cluster, Hop, HostInterface, Packet, Verdict, evaluate, resolve

UPLINKS = (
    HostInterface("h1", "eth0", (Addr.parse("192.168.0.1"), Addr.parse("2001:db8::1"))),
    HostInterface("h2", "eth0", (Addr.parse("192.168.0.2"), Addr.parse("2001:db8::2"))),
)
OUTSIDE = "203.0.113.9"
ALLOW, DENY, PASS, LOG = ({"action": action} for action in ("Allow", "Deny", "Pass", "Log"))


def resource(
    kind: str, name: str, spec: dict | None = None, *, namespace: str = "", labels: dict | None = None
) -> Resource:
    metadata = {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {})
    document = parse({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec or {}})
    assert not document.unknown
    return document.resource


def workload(
    name: str, *ips: str, host: str = "h1", namespace: str = "ns", labels: dict | None = None, **spec
) -> Resource:
    """On interface `cali<name>`."""
    fields = {
        "orchestrator": "cni",
        "node": host,
        "interfaceName": f"cali{name}",
        "ipNetworks": list(ips),
        "profiles": ["open"],
        **spec,
    }
    return resource("WorkloadEndpoint", name, fields, namespace=namespace, labels=labels)


def host_endpoint(name: str, host: str = "h1", *, labels: dict | None = None, **spec) -> Resource:
    return resource("HostEndpoint", name, {"node": host, **spec}, labels=labels)


def policy(name: str, **spec) -> Resource:
    """Global; `selector` all() and no rules unless said otherwise."""
    return resource("GlobalNetworkPolicy", name, spec)


def namespaced(name: str, namespace: str = "ns", **spec) -> Resource:
    return resource("NetworkPolicy", name, spec, namespace=namespace)


def tier(name: str, order: float | None = None, default_action: str = "Deny") -> Resource:
    return resource("Tier", name, {"defaultAction": default_action} | ({} if order is None else {"order": order}))


def profile(name: str, ingress: list | None = None, egress: list | None = None, labels: dict | None = None) -> Resource:
    return resource("Profile", name, {"ingress": ingress or [], "egress": egress or [], "labelsToApply": labels or {}})


OPEN = profile("open", [ALLOW], [ALLOW])
W1 = workload("w1", "10.0.0.1/32", "fd00::1/128", labels={"app": "one"})
W2 = workload("w2", "10.0.0.2/32", "fd00::2/128", labels={"app": "two"})
W3 = workload("w3", "10.0.0.3/32", host="h2", labels={"app": "three"})
PAIR = (OPEN, W1, W2)


def cluster(*resources: Resource, **options) -> Cluster:
    return resolve(resources, interfaces=UPLINKS, **options)


def tcp(source: str, destination: str, port: int = 80, source_port: int = 40000) -> Packet:
    return Packet(6, Addr.parse(source), Addr.parse(destination), source_port, port)


def udp(source: str, destination: str, port: int = 53, source_port: int = 40000) -> Packet:
    return Packet(17, Addr.parse(source), Addr.parse(destination), source_port, port)


def icmp(source: str, destination: str, type_: int = 8, code: int = 0) -> Packet:
    address = Addr.parse(source)
    number = 1 if address.family == 4 else 58
    return Packet(number, address, Addr.parse(destination), icmp_type=type_, icmp_code=code)


def passage(where: Cluster, packet: Packet, *hops: tuple[str, str, str]) -> Verdict:
    return evaluate(where, packet, [Hop(*hop) for hop in hops])


def w1_to_w2(*resources: Resource, packet: Packet | None = None) -> Verdict:
    """Among the two open workloads of one host, with these resources besides."""
    return passage(cluster(*PAIR, *resources), packet or tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))


def told(verdict: Verdict) -> str:
    """Action, deciding stage, cause and rule in one line: `Deny workload-ingress end-of-tier default`."""
    stage, decision = verdict.decider, verdict.decider.decision
    rule = f"{decision.rule.name}[{decision.rule.index}]" if decision.rule else decision.tier or decision.profile
    return " ".join(filter(None, (verdict.action, stage.name, decision.cause, rule)))
