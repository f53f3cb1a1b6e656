"""Records as people write them: the text of their types and data. PURE."""

from __future__ import annotations

import struct
from contextlib import suppress

from ocicat.dns import names
from ocicat.dns.wire import Malformed, Type, read_name
from ocicat.errors import UserError
from ocicat.model.net import Addr

_NAMES = (Type.NS, Type.CNAME, Type.PTR)


def type_text(number: int) -> str:
    """`A`, or `TYPE257` for one that has no name here (RFC 3597)."""
    with suppress(ValueError):
        return Type(number).name
    return f"TYPE{number}"


def parse_type(text: str) -> int:
    """UserError for what is none."""
    with suppress(KeyError):
        return Type[text.upper()]
    number = text.upper().removeprefix("TYPE")
    if number.isascii() and number.isdecimal() and number != text and int(number) < 65536:
        return int(number)
    known = ", ".join(one.name for one in Type if one not in (Type.OPT, Type.AXFR, Type.IXFR))
    raise UserError(f"{text!r} is no type of record", hint=f"one of {known}, or TYPE and a number")


def data_text(type_: int, data: bytes) -> str:
    """What cannot be read as its type says is written as the bytes that it is."""
    with suppress(Malformed, struct.error, IndexError, ValueError):
        return _read(type_, data)
    return rf"\# {len(data)} {data.hex()}".rstrip()


def _read(type_: int, data: bytes) -> str:
    if (type_, len(data)) in ((Type.A, 4), (Type.AAAA, 16)):
        return str(Addr.unpack(data))
    if type_ in _NAMES:
        return names.text(read_name(data, 0)[0])
    if type_ == Type.SRV:
        return "{} {} {}".format(*struct.unpack_from("!3H", data)) + f" {names.text(read_name(data, 6)[0])}"
    if type_ == Type.SOA:
        server, at = read_name(data, 0)
        mailbox, at = read_name(data, at)
        numbers = struct.unpack("!5I", data[at:])
        return " ".join([names.text(server), names.text(mailbox), *map(str, numbers)])
    if type_ == Type.TXT:
        return " ".join(_strings(data))
    raise ValueError


def _strings(data: bytes) -> list[str]:
    parts, at = [], 0
    while at < len(data):
        part = data[at + 1 : at + 1 + data[at]]
        if len(part) < data[at]:
            raise ValueError
        parts.append('"' + "".join(map(_character, part)) + '"')
        at += 1 + data[at]
    return parts


def _character(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}"
