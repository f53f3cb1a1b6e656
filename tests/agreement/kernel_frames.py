"""Packets as bytes, each with a number, and what comes back of them.

A packet is what connection tracking takes for the first one of a flow: checksums are right, TCP is a SYN, SCTP an INIT. Its number
is in the identification field of IPv4 or the low 16 bits of the flow label of IPv6, where rules can read it, and once more at the
very end, where everybody finds it who sees no header.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

from cluster import NUMBERS, Packet

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, NUMBERS["ICMPv6"], NUMBERS["SCTP"], NUMBERS["UDPLite"]
NEIGHBOURS = range(130, 138)
"""ICMPv6 that the kernel itself never tracks: multicast listeners, routers, neighbours."""

_OPENS_A_FLOW = {ICMP: (8, 13, 15, 17), ICMPV6: (128, 139, *NEIGHBOURS)}
"""What else ICMP says belongs to a flow that is there already, or is invalid."""

_MARKER = b"ocicat"
_TTL, _TTL_OF_NEIGHBOURS = 64, 255
_STAMP = 1 << 2  # DSCP 1, in the place of the whole byte


def can_be_sent(packet: Packet) -> bool:
    """Is there such a first packet of a flow, and would a host route it?"""
    targets = [hop.translated[0] for hop in packet.hops if hop.translated]
    opens = packet.icmp_type is None or packet.icmp_type in _OPENS_A_FLOW[packet.protocol]
    return opens and all(map(_routable, (packet.source, packet.destination, *targets)))


def is_neighbour_discovery(packet: Packet) -> bool:
    return packet.protocol == ICMPV6 and packet.icmp_type in NEIGHBOURS


def encode(packet: Packet, number: int) -> bytes:
    """From the IP header on. `number`: 1 to 65535."""
    marker = _MARKER + number.to_bytes(2, "big")
    source, destination = (ip_address(text).packed for text in (packet.source, packet.destination))
    size = len(_payload(packet, marker, b""))
    pseudo = source + destination + struct.pack("!II", size, packet.protocol)
    payload = _payload(packet, marker, pseudo)
    ttl = _TTL_OF_NEIGHBOURS if is_neighbour_discovery(packet) else _TTL
    if packet.family == 6:
        return struct.pack("!IHBB", 6 << 28 | number, size, packet.protocol, ttl) + source + destination + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, number, 0x4000, ttl, packet.protocol, 0)
    return _with_checksum(head + source + destination, 10) + payload


def number_of(data: bytes) -> int | None:
    """Of a packet of ours, or of its payload alone; None if it is nobody's."""
    return int.from_bytes(data[-2:], "big") if data[-8:-2] == _MARKER else None


def is_reply(packet: Packet, data: bytes) -> bool:
    """A host may answer with what it got."""
    return (data[12:16] if data[0] >> 4 == 4 else data[8:24]) != ip_address(packet.source).packed


def stamped(data: bytes) -> bool:
    """Has it the mark of a packet that was not tracked?"""
    return is_stamp(data[1] if data[0] >> 4 == 4 else int.from_bytes(data[:2], "big") >> 4 & 0xFF)


def is_stamp(traffic_class: int) -> bool:
    return bool(traffic_class & _STAMP)


def unstamped(data: bytes) -> bytes:
    """As it goes to the next host."""
    if data[0] >> 4 == 4:
        return _with_checksum(data[:1] + b"\0" + data[2:10] + b"\0\0" + data[12:20], 10) + data[20:]
    return bytes((0x60, data[1] & 0x0F)) + data[2:]


def _routable(text: str) -> bool:
    found = ip_address(text)
    return not (found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified)


def _payload(packet: Packet, marker: bytes, pseudo: bytes) -> bytes:
    """`pseudo`: the addresses, length and protocol that checksums cover too."""
    ports = struct.pack("!HH", packet.source_port or 0, packet.destination_port or 0)
    match packet.protocol:
        case 6:
            body = ports + struct.pack("!IIBBHHH", 1, 0, 5 << 4, 0x02, 1024, 0, 0) + marker
            return _with_checksum(body, 16, pseudo)
        case 17:
            return _with_checksum(ports + struct.pack("!HH", 8 + len(marker), 0) + marker, 6, pseudo)
        case 136:
            return _with_checksum(ports + struct.pack("!HH", 0, 0) + marker, 6, pseudo)
        case 132:
            return _sctp(ports, marker)
        case 1 | 58:
            # Long enough for what neighbour discovery says; no neighbour is called "::".
            body = struct.pack("!BBHHH", packet.icmp_type, packet.icmp_code, 0, 1, 1) + bytes(16) + marker
            return _with_checksum(body, 2, pseudo if packet.protocol == ICMPV6 else b"")
        case _:
            return bytes(8) + marker


def _sctp(ports: bytes, marker: bytes) -> bytes:
    """INIT must be the only chunk: the marker is an optional parameter of it, one that nobody knows."""
    parameter = struct.pack("!HH", 0xC000, 4 + len(marker)) + marker
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 1, 65535, 1, 1, 1) + parameter
    checksum = _crc32c(ports + bytes(8) + chunk)
    return ports + bytes(4) + checksum.to_bytes(4, "little") + chunk


def _with_checksum(data: bytes, place: int, pseudo: bytes = b"") -> bytes:
    """RFC 1071; the field at `place` is zero before. A sum of zero is written as its other form, which UDP needs."""
    covered = pseudo + data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:place] + ((~total & 0xFFFF) or 0xFFFF).to_bytes(2, "big") + data[place + 2 :]


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF
