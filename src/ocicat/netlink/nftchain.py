"""nftables chains that see what one interface receives (`hook ingress`), and their rules, where one comes with every container.

All other chains are text for `nft`; a process for each container would cost more than all the rest of what it needs.

Promises: requests as bytes, dumps as `Hooked` and `Ruled`. Does no I/O.

Invariants: 1. Changes are valid only inside a transaction (`NetfilterSocket.commit`), dumps outside. 2. A rule asks in nft's own
way, so nft lists it as one of its own. 3. A table, and a chain on the same interface, may be there already: that changes nothing.
Deleting what is not there refuses the whole transaction.

Source: linux/netfilter/nf_tables.h; `nft --debug=netlink` for the statements; for the comment, libnftnl's udata.c.
"""

from __future__ import annotations

import struct
from functools import cache

from ocicat.model.base import Struct
from ocicat.netlink import nftcounter
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftset import ACCEPT, DROP, NFGENMSG, NFNL_SUBSYS_NFTABLES
from ocicat.netlink.wire import (
    HOST_ORDER,
    NLM_F_CREATE,
    Query,
    Request,
    attr,
    attr_text,
    attributes,
    be,
    head,
    nest,
    string,
)

NFPROTO_NETDEV = 5

_SUBSYS = NFNL_SUBSYS_NFTABLES << 8
_NEW_TABLE, _GET_TABLE, _DEL_TABLE = _SUBSYS | 0, _SUBSYS | 1, _SUBSYS | 2
_NEW_CHAIN, _GET_CHAIN, _DEL_CHAIN = _SUBSYS | 3, _SUBSYS | 4, _SUBSYS | 5
_NEW_RULE, _GET_RULE, _DEL_RULE = _SUBSYS | 6, _SUBSYS | 7, _SUBSYS | 8
_APPEND = 0x800

_TABLE_NAME, _TABLE_FLAGS = 1, 2
_DORMANT = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE, _HOOK_DEVICES = 1, 2, 3, 4
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 1, 2, 4, 7
_LIST_ELEM, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 1, 2
_COMMENT = 0  # the first kind of user data

_INGRESS, _FILTER, _PRIORITY = 0, "filter", 0
_REGISTER, _VERDICT_REGISTER = 1, 0
_NETWORK_HEADER, _META_PROTOCOL, _EQUAL = 1, 1, 0
_ETHERTYPES = {4: 0x0800, 16: 0x86DD}
_ARP = 0x0806
_SOURCE_AT = {4: 12, 16: 8}
_ARP_SENDER_AT = 14  # in a request or answer for IPv4 on Ethernet, which are the only ones that the kernel reads
_I32 = struct.Struct(">i")


class ChainName(Struct, frozen=True):
    """A chain that bears the name of its interface, in a table of the family netdev."""

    table: str
    interface: str

    def __str__(self) -> str:
        return f"chain {self.table}/{self.interface}"


class Statement(Struct, frozen=True):
    """One rule: bytes for the kernel, and what nft shows beside it, at most 127 characters."""

    expressions: bytes
    comment: str


class Hooked(Struct, frozen=True):
    """A chain. `proper`: it sees all that the interface of its own name receives, at the usual priority, and accepts at its end."""

    table: str
    name: str
    proper: bool


class Ruled(Struct, frozen=True):
    """A rule, known by its comment; "" is none. Those of a chain are dumped in their order."""

    table: str
    chain: str
    comment: str


def from_source(source: Prefix, through: int = 0) -> bytes:
    """`ip saddr SOURCE`, or `ip6`, accepts; or leads to the interface `through` (an ifindex) first, which must be an ifb."""
    size = len(source.address)
    end = _forward(through) if through else _verdict(ACCEPT)
    return _protocol(_ETHERTYPES[size]) + _network(_SOURCE_AT[size], source) + end


def asks_by_arp(sender: Prefix) -> bytes:
    """`arp saddr ip SENDER` accepts: ARP asks and answers under that IPv4 address."""
    return _protocol(_ARP) + _network(_ARP_SENDER_AT, sender) + _verdict(ACCEPT)


def drop() -> bytes:
    return _verdict(DROP)


def add_table(table: str) -> Request:
    return Request(_NEW_TABLE, NLM_F_CREATE, _header() + attr_text(_TABLE_NAME, table), "add", f"table {table}")


def wake_table(table: str) -> Request:
    """Its chains see packets again. One that is awake stays so; the kernel lets no chain come in the same transaction."""
    body = _header() + attr_text(_TABLE_NAME, table) + attr(_TABLE_FLAGS, _I32.pack(0))
    return Request(_NEW_TABLE, NLM_F_CREATE, body, "wake", f"table {table}")


def delete_table(table: str) -> Request:
    """With all that is in it."""
    return Request(_DEL_TABLE, 0, _header() + attr_text(_TABLE_NAME, table), "delete", f"table {table}")


def add_chain(where: ChainName) -> Request:
    """Accepts at its end: from the moment it is made until the transaction is through it is in the packets' way, and empty."""
    hook = nest(
        _CHAIN_HOOK,
        attr(_HOOK_NUMBER, _I32.pack(_INGRESS)),
        attr(_HOOK_PRIORITY, _I32.pack(_PRIORITY)),
        attr_text(_HOOK_DEVICE, where.interface),
    )
    body = _named(where) + hook + attr(_CHAIN_POLICY, _I32.pack(ACCEPT)) + attr_text(_CHAIN_TYPE, _FILTER)
    return Request(_NEW_CHAIN, NLM_F_CREATE, body, "add", where)


def add_plain_chain(where: ChainName) -> Request:
    """In nobody's way."""
    return Request(_NEW_CHAIN, NLM_F_CREATE, _named(where), "add", where)


def delete_chain(where: ChainName) -> Request:
    """It must be empty."""
    return Request(_DEL_CHAIN, 0, _named(where), "delete", where)


def empty(where: ChainName) -> Request:
    body = _header() + attr_text(_RULE_TABLE, where.table) + attr_text(_RULE_CHAIN, where.interface)
    return Request(_DEL_RULE, 0, body, "empty", where)


def append(where: ChainName, rule: Statement) -> Request:
    """At its end."""
    comment = rule.comment.encode() + b"\0"
    parts = (
        attr_text(_RULE_TABLE, where.table),
        attr_text(_RULE_CHAIN, where.interface),
        nest(_RULE_EXPRESSIONS, rule.expressions),
        attr(_RULE_USERDATA, bytes((_COMMENT, len(comment))) + comment),
    )
    return Request(_NEW_RULE, NLM_F_CREATE | _APPEND, _header() + b"".join(parts), "add a rule to", where)


def dormant() -> Query[str]:
    """The tables of the family whose chains see nothing; "" in place of each other one."""
    return Query(Request(_GET_TABLE, 0, _header(), "list", "tables of interfaces"), _decode_dormant)


def chains() -> Query[Hooked]:
    """Of all tables of the family."""
    return Query(Request(_GET_CHAIN, 0, _header(), "list", "chains of interfaces"), _decode_chain)


def rules(table: str) -> Query[Ruled]:
    """A table that is not there has none."""
    body = _header() + attr_text(_RULE_TABLE, table)
    return Query(Request(_GET_RULE, 0, body, "list the rules of", f"table {table}"), _decode_rule)


def _header() -> bytes:
    return NFGENMSG.pack(NFPROTO_NETDEV, 0, 0)


def _named(where: ChainName) -> bytes:
    return _header() + attr_text(_CHAIN_TABLE, where.table) + attr_text(_CHAIN_NAME, where.interface)


@cache  # as all that is the same in every container's rules
def _protocol(ethertype: int) -> bytes:
    """`meta protocol`."""
    loaded = _expression("meta", attr(1, _I32.pack(_REGISTER)), attr(2, _I32.pack(_META_PROTOCOL)))
    return loaded + _equal(ethertype.to_bytes(2, "big"))


def _network(at: int, wanted: Prefix) -> bytes:
    """What lies at that place behind the link's header."""
    if not wanted.length:
        return b""
    return _loaded(at, len(wanted.address)) + _masked(wanted) + _equal(wanted.address)


@cache
def _loaded(at: int, size: int) -> bytes:
    words = (_REGISTER, _NETWORK_HEADER, at, size)
    return _expression("payload", *(attr(kind, _I32.pack(word)) for kind, word in enumerate(words, 1)))


def _masked(wanted: Prefix) -> bytes:
    size = len(wanted.address)
    if wanted.length == 8 * size:
        return b""
    mask = ((1 << 8 * size) - (1 << 8 * size - wanted.length)).to_bytes(size, "big")
    registers = [attr(kind, _I32.pack(word)) for kind, word in ((1, _REGISTER), (2, _REGISTER), (3, size))]
    return _expression("bitwise", *registers, nest(4, attr(1, mask)), nest(5, attr(1, bytes(size))))


def _equal(value: bytes) -> bytes:
    return _expression("cmp", attr(1, _I32.pack(_REGISTER)), attr(2, _I32.pack(_EQUAL)), nest(3, attr(1, value)))


@cache
def _verdict(code: int) -> bytes:
    said = nest(2, nest(2, attr(1, _I32.pack(code))))
    return _expression("immediate", attr(1, _I32.pack(_VERDICT_REGISTER)), said)


def _forward(index: int) -> bytes:
    """`fwd to`."""
    value = nest(2, attr(1, index.to_bytes(4, HOST_ORDER)))
    loaded = _expression("immediate", attr(1, _I32.pack(_REGISTER)), value)
    return loaded + _expression("fwd", attr(1, _I32.pack(_REGISTER)))


def _expression(name: str, *parts: bytes) -> bytes:
    return nest(_LIST_ELEM, attr_text(_EXPRESSION_NAME, name), nest(_EXPRESSION_DATA, *parts))


def _decode_dormant(body: bytes) -> str:
    head(NFGENMSG, body)
    found = attributes(body, NFGENMSG.size)
    return string(found, _TABLE_NAME) if be(found, _TABLE_FLAGS) & _DORMANT else ""


def _decode_chain(body: bytes) -> Hooked:
    head(NFGENMSG, body)
    found = attributes(body, NFGENMSG.size)
    hook = attributes(found.get(_CHAIN_HOOK, b""))
    device = string(hook, _HOOK_DEVICE) or string(attributes(hook.get(_HOOK_DEVICES, b"")), _HOOK_DEVICE)
    name = string(found, _CHAIN_NAME)
    said = (hook.get(_HOOK_NUMBER), hook.get(_HOOK_PRIORITY), found.get(_CHAIN_POLICY), string(found, _CHAIN_TYPE))
    usual = (_I32.pack(_INGRESS), _I32.pack(_PRIORITY), _I32.pack(ACCEPT), _FILTER)
    return Hooked(string(found, _CHAIN_TABLE), name, device == name and said == usual)


def _decode_rule(body: bytes) -> Ruled:
    head(NFGENMSG, body)
    found = attributes(body, NFGENMSG.size)
    comment = nftcounter.comment(found.get(_RULE_USERDATA, b""))
    return Ruled(string(found, _RULE_TABLE), string(found, _RULE_CHAIN), comment)
