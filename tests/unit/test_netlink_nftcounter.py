"""Counters of nftables as bytes: what a kernel has sent."""

import pytest

from ocicat.errors import Bug
from ocicat.netlink.nftcounter import Count, decode, dump, table

COMMENTED = (
    "01000002"  # inet, version, generation
    "0b0001006f636963617400000800" "0200632d3100"  # table, name
    "0800030000000001" "0c0006000000000000000001" "0800050000000000"  # type, handle, use
    "1c000400" "0c000100000000000000004d" "0c0002000000000000000007"  # bytes, packets
    "25000800" "001f74696572207420696e6772657373206e6f726d616c20656e642044656e7900" "000000"
)  # fmt: skip
PLAIN = COMMENTED[: COMMENTED.index("25000800")]


def test_a_counter_with_its_comment():
    assert decode(bytes.fromhex(COMMENTED)) == Count("c-1", "tier t ingress normal end Deny", 7, 77)


def test_one_without():
    assert decode(bytes.fromhex(PLAIN)) == Count("c-1", "", 7, 77)


def test_other_user_data_come_before_or_alone():
    other, comment = bytes([3, 2]) + b"xy", bytes([0, 2]) + b"a\0"
    for data, expected in ((other + comment, "a"), (other, ""), (b"\0", "")):
        attribute = (4 + len(data)).to_bytes(2, "little") + b"\x08\0" + data
        assert decode(bytes.fromhex(PLAIN) + attribute).comment == expected


def test_a_message_that_is_cut_short():
    with pytest.raises(Bug):
        decode(b"\1")


def test_what_is_asked():
    assert dump("ocicat").request.body.hex() == "010000000b0001006f636963617400000800030000000001"
    assert str(dump("ocicat").request) == "list the counters of table ocicat"
    asked = table("ocicat")
    assert (asked.request.type, asked.decode(bytes.fromhex(PLAIN))) == (10 << 8 | 1, "ocicat")
