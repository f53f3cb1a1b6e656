"""From a resolved rule to what the dataplane is asked for: its selectors become the ids of sets.

What a rule means is said in `ocicat.policy.rules`. Here: one id for each set, so that rules with equal selectors share one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.model import wanted
from ocicat.model.base import Struct
from ocicat.model.wanted import Match, WantedRule
from ocicat.policy.model import Icmp, ResolvedRule, Side
from ocicat.selector import Selector, parse

_EVERY_PEER = parse("all()")


class PeerSet(Struct, frozen=True):
    """A set that rules name: the addresses of all peers that `selector` matches; or, if there is a `port`, what they call so."""

    set_id: str
    selector: Selector
    protocol: int = 0
    port: str = ""


PeerSets = dict[str, PeerSet]
"""By id."""


def wanted_rules(rules: Iterable[ResolvedRule], sets: PeerSets) -> tuple[WantedRule, ...]:
    """Each in its place. The sets that they name are added to `sets`."""
    return tuple(_rule(rule, sets) for rule in rules)


def _rule(rule: ResolvedRule, sets: PeerSets) -> WantedRule:
    return WantedRule(
        action=rule.action,
        families=rule.families,
        protocol=rule.protocol,
        source=_match(rule.source, rule.named_protocol, sets),
        destination=_match(rule.destination, rule.named_protocol, sets),
        problem=rule.problem,
        not_protocol=rule.not_protocol,
        icmp=_icmp(rule.icmp),
        not_icmp=_icmp(rule.not_icmp),
    )


def _icmp(icmp: Icmp | None) -> wanted.Icmp | None:
    return None if icmp is None else wanted.Icmp(icmp.type, icmp.code)


def _match(side: Side, protocol: int, sets: PeerSets) -> Match:
    """Names of ports are those of the peers that the positive selector matches, for notPorts too."""
    owners = side.selector or _EVERY_PEER
    return Match(
        nets=side.nets,
        sets=_addresses(side.selector, sets),
        ports=side.ports.ranges,
        not_nets=side.not_nets,
        not_sets=_addresses(side.not_selector, sets),
        named=_named(owners, protocol, side.ports.names, sets),
        not_ports=side.not_ports.ranges,
        not_named=_named(owners, protocol, side.not_ports.names, sets),
    )


def _addresses(selector: Selector | None, sets: PeerSets) -> tuple[str, ...]:
    if selector is None:
        return ()
    sets[selector.uid] = PeerSet(selector.uid, selector)
    return (selector.uid,)


def _named(selector: Selector, protocol: int, names: Iterable[str], sets: PeerSets) -> tuple[str, ...]:
    found = {f"{selector.uid}:{protocol}:{name}": name for name in names}
    sets.update((set_id, PeerSet(set_id, selector, protocol, name)) for set_id, name in found.items())
    return tuple(found)
