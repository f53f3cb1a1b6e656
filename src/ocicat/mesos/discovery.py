"""Which Mesos master to speak to, now and from now on: `host:port`, a list of them, or a ZooKeeper's `zk://...`.

    async with discovered("zk://10.0.0.1:2181/mesos") as masters:
        endpoint = await masters.next()

`file:///etc/mesos/zk` names a file that holds one of these, as Mesos's own --master does: a password need not be seen in `ps`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Protocol

from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, Ensemble, parse_masters

_FILE = "file://"


class Masters(Protocol):
    """`str` names them, without secrets."""

    async def next(self) -> Endpoint:
        """Whom to try now: the leader, or of a list one after the other, round and round.

        Of a ZooKeeper: Unavailable when no leader is known in a few seconds, NotFound when it has no such path, Refused when it
        wants other credentials.
        """
        ...

    async def moved(self) -> None:
        """Until another leads than the one that `next` gave last; of a list that is never known."""
        ...


class Listed:
    """Masters that were named."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._endpoints = endpoints
        self._round = cycle(endpoints)

    def __str__(self) -> str:
        return ", ".join(map(str, self._endpoints))

    async def next(self) -> Endpoint:
        return next(self._round)

    async def moved(self) -> None:
        await asyncio.Event().wait()


def silent(_line: str) -> None:
    """Nobody listens."""


@asynccontextmanager
async def discovered(text: str, *, report: Callable[[str], None] = silent) -> AsyncIterator[Masters]:
    """The masters that `text` means. `report` hears when ZooKeeper is away, and when it is back. UserError for another text."""
    named = _named(text)
    if isinstance(named, Ensemble):
        async with _elected(named, report) as masters:
            yield masters
    else:
        yield Listed(named)


def check(text: str) -> None:
    """UserError where `discovered` has one; nobody is spoken to."""
    named = _named(text)
    if isinstance(named, Ensemble):
        _elected(named, silent)


def _named(text: str) -> tuple[Endpoint, ...] | Ensemble:
    return parse_masters(_read(text) if text.startswith(_FILE) else text)


def _elected(ensemble: Ensemble, report: Callable[[str], None]) -> AbstractAsyncContextManager[Masters]:
    """kazoo is an extra, and slow to load: it is loaded by those who use it."""
    try:
        from ocicat.mesos.zookeeper import Patience, elected
    except ModuleNotFoundError as error:
        text = f"master {ensemble}: {error.name} is not installed"
        raise UserError(text, hint="pip install 'ocicat[zk]', or name the masters: host1:5050,host2:5050") from error
    return elected(ensemble, report, Patience())


def _read(text: str) -> str:
    path = Path(text.removeprefix(_FILE))
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UserError(
            f"master {text}: {reason}", hint="a file with zk://host:2181/mesos or host:5050 in it"
        ) from error
