"""The allocator on a store: what is in the store afterwards, what is said when it cannot be, who wins a race."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from ipam_bed import (
    BLOCK,
    ONE_BLOCK_POOL,
    POOL,
    Meddled,
    affinity_put,
    allocator,
    block_put,
    endpoint,
    full_block,
    lock,
    on,
    pool,
    text,
    until,
)

from ocicat.clock import ManualClock
from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.ipam import block as arithmetic
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import (
    Block,
    BlockAffinity,
    Handle,
    Metadata,
    Node,
)
from ocicat.store.base import Compare, Delete, Put

# --- the usual way ------------------------------------------------------------------------------------------------


@on(ONE_BLOCK_POOL)
async def test_block_handle_and_endpoint_are_written_at_one_revision(store):
    async with allocator(store) as mine:
        got = await mine.allocate(Request(handle="c1", attributes={"node": "h"}, writes=endpoint("e")))
        written = [keys.block(BLOCK), keys.handle("c1"), keys.workload("ns", "e")]
        assert [(await store.get(key)).modified for key in written] == [got.revision] * 3
        assert text(got.addresses) == text(mine.addresses_of("c1")) == ["10.0.0.0"]
        assert (await store.get(written[2])).value == b"10.0.0.0"
        assert decode_json(Handle, (await store.get(written[1])).value).block == {"10.0.0.0/26": 1}
        block = await store.block()
        assert (block.attributes[0].handle_id, block.attributes[0].secondary) == ("c1", {"node": "h"})


@on(ONE_BLOCK_POOL)
async def test_a_release_leaves_nothing_but_the_block(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c1", writes=endpoint("e")))
        assert text(await mine.release("c1", [Delete(keys.workload("ns", "e"))])) == ["10.0.0.0"]
        assert await store.used() == 0
        assert not await store.has(keys.handle("c1"))
        assert not await store.has(keys.workload("ns", "e"))
        assert mine.addresses_of("c1") == ()


@on(POOL, pool("six", "fd00::/48"))
async def test_explicit_addresses_come_first_then_one_per_family(store):
    async with allocator(store) as mine:
        wish = Addr.parse("10.0.0.77")
        got = await mine.allocate(Request(handle="c", families=(6, 4, 4), addresses=(wish,)))
        assert got.addresses[0] == wish
        assert [address.family for address in got.addresses] == [4, 6, 4, 4]
        assert sorted(got.addresses) == list(mine.addresses_of("c"))
        handle = decode_json(Handle, (await store.get(keys.handle("c"))).value)
        assert sum(handle.block.values()) == 4


@on(POOL)
async def test_a_second_allocation_adds_to_the_handle(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        await mine.allocate(Request(handle="c"))
        assert sum(decode_json(Handle, (await store.get(keys.handle("c"))).value).block.values()) == 2
        assert len(await mine.release("c")) == 2


@on(pool("a", "10.1.0.0/24", assignment_mode="Manual"), pool("b", "10.2.0.0/24"))
async def test_a_wish_for_a_pool_is_honoured(store):
    async with allocator(store) as mine:
        (address,) = (await mine.allocate(Request(handle="c", pools=("a",)))).addresses
        assert address in Cidr.parse("10.1.0.0/24")


@on(pool("a", "10.1.0.0/24"), pool("b", "10.2.0.0/24"), pool("six", "fd01::/64"), pool("other-six", "fd02::/64"))
async def test_pools_may_be_wished_for_by_family(store):
    async with allocator(store) as mine:
        wish = Request(handle="c", families=(4, 6), pools=("b", "six"), family_pools={6: ("other-six",)})
        four, six = (await mine.allocate(wish)).addresses
        assert four in Cidr.parse("10.2.0.0/24")
        assert six in Cidr.parse("fd02::/64")


@on(POOL)
async def test_all_that_is_wrong_with_explicit_addresses_is_said_at_once_and_nothing_is_taken(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="other", families=(), addresses=(Addr.parse("10.0.0.1"),)))
        wanted = tuple(map(Addr.parse, ("10.0.0.1", "10.0.0.2", "10.0.0.200", "192.0.2.1")))
        with pytest.raises(Refused) as caught:
            await mine.allocate(Request(handle="c", families=(4,), addresses=wanted))
        assert caught.value.message == "10.0.0.1 is in use by other; 192.0.2.1 lies in no pool"
        assert await store.used() == 1


@on(pool("r1", "10.1.0.0/24", node_selector="rack == 'r1'"), pool("r2", "10.2.0.0/24", node_selector="rack == 'r2'"))
async def test_the_labels_of_the_node_choose_the_pool(store):
    node = Node(metadata=Metadata(name="h", labels={"rack": "r2"}))
    await store.write(Put(keys.node("h"), encode_json(node)))
    async with allocator(store) as mine:
        (address,) = (await mine.allocate(Request(handle="c"))).addresses
        assert address in Cidr.parse("10.2.0.0/24")


@on(POOL)
async def test_many_requests_at_once_share_commits(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))
        before = store.commits
        wanted = [Request(handle=f"c{n}", writes=endpoint(f"e{n}")) for n in range(40)]
        got = await asyncio.gather(*map(mine.allocate, wanted))
        assert len({one.addresses for one in got}) == 40
        assert store.commits - before <= 2
        await asyncio.gather(*(mine.release(f"c{n}") for n in range(40)))
        assert await store.used() == 1


# --- one fails, the others do not -----------------------------------------------------------------------------------


@on(POOL)
async def test_of_a_batch_only_the_request_with_the_conflicting_endpoint_fails(store):
    await store.write(Put(keys.workload("ns", "e3"), b"older"))
    async with allocator(store) as mine:
        wanted = [Request(handle=f"c{n}", writes=endpoint(f"e{n}")) for n in range(6)]
        got = await asyncio.gather(*map(mine.allocate, wanted), return_exceptions=True)
        assert [n for n, one in enumerate(got) if isinstance(one, Exception)] == [3]
        assert isinstance(got[3], Conflict)
        assert keys.workload("ns", "e3") in str(got[3])
        assert await store.used() == 5
        assert not await store.has(keys.handle("c3"))


@on(POOL)
async def test_an_error_of_writes_fails_its_request_alone(store):
    def refuse(addresses):
        raise UserError("no such profile")

    async with allocator(store) as mine:
        good, bad = mine.allocate(Request(handle="a")), mine.allocate(Request(handle="b", writes=refuse))
        got = await asyncio.gather(good, bad, return_exceptions=True)
        assert isinstance(got[1], UserError)
        assert await store.used() == len(got[0].addresses) == 1


@on(POOL)
async def test_a_request_for_nothing_is_a_user_error(store):
    async with allocator(store) as mine:
        with pytest.raises(UserError, match="no address is asked for"):
            await mine.allocate(Request(handle="c", families=()))


@on(POOL)
async def test_a_partly_served_request_leaves_nothing(store):
    async with allocator(store) as mine:
        with pytest.raises(Refused, match="no IPv6 pool"):
            await mine.allocate(Request(handle="c", families=(4, 6)))
        assert await store.used() == 0


@on(POOL)
async def test_calls_on_the_same_keys_keep_their_order(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="old", writes=endpoint("e")))
        _, got = await asyncio.gather(
            mine.release("old", [Delete(keys.workload("ns", "e"))]),
            mine.allocate(Request(handle="new", writes=endpoint("e"))),
        )
        assert (await store.get(keys.workload("ns", "e"))).value == str(got.addresses[0]).encode()
        assert await store.used() == 1


@on(POOL)
async def test_two_requests_at_once_for_one_endpoint_have_one_winner(store):
    async with allocator(store) as mine:
        wanted = [Request(handle=handle, writes=endpoint("e")) for handle in "ab"]
        got = await asyncio.gather(*map(mine.allocate, wanted), return_exceptions=True)
        assert isinstance(got[1], Conflict)
        assert text(got[0].addresses) == [(await store.get(keys.workload("ns", "e"))).value.decode()]
        assert await store.used() == 1


@on(POOL)
async def test_a_key_is_written_by_one_request_of_a_commit(store):
    def unguarded(addresses):
        return [(None, Put("/shared", str(addresses[0]).encode()))]

    async with allocator(store) as mine:
        wanted = [Request(handle=handle, writes=unguarded) for handle in "ab"]
        first, second = await asyncio.gather(*map(mine.allocate, wanted))
        assert first.revision < second.revision
        assert (await store.get("/shared")).value == str(second.addresses[0]).encode()


@on(POOL)
async def test_requests_at_once_for_one_handle_all_count(store):
    async with allocator(store) as mine:
        await asyncio.gather(*(mine.allocate(Request(handle="c")) for _ in range(3)))
        assert sum(decode_json(Handle, (await store.get(keys.handle("c"))).value).block.values()) == 3


@on(POOL, Put("/guard", b""))
async def test_requests_may_share_a_guard(store):
    revision = (await store.get("/guard")).modified

    def guarded(name):
        return lambda addresses: [(Compare("/guard", revision), Put(f"/{name}", b""))]

    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))
        before = store.commits
        await asyncio.gather(*(mine.allocate(Request(handle=f"c{n}", writes=guarded(f"w{n}"))) for n in range(5)))
        assert store.commits - before <= 2


# --- no address to give ---------------------------------------------------------------------------------------------


async def refusal(store: Meddled, request: Request | None = None, host: str = "h") -> str:
    async with allocator(store, host) as mine:
        with pytest.raises(Refused) as caught:
            await mine.allocate(request or Request(handle="c"))
        assert not await store.has(keys.handle("c"))
        return str(caught.value)


@on()
async def test_no_pool_at_all(store):
    assert "there is no IPv4 pool (add a pool: `ocicat pool add" in await refusal(store)


@on(pool("p", "10.0.0.0/24", disabled=True))
async def test_a_disabled_pool(store):
    assert "every IPv4 pool is disabled: p (10.0.0.0/24)" in await refusal(store)


@on(ONE_BLOCK_POOL, block_put(full_block()), affinity_put("confirmed"))
async def test_a_full_pool_gives_the_numbers_and_the_way_out(store):
    said = await refusal(store)
    assert "pool p (10.0.0.0/26) is full: 64 of 64 addresses are in use" in said
    assert "ocicat pool add" in said


STRICT = Put(keys.IPAM_CONFIG, b'{"strict_affinity":true,"auto_allocate_blocks":true}')


@on(ONE_BLOCK_POOL, block_put(full_block(host="x", leaving=4)), affinity_put("confirmed", "x"), STRICT)
async def test_free_addresses_of_other_hosts_are_named_apart_from_a_full_pool(store):
    said = await refusal(store)
    assert "has no free block: 60 of 64 addresses are in use, the free ones lie in blocks of x" in said


@on(
    POOL,
    block_put(full_block()),
    affinity_put("confirmed"),
    Put(keys.IPAM_CONFIG, b'{"auto_allocate_blocks":true,"maxBlocksPerHost":1}'),
)
async def test_the_block_limit_is_told_apart_from_a_full_pool(store):
    said = await refusal(store)
    assert "host h needs another block of p (10.0.0.0/24), but holds 1 of IPv4, the most a host may hold" in said
    assert "maxBlocksPerHost" in said


@on(POOL, block_put(full_block()), affinity_put("confirmed"), Put(keys.IPAM_CONFIG, b'{"strict_affinity":true}'))
async def test_claiming_can_be_switched_off(store):
    assert "claiming blocks is switched off" in await refusal(store)


@on(POOL)
async def test_all_addresses_of_a_pool_can_be_given_and_not_one_more(store):
    async with allocator(store) as mine:
        got = await asyncio.gather(
            *(mine.allocate(Request(handle=f"c{n}")) for n in range(257)), return_exceptions=True
        )
        assert sum(isinstance(one, Refused) for one in got) == 1
        with pytest.raises(Refused, match=r"pool p \(10\.0\.0\.0/24\) is full: 256 of 256 addresses are in use"):
            await mine.allocate(Request(handle="one more"))
        await mine.release("c7")
        assert text((await mine.allocate(Request(handle="again"))).addresses) == text(got[7].addresses)


# --- wished-for addresses -------------------------------------------------------------------------------------------


@on(POOL, block_put(full_block(host="x", leaving=4)), affinity_put("confirmed", "x"), STRICT)
async def test_where_affinity_is_strict_a_wish_in_another_hosts_block_is_refused_by_name(store):
    said = await refusal(store, Request(handle="c", families=(), addresses=(Addr.parse("10.0.0.63"),)))
    assert "10.0.0.63 lies in block 10.0.0.0/26, which belongs to host x, and strictAffinity forbids" in said


@on(POOL)
async def test_a_wished_for_address_in_a_free_block_claims_it(store):
    async with allocator(store) as mine:
        for number in (10, 70, 130, 200):
            wish = Addr.parse(f"10.0.0.{number}")
            got = await mine.allocate(Request(handle=f"c{number}", families=(), addresses=(wish,)))
            assert got.addresses == (wish,)
        assert len((await store.range(keys.AFFINITIES)).items) == 4


@on(POOL)
async def test_a_wished_for_address_in_use_is_refused_by_owner(store):
    wish = Addr.parse("10.0.0.9")
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="holder", families=(), addresses=(wish,)))
        with pytest.raises(Refused, match=r"10\.0\.0\.9 is in use by holder"):
            await mine.allocate(Request(handle="c", families=(), addresses=(wish,)))


@on(POOL)
async def test_a_wished_for_address_outside_every_pool_is_refused(store):
    assert "lies in no pool" in await refusal(
        store, Request(handle="c", families=(), addresses=(Addr.parse("192.0.2.1"),))
    )


# --- the lock -------------------------------------------------------------------------------------------------------


@on(POOL, lock(True))
async def test_a_locked_store_refuses_allocations_and_puts_releases_off(store):
    async with allocator(store) as mine:
        with pytest.raises(Refused, match=r"the datastore is locked \(unlock it: `ocicat store unlock`"):
            await mine.allocate(Request(handle="c"))
        with pytest.raises(Unavailable, match="nothing can be released"):
            await mine.release("c")
        assert store.commits == 0


@on(POOL)
async def test_a_lock_nobody_told_us_of_is_not_raced(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        await store.write(lock(True))
        with pytest.raises(Refused, match="locked"):
            await mine.allocate(Request(handle="d"))
        with pytest.raises(Unavailable):
            await mine.release("c")
        assert await store.used() == 1


@on(POOL, lock(True))
async def test_unlocking_is_enough_to_go_on(store):
    async with allocator(store) as mine:
        await store.write(lock(False))
        mine.set_locked(False)
        assert (await mine.allocate(Request(handle="c"))).addresses
        mine.set_locked(True)
        with pytest.raises(Refused):
            await mine.allocate(Request(handle="d"))


# --- releases -------------------------------------------------------------------------------------------------------


@on(POOL, Put("/also", b""))
async def test_releasing_an_unknown_handle_is_success_and_deletes_the_rest(store):
    async with allocator(store) as mine:
        assert await mine.release("never", [Delete("/also"), Delete("/absent")]) == ()
        assert not await store.has("/also")


@on(POOL)
async def test_a_repeated_and_a_concurrent_release_free_once(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        freed = await asyncio.gather(*(mine.release("c") for _ in range(3)))
        assert sorted(map(len, freed)) == [0, 0, 1]


@on(POOL)
async def test_what_was_allocated_before_a_restart_is_released_after_it(store):
    async with allocator(store) as mine:
        got = await mine.allocate(Request(handle="c"))
    async with allocator(store) as reborn:
        assert reborn.addresses_of("c") == got.addresses
        assert await reborn.release("c") == got.addresses
        assert await store.used() == 0


@on(POOL)
async def test_an_address_in_another_hosts_block_is_released_by_owner(store):
    theirs, _ = arithmetic.take(arithmetic.new(BLOCK, "x", 1), "c", {}, 2)
    theirs, _ = arithmetic.take(theirs, "not-c", {})
    await store.write(block_put(theirs), Put(keys.handle("c"), encode_json(Handle(block={str(BLOCK): 2}))))
    async with allocator(store) as mine:
        assert len(await mine.release("c")) == 2
        block = await store.block()
        assert (block.affinity, arithmetic.used(block)) == ("host:x", 1)


@on(POOL)
async def test_an_empty_block_without_a_host_goes_with_its_last_address(store):
    orphan = arithmetic.take(arithmetic.new(BLOCK, "h", 1), "c", {})[0].__replace__(affinity=None)
    await store.write(block_put(orphan), Put(keys.handle("c"), encode_json(Handle(block={str(BLOCK): 1}))))
    async with allocator(store) as mine:
        assert text(await mine.release("c")) == ["10.0.0.0"]
        found = await store.get(keys.block(BLOCK))
        assert found is None or decode_json(Block, found.value).affinity == "host:h"


@on(POOL, Put(keys.handle("c"), encode_json(Handle(block={str(BLOCK): 1}))))
async def test_a_handle_that_counts_addresses_nobody_holds_is_deleted(store):
    async with allocator(store) as mine:
        assert await mine.release("c") == ()
        assert not await store.has(keys.handle("c"))


# --- others write too -----------------------------------------------------------------------------------------------


@on(ONE_BLOCK_POOL)
async def test_an_address_released_by_another_tool_and_given_on_is_left_to_its_new_owner(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        block = arithmetic.take_at(arithmetic.release(await store.block(), [0]), 0, "other", {})
        await store.write(block_put(arithmetic.written(block)), Delete(keys.handle("c")))
        assert await mine.release("c") == ()
        assert arithmetic.owner(await store.block(), 0) == "other"


@on(ONE_BLOCK_POOL)
async def test_a_release_keeps_what_another_tool_did_to_the_block(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        block, _ = arithmetic.take(await store.block(), "other", {})
        await store.write(block_put(arithmetic.written(block)))
        await mine.release("c")
        assert arithmetic.ordinals_of(await store.block(), "other") == (1,)


@on(ONE_BLOCK_POOL)
async def test_a_newer_change_heard_before_our_commit_is_answered_stays(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))

        async def release_all() -> None:
            freed = arithmetic.written(arithmetic.release(await store.block(), [0, 1]))
            mine.observe(keys.block(BLOCK), encode_json(freed), await store.write(block_put(freed)))

        store.after_commit = release_all
        await mine.allocate(Request(handle="d"))
        assert mine.addresses_of("d") == ()


@on(ONE_BLOCK_POOL)
async def test_observing_another_tools_release_makes_the_address_ours_to_give(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        freed = arithmetic.written(arithmetic.release(await store.block(), [0]))
        revision = await store.write(block_put(freed))
        mine.observe(keys.block(BLOCK), encode_json(freed), revision)
        assert mine.addresses_of("c") == ()


@on(ONE_BLOCK_POOL)
async def test_an_echo_of_an_older_write_changes_nothing(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        old = await store.get(keys.block(BLOCK))
        await mine.allocate(Request(handle="d"))
        mine.observe(old.key, old.value, old.modified)
        mine.observe(old.key, None, old.modified - 1)
        assert len(mine.addresses_of("d")) == 1


@on(ONE_BLOCK_POOL)
async def test_a_block_taken_away_is_claimed_anew(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        revision = await store.write(Delete(keys.block(BLOCK)))
        mine.observe(keys.block(BLOCK), None, revision)
        await mine.allocate(Request(handle="d"))
        assert await store.used() == 1


@on(ONE_BLOCK_POOL)
async def test_a_block_taken_away_unheard_is_noticed_by_the_commit(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        await store.write(Delete(keys.block(BLOCK)))
        await mine.allocate(Request(handle="d"))
        assert await store.used() == 1


@on(ONE_BLOCK_POOL)
async def test_a_conflict_is_looked_into_and_tried_again(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        turns = count()

        async def steal() -> None:
            if next(turns) < 3:
                block, _ = arithmetic.take(await store.block(), f"thief-{store.commits}", {})
                await store.write(block_put(arithmetic.written(block)))

        store.before_commit = steal
        assert text((await mine.allocate(Request(handle="d"))).addresses) == ["10.0.0.4"]


@on(ONE_BLOCK_POOL)
async def test_endless_conflicts_end_in_unavailable(store):
    async with allocator(store, attempts=4) as mine:
        await mine.allocate(Request(handle="c"))

        async def rewrite() -> None:
            await store.write(block_put(arithmetic.written(await store.block())))

        store.before_commit = rewrite
        with pytest.raises(Unavailable, match="addresses of d kept changing under 4 attempts"):
            await mine.allocate(Request(handle="d"))
        store.before_commit = None
        assert await store.used() == 1
        assert await mine.allocate(Request(handle="e"))


@on(ONE_BLOCK_POOL)
async def test_an_unavailable_store_fails_the_request_and_not_the_next(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))

        async def fail() -> None:
            raise Unavailable("the store is gone")

        store.before_commit = fail
        with pytest.raises(Unavailable, match="gone"):
            await mine.allocate(Request(handle="d"))
        store.before_commit = None
        assert await mine.allocate(Request(handle="d"))


@on(ONE_BLOCK_POOL)
async def test_after_a_commit_of_unknown_outcome_a_release_finds_what_it_did(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))

        async def lose_the_answer() -> None:
            raise Unavailable("the store is gone")

        store.after_commit = lose_the_answer
        with pytest.raises(Unavailable):
            await mine.allocate(Request(handle="d"))
        store.after_commit = None
        assert text(await mine.release("d")) == ["10.0.0.1"]
        assert await store.used() == 1


@on(POOL, Put(keys.handle("c"), encode_json(Handle(block={}))))
async def test_a_handle_left_by_another_tool_is_found_and_kept_up(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        assert sum(decode_json(Handle, (await store.get(keys.handle("c"))).value).block.values()) == 1


# --- blocks: claimed ahead, mended ------------------------------------------------------------------------------------


@on(POOL)
async def test_the_first_block_is_claimed_before_anybody_asks(store):
    async with allocator(store):
        await until(lambda: store.has_blocks(1))
        (affinity,) = (await store.range(keys.affinities_of("h", 4))).items
        assert decode_json(BlockAffinity, affinity.value).state == "confirmed"


@on(POOL)
async def test_a_request_and_the_claim_ahead_do_not_claim_twice(store):
    store.before_commit = lambda: asyncio.sleep(0)
    async with allocator(store) as mine:
        await asyncio.gather(*(mine.allocate(Request(handle=f"c{n}")) for n in range(3)))
        assert await store.has_blocks(1)


@on()
async def test_nothing_is_claimed_under_a_lock_nobody_told_us_of(store):
    async with allocator(store) as mine:
        await store.write(lock(True))
        mine.observe(POOL.key, POOL.value, await store.write(POOL))
        with pytest.raises(Refused, match="locked"):
            await mine.allocate(Request(handle="c"))
        assert await store.has_blocks(0)


@on()
async def test_nothing_is_claimed_in_a_pool_that_has_just_gone(store):
    async with allocator(store) as mine:
        mine.observe(POOL.key, POOL.value, await store.write(POOL))
        await store.write(Delete(POOL.key))
        with pytest.raises(Refused):
            await mine.allocate(Request(handle="c"))
        assert await store.has_blocks(0)


@on(POOL)
async def test_the_next_block_is_claimed_when_a_quarter_is_left(store):
    async with allocator(store) as mine:
        await asyncio.gather(*(mine.allocate(Request(handle=f"c{n}")) for n in range(48)))
        assert len((await store.range(keys.BLOCKS)).items) == 1
        await mine.allocate(Request(handle="one-more"))
        await until(lambda: store.has_blocks(2))


@on(POOL)
async def test_two_hosts_never_share_a_block(store):
    async with allocator(store, "a") as one, allocator(store, "b") as other:
        wanted = [host.allocate(Request(handle=f"{host is one}-{n}")) for n in range(100) for host in (one, other)]
        got = await asyncio.gather(*wanted)
        assert len({address for assignment in got for address in assignment.addresses}) == 200
        assert len((await store.range(keys.BLOCKS)).items) == 4


@pytest.mark.parametrize("state", ["pending", "confirmed", ""])
def test_an_affinity_without_a_block_gets_one(state):
    @on(POOL, affinity_put(state))
    async def check(store):
        async with allocator(store) as mine:
            await mine.allocate(Request(handle="c"))
            assert arithmetic.used(await store.block()) == 1
            assert decode_json(BlockAffinity, (await store.get(keys.affinity("h", BLOCK))).value).state == "confirmed"

    check()


@on(POOL, affinity_put("pendingDeletion"))
async def test_a_release_of_a_block_that_was_half_done_is_finished(store):
    await store.write(block_put(arithmetic.new(BLOCK, "h", 1)), lock(False))
    made = Allocator(store, "h", ManualClock())
    await made.start()
    assert not await store.has(keys.affinity("h", BLOCK))
    assert not await store.has(keys.block(BLOCK))
    await made.close()


@on(POOL, affinity_put("pending"), block_put(arithmetic.new(BLOCK, "x", 1)))
async def test_a_claim_that_another_host_won_is_given_up(store):
    async with allocator(store):
        assert not await store.has(keys.affinity("h", BLOCK))
        assert (await store.block()).affinity == "host:x"


@on(POOL, block_put(full_block(leaving=1)))
async def test_a_block_without_its_affinity_gets_it_back(store):
    async with allocator(store) as mine:
        assert await store.has(keys.affinity("h", BLOCK))
        assert text((await mine.allocate(Request(handle="c"))).addresses) == ["10.0.0.63"]


@on(affinity_put("confirmed"))
async def test_an_affinity_whose_pool_is_gone_is_forgotten(store):
    async with allocator(store):
        assert not await store.has(keys.affinity("h", BLOCK))


@on(POOL, lock(True), affinity_put("pending"))
async def test_a_locked_store_is_mended_when_it_is_unlocked(store):
    async with allocator(store) as mine:
        assert not await store.has(keys.block(BLOCK))
        unlocked = lock(False)
        mine.observe(unlocked.key, unlocked.value, await store.write(unlocked))
        await until(lambda: store.has(keys.block(BLOCK)))


@on(ONE_BLOCK_POOL, affinity_put("confirmed"), Put(keys.block(BLOCK), b'{"cidr":"10.0.0.0/26","affinity":"host:h"}'))
async def test_a_malformed_block_is_left_alone_and_named(store):
    said = await refusal(store, Request(handle="c", families=(), addresses=(Addr.parse("10.0.0.1"),)))
    assert "block 10.0.0.0/26 is malformed" in said


@on(POOL, Put(keys.pool("bad"), b"{}"), Put(keys.handle("c"), b"nonsense"))
async def test_objects_that_cannot_be_read_stop_nobody(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="c"))
        assert len(await mine.release("c")) == 1


# --- callers that go away ---------------------------------------------------------------------------------------------


@on(ONE_BLOCK_POOL)
async def test_a_request_cancelled_while_it_is_committed_is_undone(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            reached.set()
            await go_on.wait()

        store.before_commit = wait
        task = asyncio.create_task(mine.allocate(Request(handle="c", writes=endpoint("e"))))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go_on.set()
        await mine.allocate(Request(handle="later"))
        assert await store.used() == 2
        assert not await store.has(keys.workload("ns", "e"))
        assert not await store.has(keys.handle("c"))


@on(ONE_BLOCK_POOL)
async def test_closing_finishes_the_commit_under_way_and_fails_what_waits(store):
    async with allocator(store) as mine:
        await mine.allocate(Request(handle="first"))
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            reached.set()
            await go_on.wait()

        store.before_commit = wait
        under_way = asyncio.create_task(mine.allocate(Request(handle="c")))
        await reached.wait()
        waiting = asyncio.create_task(mine.allocate(Request(handle="d")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(mine.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        assert (await under_way).addresses
        for late in (waiting, mine.allocate(Request(handle="e")), mine.release("c")):
            with pytest.raises(Unavailable, match="stopped"):
                await late


# --- from one owner to another ------------------------------------------------------------------------------------


def owners(mine):
    return {str(one.address): (one.handle, one.attributes) for one in mine.held()}


@on(ONE_BLOCK_POOL)
async def test_addresses_pass_from_one_owner_to_another_in_one_commit(store):
    async with allocator(store) as mine:
        got = await mine.allocate(Request(handle="early", attributes={"step": "1"}, families=(4, 4, 4)))
        kept = got.addresses[:2]
        before = store.commits
        after = await mine.allocate(
            Request(
                handle="late",
                attributes={"step": "2"},
                families=(),
                addresses=kept,
                takes_over=("early",),
                writes=endpoint("e"),
            )
        )
        assert (after.addresses, store.commits) == (kept, before + 1)
        assert owners(mine) == {"10.0.0.0": ("late", {"step": "2"}), "10.0.0.1": ("late", {"step": "2"})}
        assert [await store.has(keys.handle(name)) for name in ("early", "late")] == [False, True]
        assert decode_json(Handle, (await store.get(keys.handle("late"))).value).block == {str(BLOCK): 2}
        assert arithmetic.check(await store.block()) == []
        assert await mine.release("early") == ()
        assert await mine.release("late") == kept


@on(ONE_BLOCK_POOL)
async def test_addresses_of_several_owners_pass_in_one_commit(store):
    async with allocator(store) as mine:
        early = {name: (await mine.allocate(Request(handle=name))).addresses[0] for name in ("one", "two")}
        asked = Request(handle="late", families=(), addresses=tuple(early.values()), takes_over=tuple(early))
        before = store.commits
        assert (await mine.allocate(asked)).addresses == asked.addresses
        assert store.commits == before + 1
        assert {owner for owner, _ in owners(mine).values()} == {"late"}
        assert [await store.has(keys.handle(name)) for name in (*early, "late")] == [False, False, True]
        assert arithmetic.check(await store.block()) == []


@on(ONE_BLOCK_POOL)
async def test_what_cannot_pass_stays_with_its_owner(store):
    await store.write(Put(keys.workload("ns", "e"), b"older"))
    async with allocator(store) as mine:
        (mine_,) = (await mine.allocate(Request(handle="early"))).addresses
        (other,) = (await mine.allocate(Request(handle="other"))).addresses
        for asked, error in (
            (Request(handle="late", families=(), addresses=(mine_, other), takes_over=("early",)), Refused),
            (
                Request(handle="late", families=(), addresses=(mine_,), takes_over=("early",), writes=endpoint("e")),
                Conflict,
            ),
        ):
            got = await asyncio.gather(
                mine.allocate(asked), mine.allocate(Request(handle=f"beside {error}")), return_exceptions=True
            )
            assert isinstance(got[0], error)
            assert owners(mine)[str(mine_)][0] == "early"
        assert len(owners(mine)) == await store.used() == 4


@on(ONE_BLOCK_POOL)
async def test_part_of_what_an_owner_has_is_released(store):
    async with allocator(store) as mine:
        got = (await mine.allocate(Request(handle="c", families=(4, 4, 4)))).addresses
        (foreign,) = (await mine.allocate(Request(handle="d"))).addresses
        assert await mine.release("c", only=(got[1], foreign)) == (got[1],)
        assert text(mine.addresses_of("c")) == text((got[0], got[2]))
        assert text(mine.addresses_of("d")) == text((foreign,))
        assert await mine.release("c", only=()) == ()
        assert decode_json(Handle, (await store.get(keys.handle("c"))).value).block == {str(BLOCK): 2}
