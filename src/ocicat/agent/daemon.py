"""The agent's wiring: datastore -> syncer -> calculation graph -> dataplane thread, and the CNI server beside it.

1. Nothing is served before the kernel is as the datastore wants it: the socket appears when the agent is ready.
2. One agent per socket: a second one is refused while the first lives, by a lock that dies with its process.
3. Stopping, or dying, leaves the kernel as it is: traffic and policy go on. It can be stopped at any time, also while it starts.
4. What the kernel refuses for the moment does not end the agent: it is told, and tried again. Nor does what goes on beside the
   containers' network: labels, names, collecting (`agent.beside`).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocicat.agent import presence
from ocicat.agent.attachments import Attachments
from ocicat.agent.beside import beside, cancelled
from ocicat.agent.config import AgentConfig, check
from ocicat.agent.discovery import wiring as discovery
from ocicat.agent.docker import wiring as docker
from ocicat.agent.feed import Feed
from ocicat.agent.flowlog.control import FlowLog
from ocicat.agent.flowlog.reader import Reader
from ocicat.agent.identity import INTERFACE_PREFIX
from ocicat.agent.interfaces import follow as follow_interfaces
from ocicat.agent.interfaces import present as present_interfaces
from ocicat.agent.labelling import Labelling
from ocicat.agent.local import Local
from ocicat.agent.netmodules import NetModules, collect_for_ever
from ocicat.agent.node import interface_mtu, own_interfaces, register
from ocicat.agent.reload import Reread, answer, requests
from ocicat.agent.telling import status
from ocicat.agent.workloads import Workloads
from ocicat.calc.graph import Graph
from ocicat.clock import SystemClock
from ocicat.cni.server import Server
from ocicat.dataplane.api import DataplaneConfig, Report
from ocicat.dataplane.apply import Dataplane
from ocicat.dataplane.ruleset.identity import Decider, parse_prefix
from ocicat.errors import OcicatError, Refused
from ocicat.ipam.allocator import Allocator
from ocicat.mesos.credential import read as read_credential
from ocicat.mesos.operator import AgentClient
from ocicat.store.base import Datastore
from ocicat.store.open import open_store
from ocicat.store.syncer import Syncer

T = TypeVar("T")
MESOS_S = 15.0  # for an answer of the Mesos agent, which is busy just when many tasks start

log = logging.getLogger(__name__)


async def run(config: AgentConfig, reread: Reread | None = None) -> None:
    """Serves until SIGTERM or SIGINT; on SIGHUP it takes over what `reread` gives.

    Errors: UserError, Refused, Unavailable before anything was changed.
    """
    check(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(Path(config.socket)))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        stack.push_async_callback(cancelled, stopping)
        starting = asyncio.create_task(_start(config, stack, reread), name="start")
        if await _first(stopping, starting) is starting:
            await _first(stopping, starting.result())
        else:
            await cancelled(starting)
        log.info("stopping; the kernel stays as it is")


async def _first(stopping: asyncio.Task[bool], *others: asyncio.Task[T]) -> asyncio.Task[bool] | asyncio.Task[T]:
    """The one that ends first. Where it failed, its error is the agent's."""
    waiting: list[asyncio.Task[bool] | asyncio.Task[T]] = [*others, stopping]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    first = next(task for task in waiting if task.done())
    first.result()
    return first


async def _start(config: AgentConfig, stack: AsyncExitStack, reread: Reread | None) -> asyncio.Task[None]:
    """Everything in the order in which it depends on each other; undone in reverse by `stack`. Following the datastore, without
    which there is no agent."""
    asked = requests() if reread else None
    mtu = min(map(interface_mtu, config.host_addresses))  # before anything is written: the address may be mistyped
    store = await open_store(config.store)
    stack.push_async_callback(store.close)
    await register(store, config)
    beside(stack, "tell of this agent", partial(presence.keep, store, presence.present(config.host, SystemClock())))
    feed = await _wired(config, stack, store, mtu)
    if asked and reread:
        beside(stack, "read the settings again", partial(answer, asked, reread, feed))
    beside(stack, "follow the host's interfaces", partial(_follow_interfaces, config.host, feed))
    following = asyncio.create_task(_follow(Syncer(store), feed), name="follow the datastore")
    stack.push_async_callback(cancelled, following)
    await _ready(feed, following)
    await _serve(config, stack, store, feed)
    log.info(
        "ready: host %s, address %s, store %s, socket %s", config.host, config.address, config.store, config.socket
    )
    return following


async def _wired(config: AgentConfig, stack: AsyncExitStack, store: Datastore, mtu: int) -> Feed:
    """What updates go through. The kernel is read back from now on, and nothing of it changed before the first complete state."""
    loop = asyncio.get_running_loop()

    def hear(report: Report) -> None:  # on the dataplane's thread
        loop.call_soon_threadsafe(feed.report, report)

    names = discovery.started(config)
    if names:
        stack.callback(names.stop)
    dataplane = Dataplane(_dataplane_config(config, mtu), hear)
    allocator, local = Allocator(store, config.host, SystemClock()), Local(config.host)
    flow_log = FlowLog(partial(_flow_reader, config, dataplane))
    stack.callback(flow_log.stop)
    labelling, graph = _labelling(config, store, local), Graph(config.host, config.live.felix)
    feed = Feed(graph, allocator, local, dataplane, flow_log, labelling, names, config.live)
    dataplane.start()
    stack.callback(dataplane.stop)
    await allocator.start()
    stack.push_async_callback(allocator.close)
    feed.interfaces(present_interfaces(config.host, INTERFACE_PREFIX))
    return feed


def _dataplane_config(config: AgentConfig, mtu: int) -> DataplaneConfig:
    return DataplaneConfig(
        host_addresses=config.host_addresses,
        agent_ports=config.agent_ports,
        name_servers=config.dns.addresses if config.dns else (),
        mtu=config.mtu or mtu,
        interface_prefix=INTERFACE_PREFIX,
    )


async def _serve(config: AgentConfig, stack: AsyncExitStack, store: Datastore, feed: Feed) -> None:
    """Containers from now on, and all that goes on beside them."""
    clock, allocator, dataplane = SystemClock(), feed.allocator, feed.dataplane
    failsafe = feed.graph.failsafe_inbound
    workloads = Workloads(config, clock, store, allocator, dataplane, feed.local, feed.in_force, failsafe)
    stack.push_async_callback(workloads.close)
    await workloads.reclaim(own_interfaces(INTERFACE_PREFIX))
    net_modules = NetModules(config, clock, allocator, workloads)
    me = presence.present(config.host, clock)

    def how_i_am() -> Awaitable[bytes]:
        return status(me, store, dataplane, len(feed.local.endpoints))

    attachments = Attachments(allocator, feed.local, how_i_am)
    server = Server(Path(config.socket), workloads, attachments, net_modules, how_i_am)
    await server.start()
    stack.push_async_callback(server.close)
    if config.docker:
        await stack.enter_async_context(docker.served(config.docker, workloads))
    beside(stack, "mend the kernel", partial(_mend, dataplane, config.resync_interval_s))
    collecting = partial(collect_for_ever, net_modules, partial(own_interfaces, INTERFACE_PREFIX))
    beside(stack, "collect what containers left", collecting)
    if feed.labelling:
        beside(stack, "tell by labels who lives where", feed.labelling.run)


async def _follow_interfaces(host: str, feed: Feed) -> None:
    await follow_interfaces(host, INTERFACE_PREFIX, feed.interfaces)
    await asyncio.Event().wait()  # it said why it cannot: the agent does without


def _labelling(config: AgentConfig, store: Datastore, local: Local) -> Labelling | None:
    """UserError when its credential cannot be read."""
    endpoint = config.mesos_endpoint
    if endpoint is None:
        return None
    credential = read_credential(config.mesos_credential) if config.mesos_credential else None
    return Labelling(store, local, AgentClient(endpoint.host, endpoint.port, credential=credential, timeout_s=MESOS_S))


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
