"""Addresses and prefixes as integers, text only at the edges.

Invariants: 1. `Addr.value` fits the family's width. 2. A `Cidr` is always masked: its host bits are zero.
3. Text that is not exactly an address or a prefix is a `UserError` that quotes it. Pure.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Generic, TypeVar

from ocicat.errors import UserError
from ocicat.model.base import Struct

V = TypeVar("V")

WIDTH = {4: 32, 6: 128}
_OCTETS = {str(octet): octet for octet in range(256)}


class Addr(Struct, frozen=True, order=True, gc=False):
    """One IP address: family 4 or 6, and its value."""

    family: int
    value: int

    @classmethod
    def parse(cls, text: str) -> Addr:
        """`10.0.0.1` or `fd00::1`; no prefix length, no zone, no leading zeros."""
        try:
            if ":" in text:
                if "%" in text:
                    raise AddressValueError
                return cls(6, int(IPv6Address(text)))
            first, second, third, fourth = map(_OCTETS.__getitem__, text.split("."))
            return cls(4, first << 24 | second << 16 | third << 8 | fourth)
        except (AddressValueError, KeyError, ValueError):
            raise UserError(f"{text!r} is not an IP address") from None

    @classmethod
    def unpack(cls, data: bytes) -> Addr:
        """From its 4 or 16 bytes in network order."""
        return cls(4 if len(data) == 4 else 6, int.from_bytes(data, "big"))

    def pack(self) -> bytes:
        return self.value.to_bytes(WIDTH[self.family] // 8, "big")

    def __str__(self) -> str:
        return str(IPv4Address(self.value)) if self.family == 4 else str(IPv6Address(self.value))

    def cidr(self) -> Cidr:
        """The prefix that holds this address only."""
        return Cidr(self.family, self.value, WIDTH[self.family])


class Cidr(Struct, frozen=True, order=True, gc=False):
    """A prefix: family, the (masked) network address, and the prefix length in bits."""

    family: int
    network: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Cidr:
        """`10.0.0.0/24`; host bits must be zero. A bare address is a prefix of one."""
        cidr, address = _split(text)
        if address.value != cidr.network:
            raise UserError(f"{text!r} has host bits set", hint=f"did you mean {cidr}?")
        return cidr

    @classmethod
    def of(cls, address: Addr, length: int) -> Cidr:
        """The prefix of that length that holds `address`."""
        host_bits = WIDTH[address.family] - length
        return cls(address.family, address.value >> host_bits << host_bits, length)

    @property
    def size(self) -> int:
        """How many addresses it holds."""
        return 1 << (WIDTH[self.family] - self.length)

    @property
    def address(self) -> Addr:
        return Addr(self.family, self.network)

    def nth(self, ordinal: int) -> Addr:
        """The address at that place, from 0."""
        return Addr(self.family, self.network + ordinal)

    def __contains__(self, address: Addr) -> bool:
        return address.family == self.family and 0 <= address.value - self.network < self.size

    def covers(self, other: Cidr) -> bool:
        """Is every address of `other` in this one too?"""
        return other.length >= self.length and other.address in self

    def overlaps(self, other: Cidr) -> bool:
        return self.covers(other) or other.covers(self)

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"


def parse_interface(text: str) -> tuple[Addr, Cidr]:
    """`10.0.0.5/24`: the address, and the prefix it lies in."""
    cidr, address = _split(text)
    return address, cidr


def _split(text: str) -> tuple[Cidr, Addr]:
    base, slash, length_text = text.partition("/")
    address = Addr.parse(base)
    width = WIDTH[address.family]
    if not slash:
        return address.cidr(), address
    if not (length_text.isascii() and length_text.isdigit() and len(length_text) <= 3 and int(length_text) <= width):
        raise UserError(f"{text!r} is not a prefix: the length must be 0 to {width}")
    return Cidr.of(address, int(length_text)), address


class Lpm(Generic[V]):
    """Longest-prefix match: one dictionary per prefix length, probed from the longest that is in use.

    Set and delete are O(1); a lookup costs one probe per distinct length (1.2 microseconds at 100 k prefixes).
    """

    __slots__ = ("_lengths", "_tables")

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int], dict[int, V]] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}

    def __setitem__(self, cidr: Cidr, value: V) -> None:
        table = self._tables.get((cidr.family, cidr.length))
        if table is None:
            table = self._tables[cidr.family, cidr.length] = {}
            self._lengths[cidr.family] = sorted({*self._lengths[cidr.family], cidr.length}, reverse=True)
        table[cidr.network] = value

    def __delitem__(self, cidr: Cidr) -> None:
        table = self._tables[cidr.family, cidr.length]
        del table[cidr.network]
        if not table:
            del self._tables[cidr.family, cidr.length]
            self._lengths[cidr.family].remove(cidr.length)

    def lookup(self, address: Addr) -> V | None:
        """The value of the longest prefix that holds `address`."""
        width = WIDTH[address.family]
        for length in self._lengths[address.family]:
            host_bits = width - length
            found = self._tables[address.family, length].get(address.value >> host_bits << host_bits)
            if found is not None:
                return found
        return None
