"""One host's agent without a kernel: the real store, syncer, graph, allocator and workloads, and a dataplane that plays its part.

The dataplane keeps the promises of the real one that matter here: one queue, an endpoint is reported in force once its interface
is there and its batch has come, at the batch's revision, and after every attach again.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from concurrent.futures import Future
from contextlib import asynccontextmanager

from ocicat.agent import identity
from ocicat.agent.config import AgentConfig
from ocicat.agent.feed import Feed
from ocicat.agent.local import Local
from ocicat.agent.workloads import Workloads
from ocicat.calc.graph import Graph
from ocicat.clock import ManualClock
from ocicat.cni.request import parse
from ocicat.dataplane.api import Attached, EndpointFailed, EndpointsInForce
from ocicat.errors import NotFound
from ocicat.ipam import block
from ocicat.ipam.allocator import Allocator
from ocicat.model import keys, wanted
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import (
    Block,
    ClusterInformation,
    ClusterInformationSpec,
    IPPool,
    IPPoolSpec,
    Metadata,
    WorkloadEndpoint,
)
from ocicat.store.base import Delete, Put
from ocicat.store.memory import MemoryStore
from ocicat.store.syncer import Syncer

LOOK_S, LOOKS = 0.002, 5000
BOUND_S = 2 * LOOK_S * LOOKS
POOL = Put(keys.pool("p"), encode_json(IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.65.0.0/24"))))

POOL6 = Put(keys.pool("p6"), encode_json(IPPool(metadata=Metadata(name="p6"), spec=IPPoolSpec(cidr="fd65::/112"))))


def request(command="ADD", container="c1", interface="eth0", network="net", groups=(), labels=None, **config):
    """What the CNI server would have made of a plugin's call."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_IFNAME": interface,
        "CNI_NETNS": "/run/netns/x",
    }
    if address := config.pop("address", None):
        environment["CNI_ARGS"] = f"IP={address}"
    info = {
        "name": network,
        "groups": list(groups),
        "labels": {"labels": [{"key": k, "value": v} for k, v in (labels or {}).items()]},
    }
    document = {"name": network, "type": "ocicat", "args": {"org.apache.mesos": {"network_info": info}}, **config}
    return parse(environment, json.dumps(document).encode())


class Script:
    """What goes wrong, and what takes its time. Tests set it; None and set events are the normal course."""

    def __init__(self):
        self.refuse_commit = None  # an exception, or a function of (compares, operations) that gives one or None
        self.refuse_attach = None
        self.refuse_detach = None
        self.refuse_release = None
        self.fail_endpoint = ""
        self.faults = []
        self.commits, self.attaches, self.detaches, self.watch, self.reports = (asyncio.Event() for _ in range(5))
        for gate in (self.commits, self.attaches, self.detaches, self.watch, self.reports):
            gate.set()


class Store(MemoryStore):
    def __init__(self, script):
        super().__init__()
        self.script = script

    async def commit(self, compares, operations):
        await self.script.commits.wait()
        refusal = self.script.refuse_commit
        if callable(refusal):
            refusal = refusal(compares, operations)
        if refusal is not None:
            raise refusal
        return await super().commit(compares, operations)

    async def write(self, *operations):
        """As another program would."""
        return await super().commit([], operations)


class Kernel:
    """The dataplane's part. `links`: interface -> endpoint key of what is plugged in."""

    def __init__(self, script):
        self.script = script
        self.feed = None
        self.links = {}
        self.endpoints = {}
        self.revision = 0
        self.attached = []
        self.namespaces = set()  # paths of those where what was lent has been taken
        self.completed = []
        self.on_detach = lambda detach: None
        self._queue = asyncio.Queue()
        self._thread = asyncio.create_task(self._run())

    def submit(self, batch):
        self._put(lambda: self._batch(batch), None)

    def attach(self, attach):
        return self._put(lambda: self._attach(attach), self.script.attaches)

    def detach(self, detach):
        return self._put(lambda: self._detach(detach), self.script.detaches)

    def complete(self, attach):
        return self._put(lambda: self._complete(attach), None)

    def verify(self, name, attach=None):
        return self._put(lambda: list(self.script.faults), None)

    async def close(self):
        self._thread.cancel()
        await asyncio.gather(self._thread, return_exceptions=True)

    def _put(self, work, gate):
        future = Future()
        self._queue.put_nowait((work, gate, future))
        return future

    async def _run(self):
        while True:
            work, gate, future = await self._queue.get()
            if gate is not None:
                await gate.wait()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _batch(self, batch):
        changed = []
        for message in batch:
            match message:
                case wanted.Endpoint():
                    self.endpoints[message.key] = message
                    changed.append(message.key)
                case wanted.EndpointGone(key):
                    self.endpoints.pop(key, None)
                case wanted.Revision(revision):
                    self.revision = revision
        self._report(changed)

    def _attach(self, attach):
        if self.script.refuse_attach is not None:
            raise self.script.refuse_attach
        self.attached.append(attach)
        self.links[attach.interface] = attach.key
        self._report([key for key, endpoint in self.endpoints.items() if endpoint.interface == attach.interface])
        return Attached(index=7, mac=attach.mac)

    def _complete(self, attach):
        if attach.netns_path not in self.namespaces:
            raise NotFound(f"{attach.netns_path} is not there yet")
        self.completed.append(attach)

    def _detach(self, detach):
        if self.script.refuse_detach is not None:
            raise self.script.refuse_detach
        self.on_detach(detach)
        if self.links.get(detach.interface) == detach.key:
            del self.links[detach.interface]

    def _report(self, changed):
        ready = tuple(key for key in changed if self.endpoints[key].interface in self.links)
        if not ready or not self.script.reports.is_set():
            return
        for key in ready if self.script.fail_endpoint else ():
            self._tell(EndpointFailed(key, self.script.fail_endpoint))
        if not self.script.fail_endpoint:
            self._tell(EndpointsInForce(ready, self.revision))

    def _tell(self, report):
        asyncio.get_running_loop().call_soon(self.feed.report, report)


class Agent:
    """Its parts, and what a test looks at."""

    def __init__(self, host, store, script, **settings):
        self.script = script
        self.store = store
        self.config = AgentConfig(host=host, address="10.0.0.11/24", **settings)
        clock = ManualClock()
        self.allocator = Allocator(store, host, clock)
        self.kernel = Kernel(script)
        self.local = Local(host)
        self.feed = self.kernel.feed = Feed(Graph(host), self.allocator, self.local, self.kernel)
        self.workloads = Workloads(
            self.config,
            clock,
            store,
            self.allocator,
            self.kernel,
            self.local,
            self.feed.in_force,
            self.feed.graph.failsafe_inbound,
        )
        self.workloads.departures.retry_s = 0.02
        self.workloads.ports.listeners = self._listeners
        self.workloads.ports.patience_s = 0.0
        self.listeners = []
        self._release, self.allocator.release = self.allocator.release, self._scripted_release

    def _listeners(self, protocol, port):
        return [each for each in self.listeners if (each.protocol, each.port) == (protocol, port)]

    async def _scripted_release(self, handle, also=(), **options):
        if self.script.refuse_release is not None:
            raise self.script.refuse_release
        return await self._release(handle, also, **options)

    async def follow(self):
        async for batch in Syncer(self.store).updates():
            await self.script.watch.wait()
            self.feed.updates(batch)

    async def add(self, **kwargs):
        return await self.workloads.add(request(**kwargs))

    async def delete(self, **kwargs):
        await self.workloads.delete(request("DEL", **kwargs))

    async def check(self, **kwargs):
        await self.workloads.check(request("CHECK", **kwargs))

    async def lock(self, locked=True):
        information = ClusterInformation(
            metadata=Metadata(name="default"), spec=ClusterInformationSpec(datastore_ready=not locked)
        )
        revision = await self.store.write(Put(keys.CLUSTER_INFORMATION, encode_json(information)))
        await until(lambda: self.kernel.revision >= revision)

    async def forget(self, key):
        """Somebody deletes an object by hand."""
        await self.store.write(Delete(key))

    async def stored(self):
        """The endpoints in the datastore, by key."""
        found = (await self.store.range(keys.WORKLOADS)).items
        return {item.key: decode_json(WorkloadEndpoint, item.value) for item in found}

    async def left(self):
        """Everything that containers may leave: endpoints, handles, addresses, interfaces, things under way."""
        handles = [item.key for item in (await self.store.range(keys.HANDLES)).items]
        blocks = [decode_json(Block, item.value) for item in (await self.store.range(keys.BLOCKS)).items]
        used = [f"{block.used(each)} in {each.cidr}" for each in blocks if block.used(each)]
        under_way = [*self.workloads.departures._under_way, *self.feed.in_force._expected]
        return [*await self.stored(), *handles, *used, *self.kernel.links, *under_way]

    async def nothing_left(self):
        for _ in range(LOOKS):
            if not await self.left():
                return
            await asyncio.sleep(LOOK_S)
        assert await self.left() == []


async def until(condition):
    for _ in range(LOOKS):
        if condition():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError("it never came true")


@asynccontextmanager
async def agent(host="h1", store=None, **settings):
    script = Script()
    store = store or Store(script)
    if await store.get(POOL.key) is None:
        await store.write(POOL)
    one = Agent(host, store, script, **settings)
    await one.allocator.start()
    following = asyncio.create_task(one.follow())
    await until(lambda: one.kernel.revision)
    try:
        yield one
    finally:
        await one.workloads.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await one.allocator.close()
        await one.kernel.close()


def scenario(**settings):
    """Runs the coroutine with an agent of its own, within a bound."""

    def decorated(test):
        def bounded(**fixtures):
            async def run():
                async with asyncio.timeout(BOUND_S), agent(**settings) as one:
                    await test(one, **fixtures)

            asyncio.run(run())

        bounded.__name__ = test.__name__
        _, *fixtures = inspect.signature(test).parameters.values()
        bounded.__signature__ = inspect.Signature(fixtures)  # what pytest is to give
        return bounded

    return decorated


def interface(container="c1", name="eth0"):
    return identity.interface_name(container, name)
