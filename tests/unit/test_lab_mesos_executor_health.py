"""Health checks that the lab's executor asks: what they are read from, when an answer is news, and when a task must end."""

from __future__ import annotations

import json
import socket
import subprocess
import threading

import pytest

from ocicat.lab.mesos.executor.core import Executor, Send, Terminate, Watch
from ocicat.lab.mesos.executor.health import Check, Health, read_check
from ocicat.lab.mesos.executor.messages import Command, Identity, Launch, LaunchGroup, decode_event, read_task

SHELL = Command("/bin/sh", ("sh", "-c", "test -f ok"), {})


def test_a_check_is_read_with_mesoss_defaults():
    assert read_check({"type": "COMMAND", "command": {"value": "test -f ok"}}) == Check(
        SHELL, 15.0, 10.0, 20.0, 10.0, 3
    )
    given = {"delay_seconds": 1, "interval_seconds": 0.5, "timeout_seconds": 2, "grace_period_seconds": 3}
    found = read_check({"type": "TCP", "tcp": {"port": 80}, **given, "consecutive_failures": 1})
    assert found[1:] == (1.0, 0.5, 2.0, 3.0, 1)


@pytest.mark.parametrize(
    "info",
    [
        {"type": "COMMAND"},
        {"type": "COMMAND", "command": {}},
        {"type": "TCP"},
        {"type": "HTTP", "http": {"path": "/"}},
        {"type": "HTTP", "http": {"port": 443, "scheme": "https"}},
        {"type": "PING"},
        {},
    ],
)
def test_a_check_that_cannot_be_asked_is_none(info):
    assert read_check(info) is None


def ran(info):
    return subprocess.run(read_check(info).command.argv, check=False, capture_output=True, timeout=10).returncode


@pytest.mark.parametrize(("answer", "status"), [(b"HTTP/1.0 204 x\r\n", 0), (b"HTTP/1.0 500 x\r\n", 1), (b"", 1)])
def test_programs_ask_over_the_containers_own_address(answer, status):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        seen = []

        def serve():
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    seen.append(connection.recv(100))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ran({"type": "TCP", "tcp": {"port": port}, "timeout_seconds": 5}) == 0
        assert ran({"type": "HTTP", "http": {"port": port, "path": "/x"}, "timeout_seconds": 5}) == status
        thread.join(5)
    assert seen[1].startswith(b"GET /x HTTP/1.0\r\n")
    assert ran({"type": "TCP", "tcp": {"port": port}, "timeout_seconds": 5}) != 0


def test_news_are_the_first_answer_that_counts_and_every_change():
    health = Health(Check(SHELL, 0, 1, 1, 10, 2), started=100.0)
    heard = [
        (False, 101),
        (False, 109),
        (True, 109),
        (True, 110),
        (False, 111),
        (True, 112),
        (False, 113),
        (False, 114),
    ]
    assert [health.heard(*one) for one in heard] == [False, False, True, False, True, True, True, False]
    assert (health.healthy, health.hopeless) == (False, True)


def launch(executor, check):
    raw = {"task_id": {"value": "t1"}, "command": {"value": "sleep 1"}, "health_check": check}
    return executor.handle(Launch(read_task(raw)))


@pytest.fixture
def executor():
    return Executor(Identity("f", "e"), 4.0, lambda: f"u{id(object())}", lambda: 0.0)


def test_the_executor_tells_what_the_check_says_and_ends_the_task_in_the_end(executor):
    check = {
        "type": "COMMAND",
        "command": {"value": "test -f ok"},
        "consecutive_failures": 2,
        "grace_period_seconds": 0,
    }
    launch(executor, check)
    running, watch = executor.started()
    assert running.update.healthy is None
    assert watch == Watch(read_check(check))
    (good,) = executor.checked(True)
    assert (good.update.state, good.update.healthy) == ("TASK_RUNNING", True)
    assert good.update.reason == "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
    assert executor.checked(True) == []
    (bad,) = executor.checked(False)
    assert bad.update.healthy is False
    assert [type(effect) for effect in executor.checked(False)] == [Terminate]
    assert executor.checked(True) == []
    (end,) = executor.exited(False, "x")
    assert (end.update.state, end.update.healthy) == ("TASK_KILLED", False)


def test_a_check_of_another_kind_fails_the_task(executor):
    (said,) = launch(executor, {"type": "HTTP"})
    assert isinstance(said, Send)
    assert said.update.message == "this executor does not support such a health check"


def test_tasks_of_groups_are_not_checked():
    info = {"task_id": {"value": "t"}, "command": {"value": "true"}, "health_check": {"type": "COMMAND"}}
    event = {"type": "LAUNCH_GROUP", "launch_group": {"task_group": {"tasks": [info]}}}
    found = decode_event(json.dumps(event).encode())
    assert isinstance(found, LaunchGroup)
    assert found.tasks[0].problem == "this executor does not support health_check of tasks in groups"
