"""Routing policy rules: which table a packet is looked up in.

Promises: requests as bytes, dumps and notifications as `Rule`. Does no I/O.

Invariant: a deletion gives every selector of the rule, so that a rule of somebody else with the same priority stays.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.inet import INET, Prefix
from ocicat.netlink.route import MAIN
from ocicat.netlink.wire import ADD, Query, Request, attr, attr_text, attr_u8, attr_u32, attributes, head, string, u32

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

TO_TABLE, GOTO, NOP, BLACKHOLE, UNREACHABLE, PROHIBIT = 1, 2, 3, 6, 7, 8

_RULE = struct.Struct("=BBBBBxxBI")  # family, dst len, src len, tos, table, action, flags
_F_INVERT = 0x02
_DST, _SRC, _IIF, _PRIORITY, _MARK, _TABLE, _MASK, _OIF, _PROTOCOL = 1, 2, 3, 6, 10, 15, 16, 17, 21
_ALL_BITS = 0xFFFFFFFF


class Rule(Struct, frozen=True, gc=False):
    """Packets that match all that is given (`invert`: that do not) take `action`, by default a lookup in `table`.

    `mark` is compared under `mask` (0 with a mark: all bits). `protocol` says who made the rule.
    """

    family: int
    priority: int
    table: int = MAIN
    action: int = TO_TABLE
    src: Prefix | None = None
    dst: Prefix | None = None
    iif: str = ""
    oif: str = ""
    mark: int = 0
    mask: int = 0
    invert: bool = False
    protocol: int = 0

    def __str__(self) -> str:
        family = "IPv4" if self.family == INET else "IPv6"
        return f"{family} rule {self.priority} to table {self.table}"


def add(rule: Rule) -> Request:
    return Request(RTM_NEWRULE, ADD, _encode(rule), "add", rule)


def delete(rule: Rule) -> Request:
    return Request(RTM_DELRULE, 0, _encode(rule), "delete", rule)


def dump(family: int) -> Query[Rule]:
    body = _RULE.pack(family, 0, 0, 0, 0, 0, 0)
    return Query(Request(RTM_GETRULE, 0, body, "list", "rules"), decode)


def decode(body: bytes) -> Rule:
    """Of the body of an RTM_NEWRULE or RTM_DELRULE."""
    family, dst_len, src_len, _tos, table, action, flags = head(_RULE, body)
    found = attributes(body, _RULE.size)
    mask = u32(found, _MASK)
    return Rule(
        family,
        u32(found, _PRIORITY),
        u32(found, _TABLE, table),
        action,
        Prefix(found[_SRC], src_len) if _SRC in found else None,
        Prefix(found[_DST], dst_len) if _DST in found else None,
        string(found, _IIF),
        string(found, _OIF),
        u32(found, _MARK),
        0 if mask == _ALL_BITS else mask,
        bool(flags & _F_INVERT),
        u32(found, _PROTOCOL),
    )


def _encode(rule: Rule) -> bytes:
    lengths = (rule.dst.length if rule.dst else 0, rule.src.length if rule.src else 0)
    flags = _F_INVERT if rule.invert else 0
    parts = [
        _RULE.pack(rule.family, *lengths, 0, 0, rule.action, flags),
        attr_u32(_PRIORITY, rule.priority),
        attr_u32(_TABLE, rule.table),
    ]
    parts += [attr(kind, p.address) for kind, p in ((_DST, rule.dst), (_SRC, rule.src)) if p]
    parts += [attr_text(kind, name) for kind, name in ((_IIF, rule.iif), (_OIF, rule.oif)) if name]
    if rule.mark or rule.mask:
        parts += [attr_u32(_MARK, rule.mark), attr_u32(_MASK, rule.mask or _ALL_BITS)]
    if rule.protocol:
        parts.append(attr_u8(_PROTOCOL, rule.protocol))
    return b"".join(parts)
