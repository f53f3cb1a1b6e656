"""The records there are, by name; given by owners, each of whom may change his own at any time. PURE, no I/O.

1. What is found depends on what the owners have now, not on the order in which it came.
2. A name exists while there is a record at it or below it (RFC 8020), for whom one is visible. To change one owner's records
   costs as much as he has.
3. Records that several owners have alike are found once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from ocicat.dns.wire import suffixes
from ocicat.model.base import Struct
from ocicat.model.net import Addr

T = TypeVar("T")


EVERYBODY, CLUSTER = "", "*"


class Goal(Struct, frozen=True):
    """Where a record leads: addresses, and of a service the protocol's number and the port; 0 and 0 are any."""

    addresses: tuple[Addr, ...]
    protocol: int = 0
    port: int = 0


class Entry(Struct, frozen=True):
    """One record. `name` is of lower case; `data` as the wire has it.

    Without a `goal` it leads to no task or host, so policy has nothing to say. `audience`: whom it is meant for: EVERYBODY, the
    CLUSTER, or the tasks of the framework with this id.
    """

    name: bytes
    type: int
    data: bytes
    goal: Goal | None = None
    audience: str = EVERYBODY


class TooLong(Exception):
    """Raised by a `Visible` that has taken all the time that one question may take."""


Visible = Callable[[Entry], bool]
_Held = dict[tuple[str, Entry], None]  # in the order in which they came; a dictionary to find one at once


def everything(_entry: Entry) -> bool:
    return True


@dataclass(slots=True)
class Zone:
    _owned: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    _at: dict[bytes, dict[int, _Held]] = field(default_factory=dict)  # name -> type
    _below: dict[bytes, dict[bytes, None]] = field(default_factory=dict)  # of a name those with one label more

    def set(self, owner: str, entries: Iterable[Entry]) -> bool:
        """These and no others. Whether that changed anything."""
        wanted = tuple(dict.fromkeys(entries))
        had = self._owned.get(owner, ())
        if wanted == had:
            return False
        for entry in had:
            self._remove(owner, entry)
        for entry in wanted:
            self._add(owner, entry)
        self._owned[owner] = wanted
        if not wanted:
            del self._owned[owner]
        return True

    def owners(self) -> tuple[str, ...]:
        return tuple(self._owned)

    def owned(self, owner: str) -> tuple[Entry, ...]:
        return self._owned.get(owner, ())

    def __iter__(self) -> Iterator[Entry]:
        """All, once each."""
        return iter(dict.fromkeys(entry for entries in self._owned.values() for entry in entries))

    def exists(self, name: bytes, visible: Visible = everything) -> bool:
        """Ends at the first record that can be seen; otherwise it looks at all that there are at it and below."""
        return bool(self.types(name, visible)) or any(self.exists(one, visible) for one in self._below.get(name, ()))

    def has_own(self, name: bytes) -> bool:
        """Is there a record at it, not only below it?"""
        return name in self._at

    def find(self, name: bytes, type_: int, visible: Visible = everything) -> list[Entry]:
        held = self._at.get(name, {}).get(type_, {})
        return _once(entry for _, entry in held if visible(entry))

    def types(self, name: bytes, visible: Visible = everything) -> list[int]:
        """Of which something can be found there."""
        return [kind for kind, held in self._at.get(name, {}).items() if any(visible(entry) for _, entry in held)]

    def find_common(self, names: Iterable[bytes], type_: int, visible: Visible = everything) -> list[Entry]:
        """What those have at the first of the names who have something of the type at each of them."""
        held = [self._at.get(name, {}).get(type_, {}) for name in names]
        owners = set.intersection(*({owner for owner, _ in one} for one in held))
        return _once(entry for owner, entry in held[0] if owner in owners and visible(entry))

    def _add(self, owner: str, entry: Entry) -> None:
        self._at.setdefault(entry.name, {}).setdefault(entry.type, {})[owner, entry] = None
        for name, above in pairwise(suffixes(entry.name)):
            below = self._below.setdefault(above, {})
            if name in below:
                return
            below[name] = None

    def _remove(self, owner: str, entry: Entry) -> None:
        types = self._at[entry.name]
        held = types[entry.type]
        del held[owner, entry]
        if not held:
            del types[entry.type]
        if not types:
            del self._at[entry.name]
        for name, above in pairwise(suffixes(entry.name)):
            if name in self._at or name in self._below:
                return
            del self._below[above][name]
            if not self._below[above]:
                del self._below[above]


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """Of those with equal data the first."""
    found: dict[bytes, Entry] = {}
    for entry in entries:
        found.setdefault(entry.data, entry)
    return list(found.values())
