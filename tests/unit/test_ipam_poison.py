"""One request that is bad in a way nobody thought of, one object that another tool spoiled: who else suffers? Nobody."""

from __future__ import annotations

import asyncio

import pytest
from ipam_bed import BLOCK, ONE_BLOCK_POOL, POOL, allocator, block_put, endpoint, on, text, until

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.ipam import block as arithmetic
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Cidr
from ocicat.model.resources import Handle
from ocicat.store.base import Put

LOWER = Cidr.parse("10.0.0.0/26")
UPPER = Cidr.parse("10.0.0.64/26")


def broken(addresses):
    raise ZeroDivisionError


def to_a_block(addresses):
    return [(None, Put(keys.block(BLOCK), b"{}"))]


POISON = {
    "its writes raise what nobody expected": Request(handle="bad", writes=broken),
    "its writes name a block's key": Request(handle="bad", writes=to_a_block),
    "its handle is no UTF-8": Request(handle="bad\udcff"),
    "its attribute is no UTF-8": Request(handle="bad", attributes={"a": "\udcff"}),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_request_fails_alone(name):
    @on(ONE_BLOCK_POOL)
    async def scenario(store):
        async with allocator(store) as mine:
            wanted = [Request(handle="a", writes=endpoint("a")), POISON[name], Request(handle="b")]
            got = await asyncio.gather(*map(mine.allocate, wanted), return_exceptions=True)
            assert isinstance(got[1], OcicatError)
            assert await store.used() == len({*got[0].addresses, *got[2].addresses}) == 2
            assert (await mine.allocate(Request(handle="c"))).addresses

    scenario()


@on(POOL, Put(keys.handle("spoiled"), b'{"block":{"no/block":1},"deleted":false}'))
async def test_a_handle_that_counts_nonsense_is_released_and_hurts_nobody(store):
    async with allocator(store) as mine:
        got, freed = await asyncio.gather(mine.allocate(Request(handle="a")), mine.release("spoiled"))
        assert (len(got.addresses), freed) == (1, ())
        assert not await store.has(keys.handle("spoiled"))


@on(POOL)
async def test_a_commit_that_the_store_refuses_whole_is_refused_to_each(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))

        async def full() -> None:
            raise Refused("the disk is full")

        store.before_commit = full
        got = await asyncio.gather(
            *(mine.allocate(Request(handle=f"c{n}")) for n in range(3)), mine.release("first"), return_exceptions=True
        )
        assert [str(one) for one in got] == ["the disk is full"] * 4
        store.before_commit = None
        assert await mine.release("first")
        assert await store.used() == 0


@on(POOL)
async def test_a_store_that_is_away_is_asked_once_for_a_batch(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))
        before = store.commits

        async def away() -> None:
            raise Unavailable("gone")

        store.before_commit = away
        got = await asyncio.gather(*(mine.allocate(Request(handle=f"c{n}")) for n in range(20)), return_exceptions=True)
        assert {type(one) for one in got} == {Unavailable}
        assert store.commits - before <= 2


@on(
    POOL,
    block_put(arithmetic.take(arithmetic.new(LOWER, "h", 1), "c", {})[0]),
    Put(keys.block(UPPER), b'{"cidr":"10.0.0.64/26","affinity":"host:h","allocations":[7]}'),
    Put(keys.handle("c"), encode_json(Handle(block={str(LOWER): 1, str(UPPER): 1}))),
)
async def test_a_release_that_fails_at_one_block_releases_nothing_of_the_others(store):
    async with allocator(store) as mine:
        got = await asyncio.gather(mine.release("c"), mine.allocate(Request(handle="other")), return_exceptions=True)
        assert isinstance(got[0], Refused)
        assert text(got[1].addresses) == ["10.0.0.1"]
        assert len(arithmetic.ordinals_of(await store.block(LOWER), "c")) == 1
        assert await store.has(keys.handle("c"))


@on(POOL)
async def test_a_request_given_up_takes_back_its_own_addresses_only(store):
    async with allocator(store) as mine:
        kept = await mine.allocate(Request(handle="c", writes=endpoint("first")))
        store.after_commit = lambda: asyncio.sleep(0)
        task = asyncio.create_task(mine.allocate(Request(handle="c", writes=endpoint("second"))))
        before = store.commits
        await until(lambda: store.has_committed(before + 1))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.after_commit = None
        await mine.release("nobody")
        assert mine.addresses_of("c") == kept.addresses
        assert await store.used() == 1
        handle = decode_json(Handle, (await store.get(keys.handle("c"))).value)
        assert sum(handle.block.values()) == 1
        assert await store.has(keys.workload("ns", "first"))
        assert not await store.has(keys.workload("ns", "second"))
        assert await mine.release("c") == kept.addresses
