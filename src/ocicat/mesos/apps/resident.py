"""The framework at work: instances are started and ended until every application is what it is wanted to be.

1. An instance is written to the store before Mesos hears of it: no leader after this one can start it a second time.
2. One step at a time: read what happened, plan, write, then act. What fails ends the whole with its error, and a new life of the
   framework (`serve`) begins from what the store and Mesos hold.
3. Nothing is ended because the state of something is not known: an application that cannot be read is left as it is.
4. Where an instance is to run, and its ports, are written before Mesos hears of it: Mesos would not tell the next leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from ocicat.clock import Clock, SystemClock
from ocicat.errors import Bug
from ocicat.mesos.apps.book import Book, Change, Contents
from ocicat.mesos.apps.instance import Instance
from ocicat.mesos.apps.plan import Delay, planned
from ocicat.mesos.apps.records import StatusRecord, TaskRecord
from ocicat.mesos.framework import Framework, Known, new_task_id
from ocicat.mesos.frameworks.application import Application
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.matching import why_not_placed
from ocicat.mesos.scheduler import Task
from ocicat.mesos.types import TaskSpec
from ocicat.model.base import replace

_LOOK_AGAIN_S = 2.0  # while an instance finds no place: why not is worth telling anew


def definition_of(record: TaskRecord, contents: Contents) -> Application:
    """What an instance is. Where nobody knows any more, as little as a task can be: it is replaced by and by."""
    known = contents.versions.get((record.app, record.version))
    wanted = contents.wanted.get(record.app)
    if known is None and wanted and wanted.version == record.version:
        return wanted
    return known or Application(id=record.app, spec=TaskSpec(record.task_id, "true", kin=record.app))


def known_tasks(contents: Contents) -> tuple[Known, ...]:
    """What was launched earlier, for the framework to take over."""
    return tuple(
        Known(task.task_id, definition_of(task, contents).spec, task.agent_id, task.place)
        for task in contents.tasks.values()
    )


class Resident:
    """One life of the framework, from what the store holds at its beginning."""

    def __init__(
        self,
        framework: Framework,
        book: Book,
        contents: Contents,
        report: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._framework = framework
        self._book = book
        self._report = report
        self._clock = clock or SystemClock()
        self._wanted = dict(contents.wanted)
        self._versions = set(contents.versions)
        self._statuses = dict(contents.statuses)
        self._kills = set(contents.kills)
        self._delays: dict[str, Delay] = {}
        self._failures: dict[str, str] = {}
        self._instances: dict[str, Instance] = {}
        self._held = set(contents.held)  # applications that cannot be read
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()  # an older state of an instance never replaces a newer one
        framework.before_launch = self._placed
        for handle in framework.adopted:
            record = contents.tasks[handle.task_id]
            self._add(record, definition_of(record, contents), handle)

    async def run(self) -> NoReturn:
        """Until it is cancelled, or something fails that cannot be mended within this life."""
        async with asyncio.TaskGroup() as group:
            for instance in self._instances.values():
                group.create_task(instance.follow())
            while True:
                self._wake.clear()
                await self._step(group)
                await self._until_wanted()
        raise Bug("the loop above has no end")

    def hear(self, changes: Iterable[Change]) -> None:
        """What people have changed in the store."""
        for change in changes:
            if change.kill:
                self._kills.add(change.kill)
                continue
            self._held.discard(change.app_id)
            if change.application:
                self._wanted[change.app_id] = change.application
            else:
                self._wanted.pop(change.app_id, None)
        self._wake.set()

    def _add(self, record: TaskRecord, definition: Application, handle: TaskHandle) -> Instance:
        instance = self._instances[record.task_id] = Instance(record, definition, handle, self._clock, self._wake.set)
        return instance

    # --- one step ---

    async def _step(self, group: asyncio.TaskGroup) -> None:
        ended = self._take_ended()
        self._end_hopeless()
        unknown = self._end_killed()
        starting = [record for app in self._all() for record in self._planned(app)]
        await self._write(starting, [*ended, *unknown])
        for record in starting:
            await self._launch(record, group)
        await self._tidy()

    def _all(self) -> list[Application]:
        """What is wanted, and what is not any more but has instances left."""
        gone = {one.record.app: one.definition for one in self._instances.values()}
        known = self._wanted.keys() | self._held
        rest = [replace(app, instances=0) for app_id, app in gone.items() if app_id not in known]
        return [*self._wanted.values(), *rest]

    def _of(self, app_id: str) -> list[Instance]:
        return [one for one in self._instances.values() if one.record.app == app_id]

    def _take_ended(self) -> list[str]:
        """Instances that are no more. One that nobody has asked to end delays the next."""
        ended = [one for one in self._instances.values() if one.ended]
        now = self._clock.now()
        for one in ended:
            record = one.record
            del self._instances[record.task_id]
            if not one.handle.task.ended:
                self._framework.forget(one.handle)
            why = f"{record.state.short}{': ' + record.message if record.message else ''}"
            text = f"{record.app}: {record.task_id} has ended"
            if not one.ending:
                delay = self._delays.setdefault(record.app, Delay())
                delay.failed(one.definition.backoff, now, now - record.started)
                self._failures[record.app] = why
                text += f" by itself ({why}); the next starts in {delay.seconds:g} s at the earliest"
            self._report(text)
        return [one.record.task_id for one in ended]

    def _end_hopeless(self) -> None:
        now = self._clock.now()
        for one in list(self._instances.values()):
            if not one.ending and one.record.app not in self._held and (why := one.hopeless):
                delay = self._delays.setdefault(one.record.app, Delay())
                delay.failed(one.definition.backoff, now, now - one.record.started)
                self._failures[one.record.app] = why
                self._end(one, f"is not healthy ({why})")

    def _end_killed(self) -> list[str]:
        """Ids that nobody has, so that nobody asks again."""
        unknown = [task_id for task_id in self._kills if task_id not in self._instances]
        for task_id in self._kills & self._instances.keys():
            if not self._instances[task_id].ending:
                self._end(self._instances[task_id], "was asked to end")
        self._kills -= set(unknown)
        return unknown

    def _end(self, one: Instance, why: str) -> None:
        self._report(f"{one.record.app}: {one.record.task_id} {why}")
        one.end()
        self._framework.kill(one.handle)

    def _planned(self, app: Application) -> list[TaskRecord]:
        """Ends what is to end; the records of what is to start."""
        now = self._clock.now()
        plan = planned(app, (one.view(now) for one in self._of(app.id)))
        for task_id in plan.end:
            one = self._instances[task_id]
            self._end(one, "is one too many" if one.record.version == app.version else f"makes way for {app.version}")
        if self._delayed(app):
            return []
        return [
            TaskRecord(task_id=new_task_id(app.spec.name), app=app.id, version=app.version, started=now)
            for _ in range(plan.start)
        ]

    def _delayed(self, app: Application) -> str:
        """Why nothing of it may start now; "" when it may."""
        delay = self._delays.get(app.id)
        if delay and self._clock.now() < delay.until:
            return f"the next starts {delay.seconds:g} s after the last failure"
        missing = [one for one in app.dependencies if not self._is_up(one)]
        return f"waits for {', '.join(missing)}" if missing else ""

    def _is_up(self, app_id: str) -> bool:
        app = self._wanted.get(app_id)
        return app is not None and self._ready(app) >= app.instances

    def _ready(self, app: Application) -> int:
        return sum(
            one.ready is True and not one.ending and one.record.version == app.version for one in self._of(app.id)
        )

    async def _placed(self, tasks: Sequence[Task]) -> None:
        async with self._writing:
            found = [self._instances[task.id] for task in tasks if task.id in self._instances]
            for one in found:
                one.placed()
            await self._book.records([one.record for one in found])

    async def _write(self, starting: list[TaskRecord], ended: list[str]) -> None:
        for record in starting:
            app = self._wanted[record.app]
            if (app.id, app.version) not in self._versions:
                await self._book.version(app)
                self._versions.add((app.id, app.version))
        async with self._writing:
            changed = [one for one in self._instances.values() if one.dirty and not one.ended]
            for one in changed:
                one.dirty = False
            statuses = [
                status for app in self._wanted.values() if (status := self._status(app)) != self._statuses.get(app.id)
            ]
            await self._book.records([*starting, *(one.record for one in changed)], ended, statuses)
        self._statuses |= {status.app: status for status in statuses}

    def _status(self, app: Application) -> StatusRecord:
        mine = [one for one in self._of(app.id) if not one.ending]
        fresh = [one for one in mine if one.record.version == app.version]
        return StatusRecord(
            app=app.id,
            version=app.version,
            wanted=app.instances,
            instances=len(fresh),
            ready=self._ready(app),
            old=len(mine) - len(fresh),
            waits=(self._delayed(app) if len(fresh) < app.instances else "") or self._unplaced(fresh),
            last_failure=self._failures.get(app.id, ""),
        )

    def _unplaced(self, fresh: list[Instance]) -> str:
        waiting = (one.handle for one in fresh if one.handle.waits_for_a_place)
        return next((why_not_placed(handle.spec, handle.task.missed) for handle in waiting), "")

    async def _launch(self, record: TaskRecord, group: asyncio.TaskGroup) -> None:
        app = self._wanted[record.app]
        handle = await self._framework.launch(app.spec, task_id=record.task_id)
        self._report(f"{app.id}: {record.task_id} starts")
        group.create_task(self._add(record, app, handle).follow())

    async def _tidy(self) -> None:
        """Versions that nobody has any more, and what is told of applications that are gone."""
        used = {(one.record.app, one.record.version) for one in self._instances.values()}
        used |= {(app.id, app.version) for app in self._wanted.values()}
        versions = sorted(self._versions - used)
        gone = sorted(self._statuses.keys() - self._wanted.keys() - self._held - {app_id for app_id, _ in used})
        if versions or gone:
            await self._book.drop(versions=versions, statuses=gone)
            self._versions -= set(versions)
            for app_id in gone:
                del self._statuses[app_id]
                self._report(f"{app_id}: is gone")

    async def _until_wanted(self) -> None:
        now = self._clock.now()
        times = [delay.until for delay in self._delays.values() if delay.until > now]
        times += [at for one in self._instances.values() if (at := one.away_at) is not None and at > now]
        if any(one.handle.waits_for_a_place for one in self._instances.values()):
            times.append(now + _LOOK_AGAIN_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(times) - now if times else None):
                await self._wake.wait()
