"""HTTP/1.1, as much of it as Mesos speaks: one request per connection, JSON out, a bounded body or an endless stream back.

1. No step waits for ever: connecting, sending, the head of the answer and every read have a time limit.
2. Nothing the other side says makes us hold more than `max_body_bytes` (bodies), 64 KiB (heads) or one piece (streams).
3. Redirects are followed, a few, also to "//host:port/path", which is how a Mesos master names the one that leads.
4. Only these get out: `Unavailable` (nobody there, too slow, not ready: worth another try), `NotFound`, and `Refused` with the
   server's own words.

One connection per request is on purpose: calls are small, and a reused connection that the server has just closed cannot be told
from a request that was lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from ocicat.errors import NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.masters import Endpoint, parse_endpoint
from ocicat.model.base import Struct

MAX_BODY_BYTES = 256 << 20  # the whole state of a large cluster
PIECE_BYTES = 64 << 10
_MAX_REDIRECTS = 3
_MAX_TEXT = 500  # of a server's complaint in an error message
_RETRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class Request(Struct, frozen=True):
    """What is asked of whom. `headers` beside those every request has."""

    endpoint: Endpoint
    path: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def encode(self) -> bytes:
        fields = {
            "Host": str(self.endpoint),
            "Accept": "application/json",
            "Connection": "close",
            **({"Content-Type": "application/json", "Content-Length": str(len(self.body))} if self.body else {}),
            **self.headers,
        }
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Head(Struct, frozen=True):
    """The first lines of an answer; names of headers in lower case."""

    status: int
    reason: str
    headers: dict[str, str]


def parse_head(data: bytes) -> Head:
    """`data` up to and with the empty line. Refused when it is not HTTP."""
    first, *rest = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    version, _, status = first.partition(" ")
    code, _, reason = status.partition(" ")
    if not version.startswith("HTTP/1.") or not (code.isdecimal() and len(code) == 3):
        raise Refused(f"not an HTTP answer: {first[:60]!r}", hint="is this the address of a Mesos master or agent?")
    pairs = (line.partition(":") for line in rest)
    return Head(int(code), reason, {name.strip().lower(): value.strip() for name, _, value in pairs})


def redirected(request: Request, location: str) -> Request:
    """`request`, sent to where the answer said. Refused for a place this client cannot go to."""
    try:
        parts = urlsplit(location)
        endpoint = parse_endpoint(parts.netloc, 80) if parts.netloc else request.endpoint
    except (ValueError, UserError) as error:
        raise Refused(f"{request.endpoint} redirects to {location!r}, which is no address") from error
    if parts.scheme not in ("", "http"):
        raise Refused(f"{request.endpoint} redirects to {location!r}: only plain http is spoken here")
    path = (parts.path or request.path) + (f"?{parts.query}" if parts.query else "")
    return Request(endpoint, path, request.method, request.body, request.headers)


def complaint(request: Request, head: Head, body: bytes) -> OcicatError:
    """The error for an answer that is not a success."""
    text = body[:_MAX_TEXT].decode(errors="replace").strip() or head.reason
    message = f"{request.endpoint}{request.path}: {head.status}: {text}"
    if head.status in _RETRY_LATER:
        return Unavailable(message)
    return NotFound(message) if head.status == 404 else Refused(message)


class Answer:
    """An answer whose body is still coming."""

    def __init__(self, request: Request, head: Head, reader: asyncio.StreamReader) -> None:
        self.request = request
        self.head = head
        self._reader = reader
        self._chunked = head.headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else _body_length(head)  # bytes of this chunk or body; -1 is until the end
        self._ended = False

    async def read(self, timeout_s: float) -> bytes:
        """The next piece of the body, b"" at its end. Unavailable when it was cut or nothing came in time."""
        async with _within(timeout_s, self.request.endpoint):
            return await self._piece()

    async def read_all(self, timeout_s: float, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole body, in `timeout_s` altogether; Refused when it is longer than `max_bytes`."""
        body = bytearray()
        async with _within(timeout_s, self.request.endpoint):
            while piece := await self._piece():
                body += piece
                if len(body) > max_bytes:
                    raise Refused(
                        f"{self.request.endpoint}{self.request.path}: an answer of more than {max_bytes} bytes"
                    )
        return bytes(body)

    async def _piece(self) -> bytes:
        if self._chunked and self._left == 0 and not self._ended:
            await self._next_chunk()
        if self._left == 0:
            return b""
        piece = await self._reader.read(min(self._left, PIECE_BYTES) if self._left > 0 else PIECE_BYTES)
        if self._left > 0:
            if not piece:
                raise EOFError
            self._left -= len(piece)
            if self._chunked and self._left == 0:
                await self._reader.readexactly(2)
        return piece

    async def _next_chunk(self) -> None:
        line = await self._reader.readuntil(b"\n")
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise Refused(f"{self.request.endpoint}: {line[:20]!r} where the length of a chunk should be") from error
        if self._left < 0:
            raise Refused(f"{self.request.endpoint}: a chunk of negative length")
        self._ended = self._left == 0


def _body_length(head: Head) -> int:
    if head.status in (204, 304):
        return 0
    text = head.headers.get("content-length", "-1")
    return int(text) if text.isdecimal() else -1


@asynccontextmanager
async def opened(request: Request, timeout_s: float) -> AsyncIterator[Answer]:
    """The answer to `request`, redirects followed, whatever its status; the connection is closed on leaving."""
    for _ in range(_MAX_REDIRECTS + 1):
        async with _connected(request.endpoint, timeout_s) as (reader, writer):
            head = await _exchange(request, reader, writer, timeout_s)
            location = head.headers.get("location", "") if head.status in (301, 302, 307, 308) else ""
            if not location:
                yield Answer(request, head, reader)
                return
            request = redirected(request, location)
    raise Unavailable(
        f"{request.endpoint}: redirected more than {_MAX_REDIRECTS} times", hint="the masters may be voting"
    )


async def fetch(request: Request, timeout_s: float, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body of a successful answer; the error that `complaint` makes of any other."""
    async with opened(request, timeout_s) as answer:
        body = await answer.read_all(timeout_s, max_bytes)
        if not 200 <= answer.head.status < 300:
            raise complaint(answer.request, answer.head, body)
        return body


@asynccontextmanager
async def _connected(
    endpoint: Endpoint, timeout_s: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with _within(timeout_s, endpoint):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()  # nothing of ours is unsent that anybody still wants
        with suppress(OSError):
            await writer.wait_closed()


async def _exchange(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
) -> Head:
    async with _within(timeout_s, request.endpoint):
        writer.write(request.encode())
        await writer.drain()
        return parse_head(await reader.readuntil(b"\r\n\r\n"))


@asynccontextmanager
async def _within(timeout_s: float, endpoint: Endpoint) -> AsyncIterator[None]:
    """A time limit, and errors of sockets and streams as ours."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise Unavailable(f"{endpoint}: no answer in {timeout_s:g} s") from error
    except EOFError as error:  # asyncio.IncompleteReadError is one
        raise Unavailable(f"{endpoint}: the connection was cut") from error
    except asyncio.LimitOverrunError as error:
        raise Refused(f"{endpoint}: a line or head of more than 64 KiB") from error
    except OSError as error:
        raise Unavailable(f"{endpoint}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """asyncio puts a phrase of its own, with the address once more, where the system's words are looked for."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
