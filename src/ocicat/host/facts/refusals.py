"""Refusals of connections that came from a firewall, and not from a kernel where nobody listens: told from each other by ICMP.

A firewall that rejects answers "port unreachable", and connect() tells that like a reset. Where a firewall sends a reset itself,
nothing tells the two apart.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import NamedTuple, Self

_RECEIVE_BYTES = 1 << 16
_ICMP_BYTES = 8
_TCP = 6
_PORTS = struct.Struct(">HH")  # of TCP: source, destination


class _Kind(NamedTuple):
    """Of IP. `protocol_at`, `destination_at`: where both are in the header of the packet that was refused, which ICMP quotes."""

    family: int
    protocol: int
    unreachable: int
    protocol_at: int
    destination_at: slice


_KINDS = (
    _Kind(socket.AF_INET, socket.IPPROTO_ICMP, 3, 9, slice(16, 20)),
    _Kind(socket.AF_INET6, socket.IPPROTO_ICMPV6, 1, 6, slice(24, 40)),
)
_IPV6_HEADER_BYTES = 40


class Refusals:
    """A context manager, open from before the connections are tried. Who is not root, or has no IPv6, is told of none."""

    def __init__(self) -> None:
        self._socks: list[tuple[_Kind, socket.socket]] = []
        self._found: set[tuple[IPv4Address | IPv6Address, int]] = set()

    def __enter__(self) -> Self:
        for kind in _KINDS:
            with suppress(OSError):
                sock = socket.socket(kind.family, socket.SOCK_RAW, kind.protocol)
                sock.settimeout(0)
                self._socks.append((kind, sock))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, sock in self._socks:
            sock.close()

    def are_from_firewall(self, text: str, port: int) -> bool:
        """Of a connection to there that was just refused: the kernel gives us the packet first, and then refuses."""
        for kind, sock in self._socks:
            with suppress(BlockingIOError):
                while True:
                    self._found.update(_refused(kind, sock.recv(_RECEIVE_BYTES)))
        return (ip_address(text), port) in self._found


def _refused(kind: _Kind, packet: bytes) -> list[tuple[IPv4Address | IPv6Address, int]]:
    """Where the TCP packet was bound for that this ICMP packet is about; none: it is about something else."""
    start = (packet[0] & 15) * 4 if kind.family == socket.AF_INET and packet else 0
    icmp, quoted = packet[start : start + _ICMP_BYTES], packet[start + _ICMP_BYTES :]
    if len(icmp) < _ICMP_BYTES or icmp[0] != kind.unreachable or len(quoted) <= kind.destination_at.stop:
        return []
    header = (quoted[0] & 15) * 4 if kind.family == socket.AF_INET else _IPV6_HEADER_BYTES
    if quoted[kind.protocol_at] != _TCP or len(quoted) < header + _PORTS.size:
        return []
    return [(ip_address(quoted[kind.destination_at]), _PORTS.unpack_from(quoted, header)[1])]
