"""Run tasks on Mesos: a v1 HTTP scheduler, written for people who want a handful of tasks and the truth about them.

    async with Framework.connect("zk://10.0.0.1:2181/mesos", name="demo") as framework:
        task = await framework.launch(TaskSpec(name="web", command="sleep 100", network=NetworkRequest(name="ocicat")))
        print((await task.wait(TaskState.RUNNING, timeout_s=60)).ip_addresses)

1. One framework id for life: a cut connection or a new leading master is a pause (backed off, told to `report`), no new framework.
2. Leaving the `async with` tears the framework down, its tasks die; with `leave_running` they live on for `Timing.failover_s`, and
   who leaves it for an error says nothing more: the framework may be another process's by then.
3. What cannot be repaired (the master refuses us, gives the framework up) ends every wait for a task with that error.

The decisions are `ocicat.mesos.scheduler`'s; here are only the connection and the waiting.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from ocicat.clock import SystemClock
from ocicat.errors import Bug, NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.discovery import Masters, discovered
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.scheduler import Scheduler, Task
from ocicat.mesos.session import Session, subscribed
from ocicat.mesos.types import ExecutorSpec, TaskSpec, problem_of, problem_of_group
from ocicat.mesos.wire import Call, Capability, FrameworkInfo
from ocicat.model.base import Struct, replace

# PARTITION_AWARE: a task whose agent is away is UNREACHABLE, not LOST; it may come back, and we may want it still.
_CAPABILITIES = (Capability("MULTI_ROLE"), Capability("PARTITION_AWARE"))


class Known(Struct, frozen=True):
    """A task that was launched earlier. What is not known of where it is, is empty."""

    task_id: str
    spec: TaskSpec
    agent_id: str = ""
    place: Mapping[str, str] = {}


class Timing(Struct, frozen=True):
    """How long to wait for what, in seconds."""

    connect_s: float = 15.0  # for the first subscription
    call_s: float = 10.0  # for the answer to one call
    placement_s: float | None = 30.0  # for a task to find a place; None: as long as it takes
    failover_s: float = 60.0  # that Mesos keeps our tasks while we are away
    missed_heartbeats: int = 3  # after which a silent master counts as gone
    backoff_first_s: float = 0.1
    backoff_max_s: float = 5.0


class Life(Struct, frozen=True):
    """An earlier life of a framework to be continued: the id that it had ("": it had none), and the tasks that were its own.

    `exclusive`: those are all; any other that the master knows of is told to end.
    """

    framework_id: str = ""
    tasks: tuple[Known, ...] = ()
    exclusive: bool = False


def _silent(_: str) -> None:
    """Nobody listens."""


async def _unprepared(_: Sequence[Task]) -> None:
    """Nothing is to be done before a launch."""


class Framework:
    """Made by `Framework.connect`."""

    def __init__(self, masters: Masters, info: FrameworkInfo, timing: Timing, report: Callable[[str], None]) -> None:
        self._masters = masters
        self._timing = timing
        self._report = report
        self._clock = SystemClock()
        self._scheduler = Scheduler(info, self._clock, timing.placement_s)
        self._handles: dict[str, TaskHandle] = {}
        self.adopted: tuple[TaskHandle, ...] = ()  # the tasks of an earlier life, also those that have ended since
        # Called with tasks that have a place, before Mesos hears of it. What it raises ends this life of the framework.
        self.before_launch: Callable[[Sequence[Task]], Awaitable[None]] = _unprepared
        self._failure: OcicatError | None = None
        self._last_error = "nothing tried yet"
        self._attempts = 0  # since the last subscription
        self._ready = asyncio.Event()  # subscribed once, or failed
        self._wake = asyncio.Event()  # there may be calls to send
        self._failed = asyncio.Event()
        self._idle = asyncio.Event()  # there are none, and the last one is answered

    @staticmethod
    @asynccontextmanager
    async def connect(
        master: str,
        *,
        name: str = "ocicat",
        role: str = "*",
        user: str = "root",
        timing: Timing = Timing(),  # noqa: B008  frozen
        leave_running: bool = False,
        report: Callable[[str], None] = _silent,
        life: Life = Life(),  # noqa: B008  frozen
    ) -> AsyncIterator[Framework]:
        """Enters when subscribed; `master` as for `discovered`.

        Unavailable when no master took us in `timing.connect_s`; Refused when one would not.
        """
        info = FrameworkInfo(user, name, (role,), timing.failover_s, checkpoint=True, capabilities=_CAPABILITIES)
        async with discovered(master, report=report) as masters:
            framework = Framework(masters, info, timing, report)
            framework._continue(life)
            runner = asyncio.create_task(framework._run())
            try:
                await framework._first_subscription()
                try:
                    yield framework
                except BaseException:
                    if not leave_running:
                        with suppress(OcicatError):  # the first error is the one to tell
                            await framework._leave(leave_running)
                    raise
                await framework._leave(leave_running)
            finally:
                runner.cancel()
                await asyncio.gather(runner, return_exceptions=True)
                framework._fail(Refused("the framework has been left, it no longer hears of its tasks"))

    @property
    def id(self) -> str:
        """As the master gave it."""
        return self._scheduler.framework_id

    async def failure(self) -> OcicatError:
        """What cannot be repaired, as soon as there is such a thing."""
        await self._failed.wait()
        return self._failure or Bug(f"framework {self.id}: failed without a reason")

    @property
    def tasks(self) -> tuple[TaskHandle, ...]:
        """Those that have not ended, oldest first."""
        return tuple(self._handles.values())

    async def launch(self, spec: TaskSpec, *, task_id: str = "") -> TaskHandle:
        """Ask for `spec` to be run; the handle tells how that goes. UserError for what Mesos would never take."""
        if self._failure:
            raise self._failure
        if problem := problem_of(spec):
            raise UserError(f"task {spec.name!r}: {problem}")
        handle = self._handle(self._scheduler.launch(task_id or new_task_id(spec.name), spec))
        self._settle()
        return handle

    async def launch_group(self, specs: Sequence[TaskSpec], executor: ExecutorSpec) -> list[TaskHandle]:
        """Ask for a group of tasks to be run in one place by Mesos's default executor. UserError as `launch`."""
        if self._failure:
            raise self._failure
        members = [(new_task_id(spec.name), replace(spec, executor=executor)) for spec in specs]
        if problem := problem_of_group(specs, executor):
            raise UserError(f"task group: {problem}")
        handles = [self._handle(task) for task in self._scheduler.launch_group(members)]
        self._settle()
        return handles

    def kill(self, handle: TaskHandle) -> None:
        """As `TaskHandle.kill`, without a coroutine."""
        self._kill(handle.task)

    def forget(self, handle: TaskHandle) -> None:
        """Its end was concluded from something else than a status. With `exclusive`, it is told to end if it shows up again."""
        self._scheduler.forget(self._handles.pop(handle.task_id, handle).task)

    def _continue(self, life: Life) -> None:
        self._scheduler.framework_id = life.framework_id
        self._scheduler.exclusive = life.exclusive
        tasks = (self._scheduler.adopt(one.task_id, one.spec, one.agent_id, one.place) for one in life.tasks)
        self.adopted = tuple(map(self._handle, tasks))

    def _handle(self, task: Task) -> TaskHandle:
        handle = self._handles[task.id] = TaskHandle(task, self._kill)
        return handle

    def _kill(self, task: Task) -> None:
        self._scheduler.kill(task)
        self._settle()

    def _settle(self) -> None:
        """After everything that was done to the scheduler: pass on what came of it."""
        for task in self._scheduler.take_news():
            if handle := self._handles.get(task.id):
                handle.wake()
            if task.ended:
                self._handles.pop(task.id, None)
        self._idle.clear()
        self._wake.set()

    # --- the connection ---

    async def _run(self) -> None:
        """Keep a session going until something that cannot be repaired."""
        try:
            while True:
                try:
                    await self._session(await self._masters.next())
                except (Unavailable, NotFound) as error:  # NotFound: a master answers that while it starts
                    if self._failure:
                        return
                    await self._back_off(error)
        except OcicatError as error:
            self._fail(error)
        except Exception as error:  # nobody awaits this task: those who wait for its work must hear of it
            bug = Bug(f"framework {self._scheduler.info.name}: {error!r}")
            bug.__cause__ = error
            self._fail(bug)

    async def _back_off(self, error: OcicatError) -> None:
        """What is wrong is told once, and again after a subscription."""
        self._scheduler.disconnected()
        if self._attempts == 0 or error.message != self._last_error:
            self._report(f"not connected to a master: {error.message}; trying again")
        self._last_error = error.message
        delay_s = min(self._timing.backoff_first_s * 2**self._attempts, self._timing.backoff_max_s)
        self._attempts += 1
        with suppress(TimeoutError):  # frameworks that lost the same master spread out
            async with asyncio.timeout(delay_s * random.uniform(0.5, 1.0)):
                await self._masters.moved()
                self._attempts = 1  # a leader that is new may not be ready yet, but will be soon

    async def _session(self, endpoint: Endpoint) -> None:
        timing = self._timing
        call = self._scheduler.subscribe_call()
        async with subscribed(endpoint, call, timing.call_s, timing.missed_heartbeats) as session:
            await _until_one_fails(self._listen(session), self._talk(session), self._unseated(session))

    async def _listen(self, session: Session) -> None:
        async with aclosing(session.events()) as batches:
            async for events in batches:
                for event in events:
                    self._scheduler.receive(event)
                    if event.subscribed:
                        self._attempts = 0
                        self._ready.set()
                        self._report(f"subscribed to the master at {session.endpoint} as {self.id}")
                self._settle()
        if not self._scheduler.leaving:  # to close the stream is how a master obeys a TEARDOWN
            raise Unavailable(f"{session.endpoint}: the master closed the event stream")

    async def _unseated(self, session: Session) -> None:
        """A master that is cut off from the others may not know yet that another leads."""
        await self._masters.moved()
        raise Unavailable(f"{session.endpoint}: another master leads now")

    async def _talk(self, session: Session) -> None:
        while True:
            self._wake.clear()
            for call in self._scheduler.take_calls():
                await self._prepare(call)
                if refusal := await session.say(call):
                    self._report(f"the master refused {call.type}: {refusal}")
                    self._scheduler.rejected(call, refusal)
                    self._settle()
            if not self._wake.is_set():
                self._idle.set()
            await self._until_wanted()
            self._scheduler.tick()
            self._settle()

    async def _prepare(self, call: Call) -> None:
        if tasks := self._scheduler.launched_by(call):
            try:
                await self.before_launch(tasks)
            except OcicatError as error:  # no master's fault: no other session mends it
                self._fail(error)
                raise

    async def _until_wanted(self) -> None:
        """Until there may be calls to send, or it is time for the scheduler's next tick."""
        deadline = self._scheduler.next_deadline()
        timeout_s = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()

    # --- the beginning and the end ---

    async def _first_subscription(self) -> None:
        try:
            async with asyncio.timeout(self._timing.connect_s):
                await self._ready.wait()
        except TimeoutError as error:
            text = f"Mesos master {self._masters}: no subscription in {self._timing.connect_s:g} s: {self._last_error}"
            raise Unavailable(text, hint="is the master running, and the address right?") from error
        if self._failure:
            raise self._failure

    async def _leave(self, leave_running: bool) -> None:
        """Unavailable when the master could not be told: then our tasks live until `failover_s` is over."""
        if self._failure:
            raise self._failure
        if not leave_running:
            self._scheduler.teardown()
        self._settle()
        try:
            async with asyncio.timeout(self._timing.call_s):
                await self._idle.wait()
        except TimeoutError as error:
            text = f"framework {self.id}: the master did not hear its last words: {self._last_error}"
            raise Unavailable(text, hint=f"its tasks end by themselves in {self._timing.failover_s:g} s") from error
        if self._failure and not self._scheduler.leaving:  # a master that has torn us down gives us up, rightly
            raise self._failure

    def _fail(self, error: OcicatError) -> None:
        self._failure = self._failure or error
        self._failed.set()
        self._scheduler.disconnected()
        for handle in self._handles.values():
            handle.fail(self._failure)
        self._ready.set()
        self._idle.set()


def new_task_id(name: str) -> str:
    """Unique, and telling; Mesos forbids slashes, white space and more in an id."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', name)[:100]}.{uuid.uuid4().hex[:12]}"


async def _until_one_fails(*jobs: Coroutine[None, None, None]) -> None:
    """Run `jobs` together, and fail as the first of them does.

    No TaskGroup: where a job of its fails, Python 3.11.2 counts the task around it as cancelled for ever, and no
    `asyncio.timeout` in it works any more.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
