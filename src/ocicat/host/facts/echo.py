"""Echoes of ICMP of a given size, from one address: which sizes come back.

Promise: all sizes of one question are under way at once, so that a question takes one patience, however many are lost. Once
something came back, patience is as long as that took, many times over.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from ocicat.errors import Refused

PATIENCE_S = 0.7
TRIES = 2
_LEAST_PATIENCE_S = 0.2
_ROUND_TRIPS = 20
HEADERS_BYTES = {4: 28, 6: 48}  # of IP and ICMP

_HEAD = struct.Struct(">BBHHH")  # type, code, checksum, identifier, sequence number
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_MTU_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_WHOLE, _ANY = 3, 0  # IP_PMTUDISC_PROBE: whole, whatever was learnt of the path; IP_PMTUDISC_DONT: in fragments
_RECEIVE_BYTES = 1 << 16


class Echo:
    """A context manager. Refused when it is not allowed: only root may."""

    def __init__(self, address: str) -> None:
        self._family = 6 if ":" in address else 4
        self._address = address
        kind = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self._family == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        try:
            self._sock = socket.socket(kind[0], socket.SOCK_RAW, kind[1])
        except OSError as error:
            raise Refused(f"no echo can be sent: {error.strerror}", hint="run it as root") from error
        self._patience_s = PATIENCE_S
        self._identifier = int.from_bytes(os.urandom(2), "big")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def answered(self, sizes_bytes: Iterable[int], *, whole: bool) -> set[int]:
        """The sizes, of whole IP packets, that came back. `whole`: not to be cut in pieces on their way there."""
        level, option = _MTU_DISCOVER[self._family]
        self._sock.setsockopt(level, option, _WHOLE if whole else _ANY)
        wanted, found = set(sizes_bytes), set[int]()
        for _ in range(TRIES):
            for size in sorted(wanted - found, reverse=True):
                self._send(size)
            found |= self._gather(wanted - found)
            if found == wanted:
                break
        return found

    def _send(self, size_bytes: int) -> None:
        """The size is the sequence number too, so that an answer says which it is."""
        data = bytes(max(0, size_bytes - HEADERS_BYTES[self._family]))
        head = _HEAD.pack(_REQUEST[self._family], 0, 0, self._identifier, size_bytes)
        packet = _HEAD.pack(_REQUEST[self._family], 0, _checksum(head + data), self._identifier, size_bytes) + data
        try:
            self._sock.sendto(packet, (self._address, 0))
        except OSError:
            return  # too long for the interface, or no way: as good as lost

    def _gather(self, wanted: set[int]) -> set[int]:
        """Whatever is there when the time is over counts: on a busy machine it may have been there for long."""
        found: set[int] = set()
        began = time.monotonic()
        while found != wanted:
            left = began + self._patience_s - time.monotonic()
            if not select.select([self._sock], [], [], max(0.0, left))[0]:
                break
            size = self._size(self._sock.recv(_RECEIVE_BYTES))
            if size in wanted:
                found.add(size)
                self._patience_s = min(PATIENCE_S, max(_LEAST_PATIENCE_S, _ROUND_TRIPS * (time.monotonic() - began)))
        return found

    def _size(self, packet: bytes) -> int:
        """That an answer to us is about; 0 for all else. The kernel gives IPv4's header too."""
        start = (packet[0] & 15) * 4 if self._family == 4 and packet else 0
        if len(packet) < start + _HEAD.size:
            return 0
        kind, _, _, identifier, size = _HEAD.unpack_from(packet, start)
        return int(size) if (kind, identifier) == (_REPLY[self._family], self._identifier) else 0


def _checksum(data: bytes) -> int:
    """RFC 1071. Of ICMPv6 the kernel makes its own."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
