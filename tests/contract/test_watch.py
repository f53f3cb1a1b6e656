"""What every back end promises about watches (store/base.py, promise 3)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import pytest

from ocicat.errors import Compacted, Conflict, Unavailable
from ocicat.store.base import Compare, Delete, Event, Put


async def collect(store, prefix, revision, count):
    """The batches that bring the first `count` events."""
    batches = []
    async with aclosing(store.watch(prefix, revision)) as watch:
        async for batch in watch:
            batches.append(batch)
            if sum(len(one.events) for one in batches) >= count:
                break
    return batches


async def events_of(store, prefix, revision, count):
    return [event for batch in await collect(store, prefix, revision, count) for event in batch.events]


async def settled(task):
    """Lets `task` run until it waits for something to happen."""
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert not task.done()


def test_a_watch_yields_what_happened_before_it_began(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"1")])
        await store.commit([], [Delete("/a")])
        await store.commit([], [Put("/a", b"2")])
        assert await events_of(store, "/", first, 3) == [
            Event("/a", b"1", first),
            Event("/a", None, first + 1),
            Event("/a", b"2", first + 2),
        ]


def test_a_watch_yields_what_happens_after_it_began(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        task = asyncio.ensure_future(events_of(store, "/", revision + 1, 2))
        await settled(task)
        await store.commit([], [Put("/b", b"1")])
        await store.commit([], [Put("/c", b"1")])
        assert [event.key for event in await task] == ["/b", "/c"]


def test_the_first_revision_is_included_and_none_before_it(on_store):
    @on_store
    async def _(store):
        revisions = [await store.commit([], [Put("/a", b"%d" % number)]) for number in range(5)]
        events = await events_of(store, "/", revisions[2], 3)
        assert [event.revision for event in events] == revisions[2:]


def test_a_watch_from_zero_begins_with_the_first_revision(on_new_store):
    @on_new_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        assert (await events_of(store, "/", 0, 1))[0].revision == revision


def test_a_watch_may_begin_in_the_future(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        task = asyncio.ensure_future(events_of(store, "/", revision + 3, 1))
        await settled(task)
        for number in range(4):
            await store.commit([], [Put("/a", b"%d" % number)])
        assert (await task)[0].revision == revision + 3


def test_a_watch_sees_its_prefix_only(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a/1", b""), Put("/b/1", b""), Put("/a", b"")])
        await store.commit([], [Put("/b/2", b"")])
        await store.commit([], [Put("/a/2", b"")])
        assert [event.key for event in await events_of(store, "/a/", first, 2)] == ["/a/1", "/a/2"]


def test_the_events_of_one_revision_come_together_in_the_order_of_the_commit(on_store):
    keys = [f"/k/{number * 7 % 1000}" for number in range(1000)]

    @on_store
    async def _(store):
        revision = await store.commit([], [Put(key, b"") for key in keys])
        (batch,) = await collect(store, "/", revision, 1)
        assert [event.key for event in batch.events] == keys


def test_deleting_an_absent_key_is_no_event(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b""), Delete("/b")])
        await store.commit([], [Delete("/b")])
        await store.commit([], [Put("/c", b"")])
        assert [event.key for event in await events_of(store, "/", first, 2)] == ["/a", "/c"]


def test_a_failed_commit_is_no_event(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"")])
        with pytest.raises(Conflict):
            await store.commit([Compare("/a", 0)], [Put("/b", b"")])
        await store.commit([], [Put("/c", b"")])
        assert [event.key for event in await events_of(store, "/", first, 2)] == ["/a", "/c"]


def test_a_long_history_comes_whole_and_in_order(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"")])
        for number in range(600):
            await store.commit([], [Put("/a" if number % 3 else "/b", b"%d" % number)])
        batches = await collect(store, "/", first, 601)
        revisions = [event.revision for batch in batches for event in batch.events]
        assert revisions == list(range(first, first + 601))
        assert all(batch.events[-1].revision <= batch.revision for batch in batches)


def test_a_watch_resumed_after_any_batch_has_no_gap_and_no_duplicate(on_store):
    """The consumer comes and goes while the writer keeps writing."""

    @on_store
    async def _(store):
        base = (await store.status()).revision

        async def write():
            for number in range(200):
                await store.commit([], [Put(f"/{number % 7}", b"%d" % number)])
                await asyncio.sleep(0)

        writer = asyncio.ensure_future(write())
        seen, revision = [], base + 1
        while len(seen) < 200:
            (batch,) = await collect(store, "/", revision, 1)
            seen += [event.revision for event in batch.events]
            revision = batch.revision + 1
        await writer
        assert seen == list(range(base + 1, base + 201))


def test_a_batch_tells_how_far_it_goes(on_store):
    """Also past revisions of other prefixes: who resumes there need not read them again."""

    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"")])
        last = await store.commit([], [Put("/b", b"")])
        (batch,) = await collect(store, "/a", first, 1)
        assert first <= batch.revision <= last


def test_many_watches_see_the_same(on_store):
    @on_store
    async def _(store):
        base = (await store.status()).revision
        tasks = [asyncio.ensure_future(events_of(store, "/", base + 1, 50)) for _ in range(8)]
        for number in range(50):
            await store.commit([], [Put("/a", b"%d" % number)])
        first, *others = [[event.revision for event in events] for events in await asyncio.gather(*tasks)]
        assert first == list(range(base + 1, base + 51))
        assert all(other == first for other in others)


def test_a_watch_from_a_forgotten_revision_is_compacted(on_store):
    @on_store
    async def _(store):
        revisions = [await store.commit([], [Put("/a", b"%d" % number)]) for number in range(4)]
        await store.compact(revisions[1])
        with pytest.raises(Compacted, match=f"history is kept from {revisions[2]} on"):
            await events_of(store, "/", revisions[1], 1)
        assert len(await events_of(store, "/", revisions[2], 2)) == 2


def test_a_watch_that_has_caught_up_survives_a_compaction(on_store):
    @on_store
    async def _(store):
        base = (await store.status()).revision
        seen: list[bytes] = []
        begun = asyncio.Event()

        async def follow():
            async with aclosing(store.watch("/a", base + 1)) as watch:
                async for batch in watch:
                    seen.extend(event.value for event in batch.events)
                    begun.set()
                    if len(seen) == 2:
                        return

        task = asyncio.ensure_future(follow())
        await store.commit([], [Put("/a", b"1")])
        await begun.wait()
        for _ in range(5):  # of another prefix: they move the watch on, too
            last = await store.commit([], [Put("/b", b"")])
        await settled(task)
        await store.compact(last - 1)
        await store.commit([], [Put("/a", b"2")])
        await task
        assert seen == [b"1", b"2"]


def test_a_watch_that_is_behind_a_compaction_is_told_or_has_everything(on_store):
    """A back end that pushes may have sent the events before they were forgotten; to leave some out is never right."""

    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"1")])
        async with aclosing(store.watch("/", first)) as watch:
            await anext(watch)
            await store.commit([], [Put("/a", b"2")])
            last = await store.commit([], [Put("/a", b"3")])
            await store.compact(last - 1)
            seen = []
            with suppress(Compacted):
                while len(seen) < 2:
                    seen += (await anext(watch)).events
                assert [event.value for event in seen] == [b"2", b"3"]


def test_a_large_compaction_forgets_all_it_was_told_to(on_store):
    @on_store
    async def _(store):
        for number in range(700):
            last = await store.commit([], [Put("/a", b"%d" % number)])
        await store.compact(last - 1)
        assert (await store.status()).compacted == last - 1
        assert [event.revision for event in await events_of(store, "/", last, 1)] == [last]
        with pytest.raises(Compacted):
            await events_of(store, "/", last - 1, 1)


def test_a_watch_can_be_closed_while_the_store_goes_on(on_store):
    @on_store
    async def _(store):
        base = (await store.status()).revision
        watch = store.watch("/", base + 1)
        task = asyncio.ensure_future(anext(watch))
        await settled(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await watch.aclose()
        await store.commit([], [Put("/a", b"")])
        assert len(await events_of(store, "/", base + 1, 1)) == 1


def test_closing_one_watch_leaves_the_others_alone(on_store):
    @on_store
    async def _(store):
        base = (await store.status()).revision
        stays = asyncio.ensure_future(events_of(store, "/", base + 1, 2))
        await store.commit([], [Put("/a", b"")])
        assert len(await events_of(store, "/", base + 1, 1)) == 1
        await store.commit([], [Put("/b", b"")])
        assert len(await stays) == 2


def test_a_watch_does_not_end_silently_when_the_store_is_closed(on_store):
    @on_store
    async def _(store):
        base = (await store.status()).revision
        tasks = [asyncio.ensure_future(events_of(store, "/", base + 1, 1)) for _ in range(3)]
        await settled(tasks[0])
        await store.close()
        for task in tasks:
            with pytest.raises(Unavailable, match="closed"):
                await task


def test_an_unfinished_watch_stops_no_loop_from_ending(on_store):
    @on_store
    async def _(store):
        await anext(store.watch("/", await store.commit([], [Put("/a", b"")])))
