"""The DNS server's thread: an event loop of its own, so that answers wait for nothing that the agent does.

1. The sockets are made where the agent starts: an address that cannot be had is its error, before anything else is begun; and so is
   a master that is not named as it can be.
2. Whatever goes wrong later is told, and begun again after a pause. Meanwhile what was known is served.
3. `stop` ends the thread, and waits for it a few seconds at most.
4. The agent hands over what the datastore tells (`observe`) and goes on; nothing else is shared.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import chain

from ocicat.agent.beside import beside
from ocicat.agent.discovery.askers import Askers
from ocicat.agent.discovery.config import REACHABLE, DnsConfig
from ocicat.agent.discovery.followed import Policies, Pools
from ocicat.agent.discovery.names import Names
from ocicat.clock import SystemClock
from ocicat.dns import records
from ocicat.dns.allowance import Allowance
from ocicat.dns.answer import Book
from ocicat.dns.forward import Forwarder
from ocicat.dns.reach import View
from ocicat.dns.server import Resolver, Server, bound
from ocicat.errors import OcicatError
from ocicat.mesos.credential import Credential
from ocicat.mesos.discovery import check
from ocicat.mesos.follow import follow
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import Change, Cluster
from ocicat.model.net import Addr, Cidr
from ocicat.store.syncer import Updates

_END_S = 3.0
_SHARE, _SAVED_S = 0.25, 0.5  # of a processor, for all questions of one asker

log = logging.getLogger(__name__)


class _Parts:
    """Made on the thread, for its loop."""

    def __init__(self, config: DnsConfig, nets: Sequence[Cidr], agent_ports: tuple[int, ...]) -> None:
        self._config = config
        self.names = self._fresh()
        self.pools = Pools()
        self.policies = Policies(agent_ports) if REACHABLE in config.only else None
        self.askers = askers = Askers(config.only, self.names, self._view, lambda: chain(nets, self.pools))
        forwarder = Forwarder(config.upstream) if config.upstream else None
        allowance = Allowance(SystemClock(), _SHARE, _SAVED_S)
        self.resolver = Resolver(
            self.names.book, forwarder, askers.visible, askers.served, askers.may_ask, allowance, askers.payer
        )

    def hearer(self) -> Callable[[Cluster, Change], None]:
        """For one view of the cluster, from its beginning: what an earlier one left may be half done."""
        names = self._fresh()
        names.book.serial = self.names.book.serial

        def hear(cluster: Cluster, change: Change) -> None:
            names.hear(cluster, change, time.time())
            if names is not self.names and names.book.complete:
                self.names = self.askers.names = names
                self.resolver.book = names.book

        return hear

    def _fresh(self) -> Names:
        config = self._config
        book = Book(config.naming, config.ttl_s)
        book.zone.set("server", records.of_server([Addr.parse(one.host) for one in config.listen], config.naming))
        return Names(book, config.listed_masters)

    def observe(self, updates: Updates) -> None:
        self.pools.observe(updates)
        if self.policies:
            self.policies.observe(updates)

    def _view(self) -> View | None:
        return self.policies.view if self.policies else None


class Service:
    """`nets`: the networks of this host's own addresses. Refused, UserError: it cannot listen, or the master is misnamed."""

    def __init__(
        self,
        config: DnsConfig,
        nets: Sequence[Cidr],
        agent_ports: tuple[int, ...],
        credential: Credential | None = None,
    ) -> None:
        check(config.master)
        self._config, self._credential = config, credential
        self._make = partial(_Parts, config, nets, agent_ports)
        self._sockets = _bound(config.listen)
        self._ready: Future[tuple[asyncio.AbstractEventLoop, _Parts, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.result()

    def observe(self, updates: Updates) -> None:
        """In the order in which they come; at once, whatever the thread does."""
        loop, parts, _ = self._ready.result()
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(parts.observe, updates)

    def stop(self) -> None:
        loop, _, stop = self._ready.result()
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(_END_S)
        if self._thread.is_alive():
            log.warning("DNS: its thread has not ended in %g s, and is left", _END_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.done():
                log.exception("DNS: its thread ended, and names are served no more")
            else:
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        parts, stop = self._make(), asyncio.Event()
        server = Server(parts.resolver, self._sockets)
        await server.start()
        self._ready.set_result((asyncio.get_running_loop(), parts, stop))
        log.info("DNS: zone %s at %s", self._config.naming.zone, ", ".join(map(str, self._config.listen)))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(server.close)
            beside(stack, "DNS: follow Mesos", partial(self._follow, parts))
            if parts.policies:
                beside(stack, "DNS: keep up with policy", parts.policies.keep)
            await stop.wait()

    async def _follow(self, parts: _Parts) -> None:
        await follow(self._config.master, parts.hearer(), credential=self._credential)


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
