"""The executor's messages and their framing: what Mesos sends, in any pieces."""

from __future__ import annotations

import json

import pytest

from ocicat.errors import Refused
from ocicat.lab.mesos.executor import task as tasks
from ocicat.lab.mesos.executor.http import Stream
from ocicat.lab.mesos.executor.messages import (
    Acknowledged,
    Error,
    Identity,
    Kill,
    LaunchGroup,
    Shutdown,
    Subscribed,
    Update,
    decode_event,
    encode_update,
    read_task,
    seconds,
)

INFO = {"task_id": {"value": "t1"}, "command": {"value": "echo hi"}}


def event(kind, **body):
    return decode_event(json.dumps({"type": kind, **body}).encode())


def task_with(**more):
    return read_task({**INFO, **more})


def test_a_shell_command_is_given_to_the_shell():
    command = task_with().command
    assert (command.program, command.argv) == ("/bin/sh", ("sh", "-c", "echo hi"))


def test_arguments_replace_the_shell_and_the_first_is_the_name():
    command = task_with(command={"shell": False, "value": "/bin/echo", "arguments": ["echo", "a b"]}).command
    assert (command.program, command.argv) == ("/bin/echo", ("echo", "a b"))
    bare = task_with(command={"shell": False, "value": "/bin/true"}).command
    assert bare.argv == ("/bin/true",)


def test_the_environment_of_the_command_is_read():
    variables = {"variables": [{"name": "A", "value": "1"}, {"name": "B", "type": "VALUE", "value": ""}]}
    assert task_with(command={"value": "x", "environment": variables}).command.environment == {"A": "1", "B": ""}


def test_the_grace_is_the_policys_or_three_seconds():
    assert task_with().grace_s == 3.0
    assert task_with(kill_policy={"grace_period": {"nanoseconds": 500_000_000}}).grace_s == 0.5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"check": {}, "max_completion_time": {}}, "check, max_completion_time"),
        ({"command": {"shell": False}}, "no value"),
        ({"command": {"value": "x", "environment": {"variables": [{"name": "S", "type": "SECRET"}]}}}, "S is a secret"),
    ],
)
def test_what_we_do_not_do_is_a_problem_of_the_task(more, words):
    assert words in task_with(**more).problem


def test_a_plain_task_has_no_problem():
    assert task_with().problem == ""


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("SHUTDOWN", {}, Shutdown()),
        ("ERROR", {"error": {"message": "no"}}, Error("no")),
        ("ACKNOWLEDGED", {"acknowledged": {"uuid": "AA=="}}, Acknowledged("AA==")),
        ("KILL", {"kill": {"task_id": {"value": "t"}}}, Kill("t", None)),
        (
            "LAUNCH_GROUP",
            {"launch_group": {"task_group": {"tasks": [INFO, {"task_id": {"value": "t2"}}]}}},
            LaunchGroup((read_task(INFO), read_task({"task_id": {"value": "t2"}}))),
        ),
        ("SUBSCRIBED", {"subscribed": {"framework_info": {}}}, Subscribed(False)),
        (
            "SUBSCRIBED",
            {"subscribed": {"framework_info": {"capabilities": [{"type": "TASK_KILLING_STATE"}]}}},
            Subscribed(True),
        ),
        ("HEARTBEAT", {}, None),
        ("NEW_IN_2_0", {"new": 1}, None),
    ],
)
def test_events_are_what_the_agent_says(kind, body, expected):
    assert event(kind, **body) == expected


def test_an_update_names_the_executor_and_leaves_out_an_empty_reason():
    call = json.loads(encode_update(Identity("f", "e"), Update("t", "TASK_RUNNING", "", "", "AA==", 1.5)))
    assert (call["framework_id"], call["executor_id"], call["type"]) == ({"value": "f"}, {"value": "e"}, "UPDATE")
    assert call["update"]["status"]["task_id"] == {"value": "t"}
    assert "reason" not in call["update"]["status"]


@pytest.mark.parametrize(("text", "expected"), [("15mins", 900.0), ("2.5secs", 2.5), ("500ms", 0.5), ("1hrs", 3600.0)])
def test_durations_are_in_mesoss_notation(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "secs", "5 parsecs"])
def test_what_is_no_duration_is_an_error(text):
    with pytest.raises(ValueError):
        seconds(text)


RECORDS = [b'{"type":"A"}', b'{"type":"B\\n"}', b"x" * 300]


def chunked(pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("piece", [1, 13, 4096])
def test_records_do_not_depend_on_how_the_bytes_were_cut(chunk, piece):
    stream = b"".join(b"%d\n%b" % (len(record), record) for record in RECORDS)
    wire = chunked(stream[at : at + chunk] for at in range(0, len(stream), chunk))
    decoder = Stream()
    found = [record for at in range(0, len(wire), piece) for record in decoder.feed(wire[at : at + piece])]
    assert found == RECORDS
    assert not decoder.ended


def test_the_last_chunk_ends_the_stream():
    decoder = Stream()
    assert decoder.feed(chunked([b"1\nx", b""])) == [b"x"]
    assert decoder.ended


@pytest.mark.parametrize("wire", [b"no length\r\n", chunked([b"abc\n"]), b"-5\r\n", b"fffffffff\r\n"])
def test_what_is_no_event_stream_is_refused(wire):
    with pytest.raises(Refused, match="event stream"):
        Stream().feed(wire)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "Command exited with status 0"), (3 << 8, "status 3"), (9, "signal Killed"), (15, "Terminated")],
)
def test_the_end_of_a_command_is_said_in_mesoss_words(status, words):
    assert words in tasks.describe(status)
