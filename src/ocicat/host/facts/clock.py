"""Whether the time of this host is right: as the kernel knows it, and against the clocks of those who answer HTTP."""

from __future__ import annotations

import asyncio
import ctypes
import ssl
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

from ocicat.errors import OcicatError
from ocicat.mesos.http import parse_head
from ocicat.model.base import Struct

PATIENCE_S = 3.0
_TRUNCATED_S = 0.5  # a Date says whole seconds: on average half a one less than it was
_ADJTIMEX_BYTES = 256  # more than struct timex has anywhere
_TIME_ERROR = 5
_GREETING = b"GET /version HTTP/1.1\r\nHost: clock\r\nConnection: close\r\n\r\n"


class Skew(Struct, frozen=True):
    """How far this host's clock is ahead of that of `of` (negative: behind). `within_s`: how wrong that may be."""

    of: str
    ahead_s: float
    within_s: float


class Clock(Struct, frozen=True):
    """`disciplined`: something keeps it, as far as the kernel knows."""

    disciplined: bool
    skews: tuple[Skew, ...] = ()


class Asked(Struct, frozen=True):
    """Somebody who may speak HTTP there. `name`: for people."""

    name: str
    address: str
    port: int


async def look(servers: Iterable[Asked]) -> Clock:
    found = await asyncio.gather(*(_skew(one) for one in servers))
    return Clock(is_disciplined(), tuple(one for one in found if one))


def is_disciplined() -> bool:
    """As adjtimex(2) tells, asked without changing anything."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_ADJTIMEX_BYTES))
    return bool(state != _TIME_ERROR)


async def _skew(server: Asked) -> Skew | None:
    """None when it does not tell. Plain first: what answers that but wants TLS is asked again with it."""
    for context in (None, _unverified()):
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await _ask(server, context)
        except (OSError, EOFError, ValueError, OcicatError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            continue
        if found:
            return found
    return None


async def _ask(server: Asked, context: ssl.SSLContext | None) -> Skew | None:
    reader, writer = await asyncio.open_connection(server.address, server.port, ssl=context)
    try:
        before = time.time()
        writer.write(_GREETING)
        head = parse_head(await reader.readuntil(b"\r\n\r\n"))
        after = time.time()
    finally:
        writer.transport.abort()
    date = head.headers.get("date", "")
    if not date:
        return None
    theirs = parsedate_to_datetime(date).timestamp() + _TRUNCATED_S
    return Skew(server.name, (before + after) / 2 - theirs, _TRUNCATED_S + (after - before) / 2)


def _unverified() -> ssl.SSLContext:
    """Of a server of which nothing but the time is wanted: its certificate may be refused just because of the time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
