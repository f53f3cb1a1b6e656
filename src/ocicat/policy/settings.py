"""What FelixConfiguration says about policy, for one host. Pure.

A field that the host's own object `node.<host>` has goes before that of `default`, and both before Calico's default.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.v3.felix import FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.numbers import protocol_number
from ocicat.policy.model import TCP, UDP

EndpointToHost = Literal["Drop", "Accept", "Return"]


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
    """`agent_ports` (TCP) are the local Mesos agent's. Its tasks reach them whatever policy says, or no executor could register."""

    failsafe_inbound: tuple[OpenPort, ...] = _INBOUND
    failsafe_outbound: tuple[OpenPort, ...] = _OUTBOUND
    endpoint_to_host: EndpointToHost = "Drop"
    vxlan_from_workloads: bool = False
    ipip_from_workloads: bool = False
    vxlan_port: int = 4789
    source_spoofing: bool = False
    floating_addresses: bool = False
    interface_prefixes: tuple[str, ...] = ("oci", "cali")
    agent_ports: tuple[int, ...] = ()


def settings(specs: Iterable[FelixConfigurationSpec], *, agent_ports: tuple[int, ...] = ()) -> Settings:
    """`specs` from the most special to the most general. Errors: UserError for a failsafe port that is none."""
    one = _Overlay(tuple(specs))
    usual = Settings()
    return Settings(
        failsafe_inbound=_failsafe(one.first("failsafe_inbound_host_ports"), usual.failsafe_inbound),
        failsafe_outbound=_failsafe(one.first("failsafe_outbound_host_ports"), usual.failsafe_outbound),
        endpoint_to_host=cast("EndpointToHost", (one.text("default_endpoint_to_host_action") or "Drop").capitalize()),
        vxlan_from_workloads=bool(one.first("allow_vxlan_packets_from_workloads")),
        ipip_from_workloads=bool(one.first("allow_ipip_packets_from_workloads")),
        vxlan_port=cast("int | None", one.first("vxlan_port")) or usual.vxlan_port,
        source_spoofing=one.text("workload_source_spoofing").lower() == "any",
        floating_addresses=one.text("floating_i_ps") == "Enabled",
        interface_prefixes=_prefixes(one.text("interface_prefix")) or usual.interface_prefixes,
        agent_ports=agent_ports,
    )


class _Overlay(Struct, frozen=True):
    specs: tuple[FelixConfigurationSpec, ...]

    def first(self, field: str) -> object:
        """The value in the most special object that has one; an empty list is a value, an empty text is none."""
        values = (getattr(spec, field) for spec in self.specs)
        return next((value for value in values if value is not None and value != ""), None)

    def text(self, field: str) -> str:
        return cast("str | None", self.first(field)) or ""


def _failsafe(ports: object, usual: tuple[OpenPort, ...]) -> tuple[OpenPort, ...]:
    return usual if ports is None else tuple(map(_open_port, cast("tuple[ProtoPort, ...]", ports)))


def _open_port(written: ProtoPort) -> OpenPort:
    protocol = protocol_number(written.protocol or "TCP")
    if protocol is None:
        raise UserError(f"failsafe port {written.port}: {written.protocol!r} is no protocol", hint="TCP, UDP or SCTP")
    return OpenPort(protocol, written.port, parse_interface(written.net)[1] if written.net else None)


def _prefixes(text: str) -> tuple[str, ...]:
    return tuple(prefix.strip() for prefix in text.split(",") if prefix.strip())
