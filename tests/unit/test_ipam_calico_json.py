"""Blocks, handles and affinities as Calico's own tools write them, byte for byte: read, used, and written back without loss."""

from __future__ import annotations

import asyncio
import json

import pytest

from ocicat.calc import Graph
from ocicat.clock import ManualClock
from ocicat.errors import UserError
from ocicat.ipam import block as arithmetic
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Cidr
from ocicat.model.resources import AllocationAttribute, Block, BlockAffinity, Handle, IPPool, Profile
from ocicat.store.base import Put
from ocicat.store.memory import MemoryStore

HERE = Cidr.parse("10.0.0.0/29")
POOL = (
    b'{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"default-ipv4-ippool",'
    b'"uid":"6d9f","creationTimestamp":null},"spec":{"cidr":"10.0.0.0/29","vxlanMode":"Never","ipipMode":"Always",'
    b'"natOutgoing":true,"blockSize":29,"nodeSelector":"all()","allowedUses":["Workload","Tunnel"]}}'
)
# A block just claimed: Go writes the slices and maps that were never made as null.
FRESH = (
    b'{"cidr":"10.0.0.0/29","affinity":"host:h","allocations":[null,null,null,null,null,null,null,null],'
    b'"unallocated":[0,1,2,3,4,5,6,7],"attributes":null,"sequenceNumber":1712345678901234567,'
    b'"sequenceNumberForAllocation":null,"deleted":false,"affinityClaimTime":"2025-04-05T06:07:08Z"}'
)
# In use for long, by several versions: an owner without attributes, an address nobody owns any more, every field there ever was.
OLD = (
    b'{"cidr":"10.0.0.0/29","affinity":"host:h","strictAffinity":false,"allocations":[0,1,null,2,0,3,null,4],'
    b'"unallocated":[6,2],"attributes":[{"handle_id":"ipip-tunnel-addr-h","secondary":{"node":"h","type":"ipipTunnelAddress"}},'
    b'{"handle_id":"k8s-pod-network.1","secondary":null},{"handle_id":"k8s-pod-network.1","secondary":{}},'
    b'{"handle_id":null,"secondary":null,"releasedAt":"2025-04-05T06:07:08Z"},{"secondary":{"pod":"p"},'
    b'"alternate":{"pod":"q"},"alternateOwnerAttrs":{"pod":"q"}}],"sequenceNumber":1712345678901234999,'
    b'"sequenceNumberForAllocation":{"0":1712345678901234567,"6":7},"deleted":false,"hostAffinity":"h"}'
)
FULL = (
    b'{"cidr":"10.0.0.0/29","affinity":"host:h","allocations":[0,0,0,0,0,0,0,0],"unallocated":[],'
    b'"attributes":[{"handle_id":"all","secondary":null}],"sequenceNumber":9,"sequenceNumberForAllocation":{},"deleted":false}'
)
EXTRAS = ("affinityClaimTime", "hostAffinity", "strictAffinity")


def using(block: bytes, scenario) -> None:
    """The scenario with an allocator of the block's host, on a store in which Calico's tools wrote."""

    async def main():
        store = MemoryStore()
        affinity = Put(keys.affinity("h", HERE), b'{"state":"confirmed","deleted":false}')
        await store.commit([], [Put(keys.pool("default-ipv4-ippool"), POOL), Put(keys.block(HERE), block), affinity])
        allocator = Allocator(store, "h", ManualClock())
        await allocator.start()
        try:
            await scenario(store, allocator)
        finally:
            await allocator.close()

    asyncio.run(asyncio.wait_for(main(), 10))


async def stored(store) -> dict:
    return json.loads((await store.get(keys.block(HERE))).value)


def test_lists_and_maps_that_are_null_are_empty():
    block = decode_json(Block, FRESH)
    assert (block.attributes, block.sequence_number_for_allocation) == ((), {})
    assert decode_json(Block, FULL).unallocated == ()
    assert decode_json(Handle, b'{"block":null,"deleted":false}').block == {}
    assert decode_json(Profile, b'{"metadata":{"name":"p","labels":null},"spec":{"ingress":null}}').spec.ingress == ()


def test_a_null_in_a_list_keeps_its_place():
    assert decode_json(Block, FRESH).allocations == (None,) * 8


def test_null_is_no_value_where_one_is_needed():
    with pytest.raises(UserError, match="cidr"):
        decode_json(Block, b'{"cidr":null,"allocations":[]}')


@pytest.mark.parametrize("text", [FRESH, OLD, FULL])
def test_a_block_written_back_has_every_field_it_had(text):
    before, after = json.loads(text), json.loads(encode_json(decode_json(Block, text)))
    assert {key: after.get(key) for key in EXTRAS} == {key: before.get(key) for key in EXTRAS}
    for old, new in zip(before["attributes"] or [], after["attributes"], strict=True):
        assert {**new, "secondary": new["secondary"] or None} == {"handle_id": None, "secondary": None} | {
            **old,
            "secondary": old.get("secondary") or None,
        }


def test_what_no_other_version_wrote_is_not_written_either():
    assert not set(json.loads(encode_json(arithmetic.new(HERE, "h", 1)))) & set(EXTRAS)
    assert encode_json(AllocationAttribute("a")) == b'{"handle_id":"a","secondary":{}}'


@pytest.mark.parametrize("text", [FRESH, OLD])
def test_calicos_block_serves_our_requests_and_keeps_what_is_calicos(text):
    async def scenario(store, allocator):
        before = json.loads(text)
        (address,) = (await allocator.allocate(Request(handle="ours", attributes={"node": "h"}))).addresses
        after = await stored(store)
        ordinal = address.value - HERE.network
        assert ordinal == before["unallocated"][0]
        assert after["attributes"][after["allocations"][ordinal]]["handle_id"] == "ours"
        assert [after["allocations"][n] for n in range(8) if n != ordinal] == [
            before["allocations"][n] for n in range(8) if n != ordinal
        ]
        assert {key: after.get(key) for key in EXTRAS} == {key: before.get(key) for key in EXTRAS}
        await allocator.release("ours")
        assert arithmetic.ordinals_of(decode_json(Block, (await store.get(keys.block(HERE))).value), "ours") == ()

    using(text, scenario)


def test_releasing_around_calicos_attributes_leaves_them_whole():
    async def scenario(store, allocator):
        await allocator.release("ipip-tunnel-addr-h")
        after = await stored(store)
        assert after["unallocated"] == [6, 2, 0, 4]
        assert after["attributes"][after["allocations"][5]]["releasedAt"] == "2025-04-05T06:07:08Z"
        assert after["attributes"][after["allocations"][7]]["alternate"] == {"pod": "q"}

    using(OLD, scenario)


def test_an_address_of_nobody_is_not_given_away():
    async def scenario(store, allocator):
        got = [await allocator.allocate(Request(handle=handle)) for handle in "ab"]
        assert [one.addresses[0].value - HERE.network for one in got] == [6, 2]

    using(OLD, scenario)


def test_the_graph_reads_calicos_block():
    graph = Graph("h")
    for text in (FRESH, OLD, FULL):
        graph.update(keys.block(HERE), text)
        assert graph.problems() == {}


@pytest.mark.parametrize(
    "text", [b'{"state":"confirmed","deleted":false}', b'{"state":"confirmed","deleted":false,"type":"host"}']
)
def test_an_affinity_of_any_version_is_read(text):
    assert decode_json(BlockAffinity, text) == BlockAffinity(state="confirmed")


def test_a_pool_of_calicos_is_read():
    assert decode_json(IPPool, POOL).spec.block_size == 29
