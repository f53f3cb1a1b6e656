"""Names that are not ours: asked of other servers for who asks here, and their answers handed on.

1. An answer is taken from the server that was asked only, for that question, under a number and a port that are made up each time.
2. Each server has its time; the next is asked when one does not answer, or cannot. None: nobody could.
3. The same question is asked once at a time, however many want to know; and no more than so many questions at all.
4. What asks on behalf of us is not asked for: a query from one of these servers is never forwarded, so nothing goes in circles.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from ocicat.dns.wire import MAX_MESSAGE, Malformed, Message, Query, Rcode, parse_answer
from ocicat.mesos.masters import Endpoint

PATIENCE_S = 2.0  # for one server: resolvers ask again after five
_MOST_AT_ONCE = 512
_UNABLE = (Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP)

_Key = tuple[bytes, tuple[Endpoint, ...], bool]  # the question, whom to ask, whether by TCP

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Forwarder:
    """One event loop's. `servers` are addresses, in the order in which they are asked; not all are for everybody."""

    servers: tuple[Endpoint, ...]
    patience_s: float = PATIENCE_S
    _asking: dict[_Key, asyncio.Task[bytes | None]] = field(default_factory=dict)
    _silent: set[Endpoint] = field(default_factory=set)  # told so already

    def is_server(self, address: str) -> bool:
        """Promise 4."""
        return any(server.host == address for server in self.servers)

    async def ask(self, data: bytes, query: Query, servers: tuple[Endpoint, ...], *, by_tcp: bool) -> bytes | None:
        """The answer to `data`, which is `query` as it came, with its number."""
        key = (data[2:], servers, by_tcp)
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= _MOST_AT_ONCE:
                return None
            asking = self._asking[key] = asyncio.create_task(self._ask(data, query, servers, by_tcp=by_tcp))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        found = await asyncio.shield(asking)
        return None if found is None else data[:2] + found[2:]

    async def close(self) -> None:
        for asking in list(self._asking.values()):
            asking.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, data: bytes, query: Query, servers: tuple[Endpoint, ...], *, by_tcp: bool) -> bytes | None:
        last = None
        exchange = _by_tcp if by_tcp else _by_udp
        for server in servers:
            number = secrets.token_bytes(2)
            try:
                async with asyncio.timeout(self.patience_s):
                    found, said = await exchange(server, number + data[2:], query)
            except (OSError, TimeoutError, EOFError, Malformed) as error:
                self._tell(server, error)
                continue
            self._silent.discard(server)
            last = found
            if said.rcode not in _UNABLE:
                break
        return last

    def _tell(self, server: Endpoint, error: Exception) -> None:
        """Once, until it answers again."""
        if server not in self._silent:
            self._silent.add(server)
            log.warning("DNS server %s does not answer: %s", server, str(error) or f"nothing in {self.patience_s:g} s")


def _matching(data: bytes, number: bytes, query: Query) -> Message | None:
    """Promise 1."""
    with suppress(Malformed):
        said, wanted = parse_answer(data), query.question
        asked = said.question
        if data[:2] == number and asked and (asked.key, asked.type, asked.cls) == (wanted.key, wanted.type, wanted.cls):
            return said
    return None


class _Receiver(asyncio.DatagramProtocol):
    """The first answer that matches."""

    def __init__(self, number: bytes, query: Query) -> None:
        self._number, self._query = number, query
        self.found: asyncio.Future[tuple[bytes, Message]] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _sender: object) -> None:
        said = _matching(data, self._number, self._query)
        if said and not self.found.done():
            self.found.set_result((data, said))

    def error_received(self, error: Exception) -> None:
        if not self.found.done():
            self.found.set_exception(error)


async def _by_udp(server: Endpoint, data: bytes, query: Query) -> tuple[bytes, Message]:
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(
        lambda: _Receiver(data[:2], query), remote_addr=(server.host, server.port)
    )
    try:
        transport.sendto(data)
        return await receiver.found
    finally:
        transport.close()


async def _by_tcp(server: Endpoint, data: bytes, query: Query) -> tuple[bytes, Message]:
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=MAX_MESSAGE + 2)
    try:
        writer.write(len(data).to_bytes(2, "big") + data)
        found = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.transport.abort()
    said = _matching(found, data[:2], query)
    if said is None:
        raise Malformed("an answer to another question")
    return found, said
