"""From a plugin's environment and standard input to one checked `Request`. Pure.

1. Everything the caller may get wrong is a `CniError` with the specification's code, naming the variable or the field.
2. Nothing in a DEL fails because of what it does not need: the container's id and its interface are enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast, get_args

from ocicat.cni import config, ports
from ocicat.cni.config import NAME, NetworkConfig, NetworkInfo
from ocicat.cni.spec import CniError, Code, Command
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.wanted import PortMapping

__all__ = ["NetworkConfig", "NetworkInfo", "Request", "parse"]

INTERFACE = re.compile(r"[!-.0-9;-~]{1,15}")  # what the kernel takes and a terminal shows: no blank, "/" or ":"
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
    addresses: tuple[Addr, ...] = ()  # ADD: asked for by name; empty: one is chosen
    ports: tuple[PortMapping, ...] = ()  # ADD: of the host, that lead to the container
    takes_over: str = ""  # ADD: the handle that holds `addresses` until then
    previous: tuple[Addr, ...] | None = None  # CHECK: those that the runtime knows of; None: it says nothing


def parse(environment: Mapping[str, str], document: bytes) -> Request:
    """The request of an ADD, CHECK or DEL."""
    command = _command(environment)
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
        addresses=_wanted(environment, envelope, info) if command == "ADD" else (),
        ports=ports.wanted(info, envelope.runtime) if command == "ADD" else (),
        previous=_known(envelope, interface) if command == "CHECK" else None,
    )


def _command(environment: Mapping[str, str]) -> Command:
    command = _given(environment, "CNI_COMMAND")
    if command not in get_args(Command):
        raise CniError(Code.INVALID_ENVIRONMENT, f"CNI_COMMAND is {command!r}", hint="it must be ADD, DEL or CHECK")
    return cast("Command", command)


def _wanted(environment: Mapping[str, str], envelope: config.Envelope, info: NetworkInfo) -> tuple[Addr, ...]:
    """The address asked for, by whichever of the three ways."""
    if envelope.previous is not None:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            "the network configuration has a prevResult: another plugin has made the interface already",
            hint="this plugin must be the first of its list",
        )
    arguments = _arguments(environment.get("CNI_ARGS", ""))
    texts = [*_mesos_addresses(info), *envelope.runtime.ips, *filter(None, [arguments.get("IP")])]
    addresses = tuple(dict.fromkeys(_address(text) for text in texts))
    if len(addresses) > 1:
        raise _too_many(len(addresses))
    return addresses


def _mesos_addresses(info: NetworkInfo) -> list[str]:
    if len(info.ip_addresses) > 1:
        raise _too_many(len(info.ip_addresses))
    if any(wanted.protocol == "IPv6" for wanted in info.ip_addresses):
        raise _no_ipv6("ip_addresses")
    return [wanted.ip_address for wanted in info.ip_addresses if wanted.ip_address]


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
    return tuple(_parsed(text) for text in envelope.previous.addresses_on(interface))


def _address(text: str) -> Addr:
    address = _parsed(text)
    if address.family != 4:
        raise _no_ipv6(text)
    return address


def _parsed(text: str) -> Addr:
    try:
        return Addr.parse(text.partition("/")[0])
    except UserError as error:
        raise CniError(Code.INVALID_CONFIGURATION, f"an address in the request: {error.message}") from error


def _too_many(count: int) -> CniError:
    """A result of version 0.2.0 could not report more than one."""
    hint = "ask for one; name several networks to get several"
    return CniError(Code.UNSUPPORTED_FIELD, f"{count} addresses asked for on one network", hint=hint)


def _no_ipv6(what: str) -> CniError:
    return CniError(Code.UNSUPPORTED_FIELD, f"{what}: IPv6 addresses are not served by this version")


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
