"""Addresses as the kernel takes them: packed bytes in network order, 4 or 16 of them (a MAC: 6).

Promises: text in, bytes out, and back; what is not an address is a `UserError` that quotes it. Does no I/O.

Invariants: 1. The length of an address says its family, so no family travels beside one.
2. A `Prefix` made by `prefix` has no host bits set.
"""

from __future__ import annotations

import ipaddress

from ocicat.errors import UserError
from ocicat.model.base import Struct

INET = 2
INET6 = 10
BRIDGE = 7  # forwarding database entries and bridge port states come under this family

_FAMILY = {4: INET, 16: INET6}


class Prefix(Struct, frozen=True, order=True, gc=False):
    """`length` leading bits (0..32 or 0..128) of `address`."""

    address: bytes
    length: int

    @property
    def family(self) -> int:
        return family_of(self.address)

    def __str__(self) -> str:
        return f"{text(self.address)}/{self.length}"


DEFAULT_V4 = Prefix(bytes(4), 0)
DEFAULT_V6 = Prefix(bytes(16), 0)


def family_of(address: bytes) -> int:
    """INET or INET6, by length."""
    family = _FAMILY.get(len(address))
    if family is None:
        raise UserError(f"{address!r} is not a packed address", hint="give 4 or 16 bytes in network order")
    return family


def packed(address: str) -> bytes:
    """`10.0.0.1` to 4 bytes, `fd00::1` to 16; a zone (`%eth0`) has no place in them."""
    try:
        if "%" in address:
            raise ValueError("it has a zone")
        return ipaddress.ip_address(address).packed
    except ValueError as error:
        raise UserError(f"{address!r} is not an IP address") from error


def text(address: bytes) -> str:
    """The usual text of a packed address; an absent one (no bytes) is `-`."""
    if not address:
        return "-"
    family_of(address)
    return str(ipaddress.ip_address(address))


def prefix(spec: str) -> Prefix:
    """`10.0.0.0/26`, or a bare address for the prefix of that host alone."""
    try:
        network = ipaddress.ip_network(spec)
    except ValueError as error:
        raise UserError(f"{spec!r} is not a prefix", hint=str(error)) from error
    return Prefix(network.network_address.packed, network.prefixlen)


def host(address: bytes) -> Prefix:
    """The prefix that holds `address` only."""
    return Prefix(address, 8 * len(address))


def mac_packed(mac: str) -> bytes:
    """`ee:ee:ee:ee:ee:ee` to 6 bytes."""
    parts = mac.split(":")
    try:
        if len(parts) != 6 or any(len(part) != 2 for part in parts):
            raise ValueError
        return bytes.fromhex("".join(parts))
    except ValueError:
        raise UserError(f"{mac!r} is not a MAC address", hint="write it like ee:ee:ee:ee:ee:ee") from None


def mac_text(mac: bytes) -> str:
    return mac.hex(":")
