"""How long a new agent takes to load a full store, and how much memory it needs. `python bench/load.py [ENDPOINTS] [FOLDER]`

For each 100 endpoints (of 100,000 in all) a host, 5 blocks of addresses, 100 handles and 2 policies; 200 groups. The store is
filled first, in a folder of FOLDER (default: this one). Each figure is then that of a process of its own, from the opened store to
the first in-sync: `syncer` throws the updates away, `agent` does with them what the agent does, up to the first batch for the
dataplane. The peak is that of the whole process, interpreter and libraries included. Printed are the medians of three rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from itertools import chain, islice
from pathlib import Path

from etcd import peak_mib
from ocicat.agent.feed import Feed
from ocicat.agent.local import Local
from ocicat.agent.profiles import MEMBER_PREFIX, group_profile
from ocicat.calc.graph import Graph
from ocicat.clock import SystemClock
from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.apply import Dataplane
from ocicat.ipam.allocator import Allocator
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import (
    AllocationAttribute,
    Block,
    BlockAffinity,
    EntityRule,
    Handle,
    IPPool,
    IPPoolSpec,
    Metadata,
    Node,
    NodeBGPSpec,
    NodeSpec,
    Rule,
    WorkloadEndpoint,
    WorkloadEndpointSpec,
)
from ocicat.model.v3.policy import NetworkPolicy, NetworkPolicySpec
from ocicat.store.base import Datastore, Put
from ocicat.store.syncer import Syncer, Updates
from store import etcd, opened

PER_HOST, PER_BLOCK, PER_POLICY, GROUPS = 100, 20, 50, 200
POOL = Cidr.parse("10.0.0.0/8")
HOST = "host-0"  # whose agent it is
ROUNDS = 3
_PUTS = 200  # in one commit: blocks then take half of the 1.5 MiB that etcd allows
_UNDER_WAY = 8


def container(number: int) -> str:
    """The id of a Mesos container: a UUID."""
    text = f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def handle(number: int) -> str:
    return f"{container(number)}:eth0"


def address(number: int) -> Addr:
    return block_cidr(number // PER_BLOCK).nth(number % PER_BLOCK)


def block_cidr(number: int) -> Cidr:
    return Cidr(4, POOL.network + number * 64, 26)


def endpoint(number: int) -> Put:
    """Some 800 bytes, as the agent writes it."""
    host = f"host-{number // PER_HOST}"
    name = f"{host.replace('-', '--')}-cni-{container(number).replace('-', '--')}-eth0"
    labels = {
        "projectcalico.org/namespace": "mesos",
        "projectcalico.org/orchestrator": "cni",
        "app": f"app-{number % 500}",
        "role": f"role-{number % 50}",
        "mesos/framework": "marathon",
        "mesos/task": f"app-{number % 500}.instance-{container(number)}",
    }
    value = WorkloadEndpoint(
        metadata=Metadata(name=name, namespace="mesos", labels=labels, creation_timestamp="2026-01-02T03:04:05Z"),
        spec=WorkloadEndpointSpec(
            orchestrator="cni",
            node=host,
            container_id=container(number),
            endpoint="eth0",
            ip_networks=(str(address(number).cidr()),),
            profiles=(f"group-{number * 7 % GROUPS}",),
            interface_name=f"oci{number:012x}",
            mac=f"02:00:{number.to_bytes(4, 'big').hex(':')}",
        ),
    )
    return Put(keys.workload("mesos", name), encode_json(value))


def block(number: int) -> Put:
    """Its first addresses are taken."""
    cidr = block_cidr(number)
    first, host = number * PER_BLOCK, f"host-{number * PER_BLOCK // PER_HOST}"
    value = Block(
        cidr=str(cidr),
        affinity=f"host:{host}",
        allocations=(*range(PER_BLOCK), *[None] * (64 - PER_BLOCK)),
        unallocated=tuple(range(PER_BLOCK, 64)),
        attributes=tuple(
            AllocationAttribute(handle(one), {"node": host, "namespace": "mesos"})
            for one in range(first, first + PER_BLOCK)
        ),
        sequence_number=1_767_323_045_000_000_000,
        sequence_number_for_allocation={str(one): 1_767_323_045_000_000_000 for one in range(PER_BLOCK)},
    )
    return Put(keys.block(cidr), encode_json(value))


def affinity(number: int) -> Put:
    host = f"host-{number * PER_BLOCK // PER_HOST}"
    return Put(keys.affinity(host, block_cidr(number)), encode_json(BlockAffinity("confirmed")))


def handle_of(number: int) -> Put:
    value = Handle({str(block_cidr(number // PER_BLOCK)): 1})
    return Put(keys.handle(handle(number)), encode_json(value))


def policy(number: int) -> Put:
    name, group = f"default.policy-{number}", number % GROUPS
    source = EntityRule(selector=f"has({MEMBER_PREFIX}group-{(group + 1) % GROUPS}) && app == 'app-{number % 500}'")
    value = NetworkPolicy(
        metadata=Metadata(name=name, namespace="mesos"),
        spec=NetworkPolicySpec(
            order=float(number),
            selector=f"has({MEMBER_PREFIX}group-{group})",
            types=("Ingress",),
            ingress=(Rule(action="Allow", protocol="TCP", source=source, destination=EntityRule(ports=(80, 443))),),
        ),
    )
    return Put(f"{keys.RESOURCES}networkpolicies/mesos/{name}", encode_json(value))


def profile(number: int) -> Put:
    value = group_profile(f"group-{number}")
    return Put(keys.profile(value.metadata.name), encode_json(value))


def node(number: int) -> Put:
    name = f"host-{number}"
    bgp = NodeBGPSpec(ipv4_address=f"{Addr(4, (172 << 24) + (16 << 16) + number)}/12")
    return Put(keys.node(name), encode_json(Node(metadata=Metadata(name=name), spec=NodeSpec(bgp=bgp))))


def content(endpoints: int) -> Iterator[Put]:
    """All objects of a cluster with that many endpoints."""
    pool = IPPool(metadata=Metadata(name="default"), spec=IPPoolSpec(cidr=str(POOL), block_size=26))
    blocks = range(-(-endpoints // PER_BLOCK))
    return chain(
        [Put(keys.pool("default"), encode_json(pool))],
        map(node, range(-(-endpoints // PER_HOST))),
        map(profile, range(GROUPS)),
        map(policy, range(endpoints // PER_POLICY)),
        map(block, blocks),
        map(affinity, blocks),
        map(endpoint, range(endpoints)),
        map(handle_of, range(endpoints)),
    )


async def fill(store: Datastore, puts: Iterator[Put]) -> int:
    """How many keys that made."""
    made = 0

    async def worker() -> None:
        nonlocal made
        while piece := list(islice(puts, _PUTS)):
            await store.commit([], piece)
            made += len(piece)

    await asyncio.gather(*(worker() for _ in range(_UNDER_WAY)))
    return made


# --- what a process of its own measures ---------------------------------------------------------------------------------


async def sync(store: Datastore) -> int:
    seen = 0
    async with aclosing(Syncer(store).updates()) as batches:
        async for batch in batches:
            seen += len(batch.updates)
            if batch.in_sync:
                break
    return seen


async def load_agent(store: Datastore) -> int:
    """As `agent.daemon` wires it, with a dataplane that is not started: its queue holds what it would get."""
    dataplane = Dataplane(DataplaneConfig(host_addresses=(), agent_ports=(), mtu=1500), print)
    feed = Feed(Graph(HOST), Allocator(store, HOST, SystemClock()), Local(HOST), dataplane)
    batch = Updates(0, (), in_sync=False)
    async with aclosing(Syncer(store).updates()) as batches:
        async for batch in batches:
            feed.updates(batch)
            if batch.in_sync:
                break
    return len(feed.local.endpoints)


WHAT = {"syncer": sync, "agent": load_agent}


async def measure(what: str, url: str) -> None:
    """Prints seconds, seconds of processor, peak in MiB, and what came of it."""
    store = await opened(url)
    try:
        started, used = time.perf_counter(), time.process_time()
        found = await WHAT[what](store)
        print(time.perf_counter() - started, time.process_time() - used, peak_mib(), found)
    finally:
        await store.close()


# --- the rounds -----------------------------------------------------------------------------------------------------------


def measured(what: str, url: str) -> tuple[float, ...]:
    command = [sys.executable, __file__, "--measure", what, url]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return tuple(map(float, output.split()))


async def prepare(url: str, endpoints: int) -> None:
    store = await opened(url)
    try:
        started = time.perf_counter()
        made = await fill(store, content(endpoints))
        status = await store.status()
        took_s = time.perf_counter() - started
        print(f"-- {url}: {made} keys, {status.size_bytes / 1e6:.0f} MB, filled in {took_s:.1f} s", flush=True)
    finally:
        await store.close()


def main(urls: list[str], endpoints: int, rounds: int = ROUNDS) -> None:
    for url in urls:
        asyncio.run(prepare(url, endpoints))
    print(f"{'':<28} {'median s':>9} {'processor':>9} {'peak MiB':>9}")
    for what in WHAT:
        found = [[measured(what, url) for url in urls] for _ in range(rounds)]
        for url, figures in zip(urls, zip(*found, strict=True), strict=True):
            seconds, processor, peak, _ = map(statistics.median, zip(*figures, strict=True))
            name = f"{what}, {url.partition(':')[0]}"
            print(f"{name:<28} {seconds:>9.2f} {processor:>9.2f} {peak:>9.0f}   n={rounds}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        asyncio.run(measure(*sys.argv[2:]))
    else:
        size = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
        place = Path(sys.argv[2] if len(sys.argv) > 2 else ".").resolve()
        with tempfile.TemporaryDirectory(prefix="oct-bench-", dir=place) as folder, etcd(folder) as more:
            main([f"sqlite://{folder}/store.db", *more], size)
