"""What every back end promises about leases (store/base.py, promise 5), and what holding one means (store/lease.py)."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import aclosing

import pytest

from ocicat.errors import Bug, Conflict, NotFound
from ocicat.store.base import Compare, Delete, Event, Put
from ocicat.store.lease import held

TTL_S = 1  # the shortest there is
LONG_S = 1000  # longer than any test


async def deletions(store, prefix, start, count):
    """The first `count` events from `start` on, which are deletions."""
    events = []
    async with aclosing(store.watch(prefix, start)) as watch:
        while len(events) < count:
            events += (await anext(watch)).events
    assert all(event.value is None for event in events)
    return events


def test_a_value_tells_its_lease(on_store):
    @on_store
    async def _(store):
        lease = await store.grant(LONG_S)
        assert lease.id
        assert lease.ttl_s >= LONG_S
        await store.commit([], [Put("/a", b"1", lease.id), Put("/b", b"1")])
        assert (await store.get("/a")).lease == lease.id
        assert [item.lease for item in (await store.range("/")).items] == [lease.id, 0]


def test_what_is_under_a_lease_vanishes_at_one_revision_when_it_expires_and_never_before(on_store):
    @on_store
    async def _(store):
        granted = time.monotonic()
        lease = await store.grant(TTL_S)
        revision = await store.commit([], [Put("/a/1", b"1", lease.id), Put("/a/2", b"1", lease.id), Put("/a/3", b"1")])
        events = await deletions(store, "/a/", revision + 1, 2)
        assert time.monotonic() - granted >= lease.ttl_s
        assert events == [Event("/a/1", None, revision + 1), Event("/a/2", None, revision + 1)]
        assert [item.key for item in (await store.range("/a/")).items] == ["/a/3"]
        with pytest.raises(NotFound, match="take a new"):
            await store.renew(lease.id)
        with pytest.raises(NotFound, match="take a new"):
            await store.commit([], [Put("/a/3", b""), Put("/a/1", b"", lease.id)])
        await store.revoke(lease.id)
        assert (await store.status()).revision == revision + 1


def test_revoking_deletes_at_once_and_at_one_revision(on_store):
    @on_store
    async def _(store):
        lease = await store.grant(LONG_S)
        revision = await store.commit([], [Put("/b", b"1", lease.id), Put("/a", b"1", lease.id), Put("/c", b"1")])
        await store.revoke(lease.id)
        assert [item.key for item in (await store.range("/")).items] == ["/c"]
        events = await deletions(store, "/", revision + 1, 2)
        assert {(event.key, event.revision) for event in events} == {("/a", revision + 1), ("/b", revision + 1)}
        await store.revoke(lease.id)
        with pytest.raises(NotFound):
            await store.renew(lease.id)


def test_the_end_of_a_lease_with_nothing_under_it_is_no_commit(on_store):
    @on_store
    async def _(store):
        lease = await store.grant(LONG_S)
        await store.commit([], [Put("/a", b"1", lease.id)])
        last = await store.commit([], [Delete("/a")])
        await store.revoke(lease.id)
        assert (await store.status()).revision == last


def test_a_key_is_under_the_lease_of_its_last_put(on_store):
    @on_store
    async def _(store):
        first, second = await store.grant(LONG_S), await store.grant(LONG_S)
        await store.commit([], [Put(key, b"1", first.id) for key in ("/moved", "/freed", "/remade", "/stays")])
        await store.commit([], [Put("/moved", b"2", second.id), Put("/freed", b"2"), Delete("/remade")])
        await store.commit([], [Put("/remade", b"3")])
        await store.revoke(first.id)
        assert [item.key for item in (await store.range("/")).items] == ["/freed", "/moved", "/remade"]
        await store.revoke(second.id)
        assert [item.key for item in (await store.range("/")).items] == ["/freed", "/remade"]


def test_a_put_under_a_lease_that_never_was_does_nothing(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        with pytest.raises(NotFound, match=r"lease .*\(take a new"):
            await store.commit([Compare("/a", revision)], [Put("/a", b"2"), Put("/b", b"", 12345)])
        with pytest.raises(Conflict):
            await store.commit([Compare("/a", 0)], [Put("/b", b"", 12345)])
        assert [item.value for item in (await store.range("/")).items] == [b"1"]


@pytest.mark.parametrize("ttl_s", [0, -1, 10**12])
def test_a_time_to_live_that_cannot_be_is_a_bug_of_the_caller(on_store, ttl_s):
    @on_store
    async def _(store):
        with pytest.raises(Bug, match=f"lease: {ttl_s} s"):
            await store.grant(ttl_s)


def test_a_held_lease_is_not_lost_and_ends_with_its_block(on_store):
    @on_store
    async def _(store):
        async with held(store, TTL_S) as lease:
            revision = await store.commit([], [Put("/a", b"1", lease.id)])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.6 * TTL_S):
                    await lease.lost()
            assert (await store.get("/a")).modified == revision
            await store.renew(lease.id)  # so that its time is not over when the block is
        assert await store.get("/a") is None
        assert await deletions(store, "/a", revision + 1, 1) == [Event("/a", None, revision + 1)]


def test_a_held_lease_that_is_revoked_is_lost(on_store):
    @on_store
    async def _(store):
        async with held(store, TTL_S) as lease:
            await store.revoke(lease.id)
            assert "take a new one and put again" in await lease.lost()


def test_a_process_that_is_killed_leaves_nothing_under_its_lease(on_shared_store, other_process):
    @on_shared_store
    async def _(store):
        holder = other_process("hold", "/a", str(TTL_S))
        await asyncio.to_thread(holder.stdout.readline)
        held_at = (await store.get("/a")).modified
        await asyncio.sleep(TTL_S)  # it has been renewed by now
        holder.kill()
        holder.wait()
        assert (await store.get("/a")).modified == held_at
        assert await deletions(store, "/a", held_at + 1, 1) == [Event("/a", None, held_at + 1)]


def test_a_process_that_is_paused_longer_than_its_lease_loses_it_and_takes_it_again(on_shared_store, other_process):
    @on_shared_store
    async def _(store):
        holder = other_process("hold", "/a", str(TTL_S))
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        held_at = (await store.get("/a")).modified
        holder.send_signal(signal.SIGSTOP)
        assert await deletions(store, "/a", held_at + 1, 1) == [Event("/a", None, held_at + 1)]
        holder.send_signal(signal.SIGCONT)
        assert (await asyncio.to_thread(holder.stdout.readline)).startswith("lost lease ")
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        assert (await store.get("/a")).created == held_at + 2
