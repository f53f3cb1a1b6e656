"""What the demo (and the system tests) measure and compare: addresses, connectivity, leftovers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ocicat.dataplane.ruleset import skeleton, skeleton_nat
from ocicat.errors import Refused
from ocicat.lab.lab import Lab
from ocicat.lab.spec import Host
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import TaskState
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr
from ocicat.model.resources import Block, WorkloadEndpoint
from ocicat.netlink import address, link, namespace, route
from ocicat.netlink.inet import INET
from ocicat.netlink.socket import RouteSocket
from ocicat.store.base import Datastore
from ocicat.store.open import open_store

PROBE = Path(__file__).with_name("probe.py")
PROBE_TIMEOUT_S = 1.0
LEFTOVERS_TIMEOUT_S = 20.0
POLL_S = 0.1
OWN_INTERFACES = (
    "oc",
    "bwoci",
)  # those of containers, those on their way out, and those that limit what containers send
_OF_POOLS = frozenset((*skeleton_nat.SOURCES.values(), *skeleton_nat.INSIDE.values()))
_TIMED = frozenset(spec.name for spec in skeleton.CUT_FLOWS.values())  # what was cut is remembered for a day


class Running(Struct, frozen=True, kw_only=True):
    """A task as Mesos reported it; a task on the host's network has the host's address."""

    name: str
    host: str
    groups: tuple[str, ...]
    networked: bool
    container_id: str
    addresses: tuple[str, ...]
    state: str
    started_s: float


def as_running(task: TaskHandle, started_s: float = 0.0) -> Running:
    """Refused when Mesos has not reported it as running yet."""
    status, network = task.status_of(TaskState.RUNNING), task.spec.network
    if status is None:
        raise Refused(f"task {task.spec.name} does not run")
    return Running(
        name=task.spec.name,
        host=task.hostname,
        groups=network.groups if network else (),
        networked=network is not None,
        container_id=status.container_id,
        addresses=status.ip_addresses,
        state=status.state.short,
        started_s=started_s,
    )


class Reach(Struct, frozen=True):
    tcp: bool
    ping: bool

    def __str__(self) -> str:
        return {(True, True): "TP", (True, False): "T-", (False, True): "-P", (False, False): "--"}[self.tcp, self.ping]


ALL, NOTHING = Reach(tcp=True, ping=True), Reach(tcp=False, ping=False)


def expected(source: Running, target: Running) -> Reach:
    """What the groups' profiles say, and what holds for a task on its host's own network."""
    if target.networked:
        if not source.networked and source.host == target.host:
            return ALL  # a host always reaches its own tasks: its Mesos agent must
        if "public" in target.groups or (source.networked and _groups(source) & _groups(target)):
            return ALL
        return NOTHING
    # A task never reaches its own host but for the Mesos agent's port; other hosts are outside, where ocicat has no say.
    return NOTHING if source.host == target.host else ALL


def _groups(task: Running) -> set[str]:
    return set(task.groups) or {"(none)"}


# --- connectivity -----------------------------------------------------------------------------------------------


async def measure(lab: Lab, tasks: Sequence[Running], port: int) -> dict[tuple[str, str], Reach]:
    """From every task to every other one: TCP to `port`, and an ICMP echo."""
    rows = await asyncio.gather(*(_from(lab, source, tasks, port) for source in tasks))
    return {pair: reach for row in rows for pair, reach in row.items()}


async def _from(lab: Lab, source: Running, tasks: Sequence[Running], port: int) -> dict[tuple[str, str], Reach]:
    targets = {task.name: task.addresses[0] for task in tasks if task is not source}
    texts = [text for ip in targets.values() for text in (f"tcp:{ip}:{port}", f"icmp:{ip}")]
    argv = [
        "nsenter",
        f"--net={task_namespace(lab, source)}",
        "--",
        sys.executable,
        "-ISE",
        str(PROBE),
        str(PROBE_TIMEOUT_S),
    ]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, *texts, stdout=pipe, stderr=pipe)
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.communicate()
        raise
    if process.returncode:  # or everything it was to reach would count as unreachable
        raise Refused(f"task {source.name}: nothing could be measured: {errors.decode(errors='replace').strip()}")
    reached = dict(line.split() for line in output.decode().splitlines())
    return {
        (source.name, name): Reach(
            tcp=reached.get(f"tcp:{ip}:{port}") == "yes", ping=reached.get(f"icmp:{ip}") == "yes"
        )
        for name, ip in targets.items()
    }


def task_namespace(lab: Lab, task: Running) -> Path:
    """The network namespace that Mesos's isolator keeps for the task's container, or the host's own."""
    if not task.networked:
        return lab.namespace(task.host)
    host = next(host for host in lab.hosts if host.name == task.host)
    return Path(host.runtime_dir) / "isolators/network/cni" / task.container_id / "ns"


# --- agreement --------------------------------------------------------------------------------------------------


async def disagreements(lab: Lab, tasks: Sequence[Running]) -> list[str]:
    """Mesos's status, the datastore's endpoint, the container's interface and the host's route, for each networked task."""
    async with opened(lab) as store:
        snapshot = await store.range(keys.WORKLOADS)
    stored = [decode_json(WorkloadEndpoint, item.value, what=item.key) for item in snapshot.items]
    by_container = {endpoint.spec.container_id: endpoint for endpoint in stored}
    problems = [f"endpoint of {container}: no such task" for container in _unknown(by_container, tasks)]
    for task in tasks:
        if task.networked:
            problems += _disagreements(lab, task, by_container.get(task.container_id))
    return problems


def _unknown(stored: Iterable[str], tasks: Sequence[Running]) -> set[str]:
    return set(stored) - {task.container_id for task in tasks}


def _disagreements(lab: Lab, task: Running, endpoint: WorkloadEndpoint | None) -> list[str]:
    reported = set(task.addresses)
    stored = {network.partition("/")[0] for network in endpoint.spec.ip_networks} if endpoint else set()
    with namespace.opened(task_namespace(lab, task)) as inside, RouteSocket(inside) as kernel:
        index = kernel.get(link.get("eth0")).index
        held = {str(Addr.unpack(found.address)) for found in kernel.dump(address.dump(INET)) if found.index == index}
    with namespace.opened(lab.namespace(task.host)) as host, RouteSocket(host) as kernel:
        routed = {
            str(Addr.unpack(found.dst.address)) for found in kernel.dump(route.dump(INET)) if found.dst.length == 32
        }
    problems = []
    if len(reported) != 1:
        problems.append(f"{task.name}: Mesos reports {len(reported)} addresses")
    if not stored == held == reported:
        problems.append(f"{task.name}: Mesos reports {reported}, the datastore has {stored}, its eth0 {held}")
    if not reported <= routed:
        problems.append(f"{task.name}: no route to {reported - routed} on {task.host}")
    return problems


# --- leftovers --------------------------------------------------------------------------------------------------


async def leftovers(lab: Lab) -> list[str]:
    """What is still there of tasks that have all ended; waits until there is nothing, or until time runs out."""
    deadline = time.monotonic() + LEFTOVERS_TIMEOUT_S
    while True:
        found = [*await _stored_leftovers(lab), *(line for host in lab.hosts for line in _host_leftovers(lab, host))]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(POLL_S)


async def _stored_leftovers(lab: Lab) -> list[str]:
    async with opened(lab) as store:
        objects = [*(await store.range(keys.WORKLOADS)).items, *(await store.range(keys.HANDLES)).items]
        blocks = [decode_json(Block, item.value, what=item.key) for item in (await store.range(keys.BLOCKS)).items]
    used = {block.cidr: sum(index is not None for index in block.allocations) for block in blocks}
    return [item.key for item in objects] + [f"{count} addresses in {cidr}" for cidr, count in used.items() if count]


def _host_leftovers(lab: Lab, host: Host) -> list[str]:
    with namespace.opened(lab.namespace(host.name)) as inside, RouteSocket(inside) as kernel:
        interfaces = [found.name for found in kernel.dump(link.dump()) if found.name.startswith(OWN_INTERFACES)]
        routes = [str(found.dst) for found in kernel.dump(route.dump(INET, table=route.MAIN)) if found.dst.length == 32]
    namespaces = [path.name for path in (Path(host.runtime_dir) / "isolators/network/cni").glob("*")]
    return [f"{host.name}: {what}" for what in (*interfaces, *routes, *namespaces, *_elements(lab, host))]


def _elements(lab: Lab, host: Host) -> list[str]:
    """The sets and maps of our table that still have members. But for those of pools, and of flows that were cut, only workloads
    put any into them."""
    argv = [*lab.enter(host.name), "nft", "-j", "list", "table", "inet", "ocicat"]
    listed = subprocess.run(argv, capture_output=True, check=True).stdout
    return [
        f"nft {kind} {body.get('name')}"
        for entry in json.loads(listed)["nftables"]
        for kind, body in entry.items()
        if kind in ("set", "map") and body.get("elem") and body.get("name") not in _OF_POOLS | _TIMED
    ]


@asynccontextmanager
async def opened(lab: Lab) -> AsyncIterator[Datastore]:
    """The lab's datastore, as another process sees it."""
    store = await open_store(lab.store)
    try:
        yield store
    finally:
        await store.close()


# --- printing ---------------------------------------------------------------------------------------------------


def task_table(tasks: Sequence[Running]) -> str:
    head = ("TASK", "HOST", "GROUPS", "IP", "STATE", "STARTED IN")
    rows = [
        (
            task.name,
            task.host,
            "+".join(task.groups) or "-",
            ",".join(task.addresses) + ("" if task.networked else " (host)"),
            task.state,
            f"{task.started_s:.2f} s",
        )
        for task in tasks
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )


def matrices(
    tasks: Sequence[Running], measured: dict[tuple[str, str], Reach], wanted: dict[tuple[str, str], Reach]
) -> str:
    """Measured and expected side by side: from the row's task to the column's. T: TCP, P: ping, !: not as expected."""
    names = [task.name for task in tasks]
    width = max(map(len, names)) + 1

    def row(source: str, cells: dict[tuple[str, str], Reach]) -> str:
        texts = []
        for target in names:
            cell = cells.get((source, target))
            wrong = cell is not None and cell != wanted[source, target]
            texts.append(("." if cell is None else f"{cell}{'!' if wrong else ''}").rjust(width))
        return "".join(texts)

    header = "".join(name.rjust(width) for name in names)
    rows = (
        f"{name.ljust(width + 1)}{row(name, measured)}   {name.ljust(width + 1)}{row(name, wanted)}" for name in names
    )
    title = "from the row to the column; T: TCP, P: ping, -: no answer"
    return "\n".join([title, f"{'MEASURED'.ljust(width)}{header}    {'EXPECTED'.ljust(width)}{header}", *rows])
