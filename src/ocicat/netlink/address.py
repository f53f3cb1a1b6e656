"""Addresses on interfaces.

Promises: requests as bytes, dumps and notifications as `Address`. Does no I/O.

Invariant: a record read back from the kernel equals the one that made it, so `wanted - found` is what to add.
Passing states (tentative, deprecated, lifetimes) are therefore not in it.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.inet import family_of, text
from ocicat.netlink.wire import ADD, REPLACE, Query, Request, attr, attr_u32, attributes, head, u32

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22

_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_F_NODAD = 0x02
_F_NOPREFIXROUTE = 0x200


class Address(Struct, frozen=True, gc=False):
    """`address`/`length` on interface `index`.

    `noprefixroute`: the kernel makes no route for the prefix. `nodad`: an IPv6 address is usable at once.
    `peer`: the other side of a point-to-point link; the prefix is then the peer's.
    """

    index: int
    address: bytes
    length: int
    scope: int = 0
    noprefixroute: bool = False
    nodad: bool = False
    peer: bytes = b""

    def __str__(self) -> str:
        return f"address {text(self.address)}/{self.length} on link {self.index}"


def add(address: Address) -> Request:
    return Request(RTM_NEWADDR, ADD, _encode(address), "add", address)


def replace(address: Address) -> Request:
    return Request(RTM_NEWADDR, REPLACE, _encode(address), "set", address)


def delete(address: Address) -> Request:
    return Request(RTM_DELADDR, 0, _encode(address), "delete", address)


def dump(family: int = 0, index: int = 0) -> Query[Address]:
    """All addresses, or those of a family, or of an interface."""
    body = _IFADDR.pack(family, 0, 0, 0, index)
    return Query(Request(RTM_GETADDR, 0, body, "list", "addresses"), decode)


def decode(body: bytes) -> Address:
    """Of the body of an RTM_NEWADDR or RTM_DELADDR."""
    _family, length, short_flags, scope, index = head(_IFADDR, body)
    found = attributes(body, _IFADDR.size)
    flags = u32(found, _FLAGS, short_flags)
    far = found.get(_ADDRESS, b"")
    near = found.get(_LOCAL, far)
    return Address(
        index,
        near,
        length,
        scope,
        bool(flags & _F_NOPREFIXROUTE),
        bool(flags & _F_NODAD),
        b"" if far == near else far,
    )


def _encode(address: Address) -> bytes:
    flags = _F_NOPREFIXROUTE if address.noprefixroute else 0
    flags |= _F_NODAD if address.nodad else 0
    parts = [
        _IFADDR.pack(family_of(address.address), address.length, 0, address.scope, address.index),
        attr(_LOCAL, address.address),
        attr(_ADDRESS, address.peer or address.address),
    ]
    if flags:
        parts.append(attr_u32(_FLAGS, flags))
    return b"".join(parts)
