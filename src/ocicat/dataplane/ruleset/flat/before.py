"""Which rules of a list must come before a given one: those that may match the same packet and stand before it.

Invariants: 1. None is missed; some may be found that never match the same packet. 2. The work grows with what is found, not with
the list. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice

from ocicat.dataplane.ruleset.flat.blocks import Entry, TooMuch, place_of, sweep


class Before:
    """Of `entries`, which are in order. `loose`: only those that decide otherwise. `room`: for those with ports. TooMuch."""

    def __init__(self, entries: Sequence[Entry], room: int, *, loose: bool) -> None:
        by_action: defaultdict[str, list[Entry]] = defaultdict(list)
        for each in entries:
            by_action[each.facts.action if loose else ""].append(each)
        self._lists = {action: _List(of_it, room) for action, of_it in by_action.items()}

    def all_of(self, entries: Iterable[Entry], limit: int) -> Collection[Entry] | None:
        """Those before `entries`, those before these, and so on; the last ones first, for they may bring all the others. None: they
        are more than `limit`."""
        found: dict[int, Entry] = {}
        if not self._lists:
            return found.values()
        known = {each.place: each for each in entries}
        waiting = [-place for place in known]
        heapify(waiting)
        left = dict(self._lists)
        while waiting:
            entry = known[-heappop(waiting)]
            for action in [action for action in left if action != entry.facts.action]:
                others = (each for each in left[action].before(entry) if each.place not in found)
                new = {each.place: each for each in islice(others, limit + 1)}
                found |= new
                known |= new
                for place in new:
                    heappush(waiting, -place)
                if entry.facts.protocol is None:
                    del left[action]  # all before it are found
            if len(found) > limit:
                return None
        return found.values()


class _List:
    def __init__(self, entries: Sequence[Entry], room: int) -> None:
        self._all = entries
        self._any_protocol = [each for each in entries if each.facts.protocol is None]
        by_protocol: defaultdict[int, list[Entry]] = defaultdict(list)
        for each in entries:
            if each.facts.protocol is not None:
                by_protocol[each.facts.protocol].append(each)
        self._by_protocol = {protocol: _OfProtocol(of_it, room) for protocol, of_it in by_protocol.items()}

    def before(self, entry: Entry) -> Iterator[Entry]:
        protocol = entry.facts.protocol
        if protocol is None:
            yield from _before(entry, self._all)
            return
        yield from _before(entry, self._any_protocol)
        if protocol in self._by_protocol:
            yield from self._by_protocol[protocol].before(entry)


class _OfProtocol:
    """`_stretches`: from each of `_starts`, those with ports there."""

    def __init__(self, entries: Sequence[Entry], room: int) -> None:
        self._all = entries
        self._without_ports = [each for each in entries if each.facts.ports is None]
        self._starts: list[int] = []
        self._stretches: list[tuple[int, list[Entry]]] = []
        for first, last, active in sweep((each.facts.ports or (), each) for each in entries):
            self._starts.append(first)
            self._stretches.append((last, [*active]))
            room -= len(active)
            if room < 0:
                raise TooMuch

    def before(self, entry: Entry) -> Iterator[Entry]:
        if entry.facts.ports is None:
            yield from _before(entry, self._all)
            return
        yield from _before(entry, self._without_ports)
        found = {each.place: each for first, last in entry.facts.ports for each in self._between(first, last)}
        yield from (each for place, each in found.items() if place < entry.place)

    def _between(self, first: int, last: int) -> Iterator[Entry]:
        begin = max(bisect_right(self._starts, first) - 1, 0)
        for end, active in self._stretches[begin : bisect_right(self._starts, last)]:
            if end >= first:
                yield from active


def _before(entry: Entry, entries: Sequence[Entry]) -> Sequence[Entry]:
    return entries[: bisect_left(entries, entry.place, key=place_of)]
