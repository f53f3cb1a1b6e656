"""From a write to the kernel: `python bench/edit.py [--endpoints N] [--policies N]`, as root.

A cluster of 100,000 endpoints under 2,000 policies (as `calc.py` makes it), of which 100 endpoints are containers on this host, in
the embedded store; the agent's own chain of store, syncer, graph and dataplane serves it. Then a policy that selects a tenth of all
endpoints and every local one is edited in several ways, and single endpoints change. Each figure is from before the write until the
dataplane has reported the write's revision as applied: the kernel has acknowledged everything. `store` is the part until the write
has returned, `calc` until the dataplane was asked, `kernel` the rest; medians. No namespace outlives this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from itertools import islice
from statistics import median, quantiles
from time import perf_counter

from _command import Option, main
from _wiring import Host, Update
from calc import HOST, member, policy, rules_edited
from ocicat.agent.feed import Feed
from ocicat.agent.local import Local
from ocicat.calc.graph import Graph
from ocicat.clock import SystemClock
from ocicat.ipam.allocator import Allocator
from ocicat.model import keys
from ocicat.model.net import Addr
from ocicat.store.base import Datastore, Delete, Put
from ocicat.store.open import open_store
from ocicat.store.syncer import Syncer

LOCAL = 100
BASE, MOVED = (10 << 24) + 1, (11 << 24) + 1
WIDE = "wide == 'True'"
EDITS, CHANGES = 20, 60  # how often each is done
AIM_EDIT_MS, AIM_CHANGE_MS = 300.0, 20.0
_PUTS = 500

Kind = tuple[str, float | None, list[Update]]  # what is changed, the aim, and the writes one after the other


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds."""

    store: float
    calc: float
    kernel: float

    @property
    def whole(self) -> float:
        return self.store + self.calc + self.kernel


@dataclass(frozen=True, slots=True)
class Bed:
    host: Host
    store: Datastore

    async def write(self, update: Update) -> Taken:
        key, value = update
        begin = perf_counter()
        revision = await self.store.commit([], [Delete(key) if value is None else Put(key, value)])
        written = perf_counter()
        applied = await asyncio.to_thread(self.host.plane.applied, revision)
        asked = max(written, self.host.plane.dataplane.asked)  # the watch may be faster than the answer
        return Taken(*((b - a) * 1e3 for a, b in ((begin, written), (written, asked), (asked, applied))))


async def fill(store: Datastore, updates: Iterable[Update]) -> int:
    """The revision."""
    revision, left = 0, iter(updates)
    while piece := list(islice(left, _PUTS)):
        revision = await store.commit([], [Put(key, value) for key, value in piece if value is not None])
    return revision


async def follow(store: Datastore, feed: Feed) -> None:
    async with aclosing(Syncer(store).updates()) as batches:
        async for batch in batches:
            feed.updates(batch)


def edits(apps: int) -> Iterator[Kind]:
    """Each alternates between two states; the first write of each is not counted."""
    wide = policy(7, apps, selector=WIDE)
    peers = rules_edited(wide, WIDE)
    times = range(EDITS // 2 + 1)
    yield "it selects 10,000, and no more", AIM_EDIT_MS, [one for _ in times for one in (policy(7, apps), wide)]
    yield "its order", AIM_EDIT_MS, [policy(7, apps, selector=WIDE, order=1 + n % 3) for n in range(EDITS + 1)]
    yield (
        "its rules: one more, one less",
        AIM_EDIT_MS,
        [one for _ in times for one in (rules_edited(wide, "app == 'a1'"), wide)],
    )
    yield "its peers: 10,000 more, and less", AIM_EDIT_MS, [one for _ in times for one in (peers, wide)]
    others = rules_edited(wide, "wide == 'False'")
    yield "its peers: 10,000, or the others: 90,000", None, [one for _ in times for one in (peers, others)]


def changes(count: int, apps: int) -> Iterator[Kind]:
    """Each of another endpoint."""
    some = range(LOCAL, count, max(1, (count - LOCAL) // (CHANGES + 1)))[: CHANGES + 1]
    here = range(CHANGES + 1)
    moved = (member(n, apps, address=MOVED + n, local=LOCAL) for n in some)
    yield "one elsewhere gets another address", AIM_CHANGE_MS, list(moved)
    yield "one elsewhere goes to another app", AIM_CHANGE_MS, [in_next_app(n, apps) for n in some]
    yield "one elsewhere goes", AIM_CHANGE_MS, [(keys.workload("mesos", f"e{n}"), None) for n in some]
    yield "one here goes to another app", AIM_CHANGE_MS, [in_next_app(n, apps) for n in here]
    yield "one here gets a label nobody asks for", AIM_CHANGE_MS, [in_next_app(n, apps, version=1) for n in here]
    back = (member(n, apps, address=BASE + n, local=LOCAL) for n in here)
    yield "one here comes under ten policies that nobody here was under", AIM_EDIT_MS, list(back)


def in_next_app(number: int, apps: int, *, version: int = 0) -> Update:
    key, value = member(number, apps, address=BASE + number, local=LOCAL, version=version)
    resource = json.loads(value or b"")
    resource["metadata"]["labels"]["app"] = f"a{(number + 1) % apps}"
    return key, json.dumps(resource).encode()


def line(what: str, taken: list[Taken], aim_ms: float | None) -> None:
    whole = [each.whole for each in taken]
    p99 = quantiles(whole, n=100, method="inclusive")[98]
    parts = "  ".join(f"{median(getattr(each, part) for each in taken):6.1f}" for part in ("store", "calc", "kernel"))
    verdict = f"aim {aim_ms:g}: {'met' if median(whole) < aim_ms else 'MISSED'}" if aim_ms else ""
    print(f"{what:62} {median(whole):7.1f} {p99:7.1f}   {parts}   n={len(whole)}  {verdict}", flush=True)


async def put_in(bed: Bed, count: int, policies: int) -> int:
    """The revision."""
    apps = policies // 10
    began = perf_counter()
    await fill(bed.store, (policy(number, apps) for number in range(policies)))
    endpoints = (member(index, apps, address=BASE + index, local=LOCAL) for index in range(count))
    revision = await fill(bed.store, endpoints)
    print(f"{count} endpoints, {policies} policies: in the store after {perf_counter() - began:.1f} s", flush=True)
    return revision


async def in_force(bed: Bed, revision: int) -> None:
    """Until the kernel has all of it, and every local endpoint its container."""
    began = perf_counter()
    applied = await asyncio.to_thread(bed.host.plane.applied, revision)
    print(f"in the kernel after {applied - began:.1f} s; load of the last minute {os.getloadavg()[0]:.2f}", flush=True)
    local = {keys.workload("mesos", f"e{index}"): index for index in range(LOCAL)}
    for key, index in local.items():
        bed.host.attach(key, f"oci{index}", str(Addr(4, BASE + index)))
    await asyncio.to_thread(bed.host.plane.in_force, local)


async def measure(bed: Bed, count: int, apps: int) -> None:
    print(f"{'':62} {'p50 ms':>7} {'p99':>7}   {'store':>6}  {'calc':>6}  {'kernel':>6}")
    for what, aim_ms, updates in (*edits(apps), *changes(count, apps)):
        taken = [await bed.write(update) for update in updates]
        line(what, taken[1:], aim_ms)


async def edited(count: int, policies: int) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="oct-bench-"))
        host = Host()
        stack.callback(host.close)
        store = await open_store(f"sqlite://{folder}/store.db")
        bed = Bed(host, store)
        revision = await put_in(bed, count, policies)
        feed = Feed(Graph(HOST), Allocator(store, HOST, SystemClock()), Local(HOST), host.plane.dataplane)
        following = asyncio.create_task(follow(store, feed))
        try:
            await in_force(bed, revision)
            await measure(bed, count, policies // 10)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await store.close()


def bench(arguments: argparse.Namespace) -> None:
    asyncio.run(edited(arguments.endpoints, arguments.policies))


if __name__ == "__main__":
    sys.exit(main(__doc__, bench, {"endpoints": Option(100_000), "policies": Option(2_000)}))
