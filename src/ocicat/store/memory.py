"""The reference back end: what the protocol means, in the fewest lines. For tests and for trying things; gone with the process.

1. Nothing here suspends but a watch that waits, so every call is atomic by itself.
2. History is kept until `compact` is called.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence

from ocicat.errors import Unavailable
from ocicat.store.base import Compare, Event, Events, KeyValue, Operation, Put, Snapshot, Status
from ocicat.store.checks import (
    check_commit,
    check_compaction,
    check_compare,
    check_kept,
    check_key,
    check_prefix,
)
from ocicat.store.head import Head

URL = "memory://"


class MemoryStore:
    """A `Datastore` in a dictionary and a list."""

    def __init__(self) -> None:
        self._items: dict[str, KeyValue] = {}
        self._log: list[Event] = []
        self._head = Head()
        self._compacted = 0
        self._open = True

    async def get(self, key: str) -> KeyValue | None:
        self._check_open()
        check_key(key)
        return self._items.get(key)

    async def range(self, prefix: str) -> Snapshot:
        self._check_open()
        check_prefix(prefix)
        keys = sorted(key for key in self._items if key.startswith(prefix))
        return Snapshot(self._head.revision, tuple(self._items[key] for key in keys))

    async def commit(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> int:
        self._check_open()
        check_commit(compares, operations)
        for compare in compares:
            item = self._items.get(compare.key)
            check_compare(compare, item.modified if item else 0)
        revision = self._head.revision + 1
        events = [event for event in (self._apply(one, revision) for one in operations) if event]
        if events:
            self._log.extend(events)
            self._head.advance(revision)
        return self._head.revision

    async def watch(self, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
        check_prefix(prefix)
        at = max(revision, 1)
        while True:
            self._check_open()
            await self._head.reach(at)
            check_kept(at, self._compacted)
            start = bisect_left(self._log, at, key=_revision)
            events = tuple(event for event in self._log[start:] if event.key.startswith(prefix))
            at = self._head.revision + 1
            if events:
                yield Events(at - 1, events)

    async def compact(self, revision: int) -> None:
        self._check_open()
        check_compaction(revision, self._head.revision)
        self._compacted = max(revision, self._compacted)
        del self._log[: bisect_left(self._log, self._compacted + 1, key=_revision)]

    async def status(self) -> Status:
        self._check_open()
        size = sum(len(item.key.encode()) + len(item.value) for item in self._items.values())
        return Status(URL, self._head.revision, self._compacted, len(self._items), size)

    async def close(self) -> None:
        self._open = False
        self._head.fail(_closed())

    def _apply(self, operation: Operation, revision: int) -> Event | None:
        if isinstance(operation, Put):
            before = self._items.get(operation.key)
            created = before.created if before else revision
            self._items[operation.key] = KeyValue(operation.key, operation.value, created, revision)
            return Event(operation.key, operation.value, revision)
        return Event(operation.key, None, revision) if self._items.pop(operation.key, None) else None

    def _check_open(self) -> None:
        if not self._open:
            raise _closed()


def _closed() -> Unavailable:
    return Unavailable(f"store {URL}: is closed")


def _revision(event: Event) -> int:
    return event.revision
