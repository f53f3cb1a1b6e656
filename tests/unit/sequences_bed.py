"""Random sequences of requests to an agent without a kernel, with faults and agents that die in the middle.

What is always asked: nobody's addresses change by a request that does not concern him, not even by one that fails; and at the end
everything can be given back. `OCICAT_SEED` repeats a run, `OCICAT_ROUNDS` makes more of them.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

from agent_bed import Script, Store, agent, until

from ocicat.agent.netmodules import UNCLAIMED_S, NetModules
from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.store.base import Put

SEED = int(os.environ.get("OCICAT_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("OCICAT_ROUNDS", "2"))
STEPS, LIVES = 40, 3
POOLS = tuple(
    Put(keys.pool(name), encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, block_size=size))))
    for name, cidr, size in (("p", "192.168.0.0/28", 28), ("six", "fd80::/124", 124))  # small: they run full
)


class Sequences:
    """`kept`: handle -> what it surely has. Who derives from it says what is asked (`request`), how (`perform`), whom it concerns
    (`concerns`), what must be true when it has succeeded (`check_success`), and how all is given back (`give_back`)."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kept = {}
        self.said = []

    async def play(self):
        store = Store(Script())
        await store.write(*POOLS)
        links = {}
        for life in range(LIVES):
            async with agent(store=store) as self.one:
                self.one.kernel.links.update(links)
                self.one.workloads.clock.advance(1000.0 * life)
                self.net = NetModules(self.one.config, self.one.workloads.clock, self.one.allocator, self.one.workloads)
                await self.one.workloads.reclaim(frozenset(links))
                self.check()
                for _ in range(STEPS):
                    await self.step()
                if life == LIVES - 1:
                    await self.end()
                else:
                    await self.broken_off(self.request())  # and the agent after this one finds what is left
                links = dict(self.one.kernel.links)

    # --- what happens ---------------------------------------------------------------------------------------------

    async def step(self):
        request, fault, script = self.request(), self.random.random(), self.one.script
        if fault < 0.08:
            self.one.store.script.refuse_commit = _once(Unavailable("gone"))
        elif fault < 0.16:
            script.refuse_attach = Refused("no")
        if fault > 0.9:
            before = self.owned()
            if not await self.broken_off(request):
                await self.quiet()
                self.check_failure(request, before)
        else:
            await self.whole(request)
        script.refuse_attach = self.one.store.script.refuse_commit = None
        await self.quiet()
        if self.random.random() < 0.05:
            self.one.workloads.clock.advance(UNCLAIMED_S + 1)
            await self.net.collect(lambda: frozenset(self.one.kernel.links))
            self.kept = {handle: kept for handle, kept in self.kept.items() if not handle.startswith("net-modules::")}
        self.check()

    async def whole(self, request):
        before = self.owned()
        try:
            found = await self.perform(request)
        except OcicatError as error:
            self.said.append(f"{request}: {error}")
            await self.quiet()
            self.check_failure(request, before)
        else:
            self.said.append(f"{request} = {found}")
            await self.quiet()  # what could not be given back at once is given back later
            self.check_success(request, found, before)
        self.unsure(request)

    async def broken_off(self, request):
        """The call ends after some turns of the loop, as it does when the agent stops. Whether it had succeeded by then."""
        task = asyncio.create_task(self.perform(request))
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(OcicatError, asyncio.CancelledError):
            await task
        self.said.append(f"{request} broken off")
        self.unsure(request)
        return not task.cancelled() and task.exception() is None

    # --- what must be ---------------------------------------------------------------------------------------------

    def owned(self):
        found = {}
        for one in self.one.allocator.held():
            found.setdefault(one.handle, set()).add(one.address)
        return found

    def check_failure(self, request, before):
        """Where more is promised than that nobody else is concerned."""

    def unsure(self, request):
        """Whom it concerns may have got or lost something by it."""
        self.kept = {handle: kept for handle, kept in self.kept.items() if not self.concerns(request, handle)}

    async def quiet(self):
        """Departures that go on by themselves end."""
        await until(lambda: not self.one.workloads.departures._under_way)
        await until(lambda: not self.one.allocator._queue)

    def check(self):
        now = self.owned()
        for handle, kept in self.kept.items():
            assert now.get(handle, set()) == kept, handle
        self.kept = now

    async def end(self):
        """What has an owner, he gives back; what has none, the agent."""
        await self.give_back()
        self.one.workloads.clock.advance(UNCLAIMED_S + 1)
        for _ in range(2):
            await self.net.collect(lambda: frozenset(self.one.kernel.links))
        await self.quiet()
        await self.one.nothing_left()


def played(run, seed):
    """Within a bound; when it fails it says how it came to that."""

    async def bounded():
        async with asyncio.timeout(60):
            await run.play()

    try:
        asyncio.run(bounded())
    except BaseException:
        print(f"OCICAT_SEED={seed}", *run.said[-12:], sep="\n")
        raise


def _once(error):
    left = [error]
    return lambda *_: left.pop() if left else None
