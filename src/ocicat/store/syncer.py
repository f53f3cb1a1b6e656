"""A datastore as one stream of updates: a snapshot, then every change, for ever, whatever happens to the connection.

1. Having applied a batch with `in_sync` true, the consumer holds exactly what the store held at `revision`. A batch with
   `in_sync` false is part of a step: do not act on it before the rest has come.
2. When the watch is lost (compacted, store gone) the store is read anew, and only the difference is sent: nothing for values that
   were not modified, and deletes, last of all, for keys that vanished.
3. Of several changes of a key within one batch only the last is sent: consumers depend on state, not on history.
4. It remembers a revision for each key, never a value. It reads page by page, only as fast as the consumer takes.
5. All prefixes are served by one reading and one watch, at what they have in common, so that they are of the same moment.
"""

from __future__ import annotations

import asyncio
import logging
import os.path
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice

from ocicat.clock import Clock, SystemClock
from ocicat.errors import Unavailable
from ocicat.model.base import Struct
from ocicat.store.base import Datastore, Event, Events, Snapshot

PREFIXES = ("/calico/", "/ocicat/")
BATCH = 1000  # updates
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 10.0

_LOG = logging.getLogger(__name__)


class Update(Struct, frozen=True, gc=False):
    """The key's present value; None: deleted. `revision`: the commit that did it (a resync may know a later one only)."""

    key: str
    value: bytes | None
    revision: int


class Updates(Struct, frozen=True):
    revision: int
    updates: tuple[Update, ...]
    in_sync: bool


class SyncStatus(Struct, frozen=True):
    """`connected`: following the store; else reading it anew. `since`: seconds since the epoch when that began.

    `revision`: the last one seen, 0 before the first snapshot. `problem`: why it is not connected, where we know.
    """

    connected: bool
    since: float
    revision: int
    problem: str = ""


class Syncer:
    """For one consumer: iterate over `updates()`. It ends only by being closed, or by an error that waiting does not mend."""

    def __init__(
        self,
        store: Datastore,
        prefixes: Sequence[str] = PREFIXES,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._prefixes = tuple(prefixes)
        self._root = os.path.commonprefix(self._prefixes)  # noqa: RUF071 - keys are text: by character is what is meant
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._batch = batch
        self._known: dict[str, int] = {}  # key -> revision it was modified at, of all that was sent
        self._failures = 0  # in a row, without a change seen between
        self.status = SyncStatus(connected=False, since=self._clock.now(), revision=0)

    async def updates(self) -> AsyncGenerator[Updates, None]:
        """From nothing to the present, then on. Each call begins anew."""
        self._known = {}
        while True:
            try:
                async with aclosing(self._session()) as batches:
                    async for batch in batches:
                        yield batch
            except Unavailable as error:
                self._lose(error)
            await self._sleep(self._delay_s())

    async def _session(self) -> AsyncGenerator[Updates, None]:
        """The present state and the watch that goes on from it."""
        async with aclosing(self._present()) as batches:
            async for batch in batches:
                yield batch
        self._follow(batch.revision)
        del batch  # or its values would stay in memory as long as the watch does
        async with aclosing(self._store.watch(self._root, self.status.revision + 1)) as watch:
            async for events in watch:
                self._failures = 0
                changes = list(self._absorb(events))
                if changes:
                    for batch in self._batches(events.revision, changes):
                        yield batch
                self._follow(events.revision)

    async def _present(self) -> AsyncGenerator[Updates, None]:
        """What turns the state that was sent into the present one. Which keys vanished is known last."""
        vanished, rest = set(self._known), list[Update]()
        async with aclosing(self._store.pages(self._root)) as pages:
            async for page in pages:
                rest += self._newer(page, vanished)
                while len(rest) > self._batch:
                    yield Updates(page.revision, tuple(rest[: self._batch]), in_sync=False)
                    del rest[: self._batch]
                    await asyncio.sleep(0)  # reading is long: the loop, and with it the next page, gets its turn
        for key in vanished:
            del self._known[key]
        rest += (Update(key, None, page.revision) for key in sorted(vanished))
        for batch in self._batches(page.revision, rest):
            yield batch

    def _batches(self, revision: int, updates: Iterable[Update]) -> Iterator[Updates]:
        """In pieces of at most `batch`; the last one, which may be empty, says that this is all."""
        rest = iter(updates)
        while len(piece := tuple(islice(rest, self._batch))) == self._batch:
            yield Updates(revision, piece, in_sync=False)
        yield Updates(revision, piece, in_sync=True)

    def _newer(self, page: Snapshot, vanished: set[str]) -> Iterator[Update]:
        """What was not sent as it is. What is there at all is taken out of `vanished`."""
        same_history = page.revision >= self.status.revision  # or a store that went back: equal revisions mean nothing
        for item in page.items:
            if item.key.startswith(self._prefixes):
                vanished.discard(item.key)
                if not same_history or self._known.get(item.key) != item.modified:
                    self._known[item.key] = item.modified
                    yield Update(item.key, item.value, item.modified)

    def _absorb(self, events: Events) -> Iterator[Update]:
        """The last change of each key, without deletes of keys that were never sent."""
        last: dict[str, Event] = {event.key: event for event in events.events if event.key.startswith(self._prefixes)}
        for key, event in last.items():
            if event.value is not None:
                self._known[key] = event.revision
                yield Update(key, event.value, event.revision)
            elif self._known.pop(key, None) is not None:
                yield Update(key, None, event.revision)

    def _follow(self, revision: int) -> None:
        since = self.status.since if self.status.connected else self._clock.now()
        self.status = SyncStatus(connected=True, since=since, revision=revision)

    def _lose(self, error: Unavailable) -> None:
        _LOG.warning("syncer: reading the store anew: %s", error)
        self._failures += 1
        since = self._clock.now() if self.status.connected else self.status.since
        self.status = SyncStatus(connected=False, since=since, revision=self.status.revision, problem=str(error))

    def _delay_s(self) -> float:
        """Doubling, and spread by half: a thousand hosts that lost one store must not come back as one."""
        doublings = min(self._failures, 10)
        longest = min(_FIRST_DELAY_S * 2**doublings, _LONGEST_DELAY_S)
        return random.uniform(longest / 2, longest)
