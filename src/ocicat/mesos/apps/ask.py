"""One health check of one instance: over TCP or HTTP, to the instance's own address.

An answer comes in the check's `timeout_s` at most. What is wrong is said in words; "" is a healthy instance.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress

from ocicat.mesos.frameworks.application import Check

_HEAD_BYTES = 4096


async def failure(check: Check, address: str, port: int) -> str:
    """What is wrong with it; "" when it answers as it should: a connection for TCP, for HTTP a status that is good."""
    try:
        async with asyncio.timeout(check.timeout_s):
            return await _asked(check, address, port)
    except TimeoutError:
        return f"{_what(check, address, port)}: no answer in {check.timeout_s:g} s"
    except (OSError, ValueError) as error:
        return f"{_what(check, address, port)}: {_reason(error)}"


async def _asked(check: Check, address: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(address, port, ssl=_context() if check.protocol == "HTTPS" else None)
    try:
        if check.protocol == "TCP":
            return ""
        host = f"[{address}]" if ":" in address else address
        head = f"GET {check.path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: ocicat\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        line = (await reader.readline())[:_HEAD_BYTES].decode(errors="replace")
        return _judged(check, line, _what(check, address, port))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _judged(check: Check, line: str, what: str) -> str:
    words = line.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return f"{what}: no HTTP answer: {line.strip()[:40]!r}"
    status = int(words[1])
    usual = 200 <= status < 400 or (check.ignore_1xx and status < 200)
    healthy = status in check.statuses if check.statuses else usual
    return "" if healthy else f"{what}: status {status}"


def _context() -> ssl.SSLContext:
    """Certificates are not checked, as with Marathon: instances have addresses, not names that were certified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _what(check: Check, address: str, port: int) -> str:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{check.protocol} {where}" + ("" if check.protocol == "TCP" else check.path)


def _reason(error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
