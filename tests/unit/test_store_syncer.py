"""The syncer: one stream of updates, whatever happens to the watch."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import aclosing

import pytest

from ocicat.clock import ManualClock
from ocicat.errors import Compacted, Refused, Unavailable
from ocicat.store.base import Delete, Put, Snapshot
from ocicat.store.memory import MemoryStore
from ocicat.store.syncer import Syncer, Update


class Flaky:
    """A memory store whose calls fail when told to, and whose watches can be cut."""

    def __init__(self):
        self.store = MemoryStore()
        self.failures = []  # errors of the next readings
        self.readings = []
        self.watches = []
        self.cut = asyncio.Event()
        self.error = Unavailable("store: gone")

    async def pages(self, prefix):
        """One key each."""
        self.readings.append(prefix)
        if self.failures:
            raise self.failures.pop(0)
        found = await self.store.range(prefix)
        for item in found.items:
            yield Snapshot(found.revision, (item,))
            if self.failures:
                raise self.failures.pop(0)
        yield Snapshot(found.revision, ())

    async def watch(self, prefix, revision):
        self.watches.append(prefix)
        async with aclosing(self.store.watch(prefix, revision)) as watch:
            while True:
                yield await self.next_or_cut(watch)

    async def next_or_cut(self, watch):
        next_one, cut = asyncio.ensure_future(anext(watch)), asyncio.ensure_future(self.cut.wait())
        await asyncio.wait([next_one, cut], return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if not next_one.done():
            next_one.cancel()
            await asyncio.wait([next_one])
            self.cut.clear()
            raise self.error
        return next_one.result()

    async def put(self, **values):
        """`a="1"` writes /calico/a."""
        return await self.store.commit([], [Put("/calico/" + key, value.encode()) for key, value in values.items()])

    async def delete(self, *names):
        return await self.store.commit([], [Delete("/calico/" + name) for name in names])


class Sleeps:
    """Time passes only here; the work of the test's other side is done meanwhile."""

    def __init__(self, clock, meanwhile=None):
        self.clock = clock
        self.seconds = []
        self.meanwhile = meanwhile

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        self.clock.advance(seconds)
        if self.meanwhile:
            await self.meanwhile()
        await asyncio.sleep(0)


def play(scenario, **options):
    async def bounded():
        async with asyncio.timeout(20):
            store, clock = Flaky(), ManualClock()
            sleeps = Sleeps(clock)
            syncer = Syncer(store, clock=clock, sleep=sleeps, **options)
            async with aclosing(syncer.updates()) as updates:
                await scenario(store, syncer, updates, sleeps)

    asyncio.run(bounded())


def flat(batch):
    return {update.key.removeprefix("/calico/"): update.value and update.value.decode() for update in batch.updates}


def test_an_empty_store_is_in_sync_at_once():
    async def scenario(store, syncer, updates, sleeps):
        batch = await anext(updates)
        assert (batch.revision, batch.updates, batch.in_sync) == (0, (), True)

    play(scenario)


def test_the_snapshot_comes_first_then_the_changes():
    async def scenario(store, syncer, updates, sleeps):
        first = await store.put(a="1", b="2")
        batch = await anext(updates)
        assert (batch.revision, batch.in_sync, flat(batch)) == (first, True, {"a": "1", "b": "2"})
        second = await store.put(a="3")
        assert (await anext(updates)).updates == (Update("/calico/a", b"3", second),)
        third = await store.delete("b")
        assert (await anext(updates)).updates == (Update("/calico/b", None, third),)

    play(scenario)


def test_a_snapshot_in_pieces_is_in_sync_with_the_last_one():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1", b="2", c="3", d="4")
        batches = [await anext(updates) for _ in range(3)]
        assert [(len(batch.updates), batch.in_sync) for batch in batches] == [(2, False), (2, False), (0, True)]
        assert {batch.revision for batch in batches} == {1}

    play(scenario, batch=2)


def test_a_commit_larger_than_a_batch_is_in_sync_with_its_last_piece():
    async def scenario(store, syncer, updates, sleeps):
        await anext(updates)
        await store.put(a="1", b="2", c="3")
        batches = [await anext(updates) for _ in range(2)]
        assert [(len(batch.updates), batch.in_sync) for batch in batches] == [(2, False), (1, True)]

    play(scenario, batch=2)


def test_of_several_changes_in_one_batch_the_last_is_sent():
    async def scenario(store, syncer, updates, sleeps):
        await anext(updates)
        await store.put(a="1", b="1")
        await store.put(a="2", c="1")
        await store.delete("c")
        await store.put(a="3")
        assert flat(await anext(updates)) == {"a": "3", "b": "1"}

    play(scenario)


def test_a_key_deleted_and_made_again_in_one_batch_is_its_new_value():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1")
        await anext(updates)
        await store.delete("a")
        await store.put(a="2")
        assert flat(await anext(updates)) == {"a": "2"}

    play(scenario)


def test_several_prefixes_are_one_snapshot_and_one_watch_and_nothing_else_is_sent():
    async def scenario(store, syncer, updates, sleeps):
        await store.store.commit([], [Put("/calico/a", b""), Put("/ocicat/b", b""), Put("/other/c", b"")])
        assert [update.key for update in (await anext(updates)).updates] == ["/calico/a", "/ocicat/b"]
        await store.store.commit([], [Put("/other/d", b"")])
        await store.store.commit([], [Put("/ocicat/e", b"")])
        assert [update.key for update in (await anext(updates)).updates] == ["/ocicat/e"]
        assert store.readings == store.watches == ["/"]

    play(scenario)


def test_after_a_loss_only_the_difference_is_sent():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(same="1", changed="1", gone="1")
        await anext(updates)

        async def meanwhile():
            await store.put(changed="2", new="1")
            await store.delete("gone")

        sleeps.meanwhile = meanwhile
        store.cut.set()
        batch = await anext(updates)
        assert flat(batch) == {"changed": "2", "new": "1", "gone": None}
        assert batch.updates[-1].value is None
        assert batch.in_sync

    play(scenario)


def test_a_reading_that_breaks_off_goes_on_with_what_was_not_sent():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1", b="1", c="1")

        async def meanwhile():
            await store.put(b="2")
            await store.delete("a")

        async def breaks_off():
            first = await anext(updates)
            assert (flat(first), first.in_sync) == ({"a": "1"}, False)
            store.failures = [Compacted("store: revision 1 is no longer kept")]
            sleeps.meanwhile = meanwhile

        await breaks_off()
        batches = [await anext(updates) for _ in range(4)]
        assert [flat(batch) for batch in batches] == [{"b": "2"}, {"c": "1"}, {"a": None}, {}]
        assert [batch.in_sync for batch in batches] == [False, False, False, True]
        assert len(sleeps.seconds) == 1

    play(scenario, batch=1)


def test_the_loop_gets_its_turn_between_two_pieces():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1", b="2", c="3")
        turns = []

        async def other():
            while len(turns) < 100:
                turns.append(None)
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        for _ in range(3):
            await anext(updates)
        assert 2 <= len(turns) < 100
        task.cancel()

    play(scenario, batch=1)


def test_a_loss_without_a_change_sends_an_empty_batch_and_goes_on():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1")
        await anext(updates)
        store.cut.set()
        batch = await anext(updates)
        assert (batch.updates, batch.in_sync) == ((), True)
        await store.put(a="2")
        assert flat(await anext(updates)) == {"a": "2"}

    play(scenario)


def test_a_compaction_ahead_of_the_watch_is_a_loss_like_any_other():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1")
        await anext(updates)
        await store.put(b="1")
        last = await store.delete("a")
        await store.store.compact(last - 1)
        assert flat(await anext(updates)) == {"a": None, "b": "1"}
        assert len(sleeps.seconds) == 1

    play(scenario)


def test_a_store_that_went_back_in_time_is_sent_whole():
    """Restored from a copy: equal revisions are of another history."""

    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1", b="1")
        await store.put(b="2")
        await anext(updates)

        async def restored():
            store.store = MemoryStore()
            await store.put(a="other")

        sleeps.meanwhile = restored
        store.cut.set()
        assert flat(await anext(updates)) == {"b": None, "a": "other"}

    play(scenario)


def test_retries_are_spread_and_get_longer_up_to_a_bound():
    async def scenario(store, syncer, updates, sleeps):
        store.failures = [Unavailable("store: gone") for _ in range(1200)]
        await anext(updates)
        assert len(sleeps.seconds) == 1200
        assert 0.05 <= sleeps.seconds[0] <= 0.1
        assert 0.1 <= sleeps.seconds[1] <= 0.2
        assert all(5 <= seconds <= 10 for seconds in sleeps.seconds[10:])
        assert len(set(sleeps.seconds)) > 1000

    play(scenario)


def test_a_change_that_was_seen_makes_the_next_retry_quick_again():
    async def scenario(store, syncer, updates, sleeps):
        store.failures = [Unavailable("store: gone") for _ in range(8)]
        await anext(updates)
        await store.put(a="1")
        await anext(updates)
        store.cut.set()
        await anext(updates)
        assert sleeps.seconds[-1] <= 0.1

    play(scenario)


def test_a_watch_that_fails_again_and_again_is_not_retried_ever_faster():
    async def scenario(store, syncer, updates, sleeps):
        await anext(updates)
        for _ in range(5):
            store.cut.set()
            await anext(updates)
        assert sleeps.seconds[-1] > 0.5

    play(scenario)


def test_what_waiting_does_not_mend_ends_the_stream():
    async def scenario(store, syncer, updates, sleeps):
        store.failures = [Refused("store: is damaged")]
        with pytest.raises(Refused):
            await anext(updates)

    play(scenario)


def test_status_tells_since_when_it_is_what_it_is():
    async def scenario(store, syncer, updates, sleeps):
        clock, began = sleeps.clock, sleeps.clock.now()
        assert (syncer.status.connected, syncer.status.since, syncer.status.revision) == (False, began, 0)
        clock.advance(5)
        await store.put(a="1")
        await anext(updates)
        reading = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)
        assert (syncer.status.connected, syncer.status.since, syncer.status.revision) == (True, began + 5, 1)
        clock.advance(5)
        await store.put(a="2")
        await reading
        store.failures = [Unavailable("store: gone", hint="wait")]

        async def check():
            assert not syncer.status.connected
            assert syncer.status.since == pytest.approx(began + 10)
            assert syncer.status.revision == 2
            assert syncer.status.problem.startswith("store: gone")
            sleeps.meanwhile = None

        sleeps.meanwhile = check
        store.cut.set()
        await anext(updates)
        assert len(sleeps.seconds) == 2

    play(scenario)


def test_values_are_not_kept():
    class Watched(Snapshot, frozen=True, weakref=True):
        pass

    async def scenario(store, syncer, updates, sleeps):
        seen = []

        async def watched_pages(prefix):
            found = await store.store.range(prefix)
            page = Watched(found.revision, found.items)
            seen.append(weakref.ref(page))
            yield page

        store.pages = watched_pages
        await store.put(a="1")
        await anext(updates)
        reading = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)
        gc.collect()
        assert seen[0]() is None
        await store.put(b="1")
        await reading

    play(scenario)


def test_each_call_begins_anew():
    async def scenario(store, syncer, updates, sleeps):
        await store.put(a="1")
        await anext(updates)
        await updates.aclose()
        async with aclosing(syncer.updates()) as again:
            assert flat(await anext(again)) == {"a": "1"}

    play(scenario)
