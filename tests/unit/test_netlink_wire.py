"""Framing, attributes and acknowledgements."""

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.errors import Bug
from ocicat.netlink import wire
from ocicat.netlink.errors import refusal
from ocicat.netlink.wire import Message, Request

KIND = st.integers(1, 0x3FFF)
PAYLOAD = st.binary(max_size=200)
SET_LINK = Request(16, 0, b"\0" * 16, "set", "link 7")
WHOLE_ECHO = wire.encode(SET_LINK, 3)


@settings(deadline=None)
@given(st.lists(st.tuples(KIND, PAYLOAD)))
def test_attributes_survive_the_wire_in_order(pairs):
    assert wire.attribute_list(b"".join(wire.attr(k, p) for k, p in pairs)) == pairs


@settings(deadline=None)
@given(st.lists(st.tuples(KIND, PAYLOAD)))
def test_of_equal_types_the_last_counts(pairs):
    assert wire.attributes(b"".join(wire.attr(k, p) for k, p in pairs)) == dict(pairs)


@settings(deadline=None)
@given(st.dictionaries(KIND, st.dictionaries(KIND, PAYLOAD)))
def test_nested_attributes_survive_the_wire(tree):
    data = b"".join(wire.nest(k, *(wire.attr(i, p) for i, p in inner.items())) for k, inner in tree.items())
    assert {k: wire.attributes(raw) for k, raw in wire.attributes(data).items()} == tree


@settings(deadline=None)
@given(KIND, st.binary(min_size=1, max_size=50), st.data())
def test_an_attribute_cut_short_is_an_error(kind, payload, data):
    whole = wire.attr(kind, payload)
    size = data.draw(st.integers(1, 3 + len(payload)))
    with pytest.raises(Bug, match="cut short"):
        wire.attributes(whole[:size])


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_values_or_a_bug(data):
    for parse in (wire.attributes, wire.messages):
        try:
            parse(data)
        except Bug as error:
            assert "cut short" in str(error)  # noqa: PT017 - either outcome is right, and which depends on the bytes


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_messages_survive_the_wire(bodies):
    bodies = [body + bytes(-len(body) % 4) for body in bodies]
    data = b"".join(wire.encode(Request(20, 4, body, "", ""), i) for i, body in enumerate(bodies))
    assert wire.messages(data) == [Message(20, 4 | wire.NLM_F_REQUEST, i, body) for i, body in enumerate(bodies)]


@pytest.mark.parametrize("size", [1, 15, 16, 31])
def test_a_message_cut_short_is_an_error(size):
    with pytest.raises(Bug, match="cut short"):
        wire.messages(wire.encode(SET_LINK, 1)[:size])


def test_a_message_that_claims_less_than_a_header_is_an_error():
    with pytest.raises(Bug, match="cut short"):
        wire.messages(struct.pack("=IHHII", 8, 3, 0, 1, 0))


def test_a_body_shorter_than_its_fixed_part_is_an_error():
    with pytest.raises(Bug, match="3 of 4"):
        wire.head(struct.Struct("=I"), b"123")


def test_an_attribute_too_long_for_its_length_field_is_refused():
    with pytest.raises(Bug, match="16 bits"):
        wire.attr(1, bytes(65532))


@pytest.mark.parametrize(
    ("made", "value"),
    [(wire.attr_u8(5, 7), 7), (wire.attr_u16(5, 300), 300), (wire.attr_u32(5, 1 << 31), 1 << 31)],
)
def test_numbers_are_in_host_order(made, value):
    assert len(made) == 8
    assert wire.u32(wire.attributes(made), 5) == value


def test_absent_attributes_have_defaults():
    assert (wire.u32({}, 1, 9), wire.be({}, 1, 9), wire.string({}, 1)) == (9, 9, "")


def error_message(code, *tlvs, flags=0x200, echo=WHOLE_ECHO):
    return Message(wire.NLMSG_ERROR, flags, 3, struct.pack("=i", -code) + echo + b"".join(tlvs))


def test_an_acknowledgement_is_errno_zero():
    assert wire.outcome(error_message(0, flags=0)).errno == 0


def test_the_kernels_words_and_offset_are_read_after_the_whole_echo():
    message = error_message(errno.EINVAL, wire.attr_text(1, "Invalid prefix"), wire.attr_u32(2, 28))
    assert wire.outcome(message) == wire.Outcome(errno.EINVAL, "Invalid prefix", 28)


def test_the_kernels_words_are_read_after_a_capped_echo():
    message = error_message(errno.EPERM, wire.attr_text(1, "no"), flags=0x300, echo=WHOLE_ECHO[:16])
    assert wire.outcome(message).text == "no"


def test_a_missing_attribute_is_named():
    assert wire.outcome(error_message(errno.EINVAL, wire.attr_u32(5, 13))).text == "attribute 13 is missing"


def test_a_dump_may_end_in_an_error():
    body = struct.pack("=i", -errno.ENOENT) + wire.attr_text(1, "FIB table does not exist")
    found = wire.outcome(Message(wire.NLMSG_DONE, 0x202, 3, body))
    assert (found.errno, found.text) == (errno.ENOENT, "FIB table does not exist")


def test_a_done_without_status_is_success():
    assert wire.outcome(Message(wire.NLMSG_DONE, 2, 3, b"")).errno == 0


def test_a_refusal_says_what_was_asked_why_and_what_to_do():
    error = refusal(wire.Outcome(errno.EPERM), SET_LINK)
    assert str(error) == (
        "cannot set link 7: Operation not permitted, EPERM (CAP_NET_ADMIN is needed in that network namespace)"
    )


@pytest.mark.parametrize(
    ("code", "missing", "exists"),
    [(errno.ENODEV, True, False), (errno.ESRCH, True, False), (errno.EEXIST, False, True), (errno.EBUSY, False, False)],
)
def test_refusals_that_mean_nothing_to_do_are_told_apart(code, missing, exists):
    error = refusal(wire.Outcome(code), SET_LINK)
    assert (error.missing, error.exists) == (missing, exists)
