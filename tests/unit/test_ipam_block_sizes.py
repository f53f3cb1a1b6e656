"""A pool that comes back with another block size: old blocks lie across the new ones, and no address may be given twice."""

from __future__ import annotations

import pytest
from ipam_bed import allocator, block_put, on, pool, text

from ocicat.errors import Refused
from ocicat.ipam import block as arithmetic
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import BlockAffinity
from ocicat.store.base import Delete, Put

WIDE = Cidr.parse("10.0.0.0/28")


def in_use(cidr: Cidr, host: str):
    return block_put(arithmetic.take(arithmetic.new(cidr, host, 1), "older", {}, cidr.size)[0])


async def addresses(mine, count):
    return [address for n in range(count) for address in (await mine.allocate(Request(handle=f"c{n}"))).addresses]


@pytest.mark.parametrize("host", ["h", "x"])
@pytest.mark.parametrize("length", [28, 30])
def test_no_block_is_claimed_across_one_of_another_size(host, length):
    old = Cidr(4, WIDE.network, length)

    @on(pool("p", "10.0.0.0/27", block_size=29), in_use(old, host))
    async def scenario(store):
        async with allocator(store) as mine:
            free_blocks = [c for n in range(4) if not (c := Cidr(4, WIDE.network + 8 * n, 29)).overlaps(old)]
            got = await addresses(mine, 8 * len(free_blocks))
            assert not [address for address in got if address in old]
            with pytest.raises(Refused, match=r"is full|no free block"):
                await mine.allocate(Request(handle="one-more"))

    scenario()


@pytest.mark.parametrize("told", [True, False])
def test_a_pool_that_changes_its_block_size_at_work_gives_nothing_twice(told):
    @on(pool("p", "10.0.0.0/27", block_size=28))
    async def scenario(store):
        async with allocator(store) as mine:
            first = await addresses(mine, 3)
            remade = pool("p", "10.0.0.0/27", block_size=29)
            await store.write(Delete(keys.pool("p")))
            revision = await store.write(remade)
            if told:
                mine.observe(remade.key, remade.value, revision)
            more = [(await mine.allocate(Request(handle=f"d{n}"))).addresses[0] for n in range(20)]
            assert len({*first, *more}) == 23

    scenario()


@on(pool("p", "10.0.0.0/27", block_size=29), in_use(WIDE, "x"))
async def test_a_wish_that_lies_in_a_block_of_another_size_is_refused_by_its_owner(store):
    await store.write(Put(keys.IPAM_CONFIG, b'{"strict_affinity":true,"auto_allocate_blocks":true}'))
    async with allocator(store) as mine:
        with pytest.raises(Refused, match=r"10\.0\.0\.9 lies in block 10\.0\.0\.0/28, which belongs to host x"):
            await mine.allocate(Request(handle="c", families=(), addresses=(Addr.parse("10.0.0.9"),)))
        assert not await store.has(keys.block(Cidr.parse("10.0.0.8/29")))


@on(pool("p", "10.0.0.0/27", block_size=28), in_use(Cidr.parse("10.0.0.8/29"), "x"))
async def test_a_wish_whose_block_would_lie_across_a_smaller_one_is_refused(store):
    async with allocator(store) as mine:
        with pytest.raises(
            Refused, match=r"block 10\.0\.0\.0/28 cannot be claimed: 10\.0\.0\.8/29, a block of another size"
        ):
            await mine.allocate(Request(handle="c", families=(), addresses=(Addr.parse("10.0.0.1"),)))


@on(
    pool("six", "fd00::/120", block_size=124),
    pool("p", "10.0.0.0/27", block_size=29),
    in_use(WIDE, "x"),
    Put(keys.affinity("h", Cidr.parse("10.0.0.8/29")), encode_json(BlockAffinity(state="pending"))),
)
async def test_a_half_done_claim_across_another_block_is_given_up(store):
    async with allocator(store):
        assert not await store.has(keys.block(Cidr.parse("10.0.0.8/29")))
        assert not await store.has(keys.affinity("h", Cidr.parse("10.0.0.8/29")))


@on(pool("p", "10.0.0.0/27", block_size=29), block_put(arithmetic.new(WIDE, "h", 1)))
async def test_a_wish_is_served_from_our_own_block_of_another_size(store):
    async with allocator(store) as mine:
        wish = Addr.parse("10.0.0.9")
        await mine.allocate(Request(handle="c", families=(), addresses=(wish,)))
        assert text(mine.addresses_of("c")) == ["10.0.0.9"]
        assert arithmetic.owner(await store.block(WIDE), 9) == "c"
