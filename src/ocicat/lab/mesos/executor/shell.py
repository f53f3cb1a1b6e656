"""What every executor does with the world: keep the agent's event stream, say what there is to say, wait for whatever comes first.

Promises: single-threaded, one poll(). When the agent goes away and the framework checkpoints, what runs goes on and the executor
subscribes again, for MESOS_RECOVERY_TIMEOUT at most; else it is ended. What kind of executor it is, is its `Machine`'s business,
and that of the subclass that knows what the machine wants done.
"""

from __future__ import annotations

import os
import select
import sys
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.lab.mesos.executor.core import Leave, Send
from ocicat.lab.mesos.executor.http import Agent, Subscription
from ocicat.lab.mesos.executor.messages import Error, Event, Identity, decode_event, encode_update, seconds
from ocicat.lab.mesos.executor.task import redirect

_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 0.5  # a recovering agent waits only 2 s for its executors
_JOIN_S = 60.0  # how long to try the first time; the agent's own patience is the same


class Source(Protocol):
    """What poll() can wait for."""

    def fileno(self) -> int: ...


Sources = Iterable[tuple[Source, Callable[[], None]]]
"""What to wait for, and what to do when it is readable."""


class Machine(Protocol):
    """An executor without its shell: events in, things to do out."""

    identity: Identity

    @property
    def done(self) -> bool: ...

    def subscription(self) -> bytes: ...

    def handle(self, event: Event) -> Sequence[object]: ...

    def shut_down(self) -> Sequence[object]: ...


class Setting(NamedTuple):
    """What the agent tells an executor. `recovery_s` 0: what runs does not outlive its agent."""

    identity: Identity
    endpoint: str  # of the agent
    actor: str
    recovery_s: float
    grace_s: float


class Shell:
    """The shell around a `Machine`. A subclass performs what is neither Send nor Leave."""

    def __init__(self, machine: Machine, setting: Setting) -> None:
        self._machine = machine
        self._agent = Agent(setting.endpoint, f"/{setting.actor}/api/v1/executor")
        self._recovery_s = setting.recovery_s
        self._subscription: Subscription | None = None
        self._leave_at: float | None = None
        self._retry_at = time.monotonic()
        self._retry_s = _FIRST_RETRY_S
        self._give_up_at = time.monotonic() + _JOIN_S

    def run(self) -> None:
        """Until the executor is done. Unavailable when the agent stays away, Refused when it will not have us; no task then."""
        try:
            self._run()
        finally:
            self._end()
            if self._subscription is not None:
                self._subscription.close()

    # --- what a subclass says ---

    def _perform(self, effect: object) -> None:
        raise NotImplementedError

    def _sources(self) -> Sources:
        return ()

    def _deadlines(self) -> Iterable[float]:
        """Times at which `_tick` has something to do."""
        return ()

    def _tick(self) -> None:
        """Time has passed."""

    def _end(self) -> None:
        """Nothing of ours may run on."""

    # --- the loop ---

    def _run(self) -> None:
        while not self._machine.done and not passed(self._leave_at):
            if self._subscription is None and time.monotonic() >= self._retry_at:
                self._subscribe()
            self._wait()
            self._tick()

    def _wait(self) -> None:
        poll, actions = select.poll(), {}
        for source, action in (*self._sources(), *self._stream()):
            poll.register(source, select.POLLIN)
            actions[source.fileno()] = action
        own = (self._leave_at, self._retry_at if self._subscription is None else None)
        nearest = min((*self._deadlines(), *(at for at in own if at is not None)), default=None)
        timeout_ms = None if nearest is None else max(0.0, nearest - time.monotonic()) * 1000 + 1
        for descriptor, _ in poll.poll(timeout_ms):
            actions[descriptor]()

    def _stream(self) -> Sources:
        stream = self._subscription
        return () if stream is None else ((stream, lambda: self._read(stream)),)

    def _subscribe(self) -> None:
        try:
            self._subscription = self._agent.subscribe(self._machine.subscription())
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
            self._do(self._machine.shut_down())

    def _events(self, records: list[bytes]) -> None:
        for record in records:
            event = read_event(record)
            if isinstance(event, Error):
                say(f"the agent says: {event.message}")
            if event is not None:
                self._do(self._machine.handle(event))

    def _do(self, effects: Sequence[object]) -> None:
        for effect in effects:
            match effect:
                case Send(update):
                    self._send(encode_update(self._machine.identity, update))
                case Leave(patience_s):
                    self._leave_at = time.monotonic() + patience_s
                case _:
                    self._perform(effect)

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


def setting_of(variables: Mapping[str, str]) -> Setting:
    """What the agent's variables say. Refused when one is missing."""
    try:
        identity = Identity(variables["MESOS_FRAMEWORK_ID"], variables["MESOS_EXECUTOR_ID"])
        actor, _, address = variables["MESOS_SLAVE_PID"].partition("@")
        recovery_s = seconds(variables.get("MESOS_RECOVERY_TIMEOUT", "15mins"))
        return Setting(
            identity,
            _with_port(variables.get("MESOS_AGENT_ENDPOINT", address)),
            actor,
            recovery_s if variables.get("MESOS_CHECKPOINT") == "1" else 0.0,
            seconds(variables.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs")),
        )
    except (KeyError, ValueError) as error:
        raise Refused(
            f"not the environment of a Mesos executor: {error}", hint="a Mesos agent starts this program"
        ) from error


def _with_port(endpoint: str) -> str:
    int(endpoint.rpartition(":")[2])
    return endpoint


def passed(deadline: float | None) -> bool:
    """Whether this time (of the monotonic clock) is over; None never is."""
    return deadline is not None and time.monotonic() >= deadline


def random_uuid() -> bytes:
    """RFC 4122, version 4: Mesos refuses an update whose uuid has other bits in version or variant."""
    bits = bytearray(os.urandom(16))
    bits[6] = bits[6] & 0x0F | 0x40
    bits[8] = bits[8] & 0x3F | 0x80
    return bytes(bits)


def update_uuid() -> str:
    """In base64, as updates carry it."""
    return b2a_base64(random_uuid(), newline=False).decode()


def say(line: str) -> None:
    """Into the sandbox's stderr, beside what the task writes."""
    sys.stderr.write(f"mesos-executor: {line}\n")
    sys.stderr.flush()


def main(arguments: list[str], from_environment: Callable[[Mapping[str, str]], Shell]) -> int:
    """Run an executor; its exit status. The agent's only argument, --launcher_dir, says nothing we need."""
    foreign = [argument for argument in arguments if not argument.startswith("--launcher_dir=")]
    try:
        redirect(os.environ.get("MESOS_SANDBOX", "."))
        if foreign:
            raise Refused(
                f"{foreign[0]}: not supported", hint="this executor runs commands without an image of their own"
            )
        from_environment(os.environ).run()
    except OcicatError as error:
        say(str(error))
        return 1
    return 0
