"""One host of the crash campaign: `python ipam_host.py URL HOST SEED [HANDLE ...]`.

An allocator, fed by a syncer as in the agent, under random requests, until it is killed. Its journal goes to stdout, each line
in one write: `+ HANDLE` before an allocation, `= HANDLE ADDRESS ...` once it is acknowledged, `! HANDLE` when it was refused for
good, `- HANDLE` before a release, `. HANDLE` once it is acknowledged. The HANDLEs given are those of which the life before did
not learn the end: they are released first, as the agent does with what it finds half done.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import aclosing

from ocicat.clock import SystemClock
from ocicat.errors import Refused, Unavailable
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.store.base import Compare, Delete, Put
from ocicat.store.open import open_store
from ocicat.store.syncer import Syncer

CALLERS = 6
KEPT = 3  # handles that each caller holds at most


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def endpoint_key(handle: str) -> str:
    return keys.workload("ns", handle)


async def follow(store, allocator):
    async with aclosing(Syncer(store).updates()) as batches:
        async for batch in batches:
            for update in batch.updates:
                allocator.observe(update.key, update.value, update.revision)


async def allocate(allocator, handle, count):
    key = endpoint_key(handle)
    request = Request(
        handle=handle,
        families=(4,) * count,
        writes=lambda got: [(Compare(key, 0), Put(key, " ".join(map(str, got)).encode()))],
    )
    say("+", handle)
    try:
        got = await allocator.allocate(request)
    except Refused:
        say("!", handle)
        return False
    except Unavailable:
        return await release(allocator, handle)
    say("=", handle, *got.addresses)
    return True


async def release(allocator, handle):
    """As often as it takes: the store may be locked, or busy."""
    say("-", handle)
    while True:
        try:
            await allocator.release(handle, [Delete(endpoint_key(handle))])
        except Unavailable:
            await asyncio.sleep(0.01)
            continue
        say(".", handle)
        return False


async def caller(allocator, name, dice):
    held: list[str] = []
    number = 0
    while True:
        if held and (len(held) == KEPT or dice.random() < 0.4):
            await release(allocator, held.pop(dice.randrange(len(held))))
            continue
        number += 1
        handle = f"{name}-{number}"
        if await allocate(allocator, handle, dice.choice((1, 1, 2))):
            held.append(handle)
        else:
            await asyncio.sleep(0.01)


async def main(url: str, host: str, seed: str, *unknown: str) -> None:
    store = await open_store(url)
    allocator = Allocator(store, host, SystemClock(), batch=4)
    await allocator.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(store, allocator))
        await asyncio.gather(*(release(allocator, handle) for handle in unknown))
        for place in range(CALLERS):
            tasks.create_task(caller(allocator, f"{host}-{seed}-{place}", random.Random(f"{seed}-{place}")))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
