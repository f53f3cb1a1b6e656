"""From a plugin's environment and standard input to one checked `Request`. Pure.

1. Everything the caller may get wrong is a `CniError` with the specification's code, naming the variable or the field.
2. Nothing in a DEL fails because of what it does not need: the container's id and its interface are enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast, get_args

from ocicat.cni import config, ports, wishes
from ocicat.cni.config import NAME, NetworkConfig, NetworkInfo
from ocicat.cni.spec import NETWORK_COMMANDS_SINCE, CniError, Code, Command, NetworkCommand
from ocicat.cni.wishes import Wishes
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.wanted import PortMapping

__all__ = ["NetworkConfig", "NetworkInfo", "NetworkRequest", "Request", "parse"]

INTERFACE = re.compile(r"[!-.0-9;-~]{1,15}")  # what the kernel takes and a terminal shows: no blank, "/" or ":"
_IPV6_MTU = 1280  # RFC 8200; the kernel has no IPv6 on an interface with less
YES = ("1", "true", "TRUE", "True", "t", "T")


class Request(Struct, frozen=True):
    """One command about one interface of one container. `netns` is "" when a DEL comes after a reboot."""

    command: Command
    container_id: str
    interface: str
    netns: str
    config: NetworkConfig
    info: NetworkInfo
    orchestrator: str  # "mesos" or "cni"
    wishes: Wishes = Wishes()  # ADD: which addresses
    ports: tuple[PortMapping, ...] = ()  # ADD: of the host, that lead to the container
    takes_over: tuple[str, ...] = ()  # ADD: the handles that hold these addresses until then
    mac: bytes | None = None  # ADD: 6 bytes; None: one is made from the container's name
    previous: tuple[Addr, ...] | None = None  # CHECK: those that the runtime knows of; None: it says nothing


class NetworkRequest(Struct, frozen=True):
    """One command about all that the network has on this host. `valid`: container and interface of what a GC is to leave."""

    command: NetworkCommand
    config: NetworkConfig
    valid: frozenset[tuple[str, str]] = frozenset()


def parse(environment: Mapping[str, str], document: bytes) -> Request | NetworkRequest:
    command = _given(environment, "CNI_COMMAND")
    if command in get_args(NetworkCommand):
        return _of_network(cast("NetworkCommand", command), document)
    if command in get_args(Command):
        return _of_interface(cast("Command", command), environment, document)
    raise CniError(
        Code.INVALID_ENVIRONMENT, f"CNI_COMMAND is {command!r}", hint="it must be ADD, DEL, CHECK, GC or STATUS"
    )


def _of_network(command: NetworkCommand, document: bytes) -> NetworkRequest:
    network, _ = config.checked(document)
    if network.version != NETWORK_COMMANDS_SINCE:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"cniVersion {network.version} has no {command}",
            hint=f'write "cniVersion": "{NETWORK_COMMANDS_SINCE}"',
        )
    if command == "STATUS" and 6 in network.families:
        _check_mtu(network)
    return NetworkRequest(command, network, config.attachments(document) if command == "GC" else frozenset())


def _of_interface(command: Command, environment: Mapping[str, str], document: bytes) -> Request:
    network, envelope = (config.unchecked if command == "DEL" else config.checked)(document)
    mesos = envelope.args.mesos
    info = mesos.network_info if mesos else NetworkInfo()
    container_id = _matching(environment, "CNI_CONTAINERID", NAME)
    interface = _matching(environment, "CNI_IFNAME", INTERFACE)
    return Request(
        command=command,
        container_id=container_id,
        interface=interface,
        netns=environment.get("CNI_NETNS", "") if command == "DEL" else _given(environment, "CNI_NETNS"),
        config=network,
        info=info,
        orchestrator="mesos" if mesos else "cni",
        wishes=_wanted(environment, envelope, info, network) if command == "ADD" else Wishes(),
        ports=ports.wanted(info, envelope.runtime) if command == "ADD" else (),
        previous=_known(envelope, interface) if command == "CHECK" else None,
    )


def _wanted(
    environment: Mapping[str, str], envelope: config.Envelope, info: NetworkInfo, network: NetworkConfig
) -> Wishes:
    if envelope.previous is not None:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            "the network configuration has a prevResult: another plugin has made the interface already",
            hint="this plugin must be the first of its list",
        )
    arguments = _arguments(environment.get("CNI_ARGS", ""))
    found = wishes.wishes(network, info, [*envelope.runtime.ips, *filter(None, arguments.get("IP", "").split(","))])
    if 6 in found.all_families:
        _check_mtu(network)
    if 4 not in found.all_families and envelope.args.mesos and _holds_an_executor(environment):
        raise CniError(
            Code.REFUSED,
            f"network {network.name!r} gives no IPv4 address, and the task's executor reaches its Mesos agent by IPv4 only",
            hint="name a network with IPv4 first, or give this one to a nested container",
        )
    return found


def _check_mtu(network: NetworkConfig) -> None:
    if network.mtu is not None and network.mtu < _IPV6_MTU:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"network {network.name!r}: mtu: {network.mtu} is too small for IPv6",
            hint=f"it must be at least {_IPV6_MTU} bytes",
        )


def _holds_an_executor(environment: Mapping[str, str]) -> bool:
    """Mesos runs it in the task's own container, unless that is nested in another; and its first interface is the way out."""
    return "." not in environment["CNI_CONTAINERID"] and environment["CNI_IFNAME"] == "eth0"


def _arguments(text: str) -> dict[str, str]:
    """CNI_ARGS. What is unknown is refused, unless the caller says that it may be ignored."""
    arguments: dict[str, str] = {}
    for entry in filter(None, text.split(";")):
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise CniError(Code.INVALID_ENVIRONMENT, f"CNI_ARGS has {entry!r}", hint="it must be NAME=VALUE;NAME=VALUE")
        arguments[name] = value
    tolerant = arguments.pop("IgnoreUnknown", "") in YES
    for name in arguments:
        if name == "MAC" or (name != "IP" and not tolerant):
            raise CniError(
                Code.INVALID_ENVIRONMENT, f"CNI_ARGS asks for {name}, which is not served", hint="leave it out"
            )
    return arguments


def _known(envelope: config.Envelope, interface: str) -> tuple[Addr, ...] | None:
    if envelope.previous is None:
        return None
    return tuple(map(wishes.address, envelope.previous.addresses_on(interface)))


def _given(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise CniError(Code.INVALID_ENVIRONMENT, f"{name} is not set", hint="the container runtime must set it")
    return value


def _matching(environment: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = _given(environment, name)
    if not pattern.fullmatch(value) or value in (".", ".."):
        raise CniError(Code.INVALID_ENVIRONMENT, f"{name} is {value!r}", hint=f"it must match {pattern.pattern}")
    return value
