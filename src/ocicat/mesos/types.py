"""What users of the Mesos clients say and hear: what to run, on which network, and what became of it.

1. PURE, frozen, free of the wire's shapes (those are `ocicat.mesos.wire`).
2. A `TaskSpec` that `problem_of` finds nothing wrong with is one Mesos accepts, resources and network permitting.

Labels and environments are mappings because that is what they are: free names to free text.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import ip_address

from ocicat.model.base import Struct, replace


class TaskState(StrEnum):
    """Mesos's own names. A state of a newer Mesos reads as UNKNOWN."""

    STAGING = "TASK_STAGING"
    STARTING = "TASK_STARTING"
    RUNNING = "TASK_RUNNING"
    KILLING = "TASK_KILLING"
    FINISHED = "TASK_FINISHED"
    FAILED = "TASK_FAILED"
    KILLED = "TASK_KILLED"
    ERROR = "TASK_ERROR"
    LOST = "TASK_LOST"
    DROPPED = "TASK_DROPPED"
    GONE = "TASK_GONE"
    GONE_BY_OPERATOR = "TASK_GONE_BY_OPERATOR"
    UNREACHABLE = "TASK_UNREACHABLE"
    UNKNOWN = "TASK_UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> TaskState:
        return cls.UNKNOWN

    @property
    def terminal(self) -> bool:
        """Whether nothing comes after it. UNREACHABLE and UNKNOWN may still turn into RUNNING."""
        return self in _TERMINAL

    @property
    def short(self) -> str:
        """For people: "running"."""
        return self.value.removeprefix("TASK_").lower()


_TERMINAL = frozenset(
    {
        TaskState.FINISHED,
        TaskState.FAILED,
        TaskState.KILLED,
        TaskState.ERROR,
        TaskState.LOST,
        TaskState.DROPPED,
        TaskState.GONE,
        TaskState.GONE_BY_OPERATOR,
    }
)


class PortMapping(Struct, frozen=True):
    """A port of the host that leads to a port of the container."""

    host_port: int
    container_port: int
    protocol: str = "tcp"


class PortRange(Struct, frozen=True):
    """Ports of a host, both ends included."""

    first: int
    last: int

    def numbers(self) -> range:
        return range(self.first, self.last + 1)


class DiscoveryPort(Struct, frozen=True):
    """A port at which a task can be found. "" is what its framework left out."""

    number: int
    name: str = ""
    protocol: str = ""  # "tcp", "udp"
    visibility: str = ""  # that of the task, where it has none of its own
    labels: dict[str, str] = {}


class Discovery(Struct, frozen=True):
    """How a framework wants a task to be found (Mesos's DiscoveryInfo). Who should is FRAMEWORK, CLUSTER or EXTERNAL."""

    visibility: str = "FRAMEWORK"
    name: str = ""
    environment: str = ""
    location: str = ""
    version: str = ""
    ports: tuple[DiscoveryPort, ...] = ()
    labels: dict[str, str] = {}


class NetworkRequest(Struct, frozen=True):
    """A network to join. No `ip_addresses`: the network chooses one; "" among them is one that it chooses."""

    name: str
    groups: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    ip_addresses: tuple[str, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()


class HostPort(Struct, frozen=True):
    """A port of the host that a task needs for itself, out of the agent's resource `ports`; 0 is any."""

    number: int = 0
    name: str = ""


class HealthCheck(Struct, frozen=True, kw_only=True):
    """What the executor asks the task, from within its container. `kind`: "COMMAND", "HTTP" or "TCP".

    `port_index` of 0 or more: the port is the one that the task got for this entry of its `host_ports`.
    """

    kind: str
    command: str = ""
    port: int = 0
    port_index: int = -1
    path: str = "/"
    scheme: str = "http"
    delay_s: float = 15.0
    interval_s: float = 10.0
    timeout_s: float = 20.0
    grace_s: float = 10.0
    failures: int = 3  # in a row, after which the executor ends the task


class Fetch(Struct, frozen=True):
    """A file that Mesos puts into the sandbox before the task starts."""

    uri: str
    executable: bool = False
    extract: bool = True
    cache: bool = False
    output_file: str = ""


class Image(Struct, frozen=True):
    """What the container's file system is made from. `engine`: "MESOS" or "DOCKER", the containerizer that does it."""

    name: str
    engine: str = "MESOS"
    force_pull: bool = False
    privileged: bool = False
    parameters: tuple[tuple[str, str], ...] = ()  # of the command line of docker


class Constraint(Struct, frozen=True):
    """Where a task may go, by one of the agent's attributes (or "hostname"). `value` "" is none."""

    field: str
    operator: str  # UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE or MAX_PER
    value: str = ""


class ExecutorSpec(Struct, frozen=True, kw_only=True):
    """Who runs tasks in place of Mesos's own command executor: a program of the framework's, or Mesos's default executor (no
    `command`), which runs groups. The container and its `networks` are the executor's; of a group, tasks that name no network of
    their own share them."""

    command: str | tuple[str, ...] = ()
    networks: tuple[NetworkRequest, ...] = ()
    container_hostname: str = ""  # "" is the container's id
    environment: dict[str, str] = {}
    cpus: float = 0.1
    mem_mb: float = 32.0
    disk_mb: float = 32.0  # the default executor must have some
    image: Image | None = None


class TaskSpec(Struct, frozen=True):
    """A command to run somewhere. Without `network` it shares the network of its host."""

    name: str
    command: str | tuple[str, ...]  # text is run by /bin/sh -c, a tuple is executed as it stands; () is the image's own
    cpus: float = 0.1
    mem_mb: float = 32.0
    network: NetworkRequest | None = None
    labels: dict[str, str] = {}
    hostname: str = ""  # only on the Mesos agent of this host name; "" is any
    user: str = ""  # "" is the framework's
    environment: dict[str, str] = {}
    further_networks: tuple[NetworkRequest, ...] = ()  # beside `network`, in the order of the container's interfaces
    container_hostname: str = ""  # "" is the container's id
    disk_mb: float = 0.0
    host_ports: tuple[HostPort, ...] = ()  # the first of them are those of the networks' port mappings, in their order
    discovery: Discovery | None = None
    health_check: HealthCheck | None = None
    kill_grace_s: float | None = None  # between asking it to end and making it; None: the executor decides
    fetch: tuple[Fetch, ...] = ()
    image: Image | None = None
    constraints: tuple[Constraint, ...] = ()
    kin: str = ""  # constraints that compare tasks compare those that have the same
    executor: ExecutorSpec | None = None  # a program of the framework's that runs this task; it gets no `command`

    @property
    def networks(self) -> tuple[NetworkRequest, ...]:
        return (self.network, *self.further_networks) if self.network else ()


class NetworkStatus(Struct, frozen=True):
    """One network a container has joined, as Mesos reports it."""

    name: str
    groups: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    ip_addresses: tuple[str, ...] = ()


class TaskStatus(Struct, frozen=True):
    """What became of a task: one report of Mesos, or of the scheduler itself for a task that never got that far."""

    task_id: str
    state: TaskState
    reason: str = ""
    source: str = ""
    message: str = ""
    agent_id: str = ""
    container_id: str = ""  # a nested container is "parent.child", as CNI_CONTAINERID names it
    networks: tuple[NetworkStatus, ...] = ()
    timestamp: float = 0.0  # seconds since the epoch
    healthy: bool | None = None  # None: its executor says nothing of it

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """Those of all networks, in their order."""
        return tuple(address for network in self.networks for address in network.ip_addresses)


class Offer(Struct, frozen=True):
    """Unreserved resources of one agent, ours until accepted, declined or rescinded."""

    id: str
    agent_id: str
    hostname: str
    role: str
    cpus: float
    mem_mb: float
    disk_mb: float = 0.0
    ports: tuple[PortRange, ...] = ()
    attributes: dict[str, str] = {}


def problem_of(spec: TaskSpec) -> str:
    """What Mesos would not accept in `spec`; "" when nothing."""
    checks = (
        (not spec.name, "the task has no name"),
        (not spec.command and not spec.image and not spec.executor, "the command is empty"),
        (spec.cpus < 0.01, f"cpus is {spec.cpus:g}, Mesos gives out 0.01 at least"),
        (spec.mem_mb <= 0, f"mem_mb is {spec.mem_mb:g}, it must be more than 0"),
    )
    found = next((text for wrong, text in checks if wrong), "")
    executors = spec.executor.networks if spec.executor else ()
    least_port = 0 if spec.host_ports else 1  # 0 is one of those that it gets
    problems = (_network_problem(network, least_port) for network in (*spec.networks, *executors))
    return found or next(filter(None, problems), "")


def problem_of_group(specs: Sequence[TaskSpec], executor: ExecutorSpec) -> str:
    """What Mesos would not accept in a group; "" when nothing."""
    checks = (
        (not specs, "it has no tasks"),
        (bool(executor.command), "Mesos's default executor runs groups, and no other"),
        (any(spec.executor for spec in specs), "its tasks cannot have executors of their own"),
        (len({spec.hostname for spec in specs}) > 1, "its tasks name different hosts"),
        (any(spec.constraints for spec in specs[1:]), "constraints belong to its first task"),
    )
    found = next((text for wrong, text in checks if wrong), "")
    named = ((spec.name, problem_of(replace(spec, executor=executor))) for spec in specs)
    return found or next((f"task {name!r}: {problem}" for name, problem in named if problem), "")


def _network_problem(network: NetworkRequest, least_port: int) -> str:
    if not network.name:
        return "the network has no name: Mesos would ignore it and put the task on the host's network"
    for address in filter(None, network.ip_addresses):
        try:
            ip_address(address)
        except ValueError:
            return f"{address!r} is not an IP address"
    ports = (port for m in network.port_mappings for port in (m.host_port, m.container_port))
    return next((f"port {port} is not between 1 and 65535" for port in ports if not least_port <= port < 65536), "")
