"""Random sequences of the network isolator module's steps, with faults and agents that die in the middle: an address has one owner,
who keeps it until he gives it back; and nothing is lost. `OCICAT_SEED` repeats a run, `OCICAT_ROUNDS` makes more of them."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

import pytest
from agent_bed import Script, Store, agent, until

from ocicat.agent import netmodules as module
from ocicat.agent.netmodules import UNCLAIMED_S, NetModules
from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.mesos.netmodules.protocol import Allocate, Cleanup, Isolate, ReleaseAddresses, ReleaseOwner, Reserve
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.store.base import Put

SEED = int(os.environ.get("OCICAT_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("OCICAT_ROUNDS", "3"))
STEPS = 40
UIDS, CONTAINERS = ("u1", "u2", "u3", "u4"), ("c1", "c2", "c3", "c4")
STATIC = tuple(Addr.parse(f"192.168.0.{n}") for n in range(6))
POOLS = tuple(
    Put(keys.pool(name), encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, block_size=size))))
    for name, cidr, size in (("p", "192.168.0.0/28", 28), ("six", "fd80::/124", 124))  # small: they run full
)


class Run:
    """`kept`: handle -> what it surely has."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kept = {}
        self.said = []

    async def play(self):
        store = Store(Script())
        await store.write(*POOLS)
        links = {}
        for life in range(3):
            async with agent(store=store) as self.one:
                self.one.kernel.links.update(links)
                self.one.workloads.clock.advance(1000.0 * life)
                self.net = NetModules(self.one.config, self.one.workloads.clock, self.one.allocator, self.one.workloads)
                await self.one.workloads.reclaim(frozenset(links))
                self.check()
                for _ in range(STEPS):
                    await self.step()
                if life == 2:
                    await self.end()
                else:
                    await self.broken_off(self.request())  # and the agent after this one finds what is left
                links = dict(self.one.kernel.links)

    # --- what happens ---------------------------------------------------------------------------------------------

    async def step(self):
        request = self.request()
        fault = self.random.random()
        script = self.one.script
        if fault < 0.08:
            script.refuse_commit = self.one.store.script.refuse_commit = self.once(Unavailable("gone"))
        elif fault < 0.16:
            script.refuse_attach = Refused("no")
        if fault > 0.9:
            await self.broken_off(request)
        else:
            await self.whole(request)
        script.refuse_attach = script.refuse_commit = self.one.store.script.refuse_commit = None
        await self.quiet()
        if self.random.random() < 0.05:
            self.one.workloads.clock.advance(UNCLAIMED_S + 1)
            await self.net.collect(lambda: frozenset(self.one.kernel.links))
            self.kept = {handle: kept for handle, kept in self.kept.items() if not handle.startswith("net-modules::")}
        self.check()

    def once(self, error):
        left = [error]
        return lambda *_: left.pop() if left else None

    async def whole(self, request):
        before = self.owned()
        try:
            found = await self.net.perform(request)
        except OcicatError as error:
            self.said.append(f"{request}: {error}")
            self.unsure(request)
            return
        self.said.append(f"{request} = {found}")
        await self.quiet()  # what could not be given back at once is given back later
        self.sure(request, found, before)

    async def broken_off(self, request):
        """The call ends after some turns of the loop, as it does when the agent stops."""
        task = asyncio.create_task(self.net.perform(request))
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(OcicatError, asyncio.CancelledError):
            await task
        self.said.append(f"{request} broken off")
        self.unsure(request)

    def request(self):
        uid, container = self.random.choice(UIDS), self.random.choice(CONTAINERS)
        owned = self.owned()
        mine = tuple(owned.get(f"net-modules::{uid}", ()))
        some = tuple(self.random.sample(STATIC, self.random.randint(1, 2)))
        others = tuple(address for addresses in owned.values() for address in addresses)
        stray = tuple(self.random.sample(others, min(2, len(others)))) or some
        return self.random.choices(
            (
                Reserve(uid, some),
                Allocate(uid, self.random.randint(0, 2), self.random.randint(0, 1)),
                Isolate(container, 7, mine or stray),
                Isolate(container, 7, stray),
                ReleaseAddresses(stray),
                ReleaseOwner(uid),
                Cleanup(container),
            ),
            (3, 4, 5, 1, 3, 1, 3),
        )[0]

    # --- what must be ---------------------------------------------------------------------------------------------

    def owned(self):
        found = {}
        for one in self.one.allocator.held():
            found.setdefault(one.handle, set()).add(one.address)
        return found

    def concerns(self, request, handle):
        match request:
            case Reserve() | Allocate() | ReleaseOwner():
                return handle == f"net-modules::{request.uid}"
            case Isolate():
                mine = handle == f"{request.container_id}:eth0"
                return mine or bool(self.kept.get(handle, set()) & set(request.addresses))
            case Cleanup():
                return handle == f"{request.container_id}:eth0"
            case ReleaseAddresses():
                return handle.startswith("net-modules::") and bool(
                    self.kept.get(handle, set()) & set(request.addresses)
                )

    def unsure(self, request):
        """It may have been done or not; nobody else's may have changed."""
        self.kept = {handle: kept for handle, kept in self.kept.items() if not self.concerns(request, handle)}

    def sure(self, request, found, before):
        now = self.owned()
        for handle in {*before, *now}:
            if not self.concerns(request, handle):
                assert now.get(handle, set()) == before.get(handle, set()), (handle, self.said[-5:])
        match request:
            case Reserve():
                assert set(request.addresses) <= now[f"net-modules::{request.uid}"]
            case Allocate():
                assert sum(address.family == 4 for address in found) >= request.ipv4
                assert sum(address.family == 6 for address in found) >= request.ipv6
                assert set(found) <= now.get(f"net-modules::{request.uid}", set())
            case Isolate():
                assert now[f"{request.container_id}:eth0"] == set(request.addresses)
            case ReleaseAddresses():
                free = {a for handle, kept in now.items() if handle.startswith("net-modules::") for a in kept}
                assert not free & set(request.addresses)
            case ReleaseOwner():
                assert f"net-modules::{request.uid}" not in now
            case Cleanup():
                assert f"{request.container_id}:eth0" not in now
        self.unsure(request)

    async def quiet(self):
        """Departures that go on by themselves end."""
        await until(lambda: not self.one.workloads.departures._under_way)
        await until(lambda: not self.one.allocator._queue)

    def check(self):
        now = self.owned()
        for handle, kept in self.kept.items():
            assert now.get(handle, set()) == kept, (handle, kept, now.get(handle), self.said[-6:])
        every = [address for kept in now.values() for address in kept]
        assert len(every) == len(set(every)), self.said[-6:]
        self.kept = now

    async def end(self):
        """All that is left can be given back: what has an owner, by its owner; what has none, by the agent."""
        for container in CONTAINERS:
            await self.net.perform(Cleanup(container))
        self.one.workloads.clock.advance(UNCLAIMED_S + 1)
        for _ in range(2):
            await self.net.collect(lambda: frozenset(self.one.kernel.links))
        await self.quiet()
        await self.one.nothing_left()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_address_has_one_owner_who_keeps_it_and_nothing_is_lost(number, monkeypatch):
    monkeypatch.setattr(module, "_network_of", lambda pid: f"/proc/{pid}/ns/net")
    run = Run(SEED + number)

    async def bounded():
        async with asyncio.timeout(60):
            await run.play()

    try:
        asyncio.run(bounded())
    except BaseException:
        print(f"OCICAT_SEED={SEED + number}", *run.said[-12:], sep="\n")
        raise
