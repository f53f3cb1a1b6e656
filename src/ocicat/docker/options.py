"""What users of `docker` say with options: of a network (`-o`), of one container on it (`--driver-opt`), and by labels. Pure.

    ocicat.label.KEY=VALUE                both   a label of the endpoint, for selectors of policy
    ocicat.groups=A,B                     both   the groups (profiles) that it is in, as those of a Mesos task
    ocicat.profile=NAME                   -o     the profile of those in no group; empty: none; not said: the network's name
    com.docker.network.driver.mtu=BYTES   -o     of the containers' interfaces

1. An option that nobody here knows is refused by its name: a misspelt one is the hardest fault to find. Of an endpoint's options
   that holds for those that begin with `ocicat.`; the engine adds some of its own.
2. What an endpoint says goes before what its network says. Labels of a container (`docker run --label ocicat.label.KEY=VALUE`) are
   heard of only when it runs; they add to both.

Errors: UserError that names the option.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.docker import labels
from ocicat.errors import UserError
from ocicat.model.base import Struct, field, replace
from ocicat.model.codec import convert
from ocicat.model.names import label_key
from ocicat.model.net import Addr
from ocicat.model.wanted import PortMapping

PREFIX = "ocicat."
LABEL = PREFIX + "label."
GROUPS = PREFIX + "groups"
PROFILE = PREFIX + "profile"
MTU = "com.docker.network.driver.mtu"
POOL = PREFIX + "pool"  # of the address driver (`--ipam-opt`)
CALICO_LABEL = "org.projectcalico.label."  # by which Calico's driver knew them, of containers

_GENERIC = "com.docker.network.generic"
_INTERNAL = "com.docker.network.internal"
_PORTS = "com.docker.network.portmap"
_MTUS = range(576, 65536)


class Settings(Struct, frozen=True):
    """What is said of a network, or of one endpoint. `profile`: None is not said, "" is none."""

    labels: dict[str, str] = {}
    groups: tuple[str, ...] = ()
    profile: str | None = None
    mtu: int = 0


class _Published(Struct, frozen=True, rename="pascal"):
    """A port of the host, as the engine writes it: protocols by number, addresses "" for all."""

    proto: int = 6
    port: int = 0
    host_ip: str = field(default="", name="HostIP")
    host_port: int = 0
    host_port_end: int = 0


def of_network(options: Mapping[str, object]) -> Settings:
    """From the options of CreateNetwork."""
    if options.get(_INTERNAL):
        raise UserError("--internal is not served", hint="what a network may reach is said by policy")
    said = convert(dict[str, str], options.get(_GENERIC) or {}, what="the network's options")
    settings = Settings()
    for name, value in said.items():
        settings = _with(settings, name, value, network=True)
    return settings


def of_endpoint(options: Mapping[str, object]) -> Settings:
    """From the options of CreateEndpoint."""
    settings = Settings()
    for name, value in options.items():
        if name.startswith(PREFIX):
            settings = _with(settings, name, str(value), network=False)
    return settings


def of_container(said: Mapping[str, str]) -> dict[str, str]:
    """The endpoint's labels that a container's own labels say."""
    found: dict[str, str] = {}
    for prefix in (CALICO_LABEL, LABEL):
        found |= {name.removeprefix(prefix): value for name, value in said.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if name and not _is_ours(name)}


def joined(network: Settings, endpoint: Settings) -> Settings:
    """What holds for the endpoint."""
    return replace(network, labels=network.labels | endpoint.labels, groups=endpoint.groups or network.groups)


def ports(options: Mapping[str, object]) -> tuple[PortMapping, ...]:
    """The ports that `docker run --publish` asks for, from the options of ProgramExternalConnectivity."""
    listed = convert(tuple[_Published, ...], options.get(_PORTS) or (), what="the published ports")
    return tuple(dict.fromkeys(map(_port, listed)))


def _port(one: _Published) -> PortMapping:
    if not one.host_port or one.host_port_end not in (0, one.host_port):
        hint = f"name the one that is to lead to it: --publish PORT:{one.port}"
        raise UserError(f"port {one.port} is published without a port of the host", hint=hint)
    host = Addr.parse(one.host_ip) if one.host_ip else None
    return PortMapping(one.proto, one.host_port, one.port, host if host and host.value else None)


def _with(settings: Settings, name: str, value: str, *, network: bool) -> Settings:
    if name.startswith(LABEL) and _is_ours(name.removeprefix(LABEL)):
        raise UserError(f"option {name}: labels {labels.PREFIX}... are told by the agent itself", hint="leave it out")
    if name.startswith(LABEL) and name != LABEL:
        return replace(settings, labels={**settings.labels, name.removeprefix(LABEL): value})
    if name == GROUPS:
        return replace(settings, groups=tuple(filter(None, (each.strip() for each in value.split(",")))))
    if name == PROFILE and network:
        return replace(settings, profile=value)
    if name == MTU and network:
        return replace(settings, mtu=_mtu(value))
    known = [LABEL + "KEY", GROUPS, *([PROFILE, MTU] if network else [])]
    whose = "a network" if network else "an endpoint"
    raise UserError(f"option {name}: unknown", hint=f"the options of {whose} are {', '.join(known)}")


def _is_ours(key: str) -> bool:
    """As it will be, not as it is written: `!docker/x` becomes `docker/x`."""
    return label_key(key).startswith(labels.PREFIX)


def _mtu(text: str) -> int:
    if not text.isdecimal() or int(text) not in _MTUS:
        raise UserError(f"option {MTU}: {text!r} is not a size", hint=f"{_MTUS.start} to {_MTUS.stop - 1} bytes")
    return int(text)
