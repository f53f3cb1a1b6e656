"""DNS messages: what is read from bytes, what is refused, and how answers are cut to size."""

from __future__ import annotations

import struct

import pytest

from ocicat.dns.names import text, wire
from ocicat.dns.wire import (
    Answer,
    Edns,
    Malformed,
    Query,
    Question,
    Rcode,
    Record,
    Type,
    encode_answer,
    encode_query,
    parse_answer,
    parse_query,
    refusal,
)

WEB = wire("web.marathon.mesos")
QUERY = Query(7, Question(WEB, Type.A))
HEAD = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0)


def address(number, name=WEB):
    return Record(name, Type.A, bytes([10, 77, number >> 8, number & 255]), 5)


def service(number):
    return Record(WEB, Type.SRV, struct.pack("!3H", 0, 0, 80) + wire(f"web-{number}.marathon.mesos"), 5)


def answered(query, said, limit=512):
    data = encode_answer(query, said, limit)
    assert len(data) <= limit
    return parse_answer(data)


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        Query(0xFFFF, Question(wire("."), Type.ANY, 255), opcode=4, recursion=False),
        Query(1, Question(b"\x03wEb\x01\x00\x00", Type.SRV), edns=Edns(4096, 0)),
    ],
)
def test_a_query_is_read_as_it_was_written(query):
    assert parse_query(encode_query(query)) == query


def test_the_limit_of_udp_is_what_the_other_side_takes_within_reason():
    assert [Query(1, QUERY.question, edns=edns).udp_limit for edns in (None, Edns(100), Edns(900), Edns(65535))] == [
        512,
        512,
        900,
        1232,
    ]


@pytest.mark.parametrize(
    ("data", "id_"),
    [
        (b"", None),
        (HEAD[:11], None),
        (HEAD[:2] + b"\x81\x80" + HEAD[4:] + WEB + b"\0\1\0\1", None),  # an answer
        (HEAD, 7),
        (HEAD + WEB, 7),
        (HEAD + WEB[:-1], 7),
        (HEAD + b"\xc0\x0c\0\1\0\1", 7),  # points at itself
        (HEAD + b"\xc0\x00\0\1\0\1", 7),  # into the header
        (HEAD + b"\xc0", 7),
        (HEAD + b"\x40web\0\0\1\0\1", 7),  # a kind of label that was given up
        (HEAD + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", 7),  # 257 bytes
        (HEAD[:4] + b"\0\2" + HEAD[6:] + (WEB + b"\0\1\0\1") * 2, 7),  # two questions
        (HEAD[:10] + b"\0\1" + WEB + b"\0\1\0\1", 7),  # a record is missing
        (HEAD[:10] + b"\0\1" + WEB + b"\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\0\5", 7),  # its data too
        (HEAD[:10] + b"\0\2" + WEB + b"\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2, 7),  # two OPT
        (HEAD[:10] + b"\0\1" + WEB + b"\0\1\0\1" + b"\1a\0\0\x29\4\0\0\0\0\0\0\0", 7),  # an OPT with a name
    ],
)
def test_what_is_no_query_is_said_so(data, id_):
    with pytest.raises(Malformed) as caught:
        parse_query(data)
    assert caught.value.id == id_


def chained(hops):
    """A name at the end of so many pointers, each to the one before; where it begins, and all before it."""
    places = [12, *(12 + len(WEB) + 4 + 11 + 2 * number for number in range(hops))]
    ways = b"".join(struct.pack("!H", 0xC000 | place) for place in places[:-1])
    data = WEB + b"\0\1\0\1" + b"\0" + struct.pack("!HHIH", 16, 1, 0, len(ways)) + ways
    return struct.pack("!H", 0xC000 | places[-1]), data


def test_a_long_way_of_pointers_is_no_name():
    head = HEAD[:2] + b"\x80\0" + HEAD[4:6] + b"\0\2\0\0\0\0"
    rest = struct.pack("!HHIH", 16, 1, 0, 0)
    last, data = chained(126)
    assert parse_answer(head + data + last + rest).answers[1].name == WEB
    for hops in (127, 8000):
        last, data = chained(hops)
        with pytest.raises(Malformed, match="too many"):
            parse_answer(head + data + last + rest)


@pytest.mark.parametrize("counts", [(4, 0, 0), (0, 4, 0), (0, 0, 4), (2, 1, 1), (65535, 65535, 65535)])
def test_a_question_brings_few_records(counts):
    data = WEB + b"\0\1\0\1" + (b"\0" + struct.pack("!HHIH", 16, 1, 0, 0)) * 4
    with pytest.raises(Malformed, match="records with a question") as caught:
        parse_query(struct.pack("!6H", 7, 0x0100, 1, *counts) + data)
    assert caught.value.id == 7
    update = parse_query(struct.pack("!6H", 7, 5 << 11, 1, *counts) + data)  # has as many as it likes, and is not read
    assert (update.opcode, update.edns) == (5, None)


def test_a_refusal_says_whom_it_is_for():
    data = refusal(7, Rcode.FORMERR)
    assert data == b"\0\7\x80\1" + bytes(8)


def test_an_answer_says_what_was_meant_and_repeats_the_question_as_asked():
    query = Query(9, Question(wire("wEb.Marathon.mesos"), Type.SRV), recursion=True, edns=Edns())
    server = Record(wire("mesos"), Type.NS, wire("ns1.mesos"), 60)
    said = Answer(Rcode.NXDOMAIN, (service(1),), (server,), (address(1), address(2)), authoritative=True)
    data = encode_answer(query, said, 1232, recursion_available=True)
    read = parse_answer(data)
    assert (read.id, read.rcode, read.question) == (9, Rcode.NXDOMAIN, query.question)
    assert read.authoritative
    assert not read.truncated
    assert data[2:4] == b"\x85\x83"
    assert (read.answers, read.authority, read.additional) == (
        (Record(query.question.name, Type.SRV, said.answers[0].data, 5),),
        said.authority,
        tuple(Record(query.question.name, one.type, one.data, one.ttl) for one in said.additional),
    )


def test_names_that_were_written_before_are_pointers():
    data = encode_answer(QUERY, Answer(answers=tuple(map(address, range(3)))), 512)
    assert len(data) == 12 + len(WEB) + 4 + 3 * 16
    assert [text(one.name) for one in parse_answer(data).answers] == ["web.marathon.mesos"] * 3


def test_a_part_of_a_name_can_be_a_pointer_too():
    other = address(1, wire("db.marathon.mesos"))
    data = encode_answer(QUERY, Answer(answers=(other, other)), 512)
    assert len(data) == 12 + len(WEB) + 4 + (3 + 2 + 14) + 16
    assert parse_answer(data).answers == (other, other)


@pytest.mark.parametrize("edns", [None, Edns(1232)])
def test_what_does_not_fit_is_left_out_and_said_so(edns):
    query = Query(7, QUERY.question, edns=edns)
    read = answered(query, Answer(answers=tuple(map(address, range(200)))), query.udp_limit)
    assert read.truncated
    assert 25 < len(read.answers) < 80
    assert read.answers == tuple(map(address, range(len(read.answers))))


def test_additional_records_may_be_left_out_in_silence():
    read = answered(QUERY, Answer(answers=(service(1),), additional=tuple(map(address, range(200)))))
    assert not read.truncated
    assert 20 < len(read.additional) < 30


def test_a_cut_answer_has_nothing_after_the_cut():
    said = Answer(answers=tuple(map(service, range(50))), authority=(address(1),), additional=(address(2),))
    read = answered(QUERY, said)
    assert read.truncated
    assert (read.authority, read.additional) == ((), ())


def test_an_answer_to_edns_has_edns_and_codes_beyond_four_bits():
    query = Query(7, QUERY.question, edns=Edns(version=1))
    data = encode_answer(query, Answer(Rcode.BADVERS), 512)
    assert data[-11:] == b"\0\0\x29\x04\xd0\x01\0\0\0\0\0"
    assert parse_answer(data).rcode == Rcode.BADVERS


def test_names_in_data_are_read_without_pointers():
    head = struct.pack("!6H", 7, 0x8000, 1, 3, 0, 0) + WEB + b"\0\x0c\0\1"
    ptr = b"\xc0\x0c\0\x0c\0\1\0\0\0\5\0\2\xc0\x10"
    srv = b"\xc0\x0c\0\x21\0\1\0\0\0\5\0\x08\0\0\0\0\0\x50\xc0\x10"
    soa = b"\xc0\x0c\0\x06\0\1\0\0\0\5\0\x18\xc0\x10\xc0\x0c" + bytes(range(20))
    read = parse_answer(head + ptr + srv + soa)
    rest = wire("marathon.mesos")
    assert [one.data for one in read.answers] == [rest, b"\0\0\0\0\0\x50" + rest, rest + WEB + bytes(range(20))]
