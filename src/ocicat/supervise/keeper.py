"""Keeps one process running for as long as it is wanted.

Promises: a process that ends is started again, after a pause that doubles with every quick death, unless it ended for good;
whatever happens is told to `note` at once, as a `Run`.
Must not: start a second one while the first lives.

Invariants:
1. `start`, `stop` and `restart` are done when they return, and one at a time.
2. The path that says a process is ready is removed before the process starts: it never speaks of a former one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from ocicat.clock import Clock
from ocicat.model.base import Struct, replace
from ocicat.supervise.proc import Identity, identity

FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 10.0
STEADY_S = 10.0  # who ran this long did not die of its start: the next pause is short again
GRACE_S = 5.0  # between SIGTERM and SIGKILL

log = logging.getLogger(__name__)


class ProcessSpec(Struct, frozen=True):
    """A process to keep running. It is ready when the path `ready` exists, which is removed before each start; "": nobody asks.
    `final`: the status after which it is not started again, for it could only end in the same way; 0: none."""

    name: str
    host: str
    argv: tuple[str, ...]
    log: str
    ready: str = ""
    final: int = 0


class Run(Struct, frozen=True):
    """What the keeper last saw of a process. `since` is wall-clock seconds; `identity` None: not running; `given_up`: the final
    status with which it has ended."""

    name: str
    wanted: bool = True
    identity: Identity | None = None
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    given_up: int = 0


class Keeper:
    """Of one process. Everything is called in one event loop."""

    def __init__(
        self, spec: ProcessSpec, note: Callable[[Run], None], clock: Clock, *, grace_s: float | None = None
    ) -> None:
        """`grace_s`: between SIGTERM and SIGKILL."""
        self.run = Run(spec.name)
        self._grace_s = grace_s
        self._spec = spec
        self._note = note
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Have it run; nothing to do when it does (or is about to be started again)."""
        async with self._one_at_a_time:
            self._start()

    async def stop(self) -> None:
        """End it, and keep it from being started again."""
        async with self._one_at_a_time:
            await self._stop(signal.SIGTERM)

    async def restart(self, *, kill: bool) -> None:
        """End it, by SIGKILL if so wanted, and start it at once."""
        async with self._one_at_a_time:
            await self._stop(signal.SIGKILL if kill else signal.SIGTERM)
            self._set(restarts=self.run.restarts + 1)
            self._start()

    def _start(self) -> None:
        if self._watch is None or self._watch.done():
            self._set(wanted=True, given_up=0)
            self._spawn()
            self._watch = asyncio.create_task(self._keep(), name=f"keep {self._spec.name}")

    async def _stop(self, first: signal.Signals) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        self._set(wanted=False)
        if self._process is not None:
            await self._end(self._process, first)
            self._ended(self._process)

    async def _end(self, process: subprocess.Popen[bytes], first: signal.Signals) -> None:
        process.send_signal(first)
        try:
            await asyncio.wait_for(_exit_of(process), GRACE_S if self._grace_s is None else self._grace_s)
        except TimeoutError:
            log.warning("%s does not end by itself", self._spec.name)
            process.kill()
            await _exit_of(process)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = self._clock.monotonic()
            if self._process is not None:
                await _exit_of(self._process)
                self._ended(self._process)
            if self.run.given_up:
                log.error("%s: %s; it is not started again", self._spec.name, self.run.last_exit)
                return
            if self._clock.monotonic() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.warning("%s: %s; starting it again in %.1f s", self._spec.name, self.run.last_exit, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
            self._set(restarts=self.run.restarts + 1)
            self._spawn()

    def _spawn(self) -> None:
        """A program that cannot even be started is treated as one that ended."""
        try:
            if self._spec.ready:
                Path(self._spec.ready).unlink(missing_ok=True)
            with Path(self._spec.log).open("ab") as output:
                self._process = subprocess.Popen(
                    self._spec.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    start_new_session=True,  # a signal to our group is not for it
                )
        except OSError as error:
            self._process = None
            self._set(identity=None, since=self._clock.now(), last_exit=f"cannot be started: {error}")
        else:
            self._set(identity=identity(self._process.pid), since=self._clock.now())
            log.info("%s started, process %d", self._spec.name, self._process.pid)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        self._process, status = None, process.wait()
        final = status if status == self._spec.final else 0
        self._set(identity=None, since=self._clock.now(), last_exit=describe_exit(status), given_up=final)

    def _set(self, **changes: object) -> None:
        self.run = replace(self.run, **changes)
        self._note(self.run)


def describe_exit(code: int) -> str:
    """An exit status as `subprocess` gives it, in words."""
    if code >= 0:
        return f"ended with status {code}"
    return f"ended by {signal.Signals(-code).name}"


async def _exit_of(process: subprocess.Popen[bytes]) -> None:
    """Until our child has ended."""
    if process.poll() is not None:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    fd = os.pidfd_open(process.pid)  # not reaped before our next poll: the number is still its own
    try:
        loop.add_reader(fd, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
