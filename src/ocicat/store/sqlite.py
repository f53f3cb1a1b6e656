"""The embedded back end: one SQLite file, shared by all processes of one machine.

1. A revision is acknowledged when it is on the disk, and is lost by nothing short of losing the disk.
2. The event loop never waits for the disk: one thread writes, one reads (SQLite's readers wait for no writer), each with a
   connection of its own. A commit waits at most `busy_s` for another process, then is `Unavailable`.
3. Watches hear of own commits at once, of other processes' by the bell, and poll every `poll_s` in case the bell was lost.
4. History is bounded: every so often a commit forgets a few of the revisions beyond the last `history`. For a watch of this
   process that has still to see them, ten times as many are kept. One that is further behind gets `Compacted`.
5. Leases that expired are reaped by every process that has the file open, within `poll_s`; also when it is opened.
6. A file that is removed or replaced while open makes every call `Unavailable`: nothing is acknowledged into a file nobody sees.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ocicat.errors import Refused, Unavailable
from ocicat.store import sqlite_leases as leases
from ocicat.store import sqlite_sql as sql
from ocicat.store.base import Condition, Events, KeyValue, Lease, MemberStatus, Operation, Snapshot, Status
from ocicat.store.bell import listening, ring
from ocicat.store.boot import moment
from ocicat.store.checks import check_commit, check_key, check_prefix, check_ttl
from ocicat.store.head import Head
from ocicat.store.sqlite_file import size_bytes
from ocicat.store.sqlite_lane import Lane, closed

BUSY_S = 5.0
POLL_S = 1.0
HISTORY = 10_000  # revisions
_TRIM_EVERY = 256  # revisions; less than `sql.STEP`, so that trimming is faster than growing


class SqliteStore:
    """A `Datastore` in a file. Made by `open`, used in one event loop."""

    def __init__(self, path: Path, *, busy_s: float, poll_s: float, history: int) -> None:
        self._path = path
        self._poll_s = poll_s
        self._history = history
        self._writer = Lane(path, busy_s)
        self._reader = Lane(path, busy_s)
        self._head = Head()
        self._marks: dict[object, int] = {}  # of each live watch, the revision it has to see next
        self._listener: asyncio.Task[None] | None = None
        self._reaper: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: Path, *, create: bool = True, busy_s: float = BUSY_S, poll_s: float = POLL_S, history: int = HISTORY
    ) -> SqliteStore:
        """Makes the file when it is missing; without `create` that is NotFound.

        UserError when it is something else, Unavailable when it is held.
        """
        store = cls(path, busy_s=busy_s, poll_s=poll_s, history=history)
        try:
            await store._writer.open(create=create)
            await store._reader.open(create=False)
            store._head.advance(await store._reader.run(sql.revision))
            await store._reap()
            store._reaper = asyncio.get_running_loop().create_task(store._reap_for_ever(), name="reap expired leases")
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, key: str) -> KeyValue | None:
        check_key(key)
        return await self._reader.run(sql.get, key)

    async def range(self, prefix: str) -> Snapshot:
        check_prefix(prefix)
        return await self._reader.run(sql.under, prefix)

    async def pages(self, prefix: str) -> AsyncGenerator[Snapshot, None]:
        yield await self.range(prefix)

    async def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int:
        check_commit(conditions, operations)
        return await self._write(lambda db: sql.commit(db, conditions, operations, moment()))

    async def watch(self, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
        check_prefix(prefix)
        watch, at = object(), max(revision, 1)
        try:
            while True:
                self._marks[watch] = at
                self._listen()
                await self._head.reach(at)
                batch = await self._reader.run(sql.events, prefix, at)
                at = batch.revision + 1
                if batch.events:
                    yield batch
        finally:
            del self._marks[watch]

    async def compact(self, revision: int) -> None:
        while await self._writer.run(sql.compact, revision):
            pass

    async def grant(self, ttl_s: int) -> Lease:
        check_ttl(ttl_s)
        return await self._writer.run(lambda db: leases.grant(db, ttl_s, moment()))

    async def renew(self, lease: int) -> None:
        await self._writer.run(lambda db: leases.renew(db, lease, moment()))

    async def revoke(self, lease: int) -> None:
        await self._write(lambda db: leases.revoke(db, lease))

    async def status(self) -> Status:
        asked = time.monotonic()
        await self._reader.run(sql.revision)
        latency_ms = (time.monotonic() - asked) * 1000
        revision, compacted, keys = await self._reader.run(sql.totals)
        size = await self._reader.run(lambda _db: size_bytes(self._path))
        version = f"SQLite {sqlite3.sqlite_version}"
        itself = MemberStatus(str(self._path), "", version, is_leader=True, latency_ms=latency_ms, size_bytes=size)
        return Status(f"sqlite://{self._path}", revision, compacted, keys, size, (itself,))

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        for task in (self._listener, self._reaper):
            if task:
                task.cancel()
                await asyncio.wait({task})
        self._head.fail(closed(self._path))

    async def _write(self, work: Callable[[sqlite3.Connection], int]) -> int:
        """`work` gives the revision that the store is at afterwards."""
        revision = await self._writer.run(_and_ring, self._path, work)
        if revision % _TRIM_EVERY == 0:
            self._writer.post(sql.trim, self._history, min(self._marks.values(), default=None))
        self._head.advance(revision)
        return revision

    async def _reap_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._reap()

    async def _reap(self) -> None:
        """Where the file cannot be written now, the next time will do, or another process: a read must not fail for it."""
        with suppress(Unavailable, Refused):
            if await self._reader.run(lambda db: leases.is_due(db, moment())):
                await self._write(lambda db: leases.reap(db, moment()))

    def _listen(self) -> None:
        """From the first watch on, until the store is closed: to close an inotify descriptor takes the kernel 10 ms and more."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.get_running_loop().create_task(self._hear_others())

    async def _hear_others(self) -> None:
        """Follows the revision that other processes raise. Whatever ends it ends every watch, so that none waits in vain."""
        rung = asyncio.Event()
        with listening(self._path, rung.set):
            try:
                while True:
                    rung.clear()
                    self._head.advance(await self._reader.run(sql.revision))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await rung.wait()
            except Exception as error:
                self._head.fail(error)


def _and_ring(db: sqlite3.Connection, path: Path, work: Callable[[sqlite3.Connection], int]) -> int:
    revision = work(db)
    ring(path)
    return revision
