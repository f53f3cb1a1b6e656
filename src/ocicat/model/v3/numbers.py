"""Values that are written as a number or as text: AS numbers, ports, protocols, DSCP. Pure.

Each `parse_` takes what stands in the JSON and gives the canonical value, which is also how it is written back. What it accepts is
the syntax only, as in Calico's api/pkg/lib/numorstring: port 0 and protocol "256" parse, and validation refuses them.
Errors: UserError that quotes the value.
"""

from __future__ import annotations

import re

from ocicat.errors import UserError

AS_MAX = 0xFFFFFFFF
PORT_MAX = 65535
PROTOCOL_NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
PORT_PROTOCOLS = ("TCP", "UDP", "SCTP")
DSCP_VALUES = {
    "DF": 0,
    "BE": 0,
    "EF": 46,
    **{f"CS{group}": 8 * group for group in range(8)},
    **{f"AF{group}{drop}": 8 * group + 2 * drop for group in range(1, 5) for drop in range(1, 4)},
}

_DIGITS = re.compile(r"[0-9]{1,10}")
_RANGE = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")
_PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_PROTOCOL_SPELLINGS = {name.lower(): name for name in PROTOCOL_NUMBERS}


def parse_as_number(written: int | str) -> int:
    """4200000000, "4200000000" or, two halves of 16 bits, "65000.12"."""
    if isinstance(written, int):
        number = written
    elif _DIGITS.fullmatch(written):
        number = int(written)
    else:
        high, dot, low = written.partition(".")
        if not (dot and _is_number(high, 0xFFFF) and _is_number(low, 0xFFFF)):
            raise UserError(f"{written!r} is no AS number")
        number = int(high) << 16 | int(low)
    if not 0 <= number <= AS_MAX:
        raise UserError(f"{written!r} is no AS number: it must be 0 to {AS_MAX}")
    return number


def parse_port(written: int | str) -> int | str:
    """A number, a range "first:last" or the name of a port."""
    if isinstance(written, str) and not _DIGITS.fullmatch(written):
        return written if _PORT_NAME.fullmatch(written) else _range_text(written)
    if not 0 <= int(written) <= PORT_MAX:
        raise UserError(f"{written!r} is no port: it must be 0 to {PORT_MAX}")
    return int(written)


def port_range(port: int | str) -> tuple[int, int] | None:
    """(first, last) of a port that `parse_port` gave; None for a name."""
    if isinstance(port, int):
        return port, port
    found = _RANGE.fullmatch(port)
    return (int(found[1]), int(found[2])) if found else None


def is_port_name(text: str) -> bool:
    return _PORT_NAME.fullmatch(text) is not None


def parse_protocol(written: int | str) -> int | str:
    """A number, or a name in the spelling of `PROTOCOL_NUMBERS`; a name that is not among them stays as it is."""
    if isinstance(written, str):
        return int(written) if _is_number(written, 255) else _PROTOCOL_SPELLINGS.get(written.lower(), written)
    if not 0 <= written <= 255:
        raise UserError(f"{written!r} is no protocol: it must be 0 to 255")
    return written


def protocol_number(written: int | str) -> int | None:
    """1 to 255; None for what is no protocol."""
    if isinstance(written, int):
        return written if 1 <= written <= 255 else None
    protocol = parse_protocol(written)
    return protocol_number(protocol) if isinstance(protocol, int) else PROTOCOL_NUMBERS.get(protocol)


def has_ports(written: int | str) -> bool:
    return protocol_number(written) in {PROTOCOL_NUMBERS[name] for name in PORT_PROTOCOLS}


def parse_dscp(written: int | str) -> int | str:
    """A number or the name of a code point in capitals; a name that is not among them stays as it is."""
    if isinstance(written, int):
        if not 0 <= written <= 255:
            raise UserError(f"{written!r} is no DSCP: it must be 0 to 63")
        return written
    if _is_number(written, 255):
        return int(written)
    return written.upper() if written.upper() in DSCP_VALUES else written


def dscp_value(written: int | str) -> int | None:
    """The six bits that go into the packet; None if there is no such code point."""
    if isinstance(written, int):
        return written if 0 <= written <= 63 else None
    dscp = parse_dscp(written)
    return dscp_value(dscp) if isinstance(dscp, int) else DSCP_VALUES.get(dscp)


def _is_number(text: str, high: int) -> bool:
    return _DIGITS.fullmatch(text) is not None and int(text) <= high


def _range_text(written: str) -> str:
    found = _RANGE.fullmatch(written)
    if not found:
        raise UserError(f"{written!r} is no port, no range like 80:90, and no name of a port")
    first, last = int(found[1]), int(found[2])
    if not first <= last <= PORT_MAX:
        raise UserError(f"{written!r} is no range of ports: FIRST:LAST, neither above {PORT_MAX}, FIRST not above LAST")
    return f"{first}:{last}"
