"""From a plugin's environment and standard input to one checked `Request`. Pure.

1. Everything the caller may get wrong is a `CniError` with the specification's code, naming the variable or the field.
2. Nothing is read and then ignored: a field that asks for what this version does not do is refused with that reason.
3. Nothing in a DEL fails because of the configuration's *content*: a container must always be removable, so only what is needed
   to find it is checked there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar, cast, get_args

from ocicat.cni.spec import DEFAULT_VERSION, VERSIONS, CniError, Code, Command
from ocicat.errors import UserError
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr

T = TypeVar("T")

CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
INTERFACE = re.compile(r"[^\s/:]{1,15}")

# What the specification lets stand in a configuration beside our own fields. `capabilities`, `runtimeConfig` and `ipMasq` are
# the runtime's words: port mappings in them are refused below, the rest asks for nothing.
STANDARD_FIELDS = frozenset(
    [
        "cniVersion",
        "name",
        "type",
        "args",
        "capabilities",
        "runtimeConfig",
        "prevResult",
        "ipMasq",
        "dns",
        "disableCheck",
        "plugins",
    ]
)
OWN_FIELDS = frozenset({"pools", "defaultProfile", "mtu"})


class Dns(Struct, frozen=True):
    """Resolver settings the container shall have; handed through to the result."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class NetworkConfig(Struct, frozen=True):
    """One network configuration: the specification's fields that we use, and ours (the last three)."""

    name: str
    type: str
    version: str = field(default=DEFAULT_VERSION, name="cniVersion")
    dns: Dns = Dns()
    pools: tuple[str, ...] = ()  # names or CIDRs of the pools to take addresses from; none: any that serves the host
    default_profile: str = field(default="", name="defaultProfile")  # for tasks in no group; "": the network's own
    mtu: int | None = None


class Label(Struct, frozen=True):
    key: str
    value: str = ""


class Labels(Struct, frozen=True):
    labels: tuple[Label, ...] = ()


class WantedAddress(Struct, frozen=True):
    protocol: str = "IPv4"
    ip_address: str = ""


class NetworkInfo(Struct, frozen=True):
    """What a Mesos framework asked for; every field of the message in mesos.proto 1.11."""

    name: str = ""
    groups: tuple[str, ...] = ()
    labels: Labels = Labels()
    ip_addresses: tuple[WantedAddress, ...] = ()
    port_mappings: tuple[dict[str, object], ...] = ()


class _Runtime(Struct, frozen=True):
    port_mappings: tuple[dict[str, object], ...] = field(default=(), name="portMappings")
    ips: tuple[str, ...] = ()


class _MesosArgs(Struct, frozen=True):
    network_info: NetworkInfo = NetworkInfo()


class _Args(Struct, frozen=True):
    mesos: _MesosArgs | None = field(default=None, name="org.apache.mesos")


class _Envelope(Struct, frozen=True):
    args: _Args = _Args()
    runtime: _Runtime = field(default=_Runtime(), name="runtimeConfig")


class _Naming(Struct, frozen=True):
    """The part of a configuration that names the container's attachment: all that a DEL needs."""

    name: str = ""
    version: str = field(default=DEFAULT_VERSION, name="cniVersion")


class Request(Struct, frozen=True):
    """One command about one interface of one container. `netns` is "" when a DEL comes after a reboot."""

    command: Command
    container_id: str
    interface: str
    netns: str
    config: NetworkConfig
    info: NetworkInfo
    orchestrator: str  # "mesos" or "cni"
    addresses: tuple[Addr, ...] = ()  # asked for by name; empty: one is chosen


def parse(environment: Mapping[str, str], document: bytes) -> Request:
    """The request of an ADD, CHECK or DEL."""
    command = parse_command(environment)
    naming = _decode(_Naming, document)
    check_version(naming.version)
    removing = command == "DEL"
    config, envelope = (_lenient if removing else _strict)(document, naming)
    mesos = envelope.args.mesos
    info = mesos.network_info if mesos else NetworkInfo()
    return Request(
        command=command,
        container_id=_matching(environment, "CNI_CONTAINERID", CONTAINER_ID),
        interface=_matching(environment, "CNI_IFNAME", INTERFACE),
        netns=environment.get("CNI_NETNS", "") if removing else _given(environment, "CNI_NETNS"),
        config=config,
        info=info,
        orchestrator="mesos" if mesos else "cni",
        addresses=() if removing else _addresses(info, envelope.runtime),
    )


def parse_command(environment: Mapping[str, str]) -> Command:
    command = _given(environment, "CNI_COMMAND")
    if command not in get_args(Command):
        raise CniError(Code.INVALID_ENVIRONMENT, f"CNI_COMMAND is {command!r}", hint="it must be ADD, DEL or CHECK")
    return cast("Command", command)


def asked_version(document: bytes) -> str:
    """The version to answer in, also where the configuration is otherwise unreadable."""
    try:
        version = decode_json(_Naming, document).version
    except UserError:
        return DEFAULT_VERSION
    return version if version in VERSIONS else VERSIONS[-1]


def check_version(version: str) -> None:
    if version not in VERSIONS:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"the network configuration asks for cniVersion {version!r}",
            hint=f"this plugin speaks {', '.join(VERSIONS)}",
        )


def _strict(document: bytes, naming: _Naming) -> tuple[NetworkConfig, _Envelope]:
    _refuse_unknown_fields(document)
    config = _decode(NetworkConfig, document)
    if not config.name:
        raise CniError(Code.INVALID_CONFIGURATION, 'the network configuration has no "name"')
    if config.mtu is not None and not 576 <= config.mtu <= 65535:
        raise CniError(Code.INVALID_CONFIGURATION, f'network "{config.name}": mtu {config.mtu} is not in 576 to 65535')
    envelope = _decode(_Envelope, document)
    if envelope.runtime.port_mappings or (envelope.args.mesos and envelope.args.mesos.network_info.port_mappings):
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f'network "{config.name}": port mappings are not served by this version',
            hint="leave them out: the container's own address is reachable directly",
        )
    return config, envelope


def _lenient(document: bytes, naming: _Naming) -> tuple[NetworkConfig, _Envelope]:
    try:
        envelope = decode_json(_Envelope, document)
    except UserError:
        envelope = _Envelope()
    return NetworkConfig(name=naming.name, type="", version=naming.version), envelope


def _refuse_unknown_fields(document: bytes) -> None:
    """A misspelt field that is silently skipped is the hardest fault to find."""
    known = STANDARD_FIELDS | OWN_FIELDS
    for name in _decode(dict[str, object], document):
        if name == "ipam":
            raise CniError(
                Code.UNSUPPORTED_FIELD,
                'the network configuration has an "ipam" section, and this plugin manages addresses itself',
                hint='remove it; "pools" chooses where addresses come from',
            )
        if name not in known:
            raise CniError(
                Code.UNSUPPORTED_FIELD,
                f"the network configuration has an unknown field {name!r}",
                hint=f"our own fields are {', '.join(sorted(OWN_FIELDS))}",
            )


def _addresses(info: NetworkInfo, runtime: _Runtime) -> tuple[Addr, ...]:
    """The addresses asked for by name. One of IPv4 per network: more, a result of version 0.2.0 could not report."""
    if len(info.ip_addresses) > 1:
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f'network "{info.name}": {len(info.ip_addresses)} addresses asked for on one network',
            hint="ask for one; name several networks to get several",
        )
    if any(wanted.protocol == "IPv6" for wanted in info.ip_addresses):
        raise CniError(Code.UNSUPPORTED_FIELD, f'network "{info.name}": IPv6 addresses are not served by this version')
    texts = [wanted.ip_address for wanted in info.ip_addresses if wanted.ip_address]
    return tuple(_address(text) for text in (*texts, *runtime.ips))


def _address(text: str) -> Addr:
    try:
        address = Addr.parse(text.partition("/")[0])
    except UserError as error:
        raise CniError(Code.INVALID_CONFIGURATION, f"the address asked for: {error.message}") from error
    if address.family != 4:
        raise CniError(Code.UNSUPPORTED_FIELD, f"{text}: IPv6 addresses are not served by this version")
    return address


def _decode(wanted: type[T], document: bytes) -> T:
    try:
        return decode_json(wanted, document, what="the network configuration")
    except UserError as error:
        broken = not document.lstrip().startswith(b"{")
        raise CniError(Code.DECODING_FAILURE if broken else Code.INVALID_CONFIGURATION, error.message) from error


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
