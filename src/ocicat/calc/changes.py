"""What was sent and what should be now: two trackers whose difference is the next batch.

Invariants: 1. what was added and removed since the last `take` leaves no trace; 2. nothing is given twice, and nothing that equals
what was sent; 3. after `take`, sent is what is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import AddressSet, AddressSetGone

K = TypeVar("K", str, Cidr)
V = TypeVar("V")


class ObjectChanges(Generic[K, V]):
    """Whole objects by id. Keeps the sent ones: for what a single host has, not for what the cluster has."""

    __slots__ = ("_pending", "_sent")

    def __init__(self) -> None:
        self._sent: dict[K, V] = {}
        self._pending: dict[K, V | None] = {}

    def want(self, object_id: K, value: V | None) -> None:
        """From now on `value` is wanted under this id; None: nothing is."""
        if value == self._sent.get(object_id):
            self._pending.pop(object_id, None)
        else:
            self._pending[object_id] = value

    def take(self) -> tuple[list[V], list[K]]:
        """(new and changed objects, ids of those that are gone), each in the order of ids."""
        changed: list[V] = []
        gone: list[K] = []
        for object_id, value in sorted(self._pending.items(), key=lambda item: item[0]):
            if value is None:
                del self._sent[object_id]
                gone.append(object_id)
            else:
                self._sent[object_id] = value
                changed.append(value)
        self._pending.clear()
        return changed, gone


@dataclass(slots=True)
class _Delta:
    """The members that differ from what was sent, and whether the set itself is wanted."""

    wanted: bool
    added: set[Addr] = field(default_factory=set)
    removed: set[Addr] = field(default_factory=set)


class SetChanges:
    """Address sets, member by member: the members that were sent are not kept, because there may be a hundred thousand.

    That is enough as long as the sender is exact: adds only what is not in the set, removes only what is, and removes every member
    before it closes the set. A set that is closed and opened again between two takes then comes out as the plain difference.
    """

    __slots__ = ("_pending", "_sent")

    def __init__(self) -> None:
        self._sent: set[str] = set()
        self._pending: dict[str, _Delta] = {}

    def open(self, set_id: str) -> None:
        self._delta(set_id).wanted = True

    def close(self, set_id: str) -> None:
        self._delta(set_id).wanted = False

    def add(self, set_id: str, address: Addr) -> None:
        delta = self._delta(set_id)
        if address in delta.removed:
            delta.removed.remove(address)
        else:
            delta.added.add(address)

    def remove(self, set_id: str, address: Addr) -> None:
        delta = self._delta(set_id)
        if address in delta.added:
            delta.added.remove(address)
        else:
            delta.removed.add(address)

    def take(self) -> tuple[list[AddressSet], list[AddressSetGone]]:
        changed: list[AddressSet] = []
        gone: list[AddressSetGone] = []
        for set_id, delta in sorted(self._pending.items(), key=lambda item: item[0]):
            if not delta.wanted:
                if set_id in self._sent:
                    gone.append(AddressSetGone(set_id))
            elif delta.added or delta.removed or set_id not in self._sent:
                changed.append(AddressSet(set_id, frozenset(delta.added), frozenset(delta.removed)))
        self._sent.update(message.set_id for message in changed)
        self._sent.difference_update(message.set_id for message in gone)
        self._pending.clear()
        return changed, gone

    def _delta(self, set_id: str) -> _Delta:
        delta = self._pending.get(set_id)
        if delta is None:
            delta = self._pending[set_id] = _Delta(wanted=set_id in self._sent)
        return delta
