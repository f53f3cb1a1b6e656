"""Would this host let the first packet of a flow through now? The stages of `skeleton`, over the records that chains are made from.

    comes in   from a workload: its source; from elsewhere: untracked policy; from anywhere: pre-DNAT policy
    for host   from a workload: its egress policy, then what is set for all workloads; from elsewhere: the host endpoint's policy
    forwarded  host endpoint's forward ingress; workload's egress; workload's ingress; host endpoint's forward egress
    from host  untracked policy; then, to elsewhere than a workload: the host endpoint's policy

Invariants: 1. It answers for what the managers hold, which is in the kernel after a pass that succeeded. 2. It remembers what it
worked out: a judge is good until the next message. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.hosts import EVERY, lists
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.ownership import is_ours
from ocicat.dataplane.ruleset.identity import Direction
from ocicat.dataplane.ruleset.lists import ListChain, Way
from ocicat.dataplane.ruleset.steps import Decision, Steps
from ocicat.model.base import Struct, replace
from ocicat.model.net import Addr
from ocicat.model.packet import Packet
from ocicat.model.wanted import Endpoint, HostEndpoint, HostSettings, OpenPort

UNKNOWN = "/"
"""In place of the name of an interface that is no workload's: it may be any, so no host endpoint is asked."""

_TCP, _UDP, _IPIP = 6, 17, 4
_NEIGHBOUR_TYPES = frozenset((130, 131, 132, 133, 135, 136))


class Passage(Struct, frozen=True):
    """A packet's way through this host, by interface; "" where a process of the host sends or receives it, EVERY for one that no
    host endpoint has by name. `translated`: what DNAT makes of its destination."""

    packet: Packet
    enters: str
    leaves: str
    translated: tuple[Addr, int] | None = None


class Ruling(Struct, frozen=True):
    """`reason`: who stops it, for people; "" if it is let through. `untracked`: then past connection tracking."""

    reason: str = ""
    untracked: bool = False


class FlowJudge:
    """Of one state of the managers."""

    def __init__(self, config: DataplaneConfig, managers: Managers) -> None:
        self.config = config
        self._managers = managers
        self._lists: dict[tuple[str, Way], ListChain] = {}
        self._steps: dict[ListChain, Steps] = {}

    def rule(self, passage: Passage) -> Ruling:
        one = _Packet(self, passage.packet, passage.enters, passage.leaves, passage.translated)
        reason = one.stopped_by()
        return Ruling(reason, untracked=one.untracked and not reason)

    @property
    def settings(self) -> HostSettings:
        return self._managers.hosts.current

    def workload(self, interface: str) -> Endpoint | None:
        endpoints = self._managers.endpoints
        return endpoints.find(interface) if endpoints.on_interface(interface) else None

    def host_endpoint(self, interface: str, way: Way) -> HostEndpoint | None:
        """Those for all interfaces have no untracked policy."""
        governed = self._managers.hosts.endpoints
        every = None if interface == UNKNOWN or way.hook == "untracked" else governed.get(EVERY)
        return governed.get(interface, every)

    def decides(self, endpoint: Endpoint | HostEndpoint, way: Way, packet: Packet) -> Decision:
        key = endpoint.interface, way
        recipe = self._lists.get(key)
        if recipe is None:
            recipe = self._lists[key] = _list(endpoint, way)
        steps = self._steps.get(recipe)
        if steps is None:
            steps = self._steps[recipe] = Steps(recipe, self._managers.book, self._managers.sets)
        return steps.decide(packet)


@dataclass(slots=True)
class _Packet:
    """On its way. `accepted`: an untracked or pre-DNAT policy has allowed it. Each stage says who stops it, "" if nobody does."""

    judge: FlowJudge
    packet: Packet
    enters: str
    leaves: str
    translated: tuple[Addr, int] | None
    accepted: bool = False
    untracked: bool = False

    def stopped_by(self) -> str:
        if not self.enters:
            return self._from_host()
        return self._comes_in() or (self._forwarded() if self.leaves else self._for_host())

    def _translate(self) -> None:
        if self.translated and not self.untracked:
            address, port = self.translated
            self.packet = replace(self.packet, destination=address, destination_port=port)

    # --- the ways through --------------------------------------------------------------------------------------------------

    def _comes_in(self) -> str:
        stopped = self._source_check() if self._is_workload(self.enters) else self._untracked("ingress", self.enters)
        if not stopped and not self.accepted:
            stopped = self._before_routing(Way("ingress", "pre-dnat"), self.enters)
        self._translate()
        return stopped

    def _source_check(self) -> str:
        endpoint = self.judge.workload(self.enters)
        if endpoint is None:
            return f"interface {self.enters} has no endpoint"
        source = self.packet.source
        own = source in endpoint.addresses or any(source in net for net in endpoint.sources)
        return "" if own else f"{source} is not an address of {endpoint.key}"

    def _for_host(self) -> str:
        if self._is_workload(self.enters):
            return "" if self._has_free_way() else self._workload_egress() or self._workload_to_host()
        return "" if self.accepted else self._host("ingress", self.enters)

    def _forwarded(self) -> str:
        stopped = "" if self.accepted else self._forward("ingress", self.enters)
        if not stopped and self._is_workload(self.enters):
            stopped = self._workload_egress()
        if not stopped and self._is_workload(self.leaves):
            stopped = self._workload("ingress", self.leaves)
        return stopped or self._forward("egress", self.leaves)

    def _from_host(self) -> str:
        stopped = self._untracked("egress", self.leaves)
        self._translate()
        if stopped or self.accepted or self._is_workload(self.leaves):
            return stopped
        return self._host("egress", self.leaves)

    # --- workloads ---------------------------------------------------------------------------------------------------------

    def _has_free_way(self) -> bool:
        """Neighbour discovery, the Mesos agent of its own host, and its host's names."""
        packet, config = self.packet, self.judge.config
        if packet.destination.family == 6 and packet.is_icmp and packet.icmp_type in _NEIGHBOUR_TYPES:
            return True
        if packet.protocol in (_TCP, _UDP) and (packet.destination, packet.destination_port) in config.name_servers:
            return True
        own = not config.host_addresses or packet.destination in config.host_addresses
        return own and packet.protocol == _TCP and packet.destination_port in config.agent_ports

    def _workload_egress(self) -> str:
        packet, settings = self.packet, self.judge.settings
        vxlan = packet.protocol == _UDP and packet.destination_port == settings.vxlan_port
        if vxlan and not settings.vxlan_from_workloads:
            return "VXLAN from a workload"
        if packet.protocol == _IPIP and not settings.ipip_from_workloads:
            return "IPIP from a workload"
        return self._workload("egress", self.enters)

    def _workload_to_host(self) -> str:
        return "from a workload to its own host" if self.judge.settings.endpoint_to_host == "Drop" else ""

    def _workload(self, direction: Direction, interface: str) -> str:
        endpoint = self.judge.workload(interface)
        if endpoint is None:
            return f"interface {interface} has no endpoint"
        return self._said(endpoint, Way(direction))

    # --- host endpoints ----------------------------------------------------------------------------------------------------

    def _untracked(self, direction: Direction, interface: str) -> str:
        stopped = self._before_routing(Way(direction, "untracked"), interface)
        self.untracked = self.accepted
        return stopped

    def _before_routing(self, way: Way, interface: str) -> str:
        """What nobody decides goes on."""
        endpoint = self.judge.host_endpoint(interface, way)
        if endpoint is None or self._is_failsafe(way):
            return ""
        decision = self.judge.decides(endpoint, way, self.packet)
        self.accepted = decision.action == "Allow"
        return _reason(endpoint, way, decision)

    def _host(self, direction: Direction, interface: str) -> str:
        way = Way(direction)
        endpoint = self.judge.host_endpoint(interface, way)
        return self._said(endpoint, way) if endpoint and not self._is_failsafe(way) else ""

    def _forward(self, direction: Direction, interface: str) -> str:
        way = Way(direction, "forward")
        endpoint = self.judge.host_endpoint(interface, way)
        return self._said(endpoint, way) if endpoint else ""

    # --- what is known -----------------------------------------------------------------------------------------------------

    def _said(self, endpoint: Endpoint | HostEndpoint, way: Way) -> str:
        return _reason(endpoint, way, self.judge.decides(endpoint, way, self.packet))

    def _is_workload(self, interface: str) -> bool:
        return is_ours(interface, self.judge.config.interface_prefix)

    def _is_failsafe(self, way: Way) -> bool:
        """Without connection tracking also what answers: nothing else can tell."""
        packet, settings = self.packet, self.judge.settings
        opened, answered, remote = settings.failsafe_inbound, settings.failsafe_outbound, packet.source
        if way.direction == "egress":
            opened, answered, remote = answered, opened, packet.destination
        return _is_open(opened, packet.protocol, packet.destination_port, remote) or (
            way.hook == "untracked" and _is_open(answered, packet.protocol, packet.source_port, remote)
        )


def _list(endpoint: Endpoint | HostEndpoint, way: Way) -> ListChain:
    if isinstance(endpoint, HostEndpoint):
        return lists(endpoint)[way]
    return ListChain(way, endpoint.ingress if way.direction == "ingress" else endpoint.egress, endpoint.profiles)


def _reason(endpoint: Endpoint | HostEndpoint, way: Way, decision: Decision) -> str:
    return f"{way.direction} of {endpoint.key}: {decision.by}" if decision.action == "Deny" else ""


def _is_open(ports: Iterable[OpenPort], protocol: int, port: int, remote: Addr) -> bool:
    return any((one.protocol, one.port) == (protocol, port) and (one.net is None or remote in one.net) for one in ports)
