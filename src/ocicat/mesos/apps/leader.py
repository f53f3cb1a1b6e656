"""Who is the framework: one process of all that would be, chosen by a key of the store under a lease.

1. Whoever is inside `leading` holds the key, or will be told by `lost` that it cannot rely on that any more.
2. What a leader writes holds only while its key is there as it put it: every commit says so (`Leadership.mine`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

from ocicat.errors import Conflict, UserError
from ocicat.mesos.apps.records import Keys, Leader
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.lease import Held, held

TTL_S = 10  # a leader that was killed is succeeded after that


class Leadership:
    """Made by `leading`."""

    def __init__(self, key: str, revision: int, lease: Held) -> None:
        self.mine = Compare(key, revision)
        self._lease = lease

    async def lost(self) -> str:
        """Returns when it is over, however that comes: why."""
        return await self._lease.lost()


@asynccontextmanager
async def leading(
    store: Datastore, keys: Keys, me: Leader, report: Callable[[str], None], ttl_s: int = TTL_S
) -> AsyncGenerator[Leadership, None]:
    """Enters when nobody else leads; until then it waits, and tells for whom."""
    told = ""
    async with held(store, ttl_s) as lease:
        while True:
            try:
                revision = await store.commit([Compare(keys.leader, 0)], [Put(keys.leader, encode_json(me), lease.id)])
                break
            except Conflict:
                who = await _present(store, keys)
                if who and who != told:
                    report(f"{who} is the framework {keys.name} now; waiting to take over from it")
                    told = who
                await _until_gone(store, keys, lease)
        yield Leadership(keys.leader, revision, lease)


async def _present(store: Datastore, keys: Keys) -> str:
    found = await store.get(keys.leader)
    return words(found.value) if found else ""


def words(value: bytes) -> str:
    """Who that is, for people."""
    try:
        leader = decode_json(Leader, value)
    except UserError:
        return "somebody unknown"
    return f"process {leader.pid} on {leader.host}"


async def _until_gone(store: Datastore, keys: Keys, lease: Held) -> None:
    """Returns when there is no leader; or when our own lease is gone, for the next try to say so."""
    snapshot = await store.range(keys.leader)
    if not snapshot.items:
        return
    gone = asyncio.create_task(_deleted(store, keys, snapshot.revision + 1))
    lost = asyncio.create_task(lease.lost())
    try:
        await asyncio.wait({gone, lost}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            gone.result()
    finally:
        for task in (gone, lost):
            task.cancel()
        await asyncio.gather(gone, lost, return_exceptions=True)


async def _deleted(store: Datastore, keys: Keys, revision: int) -> None:
    async with aclosing(store.watch(keys.leader, revision)) as batches:
        async for batch in batches:
            if any(event.key == keys.leader and event.value is None for event in batch.events):
                return
