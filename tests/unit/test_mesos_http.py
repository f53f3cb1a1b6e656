"""The HTTP client against a server that answers with exactly the bytes a test gives it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from mesos_fake_master import read_request

from ocicat.errors import NotFound, Refused, Unavailable
from ocicat.mesos.http import Request, fetch, opened, parse_head, redirected
from ocicat.mesos.masters import Endpoint

HERE = Endpoint("h", 5050)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def serving(*answers, keep_open=False):
    """A server; each connection gets the next answer. Yields its endpoint and the requests it got."""
    left, requests, tasks = list(answers), [], {}

    async def serve(reader, writer):
        tasks[asyncio.current_task()] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            requests.append(await read_request(reader))
            writer.write(left.pop(0))
            await writer.drain()
            if keep_open:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), requests
    finally:
        server.close()
        for writer in tasks.values():
            writer.transport.abort()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def fetched(*answers, timeout_s=2.0, keep_open=False, **more):
    async def run():
        async with serving(*answers, keep_open=keep_open) as (endpoint, _):
            return await fetch(Request(endpoint, "/x"), timeout_s, **more)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello and more",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        CHUNKED + b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
    ],
)
def test_a_body_is_read_however_it_is_framed(answer):
    assert fetched(answer) == b"hello"


def test_an_empty_answer_has_an_empty_body():
    assert fetched(b"HTTP/1.1 204 No Content\r\n\r\n", keep_open=True) == b""


def test_a_request_says_what_it_is():
    async def run():
        async with serving(b"HTTP/1.1 202 Accepted\r\n\r\n") as (endpoint, requests):
            await fetch(Request(endpoint, "/api", "POST", b"{}", {"Mesos-Stream-Id": "s"}), 2.0)
            return endpoint, requests[0]

    endpoint, (line, headers, body) = asyncio.run(run())
    assert (line, body) == ("POST /api HTTP/1.1", b"{}")
    assert headers == {
        "host": str(endpoint),
        "accept": "application/json",
        "connection": "close",
        "content-type": "application/json",
        "content-length": "2",
        "mesos-stream-id": "s",
    }


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        ("400 Bad Request", Refused, "/x: 400: it is wrong"),
        ("401 Unauthorized", Refused, "/x: 401: it is wrong"),
        ("404 Not Found", NotFound, "/x: 404: it is wrong"),
        ("500 Internal Server Error", Unavailable, "/x: 500: it is wrong"),
        ("503 Service Unavailable", Unavailable, "/x: 503: it is wrong"),
    ],
)
def test_an_error_has_the_words_of_the_server(status, error, text):
    with pytest.raises(error, match=text):
        fetched(f"HTTP/1.1 {status}\r\n\r\n it is wrong\n".encode())


def test_a_long_complaint_is_cut():
    with pytest.raises(Refused) as caught:
        fetched(b"HTTP/1.1 400 Bad\r\n\r\n" + b"x" * 10_000)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n",
        b"HTTP/1.1 20",
        b"",
    ],
)
def test_a_cut_answer_is_noticed(answer):
    with pytest.raises(Unavailable, match="the connection was cut"):
        fetched(answer)


@pytest.mark.parametrize("answer", [b"", CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"])
def test_a_silent_server_is_not_waited_for(answer):
    with pytest.raises(Unavailable, match=r"no answer in 0.1 s"):
        fetched(answer, timeout_s=0.1, keep_open=True)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP answer: 'SSH-2.0"),
        (CHUNKED + b"hello\r\n", "where the length of a chunk should be"),
        (CHUNKED + b"-5\r\nhello\r\n", "chunk of negative length"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "more than 64 KiB"),
    ],
)
def test_what_is_no_http_is_refused(answer, text):
    with pytest.raises(Refused, match=text):
        fetched(answer)


@pytest.mark.parametrize("head", [CHUNKED + b"ffffffffff\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_body_is_bounded_whatever_it_announces(head):
    with pytest.raises(Refused, match="more than 1000 bytes"):
        fetched(head + b"x" * 100_000, max_bytes=1000)


def test_a_stream_is_given_in_pieces_as_they_come():
    async def run():
        piece = CHUNKED + b"3\r\nabc\r\n"
        async with (
            serving(piece, keep_open=True) as (endpoint, _),
            opened(Request(endpoint, "/x"), 2.0) as answer,
        ):
            return await answer.read(1.0)

    assert asyncio.run(run()) == b"abc"


def test_nobody_there_is_told_in_plain_words():
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:1: Connection refused$"):
        asyncio.run(fetch(Request(Endpoint("127.0.0.1", 1), "/"), 1.0))


def test_a_redirect_is_followed_with_its_body():
    async def run():
        async with serving(b"HTTP/1.1 200 OK\r\n\r\nyes") as (there, requests):
            location = f"HTTP/1.1 307 Moved\r\nLocation: //{there}/y\r\n\r\n".encode()
            async with serving(location) as (here, _):
                return await fetch(Request(here, "/x", "POST", b"{}"), 2.0), requests[0]

    body, (line, _, sent) = asyncio.run(run())
    assert (body, line, sent) == (b"yes", "POST /y HTTP/1.1", b"{}")


def test_redirects_without_end_are_given_up():
    async def run():
        loop = b"HTTP/1.1 307 Moved\r\nLocation: /x\r\n\r\n"
        async with serving(*[loop] * 10) as (endpoint, requests):
            with pytest.raises(Unavailable, match="redirected more than 3 times"):
                await fetch(Request(endpoint, "/x"), 2.0)
            return len(requests)

    assert asyncio.run(run()) == 4


@pytest.mark.parametrize(
    ("location", "endpoint", "path"),
    [
        ("//l:5051/y", Endpoint("l", 5051), "/y"),
        ("http://l:5051/y?a=b", Endpoint("l", 5051), "/y?a=b"),
        ("//l:5051", Endpoint("l", 5051), "/x"),
        ("/y", HERE, "/y"),
        ("//[fd00::1]:5051/y", Endpoint("fd00::1", 5051), "/y"),
    ],
)
def test_a_location_may_leave_things_out(location, endpoint, path):
    request = redirected(Request(HERE, "/x"), location)
    assert (request.endpoint, request.path) == (endpoint, path)


@pytest.mark.parametrize("location", ["https://l/", "//l:x/", "//[fd00::1/", "zk://l/"])
def test_a_location_that_leads_nowhere_is_refused(location):
    with pytest.raises(Refused, match="redirects to"):
        redirected(Request(HERE, "/x"), location)


def test_names_of_headers_are_lower_case():
    head = parse_head(b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: s-1\r\n\r\n")
    assert (head.status, head.reason, head.headers) == (200, "OK", {"mesos-stream-id": "s-1"})
