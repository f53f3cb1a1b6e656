"""What is planned for a whole host: whose names are written, what is said in place of being mended, what is another's by now."""

from types import SimpleNamespace

import pytest

from ocicat.changes.settings import Entry, Wish
from ocicat.errors import Refused, UserError
from ocicat.host import look, sysctls
from ocicat.host.facts.names import Answer, Lookups, Names
from ocicat.host.facts.others import Others
from ocicat.host.firewall import blocked, rehearsal
from ocicat.host.firewall.letting import Allowed, Letting
from ocicat.host.firewall.rehearsal import Way
from ocicat.host.ports import Opening
from ocicat.host.preparing import asking, everything, kernel, names
from ocicat.host.preparing.names import Host
from ocicat.host.roles import Asked, parse_peers
from ocicat.host.sysctls import Want

LOOPBACK = Answer("localhost", ("127.0.0.1",))


def asked(*peers, **more):
    return Asked(roles=("agent",), peers=parse_peers(peers, ("agent",)), **more)


def called(host, **forward):
    return Names(host=host, own=frozenset({"10.0.0.11"}), lookups=Lookups({host: LOOPBACK, **forward}, {}))


@pytest.fixture(autouse=True)
def address(monkeypatch):
    monkeypatch.setattr(everything, "_own_address", lambda *_: "10.0.0.11")


@pytest.mark.parametrize("host", ["localhost", "localhost.localdomain", "H_1"])
def test_a_host_without_a_name_of_its_own_gets_no_line_until_it_is_given_one(host):
    wanted, found = asked("h2=10.0.0.12"), called(host, h2=Answer("h2", ("10.0.0.12",)))
    assert everything._hosts(wanted, found, "", frozenset({"h2"})) == [Host("h2", "10.0.0.12")]
    assert "host-name" in {one.about for one in everything._unnamed(wanted, found, "", {"h2"})}
    assert everything._hosts(wanted, found, "h1", frozenset())[0] == Host("h1", "10.0.0.11")
    assert [one.about for one in everything._unnamed(wanted, found, "h1", {"h1", "h2"})] == []


def test_localhost_is_nobody_s_name():
    found = called("h1", localhost=LOOPBACK)
    assert everything._hosts(asked("localhost=10.0.0.12"), found, "", frozenset()) == [Host("h1", "10.0.0.11")]
    assert Host("localhost.example.com", "10.0.0.11").names == ("localhost.example.com",)
    with pytest.raises(UserError, match="no name of a host"):
        everything._names(None, "localhost", ())
    text = "127.0.0.1 localhost h1\n::1 localhost\n"
    assert "127.0.0.1 localhost\n" in names.hosts([Host("h1", "10.0.0.11")], text).items[0].state.content.decode()


def test_a_peer_whose_address_nobody_knows_is_told():
    wanted, found = asked("h2", "h3=10.0.0.13"), called("h1", h1=Answer("h1", ("10.0.0.11",)))
    hosts = everything._hosts(wanted, found, "", frozenset())
    assert Host("h3", "10.0.0.13") in hosts
    told = list(everything._unnamed(wanted, found, "", {one.name for one in hosts}))
    assert [one.about for one in told] == ["peer-name"]
    assert "h2" in told[0].problem


@pytest.mark.parametrize(
    ("bird", "routing", "taken"), [(True, "direct", True), (False, "bgp", True), (False, "direct", False)]
)
def test_routes_of_bird_that_is_used_by_now_are_not_removed_again(bird, routing, taken):
    facts = SimpleNamespace(others=Others(bird_runs=bird))
    known = {name: Entry(name, "10.1.0.0/26 via 10.0.0.9", "") for name in ("routes 4 12", "routes 4 80", "hostname")}
    wanted = asked(routings=(routing,))
    left = everything._leftovers(wanted, facts, known)
    assert ("routes 4 12" in left.settings, "routes 4 80" in left.settings) == (not taken, True)
    assert everything._taken_over(wanted, facts, known) == (("routes 4 12",) if taken else ())


def test_interfaces_go_on_listening_to_routers_before_the_host_forwards():
    forwarding = Want("net.ipv6.conf.all.forwarding", "1", "")
    planned = kernel.plan([forwarding], {forwarding.name: "0"}, {}, loadable=False, advertised=["eth0", "bond0.7"])
    assert planned.wishes == (
        Wish("sysctl net/ipv6/conf/bond0.7/accept_ra", "2"),
        Wish("sysctl net.ipv6.conf.eth0.accept_ra", "2"),
        Wish("sysctl net.ipv6.conf.all.forwarding", "1"),
    )
    lines = planned.items[0].state.content.decode().splitlines()[1:]
    assert lines == [
        "net/ipv6/conf/bond0.7/accept_ra = 2",
        "net.ipv6.conf.eth0.accept_ra = 2",
        "net.ipv6.conf.all.forwarding = 1",
    ]
    assert sorted(sysctls.listening(wish.name for wish in planned.wishes)) == ["bond0.7", "eth0"]
    assert everything.may_cut_off(["sysctl net.ipv6.conf.all.forwarding"])


@pytest.mark.parametrize(("ipv6", "versions"), [(False, {4}), (True, {4, 6})])
def test_a_peer_that_has_ipv6_does_not_open_ipv6_of_containers(monkeypatch, ipv6, versions):
    peers = ("10.0.0.2", "fd00::2")
    ways = [Way(peers[0], "eth0", "10.0.0.1"), Way(peers[1], "eth0", "fd00::1")]
    monkeypatch.setattr(rehearsal, "ways", lambda _: ways)
    agent = Opening("tcp", 5051)
    found = blocked.wanted(Letting((Allowed(agent, peers),), forward=True, contained=(agent,), ipv6=ipv6))
    at_host = {one.way.version for one in found if one.opening and not one.from_container}
    of_containers = {one.way.version for one in found if not one.opening or one.from_container}
    assert (at_host, of_containers) == ({4, 6}, versions)


def test_why_firewalls_cannot_be_tried_is_told_with_what_to_do(monkeypatch):
    def refused(_):
        raise Refused("there is no program ipset", hint="install it")

    monkeypatch.setattr(look, "blocked", refused)
    assert look._firewalls(asked("10.0.0.2"), called("h1")) == ((), "there is no program ipset (install it)")


FIREWALLD = """#!/bin/sh
case $1 in
    --state) [ {runs} = yes ] && echo running || {{ echo "FirewallD is not running" >&2; exit 252; }} ;;
    --version) echo {version} ;;
esac
"""


@pytest.fixture
def firewalld(tmp_path, monkeypatch):
    """Its program, with the words and the exit codes of the real one."""

    def installed(version, *, runs=True):
        (tmp_path / "firewall-cmd").write_text(FIREWALLD.format(version=version, runs="yes" if runs else "no"))
        (tmp_path / "firewall-cmd").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return installed


@pytest.mark.parametrize(("version", "tried"), [("0.8.9", True), ("0.9.0", False), ("1.3.3", False)])
def test_only_a_firewalld_without_policies_is_tried(firewalld, monkeypatch, version, tried):
    asked_for = []
    monkeypatch.setattr(asking, "at", lambda *words: asked_for.append(words) or [])
    firewalld(version)
    asking._check_policies("firewalld", ["knock"])
    assert asked_for == ([("firewalld", ["knock"])] if tried else [])


def test_a_firewalld_that_has_stopped_is_told_with_what_to_do(firewalld):
    firewalld("1.3.3", runs=False)
    with pytest.raises(Refused, match=r"rules in force and does not run \(systemctl restart firewalld, and again\)"):
        asking._check_policies("firewalld", [])
