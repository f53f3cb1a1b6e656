"""The leading Mesos master as ZooKeeper knows it, followed for as long as somebody wants to know. The one importer of kazoo.

1. Every master that stands for election keeps a node `json.info_NUMBER` below the path; the lowest number leads (Mesos's rule).
2. A watch is never trusted to come back by itself: whatever kazoo tells (a watch, a new connection, a new session) leads to
   one new look, which sets the next watch.
3. While ZooKeeper does not answer, the last leader it named stays: the masters themselves go on without it for a while.
   That is said once, after `GRACE_S`, for a server that fails is replaced by another of the ensemble within milliseconds.
4. kazoo's threads only wake the event loop; all state here belongs to the loop. Leaving never waits longer than `FAREWELL_S`.

Nodes `info_NUMBER`, in protobuf, are of Mesos before 0.24, to which nothing here could speak: they are named in the error.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar, cast

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, KazooException, NoAuthError, NoNodeError
from kazoo.retry import KazooRetry

from ocicat.errors import Bug, NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.leader import leading, node_of
from ocicat.mesos.masters import Endpoint, Ensemble
from ocicat.mesos.quorum import diagnosis
from ocicat.model.base import Struct

T = TypeVar("T")


class Patience(Struct, frozen=True):
    """How long to wait for what, in seconds."""

    leader_s: float = 5.0  # for a leader to be known, when somebody asks for one
    session_s: float = 6.0  # after which a silent server counts as gone; ZooKeeper has its own least and most
    grace_s: float = 3.0  # of silence before it is mentioned
    farewell_s: float = 1.0  # for the goodbye


class _Result(Protocol[T]):
    """kazoo's promise."""

    def rawlink(self, callback: Callable[[_Result[T]], None]) -> None: ...
    def get(self) -> T: ...


class _Client(Protocol):
    """What is used of kazoo."""

    def add_listener(self, listener: Callable[[str], None]) -> None: ...
    def start_async(self) -> object: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def exists_async(self, path: str, watch: Callable[[object], None]) -> _Result[object]: ...
    def get_children_async(self, path: str, watch: Callable[[object], None]) -> _Result[list[str]]: ...
    def get_async(self, path: str) -> _Result[tuple[bytes, object]]: ...


@asynccontextmanager
async def elected(ensemble: Ensemble, report: Callable[[str], None], patience: Patience) -> AsyncIterator[Elected]:
    """The masters of an ensemble, followed meanwhile."""
    elected = Elected(ensemble, _client(ensemble, patience), report, patience)
    follower = asyncio.create_task(elected.follow(), name=f"follow {ensemble}")
    try:
        yield elected
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        await elected.leave()


class Elected:
    """Made by `elected`."""

    def __init__(self, ensemble: Ensemble, client: _Client, report: Callable[[str], None], patience: Patience) -> None:
        self._ensemble = ensemble
        self._client = client
        self._report = report
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._leader: Endpoint | None = None
        self._given: Endpoint | None = None  # what `next` said last
        self._trouble: OcicatError | None = None  # why there is no leader, as ZooKeeper put it
        self._look = asyncio.Event()  # there may be something new to see
        self._news = asyncio.Event()  # set, and replaced, at every change of what is known
        self._silence: asyncio.TimerHandle | None = None
        self._silent = False  # and said so
        self._leaving = False

    def __str__(self) -> str:
        return str(self._ensemble)

    async def next(self) -> Endpoint:
        """The leader, as far as is known. Unavailable, NotFound (no such path), Refused (credentials)."""
        if self._trouble is not None:
            self._look.set()  # it may be mended by now
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.leader_s):
                await self._until(lambda: self._leader is not None or _is_final(self._trouble))
        if self._leader is None:
            raise self._trouble or await diagnosis(self._ensemble)
        self._given = self._leader
        return self._leader

    async def moved(self) -> None:
        """Until another leads than the one that `next` gave last."""
        await self._until(lambda: self._leader not in (None, self._given))

    async def follow(self) -> None:
        """Until cancelled."""
        self._client.add_listener(self._on_connection)
        self._client.start_async()
        while True:
            self._look.clear()
            try:
                self._know(await self._read(), None)
            except OcicatError as error:
                self._know(None, error)
            except KazooException:  # of the connection: a new one leads to another look
                pass
            except Exception as error:  # nobody awaits this task: those who ask for the leader must hear of it
                self._know(None, Bug(f"{self._ensemble}: {error!r}"))
            await self._look.wait()

    async def leave(self) -> None:
        """Say goodbye, but wait for no answer that does not come."""
        self._leaving = True  # its end is no silence
        if self._silence is not None:
            self._silence.cancel()
        left = asyncio.Event()
        threading.Thread(target=self._close, args=(left,), daemon=True, name="leave ZooKeeper").start()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.farewell_s):
                await left.wait()

    def _close(self, left: asyncio.Event) -> None:
        with suppress(Exception):  # what a client that is thrown away complains of is of no interest
            self._client.stop()
            self._client.close()
        self._wake(left.set)

    # --- looking ---

    async def _read(self) -> Endpoint:
        names = await self._candidates()
        node = leading(names)
        if not node:
            raise Unavailable(_nobody(self._ensemble, names))
        # A node that is gone by now has touched the watch on its siblings: there is another look.
        data, _ = await self._result(self._client.get_async(f"{self._ensemble.path}/{node}"))
        try:
            return node_of(data)
        except UserError as error:
            raise Refused(f"{self._ensemble}: {node}: {error.message}") from error

    async def _candidates(self) -> list[str]:
        path = self._ensemble.path
        try:
            return await self._result(self._client.get_children_async(path, self._touched))
        except NoNodeError as error:
            await self._result(self._client.exists_async(path, self._touched))
            hint = "masters make it when they start: is it what their --zk ends with?"
            raise NotFound(f"{self._ensemble}: ZooKeeper has no node {path}", hint=hint) from error
        except (NoAuthError, AuthFailedError) as error:
            raise _refusal(self._ensemble) from error

    async def _result(self, result: _Result[T]) -> T:
        done = asyncio.Event()
        result.rawlink(lambda _: self._wake(done.set))
        await done.wait()
        return result.get()

    def _know(self, leader: Endpoint | None, trouble: OcicatError | None) -> None:
        self._leader, self._trouble = leader, trouble
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._news.wait()

    # --- what kazoo's threads tell ---

    def _touched(self, _event: object) -> None:
        self._wake(self._look.set)

    def _on_connection(self, state: str) -> None:
        self._wake(self._connected if state == "CONNECTED" else self._disconnected)

    def _wake(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            self._loop.call_soon_threadsafe(call)

    def _connected(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._silent:
            self._silent = False
            self._report(f"{self._ensemble}: ZooKeeper answers again")
        self._look.set()

    def _disconnected(self) -> None:
        if self._silence is None and not self._silent and not self._leaving:
            self._silence = self._loop.call_later(self._patience.grace_s, self._say_silence)

    def _say_silence(self) -> None:
        self._silence, self._silent = None, True
        going_on = f"going on with the last known leader, {self._leader}" if self._leader else "no leader is known"
        self._report(f"{self._ensemble}: ZooKeeper does not answer; {going_on}")


def _client(ensemble: Ensemble, patience: Patience) -> _Client:
    """Tries again for ever; its own log, which says everything twice, goes nowhere."""
    quiet = logging.getLogger(f"{__name__}.kazoo")
    quiet.setLevel(logging.CRITICAL)
    return cast(
        "_Client",
        KazooClient(
            hosts=",".join(map(str, ensemble.servers)),
            timeout=patience.session_s,
            auth_data=[("digest", ensemble.credentials)] if ensemble.credentials else None,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0),
            logger=quiet,
        ),
    )


def _is_final(trouble: OcicatError | None) -> bool:
    """Waiting for an election to end makes sense, waiting for a path or a password does not."""
    return isinstance(trouble, NotFound | Refused | Bug)


def _nobody(ensemble: Ensemble, names: list[str]) -> str:
    older = [name for name in names if re.fullmatch(r"info_\d+", name)]
    why = (
        f"only masters older than 0.24 stand for election ({older[0]})" if older else "no Mesos master leads at present"
    )
    return f"{ensemble}: {why}"


def _refusal(ensemble: Ensemble) -> Refused:
    if ensemble.credentials:
        return Refused(
            f"{ensemble}: ZooKeeper does not let {ensemble.user} read {ensemble.path}: wrong user or password",
            hint="they are those of --zk of the masters",
        )
    return Refused(
        f"{ensemble}: ZooKeeper lets nobody read {ensemble.path} without a password",
        hint=f"zk://user:password@{str(ensemble).removeprefix('zk://')}",
    )
