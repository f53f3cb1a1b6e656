"""HTTP/1.1 on a unix socket, as much of it as Docker's engine speaks to its plugins: POSTs with a length, many on one connection.

1. A request that is not understood gets an answer that says why, and its connection ends.
2. No request holds more than `LIMIT_BYTES`, and one that has begun ends within `READ_S`; between two a connection may rest.
3. A request that is in hand when the server closes gets no answer: the engine asks the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ocicat.errors import OcicatError, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import encode_json
from ocicat.unix_server import UnixServer

log = logging.getLogger(__name__)

LIMIT_BYTES = 1 << 20
READ_S = 10.0
TYPE = "application/vnd.docker.plugins.v1.2+json"

Answer = Callable[[str, bytes], Awaitable[bytes]]
"""Of a path and a body. OcicatError: told to the engine in its own way."""


class Request(Struct, frozen=True):
    path: str
    body: bytes


def failure(error: OcicatError) -> bytes:
    """As the engine reads it, and shows it to its user: `Err` of network drivers, `Error` of address drivers."""
    return encode_json({"Err": str(error), "Error": str(error)})


@dataclass(slots=True)
class Listener:
    """Serves `answer` at `path`, to root alone."""

    path: Path
    answer: Answer
    _socket: UnixServer = field(init=False)

    def __post_init__(self) -> None:
        self._socket = UnixServer(self.path, self._serve, "--docker-plugin", LIMIT_BYTES)

    async def start(self) -> None:
        """Refused."""
        await self._socket.start()

    async def close(self) -> None:
        """Promise 3."""
        await self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._one(reader, writer):
            pass

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Is there another one to come?"""
        try:
            request = await _read(reader)
        except OcicatError as error:
            await _write(writer, 400, failure(error))
            return False
        if request is None:
            return False
        reply = await self.answer(request.path, request.body)
        if self._socket.closing:
            return False
        await _write(writer, 200, reply)
        return True


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """None: the other side has no more. UserError: not what we speak."""
    first = await reader.read(1)
    if not first:
        return None
    try:
        async with asyncio.timeout(READ_S):
            head = first + await reader.readuntil(b"\r\n\r\n")
            path, length = _parse(head)
            return Request(path, await reader.readexactly(length))
    except TimeoutError:
        raise UserError(f"the request did not end within {READ_S:g} s") from None
    except asyncio.LimitOverrunError:
        raise UserError(f"the head of the request is longer than {LIMIT_BYTES} bytes") from None
    except asyncio.IncompleteReadError:
        return None


def _parse(head: bytes) -> tuple[str, int]:
    """Path and length of the body."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = first.partition(" ")
    path, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1."):
        raise UserError(f"not an HTTP request: {first[:60]!r}")
    if method != "POST":
        raise UserError(f"{method} {path}: plugins are called by POST")
    pairs = (line.partition(":") for line in lines)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = fields.get("content-length", "0")
    if "transfer-encoding" in fields or not length.isdecimal():
        raise UserError(f"{path}: the body must say its length", hint="Content-Length, and no Transfer-Encoding")
    if int(length) > LIMIT_BYTES:
        raise UserError(f"{path}: the body is longer than {LIMIT_BYTES} bytes")
    return path, int(length)


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    reason = {200: "OK"}.get(status, "Bad Request")
    lines = (f"HTTP/1.1 {status} {reason}", f"Content-Type: {TYPE}", f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
