"""`mesos-executor`: one task as a process of its own; `core` says what to do, `shell` waits.

Promise: ends with 0 when the agent has acknowledged how the task ended.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping

from ocicat.errors import Refused
from ocicat.lab.mesos.executor import shell, task
from ocicat.lab.mesos.executor.core import Destroy, Executor, Start, Terminate, Watch
from ocicat.lab.mesos.executor.health import Check
from ocicat.lab.mesos.executor.messages import Command
from ocicat.lab.mesos.executor.shell import Setting, Shell, Sources, passed, setting_of, update_uuid


class Loop(Shell):
    """The shell around `Executor`, with the task's process, the end of its grace, and the checks of its health."""

    def __init__(self, executor: Executor, setting: Setting, environment: Mapping[str, str]) -> None:
        super().__init__(executor, setting)
        self._executor = executor
        self._environment = environment
        self._process: task.Process | None = None
        self._kill_at: float | None = None
        self._check: Check | None = None
        self._asking: task.Process | None = None  # a check that runs
        self._check_at: float | None = None  # when the next check begins, or the one that runs has taken too long

    def _end(self) -> None:
        for process in filter(None, (self._process, self._asking)):
            process.reap()

    def _sources(self) -> Sources:
        if (process := self._process) is not None:
            yield process, lambda: self._reap(process)
        if (asking := self._asking) is not None:
            yield asking, lambda: self._answered(asking)

    def _deadlines(self) -> Iterable[float]:
        return (at for at in (self._kill_at, self._check_at) if at is not None)

    def _tick(self) -> None:
        if passed(self._kill_at):
            self._kill_at = None
            self._do(self._executor.grace_over())
        if passed(self._check_at):
            self._ask()

    # --- checks ---

    def _ask(self) -> None:
        """Begin a check; or end the one that takes too long, which is an answer too."""
        if self._check is None:
            return
        if self._asking is not None:
            self._asking.signal(signal.SIGKILL)
            self._check_at = None
            return
        self._check_at = time.monotonic() + self._check.timeout_s
        try:
            self._asking = task.start(self._check.command, self._environment)
        except Refused:
            self._next_check(success=False)

    def _answered(self, asking: task.Process) -> None:
        success, _ = asking.reap()
        self._asking = None
        self._next_check(success=success)

    def _next_check(self, *, success: bool) -> None:
        if self._check is not None and self._process is not None:
            self._check_at = time.monotonic() + self._check.interval_s
            self._do(self._executor.checked(success))

    def _unwatch(self) -> None:
        self._check, self._check_at = None, None
        if self._asking is not None:
            self._asking.signal(signal.SIGKILL)

    # --- the task ---

    def _reap(self, process: task.Process) -> None:
        self._process, self._kill_at = None, None
        self._unwatch()
        success, how = process.reap()
        self._do(self._executor.exited(success, how))

    def _perform(self, effect: object) -> None:
        match effect:
            case Start(command):
                self._start(command)
            case Watch(check):
                self._check, self._check_at = check, time.monotonic() + check.delay_s
            case Terminate(grace_s):
                self._terminate(grace_s)
            case Destroy():
                self._signal(signal.SIGKILL)

    def _start(self, command: Command) -> None:
        try:
            self._process = task.start(command, self._environment)
        except Refused as error:
            self._do(self._executor.not_started(str(error)))
            return
        self._do(self._executor.started())

    def _terminate(self, grace_s: float) -> None:
        at = time.monotonic() + grace_s
        self._kill_at = at if self._kill_at is None else min(at, self._kill_at)
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.signal(number)


def from_environment(variables: Mapping[str, str]) -> Loop:
    """The executor that the agent's variables describe. Refused when one is missing."""
    setting = setting_of(variables)
    executor = Executor(setting.identity, _before_the_agent_does(setting.grace_s), update_uuid, time.time)
    return Loop(executor, setting, variables)


def _before_the_agent_does(grace_s: float) -> float:
    """The agent destroys the container after its grace: leave time to report the end."""
    return max(grace_s - 1.0, grace_s / 2)


def main(arguments: list[str]) -> int:
    """Run the executor; its exit status."""
    return shell.main(arguments, from_environment)
