"""A list of rules as blocks: within each, the lines that are left when protocol and port have been looked up.

A block is a sequence of steps. One that looks something up and finds it goes on in the block found, for good. So a block found for
a port has all rules that can match there, in order; of those without ports, which match everywhere, only those that come before
others with ports, and then the block of all of them.

Invariants: 1. Of the rules of the list that match a packet, the first is the first that it meets. 2. Nothing stands after a rule
that surely matches. 3. Equal blocks are made once. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from ocicat.dataplane.ruleset.flat.facts import PORTS, Facts
from ocicat.dataplane.ruleset.rules import Range
from ocicat.model.base import Struct

P = TypeVar("P")
"""A block that was made, by the word of whoever makes them."""

SHORT = 8
"""Lists up to this length are not worth a lookup."""


class TooMuch(Exception):
    """The blocks would have many more lines than there are rules."""


class Line(Struct, frozen=True):
    """A rule (its name), and what it still asks."""

    rule: int
    asks: int


class ByProtocol(Struct, Generic[P], frozen=True):
    """In order, by protocol number."""

    table: tuple[tuple[int, P], ...]


class ByPort(Struct, Generic[P], frozen=True):
    """By destination port, of packets of that protocol: first and last port, in order."""

    protocol: int
    table: tuple[tuple[int, int, P], ...]


class Goto(Struct, Generic[P], frozen=True):
    block: P


class Jump(Struct, Generic[P], frozen=True):
    """Comes back if that block does not decide."""

    block: P


class Back(Struct, frozen=True):
    """To whoever looked this block up."""


class End(Struct, frozen=True):
    """No rule decides."""


Last = Goto[P] | Back | End
Step = Line | ByProtocol[P] | ByPort[P] | Jump[P] | Last[P]
Block = tuple[Step[P], ...]


@dataclass(slots=True, eq=False)
class Entry:
    """A rule in a list. `place`: its place in the order of all."""

    place: int
    rule: int
    facts: Facts
    asks: int

    @property
    def is_sure(self) -> bool:
        return not self.asks and not self.facts.more

    @property
    def line(self) -> Line:
        return Line(self.rule, self.asks)

    def knowing_ports(self) -> Entry:
        return Entry(self.place, self.rule, self.facts, self.asks & ~PORTS) if self.asks & PORTS else self


class Blocks(Generic[P]):
    """`make` makes a block that may go to others made before. `room`: how many lines there may be. TooMuch."""

    def __init__(self, make: Callable[[Block[P]], P], room: int) -> None:
        self._make = make
        self._room = room
        self._made: dict[Block[P], P] = {}

    def of(self, entries: Iterable[Entry], last: Last[P]) -> P:
        """`entries` in order, and what comes after them."""
        return self.block(self._steps(until_sure(entries), last))

    def block(self, steps: Block[P]) -> P:
        made = self._made.get(steps)
        if made is None:
            self._room -= sum(map(_size, steps))
            if self._room < 0:
                raise TooMuch
            made = self._made[steps] = self._make(steps)
        return made

    def _steps(self, entries: Sequence[Entry], last: Last[P]) -> Block[P]:
        asked = (each.facts.protocol for each in entries if each.asks & PORTS)
        protocols = sorted({each for each in asked if each is not None})
        if len(entries) <= SHORT or not protocols:
            return self._lines(entries, last)
        table = tuple((number, self._of_protocol(number, entries, last)) for number in protocols)
        return (ByProtocol(table), *self._lines([each for each in entries if each.facts.protocol is None], last))

    def _lines(self, entries: Sequence[Entry], last: Last[P]) -> Block[P]:
        lines = tuple(each.line for each in entries)
        if entries and entries[-1].is_sure:
            return lines
        return (*lines, last)

    def _of_protocol(self, protocol: int, entries: Iterable[Entry], last: Last[P]) -> P:
        known = until_sure(_of_protocol(protocol, entries))
        with_ports = [each for each in known if each.facts.ports is not None]
        if len(known) <= SHORT or not with_ports:
            return self.block(self._lines(known, last))
        everywhere = [each for each in known if each.facts.ports is None]
        after = Goto(self.of(everywhere, last)) if everywhere else last
        table = self._by_port(with_ports, everywhere, after)
        return self.block((ByPort(protocol, table), after))

    def _by_port(
        self, with_ports: Sequence[Entry], everywhere: Sequence[Entry], after: Last[P]
    ) -> tuple[tuple[int, int, P], ...]:
        found: list[tuple[int, int, P]] = []
        for first, last, active in sweep((each.facts.ports or (), each) for each in with_ports):
            block = self.block(self._lines(_merged(active, everywhere), after))
            joins = found and found[-1][1:] == (first - 1, block)
            found.append((found.pop()[0] if joins else first, last, block))
        return tuple(found)


def until_sure(entries: Iterable[Entry]) -> list[Entry]:
    """Those that a packet can come to."""
    found = []
    for each in entries:
        found.append(each)
        if each.is_sure:
            break
    return found


def sweep(ranges: Iterable[tuple[Iterable[Range], Entry]]) -> Iterator[tuple[int, int, list[Entry]]]:
    """The stretches in which the same entries hold, at least one: first, last, and these in order. The list is only lent."""
    events: dict[int, list[tuple[bool, Entry]]] = {}
    for parts, entry in ranges:
        for first, last in parts:
            events.setdefault(first, []).append((True, entry))
            events.setdefault(last + 1, []).append((False, entry))
    active: list[Entry] = []
    points = sorted(events)
    for point, following in pairwise((*points, 0)):
        for begins, entry in sorted(events[point], key=lambda event: event[0]):
            if begins:
                insort(active, entry, key=place_of)
            else:
                del active[bisect_left(active, entry.place, key=place_of)]
        if active:
            yield point, following - 1, active


def _of_protocol(protocol: int, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Those that can match it. What they asked of the protocol, or of ports in a protocol without, is known then."""
    for each in entries:
        facts = each.facts
        if facts.protocol in (None, protocol) and facts.not_protocol != protocol:
            yield each if facts.ports is not None else each.knowing_ports()


def _merged(active: Iterable[Entry], everywhere: Sequence[Entry]) -> list[Entry]:
    """Those of a port, and the others before the last of them."""
    known = until_sure(each.knowing_ports() for each in active)
    before = bisect_left(everywhere, known[-1].place, key=place_of)
    return until_sure(sorted([*known, *everywhere[:before]], key=place_of))


def place_of(entry: Entry) -> int:
    return entry.place


def _size(step: Step[P]) -> int:
    return len(step.table) if isinstance(step, ByProtocol | ByPort) else 1
