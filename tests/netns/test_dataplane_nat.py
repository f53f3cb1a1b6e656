"""Translation by real packets: mapped ports, floating addresses, and what leaves the pools; and what policy sees of them."""

import itertools
import socket
from contextlib import closing, contextmanager

import pytest
from dataplane_bed import (
    ALLOW,
    BLOCKED_S,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    WAIT_S,
    Bed,
    addr,
    batch,
    endpoint,
    pings,
    profile,
    wait_until,
)

from ocicat.dataplane.api import Applied, Drift, Problem
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    EndpointGone,
    FloatingAddress,
    Match,
    OutgoingNat,
    PortMapping,
    Revision,
    WantedRule,
)
from ocicat.netlink import address, flows, link, namespace
from ocicat.netlink.address import Address
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

pytestmark = pytest.mark.netns

A, B, A6, B6 = "10.65.0.2", "10.65.0.3", "fd65::2", "fd65::3"
OTHER_HOST, OTHER_HOST6 = "10.0.0.9", "fd00::9"
FLOATING, FLOATING6 = "192.0.2.7", "fd99::7"
TCP, UDP = 6, 17
POOLS = tuple(map(Cidr.parse, ("10.65.0.0/16", "fd65::/48")))
OWN = {4: HOST, 6: HOST6}


class World:
    """Workloads a and b of both families, open to all; the neighbour routes everything by the host."""

    def __init__(self):
        self.bed = Bed()
        for fd in (self.bed.host, self.bed.outside):
            self.bed.run(fd, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
        self.plane = self.bed.plane()
        self._revisions = itertools.count(2)
        self.a, self.b = endpoint("a", A, A6), endpoint("b", B, B6)
        self.plane.submit(batch(1, profile("p", [ALLOW]), self.a, self.b))
        self.bed.attach(self.plane, "a", A, A6)
        self.bed.attach(self.plane, "b", B, B6)
        self.bed.wait_in_force(1, "a", "b")
        self.outside, self.host = self.bed.outside, self.bed.host
        self.in_a, self.in_b = self.bed.containers["a"], self.bed.containers["b"]

    def update(self, *messages):
        revision = next(self._revisions)
        self.plane.submit((*messages, Revision(revision)))
        self.bed.wait(lambda report: report == Applied(revision))
        assert not [report for report in self.bed.reports if isinstance(report, Problem) and report.text]

    def maps(self, *mappings, **more):
        self.update(replace(self.a, port_mappings=mappings, **more))

    def floats(self, *floating, **more):
        self.update(replace(self.a, floating=tuple(FloatingAddress(addr(o), addr(i)) for o, i in floating), **more))

    def gives_outside(self, *addresses):
        """Further addresses of the neighbour."""
        with RouteSocket(self.outside) as sock:
            index = sock.get(link.get("out0")).index
            for each in map(addr, addresses):
                sock.request(address.add(Address(index, each.pack(), 24 if each.family == 4 else 64, nodad=True)))


@pytest.fixture
def world():
    made = World()
    yield made
    made.bed.close()


def _socket(fd, target, kind):
    with namespace.inside(fd):
        return socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, kind)


@contextmanager
def listening(fd, target, port, kind=socket.SOCK_STREAM):
    with closing(_socket(fd, target, kind)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::" if ":" in target else "0.0.0.0", port))
        sock.settimeout(BLOCKED_S)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock


def seen(server_fd, server_port, client_fd, target, port, *, kind=socket.SOCK_STREAM, source=""):
    """As whom the server sees the client who asks for `target`, and gets the answer; None: it does not get there."""
    with listening(server_fd, target, server_port, kind) as server, closing(_socket(client_fd, target, kind)) as client:
        client.settimeout(BLOCKED_S)
        if source:
            client.bind((source, 0))
        try:
            client.connect((target, port))
            return _tcp(server, client) if kind == socket.SOCK_STREAM else _udp(server, client)
        except OSError:
            return None


def _tcp(server, client):
    accepted, peer = server.accept()
    with accepted:
        accepted.sendall(b"hello")
        assert client.recv(5) == b"hello"
    return peer[0]


def _udp(server, client):
    client.send(b"?")
    _, peer = server.recvfrom(1)
    server.sendto(b"!", peer)
    assert client.recv(1) == b"!"
    return peer[0]


# --- mapped ports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize(
    ("host", "other", "a", "b"), [(HOST, OUTSIDE, A, B), (HOST6, OUTSIDE6, A6, B6)], ids=["v4", "v6"]
)
def test_a_mapped_port_leads_to_the_workload_from_everywhere(world, kind, host, other, a, b):
    world.maps(PortMapping(TCP, 8080, 80), PortMapping(UDP, 8080, 80))
    wait_until(lambda: pings(world.outside, host) and pings(world.host, other))
    assert seen(world.in_a, 80, world.outside, host, 8080, kind=kind) == other
    assert seen(world.in_a, 80, world.in_b, host, 8080, kind=kind) == b
    assert seen(world.in_a, 80, world.host, host, 8080, kind=kind) == host
    assert seen(world.in_a, 80, world.in_a, host, 8080, kind=kind) == host  # a workload by its own mapped port


def test_only_the_hosts_own_addresses_are_mapped(world):
    world.maps(PortMapping(TCP, 8080, 80))
    world.gives_outside(OTHER_HOST)
    assert seen(world.outside, 8080, world.in_b, OTHER_HOST, 8080) == B
    assert seen(world.outside, 8080, world.host, OTHER_HOST, 8080) == HOST
    assert seen(world.in_b, 8080, world.outside, B, 8080) == OUTSIDE


def test_a_service_on_loopback_is_not_taken_over(world):
    world.maps(PortMapping(TCP, 8080, 80))
    world.bed.run(world.host, "ip", "link", "set", "lo", "up")
    assert seen(world.host, 8080, world.host, "127.0.0.1", 8080) == "127.0.0.1"
    assert seen(world.host, 8080, world.host, "::1", 8080) == "::1"


def test_one_address_of_the_host_is_mapped_and_the_others_are_not(world):
    world.bed.ip("address", "add", "10.0.0.51/24", "dev", "up0")
    world.maps(PortMapping(TCP, 8080, 80, addr("10.0.0.51")), PortMapping(TCP, 8081, 81, addr("0.0.0.0")))
    assert seen(world.in_a, 80, world.outside, "10.0.0.51", 8080) == OUTSIDE
    assert seen(world.in_a, 80, world.outside, HOST, 8080) is None
    assert seen(world.in_a, 81, world.outside, HOST, 8081) == OUTSIDE
    wait_until(lambda: pings(world.outside, HOST6))
    assert seen(world.in_a, 81, world.outside, HOST6, 8081) is None


def _flows_to(world, host, port):
    with NetfilterSocket(world.host) as kernel:
        found = flows.find(kernel, addr(host).pack())
    return [flow.id for flow in found if flow.original.dst_port == port]


@pytest.mark.parametrize(("host", "a"), [(HOST, A), (HOST6, A6)], ids=["v4", "v6"])
def test_a_sender_of_udp_who_began_before_the_port_was_mapped_gets_there_too(world, host, a):
    wait_until(lambda: pings(world.outside, host))
    kind = socket.SOCK_DGRAM
    with (
        listening(world.in_a, a, 80, kind) as server,
        closing(_socket(world.outside, host, kind)) as client,
        closing(_socket(world.outside, host, kind)) as other,
        listening(world.host, host, 9999, kind) as own,
    ):
        client.sendto(b"?", (host, 8080))
        other.sendto(b"?", (host, 9999))
        assert own.recv(1) == b"?"
        (kept,) = _flows_to(world, host, 9999)
        world.maps(PortMapping(UDP, 8080, 80))

        def arrives():
            client.sendto(b"!", (host, 8080))
            try:
                return server.recv(1) == b"!"
            except TimeoutError:
                return False

        wait_until(arrives)
        assert _flows_to(world, host, 9999) == [kept]


def test_policy_sees_the_real_source_and_the_real_destination(world):
    world.gives_outside(OTHER_HOST)
    from_outside = Match(nets=(Cidr.parse(f"{OUTSIDE}/32"),))
    to_a = Match(nets=(Cidr.parse(f"{A}/32"),), ports=((80, 80),))
    world.update(
        profile("in", [WantedRule("Allow", protocol=TCP, source=from_outside, destination=Match(ports=((80, 80),)))]),
        profile("out", [ALLOW], [WantedRule("Allow", protocol=TCP, destination=to_a)]),
        replace(world.b, profiles=("out",)),
    )
    world.maps(PortMapping(TCP, 8080, 80), PortMapping(TCP, 8081, 81), profiles=("in",))
    assert seen(world.in_a, 80, world.outside, HOST, 8080) == OUTSIDE
    assert seen(world.in_a, 80, world.outside, HOST, 8080, source=OTHER_HOST) is None
    assert seen(world.in_a, 81, world.outside, HOST, 8081) is None
    assert seen(world.in_a, 80, world.in_b, HOST, 8080) is None  # a's policy
    world.maps(PortMapping(TCP, 8080, 80), PortMapping(TCP, 8081, 81))
    assert seen(world.in_a, 80, world.in_b, HOST, 8080) == B
    assert seen(world.in_a, 81, world.in_b, HOST, 8081) is None  # b's policy


def test_of_two_that_claim_a_port_the_first_by_key_has_it_and_the_other_follows(world):
    mapping = (PortMapping(TCP, 8080, 80),)
    world.update(replace(world.b, port_mappings=mapping))
    assert seen(world.in_b, 80, world.outside, HOST, 8080) == OUTSIDE
    world.update(replace(world.a, port_mappings=mapping))
    assert seen(world.in_a, 80, world.outside, HOST, 8080) == OUTSIDE
    world.update(EndpointGone("/a"))
    assert seen(world.in_b, 80, world.outside, HOST, 8080) == OUTSIDE
    world.update(EndpointGone("/b"))
    assert seen(world.in_b, 80, world.outside, HOST, 8080) is None


# --- floating addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize(
    ("floating", "other", "a", "b", "host"),
    [(FLOATING, OUTSIDE, A, B, HOST), (FLOATING6, OUTSIDE6, A6, B6, HOST6)],
    ids=["v4", "v6"],
)
def test_a_floating_address_leads_to_the_workload(world, kind, floating, other, a, b, host):
    world.floats((floating, a))
    wait_until(lambda: pings(world.host, other))
    assert seen(world.in_a, 80, world.outside, floating, 80, kind=kind) == other
    assert seen(world.in_a, 80, world.in_b, floating, 80, kind=kind) == b
    assert seen(world.in_a, 80, world.host, floating, 80, kind=kind) == host
    assert seen(world.in_a, 80, world.in_a, floating, 80, kind=kind) == floating
    assert pings(world.outside, floating)
    assert seen(world.outside, 80, world.in_a, other, 80, kind=kind) == a  # its own connections are its own


def test_a_floating_address_that_moves_takes_new_connections_with_it(world):
    world.floats((FLOATING, A))
    with listening(world.in_a, A, 80) as server, closing(_socket(world.outside, A, socket.SOCK_STREAM)) as client:
        client.settimeout(BLOCKED_S)
        client.connect((FLOATING, 80))
        accepted, _ = server.accept()
        world.update(world.a, replace(world.b, floating=(FloatingAddress(addr(FLOATING), addr(B)),)))
        assert seen(world.in_b, 80, world.outside, FLOATING, 80) == OUTSIDE
        client.sendall(b"still")
        accepted.settimeout(WAIT_S)
        assert accepted.recv(5) == b"still"
        accepted.close()


# --- outgoing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize(
    ("host", "other", "a", "b"), [(HOST, OUTSIDE, A, B), (HOST6, OUTSIDE6, A6, B6)], ids=["v4", "v6"]
)
def test_what_leaves_the_pools_has_the_hosts_address(world, kind, host, other, a, b):
    wait_until(lambda: pings(world.host, other))
    world.update(OutgoingNat(POOLS[:1] if ":" not in a else POOLS[1:], POOLS))
    assert seen(world.outside, 80, world.in_a, other, 80, kind=kind) == host
    assert seen(world.in_a, 80, world.in_b, a, 80, kind=kind) == b
    assert seen(world.in_a, 80, world.host, a, 80, kind=kind) == host
    assert seen(world.in_a, 80, world.outside, a, 80, kind=kind) == other
    world.update(OutgoingNat())
    assert seen(world.outside, 80, world.in_a, other, 80, kind=kind) == a


def test_icmp_is_translated_too(world):
    wait_until(lambda: pings(world.host, OUTSIDE6))
    world.bed.run(world.outside, "ip", "route", "del", "default")
    world.bed.run(world.outside, "ip", "-6", "route", "del", "default")
    assert not pings(world.in_a, OUTSIDE)
    world.update(OutgoingNat(POOLS, POOLS, ports=(40000, 40009)))
    assert pings(world.in_a, OUTSIDE)
    assert pings(world.in_a, OUTSIDE6)


def test_what_is_inside_is_spared_and_so_is_what_leaves_by_another_interface(world):
    world.gives_outside(OTHER_HOST)
    spared = (*POOLS, addr(OUTSIDE).cidr())
    world.update(OutgoingNat(POOLS, spared))
    assert seen(world.outside, 80, world.in_a, OUTSIDE, 80) == A
    assert seen(world.outside, 80, world.in_a, OTHER_HOST, 80) == HOST
    world.update(OutgoingNat(POOLS, spared, interface="eth*"))
    assert seen(world.outside, 80, world.in_a, OTHER_HOST, 80) == A
    world.update(OutgoingNat(POOLS, spared, interface="up*"))
    assert seen(world.outside, 80, world.in_a, OTHER_HOST, 80) == HOST


def _peer(server, kind):
    if kind == socket.SOCK_DGRAM:
        return server.recvfrom(1)[1]
    accepted, peer = server.accept()
    accepted.close()
    return peer


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize(("own", "target"), [("10.0.0.51", OUTSIDE), ("fd00::51", OUTSIDE6)], ids=["v4", "v6"])
def test_the_address_and_the_ports_may_be_given(world, kind, own, target):
    wait_until(lambda: pings(world.host, target))
    world.bed.ip("address", "add", own, "dev", "up0", *(["nodad"] if ":" in own else []))
    world.update(OutgoingNat(POOLS, POOLS, (40000, 40009), (addr(own),)))
    with listening(world.outside, target, 80, kind) as server, closing(_socket(world.in_a, target, kind)) as client:
        client.settimeout(BLOCKED_S)
        client.connect((target, 80))
        client.send(b"?")
        peer = _peer(server, kind)
    assert peer[0] == own
    assert 40000 <= peer[1] <= 40009


# --- changes, other hands, another life -------------------------------------------------------------------------------------


def _talks(client, accepted):
    client.sendall(b"still")
    return accepted.recv(5) == b"still"


def test_no_change_disturbs_the_flows_that_are_there(world):
    world.update(OutgoingNat(POOLS, POOLS))
    world.maps(PortMapping(TCP, 8080, 80))
    with (
        listening(world.outside, OUTSIDE, 80) as far,
        listening(world.in_a, A, 80) as near,
        closing(_socket(world.in_a, A, socket.SOCK_STREAM)) as leaving,
        closing(_socket(world.outside, A, socket.SOCK_STREAM)) as coming,
    ):
        leaving.connect((OUTSIDE, 80))
        coming.connect((HOST, 8080))
        left, came = far.accept()[0], near.accept()[0]
        for sock in (leaving, coming, left, came):
            sock.settimeout(WAIT_S)
        changes = (OutgoingNat(POOLS, POOLS, (1024, 2048)), OutgoingNat(), world.a, profile("p", [ALLOW, ALLOW]))
        for change in changes:
            world.update(change)
            assert _talks(leaving, left)
            assert _talks(coming, came)
        world.plane.stop()
        again = world.bed.plane()
        again.submit(batch(99, profile("p", [ALLOW]), world.a, world.b))
        world.bed.wait_in_force(99, "a", "b")
        again.resync().result(10)  # what nobody wants has gone with it
        assert "host-ports {" not in world.bed.nft("list", "table", "inet", "ocicat")
        assert _talks(leaving, left)
        assert _talks(coming, came)
        left.close()
        came.close()


def test_a_host_that_translates_nothing_has_no_chain_for_it(world):
    assert "type nat" not in world.bed.nft("list", "table", "inet", "ocicat")


@pytest.mark.parametrize(
    "spoil",
    [
        "flush map inet ocicat host-ports4",
        "flush chain inet ocicat host-ports",
        "delete chain inet ocicat dstnat",
        "flush set inet ocicat nat-sources4",
        "add element inet ocicat nat-inside4 { 10.0.0.0/24 }",
        "delete table inet ocicat",
    ],
)
def test_what_another_hand_changes_is_mended(world, spoil):
    world.update(OutgoingNat(POOLS, POOLS))
    world.maps(PortMapping(TCP, 8080, 80))
    world.bed.reports.clear()
    world.bed.nft(*spoil.split())
    world.bed.wait(lambda report: isinstance(report, Drift))
    assert seen(world.in_a, 80, world.outside, HOST, 8080) == OUTSIDE
    assert seen(world.outside, 80, world.in_a, OUTSIDE, 80) == HOST


def test_a_restart_keeps_the_maps_and_removes_what_is_wanted_no_more(world):
    world.update(OutgoingNat(POOLS, POOLS))
    world.maps(PortMapping(TCP, 8080, 80), PortMapping(TCP, 8081, 81))
    world.plane.stop()
    before = world.bed.generation()
    again = world.bed.plane()
    one = replace(world.a, port_mappings=(PortMapping(TCP, 8080, 80), PortMapping(TCP, 8081, 81)))
    again.submit(batch(50, profile("p", [ALLOW]), one, world.b, OutgoingNat(POOLS, POOLS)))
    world.bed.wait_in_force(50, "a", "b")
    world.bed.wait(lambda report: report == Applied(50))
    assert world.bed.generation() == before
    again.submit((replace(one, port_mappings=(PortMapping(TCP, 8081, 81),)), Revision(51)))
    world.bed.wait(lambda report: report == Applied(51))
    assert seen(world.in_a, 80, world.outside, HOST, 8080) is None
    assert seen(world.in_a, 81, world.outside, HOST, 8081) == OUTSIDE
    assert again.verify("/a").result(10) == []
