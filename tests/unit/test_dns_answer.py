"""What a query is answered."""

from __future__ import annotations

import pytest
from dns_bed import HOST, agent, discovery, shown, task

from ocicat.dns import records
from ocicat.dns.answer import Book
from ocicat.dns.names import wire
from ocicat.dns.records import Naming
from ocicat.dns.wire import Edns, Query, Question, Rcode, Type, encode_answer, parse_answer
from ocicat.dns.zone import TooLong, everything
from ocicat.model.net import Addr

OWN, OTHER = "10.77.0.3", "10.77.0.4"


def book(*tasks, complete=True):
    made = Book(Naming(), ttl=5, serial=9, complete=complete)
    made.zone.set("server", records.of_server((Addr.parse(HOST),), made.naming))
    made.zone.set("agent", records.of_agent(agent(), made.naming))
    for one in tasks:
        made.zone.set(one.id, records.of_task(one, made.naming))
    return made


def ask(made, name, type_=Type.A, visible=everything, **fields):
    return made.answer(Query(1, Question(wire(name), type_), **fields), visible)


def told(said):
    return said.rcode, shown(said.answers)


WEB = task("web", OWN, labels={"app": "web", "env": "prod"}, discovery=discovery("web", "80/tcp/http"))
WEB2 = task("web", OTHER, id="web.2", labels={"app": "web", "env": "test"})


def test_what_there_is():
    said = ask(book(WEB, WEB2), "WEB.marathon.mesos")
    assert said.authoritative
    assert told(said) == (0, [f"WEB.marathon.mesos A {OWN}", f"WEB.marathon.mesos A {OTHER}"])
    assert {record.ttl for record in said.answers} == {5}
    assert (said.authority, said.additional) == ((), ())


def test_several_records_take_turns():
    made = book(WEB, WEB2)
    firsts = {ask(made, "web.marathon.mesos").answers[0].data for _ in range(2)}
    assert firsts == {Addr.parse(OWN).pack(), Addr.parse(OTHER).pack()}


def test_a_service_comes_with_the_addresses_of_its_host():
    said = ask(book(WEB, WEB2), "_http._web._tcp.marathon.mesos", Type.SRV)
    host = next(iter(shown(said.additional))).partition(" ")[0]
    assert told(said) == (0, [f"_http._web._tcp.marathon.mesos SRV {host}:80"])
    assert shown(said.additional) == [f"{host} A {OWN}"]


@pytest.mark.parametrize(
    ("name", "type_", "rcode"),
    [
        ("nosuch.marathon.mesos", Type.A, Rcode.NXDOMAIN),
        ("web.nosuch.mesos", Type.SRV, Rcode.NXDOMAIN),
        ("web.marathon.mesos", Type.AAAA, Rcode.NOERROR),
        ("web.marathon.mesos", Type.TXT, Rcode.NOERROR),
        ("marathon.mesos", Type.A, Rcode.NOERROR),  # only below it is something
        ("_tcp.marathon.mesos", Type.SRV, Rcode.NOERROR),
        ("mesos", Type.A, Rcode.NOERROR),
    ],
)
def test_what_there_is_not_is_said_with_how_long_that_holds(name, type_, rcode):
    said = ask(book(WEB), name, type_)
    assert (said.rcode, said.answers, said.authoritative) == (rcode, (), True)
    (start,) = said.authority
    assert (start.name, start.type) == (wire("mesos"), Type.SOA)
    assert start.data.endswith(b"\0\0\0\5")


def test_the_zone_itself():
    made = book()
    (start,) = ask(made, "mesos", Type.SOA).answers
    assert start.data == records.start_of_authority(made.naming, 9, 5)
    assert told(ask(made, "mesos", Type.NS)) == (0, ["mesos NS ns1.mesos"])
    assert told(ask(made, "ns1.mesos")) == (0, [f"ns1.mesos A {HOST}"])
    assert told(ask(made, "slave.mesos")) == (0, [f"slave.mesos A {HOST}"])


def test_reverse_names_of_tasks():
    made = book(WEB)
    assert told(ask(made, "3.0.77.10.in-addr.arpa", Type.PTR)) == (0, ["3.0.77.10.in-addr.arpa PTR web.marathon.mesos"])
    said = ask(made, "3.0.77.10.in-addr.arpa", Type.A)
    assert (said.rcode, said.answers, said.authority) == (0, (), ())
    assert ask(made, "9.0.77.10.in-addr.arpa", Type.PTR) is None


@pytest.mark.parametrize("name", ["example.com", "mesos.example", "x.xmesos", ".", "in-addr.arpa"])
def test_other_names_are_not_ours(name):
    assert ask(book(WEB), name) is None


def test_addresses_of_a_name_without_a_domain_are_asked_of_nobody():
    assert ask(book(WEB), "web").rcode == ask(book(WEB), "web", Type.AAAA).rcode == Rcode.NXDOMAIN
    assert ask(book(WEB), "com", Type.NS) is None
    assert ask(book(WEB), "mesos").rcode == Rcode.NOERROR


def test_a_label_that_only_looks_like_the_zone_is_not_ours():
    tricky = b"\x01y\x07x\x05mesos\0"
    assert book().answer(Query(1, Question(tricky, Type.A))) is None


@pytest.mark.parametrize(
    ("fields", "rcode"),
    [({"opcode": 5}, Rcode.NOTIMP), ({"edns": Edns(version=1)}, Rcode.BADVERS)],
)
def test_what_is_not_spoken_here_is_refused(fields, rcode):
    assert ask(book(WEB), "web.marathon.mesos", **fields).rcode == rcode


@pytest.mark.parametrize(("type_", "cls"), [(Type.AXFR, 1), (Type.IXFR, 1), (Type.TXT, 3)])
def test_transfers_and_other_classes_are_refused(type_, cls):
    assert book().answer(Query(1, Question(wire("mesos"), type_, cls))).rcode == Rcode.REFUSED


def test_any_type_is_one_of_them():
    said = book(WEB).answer(Query(1, Question(wire("web.marathon.mesos"), Type.ANY, 255)))
    assert told(said) == (0, [f"web.marathon.mesos A {OWN}"])
    assert ask(book(WEB), "nosuch.mesos", Type.ANY).rcode == Rcode.NXDOMAIN


def test_before_the_cluster_is_known_nothing_is_said_about_it():
    made = book(WEB, complete=False)
    assert ask(made, "web.marathon.mesos").rcode == Rcode.SERVFAIL
    assert ask(made, "example.com") is None
    assert ask(book(WEB), "web.marathon.mesos", visible=None).rcode == Rcode.SERVFAIL


def test_what_is_hidden_is_not_there():
    def visible(entry):
        return entry.goal is None or Addr.parse(OWN) not in entry.goal.addresses

    made = book(WEB, WEB2)
    assert told(ask(made, "web.marathon.mesos", visible=visible)) == (0, [f"web.marathon.mesos A {OTHER}"])
    made = book(WEB)
    assert ask(made, "web.marathon.mesos", visible=visible).rcode == Rcode.NXDOMAIN
    assert ask(made, "web.marathon.mesos", Type.TXT, visible=visible).rcode == Rcode.NXDOMAIN
    assert ask(made, "_web._tcp.marathon.mesos", Type.SRV, visible=visible).rcode == Rcode.NXDOMAIN
    assert ask(made, "web.app.prod.env.label.mesos", visible=visible).rcode == Rcode.NXDOMAIN
    assert ask(made, "web.marathon.slave.mesos", visible=visible).rcode == Rcode.NOERROR


def test_what_is_hidden_below_a_name_does_not_make_it_one():
    made = book(WEB)
    between = ("marathon.mesos", "_tcp.marathon.mesos", "app.label.mesos", "label.mesos", "slave.marathon.mesos")
    for name in between:
        assert ask(made, name, visible=lambda entry: False).rcode == Rcode.NXDOMAIN
    assert [ask(made, name).rcode for name in between] == [0, 0, 0, 0, Rcode.NXDOMAIN]
    assert ask(made, "mesos", visible=lambda entry: False).rcode == Rcode.NOERROR


def test_a_hidden_reverse_name_is_as_one_that_nobody_has():
    made = book(WEB)
    for name in ("3.0.77.10.in-addr.arpa", "9.0.77.10.in-addr.arpa"):
        assert ask(made, name, Type.PTR, visible=lambda entry: False) is None
        assert ask(made, name, Type.PTR, visible=None).rcode == Rcode.SERVFAIL


def test_what_takes_too_long_to_find_out_is_not_said():
    def visible(entry):
        raise TooLong

    for name, type_ in (
        ("web.marathon.mesos", Type.A),
        ("marathon.mesos", Type.A),
        ("3.0.77.10.in-addr.arpa", Type.PTR),
    ):
        assert ask(book(WEB), name, type_, visible=visible).rcode == Rcode.SERVFAIL


# --- several labels in one name -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("web.app.label.mesos", [OWN, OTHER]),
        ("web.app.prod.env.label.mesos", [OWN]),
        ("test.env.web.app.label.mesos", [OTHER]),
        ("web.app.prod.env.test.env.label.mesos", None),
        ("web.app.env.label.mesos", None),
        ("web.label.mesos", None),
        ("x.web.app.label.mesos", None),
    ],
)
def test_several_labels_are_all_wanted(name, found):
    said = ask(book(WEB, WEB2), name)
    assert said.rcode == (Rcode.NXDOMAIN if found is None else 0)
    assert shown(said.answers) == [f"{name} A {address}" for address in found or ()]


def test_services_by_labels():
    made = book(WEB, WEB2)
    for name in ("_http._tcp.web.app.prod.env.label.mesos", "_tcp.prod.env.web.app.label.mesos"):
        said = ask(made, name, Type.SRV)
        assert [line.rpartition(":")[2] for line in shown(said.answers)] == ["80"]
        assert [line.rpartition(" ")[2] for line in shown(said.additional)] == [OWN]
    assert ask(made, "_http._tcp.web.app.test.env.label.mesos", Type.SRV).rcode == Rcode.NXDOMAIN


def test_a_name_of_very_many_labels_is_none():
    assert ask(book(WEB), "web.app." * 12 + "label.mesos").rcode == Rcode.NXDOMAIN


def test_an_answer_of_many_tasks_fits_and_says_that_it_is_cut():
    made = book(*(task("web", f"10.77.1.{number}", id=f"web.{number}") for number in range(1, 200)))
    query = Query(1, Question(wire("web.marathon.mesos"), Type.A))
    read = parse_answer(encode_answer(query, made.answer(query), 512))
    assert read.truncated
    assert len(parse_answer(encode_answer(query, made.answer(query), 65535)).answers) == 199
