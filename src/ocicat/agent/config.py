"""What an agent must be told, checked before anything is touched. Pure."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr, parse_interface

DEFAULT_SOCKET = Path("/run/ocicat/agent.sock")
DEFAULT_STORE = "sqlite:///var/lib/ocicat/store.db"
DEFAULT_FLOW_LOG = Path("/var/log/ocicat/flows.log")
SOCKET_MAX_BYTES = 107  # the kernel's limit for the path of a unix socket
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?")


class AgentConfig(Struct, frozen=True, kw_only=True):
    """`address` is the host's own on the network between the hosts, with the length of its subnet: `10.0.0.11/24`."""

    host: str
    address: str
    store: str = DEFAULT_STORE
    socket: str = str(DEFAULT_SOCKET)
    agent_ports: tuple[int, ...] = (5051,)  # where the local Mesos agent listens; tasks must reach it to register
    mtu: int = 0  # of containers; 0: that of the interface which holds `address`
    add_timeout_s: float = (
        20.0  # an ADD takes milliseconds; the executor's registration timeout (60 s) is running meanwhile
    )
    resync_interval_s: float = 90.0
    flow_log: str = str(DEFAULT_FLOW_LOG)  # written only while FelixConfiguration has flow logs on

    @property
    def host_address(self) -> Addr:
        return parse_interface(self.address)[0]


def check(config: AgentConfig) -> AgentConfig:
    """The same, or a UserError that names the setting."""
    if not HOST_NAME.fullmatch(config.host) or len(config.host) > 253:
        raise UserError(
            f"host name {config.host!r} is not a DNS name in lower case",
            hint="give the name under which Mesos knows this host: --host NAME",
        )
    _check_address(config.address)
    _check_socket(config.socket)
    _check_file(config.flow_log)
    for port in config.agent_ports:
        if not 1 <= port <= 65535:
            raise UserError(f"Mesos agent port {port} is not in 1 to 65535")
    if config.mtu and not 576 <= config.mtu <= 65535:
        raise UserError(f"mtu {config.mtu} is not in 576 to 65535")
    if config.add_timeout_s <= 0 or config.resync_interval_s <= 0:
        raise UserError("timeouts and intervals must be greater than 0 s")
    return config


def _check_socket(text: str) -> None:
    """The plugin is run with any working directory: only an absolute path means the same to both."""
    if not text.startswith("/") or text.endswith("/"):
        raise UserError(f"socket {text!r} is not the absolute path of a file", hint=f"for example {DEFAULT_SOCKET}")
    if len(os.fsencode(text)) > SOCKET_MAX_BYTES:
        raise UserError(f"socket {text!r} is longer than {SOCKET_MAX_BYTES} bytes", hint="choose a shorter path")


def _check_file(text: str) -> None:
    if not text.startswith("/") or text.endswith("/"):
        raise UserError(f"flow log {text!r} is not the absolute path of a file", hint=f"for example {DEFAULT_FLOW_LOG}")


def _check_address(text: str) -> None:
    try:
        address, subnet = parse_interface(text)
    except UserError as error:
        raise UserError(f"host address: {error.message}", hint="for example --address 10.0.0.11/24") from error
    if "/" not in text:
        raise UserError(f"host address {text!r} has no prefix length", hint=f"for example {text}/24")
    if address.family != 4 or address in Cidr.parse("127.0.0.0/8") or address.value == 0:
        raise UserError(
            f"host address {text!r} cannot be reached by other hosts", hint="give an IPv4 address of this host"
        )
    if subnet.length == 32:
        raise UserError(f"host address {text!r}: other hosts must be in its subnet", hint="give the subnet's length")
