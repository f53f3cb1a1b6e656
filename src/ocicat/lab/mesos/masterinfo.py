"""The protobuf message by which an agent learns of its master, put together by hand. PURE.

The library can make one from an address, but looks the address up in the DNS first: in a namespace without a name server that
takes ten seconds. Field numbers are those of `MasterInfo` and `Address` in mesos.proto of Mesos 1.11.
"""

from __future__ import annotations

from ipaddress import IPv4Address

_VARINT = 0
_BYTES = 2


def encode_master_info(ip: str, port: int, actor: str) -> bytes:
    """A MasterInfo for the libprocess address `actor@ip:port`; its hostname is the address."""
    pid = f"{actor}@{ip}:{port}"
    network_order = int.from_bytes(IPv4Address(ip).packed, "little")  # as in_addr.s_addr reads on this machine
    address = _text(1, ip) + _text(2, ip) + _number(3, port)
    message = _text(1, pid) + _number(2, network_order) + _number(3, port)
    return message + _text(4, pid) + _text(5, ip) + _bytes(7, address)


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
