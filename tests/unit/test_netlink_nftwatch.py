"""Notifications of nftables as bytes: whose transaction, which tables."""

import struct

from ocicat.netlink.netconf import ALL, Netconf, decode
from ocicat.netlink.nftwatch import Commit, Reader
from ocicat.netlink.wire import HEADER, attr, attr_text

NEW_RULE, NEW_GENERATION = 10 << 8 | 6, 10 << 8 | 15


def message(kind, body, port=77, family=1):
    data = bytes((family, 0, 0, 0)) + body
    return HEADER.pack(HEADER.size + len(data), kind, 0, 0, port) + data


def generation(pid=5, name="nft"):
    return message(NEW_GENERATION, attr(1, b"\0\0\0\7") + attr(2, struct.pack(">I", pid)) + attr_text(3, name))


def test_a_transaction_is_told_when_it_ends_with_all_its_tables():
    reader = Reader()
    first = message(NEW_RULE, attr_text(1, "mine") + attr_text(2, "chain"))
    assert reader.read(first) == []
    rest = message(NEW_RULE, attr_text(1, "mine"), family=5) + generation()
    assert reader.read(rest) == [Commit(frozenset({"inet mine", "netdev mine"}), 77, 5, "nft")]
    assert reader.read(generation(6)) == [Commit(frozenset(), 77, 6, "nft")]


def test_what_was_touched_before_a_loss_is_forgotten():
    reader = Reader()
    reader.read(message(NEW_RULE, attr_text(1, "mine")))
    reader.forget()
    assert reader.read(generation()) == [Commit(frozenset(), 77, 5, "nft")]


def test_other_subsystems_and_torn_ends_are_passed_over():
    reader = Reader()
    assert (
        reader.read(message(1 << 8 | 0, attr_text(1, "conntrack")) + generation() + b"\0" * 7)[0].tables == frozenset()
    )


def test_a_setting_is_told_for_one_interface_or_for_all():
    body = struct.pack("=Bxxx", 2) + attr(1, struct.pack("=i", -1)) + attr(2, struct.pack("=i", 0))
    assert decode(body) == Netconf(2, ALL, forwarding=0)
    body = struct.pack("=Bxxx", 10) + attr(1, struct.pack("=i", 4)) + attr(5, struct.pack("=i", 1))
    assert decode(body) == Netconf(10, 4, proxy_neigh=1)
