"""Tiers, Pass, end of tier and profiles; what a workload may send to its host; all by real packets."""

import itertools
import socket

import pytest
from dataplane_bed import (
    ALLOW,
    BLOCKED_S,
    DENY,
    HOST,
    OUTSIDE,
    Bed,
    addr,
    batch,
    endpoint,
    flood,
    hears,
    pings,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import Drift, Problem
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSet,
    HostSettings,
    Match,
    PolicyGone,
    PolicyRules,
    ProfileGone,
    Revision,
    Tier,
    WantedRule,
)
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
PASS = WantedRule("Pass")


def to_port(action, port):
    return WantedRule(action, protocol=6, destination=Match(ports=((port, port),)))


def policy(name, *rules, egress=()):
    return PolicyRules(name, tuple(rules), tuple(egress))


class World:
    """Workloads a and b; a may send anything."""

    def __init__(self):
        self.bed = Bed()
        self.plane = self.bed.plane()
        self._revisions = itertools.count(2)
        self.plane.submit(batch(1, profile("p"), profile("open", [ALLOW]), endpoint("a", A), endpoint("b", B)))
        self.bed.attach(self.plane, "a", A)
        self.bed.attach(self.plane, "b", B)
        self.bed.wait_in_force(1, "a", "b")

    def update(self, *messages):
        self.plane.submit((*messages, Revision(next(self._revisions))))
        self.plane.resync().result(10)
        assert not [report for report in self.bed.reports if isinstance(report, Problem) and report.text]

    def ports(self, *ports):
        """Of these, those on which a reaches b."""
        return [port for port in ports if reaches(self.bed.containers["a"], B, port)]


@pytest.fixture
def world():
    made = World()
    yield made
    made.bed.close()


def b(*tiers, profiles=()):
    return replace(endpoint("b", B, profiles=profiles), ingress=tiers)


def test_the_first_tier_that_decides_decides(world):
    world.update(
        policy("x", to_port("Allow", 80), to_port("Deny", 81), to_port("Pass", 82), to_port("Pass", 83)),
        policy("y", to_port("Deny", 80), to_port("Allow", 81), to_port("Allow", 82), to_port("Allow", 84)),
        b(Tier("t", "Deny", ("x",)), Tier("u", "Deny", ("y",)), profiles=["open"]),
    )
    assert world.ports(80, 81, 82, 83, 84) == [80, 82]


def test_a_tier_that_passes_at_its_end(world):
    world.update(
        policy("x", to_port("Allow", 80), to_port("Deny", 81)),
        policy("y", to_port("Allow", 82), to_port("Deny", 83)),
        b(Tier("t", "Pass", ("x",)), Tier("u", "Pass", ("y",)), profiles=["open"]),
    )
    assert world.ports(80, 81, 82, 83, 84) == [80, 82, 84]
    world.update(b(Tier("t", "Pass", ("x",)), Tier("u", "Deny", ("y",)), profiles=["open"]))
    assert world.ports(80, 81, 82, 83, 84) == [80, 82]


def test_policies_of_a_tier_decide_in_order_and_pass_skips_the_rest_of_them(world):
    world.update(
        policy("x", to_port("Pass", 80), to_port("Allow", 81)),
        policy("y", to_port("Deny", 80), to_port("Deny", 81), to_port("Allow", 82)),
        b(Tier("t", "Deny", ("x", "y")), profiles=["open"]),
    )
    assert world.ports(80, 81, 82, 83) == [80, 81, 82]
    world.update(b(Tier("t", "Deny", ("y", "x")), profiles=["open"]))
    assert world.ports(80, 81, 82, 83) == [82]


def test_profiles_decide_in_order_and_pass_goes_on_to_the_next(world):
    world.update(
        profile("one", [to_port("Allow", 80), to_port("Deny", 81), PASS, ALLOW]),
        profile("two", [to_port("Allow", 81), to_port("Allow", 82)]),
        b(profiles=["one", "two"]),
    )
    assert world.ports(80, 81, 82, 83) == [80, 82]
    world.update(ProfileGone("two"))
    assert world.ports(80, 81, 82, 83) == [80]


def test_egress_tiers(world):
    world.update(
        policy("x", egress=[to_port("Deny", 80), to_port("Pass", 81), to_port("Allow", 82)]),
        b(profiles=["open"]),
        replace(endpoint("a", A), egress=(Tier("t", "Deny", ("x",)),)),
    )
    assert world.ports(80, 81, 82, 83) == [81, 82]
    assert reaches(world.bed.containers["a"], OUTSIDE, 82)
    assert not reaches(world.bed.containers["a"], OUTSIDE, 83)


def test_a_policy_that_changes_or_goes_while_it_is_used(world):
    tier = Tier("t", "Deny", ("x",))
    world.update(policy("x", to_port("Allow", 80)), b(tier, profiles=["open"]))
    assert world.ports(80, 81) == [80]
    world.update(policy("x", to_port("Pass", 80)))
    assert world.ports(80, 81) == [80]
    world.update(policy("x", to_port("Allow", 81)))
    assert world.ports(80, 81) == [81]
    world.update(b(profiles=["open"]), PolicyGone("x"))
    assert world.ports(80, 81) == [80, 81]


def test_a_policy_that_changes_again_and_again_lets_every_packet_of_a_flow_through_and_no_forbidden_one(world):
    world.update(policy("x", WantedRule("Allow", protocol=1)), b(Tier("t", "Deny", ("x",))))
    with flood(world.bed.containers["a"], B) as ping:
        for round_ in range(10):
            rules = [WantedRule("Pass" if round_ % 2 else "Deny", protocol=6), WantedRule("Allow", protocol=1)]
            world.update(policy("x", *rules), AddressSet(f"s:{round_}", frozenset([addr(A)])))
            assert world.ports(80) == []
    assert ping.lost == 0


@pytest.mark.parametrize("action", ["Drop", "Accept", "Return"])
def test_what_becomes_of_packets_from_a_workload_to_its_host(world, action):
    world.update(
        HostSettings(endpoint_to_host=action),
        policy("x", egress=[to_port("Deny", 81), ALLOW]),
        replace(endpoint("a", A), egress=(Tier("t", "Deny", ("x",)),)),
    )
    a = world.bed.containers["a"]
    assert [port for port in (80, 81, 5051) if reaches(a, HOST, port)] == ([5051] if action == "Drop" else [80, 5051])


def test_an_endpoint_may_send_from_the_sources_it_was_given(world):
    """To which no route leads: the kernel's own check of sources must not be in the way, and the answers go elsewhere."""
    a, bed = world.bed.containers["a"], world.bed
    bed.run(a, "ip", "address", "add", "10.77.0.1/32", "dev", "eth0")
    assert not heard_from(world, "10.77.0.1")
    spoofing = replace(endpoint("a", A), sources=(Cidr.parse("10.77.0.0/24"), Cidr.parse("fd77::/64")))
    world.update(spoofing)
    assert heard_from(world, "10.77.0.1")
    assert reaches(a, OUTSIDE, source=A)
    bed.detach(world.plane, "a")
    bed.reports.clear()
    bed.attach(world.plane, "a", A)
    bed.wait_in_force(1, "a")
    bed.run(a, "ip", "address", "add", "10.77.0.1/32", "dev", "eth0")
    wait_until(lambda: heard_from(world, "10.77.0.1"))
    world.update(endpoint("a", A))
    assert not heard_from(world, "10.77.0.1")
    assert not [report for report in bed.reports if isinstance(report, Drift)]


def test_a_restart_leaves_the_sources_as_they_are(world):
    world.bed.run(world.bed.containers["a"], "ip", "address", "add", "10.77.0.1/32", "dev", "eth0")
    spoofing = replace(endpoint("a", A), sources=(Cidr.parse("10.77.0.0/24"),))
    world.update(spoofing)
    world.plane.stop()
    plane = world.bed.plane()
    plane.resync().result(10)
    assert heard_from(world, "10.77.0.1")
    plane.submit(batch(1, profile("p"), spoofing, endpoint("b", B)))
    plane.resync().result(10)
    assert heard_from(world, "10.77.0.1")
    plane.submit((endpoint("a", A), Revision(2)))
    plane.resync().result(10)
    assert not heard_from(world, "10.77.0.1")


def heard_from(world, source):
    """Does the neighbour get a datagram that a sends from there?"""
    with namespace.inside(world.bed.outside):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with namespace.inside(world.bed.containers["a"]):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind((OUTSIDE, 7777))
        receiver.settimeout(BLOCKED_S)
        sender.bind((source, 0))
        sender.sendto(b"?", (OUTSIDE, 7777))
        try:
            return receiver.recvfrom(1)[1][0] == source
        except TimeoutError:
            return False


def test_tunnel_packets_of_a_workload_are_dropped_unless_they_are_allowed(world):
    world.bed.run(world.bed.outside, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
    a = world.bed.containers["a"]
    assert [port for port in (4788, 4789) if hears(a, OUTSIDE, port)] == [4788]
    world.update(HostSettings(vxlan_port=4788))
    assert [port for port in (4788, 4789) if hears(a, OUTSIDE, port)] == [4789]
    world.update(HostSettings(vxlan_from_workloads=True))
    assert hears(a, OUTSIDE, 4789)


def test_a_policy_that_nft_refuses_denies_and_no_other_does(world):
    broken = policy("x", WantedRule("Allow", source=Match(sets=("s:nowhere",))))
    world.plane.submit((broken, policy("y", ALLOW), b(Tier("t", "Deny", ("y",))), Revision(900)))
    world.plane.submit((replace(endpoint("a", A), ingress=(Tier("t", "Deny", ("x",)),)), Revision(901)))
    assert "nft" in world.bed.problem("policy x")
    assert world.ports(80) == [80]
    assert not reaches(world.bed.containers["b"], A)
    world.plane.submit((AddressSet("s:nowhere", frozenset([addr(B)])), Revision(902)))
    world.plane.resync().result(10)
    world.bed.wait(lambda report: report == Problem("policy x", ""))


def test_ping_is_let_in_by_its_type(world):
    world.update(policy("x", DENY), b(Tier("t", "Deny", ("x",))))
    assert not pings(world.bed.containers["a"], B)
    world.update(policy("x", WantedRule("Allow", protocol=1)))
    assert pings(world.bed.containers["a"], B)
