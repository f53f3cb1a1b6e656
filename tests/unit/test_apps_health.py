"""Health checks: what their answers mean, and how they are asked over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from ocicat.mesos.apps.ask import failure
from ocicat.mesos.apps.health import Judge, together
from ocicat.mesos.frameworks.application import Check


def judged(answers, *, grace_s=0.0, failures=3):
    judge = Judge(Check(grace_s=grace_s, failures=failures), started=100.0)
    for at, answer in answers:
        judge.heard(answer, at)
    return judge.healthy, judge.hopeless


def test_nothing_is_known_before_the_first_answer():
    assert judged([]) == (None, False)


def test_one_success_is_enough_and_some_failures_are_forgiven():
    assert judged([(100, "")]) == (True, False)
    assert judged([(100, ""), (101, "no"), (102, "no")]) == (True, False)
    assert judged([(100, ""), (101, "no"), (102, "no"), (103, "")]) == (True, False)


def test_as_many_failures_in_a_row_as_are_set_are_the_end():
    assert judged([(100, ""), (101, "no"), (102, "no"), (103, "no")]) == (False, True)
    assert judged([(100, "no"), (101, "no"), (102, "no")]) == (False, True)


def test_failures_do_not_count_while_grace_lasts():
    answers = [(at, "no") for at in range(100, 110)]
    assert judged(answers, grace_s=10) == (None, False)
    assert judged([*answers, (110, "no")], grace_s=10) == (False, False)
    assert judged([*answers, (110, "no"), (111, "no"), (112, "no")], grace_s=10) == (False, True)


def test_after_the_first_success_grace_is_over():
    assert judged([(100, ""), (101, "no"), (101, "no"), (101, "no")], grace_s=10) == (False, True)


def test_with_no_limit_nothing_is_ever_ended():
    assert judged([(100, ""), *((at, "no") for at in range(101, 120))], failures=0) == (False, False)


def test_a_check_of_readiness_ends_nothing_and_is_not_ready_before_the_first_success():
    judge = Judge(Check(grace_s=0.0, failures=0, once=True), started=100.0)
    assert judge.healthy is None
    for at in range(100, 120):
        judge.heard("status 503", at)
    assert (judge.healthy, judge.hopeless) == (False, False)
    judge.heard("", 120)
    assert judge.healthy


def test_several_checks_must_all_be_healthy():
    assert together([]) is True
    assert together([True, None]) is None
    assert together([True, None, False]) is False


@asynccontextmanager
async def server(answer):
    """Sends `answer` to whoever has asked; None: nothing, for ever."""
    seen = []

    async def serve(reader, writer):
        seen.append(await reader.readline())
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


@pytest.mark.parametrize(
    ("answer", "ignore", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", False, ""),
        (b"HTTP/1.0 302 Found\r\n\r\n", False, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "status 404"),
        (b"HTTP/1.1 503 No\r\n\r\n", False, "status 503"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, "status 100"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True, ""),
        (b"SSH-2.0-x\r\n", False, "no HTTP answer"),
        (b"", False, "no HTTP answer"),
        (None, False, "no answer in 0.2 s"),
    ],
)
def test_http(answer, ignore, said):
    async def ask():
        async with server(answer) as (port, seen):
            check = Check(path="/health?x=1", timeout_s=0.2 if answer is None else 5.0, ignore_1xx=ignore)
            return await failure(check, "127.0.0.1", port), seen

    text, seen = asyncio.run(ask())
    assert seen == [b"GET /health?x=1 HTTP/1.1\r\n"]
    assert said in text
    assert bool(text) is bool(said)


@pytest.mark.parametrize(("status", "good"), [(200, False), (204, True), (503, True), (302, False)])
def test_only_the_statuses_that_are_named_are_good(status, good):
    async def ask():
        async with server(f"HTTP/1.1 {status} x\r\n\r\n".encode()) as (port, _):
            return await failure(Check(timeout_s=5.0, statuses=(204, 503)), "127.0.0.1", port)

    assert (asyncio.run(ask()) == "") is good


def test_tcp_wants_a_connection_and_no_more():
    async def ask():
        async with server(None) as (port, _):
            check = Check(protocol="TCP", timeout_s=5.0)
            healthy = await failure(check, "127.0.0.1", port)
        return healthy, await failure(check, "127.0.0.1", port)

    healthy, gone = asyncio.run(ask())
    assert healthy == ""
    assert gone.startswith("TCP 127.0.0.1:")
    assert gone.endswith("Connection refused")
