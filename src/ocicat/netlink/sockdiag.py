"""Sockets of this host that wait for others: TCP that listens, UDP and SCTP that are bound and not connected.

Promises: requests as bytes, dumps as `Listener`. Does no I/O.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.inet import INET, INET6, text
from ocicat.netlink.wire import Query, Request, head

SOCK_DIAG_BY_FAMILY = 20
TCP, UDP, SCTP = 6, 17, 132

_REQUEST = struct.Struct("=BBxxI")  # family, protocol, states; then the socket's id
_SOCKET = struct.Struct(">HH16s16s12x")  # ports and addresses of both ends, interface and cookie
_ANSWER = struct.Struct("=BBxx")  # family, state; then the socket's id, and what we do not need
_CLOSED, _LISTENING = 1 << 7, 1 << 10
_STATES = {TCP: _LISTENING, UDP: _CLOSED, SCTP: _LISTENING}
_FAMILIES = {INET: 4, INET6: 16}


class Listener(Struct, frozen=True, gc=False):
    """`address` (packed) of zeros: every address; that of IPv6 mostly means IPv4 too."""

    protocol: int
    address: bytes
    port: int

    def __str__(self) -> str:
        return f"{text(self.address)} port {self.port}"


def dump(protocol: int, family: int, port: int) -> Query[Listener]:
    """Those at one port. A kernel without that protocol has none."""
    body = _REQUEST.pack(family, protocol, _STATES[protocol]) + _SOCKET.pack(port, 0, b"", b"")
    request = Request(SOCK_DIAG_BY_FAMILY, 0, body, "list", f"sockets at port {port}")
    return Query(request, lambda answer: _decode(protocol, answer), missing_is_empty=True)


def _decode(protocol: int, body: bytes) -> Listener:
    family, _ = head(_ANSWER, body)
    port, _, address, _ = _SOCKET.unpack_from(body, _ANSWER.size)
    return Listener(protocol, address[: _FAMILIES[family]], port)
