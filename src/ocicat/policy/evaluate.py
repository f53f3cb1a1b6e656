"""The exact verdict of one packet: the way it takes through each host's hooks, and what each of them says. Pure.

The order of hooks on one host is Felix's (felix/rules/static.go and dispatch.go), read for the first packet of a new flow:

    comes in   source-check (workload interfaces) | untracked-ingress (others), pre-dnat, then DNAT
    for host   workload: neighbour discovery, agent-port, name-port, workload-egress, then endpointToHost; others: host-ingress
    forwarded  forward-ingress, workload-egress, workload-ingress, forward-egress
    from host  untracked-egress, host-egress; its own workloads are reached without policy

An Allow at untracked-ingress or pre-dnat stands for host-ingress and forward-ingress too, and for nothing else. Egress of packets
that the host itself translates is policed with the translated destination, in another hook and with the same result.

One difference, on purpose: where a host endpoint with a name has no pre-DNAT policy, Felix lets those of "*" apply to its
interface, by an optimisation of the dispatch. Here the interface's own host endpoint always goes before "*".
Not modelled: established flows, masquerade, tunnels between hosts, the host's own firewall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ocicat.model.base import replace
from ocicat.model.packet import Packet
from ocicat.policy.chain import Chain
from ocicat.policy.cluster import Cluster
from ocicat.policy.flow import Flow, Hop
from ocicat.policy.model import IPIP, TCP, UDP, Direction, Hook, ResolvedEndpoint
from ocicat.policy.settings import OpenPort, Settings
from ocicat.policy.tiers import PolicyTable
from ocicat.policy.verdict import Cause, Decision, Outcome, Stage, StageName, Verdict

_NEIGHBOUR_TYPES = frozenset((130, 131, 132, 133, 135, 136))
"""ICMPv6: multicast listeners, router solicitation, neighbours. Without them a workload would cut itself off."""

Stages = Iterator[Stage]


def evaluate(cluster: Cluster, packet: Packet, hops: Sequence[Hop]) -> Verdict:
    """What becomes of the first packet of a new flow that goes that way."""
    verdict = _evaluate(cluster, cluster.enforced, packet, hops)
    if cluster.staged is None:
        return verdict
    return replace(verdict, staged=_evaluate(cluster, cluster.staged, packet, hops))


def _evaluate(cluster: Cluster, policies: PolicyTable, packet: Packet, hops: Sequence[Hop]) -> Verdict:
    stages: list[Stage] = []
    not_tracked = False
    for hop in hops:
        passage = _Passage(cluster, policies, hop, packet)
        stages += passage.stages()
        not_tracked = not_tracked or passage.not_tracked
        if stages[-1].decision.outcome == "Deny":
            return Verdict(action="Deny", stages=tuple(stages), not_tracked=not_tracked)
        packet = passage.packet
    return Verdict(action="Allow", stages=tuple(stages), not_tracked=not_tracked)


@dataclass(slots=True)
class _Passage:
    """One packet on one host. `accepted`: an untracked or pre-DNAT policy has allowed it."""

    cluster: Cluster
    policies: PolicyTable
    hop: Hop
    packet: Packet
    accepted: bool = False
    not_tracked: bool = False

    def stages(self) -> list[Stage]:
        """As far as the packet comes, at least one."""
        met: list[Stage] = []
        for stage in self._way():
            met.append(stage)
            if stage.decision.outcome == "Deny":
                return met
        return met or [self._stage(self._last_name(), None, _said("Allow", "not-policed"))]

    def _last_name(self) -> StageName:
        if not self.hop.enters:
            return "host-egress"
        return "forward-ingress" if self.hop.leaves else "host-ingress"

    def _way(self) -> Stages:
        if not self.hop.enters:
            yield from self._from_host()
            return
        yield from self._comes_in()
        self._translate()
        yield from self._forwarded() if self.hop.leaves else self._for_host()

    def _translate(self) -> None:
        """Conntrack translates: a packet that it does not see keeps its destination."""
        to = self.hop.translated
        if to is not None and not self.not_tracked:
            self.packet = replace(self.packet, destination=to.address, destination_port=to.port)

    # --- the hooks, in the order of a packet ---------------------------------------------------------------------------

    def _comes_in(self) -> Stages:
        if self._is_workload(self.hop.enters):
            yield from self._source_check()
        else:
            yield from self._untracked("untracked-ingress", self.hop.enters, "Ingress")
        if not self.accepted:
            endpoint = self._host_endpoint(self.hop.enters)
            yield from self._before_routing("pre-dnat", endpoint, "pre-dnat", "Ingress")

    def _source_check(self) -> Stages:
        endpoint = self._workload(self.hop.enters)
        if endpoint is None:
            yield self._stage("source-check", None, _said("Deny", "unknown-interface"))
        elif not any(self.packet.source in net for net in endpoint.sources):
            yield self._stage("source-check", endpoint, _said("Deny", "spoofed"))

    def _for_host(self) -> Stages:
        if self._is_workload(self.hop.enters):
            yield from self._workload_to_host()
        elif not self.accepted:
            yield from self._host("host-ingress", self.hop.enters, "Ingress")

    def _workload_to_host(self) -> Stages:
        endpoint, settings, packet = self._sender, self._settings, self.packet
        if packet.family == 6 and packet.is_icmp and packet.icmp_type in _NEIGHBOUR_TYPES:
            yield self._stage("workload-to-host", endpoint, _said("Allow", "neighbour-discovery"))
            return
        if packet.protocol == TCP and packet.destination_port in settings.agent_ports:
            yield self._stage("workload-to-host", endpoint, _said("Allow", "agent-port"))
            return
        if packet.protocol in (TCP, UDP) and packet.destination_port in settings.name_ports:
            yield self._stage("workload-to-host", endpoint, _said("Allow", "name-port"))
            return
        yield from self._workload_egress()
        action: Outcome = "Deny" if settings.endpoint_to_host == "Drop" else "Allow"
        yield self._stage("workload-to-host", endpoint, _said(action, "endpoint-to-host"))

    def _forwarded(self) -> Stages:
        if not self.accepted:
            yield from self._forward("forward-ingress", self.hop.enters, "Ingress")
        if self._is_workload(self.hop.enters):
            yield from self._workload_egress()
        if self._is_workload(self.hop.leaves):
            endpoint = self._workload(self.hop.leaves)
            decision = self._normal(endpoint, "Ingress") if endpoint else _said("Deny", "unknown-interface")
            yield self._stage("workload-ingress", endpoint, decision)
        yield from self._forward("forward-egress", self.hop.leaves, "Egress")

    def _from_host(self) -> Stages:
        yield from self._untracked("untracked-egress", self.hop.leaves, "Egress")
        self._translate()
        if self.accepted:
            return
        if self._is_workload(self.hop.leaves):
            yield self._stage("host-egress", None, _said("Allow", "host-to-workload"))
        else:
            yield from self._host("host-egress", self.hop.leaves, "Egress")

    # --- one endpoint at one hook --------------------------------------------------------------------------------------

    def _workload_egress(self) -> Stages:
        encapsulated = self._is_encapsulated()
        decision = _said("Deny", "encapsulated") if encapsulated else self._normal(self._sender, "Egress")
        yield self._stage("workload-egress", self._sender, decision)

    def _is_encapsulated(self) -> bool:
        settings, packet = self._settings, self.packet
        vxlan = packet.protocol == UDP and packet.destination_port == settings.vxlan_port
        return (vxlan and not settings.vxlan_from_workloads) or (
            packet.protocol == IPIP and not settings.ipip_from_workloads
        )

    def _host(self, name: StageName, interface: str, direction: Direction) -> Stages:
        endpoint = self._host_endpoint(interface)
        if endpoint is not None:
            safe = self._is_failsafe(direction)
            decision = _said("Allow", "failsafe") if safe else self._normal(endpoint, direction)
            yield self._stage(name, endpoint, decision)

    def _forward(self, name: StageName, interface: str, direction: Direction) -> Stages:
        endpoint = self._host_endpoint(interface)
        if endpoint is not None:
            yield self._stage(name, endpoint, self._decide(endpoint, "forward", direction))

    def _untracked(self, name: StageName, interface: str, direction: Direction) -> Stages:
        """Host endpoints for all interfaces have no untracked policy, in Felix neither."""
        endpoint = self.cluster.host_endpoint(self.hop.host, interface, every=False)
        yield from self._before_routing(name, endpoint, "untracked", direction)
        self.not_tracked = self.accepted

    def _before_routing(
        self, name: StageName, endpoint: ResolvedEndpoint | None, hook: Hook, direction: Direction
    ) -> Stages:
        """Failsafe ports only escape these policies: what comes later has its say."""
        if endpoint is None or not self.policies.applying(endpoint, hook, direction):
            return
        if self._is_failsafe(direction, responses=hook == "untracked"):
            yield self._stage(name, endpoint, _said("Continue", "failsafe"))
            return
        decision = self._decide(endpoint, hook, direction)
        self.accepted = decision.outcome == "Allow"
        yield self._stage(name, endpoint, decision)

    def _normal(self, endpoint: ResolvedEndpoint, direction: Direction) -> Decision:
        return self._decide(endpoint, "normal", direction)

    def _decide(self, endpoint: ResolvedEndpoint, hook: Hook, direction: Direction) -> Decision:
        tiers = self.policies.applying(endpoint, hook, direction)
        return Chain(self._flow(), direction, hook).decide(tiers, endpoint.profiles, self.cluster.profiles)

    # --- what is known -------------------------------------------------------------------------------------------------

    def _flow(self) -> Flow:
        at = self.cluster.peers.at
        return Flow(self.packet, at(self.packet.source), at(self.packet.destination))

    def _is_failsafe(self, direction: Direction, *, responses: bool = False) -> bool:
        """`responses`: also what answers a failsafe flow of the other direction, where no conntrack entry can tell."""
        settings, packet = self._settings, self.packet
        opened, answered = settings.failsafe_inbound, settings.failsafe_outbound
        remote = packet.source
        if direction == "Egress":
            opened, answered, remote = answered, opened, packet.destination

        def is_open(ports: tuple[OpenPort, ...], port: int) -> bool:
            return any(
                (one.protocol, one.port) == (packet.protocol, port) and (one.net is None or remote in one.net)
                for one in ports
            )

        return is_open(opened, packet.destination_port) or (responses and is_open(answered, packet.source_port))

    @property
    def _settings(self) -> Settings:
        return self.cluster.settings_at(self.hop.host)

    def _is_workload(self, interface: str) -> bool:
        return self.cluster.is_workload_interface(self.hop.host, interface)

    @property
    def _sender(self) -> ResolvedEndpoint:
        """After the source check, which stops what comes from an interface without endpoint."""
        return self.cluster.workloads[self.hop.host, self.hop.enters]

    def _workload(self, interface: str) -> ResolvedEndpoint | None:
        return self.cluster.workloads.get((self.hop.host, interface))

    def _host_endpoint(self, interface: str) -> ResolvedEndpoint | None:
        return self.cluster.host_endpoint(self.hop.host, interface)

    def _stage(self, name: StageName, endpoint: ResolvedEndpoint | None, decision: Decision) -> Stage:
        return Stage(self.hop.host, name, endpoint.title if endpoint else "", decision)


def _said(outcome: Outcome, cause: Cause) -> Decision:
    return Decision(outcome=outcome, cause=cause)
