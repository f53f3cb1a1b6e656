"""What users of the Mesos clients say and hear: what to run, on which network, and what became of it.

1. PURE, frozen, free of the wire's shapes (those are `ocicat.mesos.wire`).
2. A `TaskSpec` that `problem_of` finds nothing wrong with is one Mesos accepts, resources and network permitting.

Labels and environments are mappings because that is what they are: free names to free text.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address

from ocicat.model.base import Struct


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


class NetworkRequest(Struct, frozen=True):
    """A network to join. No `ip_addresses`: the network chooses one."""

    name: str
    groups: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    ip_addresses: tuple[str, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()


class TaskSpec(Struct, frozen=True):
    """A command to run somewhere. Without `network` it shares the network of its host."""

    name: str
    command: str | tuple[str, ...]  # text is run by /bin/sh -c, a tuple is executed as it stands
    cpus: float = 0.1
    mem_mb: float = 32.0
    network: NetworkRequest | None = None
    labels: dict[str, str] = {}
    hostname: str = ""  # only on the Mesos agent of this host name; "" is any
    user: str = ""  # "" is the framework's
    environment: dict[str, str] = {}


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


def problem_of(spec: TaskSpec) -> str:
    """What Mesos would not accept in `spec`; "" when nothing."""
    checks = (
        (not spec.name, "the task has no name"),
        (not spec.command, "the command is empty"),
        (spec.cpus < 0.01, f"cpus is {spec.cpus:g}, Mesos gives out 0.01 at least"),
        (spec.mem_mb <= 0, f"mem_mb is {spec.mem_mb:g}, it must be more than 0"),
    )
    found = next((text for wrong, text in checks if wrong), "")
    return found or (_network_problem(spec.network) if spec.network else "")


def _network_problem(network: NetworkRequest) -> str:
    if not network.name:
        return "the network has no name: Mesos would ignore it and put the task on the host's network"
    for address in network.ip_addresses:
        try:
            ip_address(address)
        except ValueError:
            return f"{address!r} is not an IP address"
    ports = (port for m in network.port_mappings for port in (m.host_port, m.container_port))
    return next((f"port {port} is not between 1 and 65535" for port in ports if not 0 < port < 65536), "")
