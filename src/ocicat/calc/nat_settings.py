"""What FelixConfiguration says about how packets leave the pools, for one host. Pure.

A field that the host's own object has goes before that of `default`. Promise: a value that cannot be used is passed over, as if it
were not there; `problems` tells it. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.numbers import parse_port, port_range
from ocicat.model.wanted import PortRange

T = TypeVar("T")

_INTERFACE = re.compile(r"[a-zA-Z0-9._-]{1,15}|[a-zA-Z0-9._-]{1,14}\+")  # it becomes part of the ruleset's text
_EXCLUSIONS = ("IPPoolsOnly", "IPPoolsAndHostIPs")


class NatSettings(Struct, frozen=True, kw_only=True):
    """Fields as in `model.wanted.OutgoingNat`; `spares_hosts`: packets to the hosts themselves keep their source too."""

    ports: PortRange | None = None
    address: Addr | None = None
    interface: str = ""
    spares_hosts: bool = False


def settings(specs: Iterable[FelixConfigurationSpec]) -> NatSettings:
    """`specs` from the most special to the most general."""
    overlay = tuple(specs)
    return NatSettings(
        ports=_first(overlay, _ports, None),
        address=_first(overlay, _address, None),
        interface=_first(overlay, _interface, NatSettings().interface),
        spares_hosts=_first(overlay, _spares_hosts, NatSettings().spares_hosts),
    )


def problems(spec: FelixConfigurationSpec) -> tuple[str, ...]:
    """What in one object is passed over, and why."""
    readers = (_ports, _address, _interface, _spares_hosts)
    return tuple(text for read in readers if (text := _problem(read, spec)))


def _first(specs: Iterable[FelixConfigurationSpec], read: Callable[[FelixConfigurationSpec], T | None], usual: T) -> T:
    usable = (spec for spec in specs if not _problem(read, spec))
    return next((value for spec in usable if (value := read(spec)) is not None), usual)


def _problem(read: Callable[[FelixConfigurationSpec], object], spec: FelixConfigurationSpec) -> str:
    try:
        read(spec)
    except UserError as error:
        return str(error)
    return ""


# --- one field of one object: its value, None if it has none; errors: UserError -----------------------------------------


def _ports(spec: FelixConfigurationSpec) -> PortRange | None:
    if spec.nat_port_range is None or spec.nat_port_range == 0:
        return None
    try:
        found = port_range(parse_port(spec.nat_port_range))
    except UserError as error:
        raise _unusable("natPortRange", error.message, "FIRST:LAST") from error
    if found is None or not found[0]:
        raise _unusable("natPortRange", f"{spec.nat_port_range!r} has no numbers from 1 to 65535", "FIRST:LAST")
    return found


def _address(spec: FelixConfigurationSpec) -> Addr | None:
    if not spec.nat_outgoing_address:
        return None
    try:
        found = Addr.parse(spec.nat_outgoing_address)
    except UserError as error:
        raise _unusable("natOutgoingAddress", error.message, "an IPv4 address of the host") from error
    if found.family != 4:
        raise _unusable("natOutgoingAddress", f"{found} is not IPv4", "an IPv4 address of the host")
    return found


def _interface(spec: FelixConfigurationSpec) -> str | None:
    written = spec.iptables_nat_outgoing_interface_filter
    if not written:
        return None
    if not _INTERFACE.fullmatch(written):
        raise _unusable(
            "iptablesNATOutgoingInterfaceFilter", f"{written!r} is no interface", "its name, or its beginning and +"
        )
    return written.removesuffix("+") + "*" if written.endswith("+") else written


def _spares_hosts(spec: FelixConfigurationSpec) -> bool | None:
    written = spec.nat_outgoing_exclusions
    if written and written not in _EXCLUSIONS:
        raise _unusable("natOutgoingExclusions", f"{written!r} is neither", " or ".join(_EXCLUSIONS))
    return written == _EXCLUSIONS[1] if written else None


def _unusable(field: str, fault: str, hint: str) -> UserError:
    return UserError(f"{field} is passed over: {fault}", hint=hint)
