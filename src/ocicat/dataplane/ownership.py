"""What in the kernel is ours, and nothing else is: the one list that readback, sweep and clean-up go by.

    kind                      ours when
    nft table                 it is `inet ocicat` or `netdev ocicat`, with everything in it
    route                     its protocol number is 84, in the main table
    interface                 its name starts with the configured prefix ("oci")
      dying interface         and its alias begins with `DETACHED`, in place of its endpoint's key; no endpoint has it: it is closed
    token bucket              its handle is c1c: (`netlink.qdisc`)
    ifb interface             its name is "bwoci" and the ifindex, in hexadecimal, of the interface that it serves
    conntrack entry           never; those of an address are cut when a workload loses it, those of UDP to a port when that
                              is mapped, and those that policy forbids

Invariants: 1. nothing that fails these tests is changed or removed. 2. `DETACHED` begins no endpoint's key. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from ocicat.errors import UserError
from ocicat.netlink import inet

TABLE = "ocicat"
ROUTE_PROTOCOL = 84
DETACHED = "ocicat: detached"
HOST_MAC = b"\xee" * 6
GATEWAY_V4 = bytes((169, 254, 1, 1))
# The link-local address that the kernel derives from HOST_MAC (RFC 4291, modified EUI-64).
GATEWAY_V6 = bytes.fromhex("fe80000000000000eceeeefffeeeeeee")

_IFB = "bwoci"
_NAME_BYTES = 15  # IFNAMSIZ without its NUL
_ALIAS_ADDRESSES = 5  # of IPv6 at their longest, in an alias of 255 bytes


def is_ours(name: str, prefix: str) -> bool:
    return name.startswith(prefix)


def ifb_name(index: int) -> str:
    """Of the interface through which goes what the workload on interface `index` sends."""
    return f"{_IFB}{index:x}"


def ifb_index(name: str) -> int:
    """The interface that it serves; 0 if it is none of these."""
    found = re.fullmatch(rf"{_IFB}([1-9a-f][0-9a-f]{{0,7}})", name)
    return int(found[1], 16) if found else 0


def detached_alias(addresses: Sequence[bytes]) -> str:
    """What a dying interface is called. Its addresses (packed) are in it: whoever deletes it cuts their flows first."""
    return " ".join([DETACHED, *map(inet.text, addresses[:_ALIAS_ADDRESSES])])


def is_detached(alias: str) -> bool:
    return alias.startswith(DETACHED)


def detached_addresses(alias: str) -> list[bytes]:
    """Of a dying interface, packed. Anybody may have written there: what is not an address is passed over."""
    addresses = []
    for word in alias.removeprefix(DETACHED).split():
        with suppress(UserError):
            addresses.append(inet.packed(word))
    return addresses


def check_interface(name: str, prefix: str) -> None:
    """A name for the host side of a workload; UserError if the dispatch could not tell it for ours."""
    if not re.fullmatch(rf"{re.escape(prefix)}[A-Za-z0-9]+", name) or len(name) > _NAME_BYTES:
        raise UserError(
            f"interface {name!r} is not a name for a workload",
            hint=f"{prefix!r} followed by letters and digits, at most {_NAME_BYTES} characters in all",
        )
