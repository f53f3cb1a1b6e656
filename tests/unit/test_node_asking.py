"""Asking an agent how it is, with every kind of agent at the other end; its lock; and what is said to Docker and systemd."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocicat.agent.status import AgentStatus
from ocicat.errors import NotFound, Refused, Unavailable, UserError
from ocicat.model.codec import encode_json
from ocicat.node import asking, engine, systemd
from ocicat.node.view import row, view

WELL = AgentStatus(host="h1", version="1.0", pid=7, started="2026-01-31T12:00:00Z", endpoints=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.sock"


@contextmanager
def answering(path, answer):
    """Something that reads one request and gives this answer; None: never any."""
    heard, over = [], threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            with connection:
                while part := connection.recv(100):
                    heard.append(part)
                if answer is None:
                    over.wait()
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            over.set()
            thread.join()


def test_an_agent_is_asked_by_one_word(path):
    with answering(path, b"0" + encode_json(WELL)) as heard:
        assert asking.ask(path) == WELL
    assert b"".join(heard) == b"OCICAT_PROTOCOL=status\0\0"


def test_no_agent_is_not_found_be_its_socket_there_or_not(path):
    with pytest.raises(NotFound, match="no agent serves"):
        asking.ask(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NotFound, match="no agent serves"):
        asking.ask(path)


@pytest.mark.parametrize("answer", [b'1{"code":4}', b""])
def test_an_agent_of_before_cannot_say(path, answer):
    with answering(path, answer), pytest.raises(Unavailable, match="cannot say how it is"):
        asking.ask(path)


def test_an_agent_that_hangs_is_not_waited_for_for_ever(path, monkeypatch):
    monkeypatch.setattr(asking, "_ANSWER_S", 0.05)
    with answering(path, None), pytest.raises(Unavailable, match="does not answer"):
        asking.ask(path)


def test_an_agent_that_is_only_starting_is_known_by_its_lock(path):
    assert not asking.runs(path)
    with path.with_name("agent.sock.lock").open("w") as lock:
        assert not asking.runs(path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert asking.runs(path)
    assert not asking.runs(path)


def test_waiting_ends_with_the_agent_and_with_the_patience(path):
    with pytest.raises(Refused, match="the agent did not start: it ended with status 7"):
        asking.until_it_serves(path, lambda: "it ended with status 7", 60)
    with pytest.raises(Refused, match=r"no agent serves .* after 0 s"):
        asking.until_it_serves(path, lambda: "", 0)


# --- one record ---------------------------------------------------------------------------------------------------


def test_the_record_names_all_that_is_wrong():
    ailing = AgentStatus(
        **{name: getattr(WELL, name) for name in WELL.__struct_fields__} | {"store": "gone", "dataplane": "no"}
    )
    assert view("docker", WELL, "").state == "well"
    assert view("docker", ailing, "").problem == "datastore: gone; dataplane: no"
    assert view("docker", ailing, "").state == "ailing"
    assert row(view(None, None, "x")) == ("down", "-", "-", "-", "-", "-", "-")
    assert row(view("native", WELL, ""))[:4] == ("well", "native", "h1", "1.0")


# --- docker and systemd ---------------------------------------------------------------------------------------------


@pytest.fixture
def docker(tmp_path, monkeypatch):
    def says(text, status=1):
        program = tmp_path / "bin/docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return says


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: No such container: x", NotFound),
        ("Error response from daemon: No such image: x", NotFound),
        ("Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?", Unavailable),
        ("Error response from daemon: conflict", Refused),
    ],
)
def test_what_docker_says_becomes_an_error_of_ours(docker, text, error):
    docker(text)
    with pytest.raises(error) as raised:
        engine.run("start", "x")
    assert text in str(raised.value)


def test_a_host_without_docker_is_told_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="no program docker"):
        engine.container("x")
    assert engine.last_lines("x") == []


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("--mtu", "--mtu"),
        ("", '""'),
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", "back\\\\slash"),
        ("it's", '"it\'s"'),
    ],
)
def test_systemd_is_given_words_as_they_are(word, quoted):
    (item,) = systemd.wanted("/usr/bin/ocicat", [word])
    assert item.state.content.decode().splitlines() == [
        "[Service]",
        "ExecStart=",
        f"ExecStart=/usr/bin/ocicat agent {quoted}",
    ]


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/touch /x", "a\r", "\t", "\x7f", os.fsdecode(b"\xff")])
def test_a_word_that_systemd_cannot_be_given_is_refused(word):
    with pytest.raises(UserError, match="control character"):
        systemd.wanted("/usr/bin/ocicat", ["--host", word])


def test_without_arguments_systemd_runs_what_the_package_says():
    assert systemd.wanted("/usr/bin/ocicat", []) == []


def test_without_systemd_there_is_no_unit(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "_RUNS", Path(tmp_path, "none"))
    assert systemd.unit() is None
    with pytest.raises(Unavailable, match="systemd does not run"):
        systemd.check()
