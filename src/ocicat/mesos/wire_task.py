"""A `TaskSpec` as the TaskInfo that asks Mesos for it. PURE.

What is encoded holds no empty field: absent and empty differ in protobuf (`network_infos` of an old master, say).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from ocicat.mesos.types import Discovery, ExecutorSpec, NetworkRequest, Offer, TaskSpec
from ocicat.mesos.wire import (
    Allocation,
    CommandInfo,
    ContainerInfo,
    DiscoveryInfo,
    Environment,
    ExecutorInfo,
    IpAddress,
    NetworkInfo,
    Port,
    PortMap,
    Ports,
    Range,
    Ranges,
    Resource,
    Scalar,
    TaskInfo,
    Value,
    Variable,
    labels_of,
)
from ocicat.mesos.wire_launch import DOCKER_BRIDGE, docker_info, health_check_info, kill_policy, mesos_info, uris
from ocicat.model.base import replace


def network_info(request: NetworkRequest) -> NetworkInfo:
    """The NetworkInfo of Mesos 1.4 to 1.11 that asks for `request`."""
    return NetworkInfo(
        name=request.name,
        groups=request.groups,
        labels=labels_of(request.labels),
        ip_addresses=tuple(IpAddress(text, _protocol(text)) for text in request.ip_addresses),
        port_mappings=tuple(PortMap(m.host_port, m.container_port, m.protocol) for m in request.port_mappings),
    )


def _protocol(address: str) -> str:
    return "IPv6" if address and ip_address(address).version == 6 else ""


def task_info(spec: TaskSpec, task_id: str, offer: Offer) -> TaskInfo:
    """`spec` as a task that runs on the agent of `offer`, out of what it offers."""
    return TaskInfo(
        name=spec.name,
        task_id=Value(task_id),
        agent_id=Value(offer.agent_id),
        resources=_resources(spec, Allocation(offer.role)),
        command=_command_info(spec),
        container=container_info(spec),
        labels=labels_of(spec.labels),
        health_check=health_check_info(spec.health_check) if spec.health_check else None,
        kill_policy=kill_policy(spec.kill_grace_s),
        discovery=discovery_info(spec.discovery) if spec.discovery else None,
    )


def _resources(spec: TaskSpec, allocation: Allocation) -> tuple[Resource, ...]:
    scalars = (("cpus", spec.cpus), ("mem", spec.mem_mb), *((("disk", spec.disk_mb),) if spec.disk_mb else ()))
    taken = tuple(Resource(name, "SCALAR", Scalar(value), allocation_info=allocation) for name, value in scalars)
    if not spec.host_ports:
        return taken
    ports = Ranges(tuple(Range(port.number, port.number) for port in spec.host_ports))
    return (*taken, Resource("ports", "RANGES", ranges=ports, allocation_info=allocation))


def executor_info(spec: ExecutorSpec, executor_id: str, framework_id: str, offer: Offer) -> ExecutorInfo:
    """`spec` as what runs tasks on the agent of `offer`, out of what it offers."""
    own = TaskSpec(
        executor_id,
        spec.command,
        spec.cpus,
        spec.mem_mb,
        network=spec.networks[0] if spec.networks else None,
        further_networks=spec.networks[1:],
        environment=spec.environment,
        container_hostname=spec.container_hostname,
        disk_mb=spec.disk_mb,
        image=spec.image,
    )
    return ExecutorInfo(
        type="CUSTOM" if spec.command else "DEFAULT",
        executor_id=Value(executor_id),
        framework_id=Value(framework_id),
        command=_command_info(own) if spec.command else None,
        container=container_info(own),
        resources=_resources(own, Allocation(offer.role)),
    )


def container_info(spec: TaskSpec) -> ContainerInfo | None:
    """None where nothing is said of it: the Mesos agent's default container is taken then."""
    docker = spec.image is not None and spec.image.engine == "DOCKER"
    named = spec.networks if not docker else _of_docker(spec.networks)
    info = ContainerInfo(
        type="DOCKER" if docker else "MESOS",
        mesos=None if docker else mesos_info(spec.image),
        docker=docker_info(spec.image, spec.network) if docker and spec.image else None,
        hostname=spec.container_hostname,
        network_infos=tuple(map(network_info, named)),
    )
    return None if info == ContainerInfo(type="MESOS") else info


def _of_docker(networks: Sequence[NetworkRequest]) -> tuple[NetworkRequest, ...]:
    """Its ports are in DockerInfo, and its bridge has no name there."""
    return tuple(replace(network, port_mappings=()) for network in networks if network.name != DOCKER_BRIDGE)


def _command_info(spec: TaskSpec) -> CommandInfo:
    variables = tuple(Variable(name, value) for name, value in spec.environment.items())
    environment = Environment(variables) if variables else None
    common = CommandInfo(user=spec.user, environment=environment, uris=uris(spec.fetch))
    if isinstance(spec.command, str) and spec.command:
        return replace(common, value=spec.command)
    if not spec.command or (spec.image and spec.image.engine == "DOCKER"):
        return replace(common, shell=False, arguments=tuple(spec.command))  # for the image's own entry point
    # As in execve, the arguments start with the name the program is called by.
    return replace(common, value=spec.command[0], shell=False, arguments=tuple(spec.command))


def discovery_info(discovery: Discovery) -> DiscoveryInfo:
    """The way back is `discovery_of`."""
    ports = tuple(
        Port(port.number, port.name, port.protocol, port.visibility, labels_of(port.labels)) for port in discovery.ports
    )
    return DiscoveryInfo(
        visibility=discovery.visibility,
        name=discovery.name,
        environment=discovery.environment,
        location=discovery.location,
        version=discovery.version,
        ports=Ports(ports) if ports else None,
        labels=labels_of(discovery.labels),
    )
