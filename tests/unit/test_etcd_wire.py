"""What goes over the wire to etcd, against bytes worked out by hand from the protobuf encoding and etcd's field numbers."""

from __future__ import annotations

import pytest

from ocicat.store.base import Compare, Delete, Event, KeyValue, Lease, Put, Unchanged
from ocicat.store.etcd import wire
from ocicat.store.etcd.schema import message_class


def fields(*pairs):
    """Fields of lengths below 128: bytes are length-delimited, numbers are varints of one byte."""
    out = b""
    for number, value in pairs:
        out += bytes([number << 3 | 2, len(value)]) + value if isinstance(value, bytes) else bytes([number << 3, value])
    return out


@pytest.mark.parametrize(
    ("prefix", "key", "end"),
    [
        ("/a/", b"/a/", b"/a0"),
        ("", b"\0", b"\0"),
        ("é", b"\xc3\xa9", b"\xc3\xaa"),
        ("\U0010ffff", b"\xf4\x8f\xbf\xbf", b"\xf4\x8f\xbf\xc0"),
    ],
)
def test_a_prefix_is_a_half_open_range(prefix, key, end):
    assert wire.span(prefix) == (key, end)


def test_a_page_request():
    assert wire.page_request((b"a", b"b"), limit=7, revision=9) == fields((1, b"a"), (2, b"b"), (3, 7), (4, 9))


def test_a_range_reply():
    kv = fields((1, b"/a"), (2, 3), (3, 5), (4, 2), (5, b"x"))
    read = wire.RANGE.reply(fields((1, fields((1, 99), (3, 8))), (2, kv), (3, 1), (4, 2)))
    assert read == wire.RangeReply(8, (KeyValue("/a", b"x", 3, 5),), True, 2)


def test_a_transaction_compares_does_and_reads_the_compared_keys_where_it_fails():
    compare = fields((2, 2), (3, b"/a"), (6, 4))
    put, delete = fields((2, fields((1, b"/a"), (2, b"x")))), fields((3, fields((1, b"/b"))))
    read = fields((1, fields((1, b"/a"), (8, 1))))
    expected = fields((1, compare), (2, put), (2, delete), (3, read))
    assert wire.txn_request([Compare("/a", 4)], [Put("/a", b"x"), Delete("/b")]) == expected


def test_an_unchanged_prefix_is_one_compare_with_a_range():
    compare = fields((1, 2), (2, 2), (3, b"/a/"), (6, 5)) + b"\x82\x04\x03/a0"
    read = fields((1, fields((1, b"/a/"), (2, b"/a0"), (3, 1), (8, 1), (10, 5))))
    assert wire.txn_request([Unchanged("/a/", 4)], []) == fields((1, compare), (3, read))


def test_a_failed_transaction_tells_what_its_conditions_found():
    found, absent = fields((1, fields((2, fields((1, b"/a"), (3, 6)))))), fields((1, b""))
    read = wire.TXN.reply(fields((1, fields((3, 8))), (3, found), (3, absent)))
    assert read == wire.TxnReply(8, False, (KeyValue("/a", b"", 0, 6), None))


def test_leases_are_granted_put_under_kept_and_revoked():
    assert wire.grant_request(30) == fields((1, 30))
    assert wire.LEASE_GRANT.reply(fields((1, fields((3, 8))), (2, 77), (3, 31))) == Lease(77, 31)
    assert wire.keep_alive_request(77) == wire.revoke_request(77) == fields((1, 77))
    assert wire.LEASE_KEEP_ALIVE.reply(fields((2, 77), (3, 31))) == 31
    assert wire.LEASE_KEEP_ALIVE.reply(fields((2, 77))) == 0
    put = fields((1, b"/a"), (2, b"x"), (3, 77))
    assert wire.put_request(Put("/a", b"x", 77)) == put
    assert wire.txn_request([], [Put("/a", b"x", 77)]) == fields((2, fields((2, put))))
    read = wire.RANGE.reply(fields((2, fields((1, b"/a"), (2, 3), (3, 5), (5, b"x"), (6, 77)))))
    assert read.items == (KeyValue("/a", b"x", 3, 5, 77),)


def test_members_tell_of_themselves_and_are_listed():
    status = fields((1, fields((2, 9), (3, 8))), (2, b"3.4.23"), (3, 100), (4, 9), (8, b"alarm:NOSPACE"), (10, 1))
    assert wire.STATUS.reply(status) == wire.StatusReply(9, "3.4.23", 100, 9, ("alarm:NOSPACE",), True)
    started = fields((1, 9), (2, b"m0"), (3, b"http://h:2380"), (4, b"http://h:2379"), (4, b"https://[::1]:2379"))
    listed = wire.MEMBER_LIST.reply(fields((2, started), (2, fields((1, 10), (3, b"http://new:2380")))))
    assert listed == (wire.ListedMember(9, "m0", ("h:2379", "[::1]:2379")), wire.ListedMember(10, "", ()))


def test_a_watch_reply():
    put, delete = fields((2, fields((1, b"/a"), (3, 6), (5, b"x")))), fields((1, 1), (2, fields((1, b"/b"), (3, 7))))
    read = wire.WATCH.reply(
        fields((1, fields((3, 8))), (5, 3), (6, b"why"), (7, 1))
        + b"\x5a"
        + bytes([len(put)])
        + put
        + b"\x5a"
        + bytes([len(delete)])
        + delete
    )
    events = (Event("/a", b"x", 6), Event("/b", None, 7))
    assert read == wire.WatchReply(8, False, False, "why", 3, True, events)


def test_a_foreign_key_that_is_no_text_keeps_its_bytes():
    kv = fields((1, b"/\xff"))
    assert wire.RANGE.reply(fields((2, kv))).items[0].key == "/\udcff"
    assert wire.PAGE.reply(fields((2, kv))).rest == b"/\xff\0"


def test_a_page_hands_over_its_items_once_and_tells_where_the_next_one_begins():
    first, second = fields((1, b"/a"), (2, 3), (3, 5), (5, b"x")), fields((1, b"/b"), (2, 4), (3, 4), (5, b"y"))
    data = fields((1, fields((3, 8))), (2, first), (2, second), (3, 1), (4, 9))
    page = wire.PAGE.reply(data)
    assert (page.revision, page.more, page.rest, page.count, page.size_bytes) == (8, True, b"/b\0", 2, len(data))
    assert list(page.take()) == [KeyValue("/a", b"x", 3, 5), KeyValue("/b", b"y", 4, 4)]
    assert list(page.take()) == []


def test_an_empty_page():
    page = wire.PAGE.reply(fields((1, fields((3, 8)))))
    assert (page.revision, page.more, page.count, list(page.take())) == (8, False, 0, [])


def depth_and_leaves(request):
    """Of a transaction: what etcd sums along the deepest path, and the keys in the order they are applied."""

    def walk(txn):
        own, deepest, keys = max(len(txn.compare), len(txn.success), len(txn.failure)), 0, []
        for one in txn.success:
            if one.HasField("request_txn"):
                below, inner = walk(one.request_txn)
                deepest, keys = max(deepest, below), keys + inner
            else:
                keys.append(one.request_put.key.decode())
        return own + deepest, keys

    return walk(message_class("TxnRequest").FromString(request))


@pytest.mark.parametrize(
    ("compares", "operations"), [(0, 128), (0, 129), (0, 5000), (64, 4096), (100, 400), (120, 700)]
)
def test_any_number_of_operations_fits_what_a_plain_etcd_takes(compares, operations):
    keys = [f"/{number}" for number in range(operations)]
    conditions = [Unchanged(key, 1) if number % 2 else Compare(key, 1) for number, key in enumerate(keys[:compares])]
    budget, applied = depth_and_leaves(wire.txn_request(conditions, [Put(key, b"") for key in keys]))
    assert budget <= 128
    assert applied == keys


def test_a_revision_beyond_64_bits_is_the_last_there_is():
    assert wire.watch_request((b"a", b"b"), 2**70) == wire.watch_request((b"a", b"b"), 2**63 - 1)
