"""One rule of a policy as nftables rules, and the interval sets that they look in.

A rule that speaks of addresses becomes one for each family that it can match; one that does not, a single rule for both.
Where one of several conditions is enough (a port by number or by name), it becomes one rule for each of them. Single nets and
port ranges are literals, several are one named set.

Invariants: 1. What cannot be rendered exactly denies everything that reaches it, with the reason in its comment.
2. A condition that no packet of a family can meet leaves no rule for that family. 3. Text from outside reaches nft only as numbers,
addresses, digests, or the checked characters of a set's name. Pure. What a rule means: `ocicat.model.wanted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

from ocicat.dataplane.ruleset.objects import IntervalSet, Rule, SetSpec, digest
from ocicat.model.base import Struct
from ocicat.model.net import WIDTH, Cidr
from ocicat.model.packet import ICMP_OF
from ocicat.model.wanted import Action, Icmp, Match, PortRange, WantedRule
from ocicat.netlink.nftset import Element, Verdict

Range = tuple[int, int]  # first and last, both included
SetName = Callable[[str, int], str]
"""From the id of an address set, and a family, to the name of the kernel's set."""

BOTH = 0
"""In place of a family: the rule does not say."""

_WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
_ADDRESS = {4: "ip", 6: "ip6"}
_NFPROTO = {4: "ipv4", 6: "ipv6"}
_ICMP = {4: "icmp", 6: "icmpv6"}
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_NAME_LENGTH = 40


class Rendered(Struct, frozen=True):
    """`problem` says what we could not render ourselves; a problem that came with the rule was reported by who sent it."""

    rules: tuple[Rule, ...]
    sets: tuple[IntervalSet, ...] = ()
    problem: str = ""


class Condition(Struct, frozen=True):
    """A piece of a rule's text, and the sets it looks in."""

    text: str
    sets: tuple[IntervalSet, ...] = ()


Conditions = tuple[Condition, ...]
"""All of them must hold."""

Alternatives = tuple[Conditions, ...]
"""One of them must hold; none at all never holds."""

ALWAYS: Alternatives = ((),)


def set_name(kind: str, set_id: str, family: int) -> str:
    """Of the set for a selector's id ("s:" and characters of base64url); any other id gets a digest for a name."""
    _, _, uid = set_id.rpartition(":")
    safe = set_id == f"s:{uid}" and uid and _NAME_CHARACTERS.issuperset(uid) and len(uid) <= _NAME_LENGTH
    return f"{kind}{family}-{uid if safe else digest(set_id)}"


def hosts_name(set_id: str, family: int) -> str:
    """A hash set: addresses only."""
    return set_name("s", set_id, family)


def ranges_name(set_id: str, family: int) -> str:
    """An interval set: addresses and nets."""
    return set_name("r", set_id, family)


def ports_name(set_id: str, family: int) -> str:
    """A port set: address . protocol . port."""
    return f"h{family}-{digest(set_id)}"


def trouble(rule: WantedRule) -> str:
    """Why it cannot be rendered as it is written; "" if it can."""
    return rule.problem or _obstacle(rule)


def action(rule: WantedRule) -> Action:
    """What becomes of a packet that it matches; of every one that reaches it, if it cannot be rendered."""
    return "Deny" if trouble(rule) else rule.action


def render(rule: WantedRule, verdict: str, name: SetName = hosts_name, *, note: str = "") -> Rendered:
    """`verdict`: the statements for its `action`. `note`: which rule it is, for whoever reads the ruleset."""
    if problem := trouble(rule):
        why = f"{note} not enforceable: {problem}".lstrip()
        return Rendered((Rule(verdict, why),), problem="" if rule.problem else problem)
    variants = [variant for family in _families(rule) for variant in _variants(rule, family, name)]
    rules = tuple(Rule(" ".join([*(c.text for c in variant), verdict]), note) for variant in variants)
    sets = {each.spec.name: each for variant in variants for condition in variant for each in condition.sets}
    return Rendered(rules, tuple(sets.values()))


def _obstacle(rule: WantedRule) -> str:
    sides = (rule.source, rule.destination)
    if any(_speaks_of_ports(side) for side in sides) and rule.protocol not in _WITH_PORTS:
        return f"ports need a protocol that has them, not {rule.protocol}"
    return ""


def _speaks_of_ports(side: Match) -> bool:
    """Port sets know their protocols themselves."""
    return bool(side.ports or side.not_ports)


def _families(rule: WantedRule) -> tuple[int, ...]:
    speaks_of_icmp = rule.icmp or rule.not_icmp
    if speaks_of_icmp and rule.protocol is not None:
        return tuple(family for family in rule.families if rule.protocol == ICMP_OF[family])
    needs_family = speaks_of_icmp or any(map(_speaks_of_addresses, (rule.source, rule.destination)))
    return rule.families if needs_family or len(rule.families) == 1 else (BOTH,) if rule.families else ()


def _speaks_of_addresses(side: Match) -> bool:
    return bool(side.nets or side.sets or side.not_nets or side.not_sets or side.named or side.not_named)


def _variants(rule: WantedRule, family: int, name: SetName) -> list[Conditions]:
    parts = (
        *(
            (_addresses(side, field, family, name))
            for side, field in ((rule.source, "saddr"), (rule.destination, "daddr"))
        ),
        _protocol(rule),
        _icmp(rule.icmp, family),
        _not_icmp(rule.not_icmp, family),
        *(_ports(side, rule, family, end) for side, end in ((rule.source, "s"), (rule.destination, "d"))),
    )
    variants = [tuple(condition for part in parts_ for condition in part) for parts_ in product(*parts)]
    return [_of_family(variant, family) for variant in variants]


def _of_family(variant: Conditions, family: int) -> Conditions:
    """Conditions on addresses and on ICMP's fields say the family themselves."""
    said = ("ip ", "ip6 ", "icmp ", "icmpv6 ")
    if family == BOTH or any(condition.text.startswith(said) for condition in variant):
        return variant
    return (Condition(f"meta nfproto {_NFPROTO[family]}"), *variant)


def _addresses(side: Match, field: str, family: int, name: SetName) -> Alternatives:
    if family == BOTH:
        return ALWAYS
    where = f"{_ADDRESS[family]} {field}"
    nets, not_nets = (sorted({net for net in given if net.family == family}) for given in (side.nets, side.not_nets))
    if (side.nets and not nets) or _holds_all(not_nets):
        return ()
    found = [Condition(f"{where} @{name(set_id, family)}") for set_id in side.sets]
    found += [Condition(f"{where} != @{name(set_id, family)}") for set_id in side.not_sets]
    if nets and not _holds_all(nets):
        found.append(_nets(nets, where, family))
    if not_nets:
        found.append(_nets(not_nets, f"{where} !=", family))
    return (tuple(found),)


def _holds_all(nets: list[Cidr]) -> bool:
    return bool(nets) and not nets[0].length  # sorted, so a net of everything comes first


def _nets(nets: list[Cidr], field: str, family: int) -> Condition:
    if len(nets) == 1:
        return Condition(f"{field} {nets[0]}")
    ranges = [(net.network, net.network + net.size - 1) for net in nets]
    return _in_set(field, f"n{family}", f"{_NFPROTO[family]}_addr", ranges, WIDTH[family] // 8)


def _protocol(rule: WantedRule) -> Alternatives:
    """A condition on ports by number says the protocol itself."""
    found = []
    if rule.protocol is not None and not any(map(_speaks_of_ports, (rule.source, rule.destination))):
        found.append(Condition(f"meta l4proto {rule.protocol}"))
    if rule.not_protocol is not None:
        found.append(Condition(f"meta l4proto != {rule.not_protocol}"))
    return (tuple(found),)


def _icmp(wanted: Icmp | None, family: int) -> Alternatives:
    if wanted is None:
        return ALWAYS
    code = () if wanted.code is None else (Condition(f"{_ICMP[family]} code {wanted.code}"),)
    return ((Condition(f"{_ICMP[family]} type {wanted.type}"), *code),)


def _not_icmp(unwanted: Icmp | None, family: int) -> Alternatives:
    if unwanted is None:
        return ALWAYS
    other_type = (Condition(f"{_ICMP[family]} type != {unwanted.type}"),)
    if unwanted.code is None:
        return (other_type,)
    same = Condition(f"{_ICMP[family]} type {unwanted.type}")
    return other_type, (same, Condition(f"{_ICMP[family]} code != {unwanted.code}"))


def _ports(side: Match, rule: WantedRule, family: int, end: str) -> Alternatives:
    """`end`: "s" or "d"."""
    field = f"{_WITH_PORTS.get(rule.protocol or 0, 'th')} {end}port"
    named = f"{_ADDRESS.get(family, '')} {end}addr . meta l4proto . th {end}port"
    never = [*([_port_ranges(side.not_ports, f"{field} !=")] if side.not_ports else [])]
    never += [Condition(f"{named} != @{ports_name(set_id, family)}") for set_id in side.not_named]
    if not side.ports and not side.named:
        return (tuple(never),)
    enough = [*([(_port_ranges(side.ports, field), _port_ranges(side.ports, f"{field} !="))] if side.ports else [])]
    sets = [f"@{ports_name(set_id, family)}" for set_id in side.named]
    enough += [(Condition(f"{named} {each}"), Condition(f"{named} != {each}")) for each in sets]
    if rule.action != "Log":
        return tuple((holds, *never) for holds, _ in enough)
    # Only what does not decide can match a packet twice.
    return tuple((holds, *never, *(no for _, no in enough[:place])) for place, (holds, _) in enumerate(enough))


def _port_ranges(ranges: tuple[PortRange, ...], field: str) -> Condition:
    if len(ranges) == 1:
        first, last = ranges[0]
        return Condition(f"{field} {first}" if first == last else f"{field} {first}-{last}")
    return _in_set(field, "p", "inet_service", ranges, 2)


def _in_set(field: str, kind: str, key: str, ranges: Iterable[Range], size_bytes: int) -> Condition:
    joined = merged(ranges)
    name = f"{kind}-{digest(*(f'{first}-{last}' for first, last in joined))}"
    elements = tuple(range_element(first, last, size_bytes) for first, last in joined)
    return Condition(f"{field} @{name}", (IntervalSet(SetSpec(name, key, interval=True), elements),))


def range_element(first: int, last: int, size_bytes: int, data: Verdict | None = None) -> Element:
    """Of an interval set, or map, whose keys have that many bytes."""
    return Element(first.to_bytes(size_bytes, "big"), data, last.to_bytes(size_bytes, "big"))


def merged(ranges: Iterable[Range]) -> list[Range]:
    """In order, with those that overlap or touch made one: an interval set takes no overlap."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
