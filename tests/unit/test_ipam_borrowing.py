"""Addresses that a host has from another one's block: wished for, or because no block is to be had; whose they are; and back."""

from __future__ import annotations

import asyncio

import pytest
from ipam_bed import BLOCK, ONE_BLOCK_POOL, POOL, allocator, on, text

from ocicat.errors import Refused
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr
from ocicat.model.resources import Block
from ocicat.store.base import Put

WISH = Addr.parse("10.0.0.9")


def wish(handle, *addresses):
    return Request(handle=handle, families=(), addresses=addresses or (WISH,))


async def the_block(store):
    return decode_json(Block, (await store.get(keys.block(BLOCK))).value)


@on(POOL)
async def test_a_wish_in_another_hosts_block_is_borrowed_and_given_back(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(wish("o", Addr.parse("10.0.0.1")))
        assert (await mine.allocate(wish("m"))).addresses == (WISH,)
        assert mine.addresses_of("m") == (WISH,)
        assert [one.address for one in mine.held()] == [WISH]
        assert (await the_block(store)).affinity == "host:owner"
        assert await mine.release("m") == (WISH,)
        assert [*mine.held()] == []
        assert await store.used() == 1


@on(POOL)
async def test_what_is_borrowed_is_not_held_by_the_owner_of_the_block(store):
    async with allocator(store, "owner") as owner:
        await owner.allocate(wish("o", Addr.parse("10.0.0.1")))
        async with allocator(store, "mine") as mine:
            got = await mine.allocate(Request(handle="m", families=(), addresses=(WISH,)))
        found = await store.get(keys.block(BLOCK))
        owner.observe(found.key, found.value, found.modified)
        assert got.addresses == (WISH,)
        assert text(one.address for one in owner.held()) == ["10.0.0.1"]
        (other,) = (one for one in (await the_block(store)).attributes if one.handle_id == "m")
        assert other.secondary == {"node": "mine"}


@on(POOL)
async def test_after_a_restart_what_was_borrowed_is_known(store):
    async with allocator(store, "owner") as owner:
        await owner.allocate(Request(handle="o", families=(), addresses=(Addr.parse("10.0.0.1"),)))
    async with allocator(store, "mine") as mine:
        await mine.allocate(wish("m"))
    async with allocator(store, "mine") as mine:
        assert text(one.address for one in mine.held()) == ["10.0.0.9"]
        assert await mine.release("m") == (WISH,)


@on(POOL)
async def test_a_borrowed_address_in_use_is_refused_with_its_owner(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(wish("o"))
        with pytest.raises(Refused, match=r"10\.0\.0\.9 is in use by o"):
            await mine.allocate(wish("m"))
        assert not await store.has(keys.handle("m"))


@on(ONE_BLOCK_POOL)
async def test_where_no_block_is_to_be_had_addresses_are_borrowed_to_the_last(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(Request(handle="o"))
        got = await asyncio.gather(*(mine.allocate(Request(handle=f"m{n}")) for n in range(64)), return_exceptions=True)
        assert len({one.addresses for one in got[:-1]}) == 63
        assert isinstance(got[-1], Refused)
        with pytest.raises(Refused, match=r"is full: 64 of 64 addresses"):
            await mine.allocate(Request(handle="again"))
        await asyncio.gather(*(mine.release(f"m{n}") for n in range(63)))
        assert await store.used() == 1
        assert (await the_block(store)).affinity == "host:owner"


@on(POOL)
async def test_who_has_a_block_of_his_own_takes_from_that(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(wish("o", Addr.parse("10.0.0.1")))
        await mine.allocate(wish("m"))
        got = [(await mine.allocate(Request(handle=f"m{n}"))).addresses[0] for n in range(80)]
        assert not [address for address in got if address in BLOCK]


@on(POOL, Put(keys.IPAM_CONFIG, b'{"auto_allocate_blocks":true,"maxBlocksPerHost":1}'))
async def test_who_holds_as_many_blocks_as_he_may_borrows(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(Request(handle="o"))
        got = [(await mine.allocate(Request(handle=f"m{n}"))).addresses[0] for n in range(70)]
        assert len({address.value >> 6 for address in got}) == 2
        assert len({*got}) == 70
        assert len((await store.range(keys.AFFINITIES)).items) == 2


@on(POOL)
async def test_two_hosts_that_write_the_same_block_lose_nothing(store):
    async with allocator(store, "owner") as owner, allocator(store, "mine") as mine:
        await owner.allocate(wish("o", Addr.parse("10.0.0.0")))
        low, high = ([Addr.parse(f"10.0.0.{n}") for n in range(first, 60, 2)] for first in (1, 2))
        asked = [owner.allocate(wish(f"o{one}", one)) for one in low] + [
            mine.allocate(wish(f"m{one}", one)) for one in high
        ]
        got = await asyncio.gather(*asked)
        assert [one.addresses for one in got] == [(one,) for one in (*low, *high)]
        assert await store.used() == 1 + len(low) + len(high)
