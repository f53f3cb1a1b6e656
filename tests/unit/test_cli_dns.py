"""`ocicat dns`: what a server says, and what the names of a cluster are."""

from __future__ import annotations

import json

import pytest
from cli_bed import Shell
from dns_bed import HOST, agent, discovery, task

from ocicat.cli.commands import dns
from ocicat.dns import names
from ocicat.dns.text import data_text, parse_type, type_text
from ocicat.dns.wire import Message, Rcode, Record, Type
from ocicat.errors import Unavailable, UserError
from ocicat.mesos.tasks import Cluster

OWN = "10.77.0.3"
KNOWN = {
    ("web.marathon.mesos", Type.A): [bytes([10, 77, 0, 3]), bytes([10, 77, 0, 4])],
    ("_web._tcp.marathon.mesos", Type.SRV): [b"\0\0\0\0\0\x50" + names.wire("web-1.marathon.mesos")],
    ("3.0.77.10.in-addr.arpa", Type.PTR): [names.wire("web.marathon.mesos")],
}


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    made = Shell(tmp_path, monkeypatch, capsys)
    made.asked = []

    def ask(server, question, *, by_tcp):
        made.asked.append((str(server), names.text(question.name), question.type, by_tcp))
        found = KNOWN.get((names.text(question.name), question.type), [])
        known = {name for name, _ in KNOWN}
        rcode = getattr(made, "rcode", 0 if names.text(question.name) in known else Rcode.NXDOMAIN)
        records = tuple(Record(question.name, question.type, data, 5) for data in found)
        return Message(1, rcode, question, True, False, records)

    monkeypatch.setattr(dns, "ask", ask)
    monkeypatch.delenv("OCICAT_DNS_SERVER", raising=False)
    return made


def failed(shell, code, *words):
    """What is said on standard error."""
    ended = shell(*words)
    assert (ended.code, ended.out) == (code, "")
    return ended.err


def test_addresses_are_asked_for_unless_another_type_is(shell):
    ended = shell.ok("dns", "query", "web.marathon.mesos", "--server", "10.0.0.11")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["NAME", "TYPE", "DATA", "TTL"],
        ["web.marathon.mesos", "A", OWN, "5"],
        ["web.marathon.mesos", "A", "10.77.0.4", "5"],
    ]
    assert shell.asked == [("10.0.0.11:53", "web.marathon.mesos", type_, False) for type_ in (Type.A, Type.AAAA)]


@pytest.mark.parametrize(
    ("name", "found"),
    [("_web._tcp.marathon.mesos", "0 0 80 web-1.marathon.mesos"), (OWN, "web.marathon.mesos")],
)
def test_services_and_addresses_are_known_by_their_form(shell, name, found):
    assert shell.ok("dns", "query", name, "--server", "10.0.0.11:5353", "--tcp", "-o", "name").out == f"{found}\n"
    assert [each[3] for each in shell.asked] == [True]


def test_the_first_server_of_the_host_is_asked(shell, tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(dns, "_RESOLV", path)
    assert "no DNS server is named" in failed(shell, 2, "dns", "query", "web.marathon.mesos")
    path.write_text("search x\nnameserver\nnameserver fd00::53\nnameserver 10.0.0.2\n")
    shell.ok("dns", "query", "web.marathon.mesos", "a")
    assert shell.asked == [("[fd00::53]:53", "web.marathon.mesos", Type.A, False)]


@pytest.mark.parametrize(
    ("name", "rcode", "code", "text"),
    [
        ("nosuch.mesos", None, 5, "there is no name nosuch.mesos, says 10.0.0.11:53"),
        ("_web._tcp.marathon.mesos TXT", None, 5, "_web._tcp.marathon.mesos has no TXT record"),
        ("x.mesos", Rcode.SERVFAIL, 4, "cannot say now what x.mesos is"),
        ("x.mesos", Rcode.REFUSED, 1, "refuses to say what x.mesos is"),
        ("x.mesos", Rcode.NOTIMP, 1, "answers code 4 to x.mesos"),
        ("a..b", None, 2, "'a..b' is no name"),
        ("web.mesos NOSUCH", None, 2, "'NOSUCH' is no type of record"),
    ],
)
def test_what_is_not_found_is_said(shell, name, rcode, code, text):
    if rcode is not None:
        shell.rcode = rcode
    assert text in failed(shell, code, "dns", "query", *name.split(), "--server", "10.0.0.11")


def test_the_names_of_a_cluster(shell, monkeypatch):
    web = task("web", OWN, discovery=discovery("web", "80/tcp"))

    class Master:
        def __init__(self, master):
            if master == "gone":
                raise Unavailable("gone:5050: no answer")

        async def state(self):
            return Cluster({web.key: web}, {}, {agent().id: agent()})

    monkeypatch.setattr(dns, "MasterClient", Master)
    lines = shell.ok("dns", "list", "*.MARATHON.mesos", "--master", "10.0.0.1").out.splitlines()
    assert ["web.marathon.mesos", "A", OWN] in [line.split() for line in lines]
    assert not any("slave" in line for line in lines)
    everything = json.loads(shell.ok("dns", "list", "--master", "10.0.0.1", "-o", "json").out)
    assert {"name": "slave.mesos", "type": "A", "data": HOST, "ttl": 5} in everything
    assert {"name": "master.mesos", "type": "A", "data": "10.0.0.1", "ttl": 5} in everything
    assert "web.marathon.x.org" in shell.ok("dns", "list", "--zone", "x.org", "-o", "name").out
    assert "no answer" in failed(shell, 4, "dns", "list", "--master", "gone")
    assert "zone '-' is no domain" in failed(shell, 2, "dns", "list", "--zone", "-")


# --- text of records ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "data", "text"),
    [
        (Type.A, b"\x0a\0\0\1", "10.0.0.1"),
        (Type.A, b"\x0a\0\0", r"\# 3 0a0000"),
        (Type.AAAA, bytes(15) + b"\1", "::1"),
        (Type.NS, names.wire("ns1.mesos"), "ns1.mesos"),
        (Type.NS, b"\x03ns", r"\# 3 036e73"),
        (Type.SRV, b"\0\1\0\2\0\3" + names.wire("a.b"), "1 2 3 a.b"),
        (Type.SRV, b"\0\1\0\2", r"\# 4 00010002"),
        (Type.SOA, names.wire("a") + names.wire("b") + bytes(19) + b"\5", "a b 0 0 0 0 5"),
        (Type.SOA, names.wire("a") + names.wire("b"), r"\# 6 016100016200"),
        (Type.TXT, b'\x03a"\n\0', r'"a\034\010" ""'),
        (Type.TXT, b"\x09a", r"\# 2 0961"),
        (257, b"", r"\# 0"),
    ],
)
def test_data_as_text(type_, data, text):
    assert data_text(type_, data) == text


def test_types_as_text():
    assert [type_text(one) for one in (1, 33, 257)] == ["A", "SRV", "TYPE257"]
    assert [parse_type(one) for one in ("a", "Srv", "TYPE257")] == [1, 33, 257]
    for wrong in ("257", "TYPE", "TYPE70000", "x"):
        with pytest.raises(UserError, match="is no type of record"):
            parse_type(wrong)
