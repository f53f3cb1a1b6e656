"""Runs of rules that are looked up, kept as what they are made of changes.

A change of rules or of nets compiles a run anew. A peer that comes into a set, or leaves it, moves alone: one element of a map.

Invariants: 1. What is wanted depends on the rules and members there are, not on the order in which they came, but for peers that
the budget of `flat` treats in another of its ways. 2. A block is there as long as some run leads to it. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.flat.chains import FAMILIES, Maker, host_key, hosts_spec
from ocicat.dataplane.ruleset.flat.compiled import Compiled
from ocicat.dataplane.ruleset.flat.facts import Atom, says_family
from ocicat.dataplane.ruleset.flat.space import Members, literal
from ocicat.dataplane.ruleset.lists import (
    FLOW_LOGS,
    Built,
    Input,
    Part,
    Piece,
    Recipe,
    RunChain,
    inputs,
    marks,
    policies_of,
    sections_of,
    tier_end,
)
from ocicat.dataplane.ruleset.objects import Chain, SetSpec
from ocicat.dataplane.ruleset.ruled import Ruled
from ocicat.dataplane.ruleset.rules import trouble
from ocicat.errors import Bug
from ocicat.model.net import Addr
from ocicat.model.wanted import AddressSet
from ocicat.netlink.nftset import Element, goto

SetMembers = Callable[[str, int], Members]
"""Of the set of that id, in that family, as they are now."""

Use = Callable[[Recipe], None]


@dataclass(slots=True)
class _Run:
    """`uses`: how many ways lead into each block. `maps`: those of single addresses, by family."""

    maps: dict[int, SetSpec]
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
        found, name = self._found(rules, recipe, end), recipe.name
        before = self._runs.get(recipe)
        now = _Run({family: hosts_spec(name, family) for family in FAMILIES}, found, _uses(found.values()))
        self._runs[recipe] = now
        self._replace(before, now)
        hosts = {family: spec.name for family, spec in now.maps.items() if found[family].atoms}
        part, uses = self._maker.way_in(found, recipe.way.direction, hosts, f"tier {recipe.tier.name}")
        chain = Chain(name, part.rules, f"{recipe.way.direction} of tier {recipe.tier.name}, looked up")
        deciders = (each.decider for each in rules if any(each.facts(family) for family in FAMILIES))
        reads: frozenset[Input] = frozenset([FLOW_LOGS, *marks(recipe.way), *inputs(rules), *policies_of(recipe.tier)])
        problems = (told for each in rules if not each.rule.problem for told in each.problem(trouble(each.rule)))
        return Built(chain, uses, part.sets, (*deciders, *end.deciders), reads, tuple(problems))

    def gone(self, recipe: RunChain) -> None:
        run = self._runs.pop(recipe)
        for spec in run.maps.values():
            self._ledger.unwant_set(spec.name)
        for piece in run.uses:
            self._release(piece)

    def moved(self, recipe: RunChain, message: AddressSet) -> None:
        """TooMuch: it must be built anew."""
        run = self._runs[recipe]
        for family, compiled in run.found.items():
            added, removed = _values(message.added, family), _values(message.removed, family)
            for host, (before, now) in compiled.moved(message.set_id, added, removed).items():
                self._element(run.maps[family], family, host, now)
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

    def _found(self, rules: Sequence[Ruled], recipe: RunChain, end: Part) -> dict[int, Compiled[Piece]]:
        """By family; one for both where rules do not tell them apart. A block may come back only where that never is an answer:
        neither of a rule, nor at the end, where shut-out rules would be asked after all."""
        ends = any(each.action == "Deny" for each in end.deciders)
        returns = ends and all(each.decider.action != "Pass" for each in rules)
        four = self._compiled(rules, recipe, 4, end, returns=returns)
        if not any(says_family(each.rule) for each in rules):
            return {4: four, 6: four}
        return {4: four, 6: self._compiled(rules, recipe, 6, end, returns=returns)}

    def _compiled(
        self, rules: Iterable[Ruled], recipe: RunChain, family: int, end: Part, *, returns: bool
    ) -> Compiled[Piece]:
        by_number = {each.number: each for each in rules}
        known = [(number, facts) for number, each in by_number.items() if (facts := each.facts(family)) is not None]
        make = self._maker.of(by_number, recipe.way.direction, family, end, f"tier {recipe.tier.name}")
        return Compiled(known, family, lambda atom: self._members_of(atom, family), make, returns=returns)

    def _members_of(self, atom: Atom, family: int) -> Members:
        return literal(atom) if isinstance(atom, tuple) else self._members(atom, family)

    def _replace(self, before: _Run | None, now: _Run) -> None:
        """In this order, so that what stays is never let go."""
        for piece in now.uses:
            self._acquire(piece)
        for family, spec in now.maps.items():
            self._replace_hosts(spec, family, before.found[family] if before else None, now.found[family])
        for piece in before.uses if before else ():
            self._release(piece)

    def _replace_hosts(self, spec: SetSpec, family: int, before: Compiled[Piece] | None, now: Compiled[Piece]) -> None:
        if not now.atoms:
            self._ledger.unwant_set(spec.name)
            return
        self._ledger.want_set(spec)
        were = before.hosts if before and before.atoms else {}
        for host in were.keys() - now.hosts.keys():
            self._element(spec, family, host, None)
        for host, piece in now.hosts.items():
            if were.get(host) is not piece:
                self._element(spec, family, host, piece)

    def _element(self, spec: SetSpec, family: int, host: int, piece: Piece | None) -> None:
        if piece is None:
            self._ledger.unwant_element(spec.name, host_key(host, family))
        else:
            self._ledger.want_element(spec.name, Element(host_key(host, family), goto(piece.name)))

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
