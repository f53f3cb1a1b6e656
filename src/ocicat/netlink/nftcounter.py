"""Named counters of nftables: what they have counted, and what their comments say.

Promises: requests as bytes, dumps as `Count`; whether the table is there at all. Does no I/O, and never resets a counter.

Source: linux/netfilter/nf_tables.h, net/netfilter/nf_tables_api.c (nf_tables_dump_obj); for the comment, libnftnl's udata.c.
"""

from __future__ import annotations

from ocicat.model.base import Struct
from ocicat.netlink.nftset import NFGENMSG, NFNL_SUBSYS_NFTABLES, NFPROTO_INET
from ocicat.netlink.wire import Query, Request, attr, attr_text, attributes, be, head, string

_GET_TABLE, _GET = NFNL_SUBSYS_NFTABLES << 8 | 1, NFNL_SUBSYS_NFTABLES << 8 | 19
_TABLE, _NAME, _TYPE, _DATA, _USERDATA = 1, 2, 3, 4, 8
_COUNTER = 1  # the type
_BYTES, _PACKETS = 1, 2
_COMMENT = 0  # the first kind of user data


class Count(Struct, frozen=True, gc=False):
    """One counter. Its numbers are those of one moment."""

    name: str
    comment: str
    packets: int
    bytes: int


def table(name: str, family: int = NFPROTO_INET) -> Query[str]:
    """Its name again; refused as `missing` if there is no such table."""
    asked = NFGENMSG.pack(family, 0, 0) + attr_text(_TABLE, name)
    return Query(Request(_GET_TABLE, 0, asked, "find", f"table {name}"), lambda body: string(_attributes(body), _TABLE))


def dump(table: str, family: int = NFPROTO_INET) -> Query[Count]:
    """All counters of a table; a table that is not there has none."""
    body = NFGENMSG.pack(family, 0, 0) + attr_text(_TABLE, table) + attr(_TYPE, _COUNTER.to_bytes(4, "big"))
    return Query(Request(_GET, 0, body, "list the counters of", f"table {table}"), decode)


def decode(body: bytes) -> Count:
    """Of the body of an object in a dump."""
    found = _attributes(body)
    data = attributes(found.get(_DATA, b""))
    return Count(string(found, _NAME), comment(found.get(_USERDATA, b"")), be(data, _PACKETS), be(data, _BYTES))


def _attributes(body: bytes) -> dict[int, bytes]:
    head(NFGENMSG, body)
    return attributes(body, NFGENMSG.size)


def comment(userdata: bytes) -> str:
    """What nft keeps with an object or a rule: user data are of one byte of kind, one of length, and as many bytes."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, size = userdata[offset : offset + 2]
        if kind == _COMMENT:
            return userdata[offset + 2 : offset + 2 + size].rstrip(b"\0").decode(errors="replace")
        offset += 2 + size
    return ""
