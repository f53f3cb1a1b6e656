"""The reference back end: what the protocol means, in the fewest lines. For tests and for trying things; gone with the process.

1. Nothing here suspends but a watch that waits, so every call is atomic by itself.
2. History is kept until `compact` is called.
3. A lease is a timer of the event loop that granted it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import count

from ocicat.errors import Unavailable
from ocicat.store.base import (
    Compare,
    Condition,
    Delete,
    Event,
    Events,
    KeyValue,
    Lease,
    MemberStatus,
    Operation,
    Put,
    Snapshot,
    Status,
)
from ocicat.store.checks import (
    check_commit,
    check_compaction,
    check_condition,
    check_kept,
    check_key,
    check_prefix,
    check_ttl,
    lease_gone,
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
        self._ids = count(1)
        self._leases: dict[int, tuple[Lease, asyncio.TimerHandle]] = {}
        self._open = True

    async def get(self, key: str) -> KeyValue | None:
        self._check_open()
        check_key(key)
        return self._items.get(key)

    async def range(self, prefix: str) -> Snapshot:
        self._check_open()
        check_prefix(prefix)
        return Snapshot(self._head.revision, tuple(self._under(prefix)))

    async def pages(self, prefix: str) -> AsyncGenerator[Snapshot, None]:
        yield await self.range(prefix)

    async def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int:
        self._check_open()
        check_commit(conditions, operations)
        for condition in conditions:
            check_condition(condition, self._look(condition))
        for operation in operations:
            if isinstance(operation, Put) and operation.lease:
                self._alive(operation.lease)
        return self._write(operations)

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

    async def grant(self, ttl_s: int) -> Lease:
        self._check_open()
        check_ttl(ttl_s)
        lease = Lease(next(self._ids), ttl_s)
        self._begin(lease)
        return lease

    async def renew(self, lease: int) -> None:
        self._check_open()
        held, timer = self._alive(lease)
        timer.cancel()
        self._begin(held)

    async def revoke(self, lease: int) -> None:
        self._check_open()
        if lease in self._leases:
            self._leases[lease][1].cancel()
            self._end(lease)

    async def status(self) -> Status:
        self._check_open()
        size = sum(len(item.key.encode()) + len(item.value) for item in self._items.values())
        members = (MemberStatus(URL, is_leader=True, size_bytes=size),)
        return Status(URL, self._head.revision, self._compacted, len(self._items), size, members)

    async def close(self) -> None:
        self._open = False
        for _, timer in self._leases.values():
            timer.cancel()
        self._head.fail(_closed())

    def _under(self, prefix: str) -> list[KeyValue]:
        return [self._items[key] for key in sorted(key for key in self._items if key.startswith(prefix))]

    def _look(self, condition: Condition) -> KeyValue | None:
        if isinstance(condition, Compare):
            return self._items.get(condition.key)
        newer = (item for item in self._under(condition.prefix) if item.modified > condition.revision)
        return next(newer, None)

    def _begin(self, lease: Lease) -> None:
        timer = asyncio.get_running_loop().call_later(lease.ttl_s, self._end, lease.id)
        self._leases[lease.id] = lease, timer

    def _alive(self, lease: int) -> tuple[Lease, asyncio.TimerHandle]:
        if lease not in self._leases:
            raise lease_gone(lease)
        return self._leases[lease]

    def _end(self, lease: int) -> None:
        del self._leases[lease]
        self._write([Delete(item.key) for item in self._under("") if item.lease == lease])

    def _write(self, operations: Iterable[Operation]) -> int:
        revision = self._head.revision + 1
        events = [event for event in (self._apply(one, revision) for one in operations) if event]
        if events:
            self._log.extend(events)
            self._head.advance(revision)
        return self._head.revision

    def _apply(self, operation: Operation, revision: int) -> Event | None:
        if isinstance(operation, Put):
            before = self._items.get(operation.key)
            created = before.created if before else revision
            self._items[operation.key] = KeyValue(operation.key, operation.value, created, revision, operation.lease)
            return Event(operation.key, operation.value, revision)
        return Event(operation.key, None, revision) if self._items.pop(operation.key, None) else None

    def _check_open(self) -> None:
        if not self._open:
            raise _closed()


def _closed() -> Unavailable:
    return Unavailable(f"store {URL}: is closed")


def _revision(event: Event) -> int:
    return event.revision
