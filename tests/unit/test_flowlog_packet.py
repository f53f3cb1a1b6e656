"""Headers out of the first bytes of packets: what they say, and that nothing is made up where bytes are missing."""

from __future__ import annotations

import struct

import pytest

from ocicat.agent.flowlog.packet import Headers, headers

A4, B4 = b"\x0a\x41\0\2", b"\x0a\x41\0\3"
A6, B6 = b"\xfd" + bytes(14) + b"\2", b"\xfd" + bytes(14) + b"\3"
PORTS = struct.pack(">HH", 40000, 80)


def v4(protocol, rest, *, fragment=0, options=b""):
    words = 5 + len(options) // 4
    return struct.pack(">BBHHHBBH", 0x40 | words, 0, 100, 7, fragment, 64, protocol, 0) + A4 + B4 + options + rest


def v6(following, rest):
    return struct.pack(">IHBB", 6 << 28, 60, following, 64) + A6 + B6 + rest


@pytest.mark.parametrize("protocol", [6, 17, 132, 136])
def test_ports(protocol):
    assert headers(v4(protocol, PORTS)) == Headers(A4, B4, protocol, 40000, 80, 100)
    assert headers(v6(protocol, PORTS)) == Headers(A6, B6, protocol, 40000, 80, 100)


def test_options_stand_before_the_ports():
    assert headers(v4(6, PORTS, options=bytes(8))).destination_port == 80


@pytest.mark.parametrize(
    "before",
    [
        [(0, b"\0" * 6)],
        [(0, b"\0" * 6), (43, b"\0" * 6), (60, b"\0" * 6)],
        [(44, b"\0" * 6)],
        [(51, b"\0" * 10)],
    ],
)
def test_ports_behind_extension_headers(before):
    lengths = {51: 1}
    kinds = [kind for kind, _ in before] + [17]
    chain = b"".join(
        bytes((following, lengths.get(kind, 0))) + rest
        for (kind, rest), following in zip(before, kinds[1:], strict=True)
    )
    assert headers(v6(kinds[0], chain + PORTS)) == Headers(A6, B6, 17, 40000, 80, 100)


def test_a_later_fragment_has_no_ports():
    found = headers(v4(17, PORTS, fragment=0x2010))
    assert (found.protocol, found.source_port, found.destination_port) == (17, 0, 0)
    found = headers(v6(44, struct.pack(">BBHI", 17, 0, 8 << 3, 1) + PORTS))
    assert (found.protocol, found.source_port, found.destination_port) == (17, 0, 0)


def test_the_first_fragment_has_them():
    assert headers(v4(17, PORTS, fragment=0x2000)).destination_port == 80
    assert headers(v6(44, struct.pack(">BBHI", 17, 0, 1, 1) + PORTS)).destination_port == 80


@pytest.mark.parametrize(("kind", "identifier"), [(8, 77), (0, 77), (3, 0)])
def test_an_echo_has_its_identifier(kind, identifier):
    found = headers(v4(1, struct.pack(">BBHHH", kind, 0, 0, 77, 1)))
    assert (found.source_port, found.destination_port) == (identifier, 0)


def test_an_echo_of_ipv6():
    assert headers(v6(58, struct.pack(">BBHHH", 128, 0, 0, 77, 1))).source_port == 77
    assert headers(v6(58, struct.pack(">BBHHH", 135, 0, 0, 77, 1))).source_port == 0


@pytest.mark.parametrize("packet", [v4(6, PORTS), v6(6, PORTS), v6(0, b"\6\0" + bytes(6) + PORTS)])
def test_nothing_is_made_up_of_bytes_that_are_missing(packet):
    whole = headers(packet)
    for size in range(len(packet)):
        cut = headers(packet[:size])
        if cut is not None:
            assert (cut.source, cut.destination, cut.size_bytes) == (whole.source, whole.destination, 100)
            assert (cut.source_port, cut.destination_port) == (0, 0)


def test_what_is_no_ip_packet():
    assert headers(b"") is None
    assert headers(b"\x55" + bytes(60)) is None
