"""The agent's wiring: datastore -> syncer -> calculation graph -> dataplane thread, and the CNI server beside it.

1. Nothing is served before the kernel is as the datastore wants it: the socket appears when the agent is ready.
2. One agent per socket: a second one is refused while the first lives, by a lock that dies with its process.
3. Stopping, or dying, leaves the kernel as it is: traffic and policy go on. It can be stopped at any time, also while it starts.
4. What the kernel refuses for the moment does not end the agent: it is told, and tried again.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocicat.agent import presence
from ocicat.agent.config import AgentConfig, check
from ocicat.agent.discovery import wiring as discovery
from ocicat.agent.discovery.service import Service as Names
from ocicat.agent.docker import wiring as docker
from ocicat.agent.flowlog.control import FlowLog
from ocicat.agent.flowlog.reader import Reader
from ocicat.agent.identity import INTERFACE_PREFIX
from ocicat.agent.inforce import InForce
from ocicat.agent.interfaces import Interfaces
from ocicat.agent.interfaces import follow as follow_interfaces
from ocicat.agent.interfaces import present as present_interfaces
from ocicat.agent.labelling import Labelling
from ocicat.agent.local import Local
from ocicat.agent.netmodules import NetModules, collect_for_ever
from ocicat.agent.node import interface_mtu, own_interfaces, register
from ocicat.agent.workloads import Workloads
from ocicat.calc.graph import Graph
from ocicat.clock import SystemClock
from ocicat.cni.server import Server
from ocicat.dataplane.api import (
    Applied,
    DataplaneConfig,
    Drift,
    EndpointFailed,
    EndpointsInForce,
    FlowsCut,
    Problem,
    Report,
)
from ocicat.dataplane.apply import Dataplane
from ocicat.dataplane.identity import Decider, parse_prefix
from ocicat.errors import OcicatError, Refused
from ocicat.ipam.allocator import Allocator
from ocicat.mesos.credential import read as read_credential
from ocicat.mesos.operator import AgentClient
from ocicat.store.base import Datastore
from ocicat.store.open import open_store
from ocicat.store.syncer import Syncer, Updates

T = TypeVar("T")
MESOS_S = 15.0  # for an answer of the Mesos agent, which is busy just when many tasks start

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Feed:
    """What every batch of the datastore's updates goes through, and what comes back from the dataplane. One event loop."""

    graph: Graph
    allocator: Allocator
    local: Local
    dataplane: Dataplane
    flow_log: FlowLog | None = None
    labelling: Labelling | None = None
    names: Names | None = None
    in_force: InForce = field(default_factory=InForce)
    applied: asyncio.Event = field(default_factory=asyncio.Event)  # the first complete state is in the kernel
    _problems: dict[str, str] = field(default_factory=dict)
    _revision: int | None = None  # of the last complete state; None before the first

    def updates(self, batch: Updates) -> None:
        if self.names:
            self.names.observe(batch)
        for update in batch.updates:
            self.allocator.observe(update.key, update.value, update.revision)
            self.local.observe(update.key, update.value)
            self.graph.update(update.key, update.value)
            if self.labelling:
                self.labelling.noticed(update.key)
        if not batch.in_sync:
            return
        if self._revision is None:
            self.graph.in_sync()
        self._revision = batch.revision
        self._flush(batch.revision)

    def interfaces(self, found: Interfaces) -> None:
        """All of this host's own."""
        self.graph.interfaces(found)
        if self.flow_log:
            self.flow_log.interfaces(found)
        if self._revision is not None:
            self._flush(self._revision)

    def _flush(self, revision: int) -> None:
        wanted = self.graph.flush(revision)
        if wanted:
            self.dataplane.submit(wanted)
        if self.flow_log:
            self.flow_log.follow(self.graph, wanted)
        self._tell_problems()

    def report(self, report: Report) -> None:
        match report:
            case EndpointsInForce(keys, revision):
                for key in keys:
                    self.in_force.reached(key, revision)
            case EndpointFailed(key, text):
                log.error("endpoint %s: %s", key, text)
                self.in_force.failed(key, text)
            case Applied():
                self.applied.set()
            case Drift(by, what):
                log.warning("mended: %s: %s", "; ".join(by), _few(what))
            case FlowsCut(count, by):
                log.info("%d established flows ended: %s", count, _few(tuple(f"{each} by {who}" for who, each in by)))
            case Problem(subject, ""):
                log.info("%s: solved", subject)
            case Problem(subject, text):
                log.error("%s: %s", subject, text)

    def _tell_problems(self) -> None:
        """Each once when it comes, each once when it goes."""
        problems = dict(self.graph.problems())
        for key, text in problems.items():
            if self._problems.get(key) != text:
                log.warning("%s: %s", key, text)
        for key in self._problems.keys() - problems.keys():
            log.info("%s: solved", key)
        self._problems = problems


def _few(texts: tuple[str, ...], most: int = 5) -> str:
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest


async def run(config: AgentConfig) -> None:
    """Serves until SIGTERM or SIGINT. Errors: UserError, Refused, Unavailable before anything was changed."""
    check(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(Path(config.socket)))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        stack.push_async_callback(_cancel, stopping)
        starting = asyncio.create_task(_start(config, stack), name="start")
        if await _first(stopping, starting) is starting:
            await _first(stopping, *starting.result())
        else:
            await _cancel(starting)
        log.info("stopping; the kernel stays as it is")


async def _first(stopping: asyncio.Task[bool], *others: asyncio.Task[T]) -> asyncio.Task[bool] | asyncio.Task[T]:
    """The one that ends first. Where it failed, its error is the agent's."""
    waiting: list[asyncio.Task[bool] | asyncio.Task[T]] = [*others, stopping]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    first = next(task for task in waiting if task.done())
    first.result()
    return first


async def _start(config: AgentConfig, stack: AsyncExitStack) -> list[asyncio.Task[None]]:
    """Everything in the order in which it depends on each other; undone in reverse by `stack`."""
    loop = asyncio.get_running_loop()
    mtu = min(map(interface_mtu, config.host_addresses))  # before anything is written: the address may be mistyped
    store = await open_store(config.store)
    stack.push_async_callback(store.close)
    await register(store, config)
    clock = SystemClock()
    telling = asyncio.create_task(presence.keep(store, presence.present(config.host, clock)), name="tell of this agent")
    stack.push_async_callback(_cancel, telling)
    names = discovery.started(config)
    if names:
        stack.callback(names.stop)

    dataplane_config = DataplaneConfig(
        host_addresses=config.host_addresses,
        agent_ports=config.agent_ports,
        name_servers=config.dns.addresses if config.dns else (),
        mtu=config.mtu or mtu,
        interface_prefix=INTERFACE_PREFIX,
    )

    def hear(report: Report) -> None:  # on the dataplane's thread
        loop.call_soon_threadsafe(feed.report, report)

    dataplane = Dataplane(dataplane_config, hear)
    allocator = Allocator(store, config.host, clock)
    flow_log = FlowLog(partial(_flow_reader, config, dataplane))
    stack.callback(flow_log.stop)
    local = Local(config.host)
    labelling = _labelling(config, store, local)
    feed = Feed(Graph(config.host), allocator, local, dataplane, flow_log, labelling, names)
    dataplane.start()
    stack.callback(dataplane.stop)
    await allocator.start()
    stack.push_async_callback(allocator.close)

    feed.interfaces(present_interfaces(config.host, INTERFACE_PREFIX))
    looking = asyncio.create_task(
        follow_interfaces(config.host, INTERFACE_PREFIX, feed.interfaces), name="follow the host's interfaces"
    )
    stack.push_async_callback(_cancel, looking)
    following = asyncio.create_task(_follow(Syncer(store), feed), name="follow the datastore")
    stack.push_async_callback(_cancel, following)
    await _ready(feed, following)

    failsafe = feed.graph.failsafe_inbound
    workloads = Workloads(config, clock, store, allocator, dataplane, feed.local, feed.in_force, failsafe)
    stack.push_async_callback(workloads.close)
    await workloads.reclaim(own_interfaces(INTERFACE_PREFIX))
    net_modules = NetModules(config, clock, allocator, workloads)
    server = Server(Path(config.socket), workloads, net_modules)
    await server.start()
    stack.push_async_callback(server.close)
    if config.docker:
        await stack.enter_async_context(docker.served(config.docker, workloads))
    log.info(
        "ready: host %s, address %s, store %s, socket %s", config.host, config.address, config.store, config.socket
    )
    mending = asyncio.create_task(_mend(dataplane, config.resync_interval_s), name="mend the kernel")
    stack.push_async_callback(_cancel, mending)
    collecting = asyncio.create_task(
        collect_for_ever(net_modules, partial(own_interfaces, INTERFACE_PREFIX)), name="collect what containers left"
    )
    stack.push_async_callback(_cancel, collecting)
    telling_who = asyncio.create_task(_forever(labelling), name="tell by labels who lives where")
    stack.push_async_callback(_cancel, telling_who)
    naming = [asyncio.create_task(names.ended(), name="serve names")] if names else []
    return [following, mending, collecting, telling_who, *naming]


def _labelling(config: AgentConfig, store: Datastore, local: Local) -> Labelling | None:
    """UserError when its credential cannot be read."""
    endpoint = config.mesos_endpoint
    if endpoint is None:
        return None
    credential = read_credential(config.mesos_credential) if config.mesos_credential else None
    return Labelling(store, local, AgentClient(endpoint.host, endpoint.port, credential=credential, timeout_s=MESOS_S))


async def _forever(labelling: Labelling | None) -> None:
    await (labelling.run() if labelling else asyncio.Event().wait())


def _flow_reader(config: AgentConfig, dataplane: Dataplane, interval_s: float, tier_of: Callable[[str], str]) -> Reader:
    def decider(prefix: str) -> Decider | None:
        return dataplane.deciders.get(prefix) or parse_prefix(prefix)

    return Reader(Path(config.flow_log), config.host, SystemClock(), decider, tier_of, interval_s=interval_s)


async def _ready(feed: Feed, following: asyncio.Task[None]) -> None:
    """Until the first complete state is in the kernel, or following the datastore failed."""
    applied = asyncio.create_task(feed.applied.wait(), name="first state applied")
    try:
        await asyncio.wait([applied, following], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
    finally:
        applied.cancel()


async def _follow(syncer: Syncer, feed: Feed) -> None:
    async for batch in syncer.updates():
        feed.updates(batch)


async def _mend(dataplane: Dataplane, interval_s: float) -> None:
    """Reads the kernel back from time to time: what others removed comes back."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await asyncio.wrap_future(dataplane.resync())
        except OcicatError as error:
            log.warning("the kernel could not be read back, which is tried again in %g s: %s", interval_s, error)


async def _cancel(task: asyncio.Task[T]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Promise 2. The lock is a file beside the socket; the kernel drops it when the process ends, however it ends."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise Refused(f"cannot serve {path}: {error}", hint="run as root, or choose another --socket") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another agent serves {path}", hint="stop it first, or give this one a --socket of its own"
            ) from None
        yield
