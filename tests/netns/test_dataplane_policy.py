"""Real packets between containers, and between them and their host and the world: who gets through."""

import socket
from contextlib import contextmanager

import pytest
from dataplane_bed import (
    ALLOW,
    DENY,
    HOST,
    OUTSIDE,
    OUTSIDE6,
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

from ocicat.model.net import Cidr
from ocicat.model.wanted import AddressSet, EndpointGone, Match, ProfileGone, Revision, WantedRule
from ocicat.netlink import address, link, namespace, neighbour
from ocicat.netlink.address import Address
from ocicat.netlink.inet import packed
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

A, B, C = "10.65.0.2", "10.65.0.3", "10.65.0.4"


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture
def plane(bed):
    """Containers a and b in group p, c in group q, each open to its own group; all may send anywhere."""
    plane = bed.plane()
    plane.submit(
        batch(
            1,
            members("p", A, B),
            members("q", C),
            profile("p", [from_set("p")]),
            profile("q", [from_set("q")]),
            endpoint("a", A),
            endpoint("b", B),
            endpoint("c", C, profiles=["q"]),
        )
    )
    for name, ip in (("a", A), ("b", B), ("c", C)):
        bed.attach(plane, name, ip)
    bed.wait_in_force(1, "a", "b", "c")
    return plane


def a_reaches_b(bed, port=80):
    return reaches(bed.containers["a"], B, port)


def update(bed, plane, revision, *messages):
    plane.submit((*messages, Revision(revision)))
    plane.resync().result(10)


def test_members_of_a_group_reach_each_other(bed, plane):
    assert a_reaches_b(bed)
    assert reaches(bed.containers["b"], A)


def test_members_of_other_groups_do_not(bed, plane):
    assert not reaches(bed.containers["c"], A)
    assert not reaches(bed.containers["a"], C)


def test_the_world_is_reached_and_does_not_reach_in(bed, plane):
    assert reaches(bed.containers["a"], OUTSIDE)
    assert not reaches(bed.outside, A)


def test_the_host_reaches_its_own_workloads_whatever_policy_says(bed, plane):
    assert reaches(bed.host, A)
    assert reaches(bed.host, C)


def test_a_workload_reaches_its_hosts_agent_and_nothing_else_there(bed, plane):
    assert reaches(bed.containers["a"], HOST, 5051)
    assert not reaches(bed.containers["a"], HOST, 5050)
    assert not reaches(bed.containers["a"], HOST, 22)


def test_a_workload_reaches_its_agent_even_when_it_may_send_nothing(bed, plane):
    update(bed, plane, 2, profile("p", [ALLOW], [DENY]))
    assert reaches(bed.containers["a"], HOST, 5051)
    assert not a_reaches_b(bed)


def test_a_port_of_the_agent_is_open_on_the_configured_addresses_only(bed, plane):
    with RouteSocket(bed.host) as sock:
        sock.request(address.add(Address(sock.get(link.get("up0")).index, packed("10.0.0.9"), 24)))
    assert not reaches(bed.containers["a"], "10.0.0.9", 5051)


def test_a_spoofed_source_is_dropped(bed, plane):
    give(bed.containers["a"], "10.65.0.9")
    with RouteSocket(bed.host) as sock:  # so that only our own check stands in the way, not the routing table
        sock.request(neighbour.replace(Neighbour(sock.get(link.get("ocia")).index, packed("10.65.0.9"), b"\xee" * 6)))
    bed.ip("route", "add", "10.65.0.9", "dev", "ocia")
    assert not reaches(bed.containers["a"], OUTSIDE, source="10.65.0.9")
    assert reaches(bed.containers["a"], OUTSIDE, source=A)


def test_another_workloads_address_is_dropped_too(bed, plane):
    give(bed.containers["a"], B)
    assert not reaches(bed.containers["a"], OUTSIDE, source=B)


def test_a_member_that_leaves_the_set_is_cut_off_from_new_connections(bed, plane):
    update(bed, plane, 2, AddressSet("s:p", removed=frozenset([addr(A)])))
    assert not a_reaches_b(bed)
    update(bed, plane, 3, members("p", A))
    assert a_reaches_b(bed)


def test_without_any_profile_nothing_passes(bed, plane):
    update(bed, plane, 2, endpoint("b", B, profiles=()))
    assert not a_reaches_b(bed)
    assert not reaches(bed.containers["b"], OUTSIDE)


def test_a_profile_that_does_not_exist_denies_at_its_place(bed, plane):
    update(bed, plane, 2, endpoint("b", B, profiles=["missing"]))
    assert not a_reaches_b(bed)
    update(bed, plane, 3, endpoint("b", B, profiles=["missing", "p"]))
    assert not a_reaches_b(bed)
    update(bed, plane, 4, endpoint("b", B, profiles=["p", "missing"]))
    assert a_reaches_b(bed)
    assert not reaches(bed.containers["c"], B)


def test_a_profile_that_goes_and_comes_back(bed, plane):
    update(bed, plane, 2, ProfileGone("p"))
    assert not a_reaches_b(bed)
    update(bed, plane, 3, profile("p", [ALLOW]))
    assert a_reaches_b(bed)


def test_the_first_rule_that_matches_decides(bed, plane):
    update(bed, plane, 2, profile("p", [from_set("p", "Deny"), ALLOW]))
    assert not a_reaches_b(bed)
    assert reaches(bed.containers["c"], B)


def test_a_rule_that_cannot_be_enforced_drops_what_reaches_it(bed, plane):
    broken = WantedRule("Allow", problem="named ports")
    update(bed, plane, 2, profile("p", [from_set("p"), broken, ALLOW]))
    assert a_reaches_b(bed)
    assert not reaches(bed.containers["c"], B)


@pytest.mark.parametrize(
    ("match", "port", "passes"),
    [
        (Match(ports=((80, 80),)), 80, True),
        (Match(ports=((80, 80),)), 81, False),
        (Match(ports=((80, 90),)), 90, True),
        (Match(ports=((80, 90),)), 91, False),
        (Match(ports=((22, 22), (80, 90), (65000, 65535))), 22, True),
        (Match(ports=((22, 22), (80, 90), (65000, 65535))), 65535, True),
        (Match(ports=((22, 22), (80, 90), (65000, 65535))), 64999, False),
        (Match(nets=(Cidr.parse("10.65.0.3/32"),)), 80, True),
        (Match(nets=(Cidr.parse("10.65.1.0/24"),)), 80, False),
        (Match(nets=(Cidr.parse("10.65.1.0/24"), Cidr.parse("10.65.0.0/29"))), 80, True),
        (Match(nets=(Cidr.parse("10.65.1.0/24"), Cidr.parse("255.0.0.0/8"))), 80, False),
        (Match(nets=(Cidr.parse("0.0.0.0/0"),)), 80, True),
        (Match(nets=(Cidr.parse("fd00::/8"),)), 80, False),
    ],
)
def test_ports_and_nets_of_a_rule(bed, plane, match, port, passes):
    rule = WantedRule("Allow", protocol=6, destination=match)
    update(bed, plane, 2, profile("p", [rule]))
    assert a_reaches_b(bed, port) == passes


def test_egress_rules_decide_before_the_other_sides_ingress(bed, plane):
    to_c = WantedRule("Deny", destination=Match(nets=(Cidr.parse(f"{C}/32"),)))
    update(bed, plane, 2, profile("p", [ALLOW], [to_c, ALLOW]), profile("q", [ALLOW]))
    assert a_reaches_b(bed)
    assert not reaches(bed.containers["a"], C)


def test_an_endpoint_that_goes_is_closed_and_its_address_leads_nowhere(bed, plane):
    plane.submit((EndpointGone("/b"), Revision(2)))
    plane.resync().result(10)
    assert not a_reaches_b(bed)
    assert not reaches(bed.containers["b"], OUTSIDE)
    assert "ocib" in bed.interfaces()
    assert f"{B} " not in bed.ip("route")


def test_an_endpoint_is_closed_until_its_policy_comes(bed):
    plane = bed.plane()
    bed.attach(plane, "a", A)
    assert not reaches(bed.containers["a"], OUTSIDE)
    assert not reaches(bed.containers["a"], HOST, 5051)
    plane.submit(batch(1, profile("p"), endpoint("a", A)))
    bed.wait_in_force(1, "a")
    assert reaches(bed.containers["a"], OUTSIDE)


def test_ipv6_goes_by_the_same_policy(bed):
    a6, b6 = "fd65::2", "fd65::3"
    plane = bed.plane()
    plane.submit(batch(1, members("p", a6), profile("p", [from_set("p")]), endpoint("a", A, a6), endpoint("b", B, b6)))
    bed.attach(plane, "a", A, a6)
    bed.attach(plane, "b", B, b6)
    bed.wait_in_force(1, "a", "b")
    assert reaches(bed.containers["a"], b6)
    assert not reaches(bed.containers["b"], a6)
    wait_until(lambda: reaches(bed.containers["a"], OUTSIDE6))  # the uplink is still looking for duplicates of its own
    assert not reaches(bed.outside, a6)
    give(bed.containers["a"], "fd65::9")
    assert not reaches(bed.containers["a"], OUTSIDE6, source="fd65::9")


def test_the_next_owner_of_an_address_inherits_no_connection(bed, plane):
    """A flow from outside to a's address, let in by a's policy, ends with a."""
    update(bed, plane, 2, profile("p", [ALLOW]))
    with listener(bed.containers["a"], A) as port, connected(bed.outside, A, port):
        assert flows_of(bed, A)
        bed.detach(plane, "a")
        wait_until(lambda: not flows_of(bed, A))


def give(fd, ip):
    with RouteSocket(fd) as sock:
        bits = 128 if ":" in ip else 32
        index = sock.get(link.get("eth0")).index
        sock.request(address.add(Address(index, packed(ip), bits, nodad=bits == 128)))


def flows_of(bed, ip):
    return bed.run(bed.host, "conntrack", "-L", "-d", ip).strip()


@contextmanager
def listener(fd, ip):
    with namespace.inside(fd):
        sock = socket.socket()
    with sock:
        sock.bind((ip, 0))
        sock.listen()
        yield sock.getsockname()[1]


@contextmanager
def connected(fd, ip, port):
    with namespace.inside(fd):
        sock = socket.socket()
    with sock:
        sock.settimeout(5)
        sock.connect((ip, port))
        yield sock
