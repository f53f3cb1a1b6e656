"""What the stores cost: medians and 99th percentiles, from `await` to `await`. `python bench/store.py [FOLDER]`

The embedded store and, where it is installed, one member of etcd on the same disk: each measure is taken of one after the other.
The folder (default: this one) decides the disk. Figures in microseconds where nothing else is said.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from ocicat.errors import Unavailable
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.open import open_store

VALUE = b"x" * 420  # an endpoint document
RANGE_KEYS = 10_000
OTHER = Path(__file__).parents[1] / "tests" / "contract" / "other_process.py"


def report(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:<44} {median * 1e6:>9.0f} {p99 * 1e6:>9.0f}   n={len(ordered)}", flush=True)


async def timed(times: int, call: Callable[[int], Awaitable[object]]) -> list[float]:
    found = []
    for number in range(times):
        started = time.perf_counter()
        await call(number)
        found.append(time.perf_counter() - started)
    return found


def floor(folder: str) -> None:
    """What the disk itself takes to keep one page: no commit can be faster."""
    descriptor = os.open(f"{folder}/floor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    os.write(descriptor, bytes(4096 * 100))
    os.fsync(descriptor)
    found = []
    for number in range(2000):
        started = time.perf_counter()
        os.pwrite(descriptor, bytes(4096), number % 100 * 4096)
        os.fdatasync(descriptor)
        found.append(time.perf_counter() - started)
    os.close(descriptor)
    report("the disk alone: pwrite and fdatasync", found)


async def commits(store: Datastore, _url: str) -> None:
    report("commit, 1 put", await timed(3000, lambda n: store.commit([], [Put(f"/c/{n % 300}", VALUE)])))
    three = [Put(f"/d/{part}", VALUE) for part in range(3)]
    report("commit, 3 puts", await timed(2000, lambda _: store.commit([], three)))
    many = [Put(f"/e/{part}", VALUE) for part in range(192)]
    report("commit, 192 puts", await timed(200, lambda _: store.commit([], many)))


async def swaps(store: Datastore, _url: str) -> None:
    async def swap(_: int) -> None:
        item = await store.get("/swap")
        await store.commit([Compare("/swap", item.modified if item else 0)], [Put("/swap", VALUE)])

    report("read, then compare and swap", await timed(2000, swap))
    revision = await store.commit([], [Put("/swap", VALUE)])

    async def known(_: int) -> None:
        nonlocal revision
        revision = await store.commit([Compare("/swap", revision)], [Put("/swap", VALUE)])

    report("compare and swap, revision known", await timed(2000, known))


async def reads(store: Datastore, _url: str) -> None:
    for start in range(0, RANGE_KEYS, 1000):  # etcd takes 1.5 MiB at a time
        await store.commit([], [Put(f"/r/{start + number:05}", VALUE) for number in range(1000)])
    report("get", await timed(3000, lambda n: store.get(f"/r/{n:05}")))
    report("range of 10,000", await timed(30, lambda _: store.range("/r/")))


async def own_watch(store: Datastore, _url: str) -> None:
    """From before the commit, and from its acknowledgement, to the event in a watch of the same process."""
    base = (await store.status()).revision
    whole, after = [], []
    async with aclosing(store.watch("/w", base + 1)) as watch:
        for _ in range(1000):
            task = asyncio.ensure_future(anext(watch))
            await store.get("/w")
            started = time.perf_counter()
            await store.commit([], [Put("/w", VALUE)])
            acknowledged = time.perf_counter()
            await task
            now = time.perf_counter()
            whole.append(now - started)
            after.append(now - acknowledged)
    report("watch, same process, since acknowledgement", after)
    report("watch, same process, since before the commit", whole)


async def other_watch(store: Datastore, url: str) -> None:
    """Since the acknowledgement in the process that committed, by the clock both share."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, OTHER, "put_on_demand", url, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin
    assert other.stdout
    await other.stdout.readline()
    delays = []
    async with aclosing(store.watch("/bell", (await store.status()).revision + 1)) as watch:
        for number in range(500):
            other.stdin.write(b"%d\n" % (number + 1))
            await anext(watch)
            seen = time.monotonic()
            delays.append(seen - float(await other.stdout.readline()))
    other.stdin.close()
    await other.wait()
    report("watch, another process, since acknowledgement", delays)


async def idle(store: Datastore, _url: str) -> None:
    """CPU while one watch waits."""
    async with aclosing(store.watch("/", (await store.status()).revision + 1)) as watch:
        task = asyncio.ensure_future(anext(watch))
        started = time.process_time()
        await asyncio.sleep(5)
        used = time.process_time() - started
        task.cancel()
        await asyncio.wait([task])
    print(f"idle with a watch: {used / 5 * 100:.3f} % of one CPU")


async def parallel(store: Datastore, _url: str) -> None:
    """How many puts a second when 32 are always under way."""
    started = time.perf_counter()

    async def worker(part: int) -> None:
        for number in range(100):
            await store.commit([], [Put(f"/p/{part}/{number}", VALUE)])

    await asyncio.gather(*(worker(part) for part in range(32)))
    print(f"{'commit, 1 put, 32 under way':<44} {3200 / (time.perf_counter() - started):>9.0f} a second", flush=True)


@contextmanager
def etcd(folder: str) -> Iterator[list[str]]:
    """The address of a new etcd, if there is one on this machine; it syncs its disk as in production."""
    if not shutil.which("etcd"):
        yield []
        return
    client, peer = (f"http://127.0.0.1:{random.randrange(16_000, 32_000)}" for _ in range(2))
    command = [
        "etcd",
        "--data-dir",
        f"{folder}/etcd",
        "--listen-client-urls",
        client,
        "--advertise-client-urls",
        client,
    ]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}", "--log-level=error"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield [client.replace("http", "etcd")]
        finally:
            process.kill()


async def opened(url: str) -> Datastore:
    """etcd takes a moment to start."""
    for _ in range(100):
        try:
            return await open_store(url)
        except Unavailable:
            await asyncio.sleep(0.1)
    return await open_store(url)


async def main(urls: list[str], folder: str) -> None:
    stores = [(url, await opened(url)) for url in urls]
    print(f"{'':<44} {'median':>9} {'p99':>9}")
    try:
        floor(folder)
        for measure in (commits, parallel, swaps, own_watch, other_watch, reads, idle):
            for url, store in stores:
                print(f"-- {url}", flush=True)
                await measure(store, url)
        for url, store in stores:
            status = await store.status()
            history = f"history from {status.compacted + 1}"
            print(f"{url}: {status.revision} revisions, {history}, {status.size_bytes / 1e6:.1f} MB")
    finally:
        for _, store in stores:
            await store.close()


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    with tempfile.TemporaryDirectory(prefix="oct-bench-", dir=place) as folder, etcd(folder) as more:
        asyncio.run(main([f"sqlite://{folder}/store.db", *more], folder))
