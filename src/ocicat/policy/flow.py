"""A packet, its way through the hosts, and which rules match it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.packet import Packet
from ocicat.policy.model import Icmp, Peer, Ports, ResolvedRule, Side


class Translation(Struct, frozen=True):
    """What a DNAT makes of a destination."""

    address: Addr
    port: int


class Hop(Struct, frozen=True):
    """One host's part of the way: the interfaces that the packet comes in and goes out by; empty: a process of the host itself.

    `translated`: a DNAT on this host, before the packet is routed.
    """

    host: str
    enters: str
    leaves: str
    translated: Translation | None = None


@dataclass(slots=True, frozen=True)
class Flow:
    """A packet, with all endpoints and network sets that hold its addresses."""

    packet: Packet
    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]


def matches(rule: ResolvedRule, flow: Flow) -> bool:
    """Does every condition of the rule hold?"""
    packet = flow.packet
    return (
        packet.family in rule.families
        and rule.protocol in (None, packet.protocol)
        and rule.not_protocol != packet.protocol
        and (rule.icmp is None or _is_icmp(rule.icmp, packet))
        # In the kernel a condition on a field of ICMP is one on the protocol too, also where it is negated.
        and (rule.not_icmp is None or (packet.is_icmp and not _is_icmp(rule.not_icmp, packet)))
        and _holds(rule.source, packet.source, packet.source_port, flow.sources, rule, packet)
        and _holds(rule.destination, packet.destination, packet.destination_port, flow.destinations, rule, packet)
    )


def _is_icmp(wanted: Icmp, packet: Packet) -> bool:
    return packet.is_icmp and packet.icmp_type == wanted.type and wanted.code in (None, packet.icmp_code)


def _holds(side: Side, address: Addr, port: int, peers: tuple[Peer, ...], rule: ResolvedRule, packet: Packet) -> bool:
    if side.selector is not None:
        selects = side.selector.matches
        peers = tuple([peer for peer in peers if selects(peer.labels)])
        if not peers:
            return False
    if side.not_selector is not None and any(side.not_selector.matches(peer.labels) for peer in peers):
        return False
    if side.nets and not any(address in net for net in side.nets):
        return False
    if any(address in net for net in side.not_nets):
        return False
    # `peers` are by now those that the positive selector matches: only their names of ports count, for notPorts too.
    if side.ports and not _has_port(side.ports, port, peers, rule, packet):
        return False
    return not (side.not_ports and _has_port(side.not_ports, port, peers, rule, packet))


def _has_port(ports: Ports, port: int, peers: tuple[Peer, ...], rule: ResolvedRule, packet: Packet) -> bool:
    """A rule that numbers ports says a protocol that has them, and names say one too."""
    if any(first <= port <= last for first, last in ports.ranges):
        return True
    return packet.protocol == rule.named_protocol and any(
        own.name in ports.names and own.protocol == packet.protocol and own.port == port
        for peer in peers
        for own in peer.ports
    )
