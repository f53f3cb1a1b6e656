"""What is wanted against what is there, with the difference kept up to date at every change.

                 ┌─ wanted ──────────┐
                 │ updates: missing  │
                 │ or different ┌────┼─ there ───────┐
                 │              │same│    deletes    │
                 └──────────────┼────┘               │
                                └────────────────────┘
Invariants: 1. `updates` and `deletes` are always exactly the difference, at O(1) for each change. 2. A key is never in both.
3. Only a delete that was asked for (`unwant`) is in `released`; what was merely found is not, until it is swept. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Delta(Generic[K, V]):
    """Two mappings of K to V and their difference. Whoever changes the world says so with `now_there` and `now_gone`."""

    __slots__ = ("_deletes", "_released", "_there", "_updates", "_wanted")

    def __init__(self) -> None:
        self._wanted: dict[K, V] = {}
        self._there: dict[K, V] = {}
        self._updates: dict[K, None] = {}  # in the order in which they were asked for
        self._deletes: dict[K, None] = {}
        self._released: set[K] = set()

    def want(self, key: K, value: V) -> None:
        self._wanted[key] = value
        self._compare(key)

    def unwant(self, key: K) -> None:
        """No longer wanted, if it ever was; what is there under that key may be removed."""
        self._wanted.pop(key, None)
        if key in self._there:
            self._released.add(key)
        self._compare(key)

    def now_there(self, key: K, value: V) -> None:
        self._there[key] = value
        self._compare(key)

    def now_gone(self, key: K) -> None:
        self._there.pop(key, None)
        self._compare(key)

    def found(self, there: Mapping[K, V]) -> None:
        """All that is there, freshly read."""
        stale = self._there.keys() - there.keys()
        self._there = dict(there)
        for key in [*stale, *there, *self._wanted]:
            self._compare(key)

    def updates(self) -> dict[K, V]:
        """What to make or change, in the order asked for."""
        return {key: self._wanted[key] for key in self._updates}

    def deletes(self, *, sweep: bool) -> list[K]:
        """What to remove: with `sweep` everything unwanted, without it only what was asked to go."""
        return [key for key in self._deletes if sweep or key in self._released]

    def settled(self, key: K) -> bool:
        """Is `key` as it is wanted (which may be: absent)?"""
        return key not in self._updates and key not in self._deletes

    def wanted(self, key: K) -> V | None:
        return self._wanted.get(key)

    def there(self, key: K) -> V | None:
        return self._there.get(key)

    @property
    def pending(self) -> bool:
        return bool(self._updates or self._deletes)

    def all_wanted(self) -> Iterator[K]:
        return iter(self._wanted)

    def all_there(self) -> Iterator[K]:
        return iter(self._there)

    def _compare(self, key: K) -> None:
        wanted, there = self._wanted.get(key), self._there.get(key)
        if wanted is None or wanted == there:
            self._updates.pop(key, None)
        else:
            self._updates[key] = None
        if there is None or wanted is not None:
            self._deletes.pop(key, None)
            self._released.discard(key)
        else:
            self._deletes[key] = None
