"""What a launch may say beside its resources, its command and its networks: Mesos's v1 JSON of health checks, files and images.

Source of names: apache/mesos 1.11.0, include/mesos/v1/mesos.proto. PURE, and below `ocicat.mesos.wire`, whose promises hold here.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.mesos.types import Fetch, HealthCheck, Image, NetworkRequest
from ocicat.model.base import Struct

DOCKER_BRIDGE = "bridge"  # the network that Docker has by itself; Mesos has a word of its own for it


class Uri(Struct, frozen=True, omit_defaults=True):
    value: str
    executable: bool = False
    extract: bool = True
    cache: bool = False
    output_file: str = ""


class Duration(Struct, frozen=True):
    nanoseconds: int


class KillPolicy(Struct, frozen=True):
    grace_period: Duration


class HttpCheck(Struct, frozen=True, omit_defaults=True):
    port: int
    path: str = ""
    scheme: str = ""


class TcpCheck(Struct, frozen=True):
    port: int


class ShellCommand(Struct, frozen=True):
    value: str


class HealthCheckInfo(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`type` names the one member of the last three that is set."""

    type: str
    delay_seconds: float
    interval_seconds: float
    timeout_seconds: float
    grace_period_seconds: float
    consecutive_failures: int
    command: ShellCommand | None = None
    http: HttpCheck | None = None
    tcp: TcpCheck | None = None


class ImageName(Struct, frozen=True):
    name: str


class ImageInfo(Struct, frozen=True, omit_defaults=True):
    docker: ImageName
    cached: bool = True
    type: str = ""


class MesosInfo(Struct, frozen=True, omit_defaults=True):
    image: ImageInfo


class Parameter(Struct, frozen=True):
    key: str
    value: str


class DockerPort(Struct, frozen=True):
    host_port: int
    container_port: int
    protocol: str


class DockerInfo(Struct, frozen=True, omit_defaults=True):
    image: str
    network: str
    port_mappings: tuple[DockerPort, ...] = ()
    privileged: bool = False
    parameters: tuple[Parameter, ...] = ()
    force_pull_image: bool = False


class Text(Struct, frozen=True):
    value: str = ""


class Number(Struct, frozen=True):
    value: float = 0.0


class Attribute(Struct, frozen=True):
    """Of an agent. Ranges and sets have no words here: nothing compares them."""

    name: str
    text: Text | None = None
    scalar: Number | None = None

    @property
    def words(self) -> str:
        if self.text:
            return self.text.value
        return f"{self.scalar.value:g}" if self.scalar else ""


def health_check_info(check: HealthCheck) -> HealthCheckInfo:
    """Whichever kind it is."""
    return HealthCheckInfo(
        type=check.kind,
        delay_seconds=check.delay_s,
        interval_seconds=check.interval_s,
        timeout_seconds=check.timeout_s,
        grace_period_seconds=check.grace_s,
        consecutive_failures=check.failures,
        command=ShellCommand(check.command) if check.kind == "COMMAND" else None,
        http=HttpCheck(check.port, check.path, check.scheme) if check.kind == "HTTP" else None,
        tcp=TcpCheck(check.port) if check.kind == "TCP" else None,
    )


def kill_policy(grace_s: float | None) -> KillPolicy | None:
    return None if grace_s is None else KillPolicy(Duration(round(grace_s * 1e9)))


def uris(files: Iterable[Fetch]) -> tuple[Uri, ...]:
    return tuple(Uri(file.uri, file.executable, file.extract, file.cache, file.output_file) for file in files)


def mesos_info(image: Image | None) -> MesosInfo | None:
    """For the Mesos containerizer, which must have an image provider for it."""
    return MesosInfo(ImageInfo(ImageName(image.name), not image.force_pull, "DOCKER")) if image else None


def docker_info(image: Image, network: NetworkRequest | None) -> DockerInfo:
    """For the Docker containerizer, which takes the name of the user's network from `network_infos`."""
    kind = "USER" if network else "HOST"
    return DockerInfo(
        image=image.name,
        network="BRIDGE" if network and network.name == DOCKER_BRIDGE else kind,
        port_mappings=tuple(
            DockerPort(m.host_port, m.container_port, m.protocol) for m in (network.port_mappings if network else ())
        ),
        privileged=image.privileged,
        parameters=tuple(Parameter(key, value) for key, value in image.parameters),
        force_pull_image=image.force_pull,
    )
