"""The verdict of one packet by the slowest and plainest way there is: the packet's way through every host, step by step.

Written from the published semantics of Calico alone, and never from `ocicat.policy`, which it is there to check.

Promises:
1. `verdict` depends on the cluster and the packet only; it keeps nothing between calls but parsed values.
2. `stages` are those that the packet passes, in order; if it is dropped, the last one did it.

Staged policies are never enforced. A tier in which only staged ones apply does nothing, just like a tier without any, so it is
enough not to look at them. Encapsulation between hosts is not modelled: packets are as they are outside tunnels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cluster import NUMBERS, Cluster, Hop, Json, Outcome, Packet
from oracle_match import Member, address, members, net, protocol_number
from oracle_policy import ByDefault, ByRule, Decision, Policy, shown

NEIGHBOUR_TYPES = (130, 131, 132, 133, 135, 136)
"""ICMPv6: multicast listeners, router and neighbour solicitation, neighbour advertisement."""

_CLUSTER_PORTS = (179, 2379, 2380, 5473, 6443, 6666, 6667)
FAILSAFE_IN = [{"protocol": "TCP", "port": port} for port in (22, *_CLUSTER_PORTS)] + [{"protocol": "UDP", "port": 68}]
FAILSAFE_OUT = [{"protocol": "TCP", "port": port} for port in _CLUSTER_PORTS] + [
    {"protocol": "UDP", "port": port} for port in (53, 67)
]


@dataclass(frozen=True, slots=True)
class Stage:
    host: str
    name: str
    endpoint: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    untracked: bool
    stages: tuple[Stage, ...]


def verdict(cluster: Cluster, packet: Packet, seen: dict[str, Seen] | None = None) -> Verdict:
    """`seen`: of every host by its name, for whoever asks about many packets."""
    stages: list[Stage] = []
    untracked = False
    for hop in packet.hops:
        way = Way(packet, hop, *(seen or see_all(cluster))[hop.host])
        allowed = way.passes()
        packet = way.packet
        stages += way.stages
        untracked = untracked or way.untracked
        if not allowed:
            return Verdict(allowed=False, untracked=untracked, stages=tuple(stages))
    return Verdict(allowed=True, untracked=untracked, stages=tuple(stages))


def model(cluster: Cluster) -> Callable[[Packet], Outcome]:
    """The oracle as one of the models that `runner` compares."""
    seen = see_all(cluster)
    staged = enforced(cluster)
    then_seen = see_all(staged) if staged != cluster else None

    def ask(packet: Packet) -> Outcome:
        found = verdict(cluster, packet, seen)
        logs = tuple(shown(log) for stage in found.stages for log in stage.decision.logs)
        then = verdict(staged, packet, then_seen).allowed if then_seen else None
        return Outcome(found.allowed, found.allowed and found.untracked, why(found), logs, then)

    return ask


def enforced(cluster: Cluster) -> Cluster:
    """The cluster in which all staged policies are in force: each in the place of the one with its name, if there is one."""
    resources = list(cluster.resources)
    for staged in cluster.of("StagedNetworkPolicy", "StagedGlobalNetworkPolicy"):
        action = staged["spec"].get("stagedAction") or "Set"
        real = {**staged, "kind": str(staged["kind"]).removeprefix("Staged")}
        resources.remove(staged)
        if action != "Ignore":
            resources = [one for one in resources if _identity(one) != _identity(real)]
        if action in ("Set", "Learn"):
            resources.append(real)
    return replace(cluster, resources=tuple(resources))


def _identity(resource: Json) -> tuple[object, ...]:
    metadata = resource["metadata"]
    return resource["kind"], metadata.get("namespace", ""), metadata["name"]


class Seen(NamedTuple):
    """A cluster as one host sees it, and all that has labels and addresses in it."""

    cluster: Cluster
    known: list[Member]


def see_all(cluster: Cluster) -> dict[str, Seen]:
    return {host.name: see(cluster, host.name) for host in cluster.hosts}


def see(cluster: Cluster, host: str) -> Seen:
    """Where it is not enabled that workloads send from others' addresses, endpoints that want to are as if nobody had made them."""
    enabled = str(settings(cluster, host).get("workloadSourceSpoofing", "Disabled")).lower() == "any"
    valid = tuple(r for r in cluster.resources if enabled or not r["spec"].get("allowSpoofedSourcePrefixes"))
    visible = replace(cluster, resources=valid)
    return Seen(visible, members(visible))


def why(found: Verdict) -> tuple[str, ...]:
    """Every stage that a rule decided, and the last one if it dropped the packet."""
    last = [] if found.allowed else found.stages[-1:]
    told = [stage for stage in found.stages if isinstance(stage.decision.by, ByRule) or stage in last]
    return tuple(f"{stage.host} {stage.name} {shown(stage.decision.by)}" for stage in told)


def settings(cluster: Cluster, host: str) -> Json:
    """What is configured for the host: its own values go before those for all."""
    found: Json = {}
    for name in ("default", f"node.{host}"):
        for resource in cluster.of("FelixConfiguration"):
            if resource["metadata"]["name"] == name:
                found |= {field: value for field, value in resource["spec"].items() if value not in (None, "")}
    return found


@dataclass(slots=True)
class Way:
    """A packet in one host. `accepted`: policy before routing has accepted it, so host policy after it is not asked again."""

    packet: Packet
    hop: Hop
    cluster: Cluster
    known: list[Member]
    stages: list[Stage] = field(default_factory=list)
    accepted: bool = False
    untracked: bool = False

    def passes(self) -> bool:
        if not self.hop.enters:
            return self.sent()
        if not self.arrives():
            return False
        self.translate()
        return self.forwarded() if self.hop.leaves else self.received()

    # --- the path ---------------------------------------------------------------------------------------------------

    def arrives(self) -> bool:
        """Before routing: whose source address it is, untracked policy, policy before NAT."""
        if self.is_workload(self.hop.enters):
            if not self.keeps("source-check", self.hop.enters, self.source_check()):
                return False
        elif not self.untracked_stage("untracked-ingress", self.hop.enters, "ingress"):
            return False
        return self.accepted or self.pre_dnat_stage()

    def forwarded(self) -> bool:
        enters, leaves = self.hop.enters, self.hop.leaves
        if not self.accepted and not self.forward_stage("forward-ingress", enters, "ingress"):
            return False
        if self.is_workload(enters) and not self.keeps("workload-egress", enters, self.workload(enters, "egress")):
            return False
        if self.is_workload(leaves) and not self.keeps("workload-ingress", leaves, self.workload(leaves, "ingress")):
            return False
        return self.forward_stage("forward-egress", leaves, "egress")

    def received(self) -> bool:
        enters = self.hop.enters
        if self.is_workload(enters):
            if self.is_neighbour_discovery():
                decision = Decision("allow", ByDefault("neighbour-discovery"))
                return self.keeps("workload-to-host", enters, decision)
            if not self.keeps("workload-egress", enters, self.workload(enters, "egress")):
                return False
            action = str(self.setting("defaultEndpointToHostAction", "Drop")).lower()
            decision = Decision("deny" if action == "drop" else "allow", ByDefault("endpoint-to-host"))
            return self.keeps("workload-to-host", enters, decision)
        return self.accepted or self.host_stage("host-ingress", enters, "ingress")

    def sent(self) -> bool:
        leaves = self.hop.leaves
        if self.is_workload(leaves):
            return self.keeps("host-to-workload", leaves, Decision("allow", ByDefault("host-to-workload")))
        if not self.untracked_stage("untracked-egress", leaves, "egress"):
            return False
        self.translate()
        return self.accepted or self.host_stage("host-egress", leaves, "egress")

    def translate(self) -> None:
        """NAT is a matter of tracked flows: what is not tracked keeps its destination."""
        if self.hop.translated is not None and not self.untracked:
            address, port = self.hop.translated
            self.packet = replace(self.packet, destination=address, destination_port=port)

    def keeps(self, stage: str, endpoint: str, decision: Decision) -> bool:
        self.stages.append(Stage(self.hop.host, stage, endpoint, decision))
        return decision.action != "deny"

    # --- workloads --------------------------------------------------------------------------------------------------

    def is_workload(self, interface: str) -> bool:
        prefixes = str(self.setting("interfacePrefix", "cali")).split(",")
        return interface.startswith(tuple(prefixes))

    def endpoint(self, interface: str) -> Json | None:
        """Among several with the same interface, that with the first name. One without addresses is not ready: it is closed."""
        found = [
            resource
            for resource in self.cluster.of("WorkloadEndpoint")
            if (resource["spec"].get("node"), resource["spec"].get("interfaceName")) == (self.hop.host, interface)
            and resource["spec"].get("ipNetworks")
        ]
        return min(found, key=lambda resource: resource["metadata"]["name"], default=None)

    def source_check(self) -> Decision:
        endpoint = self.endpoint(self.hop.enters)
        if endpoint is None:
            return Decision("deny", ByDefault("unknown-interface"))
        spec = endpoint["spec"]
        own = [*spec["ipNetworks"], *spec.get("allowSpoofedSourcePrefixes", [])]
        fits = any(address(self.packet.source) in net(text) for text in own)
        return Decision("continue" if fits else "deny", ByDefault("own-source" if fits else "spoofed"))

    def workload(self, interface: str, direction: str) -> Decision:
        endpoint = self.endpoint(interface)
        if endpoint is None:
            return Decision("deny", ByDefault("unknown-interface"))
        if direction == "egress" and self.is_encapsulated():
            return Decision("deny", ByDefault("encapsulated"))
        return self.policy.normal(self.labels_of(endpoint), endpoint["spec"].get("profiles", []), direction)

    def is_encapsulated(self) -> bool:
        """Tunnels that a workload makes itself would carry packets past its policy."""
        vxlan = self.packet.protocol == NUMBERS["UDP"] and self.packet.destination_port == self.setting(
            "vxlanPort", 4789
        )
        return (vxlan and not self.setting("allowVXLANPacketsFromWorkloads", False)) or (
            self.packet.protocol == 4 and not self.setting("allowIPIPPacketsFromWorkloads", False)
        )

    def is_neighbour_discovery(self) -> bool:
        """Without it no host could be a router for its workloads."""
        packet = self.packet
        return packet.family == 6 and packet.protocol == NUMBERS["ICMPv6"] and packet.icmp_type in NEIGHBOUR_TYPES

    # --- host endpoints ---------------------------------------------------------------------------------------------

    def host_endpoint(self, interface: str, *, star: bool = True) -> Json | None:
        """What governs the interface: one that names it or expects one of its addresses, the first by name; else `*`."""
        addresses = self.cluster.host(self.hop.host).interfaces.get(interface, ())
        found = [resource for resource in self.host_endpoints() if self.fits(resource["spec"], interface, addresses)]
        if not found and star:
            found = [resource for resource in self.host_endpoints() if resource["spec"].get("interfaceName") == "*"]
        return min(found, key=lambda resource: resource["metadata"]["name"], default=None)

    def host_endpoints(self) -> list[Json]:
        return [r for r in self.cluster.of("HostEndpoint") if r["spec"].get("node") == self.hop.host]

    def fits(self, spec: Json, interface: str, addresses: tuple[str, ...]) -> bool:
        if self.is_workload(interface):
            return False
        if spec.get("interfaceName"):
            return spec["interfaceName"] == interface
        return any(address(text) == address(own) for text in spec.get("expectedIPs", []) for own in addresses)

    def untracked_stage(self, stage: str, interface: str, direction: str) -> bool:
        """Not for the `*` endpoint. What it allows is accepted for good, and not tracked."""
        endpoint = self.host_endpoint(interface, star=False)
        if endpoint is None or not self.policy.has_policies(self.labels_of(endpoint), "untracked"):
            return True
        decision = self.failsafe(direction, replies=True) or self.early(endpoint, "untracked", direction)
        self.untracked = self.accepted
        return self.keeps(stage, endpoint["metadata"]["name"], decision)

    def pre_dnat_stage(self) -> bool:
        """Also asked about what workloads send, if there is a `*` endpoint."""
        endpoint = self.host_endpoint(self.hop.enters)
        if endpoint is None or not self.policy.has_policies(self.labels_of(endpoint), "pre-dnat"):
            return True
        decision = self.failsafe("ingress") or self.early(endpoint, "pre-dnat", "ingress")
        return self.keeps("pre-dnat", endpoint["metadata"]["name"], decision)

    def early(self, endpoint: Json, stage: str, direction: str) -> Decision:
        """What no rule matches is left to the stages that follow."""
        decision = self.policy.tiers(self.labels_of(endpoint), stage, direction)
        self.accepted = decision.action == "allow"
        return decision

    def forward_stage(self, stage: str, interface: str, direction: str) -> bool:
        """Nothing to say: forwarded. There are no failsafe ports and no profiles for what only passes through."""
        endpoint = self.host_endpoint(interface)
        if endpoint is None:
            return True
        decision = self.policy.tiers(self.labels_of(endpoint), "forward", direction)
        return self.keeps(stage, endpoint["metadata"]["name"], decision)

    def host_stage(self, stage: str, interface: str, direction: str) -> bool:
        endpoint = self.host_endpoint(interface)
        if endpoint is None:
            return True
        profiles = endpoint["spec"].get("profiles", [])
        decision = self.failsafe(direction) or self.policy.normal(self.labels_of(endpoint), profiles, direction)
        return self.keeps(stage, endpoint["metadata"]["name"], decision)

    def failsafe(self, direction: str, *, replies: bool = False) -> Decision | None:
        """Ports that no policy can close. Untracked policy must let the replies of such flows pass as well."""
        inbound = self.setting("failsafeInboundHostPorts", FAILSAFE_IN)
        outbound = self.setting("failsafeOutboundHostPorts", FAILSAFE_OUT)
        own, other = (inbound, outbound) if direction == "ingress" else (outbound, inbound)
        peer = self.packet.source if direction == "ingress" else self.packet.destination
        is_one = any(self.is_failsafe(entry, self.packet.destination_port, peer) for entry in own)
        is_reply = replies and any(self.is_failsafe(entry, self.packet.source_port, peer) for entry in other)
        return Decision("continue" if replies else "allow", ByDefault("failsafe")) if is_one or is_reply else None

    def is_failsafe(self, entry: Json, port: int | None, peer: str) -> bool:
        fits = (protocol_number(entry.get("protocol") or "TCP"), entry["port"]) == (self.packet.protocol, port)
        return fits and (not entry.get("net") or address(peer) in net(entry["net"]))

    # --- policy -----------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        return Policy(self.cluster, self.known, self.packet)

    def labels_of(self, endpoint: Json) -> dict[str, str]:
        metadata = endpoint["metadata"]
        wanted = (endpoint["kind"], metadata.get("namespace", ""), metadata["name"])
        return next(m.labels for m in self.known if (m.kind, m.namespace, m.name) == wanted)

    def setting(self, name: str, default: object) -> object:
        return settings(self.cluster, self.hop.host).get(name, default)
