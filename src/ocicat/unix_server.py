"""A unix socket that root alone may speak to, and one coroutine for each connection.

1. A socket that somebody left at the path is taken over.
2. After `close` nothing is served and the path is free; connections in hand are broken off, and know it by `closing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ocicat.errors import Refused

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""A ConnectionError ends it quietly; the writer is closed for it."""

STREAM_BYTES = 1 << 16  # asyncio's own limit of a line
BACKLOG = 512


@dataclass(slots=True)
class UnixServer:
    """`option`: the one by which another path is chosen."""

    path: Path
    connection: Connection
    option: str
    limit_bytes: int = STREAM_BYTES
    closing: bool = False
    _server: asyncio.Server | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Refused."""
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._server = await asyncio.start_unix_server(
                self._serve, self.path, limit=self.limit_bytes, backlog=BACKLOG
            )
            self.path.chmod(0o600)
        except OSError as error:
            raise Refused(f"cannot serve {self.path}: {error}", hint=f"choose another {self.option}") from error

    async def close(self) -> None:
        if self._server is None:
            return
        self.closing = True
        self._server.close()
        self.path.unlink(missing_ok=True)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._running.add(task)
        try:
            with suppress(ConnectionError):
                await self.connection(reader, writer)
        finally:
            self._running.discard(task)
            writer.close()
