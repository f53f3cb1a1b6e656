"""A task, as its owner sees it: what it is, what became of it, and how to end it.

1. A handle only reads the task; the scheduler alone writes it.
2. Nobody waits in vain: a task that ends, a framework that fails and a time limit each end every wait, and say why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count

from ocicat.errors import Bug, OcicatError, Refused, Unavailable
from ocicat.mesos.matching import why_not_placed
from ocicat.mesos.scheduler import Task
from ocicat.mesos.types import TaskSpec, TaskState, TaskStatus


class TaskHandle:
    """Made by `Framework.launch`."""

    def __init__(self, task: Task, kill: Callable[[Task], None]) -> None:
        self._task = task
        self._kill = kill
        self._changed = asyncio.Event()
        self._failure: OcicatError | None = None

    @property
    def task(self) -> Task:
        """As the scheduler knows it: to be read only."""
        return self._task

    @property
    def task_id(self) -> str:
        return self._task.id

    @property
    def spec(self) -> TaskSpec:
        return self._task.spec

    @property
    def hostname(self) -> str:
        """Of the agent it was placed on; "" before."""
        return self._task.hostname

    @property
    def waits_for_a_place(self) -> bool:
        return not (self._task.agent_id or self._task.adopted or self._task.ended)

    @property
    def status(self) -> TaskStatus | None:
        """The newest; None until there is one."""
        return self._task.status

    def status_of(self, state: TaskState) -> TaskStatus | None:
        """The first status in `state`."""
        return next((status for status in self._task.history if status.state == state), None)

    async def wait(self, state: TaskState, *, timeout_s: float) -> TaskStatus:
        """The first status in `state`, now or as soon as it comes. Refused with the reason when the task ended without it."""
        status = await self._first(lambda status: status.state == state, timeout_s, state.short)
        if status is None:
            raise Refused(f"task {self.spec.name} never was {state.short}: {self._condition()}")
        return status

    async def wait_ended(self, *, timeout_s: float | None = None) -> TaskStatus:
        """The last status, whatever it is."""
        status = await self._first(lambda status: status.state.terminal, timeout_s, "ended")
        if status is None:
            raise Bug(f"task {self.task_id} ended in a state that is not terminal")
        return status

    async def kill(self) -> None:
        """Ask for its end; again is no error. A task that has no place yet ends at once."""
        self._kill(self._task)

    async def updates(self) -> AsyncIterator[TaskStatus]:
        """Every status, from the first to the one that ends the task."""
        for index in count():
            status = await self._status(index)
            if status is None:
                return
            yield status

    def wake(self) -> None:
        """There is a new status (for the framework to call)."""
        self._changed.set()

    def fail(self, error: OcicatError) -> None:
        """There will be none any more (for the framework to call)."""
        self._failure = error
        self._changed.set()

    async def _status(self, index: int) -> TaskStatus | None:
        """Status number `index`; None when the task ended before."""
        while len(self._task.history) <= index:
            if self._task.ended:
                return None
            if self._failure:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        return self._task.history[index]

    async def _first(
        self, wanted: Callable[[TaskStatus], bool], timeout_s: float | None, what: str
    ) -> TaskStatus | None:
        """None when the task ended without it."""
        try:
            async with asyncio.timeout(timeout_s):
                index = 0
                while (status := await self._status(index)) and not wanted(status):
                    index += 1
                return status
        except TimeoutError as error:
            text = f"task {self.spec.name} is not {what} after {timeout_s:g} s: {self._condition()}"
            raise Unavailable(text) from error

    def _condition(self) -> str:
        """In a few words, how the task is."""
        if self.status is None:
            if not self.hostname:
                return why_not_placed(self.spec, self._task.missed)
            return f"launched on {self.hostname}, nothing heard of it since"
        details = ", ".join(word for word in (self.status.message, self.status.reason) if word)
        return self.status.state.short + (f" ({details})" if details else "")
