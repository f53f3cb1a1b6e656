"""Netlink messages and attributes, bytes to values and back.

Promises: framing, attribute trees, and what the kernel says about a request (errno, extended acknowledgement).
Does no I/O and knows no message family.

Invariants: 1. What is encoded is aligned to 4 bytes. 2. Unknown attributes are carried, never an error.
3. A message or attribute that is cut short is a `Bug`, never a shorter value.
4. Where an attribute comes twice at one level, `attributes` keeps the last; lists are read with `attribute_list`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from ocicat.errors import Bug
from ocicat.model.base import Struct

T = TypeVar("T")

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

NLM_F_REQUEST = 0x01
NLM_F_MULTI = 0x02
NLM_F_ACK = 0x04
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200

ADD = NLM_F_CREATE | NLM_F_EXCL
REPLACE = NLM_F_CREATE | NLM_F_REPLACE

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_EXT_MSG = 1
_EXT_OFFSET = 2
_EXT_MISSING = 5

HOST_ORDER: Literal["little", "big"] = sys.byteorder
HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_ATTR_U8 = struct.Struct("=HHBxxx")
_ATTR_U16 = struct.Struct("=HHHxx")
_ATTR_U32 = struct.Struct("=HHI")
_U32 = struct.Struct("=I")
_I32 = struct.Struct("=i")
_PAD = (b"", b"\0\0\0", b"\0\0", b"\0")
_MAX_ATTRIBUTE = 0xFFFF


class Request(Struct, frozen=True):
    """One message to send: its type, its own flags, the body after the header; and, for people, what it asks.

    `verb` and `subject` are put together only when something fails: a text per route would double the cost of one.
    """

    type: int
    flags: int
    body: bytes
    verb: str
    subject: object

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"


class Query(Struct, Generic[T], frozen=True):
    """A request that is answered by values. `missing_is_empty`: a dump of nothing is ENOENT, not an empty dump."""

    request: Request
    decode: Callable[[bytes], T]
    missing_is_empty: bool = False


class Message(Struct, frozen=True, gc=False):
    """One received message; `body` is what follows the header."""

    type: int
    flags: int
    seq: int
    body: bytes


class Outcome(Struct, frozen=True, gc=False):
    """What the kernel said of a request: errno (0: done), its own words, and the offset of the offending byte."""

    errno: int
    text: str = ""
    offset: int = 0


def encode(request: Request, seq: int, flags: int = 0) -> bytes:
    """The message on the wire. `flags` join those of the request."""
    size = HEADER.size + len(request.body)
    flags |= request.flags | NLM_F_REQUEST
    return HEADER.pack(size, request.type, flags, seq, 0) + request.body


def messages(data: bytes) -> list[Message]:
    """The messages of one datagram, in order."""
    found = []
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < HEADER.size:
            raise Bug(f"netlink header cut short: {end - offset} of {HEADER.size} bytes")
        size, kind, flags, seq, _port = HEADER.unpack_from(data, offset)
        if size < HEADER.size or offset + size > end:
            raise Bug(f"netlink message cut short: {end - offset} of {size} bytes")
        found.append(Message(kind, flags, seq, data[offset + HEADER.size : offset + size]))
        offset += (size + 3) & ~3
    return found


def outcome(message: Message) -> Outcome:
    """Of an NLMSG_ERROR (errno 0 is an acknowledgement) or NLMSG_DONE."""
    body = message.body
    if len(body) < 4:
        # A DONE without a status is how old kernels end a dump that went well.
        return Outcome(0)
    code = -int(_I32.unpack_from(body)[0])
    if not message.flags & _NLM_F_ACK_TLVS:
        return Outcome(code)
    found = attributes(body, 4 if message.type == NLMSG_DONE else _echo_end(message, code))
    text = found.get(_EXT_MSG, b"").rstrip(b"\0").decode(errors="replace")
    if not text and _EXT_MISSING in found:
        text = f"attribute {u32(found, _EXT_MISSING)} is missing"
    return Outcome(code, text, u32(found, _EXT_OFFSET))


def _echo_end(message: Message, code: int) -> int:
    """Where the echo of the request ends: only its header comes back on success, or when capped."""
    echo = head(_U32, message.body[4:])[0]
    if code == 0 or message.flags & _NLM_F_CAPPED:
        echo = HEADER.size
    return 4 + ((echo + 3) & ~3)


def head(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    """The fixed part at the start of a body."""
    if len(body) < layout.size:
        raise Bug(f"netlink message body cut short: {len(body)} of {layout.size} bytes")
    return layout.unpack_from(body)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Type to payload, of the attributes in `data[offset:]`."""
    return dict(attribute_list(data, offset))


def attribute_list(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """The same, in order, keeping every one: for lists, where all have one type."""
    found = []
    end = len(data)
    while offset < end:
        if end - offset < 4:
            raise Bug(f"netlink attribute cut short: {end - offset} of 4 bytes")
        size, kind = _ATTR.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            raise Bug(f"netlink attribute {kind} cut short: {end - offset} of {size} bytes")
        found.append((kind & _NLA_TYPE_MASK, data[offset + 4 : offset + size]))
        offset += (size + 3) & ~3
    return found


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded. At most 65,531 bytes of payload: the length field has 16 bits."""
    size = 4 + len(payload)
    if size > _MAX_ATTRIBUTE:
        raise Bug(f"netlink attribute {kind} of {size} bytes does not fit 16 bits")
    return _ATTR.pack(size, kind) + payload + _PAD[size & 3]


def nest(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attr(kind | NLA_F_NESTED, b"".join(parts))


def attr_u8(kind: int, value: int) -> bytes:
    return _ATTR_U8.pack(5, kind, value)


def attr_u16(kind: int, value: int) -> bytes:
    return _ATTR_U16.pack(6, kind, value)


def attr_u32(kind: int, value: int) -> bytes:
    return _ATTR_U32.pack(8, kind, value)


def attr_text(kind: int, value: str) -> bytes:
    """A string with its closing zero."""
    return attr(kind, value.encode() + b"\0")


def u32(found: dict[int, bytes], kind: int, default: int = 0) -> int:
    """A number in host order, of whatever width it has."""
    raw = found.get(kind)
    return default if raw is None else int.from_bytes(raw, HOST_ORDER)


def be(found: dict[int, bytes], kind: int, default: int = 0) -> int:
    """A number in network order, of whatever width it has."""
    raw = found.get(kind)
    return default if raw is None else int.from_bytes(raw, "big")


def string(found: dict[int, bytes], kind: int) -> str:
    """A string without its closing zero; absent is empty."""
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")
