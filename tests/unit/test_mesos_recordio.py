"""RecordIO framing: any split of the bytes gives the same records, and nonsense is refused early."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.errors import Refused
from ocicat.mesos.recordio import MAX_RECORD_BYTES, Decoder, encode


def test_a_record_is_its_length_a_newline_and_its_bytes():
    assert encode(b'{"type":"HEARTBEAT"}') == b'20\n{"type":"HEARTBEAT"}'


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200)), st.data())
def test_any_split_gives_the_same_records(records, data):
    stream, decoder, got = b"".join(map(encode, records)), Decoder(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert got == records
    assert decoder.between_records


def test_an_unfinished_record_is_kept_and_noticed():
    decoder = Decoder()
    assert decoder.feed(b"5\nab") == []
    assert not decoder.between_records
    assert decoder.feed(b"cde") == [b"abcde"]


@pytest.mark.parametrize("stream", [b"\n", b"x", b"-1\n", b"1 0\n", b"<html>", b"12\r\n"])
def test_what_is_no_length_is_refused(stream):
    with pytest.raises(Refused, match="where the length of a record should be"):
        Decoder().feed(stream)


@pytest.mark.parametrize("length", [str(MAX_RECORD_BYTES + 1) + "\n", "99999999999", "1" * 5000])
def test_an_absurd_length_is_refused_before_its_bytes_come(length):
    with pytest.raises(Refused, match=f"more than {MAX_RECORD_BYTES}"):
        Decoder().feed(length.encode())


def test_the_greatest_length_is_taken():
    assert Decoder().feed(b"%d\n" % MAX_RECORD_BYTES) == []
