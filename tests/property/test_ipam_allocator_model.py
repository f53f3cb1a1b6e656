"""Two hosts' allocators on one store, with crashes, other tools and locks, against a dictionary from address to owner.

The pool is tiny (four blocks of eight) so that full pools, last addresses and the other host's blocks come up all the time.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ocicat.clock import ManualClock
from ocicat.errors import Conflict, OcicatError, Refused, Unavailable
from ocicat.ipam import block as arithmetic
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import (
    Block,
    BlockAffinity,
    ClusterInformation,
    ClusterInformationSpec,
    Handle,
    IPPool,
    IPPoolSpec,
    Metadata,
)
from ocicat.store.base import Compare, Delete, Put
from ocicat.store.memory import MemoryStore

POOL = Cidr.parse("10.0.0.0/27")
BLOCKS = [Cidr(4, POOL.network + 8 * n, 29) for n in range(4)]
HOSTS = st.sampled_from(["x", "y"])
HANDLES = st.sampled_from("abcdefgh")


class Contended(MemoryStore):
    """Somebody rewrites blocks just before the next few commits: they conflict, though nothing that matters changed."""

    def __init__(self) -> None:
        super().__init__()
        self.contended = 0

    async def commit(self, compares, operations):
        if self.contended:
            self.contended -= 1
            for item in (await self.range(keys.BLOCKS)).items:
                block = arithmetic.written(decode_json(Block, item.value))
                await super().commit([], [Put(item.key, encode_json(block))])
        await asyncio.sleep(0)  # a commit is not done at once,
        revision = await super().commit(compares, operations)
        await asyncio.sleep(0)  # nor is it known as soon as it is done
        return revision


def endpoint_key(handle):
    return keys.workload("ns", handle)


def request(handle, count=1, addresses=()):
    key = endpoint_key(handle)
    return Request(
        handle=handle,
        families=(4,) * count,
        addresses=addresses,
        attributes={"count": str(count)},
        writes=lambda got: [(Compare(key, 0), Put(key, " ".join(map(str, got)).encode()))],
    )


def _owners(blocks):
    return {
        cidr.nth(ordinal): arithmetic.owner(block, ordinal)
        for cidr, block in blocks.items()
        for ordinal, index in enumerate(block.allocations)
        if index is not None
    }


class AllocatorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = Contended()
        self.owners: dict[Addr, str] = {}
        self.endpoints: set[str] = set()
        self.locked = False
        self.run(self._begin())

    def run(self, coroutine):
        return self.runner.run(asyncio.wait_for(coroutine, 20))

    async def _begin(self):
        spec = IPPoolSpec(cidr=str(POOL), block_size=29)
        pool = IPPool(metadata=Metadata(name="p"), spec=spec)
        await self.store.commit([], [Put(keys.pool("p"), encode_json(pool))])
        self.hosts = {host: await self._started(host) for host in "xy"}

    async def _started(self, host):
        allocator = Allocator(self.store, host, ManualClock(), batch=4)
        await allocator.start()
        return allocator

    def teardown(self):
        self.run(self._end())
        self.runner.close()

    async def _end(self):
        """Every address that is free can be given again: released all, the two hosts together get the whole pool."""
        self.store.contended = 0
        await self._set_lock(locked=False)
        for handle in "abcdefgh":
            await self.hosts["x"].release(handle, [Delete(endpoint_key(handle))])
        for host in self.hosts:
            self.hosts[host] = await self._restarted(host)
        assert sum([await self._drain(host) for host in self.hosts]) == POOL.size
        for allocator in self.hosts.values():
            await allocator.close()

    async def _drain(self, host):
        for number in range(POOL.size + 1):
            try:
                await self.hosts[host].allocate(Request(handle=f"last-{host}-{number}"))
            except Refused:
                return number
        raise AssertionError("more addresses than there are")

    async def _restarted(self, host):
        await self.hosts[host].close()
        return await self._started(host)

    # --- rules ----------------------------------------------------------------------------------------------------

    @rule(host=HOSTS, handle=HANDLES, count=st.integers(1, 3))
    def allocate(self, host, handle, count):
        self.run(self._allocate(host, [request(handle, count)]))

    @rule(host=HOSTS, handles=st.lists(HANDLES, min_size=2, max_size=8))
    def allocate_many_at_once(self, host, handles):
        self.run(self._allocate(host, [request(handle) for handle in handles]))

    @rule(host=HOSTS, handle=HANDLES, place=st.integers(0, 31), more=st.integers(0, 1))
    def allocate_a_given_address(self, host, handle, place, more):
        self.run(self._allocate(host, [request(handle, more, (POOL.nth(place),))]))

    async def _allocate(self, host, requests):
        available = await self._available(host)
        got = await asyncio.gather(*map(self.hosts[host].allocate, requests), return_exceptions=True)
        for wanted, one in zip(requests, got, strict=True):
            if isinstance(one, BaseException):
                self._check_failure(wanted, one, available, requests)
            else:
                self._check_success(wanted, one)

    def _check_success(self, wanted, got):
        assert not self.locked
        assert len(got.addresses) == len(wanted.addresses) + len(wanted.families)
        assert not any(address in self.owners for address in got.addresses), "an address was given twice"
        assert wanted.handle not in self.endpoints
        self.owners |= dict.fromkeys(got.addresses, wanted.handle)
        self.endpoints.add(wanted.handle)

    def _check_failure(self, wanted, error, available, requests):
        """Only for a reason that the model knows too."""
        assert isinstance(error, OcicatError)
        if isinstance(error, Conflict):
            assert wanted.handle in self.endpoints
        else:
            assert isinstance(error, Refused)
            asked_for = sum(len(one.families) for one in requests)
            assert self.locked or wanted.addresses or available < asked_for

    async def _available(self, host):
        """Addresses this host can get: free ones of its blocks, and all of the blocks that nobody has."""
        blocks = await self._blocks()
        own = sum(len(block.unallocated) for block in blocks.values() if arithmetic.host_of(block) == host)
        return own + 8 * (len(BLOCKS) - len(blocks))

    @rule(host=HOSTS, handle=HANDLES)
    def release(self, host, handle):
        self.run(self._release(host, [handle]))

    @rule(host=HOSTS, handles=st.lists(HANDLES, min_size=2, max_size=8))
    def release_many_at_once(self, host, handles):
        self.run(self._release(host, handles))

    async def _release(self, host, handles):
        calls = [self.hosts[host].release(handle, [Delete(endpoint_key(handle))]) for handle in handles]
        if self.locked:
            got = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, Unavailable) for one in got)
            return
        expected = Counter(owner for owner in self.owners.values() if owner in handles)
        freed = [address for some in await asyncio.gather(*calls) for address in some]
        assert Counter(self.owners[address] for address in freed) == expected
        self._forget(set(handles))

    def _forget(self, handles):
        self.owners = {address: owner for address, owner in self.owners.items() if owner not in handles}
        self.endpoints -= handles

    @rule(host=HOSTS, release=HANDLES, allocate=HANDLES)
    def release_and_allocate_at_once(self, host, release, allocate):
        async def both():
            available = await self._available(host)
            key = endpoint_key(release)
            wanted = request(allocate)
            freed, got = await asyncio.gather(
                self.hosts[host].release(release, [Delete(key)]),
                self.hosts[host].allocate(wanted),
                return_exceptions=True,
            )
            if not isinstance(freed, BaseException):
                self._forget({release})
            if isinstance(got, BaseException):
                self._check_failure(wanted, got, available, [wanted])
            else:
                self._check_success(wanted, got)

        self.run(both())

    @rule(host=HOSTS, handle=HANDLES, turns=st.integers(0, 25))
    def crash_in_the_middle(self, host, handle, turns):
        """Everything of the allocator stops after that many turns of the loop; a new one starts on the same store."""

        async def crash():
            old = self.hosts[host]
            task = asyncio.create_task(old.allocate(request(handle, 2)))
            for _ in range(turns):
                await asyncio.sleep(0)
            dying = [t for t in (old._committer, old._keeper, task) if t is not None]
            for one in dying:
                one.cancel()
            await asyncio.gather(*dying, return_exceptions=True)
            self.hosts[host] = await self._started(host)
            await self._learn_outcome(handle)

        self.run(crash())

    async def _learn_outcome(self, handle):
        """All of it happened or nothing did."""
        if handle in self.endpoints:
            return
        owners = _owners(await self._blocks())
        got = [address for address, owner in owners.items() if owner == handle]
        assert len(got) in (0, 2)
        self.owners |= dict.fromkeys(got, handle)
        if got:
            self.endpoints.add(handle)

    @rule(host=HOSTS, handle=HANDLES, turns=st.integers(0, 25))
    def cancel_in_the_middle(self, host, handle, turns):
        async def cancel():
            task = asyncio.create_task(self.hosts[host].allocate(request(handle)))
            for _ in range(turns):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            (got,) = await asyncio.gather(task, return_exceptions=True)
            if finished and not isinstance(got, BaseException):
                self._check_success(request(handle), got)
            await self._settled(host)

        self.run(cancel())

    async def _settled(self, host):
        """A release goes through the same queue: when it is answered, so is what was queued before."""
        await asyncio.gather(self.hosts[host].release("nobody"), return_exceptions=True)

    @rule(host=HOSTS)
    def restart(self, host):
        async def restart():
            self.hosts[host] = await self._restarted(host)

        self.run(restart())

    @rule(commits=st.integers(1, 4))
    def others_write_before_the_next_commits(self, commits):
        self.store.contended = commits

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), told=st.booleans())
    def another_tool_releases_an_address(self, data, told):
        address = data.draw(st.sampled_from(sorted(self.owners)))
        self.run(self._take_away(address, told=told))

    async def _take_away(self, address, *, told):
        cidr, handle = Cidr.of(address, 29), self.owners.pop(address)
        found, found_handle = await self.store.get(keys.block(cidr)), await self.store.get(keys.handle(handle))
        block = arithmetic.release(decode_json(Block, found.value), [address.value - cidr.network])
        left = Counter(decode_json(Handle, found_handle.value).block) - Counter([str(cidr)])
        put = Put(found.key, encode_json(arithmetic.written(block)))
        value = encode_json(Handle(block=dict(left))) if left else None
        revision = await self.store.commit(
            [], [put, Put(found_handle.key, value) if left else Delete(found_handle.key)]
        )
        for allocator in self.hosts.values() if told else ():
            allocator.observe(put.key, put.value, revision)
            allocator.observe(found_handle.key, value, revision)

    @rule(told=st.booleans())
    def lock_or_unlock(self, told):
        self.run(self._set_lock(locked=not self.locked, told=told))

    async def _set_lock(self, *, locked, told=True):
        """Unlocking is always told: an allocator that believes in a lock does not go and look."""
        spec = ClusterInformationSpec(datastore_ready=not locked)
        value = encode_json(ClusterInformation(metadata=Metadata(name="default"), spec=spec))
        revision = await self.store.commit([], [Put(keys.CLUSTER_INFORMATION, value)])
        self.locked = locked
        for allocator in self.hosts.values() if told or not locked else ():
            allocator.observe(keys.CLUSTER_INFORMATION, value, revision)

    # --- invariants -------------------------------------------------------------------------------------------------

    async def _blocks(self):
        items = (await self.store.range(keys.BLOCKS)).items
        return {keys.block_cidr(item.key): decode_json(Block, item.value) for item in items}

    @invariant()
    def store_and_model_agree(self):
        self.run(self._compare())

    async def _compare(self):
        blocks = await self._blocks()
        assert [arithmetic.check(block) for block in blocks.values()] == [[]] * len(blocks)
        owners = _owners(blocks)
        assert owners == self.owners
        await self._compare_handles(owners)
        await self._compare_affinities(blocks)
        endpoints = {keys.name_of(item.key) for item in (await self.store.range(keys.WORKLOADS)).items}
        assert endpoints == self.endpoints

    async def _compare_handles(self, owners):
        """Counts equal what the blocks say."""
        counted = {
            (keys.name_of(item.key), text): number
            for item in (await self.store.range(keys.HANDLES)).items
            for text, number in decode_json(Handle, item.value).block.items()
        }
        assert counted == Counter((owner, str(Cidr.of(address, 29))) for address, owner in owners.items())

    async def _compare_affinities(self, blocks):
        items = (await self.store.range(keys.AFFINITIES)).items
        assert all(decode_json(BlockAffinity, item.value).state == "confirmed" for item in items)
        affinities = {(cidr, host) for host, cidr in (keys.affinity_parts(item.key) for item in items)}
        assert affinities == {(cidr, arithmetic.host_of(block)) for cidr, block in blocks.items()}


AllocatorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAllocator = AllocatorMachine.TestCase


def test_two_hundred_hosts_claim_from_one_pool_without_a_clash():
    """Many hosts starting at once: every one gets a block of its own."""

    async def main():
        store = MemoryStore()
        pool = IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.0.0.0/8"))
        await store.commit([], [Put(keys.pool("p"), encode_json(pool))])
        hosts = [Allocator(store, f"host-{number}", ManualClock()) for number in range(200)]
        await asyncio.gather(*(host.start() for host in hosts))
        got = await asyncio.gather(*(host.allocate(Request(handle=f"h{n}")) for n, host in enumerate(hosts)))
        await asyncio.gather(*(host.close() for host in hosts))
        assert len({Cidr.of(one.addresses[0], 26) for one in got}) == len(hosts)

    asyncio.run(main())
