"""Our etcd client beside two others, `aetcd` and `etcd3gw`, on one real etcd. `python bench/etcd.py [ENDPOINTS] [FOLDER]`

One member of etcd on loopback, which syncs its disk as in production; FOLDER (default: this one) decides the disk. Every measure is
taken of one client after the other, and that in three rounds, each with another one first; printed are the medians of the rounds.
Calls are short, and their figures shake with whatever else the machine does: in each round the clients take turns at them.
A ratio above 1 says that ours is that many times better.

Each client lives in a process of its own and is used at its best: `aetcd` without a limit on replies (it has no pages) and by raw
records; `etcd3gw` with a connection for each thread, pages of 5000 keys at one revision, and transactions as JSON. Ours is used by
the `Datastore` protocol, as everything else here uses it. A snapshot is of endpoints as agents write them; every key, value and
revision of it is read; it is taken in a new process, whose peak is that of the whole, interpreter and libraries included. The watch
sees puts that another process makes at 1,000 a second, and the delay is from before the put to the event.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import aetcd
    import etcd3gw

ROUNDS = 3
TURNS = 5  # of each client at each kind of call, in a round
ENDPOINTS = 100_000
ONE_BY_ONE, TOGETHER = 60, 320  # calls of one turn
UNDER_WAY = 32
RATE, WATCHED = 1000, 1500  # puts a second, and in all
SILENCE_S = 3.0  # a watch that says nothing for so long has lost the rest
SETTLED_S = 0.3  # after that a watch that was asked for is there
PAGE = 5000
ROOT = "/calico/"
VALUE = b"x" * 650  # an endpoint's document

Seen: TypeAlias = Callable[[bytes], None]

# --- the clients: each in a process of its own, so each is imported only where it is used -----------------------------------


class Awaiting:
    """A client on asyncio. `put` and `swap` can be repeated by (worker, number of the call)."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def repeat(self, step: Callable[[int, int], Awaitable[None]], calls: int, workers: int) -> list[float]:
        """The seconds that each call took."""
        found: list[float] = []

        async def work(worker: int) -> None:
            for number in range(calls // workers):
                started = time.perf_counter()
                await step(worker, number)
                found.append(time.perf_counter() - started)

        async def all_of_them() -> None:
            await asyncio.gather(*map(work, range(workers)))

        self.loop.run_until_complete(all_of_them())
        return found

    def watch(self, prefix: str, seen: Seen, done: threading.Event) -> None:
        """Calls `seen` with each value that is put."""

        async def follow() -> None:
            async for value in self.values(prefix):
                seen(value)

        async def until_done() -> None:
            following = asyncio.create_task(follow())
            await asyncio.to_thread(done.wait)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

        self.loop.run_until_complete(until_done())

    def values(self, prefix: str) -> AsyncIterator[bytes]:
        raise NotImplementedError


class Ours(Awaiting):
    def __init__(self, endpoint: str) -> None:
        from ocicat.store.base import Compare, Put
        from ocicat.store.open import open_store

        super().__init__()
        self.store = self.loop.run_until_complete(open_store(f"etcd://{endpoint}"))
        self.compare, self.put_of = Compare, Put
        self.revisions = dict.fromkeys(range(UNDER_WAY), 0)

    async def put(self, worker: int, number: int) -> None:
        await self.store.commit([], [self.put_of(f"/ours/put/{worker}/{number % 100}", VALUE)])

    async def swap(self, worker: int, number: int) -> None:
        key = f"/ours/{os.getpid()}/swap/{worker}"
        condition = self.compare(key, self.revisions[worker])
        self.revisions[worker] = await self.store.commit([condition], [self.put_of(key, VALUE)])

    def snapshot(self) -> int:
        """Everything under ROOT; all of it is held until each key, value and revision was looked at."""
        snapshot = self.loop.run_until_complete(self.store.range(ROOT))
        return sum(len(item.key) + len(item.value) for item in snapshot.items if item.modified)

    async def values(self, prefix: str) -> AsyncIterator[bytes]:
        present = (await self.store.range(prefix)).revision
        async with aclosing(self.store.watch(prefix, present + 1)) as watch:
            async for batch in watch:
                for event in batch.events:
                    yield event.value or b""


class Aetcd(Awaiting):
    def __init__(self, endpoint: str) -> None:
        import aetcd

        super().__init__()
        host, _, port = endpoint.partition(":")

        async def connected() -> aetcd.Client:
            client = aetcd.Client(host, int(port), options={"grpc.max_receive_message_length": -1})
            await client.connect()
            return client

        self.client = self.loop.run_until_complete(connected())
        self.revisions = dict.fromkeys(range(UNDER_WAY), 0)

    async def put(self, worker: int, number: int) -> None:
        await self.client.put(b"/aetcd/put/%d/%d" % (worker, number % 100), VALUE)

    async def swap(self, worker: int, number: int) -> None:
        key, do = b"/aetcd/%d/swap/%d" % (os.getpid(), worker), self.client.transactions
        condition = do.mod(key) == self.revisions[worker]
        succeeded, replies = await self.client.transaction([condition], [do.put(key, VALUE)], [])
        assert succeeded
        self.revisions[worker] = replies[0].response_put.header.revision

    def snapshot(self) -> int:
        found = self.loop.run_until_complete(self.client.get_prefix(ROOT.encode()))
        return sum(len(item.key) + len(item.value) for item in found.kvs if item.mod_revision)

    async def values(self, prefix: str) -> AsyncIterator[bytes]:
        async for event in await self.client.watch_prefix(prefix.encode()):
            yield event.kv.value


class Etcd3gw:
    """The same with threads."""

    def __init__(self, endpoint: str) -> None:
        import etcd3gw

        self.host, _, self.port = endpoint.partition(":")
        self.connect = etcd3gw.client
        self.mine = threading.local()
        self.revisions = dict.fromkeys(range(UNDER_WAY), 0)

    @property
    def client(self) -> etcd3gw.Etcd3Client:
        """This thread's own."""
        if not hasattr(self.mine, "client"):
            self.mine.client = self.connect(host=self.host, port=int(self.port))
        return self.mine.client

    def put(self, worker: int, number: int) -> None:
        self.client.put(f"/etcd3gw/put/{worker}/{number % 100}", VALUE)

    def swap(self, worker: int, number: int) -> None:
        key = _base64(f"/etcd3gw/{os.getpid()}/swap/{worker}".encode())
        condition = {"key": key, "result": "EQUAL", "target": "MOD", "mod_revision": self.revisions[worker]}
        put = {"request_put": {"key": key, "value": _base64(VALUE)}}
        reply = self.client.transaction({"compare": [condition], "success": [put], "failure": []})
        assert reply["succeeded"]
        self.revisions[worker] = int(reply["header"]["revision"])

    def snapshot(self) -> int:
        revision = int(self.client.status()["header"]["revision"])
        start, end = ROOT, ROOT[:-1] + chr(ord(ROOT[-1]) + 1)
        items = []
        while True:
            page = self.client.get(start, metadata=True, range_end=end, limit=PAGE, revision=revision)
            items += page
            if len(page) < PAGE:
                break
            start = page[-1][1]["key"] + b"\0"
        return sum(len(item["key"]) + len(value) for value, item in items if item["mod_revision"])

    def watch(self, prefix: str, seen: Seen, done: threading.Event) -> None:
        events, cancel = self.client.watch_prefix(prefix)

        def follow() -> None:
            for event in events:
                seen(event["kv"]["value"])

        following = threading.Thread(target=follow, daemon=True)
        following.start()
        done.wait()
        cancel()
        following.join()

    def repeat(self, step: Callable[[int, int], object], calls: int, workers: int) -> list[float]:
        found: list[float] = []

        def work(worker: int) -> None:
            for number in range(calls // workers):
                started = time.perf_counter()
                step(worker, number)
                found.append(time.perf_counter() - started)

        if workers == 1:
            work(0)
            return found
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
        return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CLIENTS = {"ours": Ours, "aetcd": Aetcd, "etcd3gw": Etcd3gw}


# --- what a process measures ---------------------------------------------------------------------------------------------


def one_by_one_us(client: Awaiting | Etcd3gw, what: str) -> float:
    return statistics.median(client.repeat(getattr(client, what), ONE_BY_ONE, 1)) * 1e6


def together_per_s(client: Awaiting | Etcd3gw, what: str) -> float:
    started = time.perf_counter()
    client.repeat(getattr(client, what), TOGETHER, UNDER_WAY)
    return TOGETHER / (time.perf_counter() - started)


def snapshot_s_and_mib(client: Awaiting | Etcd3gw) -> tuple[float, float, int]:
    started = time.perf_counter()
    size = client.snapshot()
    return time.perf_counter() - started, peak_mib(), size


def peak_mib() -> float:
    """Of this program only: `getrusage` counts what the process that started it had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmHWM")


def delays_ms(client: Awaiting | Etcd3gw, prefix: str) -> tuple[float, float, int]:
    """(median, 99th percentile, how many)"""
    found: list[float] = []
    done = threading.Event()

    def seen(value: bytes) -> None:
        found.append((time.monotonic_ns() - int(value[:20])) / 1e6)

    def supervise() -> None:
        time.sleep(SETTLED_S)
        print("watching", flush=True)
        before, quiet_since = 0, time.monotonic()
        while len(found) < WATCHED and time.monotonic() < quiet_since + SILENCE_S:
            if len(found) > before:
                before, quiet_since = len(found), time.monotonic()
            time.sleep(0.05)
        done.set()

    threading.Thread(target=supervise).start()
    client.watch(prefix, seen, done)
    ordered = sorted(found)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)], len(ordered)


MEASURES = {"one": one_by_one_us, "together": together_per_s, "snapshot": snapshot_s_and_mib, "watch": delays_ms}


def serve(name: str, endpoint: str) -> None:
    """Measures what it is told, a line each."""
    client = CLIENTS[name](endpoint)
    for line in sys.stdin:
        what, *arguments = line.split()
        found = MEASURES[what](client, *arguments)
        print(*found if isinstance(found, tuple) else (found,), flush=True)


async def write(url: str, prefix: str) -> None:
    """Puts at the rate, whatever they take."""
    from ocicat.store.base import Put
    from store import opened

    store = await opened(url)
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(WATCHED):
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
            value = b"%020d" % time.monotonic_ns() + VALUE
            group.create_task(store.commit([], [Put(f"{prefix}{number % 500}", value)]))
    await store.close()


# --- the rounds ----------------------------------------------------------------------------------------------------------


class Worker:
    """A process with one client."""

    def __init__(self, name: str, endpoint: str) -> None:
        command = [sys.executable, __file__, "--serve", name, endpoint]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str) -> None:
        assert self.process.stdin
        print(line, file=self.process.stdin, flush=True)

    def answer(self) -> list[float]:
        return list(map(float, self.line().split()))

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))}: ended")
        return line

    def ask(self, line: str) -> list[float]:
        self.tell(line)
        return self.answer()


@contextmanager
def worker(name: str, endpoint: str) -> Iterator[Worker]:
    made = Worker(name, endpoint)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def one_round(names: Sequence[str], workers: dict[str, Worker], endpoint: str) -> dict[str, list[float]]:
    """The figures of each client, in the order of ROWS."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for what, call in itertools.product(("put", "swap"), ("one", "together")):
        turns = [[workers[name].ask(f"{call} {what}")[0] for name in names] for _ in range(TURNS)]
        for name, figures in zip(names, zip(*turns, strict=True), strict=True):
            found[name].append(statistics.median(figures))
    for name in names:
        with worker(name, endpoint) as fresh:
            found[name] += fresh.ask("snapshot")
    for name in names:
        prefix = f"/watched/{name}/"
        workers[name].tell(f"watch {prefix}")
        workers[name].line()
        subprocess.run([sys.executable, __file__, "--write", f"etcd://{endpoint}", prefix], check=True)
        found[name] += workers[name].answer()
    return found


# What is printed, and whether more of it is better.
ROWS = [
    ("put, us", False),
    (f"put, {UNDER_WAY} under way, a second", True),
    ("compare and swap, us", False),
    (f"compare and swap, {UNDER_WAY} under way, a second", True),
    ("snapshot, s", False),
    ("snapshot, peak MiB", False),
    ("snapshot, bytes of keys and values", True),
    (f"watch at {RATE} puts a second, median ms", False),
    (f"watch at {RATE} puts a second, p99 ms", False),
    (f"watch, events seen of {WATCHED}", True),
]


def report(rounds: Sequence[dict[str, list[float]]]) -> None:
    others = [name for name in CLIENTS if name != "ours"]
    print(f"{'':<44} {'ours':>9}" + "".join(f" {name:>9} {'ratio':>6}" for name in others))
    for at, (what, more_is_better) in enumerate(ROWS):
        median = {name: statistics.median(found[name][at] for found in rounds) for name in CLIENTS}
        line = f"{what:<44} {figure(median['ours'])}"
        for name in others:
            ratio = median["ours"] / median[name] if more_is_better else median[name] / median["ours"]
            line += f" {figure(median[name])} {ratio:>6.2f}"
        print(line)


def figure(value: float) -> str:
    return f"{value:>9.0f}" if value >= 100 else f"{value:>9.2f}"


async def fill_with(url: str, endpoints: int) -> None:
    from load import endpoint, fill
    from store import opened

    store = await opened(url)
    await fill(store, map(endpoint, range(endpoints)))
    await store.close()


def main(url: str, endpoints: int, rounds: int = ROUNDS) -> None:
    endpoint = url.partition("://")[2]
    asyncio.run(fill_with(url, endpoints))
    names = list(CLIENTS)
    found = []
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker(name, endpoint)) for name in names}
        for number in range(rounds):
            first = number % len(names)
            found.append(one_round(names[first:] + names[:first], workers, endpoint))
    print(f"{endpoints} endpoints, medians of {rounds} rounds")
    report(found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:2] == ["--write"]:
        asyncio.run(write(*sys.argv[2:]))
    else:
        from store import etcd

        size = int(sys.argv[1]) if len(sys.argv) > 1 else ENDPOINTS
        place = Path(sys.argv[2] if len(sys.argv) > 2 else ".").resolve()
        with tempfile.TemporaryDirectory(prefix="oct-bench-", dir=place) as folder, etcd(folder) as urls:
            if not urls:
                raise SystemExit("etcd is not installed: apt-get install etcd-server")
            main(urls[0], size)
