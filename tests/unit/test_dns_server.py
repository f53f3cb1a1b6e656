"""The sockets: what is answered by UDP and TCP, and what is asked of other servers."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial, wraps

import pytest
from dns_bed import discovery, shown, task

from ocicat.clock import ManualClock
from ocicat.dns import records
from ocicat.dns import server as dns_server
from ocicat.dns.allowance import Allowance
from ocicat.dns.answer import Book
from ocicat.dns.client import ask
from ocicat.dns.forward import Forwarder
from ocicat.dns.names import wire
from ocicat.dns.records import Naming
from ocicat.dns.server import Resolver, Server, bound
from ocicat.dns.wire import (
    Answer,
    Edns,
    Query,
    Question,
    Rcode,
    Record,
    Type,
    encode_answer,
    encode_query,
    parse_answer,
    parse_query,
)
from ocicat.errors import Refused, Unavailable, UserError
from ocicat.mesos.masters import Endpoint
from ocicat.model.net import Addr

BOUND_S = 20.0
LOOPBACK, ELSEWHERE = "127.0.0.1", "127.0.0.2"


def bounded(test):
    @wraps(test)
    def within(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), BOUND_S))

    return within


def book(*tasks):
    made = Book(Naming(), ttl=5, complete=True)
    for one in tasks:
        made.zone.set(one.id, records.of_task(one, made.naming))
    return made


WEB = task("web", "10.77.0.3", discovery=discovery("web", "80/tcp"))
MANY = [task("many", f"10.77.1.{number}", id=f"many.{number}") for number in range(1, 200)]


def free(host):
    """At a port that nobody has, neither by UDP nor by TCP."""
    for _ in range(20):
        with suppress(Refused):
            return bound(Endpoint(host, 0))
    raise AssertionError("every port is taken")


@asynccontextmanager
async def serving(resolver, host=LOOPBACK):
    sockets = free(host)
    server = Server(resolver, [sockets])
    await server.start()
    try:
        yield Endpoint(host, sockets[0].getsockname()[1])
    finally:
        await server.close()


async def asked(endpoint, name, type_=Type.A, **options):
    return await asyncio.to_thread(partial(ask, endpoint, Question(wire(name), type_), **options))


def exchanged(endpoint, data, timeout_s=2.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect((endpoint.host, endpoint.port))
        sock.send(data)
        return sock.recv(65535)


@bounded
async def test_udp_and_tcp_say_the_same():
    async with serving(Resolver(book(WEB))) as endpoint:
        for by_tcp in (False, True):
            said = await asked(endpoint, "web.marathon.mesos", by_tcp=by_tcp)
            assert (said.rcode, shown(said.answers)) == (0, ["web.marathon.mesos A 10.77.0.3"])


@bounded
async def test_an_answer_that_is_too_long_comes_by_tcp():
    async with serving(Resolver(book(*MANY))) as endpoint:
        said = await asked(endpoint, "many.marathon.mesos")
        assert len(said.answers) == 199
        query = encode_query(Query(1, Question(wire("many.marathon.mesos"), Type.A), edns=Edns(900)))
        cut = await asyncio.to_thread(exchanged, endpoint, query)
        assert len(cut) <= 900
        assert parse_answer(cut).truncated


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@bounded
async def test_ipv6_is_served_too():
    async with serving(Resolver(book(WEB)), "::1") as endpoint:
        assert (await asked(endpoint, "web.marathon.mesos")).answers


@bounded
async def test_what_is_no_query_is_refused_or_passed_over_and_the_server_lives():
    async with serving(Resolver(book(WEB))) as endpoint:
        broken = await asyncio.to_thread(exchanged, endpoint, struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0")
        assert broken == b"\0\7\x80\1" + bytes(8)
        for silent in (b"", b"\0" * 11, struct.pack("!6H", 7, 0x8000, 0, 0, 0, 0)):
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(exchanged, endpoint, silent, 0.05)
        assert (await asked(endpoint, "web.marathon.mesos")).answers


@bounded
async def test_a_defect_is_answered_and_told_once(caplog):
    def broken(asker):
        raise ZeroDivisionError

    async with serving(Resolver(book(WEB), visible=broken)) as endpoint:
        for _ in range(2):
            assert (await asked(endpoint, "web.marathon.mesos")).rcode == Rcode.SERVFAIL
    assert [record.message for record in caplog.records] == ["a DNS query could not be answered"]


@bounded
async def test_several_queries_on_one_connection_and_half_of_one():
    async with serving(Resolver(book(WEB))) as endpoint:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        for number in (1, 2):
            data = encode_query(Query(number, Question(wire("web.marathon.mesos"), Type.A)))
            writer.write(struct.pack("!H", len(data)) + data)
        for number in (1, 2):
            length = int.from_bytes(await reader.readexactly(2), "big")
            assert parse_answer(await reader.readexactly(length)).id == number
        writer.write(b"\0\x20half")
        writer.close()
        assert (await asked(endpoint, "web.marathon.mesos", by_tcp=True)).answers


@bounded
async def test_too_many_connections_are_closed():
    async with serving(Resolver(book(WEB))) as endpoint:
        homes = [f"127.0.1.{number // 16 + 1}" for number in range(128)]
        opened = [await connected(endpoint, home) for home in homes]
        await asked(endpoint, "web.marathon.mesos")  # all of these were accepted before it is answered
        with pytest.raises(Unavailable, match=r"closed|reset"):
            await asked(endpoint, "web.marathon.mesos", by_tcp=True)
        opened[0][1].close()
        while True:  # until the server has seen that
            try:
                assert (await asked(endpoint, "web.marathon.mesos", by_tcp=True)).answers
                break
            except Unavailable:
                continue
        for _, writer in opened:
            writer.close()


async def connected(endpoint, home):
    return await asyncio.open_connection(endpoint.host, endpoint.port, local_addr=(home, 0))


@bounded
async def test_one_asker_takes_nobody_elses_connections():
    async with serving(Resolver(book(WEB))) as endpoint:
        opened = [await connected(endpoint, "127.0.1.1") for _ in range(17)]
        assert await opened[16][0].read() == b""
        assert (await asked(endpoint, "web.marathon.mesos", by_tcp=True)).answers
        for _, writer in opened:
            writer.close()


@bounded
async def test_a_connection_does_not_last_for_ever(monkeypatch):
    monkeypatch.setattr(dns_server, "_LONGEST_S", 0.0)
    async with serving(Resolver(book(WEB))) as endpoint:
        reader, writer = await connected(endpoint, LOOPBACK)
        assert await reader.read() == b""
        writer.close()


def test_who_is_outside_comes_by_tcp_for_what_is_more_than_he_sent():
    resolver = Resolver(book(*MANY), served=lambda asker: False)
    for name, rcode in (("many.marathon.mesos", 0), ("nosuch.mesos", Rcode.NXDOMAIN)):
        data = encode_query(Query(1, Question(wire(name), Type.A), edns=Edns()))
        by_udp = resolver.at_once(data, "203.0.113.9", by_tcp=False)
        assert len(by_udp) <= len(data)
        assert (parse_answer(by_udp).rcode, parse_answer(by_udp).truncated) == (rcode, True)
        assert not parse_answer(resolver.at_once(data, "203.0.113.9", by_tcp=True)).truncated


def test_an_address_that_is_taken_is_said():
    first = free(LOOPBACK)
    try:
        with pytest.raises(Refused, match=r"DNS at 127\.0\.0\.1:\d+: Address already in use \(another DNS server"):
            bound(Endpoint(LOOPBACK, first[0].getsockname()[1]))
    finally:
        for sock in first:
            sock.close()


def test_an_address_that_is_not_here_is_said():
    with pytest.raises(UserError, match=r"DNS at 192\.0\.2\.1:5300: Cannot assign requested address"):
        bound(Endpoint("192.0.2.1", 5300))


# --- other names --------------------------------------------------------------------------------------------------


class Upstream(Resolver):
    """Another server: says `said` of everything, or nothing; remembers what it was asked."""

    def __init__(self, said=None, *, silent=False, altered=None):
        super().__init__(book())
        self._said, self._silent, self._altered = said or Answer(), silent, altered
        self.queries = []

    def at_once(self, data, asker, *, by_tcp):
        query = parse_query(data)
        self.queries.append((query, by_tcp))
        if self._silent:
            return None
        found = encode_answer(query, self._said, 65535 if by_tcp else query.udp_limit)
        return self._altered(found) if self._altered else found


KNOWS = Answer(Rcode.NOERROR, (Record(wire("example.com"), Type.A, bytes([192, 0, 2, 7]), 300),))


@asynccontextmanager
async def forwarding(*upstreams, patience_s=1.0, at=ELSEWHERE, **settings):
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(one, at)) for one in upstreams]
        resolver = Resolver(book(WEB), Forwarder(tuple(servers), patience_s), **settings)
        yield await stack.enter_async_context(serving(resolver))


@bounded
async def test_other_names_are_asked_of_the_next_server():
    upstream = Upstream(KNOWS)
    async with forwarding(upstream) as endpoint:
        for by_tcp in (False, True):
            said = await asked(endpoint, "example.com", by_tcp=by_tcp)
            assert shown(said.answers) == ["example.com A 192.0.2.7"]
        assert (await asked(endpoint, "web.marathon.mesos")).answers
        assert (await asked(endpoint, "nosuch.mesos")).rcode == Rcode.NXDOMAIN
    assert [by_tcp for _, by_tcp in upstream.queries] == [False, True]


@bounded
async def test_a_flood_of_other_names_is_asked_of_others_as_far_as_it_is_paid_for():
    upstream, saved_s = Upstream(KNOWS), 0.05
    settings = {"allowance": Allowance(ManualClock(), 0.25, saved_s), "payer": str}

    def flood(endpoint):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(BOUND_S)
            sock.bind((ELSEWHERE, 0))
            truncated = 0
            for number in range(140):  # 100 are all that half a millisecond each allows
                question = Question(wire(f"n{number}.example.com"), Type.A)
                sock.sendto(encode_query(Query(number, question)), (endpoint.host, endpoint.port))
                truncated += parse_answer(sock.recv(65535)).truncated
            return truncated

    async with forwarding(upstream, at="127.0.0.3", **settings) as endpoint:
        truncated = await asyncio.to_thread(flood, endpoint)
        assert truncated == 140 - len(upstream.queries) >= 40
        assert (await asked(endpoint, "example.com")).answers  # somebody else


@bounded
async def test_who_does_not_answer_or_cannot_is_passed_over(caplog):
    silent, unable, able = Upstream(silent=True), Upstream(Answer(Rcode.SERVFAIL)), Upstream(KNOWS)
    async with forwarding(silent, unable, able, patience_s=0.1) as endpoint:
        for _ in range(2):
            assert (await asked(endpoint, "example.com")).answers
    assert [len(one.queries) for one in (silent, unable, able)] == [2, 2, 2]
    assert len([one for one in caplog.records if "does not answer: nothing in 0.1 s" in one.message]) == 1


@bounded
async def test_what_nobody_knows_is_said_so():
    async with forwarding(Upstream(Answer(Rcode.NXDOMAIN)), Upstream(KNOWS)) as endpoint:
        assert (await asked(endpoint, "example.com")).rcode == Rcode.NXDOMAIN
    async with forwarding(Upstream(silent=True), patience_s=0.05) as endpoint:
        assert (await asked(endpoint, "example.com")).rcode == Rcode.SERVFAIL


@pytest.mark.parametrize(
    "altered",
    [
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data.replace(b"\x07example", b"\x07elpmaxe"),
        lambda data: data[:5],
    ],
)
def test_an_answer_to_something_else_is_no_answer(altered):
    @bounded
    async def scenario():
        async with forwarding(Upstream(KNOWS, altered=altered), patience_s=0.1) as endpoint:
            assert (await asked(endpoint, "example.com")).rcode == Rcode.SERVFAIL

    scenario()


@bounded
async def test_the_same_question_is_asked_once_at_a_time():
    slow = Upstream(silent=True)
    async with forwarding(slow, patience_s=0.3) as endpoint:
        data = encode_query(Query(1, Question(wire("example.com"), Type.A)))
        questions = [data[:1] + bytes([number]) + data[2:] for number in range(4)]
        found = await asyncio.gather(*(asyncio.to_thread(exchanged, endpoint, each) for each in questions))
        assert [each[1] for each in found] == list(range(4))
    assert len(slow.queries) == 1


@bounded
async def test_one_asker_takes_nobody_elses_answers(monkeypatch):
    monkeypatch.setattr(dns_server, "_MOST_FETCHED_FOR_ONE", 2)
    resolver = Resolver(book(), Forwarder((Endpoint("192.0.2.1", 53),)))
    asked_, go_on = [], asyncio.Event()

    async def ask_(data, query, servers, *, by_tcp):
        asked_.append(data[0])
        await go_on.wait()
        return data

    monkeypatch.setattr(Forwarder, "ask", lambda _, *given, **named: ask_(*given, **named))
    query = Query(0, Question(wire("example.com"), Type.A))

    def fetching(number, asker):
        return asyncio.create_task(resolver.fetched(bytes([number]), query, asker, by_tcp=False))

    tasks = [fetching(number, "10.77.0.1") for number in range(3)] + [fetching(3, "10.77.0.2")]
    assert parse_answer(await tasks[2]).rcode == Rcode.SERVFAIL
    assert asked_ == [0, 1, 3]
    go_on.set()
    assert [await task for task in (*tasks[:2], tasks[3])] == [b"\0", b"\1", b"\3"]
    assert await fetching(4, "10.77.0.1") == b"\4"


@bounded
async def test_only_servers_that_he_may_ask_are_asked_for_him():
    first, second = Upstream(KNOWS), Upstream(KNOWS)
    async with forwarding(first, second, may_ask=lambda asker, server: False) as endpoint:
        assert (await asked(endpoint, "example.com")).rcode == Rcode.REFUSED
    async with serving(first, ELSEWHERE) as one, serving(second, ELSEWHERE) as other:
        resolver = Resolver(book(), Forwarder((one, other)), may_ask=lambda asker, server: server == other)
        async with serving(resolver) as endpoint:
            assert (await asked(endpoint, "example.com")).answers
    assert (len(first.queries), len(second.queries)) == (0, 1)


@bounded
async def test_who_is_not_served_is_refused():
    upstream = Upstream(KNOWS)
    async with forwarding(upstream, served=lambda asker: asker != Addr.parse(LOOPBACK)) as endpoint:
        assert (await asked(endpoint, "example.com")).rcode == Rcode.REFUSED
        assert (await asked(endpoint, "web.marathon.mesos")).answers
    async with forwarding(upstream, at=LOOPBACK) as endpoint:  # the asker himself would be asked
        assert (await asked(endpoint, "example.com")).rcode == Rcode.REFUSED
    async with forwarding(upstream) as endpoint:
        query = encode_query(Query(1, Question(wire("example.com"), Type.A), recursion=False))
        assert parse_answer(await asyncio.to_thread(exchanged, endpoint, query)).rcode == Rcode.REFUSED
    async with serving(Resolver(book())) as endpoint:
        assert (await asked(endpoint, "example.com")).rcode == Rcode.REFUSED
    assert upstream.queries == []
