"""Deleting pools and nodes: what goes with them, what does not, and when it is refused."""

from __future__ import annotations

import pytest
from ipam_bed import allocator
from resources_bed import Bed, actions, apply, create, delete, put, run

from ocicat.errors import Conflict, Refused
from ocicat.ipam import block as arithmetic
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Cidr
from ocicat.model.resources import Block, Handle
from ocicat.store.base import Put

POOL = {"cidr": "10.0.0.0/24"}
FIRST, SECOND, OUTSIDE = (Cidr.parse(text) for text in ("10.0.0.0/26", "10.0.0.64/26", "10.1.0.0/26"))


@pytest.fixture
def bed():
    return Bed()


def block(cidr, host, **owned):
    """A block of `host`, with so many addresses for each handle."""
    made = arithmetic.new(cidr, host, 5)
    for handle, count in owned.items():
        made, _ = arithmetic.take(made, handle, {}, count)
    return [
        Put(keys.block(cidr), encode_json(made)),
        put(keys.affinity(host, cidr), {"state": "confirmed", "deleted": False}),
        *(Put(keys.handle(handle), encode_json(Handle(block={str(cidr): count}))) for handle, count in owned.items()),
    ]


async def read_block(bed, cidr):
    found = await bed.store.get(keys.block(cidr))
    return decode_json(Block, found.value) if found else None


async def left(bed):
    return [item.key for item in (await bed.store.range("/")).items]


# --- pools --------------------------------------------------------------------------------------------------------


def test_an_unused_pool_goes_with_its_empty_blocks(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        await bed.store.write(*block(FIRST, "h1"), *block(SECOND, "h2"), *block(OUTSIDE, "h1"))
        (gone,) = await bed.commit(delete("IPPool", "p"))
        assert gone.also == ("block 10.0.0.0/26 is deleted", "block 10.0.0.64/26 is deleted")
        assert await left(bed) == [keys.block(OUTSIDE), keys.affinity("h1", OUTSIDE)]

    run(scenario())


def test_a_pool_in_use_stays(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        await bed.store.write(*block(FIRST, "h1", a=2, b=1), *block(SECOND, "h2", c=1))
        assert await bed.rejected(delete("IPPool", "p")) == [
            (
                "IPPool p: 4 of its addresses are in use (3 in blocks of h1, 1 in blocks of h2) "
                "(stop the containers that have them, or force it: they keep their addresses then)"
            )
        ]

    run(scenario())


def test_by_force_addresses_stay_with_their_owners(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        await bed.store.write(*block(FIRST, "h1", a=2), *block(SECOND, "h2"))
        (gone,) = await bed.commit(delete("IPPool", "p", force=True))
        assert gone.also == (
            "block 10.0.0.0/26 belongs to no host any more, 2 addresses in it stay in use",
            "block 10.0.0.64/26 is deleted",
        )
        held = await read_block(bed, FIRST)
        assert (held.affinity, arithmetic.used(held), held.sequence_number) == (None, 2, 6)
        assert arithmetic.check(held) == []
        assert await left(bed) == [keys.block(FIRST), keys.handle("a")]

    run(scenario())


def test_a_block_that_cannot_be_read_could_be_in_use(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        await bed.store.write(put(keys.block(FIRST), b"{"))
        assert await bed.rejected(delete("IPPool", "p")) == [
            "IPPool p: it is not clear what of the block 10.0.0.0/26 is in use: it cannot be read (force it)"
        ]
        await bed.commit(delete("IPPool", "p", force=True))
        assert await left(bed) == [keys.block(FIRST)]

    run(scenario())


def in_between(bed, action):
    async def before():
        bed.store.before_commit = None
        await action()

    bed.store.before_commit = before


def test_an_address_that_is_taken_in_between_keeps_the_pool(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        await bed.store.write(*block(FIRST, "h1"))
        in_between(bed, lambda: bed.store.write(*block(FIRST, "h1", a=1)))
        assert "1 of its addresses are in use" in (await bed.rejected_late(delete("IPPool", "p")))[0]

    run(scenario())


def test_a_block_that_is_claimed_in_between_keeps_the_pool(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        in_between(bed, lambda: bed.store.write(*block(SECOND, "h2", a=1)))
        assert "1 of its addresses are in use" in (await bed.rejected_late(delete("IPPool", "p")))[0]

    run(scenario())


def test_a_disabled_pool_can_be_deleted_however_busy_the_others_are(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL | {"disabled": True}))
        await bed.store.write(*block(FIRST, "h1"))
        bed.store.before_commit = lambda: bed.store.write(*block(OUTSIDE, "h1", a=1))
        assert actions(await bed.commit(delete("IPPool", "p"))) == ["deleted"]

    run(scenario())


def test_an_enabled_pool_among_busy_ones(bed, monkeypatch):
    monkeypatch.setattr("ocicat.resources.write.FIRST_PAUSE_S", 0.0)

    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        bed.store.before_commit = lambda: bed.store.write(*block(OUTSIDE, "h1", a=1))
        with pytest.raises(Conflict, match="disable the pool, then delete it"):
            await bed.commit(delete("IPPool", "p"))

    run(scenario())


def test_our_own_allocator_and_a_pool_that_goes(bed):
    """No address is given from a pool that is gone, and no block is left without one."""

    async def scenario():
        await bed.commit(apply("IPPool", "p", POOL))
        async with allocator(bed.store) as ours:
            await ours.allocate(Request(handle="a"))
            assert "1 of its addresses are in use" in (await bed.rejected(delete("IPPool", "p")))[0]
            await ours.release("a")
            await bed.commit(delete("IPPool", "p"))
            with pytest.raises(Refused):
                await ours.allocate(Request(handle="b"))
            assert await left(bed) == []

    run(scenario())


# --- nodes --------------------------------------------------------------------------------------------------------


def endpoint(host, name, *networks):
    spec = {"node": host, "orchestrator": "mesos", "workload": name, "endpoint": "eth0", "interfaceName": "oc1"}
    return create("WorkloadEndpoint", f"{host}-mesos-{name}-eth0", spec | {"ipNetworks": list(networks)})


def test_a_bare_node(bed):
    async def scenario():
        await bed.commit(create("Node", "h1"), create("Node", "h2"))
        assert actions(await bed.commit(delete("Node", "h1"))) == ["deleted"]
        assert await left(bed) == [keys.node("h2")]

    run(scenario())


def test_a_node_takes_along_what_is_its_own(bed):
    async def scenario():
        await bed.commit(
            create("Node", "h1", {"bgp": {"ipv4Address": "192.0.2.1/24", "ipv4IPIPTunnelAddr": "10.0.0.1"}}),
            create("HostEndpoint", "eth0", {"node": "h1", "interfaceName": "eth0"}),
            create("HostEndpoint", "other", {"node": "h2", "interfaceName": "eth0"}),
            create("BGPPeer", "mine", {"node": "h1", "peerIP": "192.0.2.9", "asNumber": 65000}),
            create("BGPPeer", "all", {"peerIP": "192.0.2.9", "asNumber": 65000}),
            create("FelixConfiguration", "node.h1"),
            create("FelixConfiguration", "node.h11"),
            create("BGPConfiguration", "node.h1", {"logSeverityScreen": "Info"}),
        )
        await bed.store.write(
            *block(FIRST, "h1", free=1, tunnel=1), *block(SECOND, "h1"), put(keys.AFFINITIES + "h1", {})
        )
        await bed.store.write(*block(OUTSIDE, "h2"))
        (gone,) = await bed.commit(delete("Node", "h1"))
        assert gone.also == (
            "address 10.0.0.1 is released",
            "HostEndpoint eth0 is deleted",
            "BGPPeer mine is deleted",
            "FelixConfiguration node.h1 is deleted",
            "BGPConfiguration node.h1 is deleted",
            "block 10.0.0.0/26 belongs to no host any more, 1 addresses in it stay in use",
            "block 10.0.0.64/26 is deleted",
        )
        assert await left(bed) == [
            keys.block(FIRST),
            keys.block(OUTSIDE),
            keys.handle("free"),
            keys.affinity("h2", OUTSIDE),
            "/calico/resources/v3/projectcalico.org/bgppeers/all",
            "/calico/resources/v3/projectcalico.org/felixconfigurations/node.h11",
            "/calico/resources/v3/projectcalico.org/hostendpoints/other",
        ]
        assert arithmetic.check(await read_block(bed, FIRST)) == []

    run(scenario())


def test_a_node_with_endpoints_stays(bed):
    async def scenario():
        await bed.commit(create("Node", "h1"), endpoint("h1", "a", "10.0.0.0/32"), endpoint("h1", "b", "10.0.0.1/32"))
        assert await bed.rejected(delete("Node", "h1")) == [
            (
                "Node h1: has 2 workload endpoints (shop/h1-mesos-a-eth0 ...) "
                "(stop the agent and its containers first, or force it)"
            )
        ]

    run(scenario())


def test_by_force_a_node_takes_its_endpoints_and_their_addresses_along(bed):
    async def scenario():
        await bed.commit(
            create("Node", "h1"),
            endpoint("h1", "a", "10.0.0.0/32"),
            endpoint("h1", "b", "10.0.0.1/32", "10.1.0.0/32"),
            endpoint("h2", "c", "10.0.0.2/32"),
            endpoint("h11", "d", "10.0.0.3/32"),
        )
        await bed.store.write(*block(FIRST, "h1", a=1, b=1, c=1, d=1), *block(OUTSIDE, "h2", b2=1))
        await bed.store.write(put(keys.handle("b"), {"block": {str(FIRST): 1, "10.9.0.0/26": 1}}))
        (gone,) = await bed.commit(delete("Node", "h1", force=True))
        assert [line for line in gone.also if line.startswith("address")] == [
            "address 10.0.0.0 is released",
            "address 10.0.0.1 is released",
            "address 10.1.0.0 is released",
        ]
        held = await read_block(bed, FIRST)
        assert (held.affinity, [arithmetic.owner(held, ordinal) for ordinal in range(4)]) == (
            None,
            [None, None, "c", "d"],
        )
        assert await bed.raw(keys.handle("a")) is None
        assert (await bed.raw(keys.handle("b")))["block"] == {"10.9.0.0/26": 1}
        assert arithmetic.used(await read_block(bed, OUTSIDE)) == 0
        assert [key for key in await left(bed) if key.startswith(keys.WORKLOADS)] == [
            keys.workload("shop", "h11-mesos-d-eth0"),
            keys.workload("shop", "h2-mesos-c-eth0"),
        ]

    run(scenario())


def test_an_address_that_went_on_to_another_endpoint_is_not_released(bed):
    async def scenario():
        await bed.commit(create("Node", "h1"), endpoint("h1", "a", "10.0.0.0/32"), endpoint("h2", "b", "10.0.0.0/32"))
        await bed.store.write(*block(FIRST, "h2", b=1))
        await bed.commit(delete("Node", "h1", force=True))
        assert arithmetic.used(await read_block(bed, FIRST)) == 1

    run(scenario())


@pytest.mark.parametrize("turned", [False, True])
def test_nodes_and_their_pool_in_one_call(bed, turned):
    async def scenario():
        await bed.commit(
            create("IPPool", "p", POOL), create("Node", "h1"), create("Node", "h2"), endpoint("h1", "a", "10.0.0.0/32")
        )
        await bed.store.write(*block(FIRST, "h1", a=1), *block(SECOND, "h2"))
        gone = [delete("Node", "h1", force=True), delete("Node", "h2"), delete("IPPool", "p")]
        assert actions(await bed.commit(*(reversed(gone) if turned else gone))) == ["deleted"] * 3
        assert await left(bed) == []

    run(scenario())


def test_a_belonging_that_is_deleted_in_the_same_call(bed):
    async def scenario():
        await bed.commit(create("Node", "h1"), create("HostEndpoint", "e", {"node": "h1", "interfaceName": "eth0"}))
        await bed.commit(delete("HostEndpoint", "e"), delete("Node", "h1"))
        assert await left(bed) == []

    run(scenario())


def test_a_large_node_fits_into_one_transaction(bed):
    async def scenario():
        await bed.commit(create("Node", "h1"), *(endpoint("h1", f"w{number}") for number in range(300)))
        (gone,) = await bed.commit(delete("Node", "h1", force=True))
        assert len(gone.also) == 300
        assert await left(bed) == []

    run(scenario())
