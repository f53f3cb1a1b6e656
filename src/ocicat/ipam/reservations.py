"""Addresses that are given to nobody who does not name them: what the IPReservations of the datastore say. No I/O.

As in Calico: a reservation takes away nothing from whoever has an address already, and whoever asks for it by name may have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ocicat.errors import UserError
from ocicat.model.net import Cidr
from ocicat.model.v3.addressing import IPReservation

_NONE: frozenset[int] = frozenset()


@dataclass(slots=True)
class Reservations:
    _by_name: dict[str, tuple[Cidr, ...]] = field(default_factory=dict)
    _in_block: dict[Cidr, frozenset[int]] = field(default_factory=dict)  # what was asked for since the last change

    def set(self, name: str, resource: IPReservation | None) -> None:
        """UserError when a CIDR of it makes no sense: the others are reserved all the same."""
        cidrs: list[Cidr] = []
        faults: list[UserError] = []
        for text in resource.spec.reserved_cidrs if resource else ():
            try:
                cidrs.append(Cidr.parse(text))
            except UserError as fault:
                faults.append(fault)
        self._by_name.pop(name, None)
        if cidrs:
            self._by_name[name] = tuple(cidrs)
        self._in_block.clear()
        if faults:
            raise faults[0]

    def within(self, block: Cidr) -> frozenset[int]:
        """The ordinals of a block that are reserved."""
        if not self._by_name:
            return _NONE
        found = self._in_block.get(block)
        if found is None:
            found = self._in_block[block] = frozenset(self._ordinals(block))
        return found

    def cover(self, block: Cidr) -> bool:
        """Is every address of the block reserved? Remembers nothing: it is asked about many that are never claimed."""
        here = self._overlapping(block)
        return any(each.covers(block) for each in here) or len(set(self._ordinals(block))) == block.size

    def within_pool(self, pool: Cidr) -> list[Cidr]:
        """The prefixes that reserve something of it."""
        return self._overlapping(pool)

    def _overlapping(self, cidr: Cidr) -> list[Cidr]:
        return [each for cidrs in self._by_name.values() for each in cidrs if each.overlaps(cidr)]

    def _ordinals(self, block: Cidr) -> Iterator[int]:
        for cidr in self._overlapping(block):
            first = max(cidr.network, block.network) - block.network
            yield from range(first, first + min(cidr.size, block.size))
