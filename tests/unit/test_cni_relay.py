"""The dialogue between the plugin and the agent, and the codes that our errors get in it."""

import pytest

from ocicat.cni import relay
from ocicat.cni.spec import CniError, Code
from ocicat.errors import Bug, Compacted, Conflict, NotFound, Refused, Unavailable, UserError


def test_variables_and_document_come_apart_again():
    environment, document = relay.parse(b"CNI_COMMAND=ADD\0CNI_ARGS=A=B;C=D\0CNI_NETNS=\0\0{}\0\0tail")
    assert environment == {"CNI_COMMAND": "ADD", "CNI_ARGS": "A=B;C=D", "CNI_NETNS": ""}
    assert document == b"{}\0\0tail"


def test_no_variables_at_all():
    assert relay.parse(b"\0\0{}") == ({}, b"{}")


def test_bytes_that_are_no_text_are_kept_as_they_are():
    environment, _ = relay.parse(b"CNI_IFNAME=\xff\0\0")
    assert environment["CNI_IFNAME"].encode(errors="surrogateescape") == b"\xff"


@pytest.mark.parametrize("message", [b"", b"CNI_COMMAND=ADD", b"CNI_COMMAND=ADD\0"])
def test_a_request_that_is_cut_short(message):
    with pytest.raises(CniError) as caught:
        relay.parse(message)
    assert caught.value.code == Code.IO_FAILURE


def test_the_reply_says_the_exit_status_first():
    assert (relay.reply(0, b"{}"), relay.reply(1, b"")) == (b"0{}", b"1")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError, 7),
        (NotFound, 3),
        (Unavailable, 11),
        (Compacted, 11),
        (Conflict, 11),
        (Refused, 100),
        (Bug, 101),
    ],
)
def test_every_error_of_ours_has_a_code(error, code):
    found = CniError.of(error("what", hint="do that"))
    assert (int(found.code), found.message, found.hint) == (code, "what", "do that")


def test_a_code_that_was_chosen_stays():
    error = CniError(Code.UNKNOWN_CONTAINER, "x")
    assert CniError.of(error) is error
