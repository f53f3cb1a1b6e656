"""One instance of an application while it lives: what Mesos says of it, what its checks answer, and whether it is ready.

1. `wake` is called after everything that may change a plan; the record is `dirty` after everything that others should see.
2. `ready` is None only where nobody can know yet: a task of an earlier leader that was not heard of, a check without an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ocicat.clock import Clock
from ocicat.mesos.apps.ask import failure
from ocicat.mesos.apps.health import Judge, together
from ocicat.mesos.apps.plan import View
from ocicat.mesos.apps.records import TaskRecord
from ocicat.mesos.frameworks.application import Application, Check
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import TaskState, TaskStatus
from ocicat.model.base import replace

_RECONCILED = "REASON_RECONCILIATION"


class Instance:
    """`definition`: the application as it was when this was launched. `adopted`: by an earlier leader."""

    def __init__(
        self, record: TaskRecord, definition: Application, handle: TaskHandle, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self.record = record
        self.definition = definition
        self.handle = handle
        self.ending = False
        self.dirty = False
        self.ended = False
        self.away_since: float | None = None
        self._adopted = handle.task.adopted
        self._clock = clock
        self._wake = wake
        was_ready = record.was_ready or (self._adopted and record.healthy is True)  # as earlier releases tell it
        self._judges = [Judge(check, record.started, succeeded=was_ready and check.once) for check in definition.checks]
        self._checks: list[asyncio.Task[None]] = []

    # --- what it is ---

    @property
    def ready(self) -> bool | None:
        status = self.handle.status
        if status is None:
            return None if self._adopted else False
        if status.state != TaskState.RUNNING:
            return False
        asked = [status.healthy] if self.definition.spec.health_check else []
        return together([*asked, *(judge.healthy for judge in self._judges)])

    @property
    def hopeless(self) -> str:
        """Why it is to be ended for its checks; "" when it is not."""
        return next((judge.last_failure for judge in self._judges if judge.hopeless), "")

    def view(self, now: float) -> View:
        return View(
            self.record.task_id,
            self.record.version,
            self.ready,
            self.record.started,
            heard=not self._adopted or self.handle.status is not None,
            ending=self.ending,
            away=self.away_at is not None and now >= self.away_at,
        )

    @property
    def away_at(self) -> float | None:
        """When another is to take its place; None while it is in reach, or if it is never replaced."""
        limit_s = self.definition.inactive_after_s
        return None if self.away_since is None or limit_s is None else self.away_since + limit_s

    # --- what happens to it ---

    def placed(self) -> None:
        """Where it is, and the ports it has there, as far as that is known."""
        task = self.handle.task
        self.record = replace(
            self.record,
            agent_id=task.agent_id,
            place=dict(task.place) or self.record.place,
            ports=task.ports or self.record.ports,
        )

    def end(self) -> None:
        self.ending = True
        for check in self._checks:
            check.cancel()

    async def follow(self) -> None:
        """Until it has ended."""
        try:
            async for status in self.handle.updates():
                self._hear(status)
                if self.ended:
                    return
        finally:
            for check in self._checks:
                check.cancel()
            await asyncio.gather(*self._checks, return_exceptions=True)

    def _hear(self, status: TaskStatus) -> None:
        # Of a task that no agent has and the master does not know, this is the last that is ever said.
        unknown = status.state == TaskState.UNKNOWN and status.reason == _RECONCILED
        self.ended = status.state.terminal or unknown
        if status.state != TaskState.UNREACHABLE:
            self.away_since = None
        elif self.away_since is None:
            self.away_since = self._clock.now()
        if status.state == TaskState.RUNNING and not self._checks and not self.ending:
            self._checks = [asyncio.create_task(self._ask(judge)) for judge in self._judges]
        self.placed()
        self.record = replace(
            self.record,
            state=status.state,
            addresses=status.ip_addresses or self.record.addresses,
            message=status.message,
        )
        self._changed()

    async def _ask(self, judge: Judge) -> None:
        check = judge.check
        if not self._adopted:
            await asyncio.sleep(check.delay_s)
        while not (check.once and judge.succeeded):
            before = judge.healthy
            judge.heard(await self._answer(check), self._clock.now())
            if judge.healthy != before or judge.hopeless:
                self._changed()
            await asyncio.sleep(check.interval_s)

    async def _answer(self, check: Check) -> str:
        try:
            return await self._failure(check)
        except Exception as error:  # nobody awaits a check: what it stumbles over must be told as its answer
            return f"{check.protocol}: {error!r}"

    async def _failure(self, check: Check) -> str:
        wanted = [one for one in self.record.addresses if (":" in one) == check.ipv6]
        if check.once:  # Marathon's readiness checks name no family
            wanted += self.record.addresses
        if not wanted:
            family = "" if check.once else "IPv6 " if check.ipv6 else "IPv4 "
            return f"{check.protocol}: the instance has no {family}address"
        if check.port_index >= len(self.record.ports):
            return f"{check.protocol}: port {check.port_index} of the instance is not known"
        port = self.record.ports[check.port_index] if check.port_index >= 0 else check.port
        return await failure(check, wanted[0].partition("/")[0], port)

    def _changed(self) -> None:
        healthy = self.ready if self.definition.checked and self.record.state == TaskState.RUNNING else None
        readiness = [judge.succeeded for judge in self._judges if judge.check.once]
        was_ready = self.record.was_ready or (bool(readiness) and all(readiness))
        self.record = replace(self.record, healthy=healthy, was_ready=was_ready)
        self.dirty = True
        self._wake()
