"""What goes over the wire to etcd, against bytes worked out by hand from the protobuf encoding and etcd's field numbers."""

from __future__ import annotations

import pytest

from ocicat.store.base import Compare, Delete, Event, KeyValue, Put
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


def test_a_failed_transaction_tells_at_which_revisions_the_keys_are():
    found, absent = fields((1, fields((2, fields((1, b"/a"), (3, 6)))))), fields((1, b""))
    read = wire.TXN.reply(fields((1, fields((3, 8))), (3, found), (3, absent)))
    assert read == wire.TxnReply(8, False, (6, 0))


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
    read = wire.RANGE.reply(fields((2, fields((1, b"/\xff")))))
    assert wire.just_after(read.items[0].key) == b"/\xff\0"


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
    budget, applied = depth_and_leaves(
        wire.txn_request([Compare(key, 1) for key in keys[:compares]], [Put(key, b"") for key in keys])
    )
    assert budget <= 128
    assert applied == keys


def test_a_revision_beyond_64_bits_is_the_last_there_is():
    assert wire.watch_request((b"a", b"b"), 2**70) == wire.watch_request((b"a", b"b"), 2**63 - 1)
