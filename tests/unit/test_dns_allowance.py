"""One asker's part of the thread's time: counted by the processor's time, given back as time goes by, nobody else's."""

from __future__ import annotations

import time

import pytest
from dns_bed import task

from ocicat.clock import ManualClock
from ocicat.dns import records
from ocicat.dns.allowance import Allowance
from ocicat.dns.answer import Book
from ocicat.dns.forward import Forwarder
from ocicat.dns.names import wire
from ocicat.dns.records import Naming
from ocicat.dns.server import Resolver
from ocicat.dns.wire import Query, Question, Rcode, Type, encode_query, parse_answer
from ocicat.mesos.masters import Endpoint

A, B, LOCAL = "10.77.0.1", "10.77.0.2", "127.0.0.1"
COME_BY_TCP = "truncated"
QUESTION = encode_query(Query(7, Question(wire("web.marathon.mesos"), Type.A)))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def resolver(clock):
    book = Book(Naming(), ttl=5, complete=True)
    web = task("web", "10.77.0.3")
    book.zone.set(web.id, records.of_task(web, book.naming))
    return Resolver(
        book, allowance=Allowance(clock, 0.25, 1.0), payer=lambda asker: "" if str(asker) == LOCAL else str(asker)
    )


def rcode(resolver, asker, *, by_tcp=False):
    """None: nothing was said."""
    found = resolver.at_once(QUESTION, asker, by_tcp=by_tcp)
    said = None if found is None else parse_answer(found)
    return COME_BY_TCP if said and said.truncated else said and said.rcode


@pytest.mark.parametrize("by_tcp", [False, True])
def test_who_owes_is_told_to_come_back_and_who_goes_on_nothing(resolver, clock, by_tcp):
    mine = (A, by_tcp)
    owed = Rcode.SERVFAIL if by_tcp else COME_BY_TCP
    assert rcode(resolver, A, by_tcp=by_tcp) == Rcode.NOERROR
    assert resolver.allowance.left_s(mine) < 1.0  # what was answered was counted
    resolver.allowance.spend(mine, 1.5)
    assert rcode(resolver, A, by_tcp=by_tcp) == owed
    resolver.allowance.spend(mine, 0.6)
    assert rcode(resolver, A, by_tcp=by_tcp) is None
    assert rcode(resolver, B, by_tcp=by_tcp) == Rcode.NOERROR
    clock.advance(3.0)
    assert rcode(resolver, A, by_tcp=by_tcp) == owed
    clock.advance(3.0)
    assert rcode(resolver, A, by_tcp=by_tcp) == Rcode.NOERROR


def test_who_forges_an_address_by_udp_takes_nothing_from_its_owner_by_tcp(resolver):
    resolver.allowance.spend((A, False), 100.0)
    assert rcode(resolver, A, by_tcp=False) is None
    assert rcode(resolver, A, by_tcp=True) == Rcode.NOERROR


def test_a_broken_question_is_counted_too(resolver):
    assert resolver.at_once(b"\0" * 12, A, by_tcp=False)
    assert resolver.allowance.left_s((A, False)) < 1.0


def test_what_is_asked_of_others_costs_what_asking_costs(resolver):
    resolver.forwarder = Forwarder((Endpoint("127.0.0.9", 53),))
    elsewhere = encode_query(Query(7, Question(wire("www.example.com"), Type.A)))
    for _ in range(100):
        assert isinstance(resolver.at_once(elsewhere, A, by_tcp=False), Query)
    assert -1.0 < resolver.allowance.left_s((A, False)) < 1.0 - 100 * 0.0004  # a fetch takes 0.4 ms of the thread
    while isinstance(resolver.at_once(elsewhere, A, by_tcp=False), Query):
        assert resolver.allowance.left_s((A, False)) > -1.0
    assert rcode(resolver, A) == COME_BY_TCP
    assert rcode(resolver, B) == Rcode.NOERROR


@pytest.mark.parametrize("owed_s", [0.0, 2.1])  # answered, dropped
def test_to_find_out_who_pays_is_paid_for(resolver, owed_s):
    def payer(asker):
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        return str(asker)

    resolver.allowance.spend((A, False), owed_s)
    resolver.payer = payer
    before = resolver.allowance.left_s((A, False))
    assert (rcode(resolver, A) is None) == (owed_s > 0)
    assert resolver.allowance.left_s((A, False)) <= before - 0.01


def test_who_pays_nothing_is_always_answered(resolver):
    resolver.allowance.spend(("", False), 100.0)
    assert rcode(resolver, LOCAL) == Rcode.NOERROR


def test_savings_and_debts_have_an_end(clock):
    kept = Allowance(clock, share=0.25, saved_s=1.0)
    kept.spend(A, 100.0)
    assert kept.left_s(A) == -2.0
    clock.advance(8.0)
    assert kept.left_s(A) == 0.0
    clock.advance(3600.0)
    assert kept.left_s(A) == 1.0


def test_askers_that_are_many_are_forgotten_when_they_have_all_their_savings(clock):
    kept = Allowance(clock, share=0.25, saved_s=1.0)
    for asker in range(4096):
        kept.spend(asker, 0.5)
    clock.advance(1.0)
    kept.spend("heavy", 2.0)
    assert len(kept._spent) == 4097  # each still owes
    clock.advance(1.5)
    kept.spend("one more", 0.1)
    assert (len(kept._spent), kept.left_s("heavy")) == (2, pytest.approx(-0.625))
