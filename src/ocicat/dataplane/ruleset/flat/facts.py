"""What can be known of a rule before any packet comes: of one family, in one direction.

Three kinds of condition can be looked up: on the peer's address (`needs`, `bars`), on the protocol, on the destination's port. All
others are left to the rule itself. The peer is who the packet comes from, on ingress; whom it goes to, on egress.

Invariants: 1. A packet that a rule matches meets all that its `Facts` say. 2. If nothing `more` is asked, one that meets them is
matched. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocicat.dataplane.ruleset.rules import Range, merged, trouble
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import Action, Match, WantedRule

Direction = Literal["ingress", "egress"]

Atom = str | tuple[Cidr, ...]
"""A question to the peer's address: is it in the set of that id, or in one of these nets?"""

PEER, PORTS = 1, 2
"""What a rule still asks: where the peer is, and of which protocol and for which port the packet is."""

_ICMP = {4: 1, 6: 58}
_LAST_PORT = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """`needs`: the peer is in all of these; `bars`: in none of these. `ports`: one of these ranges, which are in order and do not
    touch; None: any. `more`: there are other conditions too."""

    action: Action
    needs: tuple[Atom, ...] = ()
    bars: tuple[Atom, ...] = ()
    protocol: int | None = None
    not_protocol: int | None = None
    ports: tuple[Range, ...] | None = None
    more: bool = False

    @property
    def asks(self) -> int:
        """Of PEER and PORTS."""
        peer = PEER if self.needs or self.bars else 0
        some = self.protocol is not None or self.not_protocol is not None
        return peer | (PORTS if some else 0)


_DROPS = Facts("Deny")


def facts(rule: WantedRule, direction: Direction, family: int) -> Facts | None:
    """None: no packet of that family matches it."""
    if trouble(rule):
        return _DROPS  # whatever reaches it
    protocol = _protocol(rule, family)
    peer, own = (rule.source, rule.destination) if direction == "ingress" else (rule.destination, rule.source)
    needs, bars = _needs(peer, family), _bars(peer, family)
    impossible = family not in rule.families or needs is None or bars is None or protocol == -1
    ports = _ports(rule.destination)
    if impossible or ports == ():
        return None
    not_protocol = rule.not_protocol if protocol is None else None
    more = bool(_speaks_of_addresses(own) or _asks_more(rule))
    return Facts(rule.action, needs or (), bars or (), protocol, not_protocol, ports, more)


def says_family(rule: WantedRule) -> bool:
    """Does it say something else to packets of the other family?"""
    sides = (rule.source, rule.destination)
    return bool(len(rule.families) == 1 or rule.icmp or rule.not_icmp or any(map(_speaks_of_addresses, sides)))


def without(rule: WantedRule, direction: Direction, family: int, asks: int) -> WantedRule:
    """The rule for packets of that family, of which all is known but what it still `asks`."""
    if trouble(rule):
        return rule
    source, destination = rule.source, rule.destination
    if not asks & PEER:
        source, destination = (
            (_nowhere(source), destination) if direction == "ingress" else (source, _nowhere(destination))
        )
    known = not asks & PORTS
    if known and not destination.named:
        destination = replace(destination, ports=(), not_ports=())
    bare = known and not (rule.icmp or rule.not_icmp or _speaks_of_ports(source) or _speaks_of_ports(destination))
    says_family = bool(rule.icmp or rule.not_icmp or _speaks_of_addresses(source) or _speaks_of_addresses(destination))
    return replace(
        rule,
        families=(family,) if says_family else (4, 6),
        protocol=None if bare else rule.protocol,
        not_protocol=None if known else rule.not_protocol,
        source=source,
        destination=destination,
    )


def _protocol(rule: WantedRule, family: int) -> int | None:
    """-1: no protocol is the one that it wants."""
    wanted = rule.protocol
    if rule.icmp or rule.not_icmp:
        wanted = _ICMP[family] if wanted in (None, _ICMP[family]) else -1
    return -1 if wanted is not None and wanted == rule.not_protocol else wanted


def _needs(peer: Match, family: int) -> tuple[Atom, ...] | None:
    nets = _of_family(peer.nets, family)
    if peer.nets and not nets:
        return None
    return (*peer.sets, *((nets,) if nets and nets[0].length else ()))


def _bars(peer: Match, family: int) -> tuple[Atom, ...] | None:
    nets = _of_family(peer.not_nets, family)
    if nets and not nets[0].length:
        return None
    return (*peer.not_sets, *((nets,) if nets else ()))


def _of_family(nets: tuple[Cidr, ...], family: int) -> tuple[Cidr, ...]:
    """In order, so a net of everything comes first."""
    return tuple(sorted({net for net in nets if net.family == family})) if nets else ()


def _ports(destination: Match) -> tuple[Range, ...] | None:
    """A name may stand for another port at each address."""
    if destination.named or not _speaks_of_ports(destination):
        return None
    wanted = merged(destination.ports) if destination.ports else [(0, _LAST_PORT)]
    for first, last in destination.not_ports:
        wanted = [part for each in wanted for part in _outside(each, first, last)]
    return tuple(wanted)


def _outside(wanted: Range, first: int, last: int) -> list[Range]:
    parts = ((wanted[0], min(wanted[1], first - 1)), (max(wanted[0], last + 1), wanted[1]))
    return [part for part in parts if part[0] <= part[1]]


def _asks_more(rule: WantedRule) -> bool:
    source, destination = rule.source, rule.destination
    of_source = _speaks_of_ports(source) or source.named or source.not_named
    return bool(of_source or destination.named or destination.not_named or rule.icmp or rule.not_icmp)


def _speaks_of_addresses(side: Match) -> bool:
    return bool(side.nets or side.sets or side.not_nets or side.not_sets or side.named or side.not_named)


def _speaks_of_ports(side: Match) -> bool:
    return bool(side.ports or side.not_ports)


def _nowhere(side: Match) -> Match:
    return replace(side, nets=(), sets=(), not_nets=(), not_sets=())
