"""A list of rules, and the peers that there are, as blocks and the ways into them. Of one family.

Tried in this order, until the blocks have not many more lines than there are rules: peers told apart, and the first rule that
matches named; peers told apart, and only the verdict exact; ports looked up, peers not; no lookup at all.

Invariants: 1. What a peer finds decides as the first rule that matches, whatever members came and went since. 2. A peer that moves
costs as much as the rules that speak of it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic

from ocicat.dataplane.ruleset.flat.blocks import Block, End, Line, P, TooMuch
from ocicat.dataplane.ruleset.flat.facts import Atom, Facts
from ocicat.dataplane.ruleset.flat.peers import Classes, told_apart
from ocicat.dataplane.ruleset.flat.space import Members, Space
from ocicat.model.net import WIDTH

Rules = Sequence[tuple[int, Facts]]
"""In order, each with its name."""

MembersOf = Callable[[Atom], Members]
Make = Callable[[Block[P]], P]


class Compiled(Generic[P]):
    """`hosts`: the blocks for single peers, by the value of their address. `stretches`: for those between a first and a last
    address, both included, that are not among them. `otherwise`: for all others, and with `returns` (see `Classes`) also for those
    that come back."""

    def __init__(
        self, rules: Rules, family: int, members_of: MembersOf, make: Make[P], *, returns: bool = False
    ) -> None:
        self.returns = returns
        self._end = 1 << WIDTH[family]
        asked = dict.fromkeys(atom for _, each in rules for atom in (*each.needs, *each.bars))
        members = {atom: members_of(atom) for atom in asked}
        for known, loose in _attempts(rules, members):
            try:
                self._find({atom: members[atom] for atom in asked if atom in known}, rules, make, loose=loose)
            except TooMuch:
                continue
            return
        self.atoms: frozenset[Atom] = frozenset()
        self.hosts: dict[int, P] = {}
        self.stretches: list[tuple[int, int, P]] = []
        self.otherwise = make((*(Line(name, each.asks) for name, each in rules), End()))

    def _find(self, members: Mapping[Atom, Members], rules: Rules, make: Make[P], *, loose: bool) -> None:
        self.atoms = frozenset(members)
        self._space = space = Space.of(members)
        count = len({*space.hosts.values(), *space.keys})
        self._classes = classes = Classes(rules, self.atoms, make, classes=count, loose=loose, returns=self.returns)
        self.otherwise = classes.open_block()
        self.stretches = [(first, last, classes.block(key)) for first, last, key in space.stretches(self._end)]
        self.hosts = {host: classes.block(space.key(host)) for host in space.hosts}

    def moved(self, atom: Atom, added: Iterable[int], removed: Iterable[int]) -> dict[int, tuple[P | None, P | None]]:
        """Addresses have come into a set, or left it: what those found that find something else now, and what they find; None:
        nothing of their own. TooMuch: the list must be compiled anew."""
        if atom not in self.atoms:
            return {}
        gone, come = {*removed}, {*added}
        self._space.remove(atom, gone)
        self._space.add(atom, come)
        changes = {host: (self.hosts.get(host), self._block(host)) for host in gone | come}
        for host, (_, now) in changes.items():
            if now is None:
                self.hosts.pop(host, None)
            else:
                self.hosts[host] = now
        return {host: (before, now) for host, (before, now) in changes.items() if before != now}

    def _block(self, host: int) -> P | None:
        return self._classes.block(self._space.key(host)) if host in self._space.hosts else None


def _attempts(rules: Rules, members: Mapping[Atom, Members]) -> Iterator[tuple[frozenset[Atom], bool]]:
    """What peers are told apart by, and whether only the verdict need be exact."""
    space = Space.of(members)
    known = told_apart([each for _, each in rules], {*space.hosts.values(), *space.keys})
    if known:
        yield known, False
        yield known, True
    yield frozenset(), False
