"""Mesos's v1 JSON as records, and the way between it and `ocicat.mesos.types`.

Source of names and numbers: apache/mesos 1.11.0, include/mesos/v1/{mesos,scheduler,master,agent}.proto; protobuf as Mesos's own
JSON writes it (enum names, base64 for bytes, absent means unset).

1. PURE.
2. Decoding skips what it does not know and needs nothing that Mesos calls optional: a newer or older Mesos is understood.
3. What is encoded holds no empty field: absent and empty differ in protobuf ("network_infos" of an old master, say).
"""

from __future__ import annotations

from ocicat.mesos.types import (
    Discovery,
    DiscoveryPort,
    NetworkStatus,
    Offer,
    PortRange,
    TaskState,
    TaskStatus,
)
from ocicat.mesos.wire_launch import (
    Attribute,
    DockerInfo,
    HealthCheckInfo,
    KillPolicy,
    MesosInfo,
    Uri,
)
from ocicat.model.base import Struct


class Value(Struct, frozen=True):
    """Every id of Mesos: {"value": "..."}."""

    value: str = ""


class ContainerId(Struct, frozen=True):
    value: str = ""
    parent: ContainerId | None = None

    def __str__(self) -> str:
        return f"{self.parent}.{self.value}" if self.parent else self.value


class Scalar(Struct, frozen=True):
    value: float


class Range(Struct, frozen=True):
    begin: int
    end: int


class Ranges(Struct, frozen=True):
    range: tuple[Range, ...] = ()


class Allocation(Struct, frozen=True):
    role: str = "*"


class Present(Struct, frozen=True):
    """A message of which only its being there matters."""


class Resource(Struct, frozen=True, omit_defaults=True):
    name: str
    type: str = ""
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    role: str = "*"
    allocation_info: Allocation | None = None
    reservation: Present | None = None
    reservations: tuple[Present, ...] = ()
    revocable: Present | None = None

    @property
    def for_everyone(self) -> bool:
        """Unreserved, and not to be taken away again."""
        return self.role == "*" and not self.reservation and not self.reservations and self.revocable is None


class Label(Struct, frozen=True):
    key: str
    value: str = ""


class Labels(Struct, frozen=True):
    labels: tuple[Label, ...] = ()


class IpAddress(Struct, frozen=True, omit_defaults=True):
    ip_address: str = ""
    protocol: str = ""  # Mesos reads nothing as IPv4


class PortMap(Struct, frozen=True):
    host_port: int
    container_port: int
    protocol: str = "tcp"


class NetworkInfo(Struct, frozen=True, omit_defaults=True):
    name: str = ""
    groups: tuple[str, ...] = ()
    labels: Labels | None = None
    ip_addresses: tuple[IpAddress, ...] = ()
    port_mappings: tuple[PortMap, ...] = ()


class ContainerInfo(Struct, frozen=True, omit_defaults=True, kw_only=True):
    type: str
    mesos: MesosInfo | None = None
    docker: DockerInfo | None = None
    hostname: str = ""
    network_infos: tuple[NetworkInfo, ...] = ()


class Variable(Struct, frozen=True):
    name: str
    value: str


class Environment(Struct, frozen=True):
    variables: tuple[Variable, ...]


class CommandInfo(Struct, frozen=True, omit_defaults=True):
    value: str = ""
    shell: bool = True
    arguments: tuple[str, ...] = ()
    user: str = ""
    environment: Environment | None = None
    uris: tuple[Uri, ...] = ()


class Port(Struct, frozen=True, omit_defaults=True):
    number: int
    name: str = ""
    protocol: str = ""
    visibility: str = ""
    labels: Labels | None = None


class Ports(Struct, frozen=True):
    ports: tuple[Port, ...] = ()


class DiscoveryInfo(Struct, frozen=True, omit_defaults=True):
    visibility: str
    name: str = ""
    environment: str = ""
    location: str = ""
    version: str = ""
    ports: Ports | None = None
    labels: Labels | None = None


class ExecutorInfo(Struct, frozen=True, omit_defaults=True, kw_only=True):
    type: str  # DEFAULT or CUSTOM
    executor_id: Value
    framework_id: Value
    command: CommandInfo | None = None
    container: ContainerInfo | None = None
    resources: tuple[Resource, ...] = ()


class TaskInfo(Struct, frozen=True, omit_defaults=True):
    name: str
    task_id: Value
    agent_id: Value
    resources: tuple[Resource, ...]
    command: CommandInfo | None = None
    executor: ExecutorInfo | None = None
    container: ContainerInfo | None = None
    labels: Labels | None = None
    health_check: HealthCheckInfo | None = None
    kill_policy: KillPolicy | None = None
    discovery: DiscoveryInfo | None = None


class ContainerStatus(Struct, frozen=True):
    container_id: ContainerId | None = None
    network_infos: tuple[NetworkInfo, ...] = ()
    executor_pid: int = 0


class Status(Struct, frozen=True):
    """mesos.v1.TaskStatus; `uuid` asks for an acknowledgement."""

    task_id: Value
    state: TaskState
    reason: str = ""
    source: str = ""
    message: str = ""
    agent_id: Value = Value()
    container_status: ContainerStatus | None = None
    timestamp: float = 0.0
    uuid: str = ""
    healthy: bool | None = None
    labels: Labels | None = None


class RawOffer(Struct, frozen=True):
    id: Value
    agent_id: Value
    hostname: str = ""
    allocation_info: Allocation = Allocation()
    resources: tuple[Resource, ...] = ()
    attributes: tuple[Attribute, ...] = ()


# --- the scheduler API -------------------------------------------------------------------------------------------


class Capability(Struct, frozen=True):
    type: str


class FrameworkInfo(Struct, frozen=True, omit_defaults=True):
    user: str
    name: str
    roles: tuple[str, ...]
    failover_timeout: float  # seconds
    checkpoint: bool
    capabilities: tuple[Capability, ...]
    id: Value | None = None


class Subscribe(Struct, frozen=True, omit_defaults=True):
    framework_info: FrameworkInfo
    suppressed_roles: tuple[str, ...] = ()


class Filters(Struct, frozen=True):
    refuse_seconds: float


class Launch(Struct, frozen=True):
    task_infos: tuple[TaskInfo, ...]


class TaskGroup(Struct, frozen=True):
    tasks: tuple[TaskInfo, ...]


class LaunchGroup(Struct, frozen=True):
    executor: ExecutorInfo
    task_group: TaskGroup


class Operation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    launch: Launch | None = None
    launch_group: LaunchGroup | None = None
    type: str

    @property
    def task_infos(self) -> tuple[TaskInfo, ...]:
        if self.launch_group:
            return self.launch_group.task_group.tasks
        return self.launch.task_infos if self.launch else ()


class Accept(Struct, frozen=True):
    offer_ids: tuple[Value, ...]
    operations: tuple[Operation, ...]
    filters: Filters


class Decline(Struct, frozen=True):
    offer_ids: tuple[Value, ...]
    filters: Filters


class Kill(Struct, frozen=True, omit_defaults=True):
    task_id: Value
    agent_id: Value | None = None


class Acknowledge(Struct, frozen=True):
    agent_id: Value
    task_id: Value
    uuid: str


class KnownTask(Struct, frozen=True, omit_defaults=True):
    task_id: Value
    agent_id: Value | None = None


class Reconcile(Struct, frozen=True):
    tasks: tuple[KnownTask, ...]


class Call(Struct, frozen=True, omit_defaults=True):
    """A union: `type` names the one member that is set, or none is."""

    type: str
    framework_id: Value | None = None
    subscribe: Subscribe | None = None
    accept: Accept | None = None
    decline: Decline | None = None
    kill: Kill | None = None
    acknowledge: Acknowledge | None = None
    reconcile: Reconcile | None = None


class Subscribed(Struct, frozen=True):
    framework_id: Value
    heartbeat_interval_seconds: float = 15.0


class Offers(Struct, frozen=True):
    offers: tuple[RawOffer, ...] = ()


class Update(Struct, frozen=True):
    status: Status


class Failed(Struct, frozen=True):
    message: str = ""


class Event(Struct, frozen=True):
    """A union like `Call`; of types that are not here only `type` is read."""

    type: str
    subscribed: Subscribed | None = None
    offers: Offers | None = None
    update: Update | None = None
    error: Failed | None = None


# --- to the wire -------------------------------------------------------------------------------------------------


def labels_of(pairs: dict[str, str]) -> Labels | None:
    """None for no labels at all, so that nothing is written."""
    return Labels(tuple(Label(key, value) for key, value in pairs.items())) if pairs else None


# --- from the wire -----------------------------------------------------------------------------------------------


def offer_of(raw: RawOffer) -> Offer:
    """What anybody may use of it."""
    return Offer(
        id=raw.id.value,
        agent_id=raw.agent_id.value,
        hostname=raw.hostname,
        role=raw.allocation_info.role,
        cpus=_total(raw.resources, "cpus"),
        mem_mb=_total(raw.resources, "mem"),
        disk_mb=_total(raw.resources, "disk"),
        ports=port_ranges(tuple(resource for resource in raw.resources if resource.for_everyone)),
        attributes={attribute.name: attribute.words for attribute in raw.attributes},
    )


def _total(resources: tuple[Resource, ...], name: str) -> float:
    return sum(r.scalar.value for r in resources if r.name == name and r.for_everyone and r.scalar)


def label_map(labels: Labels | None) -> dict[str, str]:
    """A key that comes twice keeps its last value, as with Mesos's own tools."""
    return {label.key: label.value for label in labels.labels} if labels else {}


def network_status(info: NetworkInfo) -> NetworkStatus:
    """What a container has of one network."""
    addresses = tuple(address.ip_address for address in info.ip_addresses if address.ip_address)
    return NetworkStatus(info.name, info.groups, label_map(info.labels), addresses)


def port_ranges(resources: tuple[Resource, ...]) -> tuple[PortRange, ...]:
    """The ports of the host among resources."""
    named = (resource.ranges for resource in resources if resource.name == "ports" and resource.ranges)
    return tuple(PortRange(one.begin, one.end) for ranges in named for one in ranges.range)


def discovery_of(info: DiscoveryInfo) -> Discovery:
    """How a task wants to be found."""
    return Discovery(
        visibility=info.visibility,
        name=info.name,
        environment=info.environment,
        location=info.location,
        version=info.version,
        ports=tuple(
            DiscoveryPort(port.number, port.name, port.protocol, port.visibility, label_map(port.labels))
            for port in (info.ports.ports if info.ports else ())
        ),
        labels=label_map(info.labels),
    )


def status_of(status: Status) -> TaskStatus:
    """One report, without the machinery of its delivery."""
    container = status.container_status or ContainerStatus()
    return TaskStatus(
        task_id=status.task_id.value,
        state=status.state,
        reason=status.reason,
        source=status.source,
        message=status.message,
        agent_id=status.agent_id.value,
        container_id=str(container.container_id or ""),
        networks=tuple(network_status(info) for info in container.network_infos),
        timestamp=status.timestamp,
        healthy=status.healthy,
    )
