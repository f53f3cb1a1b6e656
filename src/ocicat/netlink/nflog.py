"""nfnetlink_log: the packets that `log group N` statements copy to whoever has bound the group.

Promises: `NflogSocket` gets every copy, in order of each group, many in one datagram; or says how many it lost.

Invariants: 1. A group has one reader in a network namespace; a second is refused. It is free again when its reader's socket is
closed, however that happens. 2. `read` never blocks and returns after a bounded number of datagrams. 3. The kernel numbers what it
logs to a group, also what finds no room in our buffer: gaps are losses, counted when the next copy of the group arrives.

Source: linux/netfilter/nfnetlink_log.h, net/netfilter/nfnetlink_log.c.
"""

from __future__ import annotations

import errno
import select
import struct
import time
from collections.abc import Iterable, Iterator

from ocicat.errors import Bug, Refused, Unavailable
from ocicat.model.base import Struct
from ocicat.netlink.errors import refusal
from ocicat.netlink.socket import NETLINK_NETFILTER
from ocicat.netlink.subscription import Subscription
from ocicat.netlink.wire import (
    NLM_F_ACK,
    NLMSG_ERROR,
    Message,
    Outcome,
    Request,
    attr,
    attr_u8,
    encode,
    head,
    messages,
    outcome,
)

_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1
_NFGENMSG = struct.Struct(">BBH")  # family, version, group
_CFG_COMMAND, _CFG_MODE = 1, 2
_CFG_TIMEOUT, _CFG_THRESHOLD, _CFG_FLAGS = 4, 5, 6
_BIND = 1
_COPY_PACKET = 2
_NUMBERED = 1
_MODE = struct.Struct(">IBx")  # bytes of each packet, what is copied
_HEADER, _MARK, _TIMESTAMP, _IN, _OUT = range(1, 6)
_PAYLOAD, _PREFIX, _NUMBER = 9, 10, 12
_ATTR = struct.Struct("=HH").unpack_from
_U32 = struct.Struct(">I").unpack_from
_TIME = struct.Struct(">QQ").unpack_from  # seconds, microseconds

HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = range(5)

_BUFFER_BYTES = 16 << 20  # 32 MiB by the kernel's own count
_BIND_TIMEOUT_S = 5.0
_LAST_NUMBER = 0xFFFFFFFF
_READERS_HINT = (
    "/proc/net/netfilter/nfnetlink_log lists the groups that are read, and the netlink ports of their readers"
)


class Copying(Struct, frozen=True):
    """How the kernel hands over a group's packets: the first `snap_bytes` of each; in one datagram up to `threshold` of them, or
    what a page holds, or what has come within `timeout_ms` (a multiple of 10)."""

    snap_bytes: int = 80
    threshold: int = 16
    timeout_ms: int = 100


class Logged(Struct, frozen=True, gc=False):
    """One packet as a rule logged it. `hook`: `HOOK_*`; `indev`, `outdev`: indices, 0 for none; `packet`: its first bytes, from the
    IP header on; `time`: of arrival, seconds since the epoch, 0.0 where the kernel has not noted it."""

    group: int
    number: int
    hook: int
    prefix: str
    indev: int
    outdev: int
    mark: int
    time: float
    packet: bytes


def bind(group: int, copying: Copying) -> Request:
    """From now on whoever sends this gets what is logged to the group."""
    body = (
        _NFGENMSG.pack(0, 0, group),
        attr_u8(_CFG_COMMAND, _BIND),
        attr(_CFG_MODE, _MODE.pack(copying.snap_bytes, _COPY_PACKET)),
        attr(_CFG_TIMEOUT, (copying.timeout_ms // 10).to_bytes(4, "big")),
        attr(_CFG_THRESHOLD, copying.threshold.to_bytes(4, "big")),
        attr(_CFG_FLAGS, _NUMBERED.to_bytes(2, "big")),
    )
    return Request(_CONFIG, 0, b"".join(body), "read", f"what is logged to group {group}")


def decode(body: bytes) -> Logged:
    """One walk over the attributes: there may be ten thousand packets a second."""
    hook = indev = outdev = mark = number = 0
    when, prefix, packet = 0.0, b"", b""
    group = head(_NFGENMSG, body)[2]
    at, end = _NFGENMSG.size, len(body)
    while at < end:
        size, kind = _ATTR(body, at)
        value = at + 4
        if size < 4 or at + size > end:
            raise Bug(f"nflog attribute {kind} cut short: {end - at} of {size} bytes")
        if kind == _PAYLOAD:
            packet = body[value : at + size]
        elif kind == _PREFIX:
            prefix = body[value : at + size - 1]
        elif kind == _NUMBER:
            (number,) = _U32(body, value)
        elif kind == _IN:
            (indev,) = _U32(body, value)
        elif kind == _OUT:
            (outdev,) = _U32(body, value)
        elif kind == _MARK:
            (mark,) = _U32(body, value)
        elif kind == _HEADER:
            hook = body[value + 2]
        elif kind == _TIMESTAMP:
            seconds, micros = _TIME(body, value)
            when = seconds + micros / 1e6
        at += (size + 3) & ~3
    return Logged(group, number, hook, prefix.decode(errors="replace"), indev, outdev, mark, when, packet)


class NflogSocket(Subscription):
    """The reader of these groups in a network namespace. A context manager; wait for `fileno()` to be readable, then `read`.

    Errors: Refused where another program reads one of them.
    """

    def __init__(
        self,
        groups: Iterable[int],
        netns_fd: int | None = None,
        *,
        copying: Copying | None = None,
        rcvbuf_bytes: int = _BUFFER_BYTES,
    ) -> None:
        super().__init__(NETLINK_NETFILTER, (), netns_fd, rcvbuf_bytes)
        self._early: list[Logged] = []
        self._next: dict[int, int] = {}  # the number of each group's next packet
        self.lost = 0
        try:
            for seq, group in enumerate(groups, 1):
                self._next[group] = 0
                self._bind(bind(group, copying or Copying()), seq)
        except BaseException:
            self.close()
            raise

    def read(self) -> Iterator[list[Logged]]:
        """What is there now, perhaps nothing, a datagram at a time. `lost`: how many were lost before them. More may be left: the
        descriptor then stays readable."""
        early, self._early = self._early, []
        if early:
            yield early
        for datagram in self.datagrams():
            if datagram is not None:  # a loss: the next number tells how many
                yield self._decoded(messages(datagram))

    def _decoded(self, received: Iterable[Message]) -> list[Logged]:
        found = [decode(message.body) for message in received if message.type == _PACKET]
        for one in found:
            self.lost += (one.number - self._next[one.group]) & _LAST_NUMBER
            self._next[one.group] = (one.number + 1) & _LAST_NUMBER
        return found

    def _bind(self, request: Request, seq: int) -> None:
        """What comes before the answer is kept."""
        self._socket.send(encode(request, seq, NLM_F_ACK))
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        deadline = time.monotonic() + _BIND_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            for datagram in self.datagrams():
                received = messages(datagram or b"")
                self._early += self._decoded(received)
                for message in received:
                    if message.type == NLMSG_ERROR and message.seq == seq:
                        check(outcome(message), request)
                        return
        raise Unavailable(f"cannot {request}: the kernel does not answer")


def check(found: Outcome, request: Request) -> None:
    """What the kernel answered to a `bind`. Refused, NetlinkError."""
    if found.errno == errno.EPERM:  # said of a group that has another reader, too
        raise Refused(f"cannot {request}: another program reads it, or CAP_NET_ADMIN is missing", hint=_READERS_HINT)
    if found.errno:
        raise refusal(found, request)
