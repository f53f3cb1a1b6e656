"""Reserved addresses: nobody gets one who does not name it, and a pool of which much is reserved is still found its way through."""

from __future__ import annotations

import pytest
from ipam_bed import allocator, on

from ocicat.errors import Refused, UserError
from ocicat.ipam.request import Request
from ocicat.ipam.reservations import Reservations
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.model.v3.addressing import IPReservation, IPReservationSpec
from ocicat.store.base import Delete, Put


def resource(*cidrs):
    return IPReservation(metadata=Metadata(name="r"), spec=IPReservationSpec(reserved_cidrs=cidrs))


def reserve(*cidrs, name="r"):
    return Put(keys.RESERVATIONS + name, encode_json(resource(*cidrs)))


def pool(cidr, name="p", **spec):
    return Put(keys.pool(name), encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **spec))))


async def take(mine, count, family=4):
    """The last numbers of as many addresses, one after the other."""
    got = [await mine.allocate(Request(handle=f"c{n}", families=(family,))) for n in range(count)]
    return [one.addresses[0].value & 0xFF for one in got]


@on(pool("10.0.0.0/29", block_size=29), reserve("10.0.0.0/31", "10.0.0.5/32"))
async def test_reserved_addresses_are_passed_over_and_had_by_name(store):
    async with allocator(store) as mine:
        assert await take(mine, 5) == [2, 3, 4, 6, 7]
        with pytest.raises(Refused, match=r"has no free block: 5 of 8 addresses are in use, some .* are reserved"):
            await mine.allocate(Request(handle="late"))
        wish = (Addr.parse("10.0.0.5"),)
        assert (await mine.allocate(Request(handle="named", families=(), addresses=wish))).addresses == wish


@on(pool("10.0.0.0/29", block_size=29), reserve("10.0.0.0/29"))
async def test_what_is_reserved_and_free_again_later_is_heard(store):
    async with allocator(store) as mine:
        with pytest.raises(Refused, match="are reserved"):
            await mine.allocate(Request(handle="early"))
        revision = await store.write(Delete(keys.RESERVATIONS + "r"))
        mine.observe(keys.RESERVATIONS + "r", None, revision)
        assert await take(mine, 1) == [0]
        put = reserve("10.0.0.1/32", "10.0.0.3/32")
        mine.observe(put.key, put.value, await store.write(put))
        assert await take(mine, 2) == [2, 4]


@on(pool("10.0.0.0/28", block_size=30), reserve("10.0.0.0/30", "10.0.0.8/31", "10.0.0.10/31"))
async def test_blocks_that_are_reserved_as_a_whole_are_not_claimed(store):
    async with allocator(store) as mine:
        assert sorted(await take(mine, 8)) == [4, 5, 6, 7, 12, 13, 14, 15]
        blocks = {item.key.rpartition("/")[2] for item in (await store.range(keys.BLOCKS)).items}
        assert blocks == {"10.0.0.4-30", "10.0.0.12-30"}


@on(pool("fd00::/64"), reserve("fd00::/65", "fd00:0:0:0:8000::/66", "fd00:0:0:0:c000::/120"))
async def test_a_vast_pool_of_which_most_is_reserved_is_not_searched_for_ever(store):
    async with allocator(store) as mine:
        (address,) = (await mine.allocate(Request(handle="c", families=(6,)))).addresses
        assert address in Cidr.parse("fd00:0:0:0:c000::/66")
        assert address not in Cidr.parse("fd00:0:0:0:c000::/120")


@on(pool("fd00::/64"), Put(keys.IPAM_CONFIG, b'{"auto_allocate_blocks":false}'))
async def test_a_vast_pool_is_not_searched_for_ever_for_somebody_who_lends(store):
    async with allocator(store) as mine:
        with pytest.raises(Refused, match="claiming blocks is switched off"):
            await mine.allocate(Request(handle="c", families=(6,)))


@on(pool("10.0.0.0/29", block_size=29), Put(keys.RESERVATIONS + "bad", b'{"spec":{"reservedCIDRs":["x"]}}'))
async def test_one_that_cannot_be_read_stops_nobody(store):
    async with allocator(store) as mine:
        assert await take(mine, 1) == [0]


def test_what_makes_no_sense_is_told_and_the_rest_is_reserved():
    found = Reservations()
    found.set("r", resource("10.0.0.1/32"))
    with pytest.raises(UserError, match="'x'"):
        found.set("r", resource("10.0.0.2/32", "x"))
    assert found.within(Cidr.parse("10.0.0.0/30")) == {2}


@pytest.mark.parametrize(
    ("cidrs", "ordinals"),
    [
        ((), set()),
        (("10.0.0.0/8",), {0, 1, 2, 3}),
        (("10.0.0.2/31", "10.0.0.3/32"), {2, 3}),
        (("10.0.1.0/24", "fd00::/8"), set()),
        (("10.0.0.0/31", "10.0.0.2/31"), {0, 1, 2, 3}),
    ],
)
def test_what_of_a_block_is_reserved(cidrs, ordinals):
    found, block = Reservations(), Cidr.parse("10.0.0.0/30")
    found.set("r", resource(*cidrs))
    assert found.within(block) == ordinals
    assert found.cover(block) == (len(ordinals) == 4)
