"""How a Marathon application is attached: its networks, ports, discovery and container, whichever age's fields say it. PURE.

`ipAddress` is what 0.14 to 1.4 have (`networkName` from 1.2 on), `networks` and `container.portMappings` what 1.5 has;
`container.docker.network` and `container.docker.portMappings` are older than both. Two ages in one definition are refused.
"""

from __future__ import annotations

from ocicat.mesos.frameworks.application import task_name
from ocicat.mesos.frameworks.fields import Fields
from ocicat.mesos.types import Discovery, DiscoveryPort, HostPort, Image, NetworkRequest, PortMapping
from ocicat.mesos.wire_launch import DOCKER_BRIDGE
from ocicat.model.base import Struct

MESOS_BRIDGE = "mesos-bridge"  # the network that Marathon's mode container/bridge means to Mesos
PROTOCOLS = ("tcp", "udp", "udp,tcp", "tcp,udp")
_SERVICE_PORT = "nothing here balances load on service ports"


class Port(Struct, frozen=True):
    """One of the application's ports. `index`: its place among the host ports; -1 where it has none."""

    number: int
    name: str
    protocol: str
    index: int = -1
    labels: dict[str, str] = {}


class Networking(Struct, frozen=True, kw_only=True):
    """`ports`: what a health check's `portIndex` counts."""

    networks: tuple[NetworkRequest, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    ports: tuple[Port, ...] = ()
    discovery: Discovery | None = None
    image: Image | None = None


class _Mapping(Struct, frozen=True):
    container_port: int
    host_port: int | None
    name: str
    protocol: str
    labels: dict[str, str]


class _Container(Struct, frozen=True, kw_only=True):
    image: Image | None = None
    mappings: tuple[_Mapping, ...] = ()
    docker_network: str = ""  # of the oldest form
    said: bool = False  # whether port mappings were given at all


def read_networking(fields: Fields, app_id: str, default_network: str) -> Networking:
    container = _container(fields)
    ways = [name for name in ("ipAddress", "networks") if name in fields]
    if len(ways) > 1 or (ways and container.docker_network):
        fields.wrong(ways[0], f"stands beside {(ways[1:] or ['container.docker.network'])[0]}: one of them is enough")
    if "ipAddress" in fields:
        return _ip_address(fields, app_id, container, default_network)
    modes = _modes(fields, container, default_network)
    if modes:
        _no_ports(fields, "a network of its own takes container.portMappings")
        return _mapped(modes, container, app_id, fields)
    if container.mappings:
        fields.wrong("container.portMappings", "needs a network with mode container or container/bridge")
    return _on_the_host(fields, app_id, container)


# --- the container -------------------------------------------------------------------------------------------------


def _container(fields: Fields) -> _Container:
    inner = fields.inner("container")
    if inner is None:
        return _Container()
    docker = inner.inner("docker")
    engine = inner.text("type", "DOCKER" if docker else "MESOS", choices=("MESOS", "DOCKER"))
    inner.refused(
        {"volumes": "there are no volumes here", "appc": "use docker.image", "linuxInfo": "isolation is left as it is"}
    )
    said = "portMappings" in inner
    mappings = [_mapping(one) for one in inner.each("portMappings")]
    image, network = None, ""
    if docker:
        image, network = _docker(docker, engine), docker.text("network", choices=("", "BRIDGE", "HOST", "NONE", "USER"))
        said = said or "portMappings" in docker
        mappings += [_mapping(one) for one in docker.each("portMappings")]
        docker.done()
    elif engine == "DOCKER":
        inner.wrong("docker", "is missing: a container of type DOCKER needs an image")
    inner.done()
    if network == "NONE":
        fields.wrong(
            "container.docker.network", "NONE is not supported: a container has the host's network or one of its own"
        )
    return _Container(image=image, mappings=tuple(mappings), docker_network=network, said=said)


def _docker(docker: Fields, engine: str) -> Image:
    name = docker.text("image")
    if not name:
        docker.wrong("image", "is missing")
    parameters = []
    for one in docker.each("parameters"):
        parameters.append((one.text("key"), one.text("value")))
        one.done()
    docker.refused(
        {"credential": "there is no store of secrets here", "pullConfig": "there is no store of secrets here"}
    )
    privileged = docker.flag("privileged")
    if engine == "MESOS" and (privileged or parameters):
        docker.wrong(
            "", "privileged and parameters are for the Docker containerizer, and the container's type is MESOS"
        )
    return Image(name, engine, docker.flag("forcePullImage"), privileged, tuple(parameters))


def _mapping(one: Fields) -> _Mapping:
    host_port = one.port("hostPort") if "hostPort" in one else None
    one.without_effect({"servicePort": _SERVICE_PORT})
    one.refused({"networkNames": "a mapped port leads to every network of the container"})
    protocol = one.text("protocol", "tcp", choices=PROTOCOLS)
    mapping = _Mapping(one.port("containerPort"), host_port, one.text("name"), protocol, one.pairs("labels"))
    one.done()
    return mapping


# --- 0.14 to 1.4: ipAddress ------------------------------------------------------------------------------------------


def _ip_address(fields: Fields, app_id: str, container: _Container, default_network: str) -> Networking:
    inner = fields.inner("ipAddress")
    if inner is None:
        return Networking()
    request = NetworkRequest(
        inner.text("networkName") or default_network,
        groups=inner.texts("groups"),
        labels=inner.pairs("labels"),
        ip_addresses=("",),
    )
    found = inner.inner("discovery")
    ports = [_discovery_port(one) for one in found.each("ports")] if found else []
    if found:
        found.done()
    inner.done()
    if container.mappings:
        fields.wrong("container.portMappings", "stands beside ipAddress, whose containers have all ports to themselves")
    _no_ports(fields, "an application with ipAddress has all ports to itself")
    return Networking(
        networks=(request,),
        ports=tuple(ports),
        discovery=Discovery(name=task_name(app_id), ports=tuple(map(_found, ports))),
        image=container.image,
    )


def _discovery_port(one: Fields) -> Port:
    port = Port(
        one.port("number"), one.text("name"), one.text("protocol", "tcp", choices=PROTOCOLS), labels=one.pairs("labels")
    )
    one.done()
    return port


def _no_ports(fields: Fields, why: str) -> None:
    """Marathon puts a port of 0 into definitions that say nothing: that is no wish."""
    for name in ("ports", "portDefinitions"):
        for one in fields.items(name):
            number = one.get("port", 0) if isinstance(one, dict) else one
            if number:
                fields.wrong(name, f"are ports of the host: {why}")
                break
    fields.without_effect({"requirePorts": why})


# --- 1.5: networks ---------------------------------------------------------------------------------------------------


def _modes(fields: Fields, container: _Container, default_network: str) -> list[NetworkRequest]:
    """The networks of its own; none is the host's."""
    docker = container.image is not None and container.image.engine == "DOCKER"
    bridge = DOCKER_BRIDGE if docker else MESOS_BRIDGE
    if container.docker_network in ("BRIDGE", "USER"):
        name = bridge if container.docker_network == "BRIDGE" else default_network
        return [NetworkRequest(name, ip_addresses=("",))]
    found, modes = [], []
    for one in fields.each("networks"):
        mode = one.text("mode", "container", choices=("container", "container/bridge", "host"))
        name, labels = one.text("name"), one.pairs("labels")
        one.done()
        modes.append(mode)
        if mode == "host":
            if name or labels:
                one.wrong("", "the host's network takes neither name nor labels")
        else:
            name = bridge if mode == "container/bridge" else name or default_network
            found.append(NetworkRequest(name, labels=labels, ip_addresses=("",)))
    if len(set(modes)) > 1 or (len(modes) > 1 and modes[0] != "container"):
        fields.wrong("networks", f"{' and '.join(modes)}: several networks must all have mode container")
    return found


def _mapped(networks: list[NetworkRequest], container: _Container, app_id: str, fields: Fields) -> Networking:
    bridged = networks[0].name in (MESOS_BRIDGE, DOCKER_BRIDGE)
    mappings = container.mappings
    if bridged:
        mappings = tuple(
            _Mapping(one.container_port, one.host_port or 0, one.name, one.protocol, one.labels) for one in mappings
        )
    if len(networks) > 1 and any(one.host_port is not None for one in mappings):
        fields.wrong("container.portMappings", "hostPort needs a single network")
    published = [one for one in mappings if one.host_port is not None]
    ports = tuple(
        Port(one.container_port, one.name, one.protocol, _index(one, published), one.labels)
        for one in mappings
        if one.container_port or one.host_port is not None
    )
    pairs = tuple(
        PortMapping(one.host_port or 0, one.container_port, one.protocol.partition(",")[0]) for one in published
    )
    first = NetworkRequest(networks[0].name, (), networks[0].labels, networks[0].ip_addresses, pairs)
    return Networking(
        networks=(first, *networks[1:]),
        host_ports=tuple(HostPort(one.host_port or 0, one.name) for one in published),
        ports=ports,
        discovery=Discovery(name=task_name(app_id), ports=tuple(map(_scoped, mappings))) if mappings else None,
        image=container.image,
    )


def _index(one: _Mapping, published: list[_Mapping]) -> int:
    """Its place among the host ports, where the container's port is the same as the host's."""
    return published.index(one) if one in published and not one.container_port else -1


def _scoped(one: _Mapping) -> DiscoveryPort:
    scope = "container" if one.host_port is None else "host"
    number = one.container_port if one.host_port is None else one.host_port
    return DiscoveryPort(number, one.name, one.protocol, labels={**one.labels, "network-scope": scope})


# --- the host's network ------------------------------------------------------------------------------------------------


def _on_the_host(fields: Fields, app_id: str, container: _Container) -> Networking:
    ports = _host_ports(fields)
    return Networking(
        host_ports=tuple(HostPort(one.number, one.name) for one in ports),
        ports=ports,
        discovery=Discovery(name=task_name(app_id), ports=tuple(map(_found, ports))) if ports else None,
        image=container.image,
    )


def _host_ports(fields: Fields) -> tuple[Port, ...]:
    """What says nothing of ports gets one, as with Marathon. Numbers are the host's with `requirePorts` only."""
    required = fields.flag("requirePorts")
    found: list[tuple[int, str, str, dict[str, str]]] = []
    if "portDefinitions" in fields:
        for one in fields.each("portDefinitions"):
            number, name, labels = one.port("port"), one.text("name"), one.pairs("labels")
            found.append((number, name, one.text("protocol", "tcp", choices=PROTOCOLS), labels))
            one.done()
        if fields.items("ports"):
            fields.wrong("ports", "stands beside portDefinitions: one of them is enough")
    elif "ports" in fields:
        for item in fields.items("ports"):
            if isinstance(item, int) and 0 <= item < 65536:
                found.append((item, "", "tcp", {}))
            else:
                fields.wrong("ports", f"{item!r} is no port")
    else:
        found.append((0, "default", "tcp", {}))
    if not required and any(number for number, *_ in found):
        fields.remark("", f"port numbers have no effect without requirePorts: {_SERVICE_PORT}")
    return tuple(
        Port(number if required else 0, name, protocol, index, labels)
        for index, (number, name, protocol, labels) in enumerate(found)
    )


def _found(port: Port) -> DiscoveryPort:
    return DiscoveryPort(port.number, port.name, port.protocol, labels=port.labels)
