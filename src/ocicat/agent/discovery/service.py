"""The DNS server's thread: an event loop of its own, so that answers wait for nothing that the agent does.

1. The sockets are made where the agent starts: an address that cannot be had is its error, before anything else is begun.
2. What ends the thread ends the agent, with the same error. `stop` ends it whatever it does.
3. The agent hands over what the datastore tells (`observe`) and goes on; nothing else is shared.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import chain

from ocicat.agent.discovery.askers import Askers
from ocicat.agent.discovery.config import REACHABLE, DnsConfig
from ocicat.agent.discovery.followed import Policies, Pools
from ocicat.agent.discovery.names import Names
from ocicat.dns import records
from ocicat.dns.answer import Book
from ocicat.dns.forward import Forwarder
from ocicat.dns.reach import View
from ocicat.dns.server import Resolver, Server, bound
from ocicat.errors import OcicatError
from ocicat.mesos.credential import Credential
from ocicat.mesos.follow import follow
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import Change, Cluster
from ocicat.model.net import Addr, Cidr
from ocicat.store.syncer import Updates

log = logging.getLogger(__name__)


class _Parts:
    """Made on the thread, for its loop."""

    def __init__(self, config: DnsConfig, nets: Sequence[Cidr], agent_ports: tuple[int, ...]) -> None:
        book = Book(config.naming, config.ttl_s)
        own = [Addr.parse(one.host) for one in config.listen]
        book.zone.set("server", records.of_server(own, config.naming))
        self.names = Names(book, config.listed_masters)
        self.pools = Pools()
        self.policies = Policies(agent_ports) if REACHABLE in config.only else None
        askers = Askers(config.only, self.names, self._view, lambda: chain(nets, self.pools))
        forwarder = Forwarder(config.upstream) if config.upstream else None
        self.resolver = Resolver(book, forwarder, askers.visible, askers.served)

    def observe(self, updates: Updates) -> None:
        self.pools.observe(updates)
        if self.policies:
            self.policies.observe(updates)

    def _view(self) -> View | None:
        return self.policies.view if self.policies else None


class Service:
    """`nets`: the networks of this host's own addresses. Refused, UserError where it cannot listen."""

    def __init__(
        self,
        config: DnsConfig,
        nets: Sequence[Cidr],
        agent_ports: tuple[int, ...],
        credential: Credential | None = None,
    ) -> None:
        self._config, self._credential = config, credential
        self._make = partial(_Parts, config, nets, agent_ports)
        self._sockets = _bound(config.listen)
        self._ready: Future[tuple[asyncio.AbstractEventLoop, _Parts, asyncio.Event]] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.result()

    def observe(self, updates: Updates) -> None:
        """In the order in which they come; at once, whatever the thread does."""
        loop, parts, _ = self._ready.result()
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(parts.observe, updates)

    async def ended(self) -> None:
        """Until the thread ends; promise 2."""
        await asyncio.shield(asyncio.wrap_future(self._ended))

    def stop(self) -> None:
        loop, _, stop = self._ready.result()
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        parts, stop = self._make(), asyncio.Event()
        server = Server(parts.resolver, self._sockets)
        await server.start()
        self._ready.set_result((asyncio.get_running_loop(), parts, stop))
        log.info("DNS: zone %s at %s", self._config.naming.zone, ", ".join(map(str, self._config.listen)))
        jobs: list[asyncio.Task[bool] | asyncio.Task[None]] = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._follow(parts), name="follow Mesos"),
        ]
        if parts.policies:
            jobs.append(asyncio.create_task(parts.policies.keep(), name="keep up with policy"))
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await server.close()

    async def _follow(self, parts: _Parts) -> None:
        def hear(cluster: Cluster, change: Change) -> None:
            parts.names.hear(cluster, change, time.time())

        await follow(self._config.master, hear, credential=self._credential)


def _bound(endpoints: Iterable[Endpoint]) -> list[tuple[socket.socket, socket.socket]]:
    """All or none."""
    made: list[tuple[socket.socket, socket.socket]] = []
    try:
        made += map(bound, endpoints)
    except OcicatError:
        for sock in chain.from_iterable(made):
            sock.close()
        raise
    return made
