"""What FelixConfiguration says about policy, for one host. Pure.

A field that the host's own object `node.<host>` has goes before that of `default`, and both before Calico's default. Promise: a
value that cannot be used is passed over, as if it were not there; `setting_problems` tells it. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar, cast

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.v3.felix import FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.numbers import protocol_number
from ocicat.policy.felix_unread import unread
from ocicat.policy.model import TCP, UDP

EndpointToHost = Literal["Drop", "Accept", "Return"]
T = TypeVar("T")

_MARK_BITS = 0xFFFF_FFFF
_PORTS = range(65536)
_LOG_PREFIX = re.compile(r"[a-zA-Z0-9%: /_-]*")  # it becomes part of the ruleset's text


class OpenPort(Struct, frozen=True):
    """A port that stays open whatever policy says; towards one network only, if `net` is given."""

    protocol: int
    port: int
    net: Cidr | None = None


def _open(protocol: int, *ports: int) -> tuple[OpenPort, ...]:
    return tuple(OpenPort(protocol, port) for port in ports)


_INBOUND = (*_open(TCP, 22, 179, 2379, 2380, 5473, 6443, 6666, 6667), *_open(UDP, 68))
_OUTBOUND = (*_open(TCP, 179, 2379, 2380, 5473, 6443, 6666, 6667), *_open(UDP, 53, 67))


class Settings(Struct, frozen=True, kw_only=True):
    """`agent_ports` (TCP) are the local Mesos agent's. Its tasks reach them whatever policy says, or no executor could register.
    `name_ports` (UDP and TCP): where the host serves names to its own tasks, likewise.

    `mark`: the bit of the packet mark that may be used; None: nobody said.
    """

    failsafe_inbound: tuple[OpenPort, ...] = _INBOUND
    failsafe_outbound: tuple[OpenPort, ...] = _OUTBOUND
    endpoint_to_host: EndpointToHost = "Drop"
    vxlan_from_workloads: bool = False
    ipip_from_workloads: bool = False
    vxlan_port: int = 4789
    source_spoofing: bool = False
    floating_addresses: bool = False
    interface_prefixes: tuple[str, ...] = ("oci", "cali")
    log_prefix: str = "calico-packet"
    mark: int | None = None
    agent_ports: tuple[int, ...] = ()
    name_ports: tuple[int, ...] = ()


def settings(
    specs: Iterable[FelixConfigurationSpec], *, agent_ports: tuple[int, ...] = (), name_ports: tuple[int, ...] = ()
) -> Settings:
    """`specs` from the most special to the most general."""
    one = _Overlay(tuple(specs))
    usual = Settings()
    return Settings(
        failsafe_inbound=one.first(_failsafe_inbound, usual.failsafe_inbound),
        failsafe_outbound=one.first(_failsafe_outbound, usual.failsafe_outbound),
        endpoint_to_host=one.first(_endpoint_to_host, usual.endpoint_to_host),
        vxlan_from_workloads=one.first(
            lambda spec: spec.allow_vxlan_packets_from_workloads, usual.vxlan_from_workloads
        ),
        ipip_from_workloads=one.first(lambda spec: spec.allow_ipip_packets_from_workloads, usual.ipip_from_workloads),
        vxlan_port=one.first(_vxlan_port, usual.vxlan_port),
        source_spoofing=one.first(_source_spoofing, usual.source_spoofing),
        floating_addresses=one.first(_floating_addresses, usual.floating_addresses),
        interface_prefixes=one.first(_interface_prefixes, usual.interface_prefixes),
        log_prefix=one.first(_log_prefix, usual.log_prefix),
        mark=one.first(_nftables_mark, None) or one.first(_iptables_mark, None),
        agent_ports=agent_ports,
        name_ports=name_ports,
    )


def setting_problems(spec: FelixConfigurationSpec) -> tuple[str, ...]:
    """What in one object is passed over, and why; and what is not supported, and would be missed."""
    unusable = (text for read in _MAY_FAIL if (text := _problem(read, spec)))
    missed = (f"{name} is not supported: {field.why}" for name, _, field in unread(spec) if field.refused)
    return (*unusable, *missed)


def _problem(read: Callable[[FelixConfigurationSpec], object], spec: FelixConfigurationSpec) -> str:
    try:
        read(spec)
    except UserError as error:
        return str(error)
    return ""


class _Overlay(Struct, frozen=True):
    specs: tuple[FelixConfigurationSpec, ...]

    def first(self, read: Callable[[FelixConfigurationSpec], T | None], usual: T) -> T:
        """Of the most special object that has a usable value; an empty list is a value, an empty text is none."""
        usable = (spec for spec in self.specs if not _problem(read, spec))
        return next((value for spec in usable if (value := read(spec)) is not None), usual)


# --- one field of one object: its value, None if it has none; errors: UserError -----------------------------------


def _failsafe_inbound(spec: FelixConfigurationSpec) -> tuple[OpenPort, ...] | None:
    return _failsafe("failsafeInboundHostPorts", spec.failsafe_inbound_host_ports)


def _failsafe_outbound(spec: FelixConfigurationSpec) -> tuple[OpenPort, ...] | None:
    return _failsafe("failsafeOutboundHostPorts", spec.failsafe_outbound_host_ports)


def _failsafe(field: str, ports: tuple[ProtoPort, ...] | None) -> tuple[OpenPort, ...] | None:
    return None if ports is None else tuple(_open_port(field, port) for port in ports)


def _open_port(field: str, written: ProtoPort) -> OpenPort:
    protocol = protocol_number(written.protocol or "TCP")
    if protocol is None:
        raise _unusable(field, f"{written.protocol!r} of port {written.port} is no protocol", "TCP, UDP or SCTP")
    if written.port not in _PORTS:
        raise _unusable(field, f"{written.port} is no port", "0 to 65535")
    try:
        net = parse_interface(written.net)[1] if written.net else None
    except UserError as error:
        raise _unusable(field, f"port {written.port}: {error.message}", error.hint) from error
    return OpenPort(protocol, written.port, net)


def _endpoint_to_host(spec: FelixConfigurationSpec) -> EndpointToHost | None:
    written = spec.default_endpoint_to_host_action
    action = written.capitalize()
    if action not in ("", "Drop", "Accept", "Return"):
        raise _unusable("defaultEndpointToHostAction", f"{written!r} is no action", "Drop, Accept or Return")
    return cast("EndpointToHost", action) if action else None


def _vxlan_port(spec: FelixConfigurationSpec) -> int | None:
    if spec.vxlan_port is not None and spec.vxlan_port not in _PORTS:
        raise _unusable("vxlanPort", f"{spec.vxlan_port} is no port", "1 to 65535")
    return spec.vxlan_port or None


def _source_spoofing(spec: FelixConfigurationSpec) -> bool | None:
    written = spec.workload_source_spoofing.lower()
    if written not in ("", "any", "disabled"):
        raise _unusable("workloadSourceSpoofing", f"{spec.workload_source_spoofing!r} is neither", "Any or Disabled")
    return written == "any" if written else None


def _floating_addresses(spec: FelixConfigurationSpec) -> bool | None:
    if spec.floating_i_ps not in ("", "Enabled", "Disabled"):
        raise _unusable("floatingIPs", f"{spec.floating_i_ps!r} is neither", "Enabled or Disabled")
    return spec.floating_i_ps == "Enabled" if spec.floating_i_ps else None


def _interface_prefixes(spec: FelixConfigurationSpec) -> tuple[str, ...] | None:
    return tuple(prefix.strip() for prefix in spec.interface_prefix.split(",") if prefix.strip()) or None


def _log_prefix(spec: FelixConfigurationSpec) -> str | None:
    if not _LOG_PREFIX.fullmatch(spec.log_prefix):
        raise _unusable("logPrefix", "it may become part of no ruleset", "letters, digits, spaces and % : / _ -")
    return spec.log_prefix or None


def _nftables_mark(spec: FelixConfigurationSpec) -> int | None:
    return _mark("nftablesMarkMask", spec.nftables_mark_mask)


def _iptables_mark(spec: FelixConfigurationSpec) -> int | None:
    """For a host that Felix ran with iptables: the bits that are ours are the same."""
    return _mark("iptablesMarkMask", spec.iptables_mark_mask)


def _mark(field: str, mask: int | None) -> int | None:
    """The lowest bit of the mask: one is enough."""
    if mask is None:
        return None
    if not 0 < mask <= _MARK_BITS:
        raise _unusable(field, f"{mask:#x} leaves no bit of a packet's 32", "at least one bit, for example 0x10000")
    return mask & -mask


_MAY_FAIL = (
    _failsafe_inbound,
    _failsafe_outbound,
    _endpoint_to_host,
    _vxlan_port,
    _source_spoofing,
    _floating_addresses,
    _log_prefix,
    _nftables_mark,
    _iptables_mark,
)


def _unusable(field: str, fault: str, hint: str) -> UserError:
    return UserError(f"{field} is passed over: {fault}", hint=hint)
