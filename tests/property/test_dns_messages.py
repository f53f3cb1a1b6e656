"""Whatever the bytes: a message is read or said to be malformed; what was written is read back; and any task has possible names."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.dns.names import text, wire
from ocicat.dns.records import Naming, of_task
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
    read_name,
)
from ocicat.mesos.tasks import Task
from ocicat.mesos.types import Discovery, DiscoveryPort, NetworkStatus, PortRange, TaskState

FEW = settings(max_examples=60, deadline=None)
LABELS = st.binary(min_size=1, max_size=63)
NAMES = st.lists(LABELS, max_size=4).map(lambda parts: b"".join(bytes([len(one)]) + one for one in parts) + b"\0")
SHORT = NAMES.filter(lambda name: len(name) <= 255)
QUERIES = st.builds(
    Query,
    id=st.integers(0, 65535),
    question=st.builds(Question, name=SHORT, type=st.integers(0, 65535), cls=st.integers(0, 65535)),
    opcode=st.integers(0, 15),
    recursion=st.booleans(),
    edns=st.none() | st.builds(Edns, size=st.integers(0, 65535), version=st.integers(0, 255)),
)
PLAIN = st.sampled_from((Type.A, Type.TXT, Type.AAAA))  # nothing in their data is a name
RECORDS = st.builds(Record, name=SHORT, type=PLAIN, data=st.binary(max_size=40), ttl=st.integers(0, 2**31 - 1))
SECTIONS = st.lists(RECORDS, max_size=12).map(tuple)


def read(parse, data):
    try:
        return parse(data)
    except Malformed:
        return None


@FEW
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_malformed(data):
    for parse in (parse_query, parse_answer):
        read(parse, data)
        read(parse, b"\0\7\x01\0\0\1\0\1\0\1\0\1" + data)
        read(parse, b"\0\7\x81\0\0\1\0\1\0\1\0\1" + data)


@FEW
@given(QUERIES, st.data())
def test_a_damaged_query_is_read_or_malformed(query, data):
    good = bytearray(encode_query(query))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    read(parse_query, bytes(good))
    read(parse_query, bytes(good[:place]))


@FEW
@given(QUERIES)
def test_a_query_is_read_as_it_was_written(query):
    assert parse_query(encode_query(query)) == query


@FEW
@given(SHORT)
def test_every_name_is_the_same_by_text(name):
    assert wire(text(name)) == name


@FEW
@given(QUERIES, SECTIONS, SECTIONS, SECTIONS, st.sampled_from(list(Rcode)), st.integers(512, 2000))
def test_an_answer_is_read_as_it_was_meant_as_far_as_it_fits(query, answers, authority, additional, rcode, limit):
    data = encode_answer(query, Answer(rcode, answers, authority, additional), limit)
    told = parse_answer(data)
    assert len(data) <= limit
    assert (told.id, told.question) == (query.id, query.question)
    assert told.rcode == (rcode if query.edns else rcode & 15)
    wanted = (*answers, *authority)
    given_ = (*told.answers, *told.authority)
    assert told.truncated == (len(given_) < len(wanted))
    assert _as_compared(given_) == _as_compared(wanted)[: len(given_)]
    assert _as_compared(told.additional) == _as_compared(additional)[: len(told.additional)]


def _as_compared(records):
    """Names that were written before keep the letters that they had there."""
    return [(one.name.lower(), one.type, one.data, one.ttl) for one in records]


TEXTS = st.text(max_size=80)
LABELLED = st.dictionaries(TEXTS, TEXTS, max_size=3)
PORTS = st.builds(
    DiscoveryPort, number=st.integers(0, 2**32 - 1), name=TEXTS, protocol=st.sampled_from(("", "tcp", "UDP")) | TEXTS
)
ADDRESSES = st.lists(st.sampled_from(("10.0.0.1", "fd00::1/64")) | TEXTS, max_size=3).map(tuple)
TASKS = st.builds(
    Task,
    id=TEXTS,
    name=TEXTS,
    framework=TEXTS | st.just(".".join(["x" * 60] * 4)),
    framework_id=TEXTS,
    agent_id=TEXTS,
    host_address=TEXTS | st.just("10.0.0.9"),
    state=st.just(TaskState.RUNNING),
    labels=LABELLED,
    status_labels=LABELLED,
    discovery=st.none() | st.builds(Discovery, name=TEXTS, ports=st.lists(PORTS, max_size=3).map(tuple)),
    ports=st.lists(st.builds(PortRange, st.integers(0, 70000), st.integers(0, 70000)), max_size=2).map(tuple),
    networks=st.lists(st.builds(NetworkStatus, TEXTS, labels=LABELLED, ip_addresses=ADDRESSES), max_size=2).map(tuple),
)


@FEW
@given(TASKS, st.booleans())
def test_any_task_has_possible_names_or_none(task, rfc952):
    for entry in of_task(task, Naming(rfc952=rfc952)):
        assert read_name(entry.name, 0) == (entry.name, len(entry.name))
        assert entry.name == entry.name.lower()
        assert len(entry.name) <= 255
