"""What decides for an endpoint on one way, as a list of steps; the first that holds for a packet decides.

It says the same as the chains that `lists` makes of the same tiers and profiles, and is made from the same records.

Invariants: 1. The list never ends without a decision where the chain does not. 2. Staged policies and Log rules decide nothing, and
are no steps. 3. A policy or profile that is not known denies at its place, a rule that cannot be enforced where it stands. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal, Protocol

from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.lists import ListChain
from ocicat.dataplane.ruleset.rules import action, trouble
from ocicat.model.base import Struct, replace
from ocicat.model.net import Addr, Cidr
from ocicat.model.packet import Packet
from ocicat.model.wanted import Icmp, Match, PortRange, Tier, WantedRule


class Members(Protocol):
    """Who is in a set now."""

    def has(self, set_id: str, address: Addr) -> bool: ...

    def has_port(self, set_id: str, address: Addr, protocol: int, port: int) -> bool: ...

    def finder(self, set_ids: Collection[str], family: int) -> Callable[[Addr], frozenset[str]]: ...


class Step(Struct, frozen=True):
    """`rule` None: for every packet. `by`: what it is, for people. `group`: its tier, or profile; Pass goes on to the next one."""

    rule: WantedRule | None
    action: Literal["Allow", "Deny", "Pass"]
    by: str
    group: int


class Decision(Struct, frozen=True):
    action: Literal["Allow", "Deny", "Continue"]
    by: str = ""


_NOBODY = Decision("Continue")


def steps_of(recipe: ListChain, book: Book) -> Iterator[Step]:
    for group, tier in enumerate(recipe.tiers):
        yield from _tier(tier, group, recipe, book)
    if recipe.way.hook != "normal":
        return
    ingress = recipe.way.direction == "ingress"
    for group, name in enumerate(recipe.profiles, len(recipe.tiers)):
        profile = book.profiles.get(name)
        if profile is None:
            yield Step(None, "Deny", f"profile {name}, which does not exist", group)
            return
        yield from _rules(profile.ingress if ingress else profile.egress, f"profile {name}", group)
    yield Step(None, "Deny", "no profile allows it", -1)


def _tier(tier: Tier, group: int, recipe: ListChain, book: Book) -> Iterator[Step]:
    ingress = recipe.way.direction == "ingress"
    for policy_id in tier.policies:
        policy = book.policies.get(policy_id)
        if policy is None:
            yield Step(None, "Deny", f"policy {policy_id}, which is not known", group)
        elif not policy.staged:
            yield from _rules(policy.ingress if ingress else policy.egress, f"policy {policy_id}", group)
    if tier.ends == "Deny" and recipe.way.shared.hook == "normal":
        yield Step(None, "Deny", f"end of tier {tier.name}", group)


def _rules(rules: Iterable[WantedRule], owner: str, group: int) -> Iterator[Step]:
    for index, rule in enumerate(rules):
        does = action(rule)
        if does != "Log":
            yield Step(None if trouble(rule) else rule, does, f"{owner} rule {index}", group)


class Steps:
    """Of one list. It remembers what it worked out: use it as long as neither the book nor the members change."""

    def __init__(self, recipe: ListChain, book: Book, members: Members) -> None:
        self._steps = list(steps_of(recipe, book))
        self._members = members
        self._ingress = recipe.way.direction == "ingress"
        groups = frozenset(filter(None, map(self._group_of_peers, self._steps)))
        self._groups = {family: members.finder(groups, family) for family in (4, 6)}
        self._source_ports = any(step.rule and _asks_for_ports(step.rule.source) for step in self._steps)
        self._of_kind: dict[tuple[int, int, int], list[tuple[str, Step]]] = {}
        self._of_peer: dict[Addr, frozenset[str]] = {}
        self._decided: dict[Packet, Decision] = {}

    def decide(self, packet: Packet) -> Decision:
        """ "Continue": nobody does."""
        asked = packet if self._source_ports else _without_source_port(packet)
        found = self._decided.get(asked)
        if found is None:
            found = self._decided[asked] = self._decide(asked)
        return found

    def _decide(self, packet: Packet) -> Decision:
        passed = None
        for step in self._possible(packet):
            if step.group == passed or not (step.rule is None or matches(step.rule, packet, self._members)):
                continue
            if step.action != "Pass":
                return Decision(step.action, step.by)
            passed = step.group
        return _NOBODY

    def _possible(self, packet: Packet) -> Iterator[Step]:
        """Those that may hold for packets of its family and protocol, to its port, with its peer: of ten thousand often few."""
        kind = packet.destination.family, packet.protocol, packet.destination_port
        if kind not in self._of_kind:
            those = (step for step in self._steps if step.rule is None or _may(step.rule, *kind))
            self._of_kind[kind] = [(self._group_of_peers(step), step) for step in those]
        peer = packet.source if self._ingress else packet.destination
        if peer not in self._of_peer:
            self._of_peer[peer] = self._groups[peer.family](peer) | {""}
        groups = self._of_peer[peer]
        return (step for group, step in self._of_kind[kind] if group in groups)

    def _group_of_peers(self, step: Step) -> str:
        """A set that the peer must be in; "" if there is none."""
        if step.rule is None:
            return ""
        sets = step.rule.source.sets if self._ingress else step.rule.destination.sets
        return sets[0] if sets else ""


def _without_source_port(packet: Packet) -> Packet:
    return replace(packet, source_port=0)


def _asks_for_ports(side: Match) -> bool:
    return bool(side.ports or side.not_ports or side.named or side.not_named)


def _may(rule: WantedRule, family: int, protocol: int, port: int) -> bool:
    there = rule.destination
    return (
        family in rule.families
        and rule.protocol in (None, protocol)
        and (not there.ports or bool(there.named) or _in_ranges(port, there.ports))
    )


def matches(rule: WantedRule, packet: Packet, members: Members) -> bool:
    """Does every condition of the rule hold? What they mean: `ocicat.model.wanted`."""
    return (
        packet.destination.family in rule.families
        and rule.protocol in (None, packet.protocol)
        and rule.not_protocol != packet.protocol
        and (rule.icmp is None or _is_icmp(rule.icmp, packet))
        and (rule.not_icmp is None or (packet.is_icmp and not _is_icmp(rule.not_icmp, packet)))
        and _holds(rule.source, packet.source, packet.source_port, packet.protocol, members)
        and _holds(rule.destination, packet.destination, packet.destination_port, packet.protocol, members)
    )


def _is_icmp(wanted: Icmp, packet: Packet) -> bool:
    return packet.is_icmp and packet.icmp_type == wanted.type and wanted.code in (None, packet.icmp_code)


def _holds(side: Match, address: Addr, port: int, protocol: int, members: Members) -> bool:
    return (
        all(members.has(each, address) for each in side.sets)
        and (not side.nets or _in_nets(address, side.nets))
        and (not (side.ports or side.named) or _has_port(side.ports, side.named, address, port, protocol, members))
        and not _in_nets(address, side.not_nets)
        and not any(members.has(each, address) for each in side.not_sets)
        and not _has_port(side.not_ports, side.not_named, address, port, protocol, members)
    )


def _has_port(
    ranges: tuple[PortRange, ...], named: tuple[str, ...], address: Addr, port: int, protocol: int, members: Members
) -> bool:
    return _in_ranges(port, ranges) or any(members.has_port(each, address, protocol, port) for each in named)


def _in_nets(address: Addr, nets: tuple[Cidr, ...]) -> bool:
    return any(address in net for net in nets)


def _in_ranges(port: int, ranges: tuple[PortRange, ...]) -> bool:
    return any(first <= port <= last for first, last in ranges)
