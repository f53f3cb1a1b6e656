"""Whom policy lets an asker reach, so that he is told of no others: the reference of policy, asked about packets. PURE.

1. An address is reached if there is any flow that policy lets its asker begin towards it: some protocol, some port. A service is
   reached if that very port is. An answer stands for what the datastore had when the view was made.
2. An asker is known by the address he asks from. One that no endpoint and no host of the cluster has is outside it: his packets
   come in by the destination's host. What lies outside is reached if the asker's own policy lets him out.
3. Of an address in a pool of ours that no endpoint has (yet, or any more) nothing is known, so nothing is reached, and it reaches
   nothing.

That some port is open can be told by asking about few of them, because verdicts change only at the ports that rules name.
Not looked at: source ports (a high one is taken), floating addresses and mapped ports, which DNS does not tell of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ocicat.dns.zone import Goal
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr, Cidr, parse_interface
from ocicat.model.packet import ICMP_OF, Packet
from ocicat.model.v3.addressing import IPPool
from ocicat.model.v3.document import Document, merge_metadata, parse
from ocicat.model.v3.endpoints import Node
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import Resource
from ocicat.policy import Cluster, Hop, HostInterface, evaluate, resolve
from ocicat.policy.model import SCTP, TCP, UDP, Direction, Hook, ResolvedEndpoint, ResolvedRule

_KINDS = (
    "WorkloadEndpoint",
    "HostEndpoint",
    "Node",
    "IPPool",
    "Profile",
    "Tier",
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "NetworkSet",
    "GlobalNetworkSet",
    "FelixConfiguration",
)
_PREFIXES = {KINDS[name].prefix(): name for name in _KINDS}
_WITH_PORTS = (TCP, UDP, SCTP)
_OTHER_PROTOCOL = 253  # for experiments: no rule names it by accident
_SOURCE_PORT = 40000
_PING = {4: 8, 6: 128}
_OTHER_TYPE = 254
_UPLINK = "uplink"  # the interface by which a host is reached, where its Node does not say which one that is
_HOOKS: tuple[Hook, ...] = ("normal", "forward", "untracked", "pre-dnat")
_DIRECTIONS: tuple[Direction, ...] = ("Ingress", "Egress")
_MOST_KEPT = 100_000  # verdicts


@dataclass(slots=True)
class Known:
    """What the datastore has, as far as policy asks; fed with every update."""

    _documents: dict[str, Document | Resource] = field(default_factory=dict)

    def observe(self, key: str, value: bytes | None) -> bool:
        """Whether that may change a verdict."""
        if not key.startswith(tuple(_PREFIXES)):
            return False
        before = self._documents.pop(key, None)
        document = _read(key, value) if value is not None else None
        if document is not None:
            self._documents[key] = document
        return document != before

    def documents(self) -> tuple[Document | Resource, ...]:
        return tuple(self._documents.values())


def _read(key: str, value: bytes) -> Document | Resource | None:
    """None for what cannot be read, as everywhere. Only policy keeps what no record has a word for: it is large."""
    try:
        raw = decode_json(dict[str, object], value, what=key)
        document = parse(merge_metadata(raw, name=keys.name_of(key)), what=key)
    except UserError:
        return None
    return document if document.unknown else document.resource


def view(documents: Iterable[Document | Resource], agent_ports: tuple[int, ...] = ()) -> View:
    given = tuple(documents)
    resources = [one.resource if isinstance(one, Document) else one for one in given]
    nodes = {one.metadata.name: tuple(_addresses(one)) for one in resources if isinstance(one, Node)}
    cluster = resolve(
        (one for one in given if not isinstance(one, IPPool)),
        interfaces=(HostInterface(host, _UPLINK, addresses) for host, addresses in nodes.items()),
        agent_ports=agent_ports,
    )
    return View(replace(cluster, staged=None), nodes, tuple(_nets(one for one in resources if isinstance(one, IPPool))))


def _addresses(node: Node) -> Iterator[Addr]:
    bgp = node.spec.bgp
    texts = (bgp.ipv4_address, bgp.ipv6_address) if bgp else ()
    for text in (*texts, *(text for one in node.spec.interfaces for text in one.addresses)):
        try:
            yield parse_interface(text)[0]
        except UserError:
            continue


def _nets(pools: Iterable[IPPool]) -> Iterator[Cidr]:
    for pool in pools:
        try:
            yield parse_interface(pool.spec.cidr)[1]
        except UserError:
            continue


class _Place(Struct, frozen=True):
    """Where packets begin or end: a host, and the interface of a workload on it; "" is the host itself. `addresses`: all it has."""

    host: str
    interface: str
    addresses: tuple[Addr, ...]


@dataclass(slots=True)
class View:
    """One state of the datastore, made ready. `hosts`: their addresses, by name."""

    cluster: Cluster
    hosts: Mapping[str, tuple[Addr, ...]]
    pools: tuple[Cidr, ...]
    _places: dict[Addr, _Place] = field(init=False)
    _verdicts: dict[tuple[Addr, Addr, int, int], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hosts = (_Place(host, "", addresses) for host, addresses in self.hosts.items())
        workloads = (_Place(one.host, one.interface, one.addresses) for one in self.cluster.workloads.values())
        self._places = {address: place for place in (*hosts, *workloads) for address in place.addresses}

    def reaches(self, asker: Addr, goal: Goal) -> bool:
        """Any of its addresses, from whichever address of his is of its family."""
        return any(self._reaches(asker, address, goal) for address in goal.addresses)

    def _reaches(self, asker: Addr, address: Addr, goal: Goal) -> bool:
        key = (asker, address, goal.protocol, goal.port)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= _MOST_KEPT:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._decide(asker, address, goal)
        return verdict

    def _decide(self, asker: Addr, address: Addr, goal: Goal) -> bool:
        begin, end = self._places.get(asker), self._places.get(address)
        if (begin is None and self._is_ours(asker)) or (end is None and self._is_ours(address)):
            return False
        mine = begin.addresses if begin else (asker,)
        source = next((one for one in mine if one.family == address.family), None)
        if source is None:
            return False
        hops = _way(begin, end)
        packets = self._packets(source, address, goal, hops) if hops else ()
        return not hops or any(evaluate(self.cluster, packet, hops).action == "Allow" for packet in packets)

    def _is_ours(self, address: Addr) -> bool:
        return any(address in pool for pool in self.pools)

    # --- which packets tell --------------------------------------------------------------------------------------

    def _packets(self, source: Addr, destination: Addr, goal: Goal, hops: tuple[Hop, ...]) -> Iterator[Packet]:
        if goal.protocol:
            yield Packet(goal.protocol, source, destination, _SOURCE_PORT, goal.port)
            return
        rules = tuple(rule for endpoint in self._passed(hops) for rule in self._rules(endpoint))
        ports = sorted(self._ports(rules, destination, hops))
        for protocol in _protocols(rules, destination.family):
            if protocol in _WITH_PORTS:
                for port in ports:
                    yield Packet(protocol, source, destination, _SOURCE_PORT, port)
            elif protocol == ICMP_OF[destination.family]:
                for type_, code in _icmp(rules, destination.family):
                    yield Packet(protocol, source, destination, icmp_type=type_, icmp_code=code)
            else:
                yield Packet(protocol, source, destination)

    def _passed(self, hops: tuple[Hop, ...]) -> Iterator[ResolvedEndpoint]:
        """The endpoints whose policy has a say."""
        for hop in hops:
            for interface in filter(None, (hop.enters, hop.leaves)):
                for endpoint in (
                    self.cluster.workloads.get((hop.host, interface)),
                    self.cluster.host_endpoint(hop.host, interface),
                ):
                    if endpoint:
                        yield endpoint

    def _rules(self, endpoint: ResolvedEndpoint) -> Iterator[ResolvedRule]:
        for hook in _HOOKS:
            for direction in _DIRECTIONS:
                for tier in self.cluster.enforced.applying(endpoint, hook, direction):
                    for _, rules in tier.policies:
                        yield from rules
        for name in endpoint.profiles:
            profile = self.cluster.profiles.get(name)
            if profile:
                yield from (*profile.ingress, *profile.egress)

    def _ports(self, rules: Iterable[ResolvedRule], destination: Addr, hops: tuple[Hop, ...]) -> set[int]:
        """The first port of every stretch in which all are treated alike."""
        ranges = [
            each for rule in rules for each in (*rule.destination.ports.ranges, *rule.destination.not_ports.ranges)
        ]
        named = [port.port for peer in self.cluster.peers.at(destination) for port in peer.ports]
        settings = [self.cluster.settings_at(hop.host) for hop in hops]
        opened = [one.port for each in settings for one in (*each.failsafe_inbound, *each.failsafe_outbound)]
        own = [port for each in settings for port in (*each.agent_ports, each.vxlan_port)]
        single = ((port, port) for port in (*named, *opened, *own))
        found = {edge for first, last in (*ranges, *single) for edge in (first, last + 1)}
        return {1} | {port for port in found if 0 < port < 65536}


def _way(begin: _Place | None, end: _Place | None) -> tuple[Hop, ...]:
    """None: outside. Empty where no host of ours has a say, or nothing leaves one."""
    if begin and end and begin.host == end.host:
        return (Hop(begin.host, begin.interface, end.interface),) if begin != end else ()
    out = (Hop(begin.host, begin.interface, _UPLINK),) if begin else ()
    into = (Hop(end.host, _UPLINK, end.interface),) if end else ()
    return out + into


def _protocols(rules: Iterable[ResolvedRule], family: int) -> Iterable[int]:
    named = (number for rule in rules for number in (rule.protocol, rule.not_protocol) if number is not None)
    return dict.fromkeys((TCP, UDP, ICMP_OF[family], SCTP, *named, _OTHER_PROTOCOL))


def _icmp(rules: Iterable[ResolvedRule], family: int) -> Iterable[tuple[int, int]]:
    """Types and codes; the first is a ping, the last one that no rule should name."""
    named = (icmp for rule in rules for icmp in (rule.icmp, rule.not_icmp) if icmp is not None)
    found = ((icmp.type, code) for icmp in named for code in ((0, 1) if icmp.code is None else (icmp.code, 255)))
    return dict.fromkeys(((_PING[family], 0), *found, (_OTHER_TYPE, 0)))
