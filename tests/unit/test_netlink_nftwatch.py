"""Notifications of nftables as bytes: whose transaction, which tables, and the rules of which chains."""

import struct

from ocicat.netlink.netconf import ALL, Netconf, decode
from ocicat.netlink.nftwatch import Commit, Reader
from ocicat.netlink.wire import HEADER, attr, attr_text

NEW_CHAIN, DELETE_CHAIN, NEW_RULE, DELETE_RULE, NEW_ELEMENT, NEW_GENERATION = (
    10 << 8 | n for n in (3, 5, 6, 8, 12, 15)
)


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
    (told,) = reader.read(rest)
    assert (told.tables, told.port, told.pid, told.program) == (frozenset({"inet mine", "netdev mine"}), 77, 5, "nft")
    assert reader.read(generation(6)) == [Commit(frozenset(), 77, 6, "nft")]


def test_what_was_touched_before_a_loss_is_forgotten():
    reader = Reader()
    reader.read(message(NEW_RULE, attr_text(1, "mine") + attr_text(2, "c")) + message(NEW_CHAIN, attr_text(1, "mine")))
    reader.forget()
    assert reader.read(generation()) == [Commit(frozenset(), 77, 5, "nft")]


def test_the_chains_of_rules_are_told_and_the_tables_where_one_was_named():
    reader = Reader()
    some = message(NEW_RULE, attr_text(1, "mine") + attr_text(2, "a-chain") + attr(3, bytes(8)))
    some += message(DELETE_RULE, attr_text(1, "mine") + attr_text(2, "b"), family=5)
    some += message(NEW_CHAIN, attr_text(1, "other") + attr(2, bytes(8)) + attr_text(3, "c"))
    some += message(DELETE_CHAIN, attr_text(1, "third") + attr_text(3, "d"))
    some += message(NEW_ELEMENT, attr_text(1, "fourth") + attr_text(2, "set"))
    (told,) = reader.read(some + generation())
    assert told.chains == {("inet mine", "a-chain"), ("netdev mine", "b")}
    assert told.named == {"inet other"}
    assert told.tables == {"inet mine", "netdev mine", "inet other", "inet third", "inet fourth"}


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
