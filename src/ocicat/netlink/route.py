"""Routes of both families, in any table.

Promises: requests as bytes, dumps and notifications as `Route`. Does no I/O.

Invariants: 1. A record read back equals the one that made it if that one gives what the kernel would fill in:
an IPv6 route without a metric reads back with priority 1024, and has no scope (always 0).
2. A deletion names the route exactly: a route of another protocol, metric or gateway stays.
3. States that come and go by themselves (dead, link down, offloaded) are not in the record.
"""

from __future__ import annotations

import struct

from ocicat.errors import Bug
from ocicat.model.base import Struct
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, INET, INET6, Prefix, family_of, text
from ocicat.netlink.wire import (
    ADD,
    HOST_ORDER,
    REPLACE,
    Query,
    Request,
    attr,
    attr_u32,
    attributes,
    head,
    u32,
)

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST = 1, 2, 3, 4, 5
BLACKHOLE, UNREACHABLE, PROHIBIT, THROW = 6, 7, 8, 9
SCOPE_GLOBAL, SCOPE_LINK, SCOPE_HOST = 0, 253, 254
MAIN, LOCAL_TABLE = 254, 255
PROTOCOL_KERNEL, PROTOCOL_STATIC = 2, 4
IPV6_PRIORITY = 1024  # what the kernel gives an IPv6 route that names none

_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, protocol, scope, type, flags
_NEXTHOP = struct.Struct("=HBBi")  # length, flags, weight - 1, index
_F_ONLINK = 4
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH, _TABLE, _VIA = 1, 4, 5, 6, 7, 9, 15, 18
_NAMES = {BLACKHOLE: "blackhole ", UNREACHABLE: "unreachable ", PROHIBIT: "prohibit ", THROW: "throw "}
_REJECTS = frozenset(_NAMES)


class Hop(Struct, frozen=True, gc=False):
    """One of several next hops; weight 1..256."""

    gateway: bytes = b""
    oif: int = 0
    onlink: bool = False
    weight: int = 1


class Route(Struct, frozen=True, gc=False):
    """`dst` through `gateway` and/or interface `oif`, or through `hops` (then both are empty).

    `onlink`: the gateway counts as a neighbour on `oif` though no route says so.
    `protocol` says who made it: reconcilers touch their own number only.
    """

    dst: Prefix
    gateway: bytes = b""
    oif: int = 0
    onlink: bool = False
    kind: int = UNICAST
    scope: int = SCOPE_GLOBAL
    protocol: int = PROTOCOL_STATIC
    table: int = MAIN
    priority: int = 0
    prefsrc: bytes = b""
    hops: tuple[Hop, ...] = ()

    def __str__(self) -> str:
        via = f" via {text(self.gateway)}" if self.gateway else ""
        dev = f" link {self.oif}" if self.oif else ""
        many = f" over {len(self.hops)} hops" if self.hops else ""
        return f"route {_NAMES.get(self.kind, '')}{self.dst}{via}{dev}{many} table {self.table}"


def add(route: Route) -> Request:
    return Request(RTM_NEWROUTE, ADD, _encode(route), "add", route)


def replace(route: Route) -> Request:
    """Puts it in the place of one with the same destination, table and priority, if there is one."""
    return Request(RTM_NEWROUTE, REPLACE, _encode(route), "set", route)


def delete(route: Route) -> Request:
    return Request(RTM_DELROUTE, 0, _encode(route), "delete", route)


def dump(
    family: int,
    *,
    table: int | None = None,
    protocol: int | None = None,
    oif: int | None = None,
    kind: int | None = None,
) -> Query[Route]:
    """The routes of a family (all tables), narrowed by the kernel itself to what is given."""
    parts = [_RTMSG.pack(family, 0, 0, 0, 0, protocol or 0, 0, kind or 0, 0)]
    if table is not None:
        parts.append(attr_u32(_TABLE, table))
    if oif is not None:
        parts.append(attr_u32(_OIF, oif))
    request = Request(RTM_GETROUTE, 0, b"".join(parts), "list", "routes")
    # A table that no route was ever in does not exist: ENOENT.
    return Query(request, decode, missing_is_empty=True)


def get(destination: bytes) -> Query[Route]:
    """The kernel's own decision for a packet of this host to `destination`."""
    family = family_of(destination)
    body = _RTMSG.pack(family, 8 * len(destination), 0, 0, 0, 0, 0, 0, 0) + attr(_DST, destination)
    return Query(Request(RTM_GETROUTE, 0, body, "find the route to", text(destination)), decode)


def decode(body: bytes) -> Route:
    """Of the body of an RTM_NEWROUTE or RTM_DELROUTE."""
    family, length, _src, _tos, table, protocol, scope, kind, flags = head(_RTMSG, body)
    found = attributes(body, _RTMSG.size)
    dst = found.get(_DST)
    multipath = found.get(_MULTIPATH)
    # The kernel shows an IPv6 route that rejects as standing on the loopback; nobody asked for that.
    rejects = family == INET6 and kind in _REJECTS
    return Route(
        Prefix(dst, length) if dst is not None else _default(family),
        _gateway(found),
        0 if rejects else u32(found, _OIF),
        bool(flags & _F_ONLINK),
        kind,
        scope,
        protocol,
        u32(found, _TABLE, table),
        u32(found, _PRIORITY),
        found.get(_PREFSRC, b""),
        () if multipath is None else _decode_hops(multipath),
    )


def _default(family: int) -> Prefix:
    if family == INET:
        return DEFAULT_V4
    if family == INET6:
        return DEFAULT_V6
    raise Bug(f"route of unknown address family {family}")


def _gateway(found: dict[int, bytes]) -> bytes:
    gateway = found.get(_GATEWAY)
    if gateway is not None:
        return gateway
    via = found.get(_VIA)
    return b"" if via is None else via[2:]


def _decode_hops(data: bytes) -> tuple[Hop, ...]:
    hops = []
    while data:
        size, flags, hops_less_one, oif = head(_NEXTHOP, data)
        if not _NEXTHOP.size <= size <= len(data):
            raise Bug(f"next hop cut short: {len(data)} of {size} bytes")
        gateway = _gateway(attributes(data[_NEXTHOP.size : size]))
        hops.append(Hop(gateway, oif, bool(flags & _F_ONLINK), hops_less_one + 1))
        data = data[(size + 3) & ~3 :]
    return tuple(hops)


def _encode(route: Route) -> bytes:
    dst = route.dst
    family = dst.family
    flags = _F_ONLINK if route.onlink else 0
    # The table of the header has 8 bits; the attribute always says it in full.
    parts = [
        _RTMSG.pack(family, dst.length, 0, 0, 0, route.protocol, route.scope, route.kind, flags),
        attr(_DST, dst.address),
        attr_u32(_TABLE, route.table),
    ]
    if route.gateway:
        parts.append(_encode_gateway(family, route.gateway))
    if route.oif:
        parts.append(attr_u32(_OIF, route.oif))
    if route.priority:
        parts.append(attr_u32(_PRIORITY, route.priority))
    if route.prefsrc:
        parts.append(attr(_PREFSRC, route.prefsrc))
    if route.hops:
        parts.append(attr(_MULTIPATH, b"".join(_encode_hop(family, hop) for hop in route.hops)))
    return b"".join(parts)


def _encode_gateway(family: int, gateway: bytes) -> bytes:
    """An IPv4 route may go by an IPv6 gateway (RFC 5549): that one is RTA_VIA, which names its family."""
    other = family_of(gateway)
    if other == family:
        return attr(_GATEWAY, gateway)
    return attr(_VIA, other.to_bytes(2, HOST_ORDER) + gateway)


def _encode_hop(family: int, hop: Hop) -> bytes:
    gateway = _encode_gateway(family, hop.gateway) if hop.gateway else b""
    flags = _F_ONLINK if hop.onlink else 0
    return _NEXTHOP.pack(_NEXTHOP.size + len(gateway), flags, hop.weight - 1, hop.oif) + gateway
