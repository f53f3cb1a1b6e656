"""The default executor as a state machine: task groups, each task in a container within the executor's own. PURE.

Invariants:
1. Each task goes STARTING, RUNNING, [KILLING], then exactly one of FINISHED, FAILED, KILLED.
2. Every update stays in `_unacknowledged` until the agent has acknowledged it, and goes along with every new subscription.
3. A group lives and dies as one: where a task of it fails or is killed, the others are ended. Groups do not touch each other.
4. `done` is true only when something ran, nothing runs any more, and nothing is unacknowledged.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from ocicat.lab.mesos.executor.core import FAILED, INVALID, LEAVE_S, Leave, Send
from ocicat.lab.mesos.executor.messages import (
    Acknowledged,
    Error,
    Event,
    Identity,
    Json,
    Kill,
    Launch,
    LaunchGroup,
    Shutdown,
    Subscribed,
    Task,
    Update,
    encode_subscribe,
)
from ocicat.lab.mesos.executor.task import describe


class LaunchChild(NamedTuple):
    """Have the agent run the task in this container; answer with `launched` or `not_launched`."""

    container: str
    path: Json  # the container's id as the agent wants it
    task: Task


class KillChild(NamedTuple):
    """Send the container this signal. With a grace, call `grace_over` when that has passed."""

    container: str
    path: Json
    signal: int
    grace_s: float = 0.0


Effect: TypeAlias = Send | LaunchChild | KillChild | Leave


class Child:
    """A task in its container. `group` numbers the LAUNCH_GROUP that brought it."""

    __slots__ = ("container", "ended", "group", "killed", "path", "running", "task", "told")

    def __init__(self, task: Task, container: str, path: Json, group: int) -> None:
        self.task = task
        self.container = container
        self.path = path
        self.group = group
        self.running = self.killed = self.ended = False
        self.told = False  # the agent has acknowledged something of it


class GroupExecutor:
    """`make_uuid` gives a fresh uuid (base64), `make_id` a container's, `now` the time in seconds since the epoch."""

    def __init__(
        self,
        identity: Identity,
        shutdown_grace_s: float,
        make_uuid: Callable[[], str],
        make_id: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self.identity = identity
        self._shutdown_grace_s = shutdown_grace_s
        self._make_uuid = make_uuid
        self._make_id = make_id
        self._now = now
        self._own: Json = {}
        self._children: dict[str, Child] = {}  # by container
        self._groups = 0
        self._unacknowledged: dict[str, Update] = {}
        self._says_killing = False
        self._leaving = False

    @property
    def done(self) -> bool:
        """Nothing is left to run or to say."""
        return bool(self._children) and not self.alive and not self._unacknowledged

    @property
    def alive(self) -> list[Child]:
        """Those whose end nobody has told yet."""
        return [child for child in self._children.values() if not child.ended]

    def subscription(self) -> bytes:
        """The SUBSCRIBE call for now."""
        tasks = [child.task.raw for child in self._children.values() if not child.told]
        return encode_subscribe(self.identity, tasks, list(self._unacknowledged.values()))

    def handle(self, event: Event) -> list[Effect]:
        """An event of the agent."""
        match event:
            case Subscribed(says_killing, container):
                self._says_killing, self._own = says_killing, container
            case LaunchGroup(tasks):
                return self._launch(tasks)
            case Launch(task):
                return self._launch((task._replace(problem="this executor runs task groups, not single tasks"),))
            case Kill(task_id, grace_s):
                wanted = [child for child in self.alive if child.task.task_id == task_id]
                return [each for child in wanted for each in self._kill(child, grace_s)]
            case Acknowledged(uuid):
                self._acknowledge(uuid)
            case Shutdown() | Error():
                return self.shut_down()
        return []

    def launched(self, container: str) -> list[Effect]:
        """The container runs."""
        child = self._children[container]
        child.running = True
        ending: list[Effect] = [KillChild(container, child.path, signal.SIGKILL)] if child.killed else []
        return [self._update(child, "TASK_RUNNING"), *ending]

    def not_launched(self, container: str, cause: str) -> list[Effect]:
        """There is no container, because of `cause`."""
        child = self._children[container]
        return self._ended(child, "TASK_KILLED" if child.killed else "TASK_FAILED", cause)

    def exited(self, container: str, status: int | None) -> list[Effect]:
        """The container ended with this wait status; None: nobody knows it."""
        child = self._children[container]
        how = "Command ended, nobody knows how" if status is None else describe(status)
        state = "TASK_KILLED" if child.killed else "TASK_FINISHED" if status == 0 else "TASK_FAILED"
        return self._ended(child, state, how)

    def grace_over(self, container: str) -> list[Effect]:
        """The time the task had to end by itself is up."""
        child = self._children[container]
        return [] if child.ended else [KillChild(container, child.path, signal.SIGKILL)]

    def shut_down(self) -> list[Effect]:
        """Nobody wants this executor any more: end what runs, then leave."""
        self._leaving = True
        ending: list[Effect] = [each for child in self.alive for each in self._kill(child, self._shutdown_grace_s)]
        return [*ending, *self._leave()]

    def _launch(self, tasks: Iterable[Task]) -> list[Effect]:
        self._groups += 1
        children = [self._new(task) for task in tasks]
        effects: list[Effect] = [self._update(child, "TASK_STARTING") for child in children]
        problem = next((child.task.problem for child in children if child.task.problem), "")
        if problem:
            return [*effects, *(self._refuse(child, problem) for child in children), *self._leave()]
        return effects + [LaunchChild(child.container, child.path, child.task) for child in children]

    def _new(self, task: Task) -> Child:
        container = self._make_id()
        child = self._children[container] = Child(
            task, container, {"value": container, "parent": self._own}, self._groups
        )
        return child

    def _refuse(self, child: Child, problem: str) -> Send:
        """Of a group in which a task has a problem, none is run."""
        child.ended = True
        return self._update(child, "TASK_FAILED", problem, INVALID)

    def _ended(self, child: Child, state: str, how: str) -> list[Effect]:
        child.ended, child.running = True, False
        effects: list[Effect] = [self._update(child, state, how, FAILED if state == "TASK_FAILED" else "")]
        if state != "TASK_FINISHED":
            for other in self.alive:
                effects += self._kill(other, None) if other.group == child.group else []
        return effects + self._leave()

    def _kill(self, child: Child, grace_s: float | None) -> list[Effect]:
        first, child.killed = not child.killed, True
        if not child.running:
            return []  # as soon as it does
        killing: list[Effect] = [self._update(child, "TASK_KILLING")] if first and self._says_killing else []
        grace = child.task.grace_s if grace_s is None else grace_s
        return [*killing, KillChild(child.container, child.path, signal.SIGTERM, grace)]

    def _leave(self) -> list[Effect]:
        return [Leave(LEAVE_S)] if self._leaving and not self.alive else []

    def _acknowledge(self, uuid: str) -> None:
        update = self._unacknowledged.pop(uuid, None)
        for child in self._children.values():
            child.told = child.told or (update is not None and child.task.task_id == update.task_id)

    def _update(self, child: Child, state: str, message: str = "", reason: str = "") -> Send:
        update = Update(child.task.task_id, state, message, reason, self._make_uuid(), self._now(), child.path)
        self._unacknowledged[update.uuid] = update
        return Send(update)
