"""The tasks of a Mesos cluster, kept true from what its leading master tells: a snapshot first, then one event after the other.

PURE.
1. A task is here from the moment the master knows of it until its end. Its framework's name and its host's are filled in as soon as
   they are known, and stay true.
2. What a later report does not say is as it was: a task whose agent is away keeps its addresses.
3. A master that has just been elected knows nothing of the tasks on agents that have not come back to it. They and their agents
   (not active) stay as they were until the agent comes back, and then go if it did not bring them, or until the master gives it up.
4. The order of events may be any: a task may come before its framework, or its agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ocicat.mesos.masters import Endpoint
from ocicat.mesos.types import Discovery, NetworkStatus, PortRange, TaskState
from ocicat.model.base import Struct, replace

TaskKey = tuple[str, str]  # framework id, task id: the latter is unique within a framework only


class AgentSummary(Struct, frozen=True):
    """`hostname` is what the agent calls itself, `address` and `port` are where it listens."""

    id: str
    hostname: str
    address: str
    port: int
    active: bool
    version: str


class FrameworkSummary(Struct, frozen=True):
    """A framework that has not ended; it may be away (`connected` false)."""

    id: str
    name: str
    active: bool
    connected: bool
    roles: tuple[str, ...]
    hostname: str = ""  # where its scheduler says it runs
    webui_url: str = ""


class Report(Struct, frozen=True):
    """What one status says of a task beside its state; None is nothing."""

    container_id: str | None = None  # a nested container is "parent.child", as CNI_CONTAINERID names it
    networks: tuple[NetworkStatus, ...] | None = None
    healthy: bool | None = None
    labels: dict[str, str] | None = None


class Task(Struct, frozen=True, kw_only=True):
    """`executor_id` is the task's own id for a command task, whose executor Mesos made for it alone. What is not known (yet) is "",
    () or None."""

    id: str
    name: str = ""
    framework_id: str = ""
    framework: str = ""  # its name
    role: str = ""  # whose resources it has
    executor_id: str = ""
    command: bool = False  # a command task
    agent_id: str = ""
    host: str = ""  # what its agent calls itself
    host_address: str = ""  # where its agent listens
    state: TaskState = TaskState.UNKNOWN
    health_checked: bool = False  # Mesos checks its health
    healthy: bool | None = None  # None: no check has said so
    labels: dict[str, str] = {}
    status_labels: dict[str, str] = {}  # those that its executor put into its newest status
    discovery: Discovery | None = None
    ports: tuple[PortRange, ...] = ()  # of the host, among its resources
    container_id: str = ""
    networks: tuple[NetworkStatus, ...] = ()

    @property
    def key(self) -> TaskKey:
        return self.framework_id, self.id

    @property
    def running(self) -> bool:
        return self.state == TaskState.RUNNING

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """Those of all networks, in their order."""
        return tuple(address for network in self.networks for address in network.ip_addresses)

    def told(self, state: TaskState, report: Report) -> Task:
        """The same after one more status."""
        return replace(
            self,
            state=state,
            healthy=self.healthy if report.healthy is None else report.healthy,
            status_labels=self.status_labels if report.labels is None else report.labels,
            container_id=report.container_id or self.container_id,
            networks=self.networks if report.networks is None else report.networks,
        )


# --- what a master tells -----------------------------------------------------------------------------------------


class Snapshot(Struct, frozen=True):
    """All it knows. `recovered`: ids of agents that it only knows of, and waits for."""

    agents: tuple[AgentSummary, ...] = ()
    frameworks: tuple[FrameworkSummary, ...] = ()
    tasks: tuple[Task, ...] = ()
    recovered: frozenset[str] = frozenset()


class TaskUpdated(Struct, frozen=True):
    """`state` is the task's own; the status may be an older one that is only now told."""

    key: TaskKey
    state: TaskState
    report: Report


class AgentGone(Struct, frozen=True):
    id: str


class FrameworkGone(Struct, frozen=True):
    id: str


Event = Snapshot | Task | TaskUpdated | AgentSummary | AgentGone | FrameworkSummary | FrameworkGone
"""A task, a framework or an agent that is told whole is new, or takes the place of what was known."""


class Change(Struct, frozen=True):
    """What is different: tasks that came, changed or went. `complete`: a snapshot was taken over, so look at all there is."""

    complete: bool = False
    tasks: frozenset[TaskKey] = frozenset()
    agents: bool = False
    frameworks: bool = False


@dataclass(slots=True)
class Cluster:
    """What is known now. Read it as you like; `apply` alone changes it."""

    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    frameworks: dict[str, FrameworkSummary] = field(default_factory=dict)
    agents: dict[str, AgentSummary] = field(default_factory=dict)
    leader: Endpoint | None = None  # the master that tells; None while none does
    _kept: set[TaskKey] = field(default_factory=set)  # promise 3: known from an earlier master only
    _before: dict[TaskKey, Task | None] = field(default_factory=dict)  # what was touched, as it was

    def apply(self, events: Iterable[Event]) -> Change:
        """All of them, in their order."""
        seen: set[type[Event]] = set()
        for event in events:
            self._apply(event)
            seen.add(type(event))
        complete, before, self._before = Snapshot in seen, self._before, {}
        return Change(
            complete=complete,
            tasks=frozenset(key for key, task in before.items() if self.tasks.get(key) != task),
            agents=complete or not seen.isdisjoint({AgentSummary, AgentGone}),
            frameworks=complete or not seen.isdisjoint({FrameworkSummary, FrameworkGone}),
        )

    def _apply(self, event: Event) -> None:
        match event:
            case Snapshot():
                self._begin(event)
            case Task():
                self._told(event)
            case TaskUpdated(key, state, report):
                if task := self.tasks.get(key):
                    self._told(task.told(state, report))
            case AgentSummary(id):
                self.agents[id] = event
                self._forget_kept(id)
                self._fill(task for task in self.tasks.values() if task.agent_id == id)
            case AgentGone(id):
                self.agents.pop(id, None)
                self._forget_kept(id)
            case FrameworkSummary(id):
                self.frameworks[id] = event
                self._fill(task for task in self.tasks.values() if task.framework_id == id)
            case FrameworkGone(id):
                self.frameworks.pop(id, None)
                for key in [key for key in self.tasks if key[0] == id]:
                    self._set(key, None)

    def _begin(self, snapshot: Snapshot) -> None:
        kept = {task.key: task for task in self.tasks.values() if task.agent_id in snapshot.recovered}
        theirs = {framework_id for framework_id, _ in kept} & self.frameworks.keys()
        away = snapshot.recovered & self.agents.keys()
        self.agents = {each: replace(self.agents[each], active=False) for each in away}
        self.agents |= {agent.id: agent for agent in snapshot.agents}
        self.frameworks = {each: self.frameworks[each] for each in theirs} | {
            one.id: one for one in snapshot.frameworks
        }
        for key in self.tasks.keys() - kept.keys():
            self._set(key, None)
        self._kept = set(kept)
        for task in snapshot.tasks:
            self._told(task)

    def _told(self, task: Task) -> None:
        """By the present master."""
        self._kept.discard(task.key)
        self._set(task.key, None if task.state.terminal else self._filled(task))

    def _forget_kept(self, agent_id: str) -> None:
        for key in [key for key in self._kept if self.tasks[key].agent_id == agent_id]:
            self._set(key, None)

    def _fill(self, tasks: Iterable[Task]) -> None:
        for task in list(tasks):
            self._set(task.key, self._filled(task))

    def _filled(self, task: Task) -> Task:
        agent, framework = self.agents.get(task.agent_id), self.frameworks.get(task.framework_id)
        return replace(
            task,
            framework=framework.name if framework else task.framework,
            role=task.role or (framework.roles[0] if framework and len(framework.roles) == 1 else ""),
            host=agent.hostname if agent else task.host,
            host_address=agent.address if agent else task.host_address,
        )

    def _set(self, key: TaskKey, task: Task | None) -> None:
        self._before.setdefault(key, self.tasks.get(key))
        if task is None:
            self.tasks.pop(key, None)
            self._kept.discard(key)
        else:
            self.tasks[key] = task
