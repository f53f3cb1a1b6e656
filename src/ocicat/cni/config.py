"""The network configuration that a plugin gets on standard input, decoded and checked. Pure.

1. What is not a JSON object is a decoding failure (6), what has a wrong type or value an invalid configuration (7), what asks for
   something that this version does not do an unsupported field (2): the text names the field.
2. Nothing is read and then ignored: a field that nobody here knows is refused, because a misspelt one is the hardest fault to find.
3. For a removal only the version is checked: a container must always be removable.
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar

from ocicat.cni.spec import DEFAULT_VERSION, VERSIONS, CniError, Code
from ocicat.errors import UserError
from ocicat.model.base import Struct, field, replace
from ocicat.model.codec import decode_json

T = TypeVar("T")
Switch = bool | Literal["true", "false"]  # Calico's configurations write it as text

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
MTU = range(576, 65536)

# Of the specification and its conventions. `capabilities` and `disableCheck` are words between the operator and the runtime.
STANDARD_FIELDS = frozenset(
    {
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
        "cni.dev/valid-attachments",
        "cni.dev/attachments",
    }
)
OWN_FIELDS = frozenset({"pools", "assign_ipv4", "assign_ipv6", "defaultProfile", "mtu"})
CAPABILITIES = ("ips", "portMappings")
REFUSED_FIELDS = {
    "ipam": 'this plugin manages addresses itself; "pools" chooses where they come from',
    "plugins": "this is a list of configurations: the runtime takes it apart, and wants it in a file that ends in .conflist",
}


class Dns(Struct, frozen=True):
    """Resolver settings the container shall have; handed through to the result."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class NetworkConfig(Struct, frozen=True):
    """One network configuration: the specification's fields that we use, and ours (from `pools` on)."""

    name: str
    type: str
    version: str = field(default=DEFAULT_VERSION, name="cniVersion")
    dns: Dns = Dns()
    pools: tuple[str, ...] = ()  # names or CIDRs of the pools to take addresses from; none: any that serves the host
    assign_ipv4: Switch = True
    assign_ipv6: Switch = False
    default_profile: str | None = field(default="", name="defaultProfile")  # no group; "": the network's; None: none
    mtu: int | None = None

    @property
    def families(self) -> tuple[int, ...]:
        """Of the addresses that a container gets which asks for none in particular."""
        switches = {4: self.assign_ipv4, 6: self.assign_ipv6}
        return tuple(family for family, switch in switches.items() if switch in (True, "true"))


class Label(Struct, frozen=True):
    key: str
    value: str = ""


class Labels(Struct, frozen=True):
    labels: tuple[Label, ...] = ()


class WantedAddress(Struct, frozen=True):
    protocol: str = "IPv4"
    ip_address: str = ""


class MesosPort(Struct, frozen=True):
    host_port: int = 0
    container_port: int = 0
    protocol: str = "tcp"


class NetworkInfo(Struct, frozen=True):
    """What a Mesos framework asked for; every field of the message in mesos.proto 1.11."""

    name: str = ""
    groups: tuple[str, ...] = ()
    labels: Labels = Labels()
    ip_addresses: tuple[WantedAddress, ...] = ()
    port_mappings: tuple[MesosPort, ...] = ()


class MesosArgs(Struct, frozen=True):
    network_info: NetworkInfo = NetworkInfo()


class Args(Struct, frozen=True):
    mesos: MesosArgs | None = field(default=None, name="org.apache.mesos")


class RuntimePort(Struct, frozen=True, rename="camel"):
    host_port: int = 0
    container_port: int = 0
    protocol: str = "tcp"
    host_ip: str = field(default="", name="hostIP")


class Runtime(Struct, frozen=True):
    """What the runtime passes for the `capabilities` that the configuration declares."""

    ips: tuple[str, ...] = ()
    port_mappings: tuple[RuntimePort, ...] = field(default=(), name="portMappings")


class NamedInterface(Struct, frozen=True):
    name: str = ""


class ListedAddress(Struct, frozen=True):
    """An entry of `ips`, or of `ip4` and `ip6` in old versions, where `address` is called `ip`."""

    address: str = ""
    ip: str = ""
    interface: int | None = None  # an index


class Previous(Struct, frozen=True):
    """An earlier result of the chain that the plugin is part of, in any version's shape."""

    interfaces: tuple[NamedInterface, ...] = ()
    ips: tuple[ListedAddress, ...] = ()
    ip4: ListedAddress | None = None
    ip6: ListedAddress | None = None

    def addresses_on(self, name: str) -> list[str]:
        """With their prefix lengths; those that belong to no interface in particular count too."""
        old = [each.ip for each in (self.ip4, self.ip6) if each]
        return old + [each.address for each in self.ips if self._name(each.interface) in ("", name)]

    def _name(self, index: int | None) -> str:
        return self.interfaces[index].name if index is not None and 0 <= index < len(self.interfaces) else ""


class ListedAttachment(Struct, frozen=True, rename="camel"):
    """Both are required: one that is misread is one that is taken back."""

    container_id: str = field(name="containerID")
    ifname: str


class Attachments(Struct, frozen=True):
    """What a GC says of all attachments that there are; to say nothing, or null, is to say that there is none. Runtimes write it
    under the name that the specification had at first, too."""

    valid: tuple[ListedAttachment, ...] | None = field(default=None, name="cni.dev/valid-attachments")
    valid_too: tuple[ListedAttachment, ...] | None = field(default=None, name="cni.dev/attachments")


class Envelope(Struct, frozen=True):
    """What the runtime puts around the operator's configuration."""

    args: Args = Args()
    runtime: Runtime = field(default=Runtime(), name="runtimeConfig")
    previous: Previous | None = field(default=None, name="prevResult")


class _Version(Struct, frozen=True):
    version: str = field(default="", name="cniVersion")


class _Name(Struct, frozen=True):
    name: str = ""


class _RuntimeKeys(Struct, frozen=True):
    runtime: dict[str, object] = field(default={}, name="runtimeConfig")


def answer_version(document: bytes) -> str:
    """The version to answer in, also where the configuration is otherwise unreadable."""
    version = _lenient(_Version, document, _Version()).version or DEFAULT_VERSION
    return version if version in VERSIONS else VERSIONS[-1]


def checked(document: bytes) -> tuple[NetworkConfig, Envelope]:
    """All of it, for an ADD or a CHECK."""
    fields = _object(document)
    version = _checked_version(document)
    for name in fields:
        _check_field(name)
    if fields.get("ipMasq"):
        raise _unsupported("ipMasq: true", "leave it out: natOutgoing of the pool says that")
    config = _decode(NetworkConfig, document)
    _check_values(config)
    _check_runtime(document)
    # An empty version, as some runtimes write it, is none.
    return replace(config, version=version), _decode(Envelope, document)


def attachments(document: bytes) -> frozenset[tuple[str, str]]:
    """Container and interface of each that is there, as a GC tells them."""
    said = _decode(Attachments, document)
    listed = (*(said.valid or ()), *(said.valid_too or ()))
    if not all(one.container_id and one.ifname for one in listed):
        raise _invalid("an attachment has an empty containerID or ifname", "nothing is taken back by such a list")
    return frozenset((one.container_id, one.ifname) for one in listed)


def unchecked(document: bytes) -> tuple[NetworkConfig, Envelope]:
    """As much as can be read, for a DEL. Not even the version matters: a DEL prints nothing that could have the wrong shape, and
    it must be possible also for a container whose ADD was refused for its version."""
    _object(document)
    name = _lenient(_Name, document, _Name()).name
    return NetworkConfig(name=name, type="", version=answer_version(document)), _lenient(Envelope, document, Envelope())


def _object(document: bytes) -> dict[str, object]:
    try:
        return decode_json(dict[str, object], document, what="the network configuration")
    except UserError as error:
        raise CniError(
            Code.DECODING_FAILURE, error.message, hint="it must be a JSON object on standard input"
        ) from error


def _checked_version(document: bytes) -> str:
    version = _decode(_Version, document).version or DEFAULT_VERSION
    if version not in VERSIONS:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"the network configuration asks for cniVersion {version!r}",
            hint=f"this plugin speaks {', '.join(VERSIONS)}",
        )
    return version


def _check_field(name: str) -> None:
    if name in REFUSED_FIELDS:
        raise _unsupported(f'"{name}"', REFUSED_FIELDS[name])
    if name not in STANDARD_FIELDS | OWN_FIELDS:
        raise _unsupported(f'an unknown field "{name}"', f"our own fields are {', '.join(sorted(OWN_FIELDS))}")


def _check_values(config: NetworkConfig) -> None:
    if not NAME.fullmatch(config.name):
        raise _invalid(f'name: "{config.name}"', "it must be letters, digits, and _ . - after the first")
    if not config.type:
        raise _invalid("type: empty", "it must name the plugin")
    if not config.families:
        raise _invalid("assign_ipv4 and assign_ipv6: both are false", "containers need an address: set one to true")
    if config.mtu is not None and config.mtu not in MTU:
        raise _invalid(f"mtu: {config.mtu}", f"it must be {MTU.start} to {MTU.stop - 1} bytes")


def _check_runtime(document: bytes) -> None:
    """`runtimeConfig` holds only what the operator declared as a capability of this plugin."""
    for name, value in _decode(_RuntimeKeys, document).runtime.items():
        if value and name not in CAPABILITIES:
            raise _unsupported(
                f"runtimeConfig.{name}", f'not served by this version: remove "{name}" from "capabilities"'
            )


def _decode(wanted: type[T], document: bytes) -> T:
    try:
        return decode_json(wanted, document, what="the network configuration")
    except UserError as error:
        raise CniError(Code.INVALID_CONFIGURATION, error.message) from error


def _lenient(wanted: type[T], document: bytes, otherwise: T) -> T:
    try:
        return decode_json(wanted, document)
    except UserError:
        return otherwise


def _unsupported(what: str, hint: str) -> CniError:
    return CniError(Code.UNSUPPORTED_FIELD, f"the network configuration has {what}", hint=hint)


def _invalid(what: str, hint: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, f"the network configuration: {what}", hint=hint)
