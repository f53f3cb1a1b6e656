"""What was sent and what should be now: two trackers whose difference is the next batch.

Invariants: 1. what was added and removed since the last `take` leaves no trace; 2. nothing is given twice, and nothing that equals
what was sent; 3. after `take`, sent is what is wanted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import HostPort

K = TypeVar("K", str, Cidr)
V = TypeVar("V")

Member = Addr | Cidr | HostPort
"""Of a set of addresses, or of one of ports."""


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
class SetDelta:
    """How a set differs from what was sent: is it wanted at all, and by which members; `of_ports`: those of a `PortSet`."""

    set_id: str
    wanted: bool
    of_ports: bool
    added: set[Member] = field(default_factory=set)
    removed: set[Member] = field(default_factory=set)


class SetChanges:
    """Sets, member by member: the members that were sent are not kept, because there may be a hundred thousand.

    That is enough as long as the sender is exact: adds only what is not in the set, removes only what is, and names every member
    when it closes the set. A set that is closed and opened again between two takes then comes out as the plain difference.
    """

    __slots__ = ("_pending", "_sent")

    def __init__(self) -> None:
        self._sent: dict[str, bool] = {}  # set -> is it one of ports
        self._pending: dict[str, SetDelta] = {}

    def open(self, set_id: str, members: Collection[Member] = (), *, of_ports: bool = False) -> None:
        """With these members."""
        delta = self._delta(set_id)
        delta.wanted, delta.of_ports = True, of_ports
        delta.added.update(set(members).difference(delta.removed))
        delta.removed.difference_update(members)

    def close(self, set_id: str, members: Collection[Member] = ()) -> None:
        """`members`: all that are in it."""
        delta = self._delta(set_id)
        delta.wanted = False
        delta.removed.update(set(members).difference(delta.added))
        delta.added.difference_update(members)

    def add(self, set_id: str, member: Member) -> None:
        delta = self._delta(set_id)
        if member in delta.removed:
            delta.removed.remove(member)
        else:
            delta.added.add(member)

    def remove(self, set_id: str, member: Member) -> None:
        delta = self._delta(set_id)
        if member in delta.added:
            delta.added.remove(member)
        else:
            delta.removed.add(member)

    def take(self) -> tuple[list[SetDelta], list[SetDelta]]:
        """(new and changed sets, those that are gone), each in the order of ids."""
        changed: list[SetDelta] = []
        gone: list[SetDelta] = []
        for set_id, delta in sorted(self._pending.items(), key=lambda item: item[0]):
            if not delta.wanted:
                if self._sent.pop(set_id, None) is not None:
                    gone.append(delta)
            elif delta.added or delta.removed or set_id not in self._sent:
                self._sent[set_id] = delta.of_ports
                changed.append(delta)
        self._pending.clear()
        return changed, gone

    def _delta(self, set_id: str) -> SetDelta:
        delta = self._pending.get(set_id)
        if delta is None:
            sent = self._sent.get(set_id)
            delta = self._pending[set_id] = SetDelta(set_id, wanted=sent is not None, of_ports=bool(sent))
        return delta
