"""The v1 operator API of Mesos masters and agents as records, and the way from it to `ocicat.mesos.tasks`.

PURE. Decoding skips what it does not know and needs nothing that Mesos calls optional: a newer or older Mesos is understood.

Source of names: apache/mesos 1.11.0, include/mesos/v1/{mesos,master/master,agent/agent}.proto.
"""

from __future__ import annotations

from ocicat.mesos import wire
from ocicat.mesos.tasks import (
    AgentGone,
    AgentSummary,
    Event,
    FrameworkGone,
    FrameworkSummary,
    Report,
    Snapshot,
    Task,
    TaskUpdated,
)
from ocicat.mesos.types import NetworkStatus, TaskState
from ocicat.model.base import Struct


class ContainerSummary(Struct, frozen=True):
    """A container on an agent. A standalone one has neither framework nor executor; a nested one is "parent.child"."""

    container_id: str
    framework_id: str
    executor_id: str
    executor_name: str
    pid: int
    networks: tuple[NetworkStatus, ...]


class AgentInfo(Struct, frozen=True):
    id: wire.Value = wire.Value()
    hostname: str = ""
    port: int = 5051


class Agent(Struct, frozen=True):
    agent_info: AgentInfo
    active: bool = False
    version: str = ""
    pid: str = ""  # "slave(1)@10.0.0.2:5051"

    def summary(self) -> AgentSummary:
        host, _, port = self.pid.rpartition("@")[2].rpartition(":")
        return AgentSummary(
            id=self.agent_info.id.value,
            hostname=self.agent_info.hostname,
            address=host.strip("[]"),
            port=int(port) if port.isdecimal() else self.agent_info.port,
            active=self.active,
            version=self.version,
        )


class FrameworkInfo(Struct, frozen=True):
    id: wire.Value = wire.Value()
    name: str = ""
    role: str = ""
    roles: tuple[str, ...] = ()
    hostname: str = ""
    webui_url: str = ""


class Framework(Struct, frozen=True):
    framework_info: FrameworkInfo
    active: bool = True  # agents do not tell: what they have is active
    connected: bool = True

    def summary(self) -> FrameworkSummary:
        info = self.framework_info
        roles = info.roles or ((info.role,) if info.role else ())
        return FrameworkSummary(
            info.id.value, info.name, self.active, self.connected, roles, info.hostname, info.webui_url
        )


class RawTask(Struct, frozen=True):
    task_id: wire.Value
    name: str = ""
    framework_id: wire.Value = wire.Value()
    executor_id: wire.Value = wire.Value()
    agent_id: wire.Value = wire.Value()
    state: TaskState = TaskState.UNKNOWN
    resources: tuple[wire.Resource, ...] = ()
    labels: wire.Labels | None = None
    discovery: wire.DiscoveryInfo | None = None
    health_check: wire.Present | None = None
    statuses: tuple[wire.Status, ...] = ()

    def task(self) -> Task:
        allocated = (one.allocation_info.role for one in self.resources if one.allocation_info)
        task = Task(
            id=self.task_id.value,
            name=self.name,
            framework_id=self.framework_id.value,
            role=next(allocated, ""),
            executor_id=self.executor_id.value or self.task_id.value,
            command=not self.executor_id.value,
            agent_id=self.agent_id.value,
            labels=wire.label_map(self.labels),
            discovery=wire.discovery_of(self.discovery) if self.discovery else None,
            ports=wire.port_ranges(self.resources),
            health_checked=self.health_check is not None,
        )
        for status in self.statuses:
            task = task.told(status.state, report_of(status))
        return task.told(self.state, Report())


class Container(Struct, frozen=True):
    container_id: wire.ContainerId
    framework_id: wire.Value = wire.Value()
    executor_id: wire.Value = wire.Value()
    executor_name: str = ""
    container_status: wire.ContainerStatus = wire.ContainerStatus()

    def summary(self) -> ContainerSummary:
        return ContainerSummary(
            container_id=str(self.container_id),
            framework_id=self.framework_id.value,
            executor_id=self.executor_id.value,
            executor_name=self.executor_name,
            pid=self.container_status.executor_pid,
            networks=tuple(wire.network_status(info) for info in self.container_status.network_infos),
        )


class Agents(Struct, frozen=True):
    agents: tuple[Agent, ...] = ()
    recovered_agents: tuple[AgentInfo, ...] = ()

    def summaries(self) -> tuple[AgentSummary, ...]:
        return tuple(agent.summary() for agent in self.agents)


class Frameworks(Struct, frozen=True):
    frameworks: tuple[Framework, ...] = ()

    def summaries(self) -> tuple[FrameworkSummary, ...]:
        return tuple(framework.summary() for framework in self.frameworks)


class Tasks(Struct, frozen=True):
    """The master says pending, tasks and unreachable; an agent pending, queued and launched."""

    tasks: tuple[RawTask, ...] = ()
    unreachable_tasks: tuple[RawTask, ...] = ()
    queued_tasks: tuple[RawTask, ...] = ()
    launched_tasks: tuple[RawTask, ...] = ()

    def alive(self) -> tuple[Task, ...]:
        told = (*self.tasks, *self.unreachable_tasks, *self.queued_tasks, *self.launched_tasks)
        return tuple(task.task() for task in told if not task.state.terminal)


class Containers(Struct, frozen=True):
    containers: tuple[Container, ...] = ()


class State(Struct, frozen=True):
    get_agents: Agents = Agents()
    get_frameworks: Frameworks = Frameworks()
    get_tasks: Tasks = Tasks()

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.get_agents.summaries(),
            self.get_frameworks.summaries(),
            self.get_tasks.alive(),
            frozenset(agent.id.value for agent in self.get_agents.recovered_agents),
        )


class Response(Struct, frozen=True):
    """A union: the member of the type asked for is set."""

    get_agents: Agents = Agents()
    get_frameworks: Frameworks = Frameworks()
    get_tasks: Tasks = Tasks()
    get_containers: Containers = Containers()
    get_state: State = State()


class GetContainers(Struct, frozen=True):
    show_nested: bool = True
    show_standalone: bool = True


class Question(Struct, frozen=True, omit_defaults=True):
    type: str
    get_containers: GetContainers | None = None


# --- the master's event stream -----------------------------------------------------------------------------------


class Subscribed(Struct, frozen=True):
    get_state: State = State()
    heartbeat_interval_seconds: float = 15.0


class TaskAdded(Struct, frozen=True):
    task: RawTask


class RawTaskUpdated(Struct, frozen=True):
    framework_id: wire.Value
    status: wire.Status
    state: TaskState


class AgentAdded(Struct, frozen=True):
    agent: Agent


class AgentRemoved(Struct, frozen=True):
    agent_id: wire.Value


class FrameworkChanged(Struct, frozen=True):
    framework: Framework


class FrameworkRemoved(Struct, frozen=True):
    framework_info: FrameworkInfo


class RawEvent(Struct, frozen=True):
    """A union: the member named like the type is set. HEARTBEAT has none."""

    type: str
    subscribed: Subscribed | None = None
    task_added: TaskAdded | None = None
    task_updated: RawTaskUpdated | None = None
    agent_added: AgentAdded | None = None
    agent_removed: AgentRemoved | None = None
    framework_added: FrameworkChanged | None = None
    framework_updated: FrameworkChanged | None = None
    framework_removed: FrameworkRemoved | None = None

    def event(self) -> Event | None:
        """None for what changes nothing."""
        if self.subscribed:
            return self.subscribed.get_state.snapshot()
        if self.task_added:
            return self.task_added.task.task()
        if self.task_updated:
            return _updated(self.task_updated)
        if self.agent_added:
            return self.agent_added.agent.summary()
        if self.agent_removed:
            return AgentGone(self.agent_removed.agent_id.value)
        if changed := self.framework_added or self.framework_updated:
            return changed.framework.summary()
        return FrameworkGone(self.framework_removed.framework_info.id.value) if self.framework_removed else None


def _updated(update: RawTaskUpdated) -> TaskUpdated:
    key = update.framework_id.value, update.status.task_id.value
    return TaskUpdated(key, update.state, report_of(update.status))


def report_of(status: wire.Status) -> Report:
    """What a status says beside the state. Masters and agents make some of their own that say nothing more."""
    container = status.container_status
    return Report(
        container_id=str(container.container_id or "") if container else None,
        networks=tuple(wire.network_status(info) for info in container.network_infos) if container else None,
        healthy=status.healthy,
        labels=wire.label_map(status.labels) if status.labels else None,
    )
