"""Queueing disciplines that limit what an interface sends, and filters that redirect what it receives.

Promises: requests as bytes, dumps as `Qdisc` and `Redirect`. Does no I/O.

Invariants: 1. A token bucket is said in the kernel's own units, so what is read back equals what was asked for. 2. Every request
but those to remove may be repeated. 3. A bucket of ours is known by its handle.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.wire import (
    HOST_ORDER,
    REPLACE,
    Query,
    Request,
    attr,
    attr_text,
    attributes,
    head,
    nest,
    string,
    u32,
)

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46

ROOT = 0xFFFFFFFF
_INGRESS = 0xFFFF0000  # the handle of what lets filters see what comes in, be it "ingress" or "clsact"
_INGRESS_PARENT = 0xFFFFFFF1
_INGRESS_FILTERS = 0xFFFFFFF2
HANDLE = 0x0C1C_0000  # "c1c:": ours

TICK_NS = 64  # the kernel's unit of time in these structures
TICKS_MAX = 0xFFFF_FFFF

_TCMSG = struct.Struct("=BxxxiIII")  # family, ifindex, handle, parent, info
_RATE = struct.Struct("=BBHhHI")  # cell_log, link layer, overhead, cell_align, mpu, bytes per second
_TBF = struct.Struct("=III")  # limit, buffer, mtu; after the two rates
_MIRRED = struct.Struct("=IIiiiiI")  # index, capabilities, action, references, bindings, what to do, ifindex

_KIND, _OPTIONS = 1, 2
_TBF_PARMS, _TBF_RATE64, _TBF_PRATE64 = 1, 4, 5
_U32_SEL, _U32_ACT = 5, 7
_ACT_KIND, _ACT_OPTIONS = 1, 2
_MIRRED_PARMS = 2
_FIRST = 1
_ETHERNET = 1  # the link layer of which no table of sizes is needed
_EGRESS_REDIRECT = 1
_PRIORITY_ALL = (1 << 16) | int.from_bytes((0x0003).to_bytes(2, "big"), HOST_ORDER)  # priority 1, ETH_P_ALL


class Bucket(Struct, frozen=True, gc=False):
    """A token bucket: bytes per second, and the time it takes to fill it at that rate, in ticks; how many bytes may wait.

    `peak` and `peak_ticks`: a second bucket, that what is in the first one has to pass too (0: none).
    """

    rate: int
    ticks: int
    limit: int
    peak: int = 0
    peak_ticks: int = 0

    def __str__(self) -> str:
        return f"a limit of {self.rate * 8} bit/s"


class Qdisc(Struct, frozen=True, gc=False):
    """What an interface has at `parent`. `bucket`: of kind tbf only."""

    index: int
    kind: str
    handle: int
    parent: int
    bucket: Bucket | None = None

    @property
    def is_ours(self) -> bool:
        return self.bucket is not None and self.handle == HANDLE and self.parent == ROOT


class Redirect(Struct, frozen=True, gc=False):
    """A filter of what comes in, or a part of one. `first`: it is asked before all others, and about every packet. `target`: the
    ifindex that it sends packets to; 0 if it does something else."""

    index: int
    first: bool
    target: int = 0


def shape(index: int, bucket: Bucket) -> Request:
    """What the interface sends passes that bucket, in place of whatever it had to pass."""
    parms = _rate(bucket.rate) + _rate(bucket.peak) + _TBF.pack(bucket.limit, bucket.ticks, bucket.peak_ticks)
    options = attr(_TBF_PARMS, parms)
    for kind, rate in ((_TBF_RATE64, bucket.rate), (_TBF_PRATE64, bucket.peak)):
        if rate >= 1 << 32:
            options += attr(kind, rate.to_bytes(8, HOST_ORDER))
    body = _TCMSG.pack(0, index, HANDLE, ROOT, 0) + attr_text(_KIND, "tbf") + nest(_OPTIONS, options)
    return Request(RTM_NEWQDISC, REPLACE, body, "put on an interface", bucket)


def unshape(index: int) -> Request:
    """Only ours goes: an interface that has another is refused as missing ours."""
    body = _TCMSG.pack(0, index, HANDLE, ROOT, 0)
    return Request(RTM_DELQDISC, 0, body, "remove the limit of interface", index)


def take_in_no_more(index: int) -> Request:
    """Takes the filters with it, whosever they are; another kind stays."""
    body = _TCMSG.pack(0, index, _INGRESS, _INGRESS_PARENT, 0) + attr_text(_KIND, "ingress")
    return Request(RTM_DELQDISC, 0, body, "let no filter see what comes in on interface", index)


def redirect_no_more(index: int) -> Request:
    body = _TCMSG.pack(0, index, 0, _INGRESS_FILTERS, _PRIORITY_ALL) + attr_text(_KIND, "u32")
    return Request(RTM_DELTFILTER, 0, body, "redirect no more what comes in on interface", index)


def dump() -> Query[Qdisc]:
    """Of all interfaces. To ask for one would be told to whoever listens for changes, ourselves included."""
    return Query(Request(RTM_GETQDISC, 0, _TCMSG.pack(0, 0, 0, 0, 0), "list", "queueing disciplines"), decode)


def filters(index: int) -> Query[Redirect]:
    """Of what comes in on that interface."""
    body = _TCMSG.pack(0, index, 0, _INGRESS_FILTERS, 0)
    return Query(
        Request(RTM_GETTFILTER, 0, body, "list filters of interface", index), decode_filter, missing_is_empty=True
    )


def decode(body: bytes) -> Qdisc:
    """Of the body of an RTM_NEWQDISC or RTM_DELQDISC."""
    _, index, handle, parent, _ = head(_TCMSG, body)
    found = attributes(body, _TCMSG.size)
    kind = string(found, _KIND)
    return Qdisc(index, kind, handle, parent, _decode_tbf(found.get(_OPTIONS, b"")) if kind == "tbf" else None)


def decode_filter(body: bytes) -> Redirect:
    """Of the body of an RTM_NEWTFILTER or RTM_DELTFILTER."""
    _, index, _, _, info = head(_TCMSG, body)
    first = info == _PRIORITY_ALL
    options = attributes(attributes(body, _TCMSG.size).get(_OPTIONS, b""))
    action = attributes(attributes(options.get(_U32_ACT, b"")).get(_FIRST, b""))
    parms = attributes(action.get(_ACT_OPTIONS, b"")).get(_MIRRED_PARMS, b"")
    if options.get(_U32_SEL) is None or len(parms) < _MIRRED.size:
        return Redirect(index, first)
    _, _, _, _, _, what, target = _MIRRED.unpack_from(parms)
    return Redirect(index, first, target if what == _EGRESS_REDIRECT else 0)


def _rate(bytes_s: int) -> bytes:
    """All ones: the true rate is in an attribute of 64 bits."""
    return _RATE.pack(0, _ETHERNET, 0, 0, 0, min(bytes_s, 0xFFFF_FFFF))


def _decode_tbf(options: bytes) -> Bucket:
    found = attributes(options)
    parms = found.get(_TBF_PARMS, b"").ljust(2 * _RATE.size + _TBF.size, b"\0")
    rate = _RATE.unpack_from(parms)[5]
    peak = _RATE.unpack_from(parms, _RATE.size)[5]
    limit, ticks, peak_ticks = _TBF.unpack_from(parms, 2 * _RATE.size)
    return Bucket(u32(found, _TBF_RATE64, rate), ticks, limit, u32(found, _TBF_PRATE64, peak), peak_ticks)
