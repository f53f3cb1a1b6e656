"""What an address costs: allocate and release, one after the other and 64 at once, on the memory and the sqlite store.

Every request writes block, handle and an endpoint of the usual size. Run: python bench/ipam.py [N]; prints medians of N pairs.
The bare commit of three keys is measured beside them: what is left of the difference is the allocator's own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from ocicat.clock import SystemClock
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.store.base import Compare, Datastore, Delete, Put
from ocicat.store.memory import MemoryStore
from ocicat.store.sqlite import SqliteStore

AT_ONCE = 64


def request(name: str) -> Request:
    key = keys.workload("mesos", name)

    def endpoint(addresses: tuple[Addr, ...]) -> list[tuple[Compare | None, Put]]:
        spec = WorkloadEndpointSpec(
            orchestrator="mesos",
            workload=name,
            node="host-1",
            endpoint="eth0",
            container_id="0c0ffee0-0000-4000-8000-000000000000",
            ip_networks=tuple(str(address.cidr()) for address in addresses),
            profiles=("group-a", "group-b"),
            interface_name="cali0123456789a",
            mac="ee:ee:ee:ee:ee:ee",
        )
        metadata = Metadata(name=name, namespace="mesos", labels={"app": "web", "mesos/framework": "marathon"})
        return [(Compare(key, 0), Put(key, encode_json(WorkloadEndpoint(metadata=metadata, spec=spec))))]

    return Request(handle=f"mesos.{name}", attributes={"node": "host-1", "type": "mesos"}, writes=endpoint)


async def timed(call: Awaitable[object]) -> float:
    """Milliseconds."""
    start = perf_counter()
    await call
    return (perf_counter() - start) * 1e3


async def sequential(allocator: Allocator, count: int) -> tuple[list[float], list[float]]:
    """With 30 addresses already in use: neither an empty nor a full block."""
    await asyncio.gather(*(allocator.allocate(request(f"resident-{n}")) for n in range(30)))
    got: list[float] = []
    freed: list[float] = []
    for number in range(count):
        name = f"s{number}"
        got.append(await timed(allocator.allocate(request(name))))
        freed.append(await timed(allocator.release(f"mesos.{name}", [Delete(keys.workload("mesos", name))])))
    return got, freed


async def grouped(allocator: Allocator, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds for 64 at once. One warm-up round pays for the blocks."""

    async def allocate() -> None:
        await asyncio.gather(*(allocator.allocate(request(f"g{n}")) for n in range(AT_ONCE)))

    async def release() -> None:
        also = [[Delete(keys.workload("mesos", f"g{n}"))] for n in range(AT_ONCE)]
        await asyncio.gather(*(allocator.release(f"mesos.g{n}", also[n]) for n in range(AT_ONCE)))

    pairs = [(await timed(allocate()), await timed(release())) for _ in range(rounds + 1)][1:]
    return [got for got, _ in pairs], [freed for _, freed in pairs]


async def bare_commits(store: Datastore, count: int) -> list[float]:
    """Three values of the usual size under three compares, without an allocator."""
    revision = await store.commit([], [Put(f"/bare/{key}", b"x" * 500) for key in "abc"])
    taken: list[float] = []
    for _ in range(count):
        start = perf_counter()
        compares = [Compare(f"/bare/{key}", revision) for key in "abc"]
        revision = await store.commit(compares, [Put(f"/bare/{key}", b"x" * 500) for key in "abc"])
        taken.append((perf_counter() - start) * 1e3)
    return taken


def line(what: str, taken: list[float], *, at_once: int = 1) -> None:
    p95 = quantiles(taken, n=20)[-1]
    rate = f"{at_once * 1e3 / median(taken):8.0f}/s"
    print(f"  {what:<28} p50 {median(taken):7.3f} ms   p95 {p95:7.3f} ms   {rate}")


async def measure(name: str, store: Datastore, count: int) -> None:
    pool = IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.0.0.0/16"))
    await store.commit([], [Put(keys.pool("p"), encode_json(pool))])
    allocator = Allocator(store, "host-1", SystemClock())
    await allocator.start()
    print(name)
    line("bare commit of 3 keys", await bare_commits(store, count))
    got, freed = await sequential(allocator, count)
    line("allocate, sequential", got)
    line("release, sequential", freed)
    got, freed = await grouped(allocator, max(20, count // AT_ONCE))
    line(f"allocate, {AT_ONCE} at once", got, at_once=AT_ONCE)
    line(f"release, {AT_ONCE} at once", freed, at_once=AT_ONCE)
    await allocator.close()
    await store.close()


async def main(count: int) -> None:
    await measure("memory", MemoryStore(), count)
    with tempfile.TemporaryDirectory(prefix="oct-bench-", dir=Path.home()) as folder:
        await measure("sqlite", await SqliteStore.open(Path(folder) / "store.db"), count)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
