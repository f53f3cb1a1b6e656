"""What the allocator's tests share: a store that others meddle with, objects to put into it, and an allocator on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ocicat.clock import ManualClock
from ocicat.ipam import block as arithmetic
from ocicat.ipam.allocator import Allocator
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import (
    Block,
    BlockAffinity,
    ClusterInformation,
    ClusterInformationSpec,
    IPPool,
    IPPoolSpec,
    Metadata,
)
from ocicat.store.base import Compare, KeyValue, Operation, Put, Snapshot
from ocicat.store.memory import MemoryStore

BLOCK = Cidr.parse("10.0.0.0/26")
POOL = Put(keys.pool("p"), encode_json(IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.0.0.0/24"))))
ONE_BLOCK_POOL = Put(
    keys.pool("p"), encode_json(IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.0.0.0/26")))
)


class Meddled:
    """A store that somebody else writes to just before our commit, or that fails, or makes us wait."""

    def __init__(self) -> None:
        self.real = MemoryStore()
        self.before_commit: Callable[[], Awaitable[None]] | None = None
        self.after_commit: Callable[[], Awaitable[None]] | None = None
        self.commits = 0

    async def get(self, key: str) -> KeyValue | None:
        return await self.real.get(key)

    async def range(self, prefix: str) -> Snapshot:
        return await self.real.range(prefix)

    async def commit(self, compares: list[Compare], operations: list[Operation]) -> int:
        self.commits += 1
        if self.before_commit is not None:
            await self.before_commit()
        revision = await self.real.commit(compares, operations)
        if self.after_commit is not None:
            await self.after_commit()
        return revision

    async def write(self, *operations: Operation) -> int:
        """As another program would."""
        return await self.real.commit([], operations)

    async def block(self, cidr: Cidr = BLOCK) -> Block:
        return decode_json(Block, (await self.real.get(keys.block(cidr))).value)

    async def has(self, key: str) -> bool:
        return await self.real.get(key) is not None

    async def has_blocks(self, wanted: int) -> bool:
        return len((await self.range(keys.BLOCKS)).items) == wanted

    async def has_committed(self, wanted: int) -> bool:
        return self.commits >= wanted

    async def used(self) -> int:
        return sum(arithmetic.used(decode_json(Block, item.value)) for item in (await self.range(keys.BLOCKS)).items)


def pool(name: str, cidr: str, **spec) -> Put:
    return Put(keys.pool(name), encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **spec))))


def lock(locked: bool) -> Put:
    spec = ClusterInformationSpec(datastore_ready=not locked)
    return Put(keys.CLUSTER_INFORMATION, encode_json(ClusterInformation(metadata=Metadata(name="default"), spec=spec)))


def block_put(block: Block) -> Put:
    return Put(keys.block(arithmetic.cidr_of(block)), encode_json(block))


def affinity_put(state: str, host: str = "h", cidr: Cidr = BLOCK) -> Put:
    return Put(keys.affinity(host, cidr), encode_json(BlockAffinity(state=state)))


def full_block(cidr: Cidr = BLOCK, host: str = "h", leaving: int = 0) -> Block:
    return arithmetic.take(arithmetic.new(cidr, host, 1), "other", {}, cidr.size - leaving)[0]


def endpoint(name: str) -> Callable[..., list[tuple[Compare | None, Put]]]:
    """Writes one endpoint that must not exist yet; its value is its addresses."""
    key = keys.workload("ns", name)
    return lambda addresses: [(Compare(key, 0), Put(key, " ".join(map(str, addresses)).encode()))]


def on(*operations: Operation) -> Callable[[Callable[[Meddled], Awaitable[None]]], Callable[[], None]]:
    """A test that begins with these objects in the store. A pytest function must take no argument, hence the wrapper."""

    def decorate(body: Callable[[Meddled], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            store = Meddled()
            await store.write(*operations)
            await body(store)

        def test() -> None:
            asyncio.run(asyncio.wait_for(run(), 10))

        test.__name__ = body.__name__
        return test

    return decorate


@asynccontextmanager
async def allocator(store: Meddled, host: str = "h", **options: int) -> AsyncIterator[Allocator]:
    made = Allocator(store, host, ManualClock(), **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Bounded by turns of the loop, not by time: the store is in memory."""
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


def text(addresses: tuple[Addr, ...]) -> list[str]:
    return [str(address) for address in addresses]
