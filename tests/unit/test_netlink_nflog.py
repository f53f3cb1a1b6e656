"""Copies of logged packets, as the kernel wrote them; and what it is asked for them."""

from __future__ import annotations

import pytest

from ocicat.errors import Bug, Refused
from ocicat.netlink import nflog
from ocicat.netlink.nflog import Copying, Logged, bind, decode
from ocicat.netlink.wire import Outcome, attributes, messages

# UDP to 127.0.0.1:9 and [::1]:9 through `log prefix "DRI" group 1 snaplen 80` (input), Linux 6.18
INPUT = bytes.fromhex(
    "ac00000000040000000000000000000002000001080001000800010008000a0044524900080004000000000108000200000000101000080000060000"
    "000000000000000006000f000304000006001100000e0000120010000000000000000000000000000800000014000300000000006b03b57700000000"
    "000a3a9b08000c0000000000250009004500002164cc40004011d7fd7f0000017f00000181230009000dfe2068656c6c6f000000c000000000040000"
    "00000000000000000a0000010800010086dd010008000a00445249000800040000000001080002000000001010000800000600000000000000000000"
    "06000f000304000006001100000e00001200100000000000000000000000000086dd000014000300000000006b03b57700000000000a3ac908000c00"
    "00000001390009006003fcc7000d11400000000000000000000000000000000100000000000000000000000000000001bc4d0009000d002068656c6c"
    "6f0000001400000003000000000000000000000000000001"
)
# The first of them on its way out: `log prefix "APE0|np/prod/default.web" group 2 snaplen 80` (output)
OUTPUT = bytes.fromhex(
    "8c0000000004000000000000000000000200000208000100080003001d000a00415045307c6e702f70726f642f64656661756c742e77656200000000"
    "0800050000000001080002000000001008000b000000000008000e000000000008000c0000000000250009004500002164cc40004011d7fd7f000001"
    "7f00000181230009000dfe2068656c6c6f000000"
)
PACKET = bytes.fromhex("4500002164cc40004011d7fd7f0000017f00000181230009000dfe2068656c6c6f")


def bodies(datagram):
    return [message.body for message in messages(datagram) if message.type == 4 << 8]


def test_what_the_kernel_says_of_packets_that_come_in():
    first, second = map(decode, bodies(INPUT))
    assert first == Logged(1, 0, nflog.HOOK_INPUT, "DRI", 1, 0, 0x10, 0x6B03B577 + 0xA3A9B / 1e6, PACKET)
    assert (second.group, second.number, second.packet[:1], len(second.packet)) == (1, 1, b"\x60", 0x39 - 4)


def test_what_the_kernel_says_of_packets_that_go_out():
    (body,) = bodies(OUTPUT)
    assert decode(body) == Logged(2, 0, nflog.HOOK_OUTPUT, "APE0|np/prod/default.web", 0, 1, 0x10, 0.0, PACKET)


def test_what_is_cut_short_is_a_defect_and_never_a_shorter_packet():
    (body,) = bodies(OUTPUT)
    with pytest.raises(Bug, match="nflog attribute 9 cut short"):
        decode(body[:-4])
    with pytest.raises(Bug, match="nflog attribute 1 cut short"):
        decode(body[:4] + b"\0\0\1\0")


def test_a_group_is_bound_with_all_that_belongs_to_it():
    request = bind(2, Copying(snap_bytes=80, threshold=64, timeout_ms=100))
    assert (request.type, request.body[:4]) == (4 << 8 | 1, b"\0\0\0\2")
    assert attributes(request.body, 4) == {
        1: b"\1",  # bind
        2: b"\0\0\0\x50\2\0",  # 80 bytes of the packet
        4: b"\0\0\0\x0a",  # hundredths of a second
        5: b"\0\0\0\x40",
        6: b"\0\1",  # numbered
    }


def test_a_group_that_has_another_reader_is_refused_with_where_to_look():
    with pytest.raises(Refused, match=r"group 1: another program.*\(/proc/net/netfilter/nfnetlink_log"):
        nflog.check(Outcome(1), bind(1, Copying()))
    nflog.check(Outcome(0), bind(1, Copying()))
