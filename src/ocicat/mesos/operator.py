"""What the Mesos master and agents know: a read-only client of their v1 operator API.

1. Nothing here changes anything in Mesos.
2. Any master will do: those that do not lead redirect, those that do not answer are passed over.
3. Only what is alive is told: completed tasks and removed agents are left out. What Mesos has no value for is "" or ().
4. Every answer comes in `timeout_s` or not at all (Unavailable).

Source of names: apache/mesos 1.11.0, include/mesos/v1/{master/master,agent/agent}.proto.
"""

from __future__ import annotations

from ocicat.errors import Refused, Unavailable, UserError
from ocicat.mesos import wire
from ocicat.mesos.http import Request, fetch
from ocicat.mesos.masters import Endpoint, parse_master
from ocicat.mesos.types import NetworkStatus, TaskState, TaskStatus
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

_PATH = "/api/v1"

# --- what is told ------------------------------------------------------------------------------------------------


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


class TaskSummary(Struct, frozen=True):
    """`executor_id` is the task's own id for a command task, as Mesos has it. `status` is the newest."""

    task_id: str
    name: str
    framework_id: str
    executor_id: str
    agent_id: str
    state: TaskState
    labels: dict[str, str]
    status: TaskStatus | None


class ContainerSummary(Struct, frozen=True):
    """A container on an agent. A standalone one has neither framework nor executor; a nested one is "parent.child"."""

    container_id: str
    framework_id: str
    executor_id: str
    executor_name: str
    pid: int
    networks: tuple[NetworkStatus, ...]


class ClusterState(Struct, frozen=True):
    """What the leading master knew at one moment."""

    agents: tuple[AgentSummary, ...]
    frameworks: tuple[FrameworkSummary, ...]
    tasks: tuple[TaskSummary, ...]


class AgentState(Struct, frozen=True):
    """What an agent knew at one moment."""

    frameworks: tuple[FrameworkSummary, ...]
    tasks: tuple[TaskSummary, ...]


# --- as the wire has it ------------------------------------------------------------------------------------------


class _AgentInfo(Struct, frozen=True):
    id: wire.Value = wire.Value()
    hostname: str = ""
    port: int = 5051


class _Agent(Struct, frozen=True):
    agent_info: _AgentInfo
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


class _FrameworkInfo(Struct, frozen=True):
    id: wire.Value = wire.Value()
    name: str = ""
    role: str = ""
    roles: tuple[str, ...] = ()


class _Framework(Struct, frozen=True):
    framework_info: _FrameworkInfo
    active: bool = True  # agents do not tell: what they have is active
    connected: bool = True

    def summary(self) -> FrameworkSummary:
        info = self.framework_info
        roles = info.roles or ((info.role,) if info.role else ())
        return FrameworkSummary(info.id.value, info.name, self.active, self.connected, roles)


class _Task(Struct, frozen=True):
    task_id: wire.Value
    name: str = ""
    framework_id: wire.Value = wire.Value()
    executor_id: wire.Value = wire.Value()
    agent_id: wire.Value = wire.Value()
    state: TaskState = TaskState.UNKNOWN
    labels: wire.Labels | None = None
    statuses: tuple[wire.Status, ...] = ()

    def summary(self) -> TaskSummary:
        return TaskSummary(
            task_id=self.task_id.value,
            name=self.name,
            framework_id=self.framework_id.value,
            executor_id=self.executor_id.value or self.task_id.value,
            agent_id=self.agent_id.value,
            state=self.state,
            labels=wire.label_map(self.labels),
            status=wire.status_of(self.statuses[-1]) if self.statuses else None,
        )


class _Container(Struct, frozen=True):
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


class _Agents(Struct, frozen=True):
    agents: tuple[_Agent, ...] = ()

    def summaries(self) -> tuple[AgentSummary, ...]:
        return tuple(agent.summary() for agent in self.agents)


class _Frameworks(Struct, frozen=True):
    frameworks: tuple[_Framework, ...] = ()

    def summaries(self) -> tuple[FrameworkSummary, ...]:
        return tuple(framework.summary() for framework in self.frameworks)


class _Tasks(Struct, frozen=True):
    """The master says pending, tasks and unreachable; an agent pending, queued and launched."""

    tasks: tuple[_Task, ...] = ()
    unreachable_tasks: tuple[_Task, ...] = ()
    queued_tasks: tuple[_Task, ...] = ()
    launched_tasks: tuple[_Task, ...] = ()

    def summaries(self) -> tuple[TaskSummary, ...]:
        alive = (*self.tasks, *self.unreachable_tasks, *self.queued_tasks, *self.launched_tasks)
        return tuple(task.summary() for task in alive if not task.state.terminal)


class _Containers(Struct, frozen=True):
    containers: tuple[_Container, ...] = ()


class _State(Struct, frozen=True):
    get_agents: _Agents = _Agents()
    get_frameworks: _Frameworks = _Frameworks()
    get_tasks: _Tasks = _Tasks()


class _Response(Struct, frozen=True):
    """A union: the member of the type asked for is set."""

    get_agents: _Agents = _Agents()
    get_frameworks: _Frameworks = _Frameworks()
    get_tasks: _Tasks = _Tasks()
    get_containers: _Containers = _Containers()
    get_state: _State = _State()


class _GetContainers(Struct, frozen=True):
    show_nested: bool = True
    show_standalone: bool = True


class _Question(Struct, frozen=True, omit_defaults=True):
    type: str
    get_containers: _GetContainers | None = None


# --- the clients -------------------------------------------------------------------------------------------------


class MasterClient:
    """The cluster, as the leading master sees it. `master` as for `parse_master`."""

    def __init__(self, master: str, *, timeout_s: float = 5.0) -> None:
        self._masters = parse_master(master)
        self._timeout_s = timeout_s

    async def agents(self) -> tuple[AgentSummary, ...]:
        return (await self._ask("GET_AGENTS")).get_agents.summaries()

    async def frameworks(self) -> tuple[FrameworkSummary, ...]:
        return (await self._ask("GET_FRAMEWORKS")).get_frameworks.summaries()

    async def tasks(self) -> tuple[TaskSummary, ...]:
        return (await self._ask("GET_TASKS")).get_tasks.summaries()

    async def state(self) -> ClusterState:
        state = (await self._ask("GET_STATE")).get_state
        return ClusterState(state.get_agents.summaries(), state.get_frameworks.summaries(), state.get_tasks.summaries())

    async def _ask(self, kind: str) -> _Response:
        complaints: list[str] = []
        for endpoint in self._masters:
            try:
                return await _ask(endpoint, _Question(kind), self._timeout_s)
            except Unavailable as error:
                complaints.append(error.message)
        raise Unavailable("; ".join(complaints))


class AgentClient:
    """One agent, as it sees itself."""

    def __init__(self, host: str, port: int = 5051, *, timeout_s: float = 5.0) -> None:
        self._endpoint = Endpoint(host, port)
        self._timeout_s = timeout_s

    async def containers(self) -> tuple[ContainerSummary, ...]:
        """All of them: of executors, nested and standalone."""
        question = _Question("GET_CONTAINERS", _GetContainers())
        answer = await _ask(self._endpoint, question, self._timeout_s)
        return tuple(container.summary() for container in answer.get_containers.containers)

    async def tasks(self) -> tuple[TaskSummary, ...]:
        return (await _ask(self._endpoint, _Question("GET_TASKS"), self._timeout_s)).get_tasks.summaries()

    async def state(self) -> AgentState:
        state = (await _ask(self._endpoint, _Question("GET_STATE"), self._timeout_s)).get_state
        return AgentState(state.get_frameworks.summaries(), state.get_tasks.summaries())


async def _ask(endpoint: Endpoint, question: _Question, timeout_s: float) -> _Response:
    body = await fetch(Request(endpoint, _PATH, "POST", encode_json(question)), timeout_s)
    try:
        return decode_json(_Response, body, what=f"{question.type} of {endpoint}")
    except UserError as error:
        raise Refused(error.message) from error
