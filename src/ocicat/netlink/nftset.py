"""Elements of nftables sets and maps.

Tables, chains, rules and the sets themselves are text for `nft`; what changes with every container is written here,
because one element through `nft` costs milliseconds and through this microseconds.

Promises: requests as bytes, dumps as `Element`. Does no I/O.

Invariants: 1. Requests of this module are valid only inside a transaction (`NetfilterSocket.commit`), dumps outside.
2. A list of elements of any length becomes as many messages as the 16 bits of an attribute's length ask for.
3. Adding an element that is there is nothing; deleting one that is not refuses the whole transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ocicat.errors import Bug, UserError
from ocicat.model.base import Struct
from ocicat.netlink.inet import packed
from ocicat.netlink.wire import (
    NLM_F_CREATE,
    Query,
    Request,
    attr,
    attr_text,
    attribute_list,
    attributes,
    be,
    head,
    nest,
    string,
)

NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 1, 2, 10

NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
_SUBSYS = NFNL_SUBSYS_NFTABLES << 8
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = _SUBSYS | 12, _SUBSYS | 13, _SUBSYS | 14

DROP, ACCEPT = 0, 1
CONTINUE, BREAK, JUMP, GOTO, RETURN = -1, -2, -3, -4, -5

IFNAME_BYTES = 16  # of an interface name as (the first part of) a key
IFINDEX_BYTES = 4  # of an interface's index

NFGENMSG = struct.Struct(">BBH")  # family, version, resource (of a batch: the subsystem)
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEM = 1
_ELEM_KEY, _ELEM_DATA, _ELEM_FLAGS, _ELEM_KEY_END = 1, 2, 3, 10
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_INTERVAL_END = 0x1
_MAX_LIST_BYTES = 0xFFFF - 4 - 256  # a margin, so that no arithmetic on the edge is needed


_MARK = NFGENMSG.pack(0, 0, NFNL_SUBSYS_NFTABLES)
BATCH_BEGIN = Request(NFNL_MSG_BATCH_BEGIN, 0, _MARK, "begin", "an nftables transaction")
BATCH_END = Request(NFNL_MSG_BATCH_END, 0, _MARK, "commit", "an nftables transaction")


class SetName(Struct, frozen=True):
    """A set or a map, by name, in a table of a family."""

    table: str
    name: str
    family: int = NFPROTO_INET

    def __str__(self) -> str:
        return f"set {self.table}/{self.name}"


class Verdict(Struct, frozen=True, gc=False):
    """What a verdict map says: ACCEPT, DROP, RETURN, CONTINUE; JUMP and GOTO name a chain of the same table."""

    code: int
    chain: str = ""


class Element(Struct, frozen=True, gc=False):
    """A key, and in a map what it maps to: a verdict or a value.

    An interval of one field is two elements, the second with `interval_end` just past it (see `interval`);
    one of concatenated fields is a single element with `key_end`, its last key.
    """

    key: bytes
    data: Verdict | bytes | None = None
    key_end: bytes = b""
    interval_end: bool = False


def jump(chain: str) -> Verdict:
    return Verdict(JUMP, chain)


def goto(chain: str) -> Verdict:
    return Verdict(GOTO, chain)


def key_ipv4(address: bytes | str) -> bytes:
    return _key_address(address, 4)


def key_ipv6(address: bytes | str) -> bytes:
    return _key_address(address, 16)


def key_ifname(name: str) -> bytes:
    """`iifname`, `oifname`: 16 bytes, filled with zeros."""
    raw = name.encode()
    if not 0 < len(raw) < IFNAME_BYTES:
        raise UserError(f"interface name {name!r} is not 1 to {IFNAME_BYTES - 1} bytes")
    return raw.ljust(IFNAME_BYTES, b"\0")


def key_ifindex(index: int) -> bytes:
    """`iif`, `oif`: a register in host order."""
    return struct.pack("=I", index)


def key_protocol(number: int) -> bytes:
    """`inet_proto`."""
    return number.to_bytes(1, "big")


def key_port(number: int) -> bytes:
    """`inet_service`."""
    return number.to_bytes(2, "big")


def key_mark(mark: int) -> bytes:
    """`mark`: a register in host order."""
    return struct.pack("=I", mark)


def concat(*keys: bytes) -> bytes:
    """`a . b . c`: each field fills whole 32-bit registers."""
    return b"".join(key.ljust((len(key) + 3) & ~3, b"\0") for key in keys)


def interval(first: bytes, last: bytes, data: Verdict | bytes | None = None) -> list[Element]:
    """Of one field, both ends included. One that reaches the end of the space needs no closing element."""
    past = int.from_bytes(last, "big") + 1
    if past.bit_length() > 8 * len(last):
        return [Element(first, data)]
    return [Element(first, data), Element(past.to_bytes(len(last), "big"), interval_end=True)]


def add(where: SetName, elements: Sequence[Element]) -> list[Request]:
    """Adds them; none is no message."""
    return _changes(NFT_MSG_NEWSETELEM, NLM_F_CREATE, where, elements, "add elements to")


def delete(where: SetName, elements: Sequence[Element]) -> list[Request]:
    """Deletes them; none is no message (one without elements would empty the set: see `flush`)."""
    return _changes(NFT_MSG_DELSETELEM, 0, where, elements, "delete elements of")


def flush(where: SetName) -> Request:
    """Deletes all elements."""
    return Request(NFT_MSG_DELSETELEM, 0, _named(where), "empty", where)


def dump(where: SetName) -> Query[tuple[Element, ...]]:
    """The elements, some per message: `NetfilterSocket.elements` joins them."""
    return Query(Request(NFT_MSG_GETSETELEM, 0, _named(where), "list", where), decode)


def decode(body: bytes) -> tuple[Element, ...]:
    """Of the body of an NFT_MSG_NEWSETELEM."""
    head(NFGENMSG, body)
    elements = attributes(body, NFGENMSG.size).get(_LIST_ELEMENTS, b"")
    return tuple(_decode_element(raw) for _, raw in attribute_list(elements))


def _changes(kind: int, flags: int, where: SetName, elements: Sequence[Element], verb: str) -> list[Request]:
    named = _named(where)
    return [
        Request(kind, flags, named + nest(_LIST_ELEMENTS, *part), verb, where)
        for part in _parts([_encode_element(element) for element in elements])
    ]


def _parts(encoded: list[bytes]) -> list[list[bytes]]:
    """Runs that fit one nested attribute each."""
    parts: list[list[bytes]] = []
    room = 0
    for element in encoded:
        if len(element) > room:
            parts.append([])
            room = _MAX_LIST_BYTES
        parts[-1].append(element)
        room -= len(element)
    return parts


def _named(where: SetName) -> bytes:
    header = NFGENMSG.pack(where.family, 0, 0)
    return header + attr_text(_LIST_TABLE, where.table) + attr_text(_LIST_SET, where.name)


def _encode_element(element: Element) -> bytes:
    parts = [nest(_ELEM_KEY, attr(_DATA_VALUE, element.key))]
    if element.key_end:
        parts.append(nest(_ELEM_KEY_END, attr(_DATA_VALUE, element.key_end)))
    if element.interval_end:
        parts.append(attr(_ELEM_FLAGS, _INTERVAL_END.to_bytes(4, "big")))
    if element.data is not None:
        parts.append(nest(_ELEM_DATA, _encode_data(element.data)))
    return nest(_LIST_ELEM, *parts)


def _encode_data(data: Verdict | bytes) -> bytes:
    if isinstance(data, bytes):
        return attr(_DATA_VALUE, data)
    code = attr(_VERDICT_CODE, data.code.to_bytes(4, "big", signed=True))
    chain = attr_text(_VERDICT_CHAIN, data.chain) if data.chain else b""
    return nest(_DATA_VERDICT, code, chain)


def _decode_element(raw: bytes) -> Element:
    found = attributes(raw)
    data = found.get(_ELEM_DATA)
    return Element(
        _decode_key(found.get(_ELEM_KEY, b"")),
        None if data is None else _decode_data(data),
        _decode_key(found.get(_ELEM_KEY_END, b"")),
        bool(be(found, _ELEM_FLAGS) & _INTERVAL_END),
    )


def _decode_key(raw: bytes) -> bytes:
    return attributes(raw).get(_DATA_VALUE, b"")


def _decode_data(raw: bytes) -> Verdict | bytes:
    found = attributes(raw)
    if _DATA_VALUE in found:
        return found[_DATA_VALUE]
    if _DATA_VERDICT not in found:
        raise Bug(f"set element maps to neither a value nor a verdict: {raw.hex()}")
    verdict = attributes(found[_DATA_VERDICT])
    code = int.from_bytes(verdict[_VERDICT_CODE], "big", signed=True)
    return Verdict(code, string(verdict, _VERDICT_CHAIN))


def _key_address(address: bytes | str, size: int) -> bytes:
    raw = packed(address) if isinstance(address, str) else address
    if len(raw) != size:
        raise UserError(f"{address!r} is not an IPv{4 if size == 4 else 6} address")
    return raw
