"""Runs of rules that are looked up, kept as what they are made of changes.

A change of rules or of nets compiles a run anew. A peer that comes into a set, or leaves it, moves alone: one element of a map.

Invariants: 1. What is wanted depends on the rules and members there are, not on the order in which they came, but for peers that
the budget of `flat` treats in another of its ways. 2. A block is there as long as some run leads to it. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ocicat.dataplane.book import Book
from ocicat.dataplane.flat.compiled import Compiled
from ocicat.dataplane.flat.facts import Atom
from ocicat.dataplane.flat.space import Members, literal
from ocicat.dataplane.flat_chains import FAMILIES, Maker, host_key, hosts_spec, way_in
from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.lists import (
    FLOW_LOGS,
    Built,
    Input,
    Part,
    Piece,
    Recipe,
    RunChain,
    inputs,
    policies_of,
    sections_of,
    tier_end,
)
from ocicat.dataplane.objects import Chain
from ocicat.dataplane.ruled import Ruled
from ocicat.dataplane.rules import trouble
from ocicat.errors import Bug
from ocicat.model.net import Addr
from ocicat.model.wanted import AddressSet
from ocicat.netlink.nftset import Element, goto

SetMembers = Callable[[str, int], Members]
"""Of the set of that id, in that family, as they are now."""

Use = Callable[[Recipe], None]


@dataclass(slots=True)
class _Run:
    """`uses`: how many ways lead into each block."""

    found: dict[int, Compiled[Piece]]
    uses: Counter[Piece]


class RunManager:
    """`acquire` and `release`: what keeps chains."""

    def __init__(self, ledger: Ledger, book: Book, members: SetMembers, acquire: Use, release: Use) -> None:
        self._ledger = ledger
        self._book = book
        self._members = members
        self._acquire = acquire
        self._release = release
        self._maker = Maker(book)
        self._runs: dict[RunChain, _Run] = {}

    def build(self, recipe: RunChain) -> Built:
        """The way in; blocks and members of its maps are wanted from now on, and those of before no more."""
        rules, is_last = self._rules(recipe)
        end = tier_end(recipe.tier, recipe.way, self._book) if is_last else Part()
        found = {family: self._compiled(rules, recipe, family, end) for family in FAMILIES}
        before = self._runs.get(recipe)
        now = self._runs[recipe] = _Run(found, _uses(found.values()))
        self._replace(recipe, before, now)
        hosts = {family: hosts_spec(recipe.name, family).name for family in FAMILIES if found[family].atoms}
        part = way_in(found, recipe.way.direction, hosts)
        chain = Chain(recipe.name, part.rules, f"{recipe.way.direction} of tier {recipe.tier.name}, looked up")
        deciders = (each.decider for each in rules if any(each.facts(family) for family in FAMILIES))
        reads: frozenset[Input] = frozenset([FLOW_LOGS, *inputs(rules), *policies_of(recipe.tier)])
        problems = (told for each in rules if not each.rule.problem for told in each.problem(trouble(each.rule)))
        return Built(chain, (), part.sets, (*deciders, *end.deciders), reads, tuple(problems))

    def gone(self, recipe: RunChain) -> None:
        run = self._runs.pop(recipe)
        for family in FAMILIES:
            self._ledger.unwant_set(hosts_spec(recipe.name, family).name)
        for piece in run.uses:
            self._release(piece)

    def moved(self, recipe: RunChain, message: AddressSet) -> None:
        """TooMuch: it must be built anew."""
        run = self._runs[recipe]
        for family, compiled in run.found.items():
            added, removed = _values(message.added, family), _values(message.removed - message.added, family)
            for host, (before, now) in compiled.moved(message.set_id, added, removed).items():
                self._element(recipe, family, host, now)
                if now is not None:
                    self._use(run, now)
                if before is not None:
                    self._use_no_more(run, before)

    def _rules(self, recipe: RunChain) -> tuple[tuple[Ruled, ...], bool]:
        """And: is it the last of what the tier is made of?"""
        steps = sections_of(recipe.tier, recipe.way, self._book)
        step = steps[recipe.place]
        if not isinstance(step, tuple):
            raise Bug(f"{recipe.name} is no run of rules")
        return step, step is steps[-1]

    def _compiled(self, rules: Iterable[Ruled], recipe: RunChain, family: int, end: Part) -> Compiled[Piece]:
        by_number = {each.number: each for each in rules}
        known = [(number, facts) for number, each in by_number.items() if (facts := each.facts(family)) is not None]
        make = self._maker.of(by_number, recipe.way.direction, family, end, f"tier {recipe.tier.name}")
        return Compiled(known, family, lambda atom: self._members_of(atom, family), make)

    def _members_of(self, atom: Atom, family: int) -> Members:
        return literal(atom) if isinstance(atom, tuple) else self._members(atom, family)

    def _replace(self, recipe: RunChain, before: _Run | None, now: _Run) -> None:
        """In this order, so that what stays is never let go."""
        for piece in now.uses:
            self._acquire(piece)
        for family in FAMILIES:
            self._replace_hosts(recipe, family, before.found[family] if before else None, now.found[family])
        for piece in before.uses if before else ():
            self._release(piece)

    def _replace_hosts(
        self, recipe: RunChain, family: int, before: Compiled[Piece] | None, now: Compiled[Piece]
    ) -> None:
        spec = hosts_spec(recipe.name, family)
        if not now.atoms:
            self._ledger.unwant_set(spec.name)
            return
        self._ledger.want_set(spec)
        were = before.hosts if before and before.atoms else {}
        for host in were.keys() - now.hosts.keys():
            self._element(recipe, family, host, None)
        for host, piece in now.hosts.items():
            if were.get(host) is not piece:
                self._element(recipe, family, host, piece)

    def _element(self, recipe: RunChain, family: int, host: int, piece: Piece | None) -> None:
        name = hosts_spec(recipe.name, family).name
        if piece is None:
            self._ledger.unwant_element(name, host_key(host, family))
        else:
            self._ledger.want_element(name, Element(host_key(host, family), goto(piece.name)))

    def _use(self, run: _Run, piece: Piece) -> None:
        if piece not in run.uses:
            self._acquire(piece)
        run.uses[piece] += 1

    def _use_no_more(self, run: _Run, piece: Piece) -> None:
        run.uses[piece] -= 1
        if not run.uses[piece]:
            del run.uses[piece]
            self._release(piece)


def _uses(found: Iterable[Compiled[Piece]]) -> Counter[Piece]:
    uses: Counter[Piece] = Counter()
    for each in found:
        uses.update(each.hosts.values())
        uses.update(piece for *_, piece in each.stretches)
        uses[each.otherwise] += 1
    return uses


def _values(addresses: Iterable[Addr], family: int) -> list[int]:
    return [each.value for each in addresses if each.family == family]
