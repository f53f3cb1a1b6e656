"""Host endpoints by real packets: between a neighbour, the host and its workload, at every hook."""

import itertools
import re
import socket

import pytest
from dataplane_bed import (
    ALLOW,
    BLOCKED_S,
    DENY,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    Bed,
    batch,
    endpoint,
    flood,
    hears,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import Applied, Problem
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    Match,
    OpenPort,
    PolicyRules,
    Revision,
    Tier,
    WantedRule,
)
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
OPEN = "net.ipv4.icmp_ratelimit=0"


def ports(action, *numbers, protocol=6):
    return WantedRule(action, protocol=protocol, destination=Match(ports=tuple((port, port) for port in numbers)))


def from_ports(action, *numbers, protocol=6):
    return WantedRule(action, protocol=protocol, source=Match(ports=tuple((port, port) for port in numbers)))


def tiers(*names, ends="Deny"):
    return (Tier("t", ends, names),)


class World:
    """Workloads a and b, open to all. Of a policy "x" both directions are given."""

    def __init__(self):
        self.bed = Bed()
        for fd in (self.bed.host, self.bed.outside):
            self.bed.run(fd, "sysctl", "-qw", OPEN)
        self.plane = self.bed.plane()
        self._revisions = itertools.count(2)
        self.plane.submit(batch(1, profile("p", [ALLOW]), endpoint("a", A), endpoint("b", B)))
        self.bed.attach(self.plane, "a", A)
        self.bed.attach(self.plane, "b", B)
        self.bed.wait_in_force(1, "a", "b")

    def update(self, *messages):
        revision = next(self._revisions)
        self.plane.submit((*messages, Revision(revision)))
        self.bed.wait(lambda report: report == Applied(revision))
        assert not [report for report in self.bed.reports if isinstance(report, Problem) and report.text]

    def policies(self, **rules):
        self.update(*(PolicyRules(name, tuple(given), tuple(given)) for name, given in rules.items()))

    def governs(self, interface="up0", **parts):
        self.update(HostEndpoint("/hep", interface, **parts))

    def into_host(self, *numbers):
        return [port for port in numbers if reaches(self.bed.outside, HOST, port)]

    def out_of_host(self, *numbers):
        return [port for port in numbers if reaches(self.bed.host, OUTSIDE, port)]

    def into_a(self, *numbers, target=A):
        return [port for port in numbers if reaches(self.bed.outside, target, port)]

    def out_of_a(self, *numbers, target=OUTSIDE):
        return [port for port in numbers if reaches(self.bed.containers["a"], target, port)]

    def translate(self, hook, rule):
        text = f"table ip nat {{\nchain c {{\ntype nat hook {hook} priority -100;\n{rule}\n}}\n}}\n"
        self.bed.nft("-f", "-", text=text)


@pytest.fixture
def world():
    made = World()
    yield made
    made.bed.close()


def test_a_host_endpoint_without_policy_closes_its_interface_for_the_host_and_not_for_workloads(world):
    assert (world.into_host(80), world.out_of_host(80)) == ([80], [80])
    world.governs()
    assert (world.into_host(80), world.out_of_host(80)) == ([], [])
    assert (world.into_a(80), world.out_of_a(80)) == ([80], [80])
    assert reaches(world.bed.host, A)
    world.update(HostEndpointGone("up0"))
    assert (world.into_host(80), world.out_of_host(80)) == ([80], [80])


def test_a_host_endpoint_asks_its_tiers_and_then_its_profiles(world):
    world.policies(x=[ports("Allow", 80), ports("Deny", 81), ports("Pass", 82)])
    world.update(profile("q", [ports("Allow", 81, 82, 83)], [ports("Allow", 81, 82, 84)]))
    world.governs(ingress=tiers("x", ends="Pass"), egress=tiers("x"), profiles=("q",))
    assert world.into_host(80, 81, 82, 83, 84) == [80, 82, 83]
    assert world.out_of_host(80, 81, 82, 83, 84) == [80, 82]


def test_ipv6_is_governed_too(world):
    wait_until(lambda: reaches(world.bed.outside, HOST6) and reaches(world.bed.host, OUTSIDE6))
    neighbours = WantedRule("Allow", families=(6,), protocol=58)
    world.policies(x=[ports("Allow", 80), neighbours])
    world.governs(ingress=tiers("x"), egress=tiers("x"))
    assert [port for port in (80, 81) if reaches(world.bed.outside, HOST6, port)] == [80]
    assert [port for port in (80, 81) if reaches(world.bed.host, OUTSIDE6, port)] == [80]


def test_failsafe_ports_stay_open(world):
    near, far = Cidr.parse("10.0.0.0/24"), Cidr.parse("192.0.2.0/24")
    world.update(
        HostSettings(
            failsafe_inbound=(OpenPort(6, 22), OpenPort(6, 23, near), OpenPort(6, 24, far), OpenPort(17, 68)),
            failsafe_outbound=(OpenPort(6, 2379), OpenPort(6, 2380, far), OpenPort(17, 53, near)),
        )
    )
    world.governs()
    assert world.into_host(22, 23, 24, 68) == [22, 23]
    assert world.out_of_host(22, 53, 2379, 2380) == [2379]
    assert hears(world.bed.outside, HOST, 68)
    assert hears(world.bed.host, OUTSIDE, 53)
    assert not hears(world.bed.host, OUTSIDE, 54)


def test_forward_policy_decides_for_what_is_forwarded_only(world):
    world.policies(x=[ports("Deny", 80), ALLOW], y=[DENY])
    world.governs(ingress=tiers("y"), egress=tiers("y"), forward_ingress=tiers("x"), forward_egress=tiers("x"))
    assert (world.into_a(80, 81), world.out_of_a(80, 81)) == ([81], [81])
    assert (world.into_host(81), world.out_of_host(81)) == ([], [])
    assert world.out_of_a(80, target=B) == [80]


def test_what_no_tier_of_forward_policy_decides(world):
    world.policies(x=[ports("Allow", 80)])
    world.governs(forward_ingress=tiers("x", ends="Pass"), forward_egress=tiers("x"))
    assert world.into_a(80, 81) == [80, 81]
    assert world.out_of_a(80, 81) == [80]


def test_forward_policy_does_not_stand_for_the_workloads_own(world):
    world.policies(x=[ALLOW])
    world.update(profile("p", [ports("Allow", 80)], [ports("Allow", 80)]))
    world.governs(forward_ingress=tiers("x"), forward_egress=tiers("x"))
    assert (world.into_a(80, 81), world.out_of_a(80, 81)) == ([80], [80])


def test_the_one_for_all_interfaces_governs_what_no_other_does(world):
    world.policies(x=[ports("Allow", 80)], y=[ports("Allow", 81)])
    world.governs("*", ingress=tiers("x"), egress=tiers("x"))
    assert (world.into_host(80, 81), world.out_of_host(80, 81)) == ([80], [80])
    world.governs("up0", ingress=tiers("y"))
    assert (world.into_host(80, 81), world.out_of_host(80, 81)) == ([81], [])
    world.update(HostEndpointGone("up0"))
    assert (world.into_host(80, 81), world.out_of_host(80, 81)) == ([80], [80])
    world.update(HostEndpointGone("*"))
    assert world.into_host(80, 81) == [80, 81]


def test_the_one_for_all_interfaces_governs_forwarded_packets_of_workloads_too_but_not_those_to_their_host(world):
    world.policies(x=[ports("Deny", 80), ALLOW], y=[DENY])
    world.update(HostSettings(endpoint_to_host="Accept"))
    world.governs("*", ingress=tiers("y"), egress=tiers("y"), forward_ingress=tiers("x"))
    assert world.out_of_a(80, 81, target=B) == [81]
    assert world.out_of_a(80, target=HOST) == [80]
    assert reaches(world.bed.host, A, 80)
    world.governs("*", forward_egress=tiers("x"))
    assert world.out_of_a(80, 81, target=B) == [81]
    world.governs("up0")
    assert (world.out_of_a(80, 81), world.into_a(80, 81)) == ([80, 81], [81])


def test_pre_dnat_policy_sees_the_packet_before_it_is_translated(world):
    world.translate("prerouting", f'iifname "up0" tcp dport {{ 8080, 8081 }} dnat to {A}:80')
    assert world.into_a(8080, 8081, target=HOST) == [8080, 8081]
    world.policies(x=[ports("Deny", 8080)])
    world.governs(pre_dnat=tiers("x", ends="Pass"))
    assert world.into_a(8080, 8081, target=HOST) == [8081]


def test_allow_before_translation_stands_for_ingress_and_forward_ingress_and_for_nothing_else(world):
    world.translate("prerouting", f'iifname "up0" tcp dport {{ 8080, 8081 }} dnat to {A}:80')
    world.policies(x=[ports("Allow", 22, 8080)], y=[DENY])
    world.governs(pre_dnat=tiers("x", ends="Pass"), ingress=tiers("y"), egress=tiers("y"), forward_ingress=tiers("y"))
    assert world.into_a(8080, 8081, target=HOST) == [8080]
    assert world.into_host(22, 23) == [22]
    assert world.out_of_host(22) == []
    world.update(profile("p", [ports("Allow", 81)]))
    assert world.into_a(8080, target=HOST) == []
    world.update(profile("p", [ALLOW]))
    world.governs(pre_dnat=tiers("x", ends="Pass"), forward_egress=tiers("y"))
    assert world.into_a(8080, target=HOST) == [8080]


def test_pre_dnat_policy_for_all_interfaces_is_for_workloads_too_and_not_for_an_interface_with_its_own(world):
    world.policies(x=[ports("Deny", 80)])
    world.governs("*", pre_dnat=tiers("x", ends="Pass"), profiles=("p",))
    assert (world.out_of_a(80, 81, target=B), world.into_host(80, 81)) == ([81], [81])
    world.governs("up0", profiles=("p",))
    assert (world.out_of_a(80, 81, target=B), world.into_host(80, 81)) == ([81], [80, 81])


def test_a_failsafe_port_is_not_closed_before_translation(world):
    world.policies(x=[DENY])
    world.update(HostSettings(failsafe_inbound=(OpenPort(6, 22),), failsafe_outbound=(OpenPort(6, 2379),)))
    world.governs(pre_dnat=tiers("x", ends="Pass"), profiles=("p",))
    assert world.into_host(22, 23) == [22]
    world.governs(untracked_ingress=tiers("x", ends="Pass"), untracked_egress=tiers("x", ends="Pass"), profiles=("p",))
    assert world.into_host(22, 23) == [22]
    assert world.out_of_host(22, 2379) == [2379]


def test_untracked_policy_keeps_flows_from_conntrack(world):
    world.policies(x=[ports("Allow", 7000), from_ports("Allow", 7000)], y=[DENY])
    world.governs(
        untracked_ingress=tiers("x", ends="Pass"),
        untracked_egress=tiers("x", ends="Pass"),
        ingress=tiers("y"),
        egress=tiers("y"),
        forward_ingress=tiers("y"),
    )
    assert (world.into_host(7000, 7001), world.out_of_host(7000, 7001)) == ([7000], [7000])
    assert not tracked(world, world.bed.host, HOST, world.bed.outside)
    assert not tracked(world, world.bed.outside, OUTSIDE, world.bed.host)
    world.governs(profiles=("p",))
    assert tracked(world, world.bed.host, HOST, world.bed.outside)
    assert tracked(world, world.bed.outside, OUTSIDE, world.bed.host)


def tracked(world, server, address, client):
    """Does the host's conntrack know of a connection to port 7000 that is open?"""
    with namespace.inside(server):
        listener = socket.create_server((address, 7000))
    with namespace.inside(client):
        peer = socket.socket()
    with listener, peer:
        peer.settimeout(5)
        peer.connect((address, 7000))
        flows = world.bed.run(world.bed.host, "conntrack", "-L")
        return any("dport=7000 " in line and f"dst={address} " in line for line in flows.splitlines())


def test_untracked_policy_stands_for_no_workloads_policy(world):
    """One way only: an answer that conntrack has not seen the question of is invalid, and a workload's is dropped."""
    world.policies(x=[ports("Allow", 7000, protocol=17)], y=[DENY])
    parts = {"untracked_ingress": tiers("x", ends="Pass"), "forward_ingress": tiers("y")}
    with namespace.inside(world.bed.containers["a"]):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((A, 7000))
        sock.settimeout(BLOCKED_S)
        world.governs(**parts)
        assert received(world, sock)
        world.governs(forward_ingress=tiers("y"))
        assert not received(world, sock)
        world.governs(**parts)
        world.update(profile("p", [ports("Deny", 7000, protocol=17), ALLOW]))
        assert not received(world, sock)


def received(world, sock):
    with namespace.inside(world.bed.outside):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.sendto(b"?", (A, 7000))
    try:
        return sock.recv(1) == b"?"
    except TimeoutError:
        return False


def test_untracked_policy_denies(world):
    world.policies(x=[ports("Deny", 80)])
    world.governs(untracked_ingress=tiers("x", ends="Pass"), untracked_egress=tiers("x", ends="Pass"), profiles=("p",))
    assert world.into_host(80, 81) == [81]
    assert world.out_of_host(80, 81) == [81]
    assert world.into_a(80, 81) == [81]


def test_nobody_else_can_say_that_a_packet_was_allowed(world):
    marking = "table inet theirs {\n" + "".join(
        f"chain {hook} {{\ntype filter hook {hook} priority -310;\nmeta mark set 0xffffffff\n}}\n"
        for hook in ("prerouting", "output")
    )
    world.bed.nft("-f", "-", text=marking + "}\n")
    world.policies(x=[ports("Allow", 80)], y=[DENY])
    world.governs(pre_dnat=tiers("x", ends="Pass"), forward_ingress=tiers("y"))
    assert (world.into_host(80, 81), world.into_a(80, 81), world.out_of_host(80)) == ([80], [80], [])


def test_the_mark_that_says_allowed_is_the_operators(world):
    """The one configured is somebody else's then, and says nothing."""
    world.policies(x=[ports("Allow", 80)], y=[DENY])
    world.governs(pre_dnat=tiers("x", ends="Pass"), ingress=tiers("y"), forward_ingress=tiers("y"))
    chain = "chain c {\ntype filter hook prerouting priority -100;\nmeta mark set meta mark | 0x10000000\n}\n"
    world.bed.nft("-f", "-", text=f"table inet theirs {{\n{chain}}}\n")
    assert (world.into_host(80, 81), world.into_a(80, 81)) == ([80, 81], [80, 81])
    world.update(HostSettings(mark=0x40))
    assert (world.into_host(80, 81), world.into_a(80, 81)) == ([80], [80])


def marking(hooks, early, late):
    """Somebody who marks new packets with all bits before us, and counts after us which are left."""
    chains = [
        f"chain {hook}-early {{\ntype filter hook {hook} priority {early};\nct state new meta mark set 0xffffffff\n}}\n"
        f"chain {hook}-late {{\ntype filter hook {hook} priority {late};\n"
        f'ct state new meta mark 0xefffffff counter comment "{hook} cleared"\n'
        f'ct state new meta mark & 0x10000000 != 0 counter comment "{hook} left"\n}}\n'
        for hook in hooks
    ]
    return f"table inet theirs {{\n{''.join(chains)}}}\n"


def test_egress_policy_takes_no_mark_of_others_for_an_allow_and_leaves_them_all_bits_but_its_own(world):
    world.policies(x=[ports("Allow", 80)])
    world.update(HostSettings(endpoint_to_host="Accept"), profile("p", [ALLOW], [ports("Allow", 80)]))
    world.governs(egress=tiers("x"), ingress=tiers("x"), forward_egress=tiers("x", ends="Pass"))
    world.bed.nft("-f", "-", text=marking(("forward", "input", "output"), -10, 300))
    assert world.out_of_a(80, 81) == [80]
    assert world.out_of_a(80, 81, target=B) == [80]
    assert world.out_of_a(80, 81, target=HOST) == [80]
    assert world.out_of_host(80, 81) == [80]
    for line in world.bed.nft("list", "table", "inet", "theirs").splitlines():
        if "counter" in line:
            assert ("packets 0" in line) == ("left" in line), line


def test_what_the_host_sends_to_a_translated_address_is_policed_as_translated(world):
    world.translate("output", f"tcp dport {{ 90, 91 }} dnat to {OUTSIDE}:80")
    world.policies(x=[ports("Allow", 80, 91)])
    world.governs(egress=tiers("x"))
    for port in (90, 91):
        assert reaches(world.bed.host, "10.0.0.77", port)
    world.policies(x=[ports("Allow", 91)])
    for port in (90, 91):
        assert not reaches(world.bed.host, "10.0.0.77", port)
    world.policies(x=[DENY])
    world.bed.nft("flush", "ruleset")
    world.plane.resync().result(10)
    world.translate("output", f"tcp dport 90 dnat to {A}:80")
    assert reaches(world.bed.host, "10.0.0.77", 90)  # one of its own workloads


def base_chains(world):
    return set(re.findall(r"chain (\S+) \{\n\t\ttype", world.bed.nft("list", "table", "inet", "ocicat")))


def test_stages_come_with_the_first_host_endpoint_and_go_with_the_last_and_no_packet_is_lost(world):
    world.policies(x=[ALLOW], u=[ports("Allow", 99)])
    workloads = base_chains(world)
    parts = {each: tiers("x") for each in ("ingress", "egress", "forward_ingress", "forward_egress", "pre_dnat")}
    with flood(world.bed.outside, A, 500) as ping:
        world.governs(**parts, untracked_ingress=tiers("u", ends="Pass"))
        assert base_chains(world) - workloads == {
            "prerouting",
            "pre-dnat",
            "forward-host-in",
            "forward-host-out",
            "untracked-out",
            "postrouting",
        }
        assert (world.into_host(80), world.into_a(80), world.out_of_a(80)) == ([80], [80], [80])
        world.update(HostEndpointGone("up0"))
        assert (world.into_host(80), world.into_a(80), world.out_of_a(80)) == ([80], [80], [80])
        wait_until(lambda: base_chains(world) == workloads)
    assert ping.lost == 0


def test_a_host_endpoint_that_changes_loses_no_packet_of_a_flow_that_stays_allowed(world):
    world.policies(x=[ALLOW])
    world.governs(ingress=tiers("x"), egress=tiers("x"))
    one, two = (
        HostEndpoint("/hep", "up0", ingress=tiers("x"), egress=tiers("x")),
        HostEndpoint("/hep", "*", profiles=("p",)),
    )
    for _ in range(5):
        world.update(replace(two, forward_ingress=tiers("x")), HostEndpointGone("up0"))
        assert world.into_host(80) == [80]
        world.update(one, HostEndpointGone("*"))
        assert world.into_host(80) == [80]


def in_force(world):
    """All of the table, word by word: the kernel lists elements in an order of its own."""
    return sorted(world.bed.nft("-s", "list", "table", "inet", "ocicat").split())


def started_again(world):
    """Another life of the dataplane, which nobody has told anything yet: it has read the kernel twice, and passed twice."""
    world.plane.stop()
    world.bed.reports.clear()
    world.plane = world.bed.plane()
    for _ in range(2):
        world.plane.resync().result(10)


def test_a_restart_leaves_host_endpoints_and_settings_in_force_until_the_state_is_complete(world):
    governed = (
        HostSettings(endpoint_to_host="Accept", failsafe_inbound=(OpenPort(6, 22),), vxlan_from_workloads=True),
        PolicyRules("x", (ports("Allow", 80),), (ports("Allow", 80),)),
        PolicyRules("u", (ports("Deny", 82),), (ports("Deny", 82),)),
        HostEndpoint(
            "/hep",
            "up0",
            ingress=tiers("x"),
            egress=tiers("x"),
            forward_ingress=tiers("x"),
            forward_egress=tiers("x"),
            untracked_ingress=tiers("u", ends="Pass"),
            pre_dnat=tiers("u", ends="Pass"),
        ),
    )
    world.update(*governed)
    world.plane.resync().result(10)
    before, generation = in_force(world), world.bed.generation()

    def passed():
        return (
            world.into_host(22, 80, 81),
            world.out_of_host(80, 81),
            world.into_a(80, 81),
            world.out_of_a(80, target=HOST),
        )

    closed = ([22, 80], [80], [80], [80])
    assert passed() == closed
    started_again(world)
    assert (in_force(world), world.bed.generation()) == (before, generation)
    assert passed() == closed
    workloads = (profile("p", [ALLOW]), endpoint("a", A), endpoint("b", B))
    world.plane.submit(batch(100, *workloads, *governed))
    world.bed.wait_in_force(100, "a", "b")
    world.plane.resync().result(10)
    assert (in_force(world), world.bed.generation()) == (before, generation)
    assert passed() == closed
    started_again(world)
    world.plane.submit(batch(101, *workloads))
    world.bed.wait_in_force(101, "a", "b")
    assert passed() == ([22, 80, 81], [80, 81], [80, 81], [])


def test_before_the_state_is_complete_what_is_missing_is_made_and_all_else_is_mended_then(world):
    world.policies(x=[ports("Allow", 80)])
    world.governs(ingress=tiers("x"), profiles=("p",))
    before = in_force(world)
    world.plane.stop()
    for stage in ("forward", "new-forward"):
        world.bed.nft("flush", "chain", "inet", "ocicat", stage)
    world.bed.nft("insert", "rule", "inet", "ocicat", "input", "tcp", "dport", "81", "accept")
    world.plane = world.bed.plane()
    world.plane.resync().result(10)
    assert in_force(world) == sorted([*before, "tcp", "dport", "81", "accept"])
    assert world.into_host(80, 82) == [80]
    world.plane.submit(
        batch(
            100,
            profile("p", [ALLOW]),
            endpoint("a", A),
            endpoint("b", B),
            PolicyRules("x", (ports("Allow", 80),), (ports("Allow", 80),)),
            HostEndpoint("/hep", "up0", ingress=tiers("x"), profiles=("p",)),
        )
    )
    world.bed.wait_in_force(100, "a", "b")
    world.plane.resync().result(10)
    assert in_force(world) == before
    assert world.into_host(80, 81) == [80]
