"""Connection tracking entries: which flows the kernel holds, and requests that end them.

Promises: requests as bytes, dumps as `Flow`. Does no I/O; `flows` sends.

Invariants: 1. Every request here names an address or a flow: a deletion without a condition would cut everybody off,
so none can be built. 2. A flow is deleted by the kernel's own key and identity, so that a new flow which meanwhile
took the same ports stays. 3. The kernel is never asked to filter by an IPv6 address: its comparison is inverted (from
5.8, when filters came, to 6.18 at least), and a flush would end every flow but those that were meant.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence, Set
from enum import Enum

from ocicat.errors import Bug
from ocicat.model.base import Struct
from ocicat.netlink.inet import INET, INET6, Prefix, family_of, text
from ocicat.netlink.nftset import NFGENMSG
from ocicat.netlink.wire import Query, Request, attr, attr_u32, attributes, be, head, nest

_SUBSYS = 1 << 8
CT_NEW, CT_GET, CT_DELETE = _SUBSYS, _SUBSYS | 1, _SUBSYS | 2

_V1 = 1  # with version 0 the kernel ignores the family of a flush
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _MARK, _ID, _ZONE, _FILTER = 1, 2, 3, 8, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SRC, _IP_DST, _IP6_SRC, _IP6_DST = 1, 2, 3, 4
_PROTO_NUM, _PROTO_SRC_PORT, _PROTO_DST_PORT = 1, 2, 3
_ICMP_TYPE, _ICMP_CODE, _ICMP6_TYPE, _ICMP6_CODE = 5, 6, 8, 9
_FILTER_ORIG_FLAGS, _FILTER_REPLY_FLAGS = 1, 2
_COMPARE_SRC, _COMPARE_DST = 1, 2
_ZONE_ID = struct.Struct(">H")

_LENGTH = struct.Struct("=H")

EXPECTED = 0x1  # IPS_EXPECTED: opened by the word of another flow


class Side(Enum):
    """Where in a flow an address stands. REPLY_SRC is who answers: after DNAT, the real destination."""

    ORIG_SRC = "source"
    ORIG_DST = "destination"
    REPLY_SRC = "answering end"


_SIDES = tuple(Side)


class Direction(Struct, frozen=True, gc=False):
    """One direction's addresses and ports, or type and code of ICMP (0 where the protocol has none)."""

    src: bytes
    dst: bytes
    protocol: int
    src_port: int = 0
    dst_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0

    def __str__(self) -> str:
        return f"{text(self.src)}:{self.src_port} > {text(self.dst)}:{self.dst_port} proto {self.protocol}"


class Flow(Struct, frozen=True, gc=False):
    """An entry: as it was opened, as it is answered; `status` are IPS_* bits; `key` and `id` are the kernel's own."""

    original: Direction
    reply: Direction
    status: int
    mark: int
    zone: int
    id: int
    key: bytes

    def __str__(self) -> str:
        return f"flow {self.original}"


def flush(address: bytes, side: Side) -> Request:
    """Ends every flow that has this IPv4 address on that side. Kernels before 6.9 refuse it with EINVAL."""
    if len(address) != 4:
        raise Bug(f"the kernel cannot filter flows by {text(address)}", hint="list them and delete each")
    body = NFGENMSG.pack(INET, _V1, 0) + _filter(address, side)
    return Request(CT_DELETE, 0, body, f"end the flows with {side.value}", text(address))


def dump(family: int) -> Query[Flow]:
    return Query(_get(family, "flows"), decode)


def dump_touching(family: int, addresses: Set[bytes], nets: Sequence[Prefix] = ()) -> Query[Flow | None]:
    """The flows of a family; as None those that have none of the addresses, nor one in `nets`, on any side."""
    return Query(_get(family, "flows"), _chosen(_covering(addresses, nets)))


def dump_by_side(address: bytes, side: Side) -> Query[Flow | None]:
    """The flows that have this IPv4 address on that side, and on none before it; the kernel leaves out all others, if it is 5.8 or
    later, and they are None if it is not."""

    def covers(*ends: bytes) -> bool:
        return address in ends and _SIDES[ends.index(address)] is side

    return Query(_get(INET, f"flows with {side.value} {text(address)}", _filter(address, side)), _chosen(covers))


def _chosen(covers: Callable[[bytes, bytes, bytes], bool]) -> Callable[[bytes], Flow | None]:
    """Most flows of a table that may hold hundreds of thousands are not decoded."""
    return lambda body: decode(body) if covers(*_ends(body)) else None


def _covering(addresses: Set[bytes], nets: Sequence[Prefix]) -> Callable[[bytes, bytes, bytes], bool]:
    if not nets:
        return lambda src, dst, real: src in addresses or dst in addresses or real in addresses
    return lambda *ends: any(end in addresses or any(_within(end, net) for net in nets) for end in ends)


def _within(address: bytes, net: Prefix) -> bool:
    host_bits = 8 * len(address) - net.length
    return len(address) == len(net.address) and _number(address) >> host_bits == _number(net.address) >> host_bits


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def delete(flow: Flow) -> Request:
    header = NFGENMSG.pack(family_of(flow.original.src), _V1, 0)
    parts = [header, nest(_TUPLE_ORIG, flow.key), attr(_ID, flow.id.to_bytes(4, "big"))]
    if flow.zone:
        parts.append(attr(_ZONE, _ZONE_ID.pack(flow.zone)))
    return Request(CT_DELETE, 0, b"".join(parts), "end", flow)


def touches(flow: Flow, address: bytes) -> bool:
    """Whether the flow is from `address`, to it, or by DNAT to it."""
    return address in (flow.original.src, flow.original.dst, flow.reply.src)


def decode(body: bytes) -> Flow:
    """Of the body of an entry in a dump."""
    head(NFGENMSG, body)
    found = attributes(body, NFGENMSG.size)
    key = found.get(_TUPLE_ORIG, b"")
    return Flow(
        _decode_direction(key),
        _decode_direction(found.get(_TUPLE_REPLY, b"")),
        be(found, _STATUS),
        be(found, _MARK),
        be(found, _ZONE),
        be(found, _ID),
        key,
    )


def _decode_direction(raw: bytes) -> Direction:
    usual = _USUAL.get(len(raw))
    if usual is not None and (parts := usual[0].unpack(raw))[::2] == usual[1]:
        return Direction(*parts[1::2])
    found = attributes(raw)
    ip = attributes(found.get(_TUPLE_IP, b""))
    proto = attributes(found.get(_TUPLE_PROTO, b""))
    return Direction(
        ip.get(_IP_SRC) or ip.get(_IP6_SRC, b""),
        ip.get(_IP_DST) or ip.get(_IP6_DST, b""),
        be(proto, _PROTO_NUM),
        be(proto, _PROTO_SRC_PORT),
        be(proto, _PROTO_DST_PORT),
        be(proto, _ICMP_TYPE) or be(proto, _ICMP6_TYPE),
        be(proto, _ICMP_CODE) or be(proto, _ICMP6_CODE),
    )


def _ends(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Source, destination, and who answers, from where they stand in the kernel's message; else it is decoded."""
    size, before = _LAYOUT[body[0]]
    reply = NFGENMSG.size + (_LENGTH.unpack_from(body, NFGENMSG.size)[0] + 3 & ~3)
    if body[8:16] == before == body[reply + 4 : reply + 12]:
        return body[16 : 16 + size], body[20 + size : 20 + 2 * size], body[reply + 12 : reply + 12 + size]
    flow = decode(body)
    return flow.original.src, flow.original.dst, flow.reply.src


def _get(family: int, what: str, narrowed: bytes = b"") -> Request:
    return Request(CT_GET, 0, NFGENMSG.pack(family, _V1, 0) + narrowed, "list", what)


def _filter(address: bytes, side: Side) -> bytes:
    destination = side is Side.ORIG_DST
    reply = side is Side.REPLY_SRC
    compare = _COMPARE_DST if destination else _COMPARE_SRC
    ip = nest(_TUPLE_IP, attr(_IP_DST if destination else _IP_SRC, address))
    return nest(_TUPLE_REPLY if reply else _TUPLE_ORIG, ip) + nest(
        _FILTER,
        attr_u32(_FILTER_ORIG_FLAGS, 0 if reply else compare),
        attr_u32(_FILTER_REPLY_FLAGS, compare if reply else 0),
    )


def _addresses(src: int, dst: int, size: int) -> bytes:
    return nest(_TUPLE_IP, attr(src, bytes(size)), attr(dst, bytes(size)))


# By family: how long addresses are, and what stands before the source in each direction.
_LAYOUT = {
    INET: (4, _addresses(_IP_SRC, _IP_DST, 4)[:8]),
    INET6: (16, _addresses(_IP6_SRC, _IP6_DST, 16)[:8]),
}


def _usual(family: int) -> tuple[struct.Struct, tuple[bytes, ...]]:
    """A direction with ports as kernels write it, what comes before each value, and that: read in one go it costs a quarter."""
    size, _ = _LAYOUT[family]
    src, dst = (_IP_SRC, _IP_DST) if family == INET else (_IP6_SRC, _IP6_DST)
    ports = (attr(_PROTO_NUM, bytes(1)), attr(_PROTO_SRC_PORT, bytes(2)), attr(_PROTO_DST_PORT, bytes(2)))
    layout = struct.Struct(f">8s{size}s4s{size}s8sB3x4sH2x4sH2x")
    return layout, layout.unpack(_addresses(src, dst, size) + nest(_TUPLE_PROTO, *ports))[::2]


_USUAL = {each[0].size: each for each in map(_usual, (INET, INET6))}
