"""The patch on a library of forty lines, made here byte by byte."""

from __future__ import annotations

import struct

import pytest

from ocicat.errors import Refused
from ocicat.lab.mesos.elfpatch import patch, sections

NAMES = b"\0libssl.so.1.0.0\0libcrypto.so.1.0.0\0libcurl.so.4\0libc.so.6\0V1\0"
HEADER_BYTES, SECTION_BYTES = 64, 64
VERNEED, VERSYM, STRTAB = 0x6FFFFFFE, 0x6FFFFFFF, 3


def needs():
    """.gnu.version_r: libssl wants version 2, libcurl 3 and 4, libc 5."""
    wanted = ((b"libssl.so.1.0.0", (2,)), (b"libcurl.so.4", (3, 4)), (b"libc.so.6", (5,)))
    out = b""
    for number, (library, versions) in enumerate(wanted):
        last = number == len(wanted) - 1
        following = 0 if last else 16 * (1 + len(versions))
        out += struct.pack("<HHIII", 1, len(versions), NAMES.index(library), 16, following)
        for at, version in enumerate(versions):
            out += struct.pack("<IHHII", 0, 0, version, NAMES.index(b"V1"), 16 if at + 1 < len(versions) else 0)
    return out


def library(symbols=(0, 1, 2, 3, 0x8004, 5), names=NAMES):
    contents = ((STRTAB, names, 0), (VERNEED, needs(), 1), (VERSYM, struct.pack(f"<{len(symbols)}H", *symbols), 0))
    body, table, offset = b"", b"\0" * SECTION_BYTES, HEADER_BYTES
    for kind, content, link in contents:
        table += struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, len(content), link, 0, 0, 0)
        body, offset = body + content, offset + len(content)
    header = b"\x7fELF\x02\x01".ljust(0x28, b"\0") + struct.pack("<Q", offset)
    header = header.ljust(0x3A, b"\0") + struct.pack("<HH", SECTION_BYTES, len(contents) + 1)
    return bytearray(header.ljust(HEADER_BYTES, b"\0") + body + table)


def content(image, kind):
    section = next(section for section in sections(image) if section.kind == kind)
    return bytes(image[section.offset : section.offset + section.size])


def test_the_openssl_names_become_those_of_version_3_and_nothing_moves():
    image = library()
    patch(image)
    assert content(image, STRTAB) == NAMES.replace(b"libssl.so.1.0.0", b"libssl.so.3\0\0\0\0").replace(
        b"libcrypto.so.1.0.0", b"libcrypto.so.3\0\0\0\0"
    )


def test_symbols_of_the_three_libraries_lose_their_version_and_others_keep_it():
    image = library()
    assert patch(image) == 3
    assert struct.unpack("<6H", content(image, VERSYM)) == (0, 1, 1, 1, 1, 5)


def test_the_needed_versions_of_the_three_libraries_become_weak():
    image = library()
    patch(image)
    flags = [struct.unpack_from("<H", content(image, VERNEED), offset + 4)[0] for offset in (16, 48, 64, 96)]
    assert flags == [2, 2, 2, 0]


def test_nothing_else_changes():
    before, image = library(), library()
    patch(image)
    first = min(section.offset for section in sections(image) if section.kind)
    last = max(section.offset + section.size for section in sections(image))
    assert (image[:first], image[last:]) == (before[:first], before[last:])


def test_a_library_that_asks_for_something_else_is_refused():
    with pytest.raises(Refused, match=r"libssl\.so\.1\.0\.0"):
        patch(library(names=NAMES.replace(b"libssl.so.1.0.0", b"libssl.so.1.1.1")))


def test_what_is_no_elf_file_is_refused():
    with pytest.raises(Refused, match="ELF"):
        patch(bytearray(b"#!/bin/sh\n"))
