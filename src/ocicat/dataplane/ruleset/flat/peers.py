"""A list of rules as blocks for each class of peers: those with the same answers to what the rules ask of their address.

The rules that ask for peers which are in something (specific ones) stand in the blocks of the classes that are in it. The others
(open ones) are the same for everybody, or nearly: they are made once for all classes that the same of them shut out, and come after
the specific ones. Of those that come before a specific one in the order of rules, a class has a copy: at first of all that may
match the same packet, or, where they are many and blocks may be jumped to, of blocks with stretches of the open rules, which many
classes share. If that gets too much, only of those that would decide otherwise: then the verdict is still the one of the first rule
that matches, but a later one that says the same may be named as the one that decided.

Atoms that would cost too many copies are not told apart: rules ask them themselves.

Invariants: 1. A class's blocks decide as the first rule that matches. 2. Unless `loose` was needed, they also name it.
3. The work for a class grows with the rules that speak of it, not with all. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Generic

from ocicat.dataplane.ruleset.flat import blocks
from ocicat.dataplane.ruleset.flat.before import Before
from ocicat.dataplane.ruleset.flat.blocks import (
    Back,
    Block,
    Blocks,
    End,
    Entry,
    Goto,
    Jump,
    P,
    Step,
    TooMuch,
    place_of,
    until_sure,
)
from ocicat.dataplane.ruleset.flat.facts import PEER, Atom, Facts
from ocicat.dataplane.ruleset.flat.space import Key

_ROOM_EACH = 8
"""Lines for each rule and class that there are."""
_ROOM = 256


def told_apart(rules: Iterable[Facts], keys: Collection[Key]) -> frozenset[Atom]:
    """The atoms by which it is worth to tell peers apart; `keys`: of the classes that there would be, with all of them."""
    asking = Counter(atom for each in rules for atom in (*each.needs, *each.bars))
    copies = Counter(dict.fromkeys(asking, 0))
    for key in keys:
        copies.update({atom: asking[atom] for atom in key})
    room = _room(asking.total(), len(keys))
    total = copies.total()
    chosen = set(asking)
    for atom, count in copies.most_common():
        if total <= room:
            break
        total -= count
        chosen.discard(atom)
    return frozenset(chosen)


def _room(rules: int, classes: int) -> int:
    return _ROOM_EACH * (rules + classes) + _ROOM


class Classes(Generic[P]):
    """`rules` by name, in order. `atoms`: by which peers are told apart; `classes`: about how many there will be.

    `returns`: a block of a class may go back where it was looked up, and there the open block comes next. TooMuch.
    """

    def __init__(
        self,
        rules: Sequence[tuple[int, Facts]],
        atoms: frozenset[Atom],
        make: Callable[[Block[P]], P],
        *,
        classes: int,
        loose: bool,
        returns: bool,
    ) -> None:
        self._returns = returns
        self._atoms = atoms
        self._blocks: Blocks[P] = Blocks(make, _room(len(rules), classes))
        self._specific: defaultdict[Atom, list[Entry]] = defaultdict(list)
        self._barred: defaultdict[Atom, list[Entry]] = defaultdict(list)
        self._open: list[Entry] = []
        for place, (name, each) in enumerate(rules):
            self._sort_in(Entry(place, name, each, self._asks(each)))
        self._room, self._loose = _room(len(rules), classes), loose
        self._made: dict[Key, P] = {}
        self._stretches: dict[tuple[int, int], P] = {}
        self._made_open: dict[frozenset[int], P] = {}

    def block(self, key: Key) -> P:
        """For the peers for which exactly the atoms in `key` hold, of those that are told apart."""
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]

    @cached_property
    def _before(self) -> Before:
        return Before(self._open, self._room, loose=self._loose)

    def _asks(self, facts: Facts) -> int:
        """When all that it asks of the peer is told apart, it is known to hold for those to whom it is given."""
        known = self._atoms.issuperset(facts.needs) and self._atoms.issuperset(facts.bars)
        return facts.asks & ~PEER if known else facts.asks

    def _sort_in(self, entry: Entry) -> None:
        need = next((atom for atom in entry.facts.needs if atom in self._atoms), None)
        if need is not None:
            self._specific[need].append(entry)
            return
        self._open.append(entry)
        for atom in entry.facts.bars:
            if atom in self._atoms:
                self._barred[atom].append(entry)

    def _make(self, key: Key) -> P:
        shut_out = frozenset(each.place for atom in key for each in self._barred.get(atom, ()))
        candidates = (each for atom in key for each in self._specific.get(atom, ()))
        specific = until_sure(sorted((each for each in candidates if self._may_hold(each, key)), key=place_of))
        if not specific:
            return self.open_block(shut_out)
        shares = self._returns and not shut_out
        found = self._before.all_of(specific, blocks.SHORT if shares else self._room)
        if found is None:
            if not shares:
                raise TooMuch
            return self._sharing(specific)
        self._room -= len(found)
        before = (each for each in found if each.place not in shut_out)
        entries = until_sure(sorted([*specific, *before], key=place_of))
        return self._blocks.of(entries, Back() if shares or entries[-1].is_sure else Goto(self.open_block(shut_out)))

    def _sharing(self, specific: Iterable[Entry]) -> P:
        """Between the specific ones all open ones that stand there, in blocks that many classes share."""
        steps: list[Step[P]] = []
        done = 0
        for each in specific:
            place = bisect_left(self._open, each.place, key=place_of)
            steps += self._between(done, place)
            steps.append(each.line)
            done = place
        return self._blocks.block((*steps, *([] if each.is_sure else [Back()])))

    def _between(self, begin: int, end: int) -> Iterator[Step[P]]:
        """Stretches of the open rules whose length is a power of two, and which begin at a multiple of it; in lines what is left
        before the first and after the last."""
        least = 1 << blocks.SHORT.bit_length()
        first = min(-(-begin // least) * least, end)
        yield from (each.line for each in self._open[begin:first])
        while end - first >= least:
            length = 1 << (end - first).bit_length() - 1
            while first % length:
                length >>= 1
            yield Jump(self._stretch(first, first + length))
            first += length
        yield from (each.line for each in self._open[first:end])

    def _stretch(self, begin: int, end: int) -> P:
        key = (begin, end)
        if key not in self._stretches:
            self._stretches[key] = self._blocks.of(self._open[begin:end], Back())
        return self._stretches[key]

    def _may_hold(self, entry: Entry, key: Key) -> bool:
        needs, bars = entry.facts.needs, entry.facts.bars
        return key.isdisjoint(bars) and all(atom in key or atom not in self._atoms for atom in needs)

    def open_block(self, shut_out: frozenset[int] = frozenset()) -> P:
        """Of the open rules without those, by their places."""
        if shut_out not in self._made_open:
            left = (each for each in self._open if each.place not in shut_out)
            self._made_open[shut_out] = self._blocks.of(left, End())
        return self._made_open[shut_out]
