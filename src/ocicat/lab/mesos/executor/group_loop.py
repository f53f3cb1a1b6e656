"""`mesos-default-executor`: task groups, whose containers the agent makes and ends; `group` says what to do, `shell` waits.

Promise: ends with 0 when the agent has acknowledged how every task ended. An answer that an agent's restart broke off is asked for
again; a container that a restarted agent does not know has ended, and nobody knows how.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from ocicat.errors import OcicatError, Unavailable
from ocicat.lab.mesos.executor import shell
from ocicat.lab.mesos.executor.group import GroupExecutor, KillChild, LaunchChild
from ocicat.lab.mesos.executor.http import Agent, Reply
from ocicat.lab.mesos.executor.messages import decode_exit, encode_kill, encode_launch, encode_wait
from ocicat.lab.mesos.executor.shell import Setting, Shell, Sources, random_uuid, say, setting_of, update_uuid

_RETRY_S = 0.2
_TRIES = 20  # while the agent is there


class GroupLoop(Shell):
    """The shell around `GroupExecutor`, with the answers to its calls that are still to come."""

    def __init__(self, executor: GroupExecutor, setting: Setting) -> None:
        super().__init__(executor, setting)
        self._executor = executor
        self._containers = Agent(setting.endpoint, f"/{setting.actor}/api/v1")
        self._launching: dict[str, Reply] = {}
        self._waiting: dict[str, Reply] = {}
        self._ask_at: dict[str, float] = {}  # for how a container ended
        self._tries: dict[str, int] = {}
        self._kill_at: dict[str, float] = {}

    def _end(self) -> None:
        for reply in (*self._launching.values(), *self._waiting.values()):
            reply.close()

    def _sources(self) -> Sources:
        for container, reply in self._launching.items():
            yield reply, lambda c=container: self._launched(c)  # type: ignore[misc]
        for container, reply in self._waiting.items():
            yield reply, lambda c=container: self._exited(c)  # type: ignore[misc]

    def _deadlines(self) -> Iterable[float]:
        return (*self._ask_at.values(), *self._kill_at.values())

    def _tick(self) -> None:
        now = time.monotonic()
        for container in [each for each, at in self._ask_at.items() if now >= at]:
            del self._ask_at[container]
            self._wait_for(container)
        for container in [each for each, at in self._kill_at.items() if now >= at]:
            del self._kill_at[container]
            self._do(self._executor.grace_over(container))

    def _perform(self, effect: object) -> None:
        match effect:
            case LaunchChild(container, path, task):
                try:
                    self._launching[container] = self._containers.begin(encode_launch(path, task))
                except OcicatError as error:
                    self._do(self._executor.not_launched(container, str(error)))
            case KillChild(container, path, number, grace_s):
                self._kill(container, encode_kill(path, number), grace_s)

    def _kill(self, container: str, call: bytes, grace_s: float) -> None:
        if grace_s:
            self._kill_at[container] = min(time.monotonic() + grace_s, self._kill_at.get(container, float("inf")))
        try:
            self._containers.send(call)
        except OcicatError as error:
            say(f"container {container}: {error}")

    def _launched(self, container: str) -> None:
        try:
            self._launching.pop(container).read()
        except OcicatError as error:
            self._do(self._executor.not_launched(container, str(error)))
            return
        self._do(self._executor.launched(container))
        self._wait_for(container)

    def _wait_for(self, container: str) -> None:
        path = next(child.path for child in self._executor.alive if child.container == container)
        try:
            self._waiting[container] = self._containers.begin(encode_wait(path))
        except Unavailable:
            self._ask_again(container)

    def _exited(self, container: str) -> None:
        try:
            status = decode_exit(self._waiting.pop(container).read())
        except Unavailable:
            self._ask_again(container)
            return
        self._kill_at.pop(container, None)
        self._do(self._executor.exited(container, status))

    def _ask_again(self, container: str) -> None:
        """Tries count only while the agent is there to answer."""
        self._tries[container] = self._tries.get(container, 0) + 1 if self._subscription is not None else 0
        if self._tries[container] > _TRIES:
            self._do(self._executor.exited(container, None))
        else:
            self._ask_at[container] = time.monotonic() + _RETRY_S


def from_environment(variables: Mapping[str, str]) -> GroupLoop:
    """The executor that the agent's variables describe. Refused when one is missing."""
    setting = setting_of(variables)
    executor = GroupExecutor(setting.identity, setting.grace_s / 2, update_uuid, _container_id, time.time)
    return GroupLoop(executor, setting)


def _container_id() -> str:
    digits = random_uuid().hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def main(arguments: list[str]) -> int:
    """Run the executor; its exit status."""
    return shell.main(arguments, from_environment)
