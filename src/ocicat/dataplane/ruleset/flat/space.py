"""The peers that there are, told apart by the answers to what the rules ask of their addresses. Of one family.

Single addresses are told apart one by one, all others by the stretches in which the same nets lie.

Invariant: `key` is the atoms that hold for an address, whatever way the members came. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ocicat.dataplane.ruleset.flat.facts import Atom
from ocicat.model.net import WIDTH, Cidr

Key = frozenset[Atom]
NOTHING: Key = frozenset()


@dataclass(frozen=True, slots=True)
class Members:
    """Of an atom: values of addresses, and nets shorter than an address, of one family."""

    hosts: Iterable[int] = ()
    nets: Iterable[Cidr] = ()


def literal(nets: Iterable[Cidr]) -> Members:
    """Of an atom that is nets of one family."""
    given = [*nets]
    hosts = [net.network for net in given if net.length == WIDTH[net.family]]
    return Members(hosts, [net for net in given if net.length < WIDTH[net.family]])


@dataclass(slots=True)
class Space:
    """`hosts`: what holds for single addresses, but for what their nets say. `starts` and `keys`: stretches, from each start to
    before the next one, and what holds in all of each."""

    hosts: dict[int, Key] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    @classmethod
    def of(cls, members: Mapping[Atom, Members]) -> Space:
        space = cls()
        for atom, part in members.items():
            space.add(atom, part.hosts)
        space._find_stretches((atom, net) for atom, part in members.items() for net in part.nets)
        return space

    def add(self, atom: Atom, hosts: Iterable[int]) -> None:
        alone = frozenset((atom,))
        for host in hosts:
            before = self.hosts.get(host)
            self.hosts[host] = alone if before is None else before | alone

    def remove(self, atom: Atom, hosts: Iterable[int]) -> None:
        for host in hosts:
            left = self.hosts.get(host, NOTHING) - {atom}
            if left:
                self.hosts[host] = left
            else:
                self.hosts.pop(host, None)

    def key(self, address: int) -> Key:
        host = self.hosts.get(address, NOTHING)
        place = bisect_right(self.starts, address)
        return host | self.keys[place - 1] if place else host

    def stretches(self, end: int) -> Iterator[tuple[int, int, Key]]:
        """Where some net is: first and last address, and what holds there. `end`: of the whole space, not in it."""
        ends = [*self.starts[1:], end]
        for start, following, key in zip(self.starts, ends, self.keys, strict=False):
            if key:
                yield start, following - 1, key

    def _find_stretches(self, nets: Iterable[tuple[Atom, Cidr]]) -> None:
        """Nets of one atom may lie in each other: they are counted."""
        events: dict[int, list[tuple[int, Atom]]] = {}
        for atom, net in nets:
            events.setdefault(net.network, []).append((1, atom))
            events.setdefault(net.network + net.size, []).append((-1, atom))
        counts: dict[Atom, int] = {}
        for point in sorted(events):
            for change, atom in events[point]:
                counts[atom] = counts.get(atom, 0) + change
                if not counts[atom]:
                    del counts[atom]
            self.starts.append(point)
            self.keys.append(frozenset(counts))
