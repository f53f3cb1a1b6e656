"""What the contract's second process does: `python other_process.py COMMAND URL ...`; lines on stdout are its news."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import aclosing

from ocicat.errors import Conflict
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.lease import held
from ocicat.store.open import open_store


async def increment(store: Datastore, times: str) -> None:
    """Read, add one, compare and swap; again when somebody was faster."""
    for _ in range(int(times)):
        while True:
            item = await store.get("/counter")
            number = int(item.value) if item else 0
            try:
                await store.commit(
                    [Compare("/counter", item.modified if item else 0)],
                    [Put("/counter", b"%d" % (number + 1))],
                )
            except Conflict:
                continue
            break


async def write(store: Datastore) -> None:
    """Commits two keys at a time for ever, and tells of each commit after it was acknowledged."""
    number = 0
    while True:
        number += 1
        await store.commit([], [Put(f"/a/{number:09}", b"x" * 500), Put(f"/b/{number:09}", b"x" * 500)])
        print(number, flush=True)


async def put(store: Datastore, key: str, value: str) -> None:
    print(await store.commit([], [Put(key, value.encode())]), flush=True)


async def put_on_demand(store: Datastore) -> None:
    """One commit for each line on stdin, answered with the monotonic time at which it was acknowledged."""
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        await store.commit([], [Put("/bell", line.encode())])
        print(time.monotonic(), flush=True)


async def watch(store: Datastore, revision: str, times: str) -> None:
    """Prints the revisions of so many batches."""
    print("ready", flush=True)
    left = int(times)
    async with aclosing(store.watch("", int(revision))) as batches:
        async for batch in batches:
            print(batch.revision, flush=True)
            left -= 1
            if not left:
                return


async def hold(store: Datastore, key: str, ttl_s: str) -> None:
    """Keeps a key under a lease, whatever happens, and tells what did."""
    while True:
        async with held(store, int(ttl_s)) as lease:
            await store.commit([], [Put(key, b"here", lease.id)])
            print("held", flush=True)
            print("lost", await lease.lost(), flush=True)


async def grant(store: Datastore, key: str, ttl_s: str) -> None:
    """Puts a key under a lease that nobody renews."""
    lease = await store.grant(int(ttl_s))
    print(await store.commit([], [Put(key, b"here", lease.id)]), flush=True)


COMMANDS = {
    "grant": grant,
    "hold": hold,
    "increment": increment,
    "write": write,
    "put": put,
    "put_on_demand": put_on_demand,
    "watch": watch,
}


async def main(command: str, url: str, *arguments: str) -> None:
    store = await open_store(url)
    try:
        await COMMANDS[command](store, *arguments)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
