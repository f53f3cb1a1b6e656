"""What an agent must be told, checked before anything is touched. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from ocicat.agent.discovery.config import DnsConfig
from ocicat.agent.docker.config import DockerConfig
from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, parse_endpoint
from ocicat.model.base import Struct
from ocicat.model.net import WIDTH, Addr, Cidr, parse_interface
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.settings.table import default_text

DEFAULT_SOCKET = Path(default_text("agent.socket"))
DEFAULT_STORE = default_text("store.url")
DEFAULT_FLOW_LOG = Path(default_text("flows.log"))
MESOS_PORT = 5051
OFF = "off"
SOCKET_MAX_BYTES = 107  # the kernel's limit for the path of a unix socket
_UNREACHED = tuple(map(Cidr.parse, ("127.0.0.0/8", "0.0.0.0/32", "::/127", "fe80::/10", "ff00::/8")))
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?")


class Live(Struct, frozen=True, kw_only=True):
    """What a running agent takes over when it is told to. `felix`: what this host says in the words of FelixConfiguration, which
    goes before the datastore. `log_level` "": as FelixConfiguration says, or info."""

    felix: FelixConfigurationSpec = FelixConfigurationSpec()
    log_level: str = ""
    log_style: Literal["text", "json"] = "text"


class AgentConfig(Struct, frozen=True, kw_only=True):
    """`address` is the host's own on the network between the hosts, with the length of its subnet: `10.0.0.11/24`. `address6` is
    the same of IPv6; "": containers with IPv6 addresses are reached on this host only."""

    host: str
    address: str
    address6: str = ""
    store: str = DEFAULT_STORE
    socket: str = str(DEFAULT_SOCKET)
    agent_ports: tuple[int, ...] = (MESOS_PORT,)  # where the local Mesos agent listens; tasks must reach it to register
    mtu: int = 0  # of containers; 0: that of the interface which holds `address`
    add_timeout_s: float = (
        20.0  # an ADD takes milliseconds; the executor's registration timeout (60 s) is running meanwhile
    )
    resync_interval_s: float = 90.0
    flow_log: str = str(DEFAULT_FLOW_LOG)  # written only while FelixConfiguration has flow logs on
    host_root: str = "/"  # where the host's files are; for an agent in a container /proc/1/root
    mesos_agent: str = ""  # where this host's answers; "": at `address` and the first of `agent_ports`; "off": nowhere
    mesos_credential: str = ""  # a file, for a Mesos agent that asks who we are
    docker: DockerConfig | None = None  # where Docker's engine is served
    dns: DnsConfig | None = None  # where names of tasks are served
    live: Live = Live()

    @property
    def mesos_endpoint(self) -> Endpoint | None:
        """Of this host's Mesos agent; None: it is not asked. UserError when it is no address."""
        if self.mesos_agent == OFF or not (self.mesos_agent or self.agent_ports):
            return None
        if not self.mesos_agent:
            return Endpoint(str(parse_interface(self.address)[0]), self.agent_ports[0])
        return parse_endpoint(self.mesos_agent.removeprefix("http://").removesuffix("/"), MESOS_PORT)

    @property
    def host_addresses(self) -> tuple[Addr, ...]:
        """One, or one of each family."""
        return tuple(parse_interface(text)[0] for text in (self.address, self.address6) if text)


def check(config: AgentConfig) -> AgentConfig:
    """The same, or a UserError that names the setting."""
    for _, error in faults(config):
        raise error
    return config


def faults(config: AgentConfig) -> Iterator[tuple[str, UserError]]:
    """(key of the setting, what is wrong with it), for all that is wrong."""
    checks: tuple[tuple[str, Callable[[AgentConfig], None]], ...] = (
        ("host.name", _check_name),
        ("host.address", lambda one: _check_address("--address", one.address, 4, "10.0.0.11/24")),
        ("host.address6", lambda one: _check_address("--address6", one.address6, 6, "2001:db8::11/64", needed=False)),
        ("agent.socket", lambda one: _check_socket(one.socket)),
        ("flows.log", lambda one: _check_file(one.flow_log)),
        ("mesos.agent_ports", _check_ports),
        ("mesos.agent", _check_mesos),
        ("mesos.credential", _check_credential),
        ("agent.mtu", _check_mtu),
        ("agent.add_timeout_s", lambda one: _check_seconds(one.add_timeout_s)),
        ("agent.resync_interval_s", lambda one: _check_seconds(one.resync_interval_s)),
    )
    for key, checked in checks:
        try:
            checked(config)
        except UserError as error:
            yield key, error


def _check_name(config: AgentConfig) -> None:
    if not HOST_NAME.fullmatch(config.host) or len(config.host) > 253:
        raise UserError(
            f"host name {config.host!r} is not a DNS name in lower case",
            hint="give the name under which Mesos knows this host: --host NAME",
        )


def _check_ports(config: AgentConfig) -> None:
    for port in config.agent_ports:
        if not 1 <= port <= 65535:
            raise UserError(f"Mesos agent port {port} is not in 1 to 65535")


def _check_mtu(config: AgentConfig) -> None:
    if config.mtu and not 576 <= config.mtu <= 65535:
        raise UserError(f"mtu {config.mtu} is not in 576 to 65535")


def _check_seconds(seconds: float) -> None:
    if seconds <= 0:
        raise UserError("timeouts and intervals must be greater than 0 s")


def _check_mesos(config: AgentConfig) -> None:
    if config.mesos_agent.startswith("https://"):
        raise UserError(f"Mesos agent {config.mesos_agent}: only plain HTTP is spoken", hint="--mesos-agent HOST:PORT")
    if config.mesos_agent in ("", OFF):
        return  # where nothing is said it is the host's address, and told as that
    try:
        _ = config.mesos_endpoint
    except UserError as error:
        raise UserError(f"Mesos agent: {error.message}", hint="--mesos-agent HOST:PORT, or off") from error


def _check_credential(config: AgentConfig) -> None:
    if config.mesos_credential and (config.mesos_agent == OFF or not (config.mesos_agent or config.agent_ports)):
        raise UserError(
            "a credential for the Mesos agent is given, and it is not to be asked",
            hint="leave out --mesos-credential, or --mesos-agent off",
        )


def _check_socket(text: str) -> None:
    """The plugin is run with any working directory: only an absolute path means the same to both."""
    if not text.startswith("/") or text.endswith("/"):
        raise UserError(f"socket {text!r} is not the absolute path of a file", hint=f"for example {DEFAULT_SOCKET}")
    if len(os.fsencode(text)) > SOCKET_MAX_BYTES:
        raise UserError(f"socket {text!r} is longer than {SOCKET_MAX_BYTES} bytes", hint="choose a shorter path")


def _check_file(text: str) -> None:
    if not text.startswith("/") or text.endswith("/"):
        raise UserError(f"flow log {text!r} is not the absolute path of a file", hint=f"for example {DEFAULT_FLOW_LOG}")


def _check_address(option: str, text: str, family: int, example: str, *, needed: bool = True) -> None:
    if not text and not needed:
        return
    try:
        address, subnet = parse_interface(text)
    except UserError as error:
        raise UserError(f"host address: {error.message}", hint=f"for example {option} {example}") from error
    if "/" not in text:
        raise UserError(f"host address {text!r} has no prefix length", hint=f"for example {text}/{example[-2:]}")
    if address.family != family or any(address in net for net in _UNREACHED):
        raise UserError(
            f"host address {text!r} cannot be reached by other hosts",
            hint=f"give an IPv{family} address of this host as {option}",
        )
    if subnet.length == WIDTH[family]:
        raise UserError(f"host address {text!r}: other hosts must be in its subnet", hint="give the subnet's length")
