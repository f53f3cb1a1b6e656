"""One rule of a policy as nftables rules, and the interval sets that they look in.

A rule that speaks of addresses becomes one for each family that it can match; one that does not, a single rule for both.
Single nets and port ranges are literals, several are one named set.

Invariants: 1. What cannot be rendered exactly is a drop of everything that reaches it, with the reason in its comment.
2. A condition that no packet of a family can meet leaves no rule for that family. 3. Text from outside reaches nft only as numbers,
addresses, digests, or the checked characters of a set's name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.objects import IntervalSet, Rule, SetSpec, digest
from ocicat.model.base import Struct
from ocicat.model.net import WIDTH, Cidr
from ocicat.model.wanted import Match, WantedRule
from ocicat.netlink.nftset import interval

Range = tuple[int, int]  # first and last, both included

_WITH_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ADDRESS = {4: "ip", 6: "ip6"}
_NFPROTO = {4: "ipv4", 6: "ipv6"}
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Rendered(Struct, frozen=True):
    """`problem` says what we could not render ourselves; a problem that came with the rule was reported by who sent it."""

    rules: tuple[Rule, ...]
    sets: tuple[IntervalSet, ...] = ()
    problem: str = ""


class Condition(Struct, frozen=True):
    """A piece of a rule's text, and the sets it looks in."""

    text: str
    sets: tuple[IntervalSet, ...] = ()


def set_name(set_id: str, family: int) -> str:
    """The set of hosts for a selector's id ("s:" and characters of base64url); any other id gets a digest for a name."""
    _, _, uid = set_id.rpartition(":")
    safe = (
        uid if set_id == f"s:{uid}" and uid and _NAME_CHARACTERS.issuperset(uid) and len(uid) <= 40 else digest(set_id)
    )
    return f"s{family}-{safe}"


def render(rule: WantedRule, allow: str) -> Rendered:
    """`allow` is the verdict that stands for Allow in that direction."""
    problem = rule.problem or _obstacle(rule)
    if problem:
        return Rendered((Rule("drop", f"not enforceable: {problem}"),), problem="" if rule.problem else problem)
    verdict = allow if rule.action == "Allow" else "drop"
    variants = [variant for family in _families(rule) if (variant := _conditions(rule, family)) is not None]
    rules = tuple(Rule(" ".join([*(c.text for c in variant if c.text), verdict])) for variant in variants)
    sets = {each.spec.name: each for variant in variants for condition in variant for each in condition.sets}
    return Rendered(rules, tuple(sets.values()))


def _obstacle(rule: WantedRule) -> str:
    if rule.action not in ("Allow", "Deny"):
        return f"action {rule.action} is not supported"
    if (rule.source.ports or rule.destination.ports) and rule.protocol not in _WITH_PORTS:
        return f"ports need a protocol that has them, not {rule.protocol}"
    return ""


def _families(rule: WantedRule) -> tuple[int, ...]:
    """0 stands for both at once."""
    if rule.family is not None:
        return (rule.family,)
    sides = (rule.source, rule.destination)
    return (4, 6) if any(side.nets or side.sets for side in sides) else (0,)


def _conditions(rule: WantedRule, family: int) -> list[Condition] | None:
    """All that must hold; None if it cannot in that family."""
    conditions: list[Condition] = []
    if family:
        source, destination = (
            _addresses(side, field, family) for side, field in ((rule.source, "saddr"), (rule.destination, "daddr"))
        )
        if source is None or destination is None:
            return None
        conditions = [*source, *destination] or [Condition(f"meta nfproto {_NFPROTO[family]}")]
    return conditions + _protocol(rule)


def _addresses(side: Match, field: str, family: int) -> list[Condition] | None:
    conditions = [Condition(f"{_ADDRESS[family]} {field} @{set_name(set_id, family)}") for set_id in side.sets]
    nets = sorted({net for net in side.nets if net.family == family})
    if side.nets and not nets:
        return None
    if nets and nets[0].length:  # sorted, so a net of everything comes first
        conditions.append(_nets(nets, f"{_ADDRESS[family]} {field}", family))
    return conditions


def _nets(nets: list[Cidr], field: str, family: int) -> Condition:
    if len(nets) == 1:
        return Condition(f"{field} {nets[0]}")
    ranges = [(net.network, net.network + net.size - 1) for net in nets]
    return _in_set(field, f"n{family}", f"{_NFPROTO[family]}_addr", ranges, WIDTH[family] // 8)


def _protocol(rule: WantedRule) -> list[Condition]:
    sides = ((rule.source.ports, "sport"), (rule.destination.ports, "dport"))
    ports = [
        _ports(ranges, f"{_WITH_PORTS[rule.protocol]} {field}") for ranges, field in sides if ranges and rule.protocol
    ]
    if ports or rule.protocol is None:
        return ports
    return [Condition(f"meta l4proto {rule.protocol}")]


def _ports(ranges: tuple[Range, ...], field: str) -> Condition:
    if len(ranges) == 1:
        first, last = ranges[0]
        return Condition(f"{field} {first}" if first == last else f"{field} {first}-{last}")
    return _in_set(field, "p", "inet_service", ranges, 2)


def _in_set(field: str, kind: str, key: str, ranges: Iterable[Range], size_bytes: int) -> Condition:
    joined = merged(ranges)
    name = f"{kind}-{digest(*(f'{first}-{last}' for first, last in joined))}"
    elements = tuple(
        element
        for first, last in joined
        for element in interval(first.to_bytes(size_bytes, "big"), last.to_bytes(size_bytes, "big"))
    )
    return Condition(f"{field} @{name}", (IntervalSet(SetSpec(name, key, interval=True), elements),))


def merged(ranges: Iterable[Range]) -> list[Range]:
    """In order, with those that overlap or touch made one: an interval set takes no overlap."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
