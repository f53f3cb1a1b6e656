"""What a hostile workload tries, and what goes wrong around the dataplane: packets built by hand, damage done on purpose."""

import socket
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from dataplane_bed import (
    ALLOW,
    HOST,
    Bed,
    addr,
    batch,
    endpoint,
    from_set,
    members,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane import reaper
from ocicat.dataplane.api import EndpointFailed, EndpointsInForce, Problem
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSet,
    Endpoint,
    EndpointGone,
    Match,
    ProfileGone,
    ProfileRules,
    Revision,
    WantedRule,
)
from ocicat.netlink import link, namespace, route
from ocicat.netlink.inet import packed
from ocicat.netlink.route import LOCAL
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

A, B, SENDER = "10.65.0.2", "10.65.0.3", "10.65.0.4"
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
STATE = (members("p", A, B), profile("p", [from_set("p")]), endpoint("a", A), endpoint("b", B))


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture
def plane(bed):
    plane = bed.plane()
    plane.submit(batch(1, *STATE))
    bed.attach(plane, "a", A)
    bed.attach(plane, "b", B)
    bed.wait_in_force(1, "a", "b")
    return plane


def update(plane, revision, *messages):
    plane.submit((*messages, Revision(revision)))
    plane.resync().result(10)


# What a workload sends


def test_a_workload_cannot_fill_the_hosts_table_of_ipv6_neighbours(bed, plane):
    wait_until(lambda: "tentative" not in bed.ip("-6", "address", "show", "dev", "ocia"))
    with wire(bed.containers["a"]) as send:
        for i in range(50):
            send(0x86DD, solicitation(f"2001:db8::{i:x}", GATEWAY6))
            send(0x86DD, solicitation(f"fe80::{i + 1:x}", GATEWAY6))
    assert len(bed.ip("-6", "neigh", "show", "dev", "ocia").splitlines()) <= 1


def test_nor_that_of_ipv4(bed, plane):
    with wire(bed.containers["a"]) as send:
        for i in range(50):
            sender = bytes((10, 66, 0, i))
            send(0x806, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, b"\2" * 6, sender, b"", packed("169.254.1.1")))
    assert len(bed.ip("-4", "neigh", "show", "dev", "ocia").splitlines()) == 1


def test_without_its_neighbour_entries_an_ipv6_workload_still_finds_the_way(bed):
    plane = bed.plane()
    plane.submit(batch(1, profile("p", [ALLOW]), endpoint("a", "fd65::2"), endpoint("b", "fd65::3")))
    bed.attach(plane, "a", "fd65::2")
    bed.attach(plane, "b", "fd65::3")
    bed.wait_in_force(1, "a", "b")
    bed.run(bed.containers["a"], "ip", "-6", "neigh", "flush", "nud", "permanent")
    bed.ip("-6", "neigh", "flush", "nud", "permanent")
    wait_until(lambda: reaches(bed.containers["a"], "fd65::3"))


@pytest.mark.parametrize("target", [HOST, "192.0.2.1", "127.0.0.1", "10.0.0.255", "255.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("source", [A, HOST, "127.0.0.1"])
def test_no_datagram_of_a_workload_reaches_its_host(bed, plane, source, target):
    bed.ip("address", "add", "192.0.2.1/24", "dev", "up0")
    bed.run(bed.host, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    with receiver(bed.host) as heard, wire(bed.containers["a"]) as send:
        send(0x800, datagram(source, target))
        assert not heard()


def test_fragments_go_by_the_rule_of_the_whole(bed, plane):
    rule = WantedRule("Allow", protocol=17, destination=Match(ports=((7777, 7777),)))
    update(plane, 2, profile("p", [rule]))
    with receiver(bed.containers["b"]) as heard, receiver(bed.containers["b"], 7778) as not_heard:
        talk(bed.containers["a"], B, 7777, bytes(4000))
        talk(bed.containers["a"], B, 7778, bytes(4000))
        assert heard()
        assert not not_heard()


def test_a_rule_with_a_family_only(bed):
    plane = bed.plane()
    both = [("a", A, "fd65::2"), ("b", B, "fd65::3")]
    plane.submit(batch(1, profile("p", [WantedRule("Allow", families=(6,))]), *(endpoint(*each) for each in both)))
    for each in both:
        bed.attach(plane, *each)
    bed.wait_in_force(1, "a", "b")
    assert reaches(bed.containers["a"], "fd65::3")
    assert not reaches(bed.containers["a"], B)


@pytest.mark.parametrize("protocol", [1, 6, 17, 33, 47, 50, 132, 136, 255])
def test_every_protocol_number_and_its_ports_can_be_loaded(bed, protocol):
    plane = bed.plane()
    ported = protocol in (6, 17, 132)
    match = Match(nets=(Cidr.parse("10.0.0.0/8"),), ports=((1, 2), (9, 65535)) if ported else ())
    rule = WantedRule("Deny", protocol=protocol, source=match, destination=match)
    update(plane, 1, profile("p", [rule, WantedRule("Allow", families=(4,), protocol=protocol)]))
    assert not [r for r in bed.reports if isinstance(r, Problem) and r.text]


def test_members_and_rules_that_change_together_change_at_once(bed, plane):
    """Old: from the members; new: from all but the members, of whom the sender is one from then on. Neither lets it in."""
    flowing = threading.Event()
    joins, leaves = members("p", SENDER), AddressSet("s:p", removed=frozenset([addr(SENDER)]))
    update(plane, 2, profile("q", []), endpoint("c", SENDER, profiles=["q"]))
    bed.attach(plane, "c", SENDER)
    bed.wait_in_force(2, "c")
    with receiver(bed.containers["b"]) as heard, chatter(bed.containers["c"], B, flowing):
        assert flowing.wait(5)
        for i in range(10):
            update(
                plane, 2 * i + 3, joins, profile("p", [from_set("p", "Deny")]), endpoint("b", B, profiles=["p", "q"])
            )
            update(plane, 2 * i + 4, leaves, profile("p", [from_set("p")]), endpoint("b", B))
        assert not heard()


# An address and its next owner


def test_the_next_owner_is_not_in_force_before_the_flows_of_the_last_are_cut(bed, plane, monkeypatch):
    go = threading.Event()
    reap = reaper._reap
    monkeypatch.setattr("ocicat.dataplane.reaper._reap", lambda item: go.wait(10) and reap(item))
    update(plane, 2, profile("q", [ALLOW]), endpoint("a", A, profiles=["q"]))
    with steady_flow(bed, A):
        bed.detach(plane, "a")
        plane.submit((EndpointGone("/a"), endpoint("c", A), Revision(3)))
        bed.attach(plane, "c", A)
        with receiver(bed.containers["c"]) as heard:
            talk(bed.outside, A, 7777, source_port=4444)
            assert not heard()
            go.set()
            bed.wait_in_force(3, "c")
            talk(bed.outside, A, 7777, source_port=4444)
            assert not heard()


def test_a_crash_does_not_hand_the_flows_to_the_next_owner(bed, plane, monkeypatch):
    monkeypatch.setattr("ocicat.dataplane.reaper._reap", lambda item: None)
    update(plane, 2, profile("q", [ALLOW]), endpoint("a", A, profiles=["q"]))
    with steady_flow(bed, A):
        bed.detach(plane, "a")
        plane.stop()
        monkeypatch.undo()
        again = bed.plane()
        again.submit(batch(3, *STATE[:2], endpoint("c", A)))
        bed.attach(again, "c", A)
        bed.wait_in_force(3, "c")
        with receiver(bed.containers["c"]) as heard:
            talk(bed.outside, A, 7777, source_port=4444)
            assert not heard()


def test_a_change_of_profiles_that_forbids_nothing_cuts_nothing(bed, plane):
    update(plane, 2, profile("q", [ALLOW]), endpoint("a", A, profiles=["q"]))
    with steady_flow(bed, A):
        update(plane, 3, endpoint("a", A, profiles=["p", "q"]))
        bed.wait_in_force(3, "a")
        with receiver(bed.containers["a"], 7777) as heard:
            talk(bed.outside, A, 7777, source_port=4444)
            assert heard()


# Endpoints that contradict each other


def test_an_endpoint_does_not_get_the_interface_of_another(bed, plane):
    thief = Endpoint("/0", "ocia", (addr("10.65.0.9"),), ("q",))
    plane.submit((profile("q", [ALLOW]), thief, Revision(2)))
    text = bed.wait(lambda r: isinstance(r, EndpointFailed) and r.key == "/0").text
    assert "ocia" in text
    assert "/a" in text
    assert not reaches(bed.outside, A)
    assert "10.65.0.9" not in bed.nft("list", "table", "inet", "ocicat") + bed.ip("route")
    update(plane, 3, EndpointGone("/0"))
    assert reaches(bed.containers["b"], A)


def test_nor_after_a_restart(bed, plane):
    plane.stop()
    again = bed.plane()
    again.submit(batch(2, *STATE, Endpoint("/0", "ocia", (addr("10.65.0.9"),), ("q",))))
    bed.wait_in_force(2, "a", "b")
    assert reaches(bed.containers["b"], A)
    assert "10.65.0.9" not in bed.nft("list", "table", "inet", "ocicat") + bed.ip("route")


def test_an_endpoint_with_the_address_of_another_is_not_in_force(bed, plane):
    plane.submit((endpoint("c", A), Revision(2)))
    bed.attach(plane, "c", A)
    assert "/a" in bed.failure("c")
    assert not [r for r in bed.reports if isinstance(r, EndpointsInForce) and "/c" in r.keys]
    assert reaches(bed.containers["b"], A)
    plane.submit((EndpointGone("/a"), Revision(3)))
    bed.wait_in_force(3, "c")


# What fails


def test_an_ipv6_workload_has_its_address_when_attach_returns(bed):
    plane = bed.plane()
    plane.resync().result(10)
    for i in range(2, 22):
        ip = f"fd65::{i:x}"
        bed.attach(plane, f"x{i}", ip)
        with RouteSocket(bed.containers[f"x{i}"]) as sock:
            assert sock.get(route.get(packed(ip))).kind == LOCAL


def test_an_nft_that_is_killed_closes_no_profile(bed, tmp_path):
    nft, trap = tmp_path / "nft", tmp_path / "trap"
    nft.write_text(f'#!/bin/sh\n[ -e {trap} ] && [ "$1" = -f ] && kill -9 $$\nexec /usr/sbin/nft "$@"\n')
    nft.chmod(0o755)
    plane = bed.plane(nft=str(nft))
    plane.resync().result(10)
    trap.touch()
    plane.submit(batch(1, *STATE))
    assert "killed" in bed.problem("dataplane")
    trap.unlink()
    bed.wait(lambda r: r == Problem("dataplane", ""))
    assert not [r for r in bed.reports if isinstance(r, Problem) and r.object.startswith("profile") and r.text]


def test_a_profile_that_nft_refused_and_that_goes_is_no_problem_under_another_name(bed, plane):
    plane.submit((ProfileRules("broken", (from_set("nowhere"), ALLOW), ()), Revision(2)))
    bed.problem("profile broken")
    plane.submit((ProfileGone("broken"), Revision(3)))
    bed.wait(lambda r: r == Problem("profile broken", ""))
    plane.resync().result(10)
    assert not [r for r in bed.reports if isinstance(r, Problem) and "pi-" in r.object]


def test_the_reaper_survives_what_nobody_expected_and_tells_when_it_is_over(bed, plane, monkeypatch, caplog):
    def fail(item):
        raise ValueError("as planned")

    with monkeypatch.context() as broken:
        broken.setattr("ocicat.dataplane.reaper._reap", fail)
        bed.detach(plane, "a")
        assert "as planned" in bed.problem("interface ocia")
    plane.resync().result(10)
    wait_until(lambda: "ocia" not in bed.interfaces())
    plane.resync().result(10)
    bed.wait(lambda r: r == Problem("interface ocia", ""))


def test_an_interface_that_its_container_lost_is_made_anew_without_a_detach(bed, plane):
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.delete("eth0"))
    bed.reports.clear()
    bed.attach(plane, "a", A)
    bed.wait_in_force(1, "a")
    assert reaches(bed.containers["a"], B)


def test_a_route_that_another_hand_took_is_told(bed, plane):
    bed.ip("route", "replace", "blackhole", f"{A}/32", "proto", "static")
    plane.resync().result(10)
    assert "not ours" in bed.failure("a")
    bed.ip("route", "del", "blackhole", f"{A}/32")
    bed.reports.clear()
    plane.resync().result(10)
    bed.wait_in_force(1, "a")


def test_five_hundred_endpoints_come_and_go_and_leave_nothing(bed):
    plane = bed.plane()
    plane.submit(batch(1, profile("p", [ALLOW])))
    plane.resync().result(10)
    names = [f"n{i}" for i in range(20)]
    states = []
    for round_ in range(25):
        for i, name in enumerate(names):
            plane.submit(
                (endpoint(name, f"10.65.{round_}.{i + 1}", profiles=("p", f"q{round_}")), Revision(2 + round_))
            )
        for i, name in enumerate(names):
            plane.attach(bed.request(name, f"10.65.{round_}.{i + 1}")).result(10)
        for name in names:
            bed.detach(plane, name)
            plane.submit((EndpointGone(f"/{name}"), Revision(2 + round_)))
        wait_until(lambda: not any(name.startswith("oci") for name in bed.interfaces()))
        states.append((threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))))
    wait_until(lambda: "chain in-" not in bed.nft("list", "table", "inet", "ocicat"))
    assert states[-1] <= (states[1][0], states[1][1] + 2)  # the reaper may hold some at the moment
    engine = plane._engine
    ledger = engine._ledger
    assert not any(
        (engine._waiting, engine._failed, engine._flushing, engine._unreaped, engine._managers.endpoints.held)
    )
    assert not any([*delta.all_there()] for delta in ledger.elements.values())
    assert not bed.ip("route", "show", "proto", "84").replace("blackhole 10.65.0.0/26", "").strip()


@contextmanager
def wire(fd):
    """Sends frames, given their type and content, out of the container's eth0."""
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        sock.bind(("eth0", 0))
        mac = sock.getsockname()[4]
        yield lambda kind, content: sock.send(b"\xee" * 6 + mac + struct.pack(">H", kind) + content)


@contextmanager
def receiver(fd, port=7777):
    """Says whether any datagram came to that port meanwhile."""
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind(("0.0.0.0", port))
        sock.settimeout(0.25)

        def heard():
            try:
                return bool(sock.recv(65535))
            except TimeoutError:
                return False

        yield heard


def talk(fd, target, port, content=b"hello", source_port=0):
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", source_port))
        sock.sendto(content, (target, port))


@contextmanager
def chatter(fd, target, flowing):
    """Datagrams to port 7777, one after the other, meanwhile."""
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ended = threading.Event()

    def send():
        while not ended.wait(0.0005):
            sock.sendto(b"hello", (target, 7777))
            flowing.set()

    thread = threading.Thread(target=send)
    with sock:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextmanager
def steady_flow(bed, ip):
    """From port 4444 of outside to port 7777 of container a: answered, so the host's connection table calls it established."""
    with namespace.inside(bed.containers["a"]):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((ip, 7777))
        sock.settimeout(5)
        talk(bed.outside, ip, 7777, source_port=4444)
        _, peer = sock.recvfrom(100)
        sock.sendto(b"hello", peer)
        wait_until(lambda: "7777" in bed.run(bed.host, "conntrack", "-L", "-d", ip))
    yield


def datagram(source, target):
    body = struct.pack(">HHHH", 1, 7777, 13, 0) + b"hello"
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 33, 1, 0, 64, 17, 0, packed(source), packed(target))
    return head[:10] + checksum(head) + head[12:] + body


def solicitation(source, target):
    """Of a neighbour, with the link-layer address of the sender."""
    body = bytes(4) + packed(target) + b"\1\1" + b"\2" * 6
    message = struct.pack(">BBH", 135, 0, 0) + body
    pseudo = packed(source) + packed(target) + struct.pack(">II", len(message), 58)
    whole = message[:2] + checksum(pseudo + message) + body
    return struct.pack(">IHBB", 6 << 28, len(whole), 58, 255) + packed(source) + packed(target) + whole


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)
