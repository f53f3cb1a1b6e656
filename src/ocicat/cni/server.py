"""The agent's end of the plugins' socket: requests in, a handler called, results or errors out. Two languages are spoken there:
that of CNI, and that of Mesos' old network isolator module (`ocicat.mesos.netmodules`); and one word that asks how the agent is.

1. Every request gets one reply, whatever the handler raises; a failure of ours is code 101 and is logged with its trace.
2. Only root may ask: the peer's credentials are checked beside the mode of the socket.
3. Requests run concurrently; those about the same container interface one after the other, in the order in which they came.
4. A request that is in hand when the agent stops gets no reply: the plugin asks the next agent, which starts over.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ocicat.cni import relay, result
from ocicat.cni.config import answer_version
from ocicat.cni.request import NetworkConfig, NetworkRequest, Request, parse
from ocicat.cni.spec import CniError, Code, ErrorResult
from ocicat.errors import OcicatError
from ocicat.mesos.netmodules import protocol as netmodules
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr
from ocicat.unix_server import UnixServer

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 10.0
ROOT = 0


class Handler(Protocol):
    """What the agent does for a container's interface. All may raise `OcicatError`."""

    async def add(self, request: Request) -> result.Attachment: ...

    async def delete(self, request: Request) -> None: ...

    async def check(self, request: Request) -> None: ...


class Networks(Protocol):
    """What the agent knows of a network on this host."""

    async def ready(self, network: NetworkConfig) -> None:
        """OcicatError: why no ADD can be served."""

    def stale(self, network: str, valid: frozenset[tuple[str, str]]) -> tuple[Request, ...]:
        """The DELs of all that CNI runtimes have attached to it, but for the container and interface of what is valid."""


class NetModules(Protocol):
    """What the agent does for the network isolator module. May raise `OcicatError`."""

    async def perform(self, request: netmodules.Request) -> tuple[Addr, ...]: ...


@dataclass(slots=True)
class Turns:
    """One lock per key, kept only while somebody holds it or waits for it."""

    _locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)
    _users: Counter[tuple[str, str]] = field(default_factory=Counter)

    @asynccontextmanager
    async def take(self, key: tuple[str, str]) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._locks[key], self._users[key]


@dataclass(slots=True)
class Server:
    """Serves both handlers on the unix socket at `path` until `close`. `status`: how the agent is, as JSON."""

    path: Path
    handler: Handler
    networks: Networks
    net_modules: NetModules
    status: Callable[[], Awaitable[bytes]]
    _socket: UnixServer = field(init=False)
    _turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        self._socket = UnixServer(self.path, self._serve, "--socket")

    async def start(self) -> None:
        """Takes the socket over from an agent that died; one that lives was refused before (see agent.daemon). Refused."""
        await self._socket.start()

    async def close(self) -> None:
        """Promise 4: what is in hand is broken off."""
        await self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply = await self._reply(reader, writer.get_extra_info("socket"))
        if not self._socket.closing:  # a request accepted just before `close`: no answer sends it to the next agent
            writer.write(reply)
            await writer.drain()

    async def _reply(self, reader: asyncio.StreamReader, connection: socket.socket) -> bytes:
        environment: dict[str, str] = {}
        document = b""
        try:
            _refuse_others_than_root(connection)
            environment, document = relay.parse(await _read_all(reader))
            return relay.reply(0, await self._answer(environment, document))
        except OcicatError as error:
            return relay.reply(1, _failure(CniError.of(error), environment, document))
        except Exception as error:  # promise 1: the plugin must never wait for a reply that does not come
            log.exception("a plugin's request failed in an unforeseen way")
            bug = CniError(
                Code.INTERNAL, f"{type(error).__name__}: {error}", hint="this is a defect: see the agent's log"
            )
            return relay.reply(1, _failure(bug, environment, document))

    async def _answer(self, environment: dict[str, str], document: bytes) -> bytes:
        if _speaks_netmodules(environment):
            return await self._answer_netmodules(netmodules.parse(document))
        if environment.get(relay.PROTOCOL) == relay.STATUS:
            return await self.status()
        request = parse(environment, document)
        if isinstance(request, NetworkRequest):
            return await self._perform_on_network(request)
        async with self._turns.take((request.container_id, request.interface)):
            return await self._perform(request)

    async def _answer_netmodules(self, request: netmodules.Request) -> bytes:
        async with self._turns.take(netmodules.subject(request)):
            addresses = await self.net_modules.perform(request)
        return netmodules.allocated(addresses) if isinstance(request, netmodules.Allocate) else netmodules.succeeded()

    async def _perform_on_network(self, request: NetworkRequest) -> bytes:
        if request.command == "STATUS":
            try:
                await self.networks.ready(request.config)
            except OcicatError as error:
                raise CniError(Code.NOT_AVAILABLE, error.message, hint=error.hint) from error
            return b""
        for each in self.networks.stale(request.config.name, request.valid):
            log.info("%s of container %s is stale: taking it back", each.interface, each.container_id)
            async with self._turns.take((each.container_id, each.interface)):
                await self.handler.delete(each)
        return b""

    async def _perform(self, request: Request) -> bytes:
        if request.command == "ADD":
            return result.render(request.config.version, await self.handler.add(request))
        actions: dict[str, Callable[[Request], Awaitable[None]]] = {
            "DEL": self.handler.delete,
            "CHECK": self.handler.check,
        }
        await actions[request.command](request)
        return b""


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            while chunk := await reader.read(65536):
                chunks.append(chunk)
                size += len(chunk)
                if size > relay.LIMIT_BYTES:
                    raise CniError(Code.DECODING_FAILURE, f"the request is larger than {relay.LIMIT_BYTES} bytes")
    except TimeoutError:
        raise CniError(Code.IO_FAILURE, f"the request did not end within {READ_TIMEOUT_S:g} s") from None
    return b"".join(chunks)


def _refuse_others_than_root(connection: socket.socket) -> None:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != ROOT:
        raise CniError(Code.REFUSED, f"user {uid} may not attach containers", hint="only root may")


def _speaks_netmodules(environment: dict[str, str]) -> bool:
    return environment.get(relay.PROTOCOL) == netmodules.NAME


def _failure(error: CniError, environment: dict[str, str], document: bytes) -> bytes:
    if _speaks_netmodules(environment):
        log.warning("request of the network isolator module refused: %s", error)
        return netmodules.failed(str(error))
    log.warning("CNI request refused: %s", error)
    return encode_json(ErrorResult(answer_version(document), int(error.code), error.message, error.hint))
