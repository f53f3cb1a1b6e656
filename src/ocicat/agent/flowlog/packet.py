"""The headers of an IP packet, from its first bytes. Pure."""

from __future__ import annotations

import struct

from ocicat.model.base import Struct

TCP, UDP, ICMP, ICMP6, SCTP, UDPLITE = 6, 17, 1, 58, 132, 136

_V4 = struct.Struct(">BxHxxHxBxx4s4s")  # version and length, size, fragment, protocol, addresses
_V6 = struct.Struct(">4xHBx16s16s")  # size of what follows, next header, addresses
_V6_HEADER_BYTES = 40
_PORTS = struct.Struct(">HH")
_WITH_PORTS = frozenset({TCP, UDP, SCTP, UDPLITE})
_ECHOES = {ICMP: (8, 0), ICMP6: (128, 129)}
_ECHO_ID = struct.Struct(">BxxxH")
_FRAGMENT_OFFSET = 0x1FFF
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION})
_EXTENSION = struct.Struct(">BBH")  # next header, length, offset of a fragment
_MOST_EXTENSIONS = 8


class Headers(Struct, frozen=True, gc=False):
    """Addresses are 4 or 16 bytes. Ports are 0 where the protocol has none, or the packet's first bytes do not tell them; an echo's
    identifier stands for its source port, so that one `ping` is one flow. `size_bytes` is the whole packet's."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    size_bytes: int


def headers(packet: bytes) -> Headers | None:
    """None: it is no IP packet, or too little of one."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= _V4.size:
        first, size, fragment, protocol, source, destination = _V4.unpack_from(packet)
        at = 0 if fragment & _FRAGMENT_OFFSET else (first & 0xF) * 4
        return Headers(source, destination, protocol, *_ports(packet, protocol, at), size)
    if version == 6 and len(packet) >= _V6_HEADER_BYTES:
        size, following, source, destination = _V6.unpack_from(packet)
        protocol, at = (following, _V6_HEADER_BYTES) if following not in _EXTENSIONS else _upper(packet, following)
        return Headers(source, destination, protocol, *_ports(packet, protocol, at), size + _V6_HEADER_BYTES)
    return None


def _upper(packet: bytes, following: int) -> tuple[int, int]:
    """(protocol, where its header begins; 0: not in this packet) behind IPv6's extension headers."""
    at = _V6_HEADER_BYTES
    for _ in range(_MOST_EXTENSIONS):
        if following not in _EXTENSIONS:
            return following, at
        if at + _EXTENSION.size > len(packet):
            break
        kind = following
        following, length, offset = _EXTENSION.unpack_from(packet, at)
        if kind == _FRAGMENT and offset >> 3:
            return following, 0
        at += {_FRAGMENT: 8, _AUTHENTICATION: (length + 2) * 4}.get(kind, (length + 1) * 8)
    return following, 0


def _ports(packet: bytes, protocol: int, at: int) -> tuple[int, int]:
    """`at`: where the protocol's header begins; 0: it is not here."""
    if not at:
        return 0, 0
    if protocol in _WITH_PORTS:
        return _PORTS.unpack_from(packet, at) if at + _PORTS.size <= len(packet) else (0, 0)
    if protocol in _ECHOES and at + _ECHO_ID.size <= len(packet):
        kind, identifier = _ECHO_ID.unpack_from(packet, at)
        return (identifier, 0) if kind in _ECHOES[protocol] else (0, 0)
    return 0, 0
