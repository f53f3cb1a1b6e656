"""Neighbours (ARP and ND entries), proxied neighbours, and the forwarding entries of vxlan devices.

Promises: requests as bytes, dumps and notifications as `Neighbour`. Does no I/O.

Invariant: entries made here are permanent unless told otherwise: garbage collection and probing leave them alone.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.inet import BRIDGE, family_of, mac_text, text
from ocicat.netlink.wire import ADD, REPLACE, Query, Request, attr, attr_u32, attributes, head

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

REACHABLE, STALE, DELAY, PROBE, FAILED, NOARP, PERMANENT = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80

_NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_DST, _LLADDR, _IFINDEX = 1, 2, 8
_F_SELF = 0x02
_F_PROXY = 0x08


class Neighbour(Struct, frozen=True, gc=False):
    """`address` on interface `index` is at `mac`. `proxy`: this host answers for it instead (no MAC, no state)."""

    index: int
    address: bytes
    mac: bytes = b""
    state: int = PERMANENT
    proxy: bool = False

    def __str__(self) -> str:
        what = "proxied neighbour" if self.proxy else "neighbour"
        return f"{what} {text(self.address)} on link {self.index}"


class Forwarding(Struct, frozen=True, gc=False):
    """On vxlan device `index`, frames for `mac` go to the tunnel end `remote`."""

    index: int
    mac: bytes
    remote: bytes

    def __str__(self) -> str:
        return f"forwarding of {mac_text(self.mac)} to {text(self.remote)} on link {self.index}"


def add(neighbour: Neighbour) -> Request:
    return Request(RTM_NEWNEIGH, ADD, _encode(neighbour), "add", neighbour)


def replace(neighbour: Neighbour) -> Request:
    return Request(RTM_NEWNEIGH, REPLACE, _encode(neighbour), "set", neighbour)


def delete(neighbour: Neighbour) -> Request:
    return Request(RTM_DELNEIGH, 0, _encode(neighbour), "delete", neighbour)


def dump(family: int, index: int = 0, *, proxy: bool = False) -> Query[Neighbour]:
    """The neighbours of a family, or of one interface; with `proxy`, the proxied ones instead."""
    body = _NDMSG.pack(family, 0, 0, _F_PROXY if proxy else 0, 0)
    if index:
        body += attr_u32(_IFINDEX, index)
    return Query(Request(RTM_GETNEIGH, 0, body, "list", "neighbours"), decode)


def replace_forwarding(entry: Forwarding) -> Request:
    return Request(RTM_NEWNEIGH, REPLACE, _encode_forwarding(entry), "set", entry)


def delete_forwarding(entry: Forwarding) -> Request:
    return Request(RTM_DELNEIGH, 0, _encode_forwarding(entry), "delete", entry)


def dump_forwarding(index: int) -> Query[Forwarding]:
    """The entries of one vxlan device, its own and learned ones; one without a remote is the bridge's."""
    body = _NDMSG.pack(BRIDGE, index, 0, 0, 0)
    return Query(Request(RTM_GETNEIGH, 0, body, "list", f"forwarding entries of link {index}"), _decode_forwarding)


def decode(body: bytes) -> Neighbour:
    """Of the body of an RTM_NEWNEIGH or RTM_DELNEIGH of family INET or INET6."""
    _family, index, state, flags, _type = head(_NDMSG, body)
    found = attributes(body, _NDMSG.size)
    if flags & _F_PROXY:
        return Neighbour(index, found.get(_DST, b""), proxy=True)
    return Neighbour(index, found.get(_DST, b""), found.get(_LLADDR, b""), state)


def _decode_forwarding(body: bytes) -> Forwarding:
    _family, index, _state, _flags, _type = head(_NDMSG, body)
    found = attributes(body, _NDMSG.size)
    return Forwarding(index, found.get(_LLADDR, b""), found.get(_DST, b""))


def _encode(neighbour: Neighbour) -> bytes:
    state, flags = (0, _F_PROXY) if neighbour.proxy else (neighbour.state, 0)
    header = _NDMSG.pack(family_of(neighbour.address), neighbour.index, state, flags, 0)
    mac = attr(_LLADDR, neighbour.mac) if neighbour.mac else b""
    return header + attr(_DST, neighbour.address) + mac


def _encode_forwarding(entry: Forwarding) -> bytes:
    header = _NDMSG.pack(BRIDGE, entry.index, PERMANENT, _F_SELF, 0)
    return header + attr(_LLADDR, entry.mac) + attr(_DST, entry.remote)
