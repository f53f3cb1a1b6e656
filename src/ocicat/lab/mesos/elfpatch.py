"""Makes a shared library that was linked against OpenSSL 1.0 load beside OpenSSL 3, by editing three things in place.

Promises: `patch` changes no byte outside `.dynstr`, `.gnu.version` and `.gnu.version_r`, and moves nothing, so every address in
the file stays what it was. It reads section headers by hand: the format is 60 lines, a dependency would be more.
Must not: touch the file system; guess. What it does not find is an error.

Invariants:
1. The `DT_NEEDED` names of libssl and libcrypto become those of version 3 (shorter, padded with NUL).
2. The symbol versions asked of libssl, libcrypto and libcurl are marked weak (`VER_FLG_WEAK`): their absence is no load error.
3. Symbols bound to such a version are bound to no version (index 1), so that they resolve to whatever the library offers.

The layout is that of the System V gABI and the LSB's "Symbol Versioning": ELF64, little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ocicat.errors import Refused

RENAMED = {b"libssl.so.1.0.0": b"libssl.so.3", b"libcrypto.so.1.0.0": b"libcrypto.so.3"}
UNVERSIONED = (b"libssl", b"libcrypto", b"libcurl")

_SHT_GNU_VERNEED = 0x6FFFFFFE
_SHT_GNU_VERSYM = 0x6FFFFFFF
_VER_FLG_WEAK = 2
_VER_NDX_GLOBAL = 1
_HIDDEN = 0x8000  # top bit of a version index


@dataclass(slots=True, frozen=True)
class Section:
    """One section header: what of it is needed here. Offsets and sizes in bytes, from the start of the file."""

    kind: int
    offset: int
    size: int
    link: int


def sections(image: bytes | bytearray) -> list[Section]:
    """Every section header, in the file's order (`link` is an index into this list)."""
    if image[:6] != b"\x7fELF\x02\x01":
        raise Refused("not a 64-bit little-endian ELF file", hint="this is not the library that was expected")
    (table,) = struct.unpack_from("<Q", image, 0x28)
    entry_size, count = struct.unpack_from("<HH", image, 0x3A)
    found = []
    for start in range(table, table + entry_size * count, entry_size):
        _name, kind, _flags, _address, offset, size, link = struct.unpack_from("<IIQQQQI", image, start)
        found.append(Section(kind, offset, size, link))
    return found


def patch(image: bytearray) -> int:
    """Edit the library in place (see the module's invariants). Returns how many symbols lost their version."""
    table = sections(image)
    needs = _one(table, _SHT_GNU_VERNEED)
    names = table[needs.link]
    weak = {_weaken(image, aux) for aux in _version_needs(image, needs, names)}
    cleared = _unbind(image, _one(table, _SHT_GNU_VERSYM), weak)
    for old, new in RENAMED.items():
        _rename(image, names, old, new)
    return cleared


def _one(table: list[Section], kind: int) -> Section:
    for section in table:
        if section.kind == kind:
            return section
    raise Refused(f"the library has no section of type {kind:#x}", hint="this is not the library that was expected")


def _version_needs(image: bytearray, needs: Section, names: Section) -> Iterator[int]:
    """The offset of every Vernaux that belongs to one of the UNVERSIONED libraries."""
    need = needs.offset
    while True:
        _version, count, file, first, following = struct.unpack_from("<HHIII", image, need)
        start = names.offset + file
        if image.startswith(UNVERSIONED, start):
            yield from _chain(image, need + first, count)
        if not following:
            return
        need += following


def _chain(image: bytearray, aux: int, count: int) -> Iterator[int]:
    for _ in range(count):
        yield aux
        aux += struct.unpack_from("<I", image, aux + 12)[0]


def _weaken(image: bytearray, aux: int) -> int:
    """Mark one needed version weak; returns its index in `.gnu.version`."""
    flags, index = struct.unpack_from("<HH", image, aux + 4)
    struct.pack_into("<H", image, aux + 4, flags | _VER_FLG_WEAK)
    return int(index)


def _unbind(image: bytearray, versym: Section, weak: set[int]) -> int:
    cleared = 0
    for position in range(versym.offset, versym.offset + versym.size, 2):
        (index,) = struct.unpack_from("<H", image, position)
        if index & ~_HIDDEN in weak:
            struct.pack_into("<H", image, position, _VER_NDX_GLOBAL)
            cleared += 1
    return cleared


def _rename(image: bytearray, names: Section, old: bytes, new: bytes) -> None:
    at = image.find(b"\0" + old + b"\0", names.offset, names.offset + names.size)
    if at < 0:
        raise Refused(f"the library does not ask for {old.decode()}", hint="this is not the library that was expected")
    image[at + 1 : at + 1 + len(old)] = new.ljust(len(old), b"\0")
