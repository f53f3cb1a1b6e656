"""What a framework says to Mesos, and why: the scheduler without its connection.

Events, launches, kills and the passing of time go in; calls for the master (`take_calls`) and the tasks about which there is news
(`take_news`) come out. PURE: the clock is passed in, nobody is waited for.

1. Every update that carries a uuid is acknowledged, once per time it arrives; it is news once.
2. A task ends exactly once, and nothing about it is news after that. Ended tasks are forgotten here.
3. Offers are never kept: each is accepted or declined in answer to the event that brought it. While no task waits the master is
   asked for none (SUPPRESS), and again (REVIVE) when one does.
4. What was asked and not answered is asked again: kills and unknown states every `RETRY_S`, everything after a new subscription.
5. A task is launched a second time under its id only when the master itself says that it never got the first launch. One that was
   adopted from an earlier life of the framework is never launched here.
6. With `exclusive`, every task of the framework that is not known here is told to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ocicat.clock import Clock
from ocicat.errors import Refused
from ocicat.mesos import launching, wire
from ocicat.mesos.launching import Unit
from ocicat.mesos.matching import first_fit, why_not_placed
from ocicat.mesos.placing import HOSTNAME, Place, place_of
from ocicat.mesos.types import Offer, TaskSpec, TaskState, TaskStatus

RETRY_S = 10.0
REFUSE_WAITING_S = (
    5.0  # an agent whose offer was too small is asked again that soon; a bigger offer comes at once anyway
)
REFUSE_IDLE_S = 3600.0  # REVIVE ends it
SOURCE = "SOURCE_SCHEDULER"  # of the statuses made here

_NEVER_LAUNCHED = frozenset({"REASON_RECONCILIATION", "REASON_INVALID_OFFERS"})
_NEVER_LAUNCHED_STATES = frozenset({TaskState.GONE, TaskState.LOST, TaskState.DROPPED})
_UNSETTLED = frozenset({TaskState.STAGING, TaskState.UNKNOWN})
_AWAY = frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})


@dataclass(slots=True)
class Task:
    """A task from its launch to its end. `history` only grows; `agent_id` is empty until it has a place."""

    id: str
    spec: TaskSpec
    since: float  # monotonic; from when it waits for a place, or from when the present master could have given it one
    agent_id: str = ""
    hostname: str = ""
    history: list[TaskStatus] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    kill_wanted: bool = False
    asked_at: float = 0.0
    last_uuid: str = ""
    adopted: bool = False
    place: Place = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    group: tuple[str, ...] = ()  # the ids of the tasks with which it is launched, its own among them

    @property
    def status(self) -> TaskStatus | None:
        return self.history[-1] if self.history else None

    @property
    def ended(self) -> bool:
        return bool(self.history) and self.history[-1].state.terminal

    @property
    def unsettled(self) -> bool:
        return self.kill_wanted or not self.history or self.history[-1].state in _UNSETTLED

    @property
    def known(self) -> wire.KnownTask:
        return wire.KnownTask(wire.Value(self.id), wire.Value(self.agent_id) if self.agent_id else None)


@dataclass(slots=True)
class Scheduler:
    """One framework. Methods never fail for what Mesos says, but for an ERROR event, after which nothing works."""

    info: wire.FrameworkInfo
    clock: Clock
    placement_s: float | None  # None: a task waits for a place as long as it takes
    framework_id: str = ""
    exclusive: bool = False
    tasks: dict[str, Task] = field(default_factory=dict)
    subscribed: bool = False
    leaving: bool = False
    _held_back: bool = True  # some filter or suppression of ours keeps offers away
    _calls: list[wire.Call] = field(default_factory=list)
    _news: list[Task] = field(default_factory=list)

    # --- what the shell takes ---

    def take_calls(self) -> list[wire.Call]:
        """In the order they must reach the master."""
        calls, self._calls = self._calls, []
        return calls

    def take_news(self) -> list[Task]:
        """Tasks whose history grew."""
        news, self._news = self._news, []
        return news

    def next_deadline(self) -> float | None:
        """The monotonic time of the next `tick` that would do something; None while only events can."""
        if not self.subscribed:
            return None
        waits = [self._give_up_at(task) for task in self._waiting()]
        waits += [task.asked_at + RETRY_S for task in self._placed() if task.unsettled]
        return min((at for at in waits if at is not None), default=None)

    def _give_up_at(self, task: Task) -> float | None:
        return None if self.placement_s is None else task.since + self.placement_s

    # --- the connection ---

    def subscribe_call(self) -> wire.Call:
        """The first call of a connection. It carries the framework's id if it ever had one."""
        known = wire.Value(self.framework_id) if self.framework_id else None
        info = wire.FrameworkInfo(
            user=self.info.user,
            name=self.info.name,
            roles=self.info.roles,
            failover_timeout=self.info.failover_timeout,
            checkpoint=self.info.checkpoint,
            capabilities=self.info.capabilities,
            id=known,
        )
        quiet = () if self._waiting() else self.info.roles
        return wire.Call("SUBSCRIBE", framework_id=known, subscribe=wire.Subscribe(info, quiet))

    def disconnected(self) -> None:
        """What was not sent is not sent any more: `_on_subscribed` asks for all that still matters."""
        self.subscribed = False
        self._calls.clear()

    def receive(self, event: wire.Event) -> None:
        """Refused on an ERROR event: the master has given this framework up."""
        if event.subscribed:
            self._on_subscribed(event.subscribed.framework_id.value)
        elif event.offers:
            self._on_offers([wire.offer_of(raw) for raw in event.offers.offers])
        elif event.update:
            self._on_update(event.update.status)
        elif event.type == "ERROR":
            text = event.error.message if event.error else "no reason given"
            raise Refused(f"framework {self.info.name}: the master gave it up: {text}")

    def rejected(self, call: wire.Call, text: str) -> None:
        """The master answered `call` with a no. A launch ends with its words; anything else is asked again in time."""
        for task in self.launched_by(call):
            self._end(task, TaskState.ERROR, "REASON_CALL_REJECTED", text)

    def launched_by(self, call: wire.Call) -> list[Task]:
        """Those that have not ended."""
        operations = call.accept.operations if call.accept else ()
        ids = [info.task_id.value for operation in operations for info in operation.task_infos]
        return [self.tasks[task_id] for task_id in ids if task_id in self.tasks]

    def tick(self) -> None:
        """Give up on tasks that found no place in time, and ask again where no answer came."""
        if not self.subscribed:
            return
        now = self.clock.monotonic()
        for task in self._waiting():
            give_up_at = self._give_up_at(task)
            if give_up_at is not None and now >= give_up_at:
                why = why_not_placed(task.spec, task.missed)
                text = f"task {task.spec.name} found no place in {self.placement_s:g} s: {why}"
                self._end(task, TaskState.ERROR, "REASON_NOT_PLACED", text)
        self._ask_again([t for t in self._placed() if t.unsettled and now >= t.asked_at + RETRY_S])

    # --- what the user wants ---

    def launch(self, task_id: str, spec: TaskSpec) -> Task:
        """It is placed by the next offers that fit."""
        task = self.tasks[task_id] = Task(task_id, spec, self.clock.monotonic())
        task.group = (task_id,) if spec.executor and not spec.executor.command else ()
        self._want_offers()
        return task

    def launch_group(self, members: Sequence[tuple[str, TaskSpec]]) -> list[Task]:
        """In one place, by one executor of Mesos's default kind: that of the first."""
        group = tuple(task_id for task_id, _ in members)
        tasks = [self.launch(task_id, spec) for task_id, spec in members]
        for task in tasks:
            task.group = group
        return tasks

    def adopt(self, task_id: str, spec: TaskSpec, agent_id: str, place: Place) -> Task:
        """A task of an earlier life: the master is asked how it is. `agent_id` and `place` may be empty, where nobody knows."""
        task = self.tasks[task_id] = Task(task_id, spec, self.clock.monotonic(), agent_id, adopted=True, place=place)
        task.hostname = place.get(HOSTNAME, "")
        if self.subscribed:
            self._ask_again([task])
        return task

    def forget(self, task: Task) -> None:
        """Nothing is news about it any more."""
        self.tasks.pop(task.id, None)

    def kill(self, task: Task) -> None:
        """Again is no error; a task that has no place yet ends at once."""
        if task.ended or task.kill_wanted:
            return
        task.kill_wanted = True
        waiting = self._waiting()
        if task in waiting:
            for each in [other for other in waiting if other is task or task.id in other.group]:
                self._end(each, TaskState.KILLED, "REASON_NOT_LAUNCHED", "killed before it was launched")
        elif self.subscribed:
            self._say_kill(task)

    def teardown(self) -> None:
        """The end of the framework and all its tasks; said again after a reconnection."""
        self.leaving = True
        if self.subscribed:
            self._say(wire.Call("TEARDOWN", self._id))

    # --- inside ---

    def _waiting(self) -> list[Task]:
        return [task for task in self.tasks.values() if not task.agent_id and not task.adopted]

    def _placed(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.agent_id or task.adopted]

    @property
    def _id(self) -> wire.Value:
        return wire.Value(self.framework_id)

    def _say(self, call: wire.Call) -> None:
        self._calls.append(call)

    def _want_offers(self) -> None:
        if self.subscribed and self._held_back and self._waiting():
            self._held_back = False
            self._say(wire.Call("REVIVE", self._id))

    def _on_subscribed(self, framework_id: str) -> None:
        self.framework_id = framework_id
        self.subscribed = True
        self._held_back = True  # filters of an earlier connection may still hold
        if self.leaving:
            self.teardown()
            return
        for task in self.tasks.values():
            task.since = self.clock.monotonic()
        if self.exclusive:
            self._say(
                wire.Call("RECONCILE", self._id, reconcile=wire.Reconcile(()))
            )  # an empty list asks for all tasks
        self._ask_again(self._placed())
        self._want_offers()

    def _ask_again(self, tasks: list[Task]) -> None:
        if not tasks:
            return
        for task in tasks:
            task.asked_at = self.clock.monotonic()
        self._say(wire.Call("RECONCILE", self._id, reconcile=wire.Reconcile(tuple(task.known for task in tasks))))
        for task in tasks:
            if task.kill_wanted:
                self._say_kill(task)

    def _say_kill(self, task: Task) -> None:
        task.asked_at = self.clock.monotonic()
        agent_id = wire.Value(task.agent_id) if task.agent_id else None
        self._say(wire.Call("KILL", self._id, kill=wire.Kill(wire.Value(task.id), agent_id)))

    def _on_offers(self, offers: list[Offer]) -> None:
        self._locate(offers)
        waiting = self._waiting()
        units = {unit.id: unit for unit in launching.units((task.id, task.spec, task.group) for task in waiting)}
        matched = first_fit(((unit.id, unit.demand) for unit in units.values()), offers, self._kin(waiting))
        for unit_id, missed in matched.missed.items():
            for task_id, _ in units[unit_id].members:
                self.tasks[task_id].missed.update(missed)
        filters = wire.Filters(REFUSE_WAITING_S if matched.missed else REFUSE_IDLE_S)
        for offer in offers:
            if unit_ids := matched.placed.get(offer.id):
                placed = [units[each].settled(matched.ports.get(each, ()), offer.hostname) for each in unit_ids]
                self._accept(offer, placed, filters)
        if unused := tuple(wire.Value(offer.id) for offer in offers if offer.id not in matched.placed):
            self._say(wire.Call("DECLINE", self._id, decline=wire.Decline(unused, filters)))
        if not matched.missed:
            self._say(wire.Call("SUPPRESS", self._id))
        self._held_back = True

    def _locate(self, offers: list[Offer]) -> None:
        """Adopted tasks whose agent is known but not what it is like: an offer of that agent tells."""
        places = {offer.agent_id: place_of(offer) for offer in offers}
        for task in self._placed():
            if not task.place and task.agent_id in places:
                task.place = places[task.agent_id]
                task.hostname = task.place[HOSTNAME]

    def _kin(self, waiting: list[Task]) -> dict[str, list[Place]]:
        wanted = {task.spec.kin for task in waiting if task.spec.constraints}
        places: dict[str, list[Place]] = {name: [] for name in wanted}
        for task in self._placed():
            if task.spec.kin in places:
                places[task.spec.kin].append(task.place)
        return places

    def _accept(self, offer: Offer, placed: list[Unit], filters: wire.Filters) -> None:
        for task_id, spec in (member for unit in placed for member in unit.members):
            task = self.tasks[task_id]
            task.agent_id, task.hostname, task.place = offer.agent_id, offer.hostname, place_of(offer)
            task.ports = tuple(port.number for port in spec.host_ports)
            task.asked_at = self.clock.monotonic()
        operations = launching.operations(placed, offer, self.framework_id)
        accept = wire.Accept((wire.Value(offer.id),), operations, filters)
        self._say(wire.Call("ACCEPT", self._id, accept=accept))

    def _on_update(self, status: wire.Status) -> None:
        if status.uuid:
            self._say(
                wire.Call(
                    "ACKNOWLEDGE", self._id, acknowledge=wire.Acknowledge(status.agent_id, status.task_id, status.uuid)
                )
            )
        task = self.tasks.get(status.task_id.value)
        if task is None:
            self._on_stray(status)
            return
        task.agent_id = task.agent_id or status.agent_id.value
        if (
            not task.adopted
            and not task.history
            and status.state in _NEVER_LAUNCHED_STATES
            and status.reason in _NEVER_LAUNCHED
        ):
            self._launch_again(task)
        elif not self._heard_before(task, status):
            task.last_uuid = status.uuid or task.last_uuid
            self._record(task, wire.status_of(status))

    def _on_stray(self, status: wire.Status) -> None:
        if self.exclusive and not status.state.terminal and status.state not in _AWAY:
            agent_id = status.agent_id if status.agent_id.value else None
            self._say(wire.Call("KILL", self._id, kill=wire.Kill(status.task_id, agent_id)))

    def _heard_before(self, task: Task, status: wire.Status) -> bool:
        if status.uuid:
            return status.uuid == task.last_uuid
        last = task.status
        return last is not None and (last.state, last.healthy) == (status.state, status.healthy)

    def _launch_again(self, task: Task) -> None:
        task.agent_id = task.hostname = ""
        if task.kill_wanted:
            self._end(task, TaskState.KILLED, "REASON_NOT_LAUNCHED", "killed before it was launched")
        self._want_offers()

    def _end(self, task: Task, state: TaskState, reason: str, text: str) -> None:
        status = TaskStatus(task.id, state, reason, SOURCE, text, task.agent_id, timestamp=self.clock.now())
        self._record(task, status)

    def _record(self, task: Task, status: TaskStatus) -> None:
        task.history.append(status)
        self._news.append(task)
        if task.ended:
            del self.tasks[task.id]
