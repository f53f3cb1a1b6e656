"""`mesos-executor`: joins the agent's event stream, the task's process and the clock, and does what `core` says.

Promises: single-threaded, one poll(); ends with 0 when the agent has acknowledged how the task ended. When the agent goes away
and the framework checkpoints, the task runs on and the executor subscribes again, for MESOS_RECOVERY_TIMEOUT at most; else the
task is ended.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from binascii import b2a_base64
from collections.abc import Mapping

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.lab.mesos.executor import task
from ocicat.lab.mesos.executor.core import Destroy, Effect, Executor, Leave, Send, Start, Terminate
from ocicat.lab.mesos.executor.http import Agent, Subscription
from ocicat.lab.mesos.executor.messages import Command, Error, Event, Identity, decode_event, encode_update, seconds

_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 0.5  # a recovering agent waits only 2 s for its executors
_JOIN_S = 60.0  # how long to try the first time; the agent's own patience is the same


class Loop:
    """The shell around `Executor`."""

    def __init__(self, executor: Executor, agent: Agent, recovery_s: float, environment: Mapping[str, str]) -> None:
        self._executor = executor
        self._agent = agent
        self._recovery_s = recovery_s  # 0: the task does not outlive its agent
        self._environment = environment
        self._subscription: Subscription | None = None
        self._process: task.Process | None = None
        self._kill_at: float | None = None
        self._leave_at: float | None = None
        self._retry_at = time.monotonic()
        self._retry_s = _FIRST_RETRY_S
        self._give_up_at = time.monotonic() + _JOIN_S

    def run(self) -> None:
        """Until the executor is done. Unavailable when the agent stays away, Refused when it will not have us; no task then."""
        try:
            self._run()
        finally:
            if self._process is not None:
                self._process.reap()
            if self._subscription is not None:
                self._subscription.close()

    def _run(self) -> None:
        while not self._executor.done and not passed(self._leave_at):
            if self._subscription is None and time.monotonic() >= self._retry_at:
                self._subscribe()
            self._wait()
            if passed(self._kill_at):
                self._kill_at = None
                self._do(self._executor.grace_over())

    def _wait(self) -> None:
        poll = select.poll()
        for source in (self._subscription, self._process):
            if source is not None:
                poll.register(source, select.POLLIN)
        deadlines = [self._kill_at, self._leave_at, self._retry_at if self._subscription is None else None]
        nearest = min((at for at in deadlines if at is not None), default=None)
        timeout_ms = None if nearest is None else max(0.0, nearest - time.monotonic()) * 1000 + 1
        ready = {descriptor for descriptor, _ in poll.poll(timeout_ms)}
        if self._process is not None and self._process.fileno() in ready:
            self._reap(self._process)
        if self._subscription is not None and self._subscription.fileno() in ready:
            self._read(self._subscription)

    def _subscribe(self) -> None:
        try:
            self._subscription = self._agent.subscribe(self._executor.subscription())
        except Unavailable as error:
            self._try_again_later(error)
            return
        self._retry_s = _FIRST_RETRY_S
        self._events(self._subscription.first())

    def _try_again_later(self, cause: Unavailable) -> None:
        if time.monotonic() >= self._give_up_at:
            raise cause
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, _LAST_RETRY_S)

    def _read(self, subscription: Subscription) -> None:
        try:
            self._events(subscription.read())
        except Unavailable as error:
            say(f"{error}; subscribing again")
            subscription.close()
            self._lost()

    def _lost(self) -> None:
        self._subscription = None
        self._retry_at = time.monotonic()
        if self._recovery_s:
            self._give_up_at = self._retry_at + self._recovery_s
        else:
            self._do(self._executor.shut_down())

    def _events(self, records: list[bytes]) -> None:
        for record in records:
            event = read_event(record)
            if isinstance(event, Error):
                say(f"the agent says: {event.message}")
            if event is not None:
                self._do(self._executor.handle(event))

    def _reap(self, process: task.Process) -> None:
        self._process, self._kill_at = None, None
        success, how = process.reap()
        self._do(self._executor.exited(success, how))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(update):
                    self._send(encode_update(self._executor.identity, update))
                case Start(command):
                    self._start(command)
                case Terminate(grace_s):
                    self._terminate(grace_s)
                case Destroy():
                    self._signal(signal.SIGKILL)
                case Leave(patience_s):
                    self._leave_at = time.monotonic() + patience_s

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

    def _send(self, call: bytes) -> None:
        """An update that does not get through goes along with the next subscription. Refused ends us: the agent reports that."""
        if self._subscription is None:
            return
        try:
            self._agent.send(call)
        except Unavailable as error:
            say(str(error))


def read_event(record: bytes) -> Event | None:
    """`decode_event` with a named error."""
    try:
        return decode_event(record)
    except ValueError as error:
        raise Refused(f"event stream: {error}") from error


def from_environment(variables: Mapping[str, str]) -> Loop:
    """The executor that the agent's variables describe. Refused when one is missing."""
    try:
        identity = Identity(variables["MESOS_FRAMEWORK_ID"], variables["MESOS_EXECUTOR_ID"])
        actor, _, address = variables["MESOS_SLAVE_PID"].partition("@")
        agent = Agent(variables.get("MESOS_AGENT_ENDPOINT", address), f"/{actor}/api/v1/executor")
        recovery_s = seconds(variables.get("MESOS_RECOVERY_TIMEOUT", "15mins"))
        grace_s = seconds(variables.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"))
    except (KeyError, ValueError) as error:
        raise Refused(
            f"not the environment of a Mesos executor: {error}", hint="a Mesos agent starts this program"
        ) from error
    executor = Executor(identity, _before_the_agent_does(grace_s), _uuid, time.time)
    return Loop(executor, agent, recovery_s if variables.get("MESOS_CHECKPOINT") == "1" else 0.0, variables)


def _before_the_agent_does(grace_s: float) -> float:
    """The agent destroys the container after its grace: leave time to report the end."""
    return max(grace_s - 1.0, grace_s / 2)


def passed(deadline: float | None) -> bool:
    """Whether this time (of the monotonic clock) is over; None never is."""
    return deadline is not None and time.monotonic() >= deadline


def _uuid() -> str:
    """A random UUID (RFC 4122, version 4): Mesos refuses an update whose uuid has other bits in version or variant."""
    bits = bytearray(os.urandom(16))
    bits[6] = bits[6] & 0x0F | 0x40
    bits[8] = bits[8] & 0x3F | 0x80
    return b2a_base64(bits, newline=False).decode()


def say(line: str) -> None:
    """Into the sandbox's stderr, beside what the task writes."""
    sys.stderr.write(f"mesos-executor: {line}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run the executor; its exit status. The agent's only argument, --launcher_dir, says nothing we need."""
    foreign = [argument for argument in arguments if not argument.startswith("--launcher_dir=")]
    try:
        task.redirect(os.environ.get("MESOS_SANDBOX", "."))
        if foreign:
            raise Refused(
                f"{foreign[0]}: not supported", hint="this executor runs commands without an image of their own"
            )
        from_environment(os.environ).run()
    except OcicatError as error:
        say(str(error))
        return 1
    return 0
