"""Three real allocators, each in a process of its own, on one SQLite file and a pool too small for them, killed at random moments.

What was acknowledged must be there and what was not must be there whole or not at all; no address has two owners; and after the
last crash everything can be given back. `OCICAT_SEED` repeats a run (its choices, not its timing), `OCICAT_ROUNDS` makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ocicat.clock import SystemClock
from ocicat.ipam import block as arithmetic
from ocicat.ipam.allocator import Allocator
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr
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
from ocicat.store.base import Delete, Put
from ocicat.store.open import open_store

SEED = os.environ.get("OCICAT_SEED") or str(random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("OCICAT_ROUNDS", "8"))
HOSTS = ("x", "y", "z")
HOST = Path(__file__).with_name("ipam_host.py")
BOUND_S = 40.0 + 3 * ROUNDS


@dataclass(slots=True)
class Journal:
    """What a host said, over all its lives."""

    held: dict[str, tuple[Addr, ...]] = field(default_factory=dict)  # acknowledged
    unknown: set[str] = field(default_factory=set)  # begun, and its end never heard of
    gone: set[str] = field(default_factory=set)  # refused or released, and acknowledged
    lines: int = 0

    def hear(self, sign: str, handle: str, *addresses: str) -> None:
        self.lines += 1
        self.unknown.discard(handle)
        self.held.pop(handle, None)
        if sign in "+-":
            self.unknown.add(handle)
        elif sign == "=":
            self.held[handle] = tuple(map(Addr.parse, addresses))
        else:
            self.gone.add(handle)


@dataclass(slots=True)
class Host:
    name: str
    url: str
    journal: Journal = field(default_factory=Journal)
    lives: int = 0
    process: asyncio.subprocess.Process | None = None
    reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.lives += 1
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HOST), self.url, self.name, f"{SEED}.{self.lives}", *sorted(self.journal.unknown)),
            stdout=asyncio.subprocess.PIPE,
        )
        self.reader = asyncio.create_task(self._listen(self.process))

    async def _listen(self, process) -> None:
        while (line := await process.stdout.readline()).endswith(b"\n"):
            self.journal.hear(*line.decode().split())

    async def at_work(self) -> None:
        """It has said something in this life."""
        said = self.journal.lines
        while self.journal.lines < said + 20:
            assert self.process.returncode is None, f"host {self.name} ended by itself: seed {SEED}"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self.reader
        assert self.process.returncode == -signal.SIGKILL, f"host {self.name} ended by itself: seed {SEED}"


def lock(*, locked: bool) -> Put:
    spec = ClusterInformationSpec(datastore_ready=not locked)
    return Put(keys.CLUSTER_INFORMATION, encode_json(ClusterInformation(metadata=Metadata(name="default"), spec=spec)))


async def objects(store, prefix, kind):
    return {item.key: decode_json(kind, item.value) for item in (await store.range(prefix)).items}


async def owners(store) -> dict[Addr, str | None]:
    """Of all blocks, each of which holds its invariants, and no two of which overlap."""
    blocks = await objects(store, keys.BLOCKS, Block)
    cidrs = [arithmetic.cidr_of(block) for block in blocks.values()]
    assert [arithmetic.check(block) for block in blocks.values()] == [[]] * len(blocks)
    assert not [(a, b) for a in cidrs for b in cidrs if a != b and a.overlaps(b)]
    affinities = await objects(store, keys.AFFINITIES, BlockAffinity)
    assert {(host, cidr) for host, cidr in map(keys.affinity_parts, affinities)} == {
        (arithmetic.host_of(block), cidr) for cidr, block in zip(cidrs, blocks.values(), strict=True)
    }
    return {
        cidr.nth(ordinal): arithmetic.owner(block, ordinal)
        for cidr, block in zip(cidrs, blocks.values(), strict=True)
        for ordinal, index in enumerate(block.allocations)
        if index is not None
    }


async def check(store, journals) -> None:
    """All processes are dead. What they said against what there is."""
    of_handle: dict[str, set[Addr]] = {}
    for address, handle in (await owners(store)).items():
        of_handle.setdefault(handle, set()).add(address)
    endpoints = {keys.name_of(i.key): i.value.decode() for i in (await store.range(keys.WORKLOADS)).items}
    counts = {keys.name_of(key): value.block for key, value in (await objects(store, keys.HANDLES, Handle)).items()}
    assert of_handle.keys() == endpoints.keys() == counts.keys(), "all of a request happened, or nothing did"
    for handle, addresses in of_handle.items():
        assert set(map(Addr.parse, endpoints[handle].split())) == addresses
        assert sum(counts[handle].values()) == len(addresses)
    for journal in journals:
        for handle, addresses in journal.held.items():
            assert of_handle[handle] == set(addresses), "what was acknowledged is there"
        assert not journal.gone & of_handle.keys(), "what was given back is gone"
    known = [handle for journal in journals for handle in (*journal.held, *journal.unknown)]
    assert of_handle.keys() <= set(known), "nothing leaks"
    assert max(Counter(known).values(), default=0) <= 1


async def play(url: str, dice: random.Random) -> int:
    store = await open_store(url)
    hosts = [Host(name, url) for name in HOSTS]
    pool = IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.0.0.0/26", block_size=29))
    await store.commit([], [Put(keys.pool("p"), encode_json(pool)), lock(locked=False)])
    try:
        for number in range(ROUNDS):
            await one_round(store, hosts, dice, whole=number % 3 == 2 or number == ROUNDS - 1)
        await give_back(store, hosts)
        return sum(host.journal.lines for host in hosts)
    finally:
        for host in hosts:
            if host.process is not None and host.process.returncode is None:
                host.process.kill()
                await host.process.wait()
        await store.close()


async def one_round(store, hosts, dice, *, whole) -> None:
    """Those that are dead come to life; then some die, and every third time all of them, to be looked at."""
    for host in hosts:
        if host.process is None or host.process.returncode is not None:
            await host.start()
    await asyncio.gather(*(host.at_work() for host in hosts))
    await asyncio.sleep(dice.uniform(0, 0.2))
    if dice.random() < 0.5:
        await store.commit([], [lock(locked=True)])
        await asyncio.sleep(dice.uniform(0, 0.1))
        await store.commit([], [lock(locked=False)])
        await asyncio.sleep(dice.uniform(0, 0.1))
    dying = hosts if whole else dice.sample(hosts, dice.randint(1, len(hosts) - 1))
    for host in dying:
        await host.kill()
    if whole:
        await check(store, [host.journal for host in hosts])


async def give_back(store, hosts) -> None:
    for host in hosts:
        allocator = Allocator(store, host.name, SystemClock())
        await allocator.start()
        for handle in (*host.journal.held, *host.journal.unknown):
            await allocator.release(handle, [Delete(keys.workload("ns", handle))])
        await allocator.close()
    assert await owners(store) == {}
    for prefix in (keys.HANDLES, keys.WORKLOADS):
        assert not (await store.range(prefix)).items


def test_allocators_that_are_killed_at_any_moment_lose_and_leak_nothing(tmp_path):
    print(f"seed {SEED}")
    lines = asyncio.run(asyncio.wait_for(play(f"sqlite://{tmp_path}/store.db", random.Random(SEED)), BOUND_S))
    assert lines > 20 * ROUNDS
