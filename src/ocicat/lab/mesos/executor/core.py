"""The executor's life as a state machine: events of the agent, of the task and of the clock in, things to do out. PURE.

Invariants:
1. One task per executor. It goes STARTING, RUNNING, [KILLING], then exactly one of FINISHED, FAILED, KILLED.
2. Every update stays in `_unacknowledged` until the agent has acknowledged it, and goes along with every new subscription.
3. `done` is true only when nothing runs and nothing is unacknowledged: the agent has heard how the task ended.
4. A task that was told to end is KILLED, whatever its exit status; a second kill may shorten the grace, never lengthen it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ocicat.lab.mesos.executor.health import Check, Health, read_check
from ocicat.lab.mesos.executor.messages import (
    Acknowledged,
    Command,
    Error,
    Event,
    Identity,
    Kill,
    Launch,
    LaunchGroup,
    Shutdown,
    Subscribed,
    Task,
    Update,
    encode_subscribe,
)

INVALID = "REASON_TASK_INVALID"
FAILED = "REASON_COMMAND_EXECUTOR_FAILED"
_CHECKED = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
LEAVE_S = 0.5  # an agent that shuts its framework or itself down no longer acknowledges


class Send(NamedTuple):
    """Tell the agent; when that fails, the next subscription will."""

    update: Update


class Start(NamedTuple):
    """Run the task; answer with `started` or `not_started`."""

    command: Command


class Terminate(NamedTuple):
    """Ask the task to end (SIGTERM); call `grace_over` after `grace_s` seconds if it runs then."""

    grace_s: float


class Destroy(NamedTuple):
    """End the task (SIGKILL)."""


class Watch(NamedTuple):
    """Ask this check from now on, as often as it says; answer with `checked`."""

    check: Check


class Leave(NamedTuple):
    """Nothing is left to run: end after `patience_s` seconds, acknowledged or not."""

    patience_s: float


Effect: TypeAlias = Send | Start | Watch | Terminate | Destroy | Leave


class Executor:
    """`make_uuid` gives a fresh uuid (base64), `now` the time in seconds since the epoch."""

    def __init__(
        self, identity: Identity, shutdown_grace_s: float, make_uuid: Callable[[], str], now: Callable[[], float]
    ) -> None:
        self.identity = identity
        self._shutdown_grace_s = shutdown_grace_s
        self._make_uuid = make_uuid
        self._now = now
        self._task: Task | None = None
        self._task_unacknowledged = False
        self._unacknowledged: dict[str, Update] = {}
        self._running = False
        self._killed = False
        self._ended = False
        self._says_killing = False
        self._leaving = False
        self._check: Check | None = None
        self._health: Health | None = None

    @property
    def done(self) -> bool:
        """Nothing is left to run or to say."""
        return self._ended and not self._unacknowledged

    def subscription(self) -> bytes:
        """The SUBSCRIBE call for now."""
        tasks = [self._task.raw] if self._task and self._task_unacknowledged else []
        return encode_subscribe(self.identity, tasks, list(self._unacknowledged.values()))

    def handle(self, event: Event) -> list[Effect]:
        """An event of the agent."""
        match event:
            case Subscribed(says_killing, _):
                self._says_killing = says_killing
            case Launch(task):
                return self._launch(task)
            case LaunchGroup(tasks):
                ids = tuple(each.task_id for each in tasks)
                return self._refuse(ids, "this executor runs commands, not task groups")
            case Kill(task_id, grace_s):
                return self._kill(task_id, grace_s)
            case Acknowledged(uuid):
                self._unacknowledged.pop(uuid, None)
                self._task_unacknowledged = False
            case Shutdown() | Error():
                return self.shut_down()
        return []

    def started(self) -> list[Effect]:
        """The task's process exists."""
        self._running = True
        self._health = Health(self._check, self._now()) if self._check else None
        watching: list[Effect] = [Watch(self._check)] if self._check else []
        return [self._update("TASK_RUNNING"), *watching]

    def checked(self, success: bool) -> list[Effect]:
        """The check has answered."""
        if not self._running or self._killed or self._health is None or self._task is None:
            return []
        news = self._health.heard(success, self._now())
        told: list[Effect] = [self._update("TASK_RUNNING", "", _CHECKED)] if news else []
        return [*told, *(self._terminate(self._task.grace_s) if self._health.hopeless else [])]

    def not_started(self, cause: str) -> list[Effect]:
        """There is no process, because of `cause`."""
        self._ended = True
        return [self._update("TASK_FAILED", cause, FAILED)]

    def exited(self, success: bool, how: str) -> list[Effect]:
        """The task's process ended; `how` says it in words."""
        self._running, self._ended = False, True
        return [self._end(success, how), *self._leave()]

    def grace_over(self) -> list[Effect]:
        """The time the task had to end by itself is up."""
        return [Destroy()] if self._running else []

    def shut_down(self) -> list[Effect]:
        """Nobody wants this executor any more: end what runs, then leave."""
        self._leaving = True
        self._ended = self._ended or self._task is None
        return [*self._terminate(self._shutdown_grace_s), *self._leave()]

    def _launch(self, task: Task) -> list[Effect]:
        if self._task is not None:
            return self._refuse((task.task_id,), f"this executor already runs {self._task.task_id}")
        self._task, self._task_unacknowledged = task, True
        info = task.raw.get("health_check")
        self._check = read_check(info) if isinstance(info, dict) else None
        problem = task.problem or (
            "this executor does not support such a health check" if info and not self._check else ""
        )
        if problem:
            self._ended = True
            return [self._update("TASK_FAILED", problem, INVALID)]
        return [self._update("TASK_STARTING"), Start(task.command)]

    def _refuse(self, task_ids: tuple[str, ...], cause: str) -> list[Effect]:
        self._ended = self._ended or self._task is None
        return [self._update("TASK_FAILED", cause, INVALID, task_id) for task_id in task_ids]

    def _kill(self, task_id: str, grace_s: float | None) -> list[Effect]:
        if self._task is None or task_id != self._task.task_id:
            return []  # killed while it was on its way to somebody else, or long gone
        return self._terminate(self._task.grace_s if grace_s is None else grace_s)

    def _terminate(self, grace_s: float) -> list[Effect]:
        if not self._running:
            return []
        first, self._killed = not self._killed, True
        killing: list[Effect] = [self._update("TASK_KILLING")] if first and self._says_killing else []
        return [*killing, Terminate(grace_s)]

    def _end(self, success: bool, how: str) -> Send:
        if self._killed:
            return self._update("TASK_KILLED", how)
        if success:
            return self._update("TASK_FINISHED", how)
        return self._update("TASK_FAILED", how, FAILED)

    def _leave(self) -> list[Effect]:
        return [Leave(LEAVE_S)] if self._leaving and self._ended else []

    def _update(self, state: str, message: str = "", reason: str = "", task_id: str = "") -> Send:
        owner = task_id or (self._task.task_id if self._task else "")
        healthy = self._health.healthy if self._health else None
        update = Update(owner, state, message, reason, self._make_uuid(), self._now(), healthy=healthy)
        self._unacknowledged[update.uuid] = update
        return Send(update)
