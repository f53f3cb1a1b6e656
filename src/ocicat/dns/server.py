"""The sockets: queries by UDP and TCP, each answered as `Resolver` says.

1. What can be answered from memory is answered at once. A query whose answer must be fetched holds up nobody else's.
2. A broken message is answered FORMERR or not at all; what goes wrong inside is answered SERVFAIL and told once. Nothing that comes
   from outside ends the server.
3. One asker's questions take his part of the thread's time, a fetched answer at a fixed price. By UDP his address may be forged:
   what comes so takes another part than what comes by TCP. Who owes some is told to come by TCP, or there SERVFAIL; who owes all he
   could save, and goes on, nothing. Connections are bounded in number, and each in the time it may say nothing and may last. Of
   these, and of answers that are being fetched, one asker has a small part: he takes nobody else's.
4. Only who is `served` has other names looked up, and is told records by UDP: everybody else would have an amplifier at hand, and
   comes by TCP. A server of other names is asked only for who `may_ask` it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ocicat.dns.allowance import Allowance
from ocicat.dns.answer import Book
from ocicat.dns.forward import Forwarder
from ocicat.dns.wire import (
    MAX_MESSAGE,
    Answer,
    Malformed,
    Query,
    Rcode,
    encode_answer,
    parse_query,
    refusal,
)
from ocicat.dns.zone import Visible, everything
from ocicat.errors import Refused, UserError
from ocicat.mesos.masters import Endpoint
from ocicat.model.net import Addr

T = TypeVar("T")

_IDLE_S = 10.0
_LONGEST_S = 120.0  # a connection
_MOST_CONNECTIONS = 128
_MOST_CONNECTIONS_OF_ONE = 16
_MOST_WAITING = 1024  # queries by UDP whose answers are being fetched
_MOST_FETCHED_FOR_ONE = 64
_FETCH_S = 0.0005  # of the thread, what a fetched answer takes besides: a socket, two tasks, a timer; measured 0.4 ms

log = logging.getLogger(__name__)


def anybody(_asker: Addr) -> Visible | None:
    return everything


@dataclass(slots=True)
class Resolver:
    """`visible`: what an asker may see (None: not known yet). `served`: who is of ours, so that the forwarder, if there is one, is
    asked for him. `may_ask`: which of its servers. `payer`: whose part of `allowance` his questions take; "": nobody's."""

    book: Book
    forwarder: Forwarder | None = None
    visible: Callable[[Addr], Visible | None] = anybody
    served: Callable[[Addr], bool] = lambda asker: True
    may_ask: Callable[[Addr, Endpoint], bool] = lambda asker, server: True
    allowance: Allowance | None = None
    payer: Callable[[Addr], str] = str
    _fetching: Counter[tuple[str, bool]] = field(default_factory=Counter)  # by asker, and whether he came by TCP
    _told: set[str] = field(default_factory=set)

    def at_once(self, data: bytes, asker: str, *, by_tcp: bool) -> bytes | Query | None:
        """The answer; None: say nothing; the query itself: its answer must be fetched."""
        began = time.thread_time()
        payer = self.payer(_address(asker)) if self.allowance else ""
        if self.allowance is None or not payer:
            return self._said(data, asker, by_tcp=by_tcp)
        account = (payer, by_tcp)
        left_s = self.allowance.left_s(account)
        found = None
        if left_s > -self.allowance.saved_s:
            found = self._said(data, asker, by_tcp=by_tcp, owes=left_s <= 0)
        fetch_s = _FETCH_S if isinstance(found, Query) else 0.0
        self.allowance.spend(account, time.thread_time() - began + fetch_s)
        return found

    def _said(self, data: bytes, asker: str, *, by_tcp: bool, owes: bool = False) -> bytes | Query | None:
        try:
            query = parse_query(data)
        except Malformed as error:
            return None if error.id is None else refusal(error.id, Rcode.FORMERR)
        if owes:
            said = Answer(Rcode.SERVFAIL) if by_tcp else Answer(by_tcp=True)
            return self._encoded(query, said, by_tcp=by_tcp)
        try:
            return self._answer(query, asker, by_tcp=by_tcp)
        except Exception as error:  # promise 2
            self._defect(error)
            return self._encoded(query, Answer(Rcode.SERVFAIL), by_tcp=by_tcp)

    async def fetched(self, data: bytes, query: Query, asker: str, *, by_tcp: bool) -> bytes:
        found, account = None, (asker, by_tcp)
        if self._fetching[account] < _MOST_FETCHED_FOR_ONE:
            self._fetching[account] += 1
            try:
                found = await self._fetch(data, query, asker, by_tcp=by_tcp)
            finally:
                _less(self._fetching, account)
        return found or self._encoded(query, Answer(Rcode.SERVFAIL), by_tcp=by_tcp)

    async def _fetch(self, data: bytes, query: Query, asker: str, *, by_tcp: bool) -> bytes | None:
        forwarder = self.forwarder
        try:
            servers = self._servers(query, asker, _address(asker))
            return await forwarder.ask(data, query, servers, by_tcp=by_tcp) if forwarder and servers else None
        except Exception as error:  # promise 2
            self._defect(error)
            return None

    def _answer(self, query: Query, asker: str, *, by_tcp: bool) -> bytes | Query:
        address = _address(asker)
        said = self.book.answer(query, self.visible(address))
        if said is None:
            if self._servers(query, asker, address):
                return query
            said = Answer(Rcode.REFUSED)
        brief = bool(said.answers or said.authority) and not by_tcp and not self.served(address)
        return self._encoded(query, said, by_tcp=by_tcp, brief=brief)

    def _servers(self, query: Query, asker: str, address: Addr) -> tuple[Endpoint, ...]:
        """Who is asked for him."""
        forwarder = self.forwarder
        if forwarder is None or not query.recursion or forwarder.is_server(asker) or not self.served(address):
            return ()
        return tuple(server for server in forwarder.servers if self.may_ask(address, server))

    def _encoded(self, query: Query, said: Answer, *, by_tcp: bool, brief: bool = False) -> bytes:
        """`brief`: no more than that the answer comes by TCP."""
        limit = 0 if brief else MAX_MESSAGE if by_tcp else query.udp_limit
        return encode_answer(query, said, limit, recursion_available=self.forwarder is not None)

    def _defect(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            log.exception("a DNS query could not be answered")


def _less(counter: Counter[T], asker: T) -> None:
    counter[asker] -= 1
    if counter[asker] <= 0:
        del counter[asker]


def _address(text: str) -> Addr:
    """A link-local asker is known with his interface: `fe80::1%eth0`."""
    return Addr.parse(text.partition("%")[0])


# --- sockets -----------------------------------------------------------------------------------------------------


def bound(endpoint: Endpoint) -> tuple[socket.socket, socket.socket]:
    """For UDP and for TCP, at the same port (0: any that is free). UserError, Refused where it cannot be."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(family, kind)
            made.append(sock)
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((endpoint.host, made[0].getsockname()[1] or endpoint.port))
            sock.setblocking(False)  # noqa: FBT003
    except OSError as error:
        for sock in made:
            sock.close()
        raise _unbound(endpoint, error) from error
    return made[0], made[1]


def _unbound(endpoint: Endpoint, error: OSError) -> Exception:
    words = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EADDRNOTAVAIL:
        return UserError(f"DNS at {endpoint}: {words}", hint="give an address that this host has: --dns-listen")
    hint = "another DNS server has it: choose another address or port" if error.errno == errno.EADDRINUSE else ""
    return Refused(f"DNS at {endpoint}: {words}", hint=hint)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio types the base

    def connection_lost(self, _error: Exception | None) -> None:
        for task in self._waiting:
            task.cancel()

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        found = self._resolver.at_once(data, sender[0], by_tcp=False)
        if isinstance(found, Query):
            if len(self._waiting) < _MOST_WAITING:
                task = asyncio.create_task(self._fetch(data, found, sender))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
        elif found:
            self._send(found, sender)

    async def _fetch(self, data: bytes, query: Query, sender: tuple[str, int]) -> None:
        self._send(await self._resolver.fetched(data, query, sender[0], by_tcp=False), sender)

    def _send(self, data: bytes, to: tuple[str, int]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(data, to)


@dataclass(slots=True)
class Server:
    """Serves the sockets, which it then owns, until `close`."""

    resolver: Resolver
    sockets: Iterable[tuple[socket.socket, socket.socket]]
    _datagrams: list[asyncio.DatagramTransport] = field(default_factory=list)
    _listeners: list[asyncio.Server] = field(default_factory=list)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _connected: Counter[str] = field(default_factory=Counter)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for datagram, stream in self.sockets:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self.resolver), sock=datagram)
            self._datagrams.append(transport)
            self._listeners.append(await asyncio.start_server(self._serve, sock=stream, limit=MAX_MESSAGE + 2))

    async def close(self) -> None:
        for transport in self._datagrams:
            transport.close()
        for listener in self._listeners:
            listener.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self.resolver.forwarder:
            await self.resolver.forwarder.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, peer = asyncio.current_task(), writer.get_extra_info("peername")
        assert task is not None
        try:
            if (
                peer
                and len(self._connections) < _MOST_CONNECTIONS
                and self._connected[peer[0]] < _MOST_CONNECTIONS_OF_ONE
            ):
                await self._kept(task, peer[0], reader, writer)
        except (OSError, EOFError, TimeoutError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _kept(
        self, task: asyncio.Task[None], asker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections.add(task)
        self._connected[asker] += 1
        try:
            await self._converse(asker, reader, writer)
        finally:
            self._connections.discard(task)
            _less(self._connected, asker)

    async def _converse(self, asker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query after the other (RFC 7766)."""
        end = time.monotonic() + _LONGEST_S
        while time.monotonic() < end:
            async with asyncio.timeout(_IDLE_S):
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            found = self.resolver.at_once(data, asker, by_tcp=True)
            if isinstance(found, Query):
                found = await self.resolver.fetched(data, found, asker, by_tcp=True)
            if found is None:
                return
            async with asyncio.timeout(_IDLE_S):
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()
