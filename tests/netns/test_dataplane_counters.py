"""What each rule counts, by real packets: exactly the new flows that it decides, and whatever happens to the other rules."""

import itertools
import socket
import subprocess
import sys

import pytest
from dataplane_bed import ALLOW, HOST, OUTSIDE, Bed, batch, endpoint, profile, wait_until

from ocicat.dataplane import counting
from ocicat.dataplane.api import Applied, Drift, Problem
from ocicat.dataplane.ruleset.identity import counter, parse_comment
from ocicat.model.net import Cidr
from ocicat.model.wanted import HostEndpoint, HostSettings, LogLimit, Match, PolicyRules, Revision, Tier, WantedRule
from ocicat.netlink import namespace
from ocicat.netlink.socket import NetfilterSocket

pytestmark = pytest.mark.netns

A, B, A6, B6 = "10.65.0.2", "10.65.0.3", "fd65::2", "fd65::3"
KEY = "/calico/resources/v3/projectcalico.org/"
NP, STAGED = KEY + "networkpolicies/prod/", KEY + "stagednetworkpolicies/prod/"
UDP = 17
DATAGRAM_BYTES = 29  # with one byte in it


def to_ports(action, *ports):
    return WantedRule(action, protocol=UDP, destination=Match(ports=tuple((port, port) for port in ports)))


def policy(name, *rules, egress=(), prefix=NP):
    return PolicyRules(prefix + name, tuple(rules), tuple(egress), prefix == STAGED)


def send(fd, target, port, flows):
    """So many new flows, of a packet each."""
    with namespace.inside(fd):
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(flows)]
    for sock in socks:
        sock.sendto(b"x", (target, port))
    for sock in socks:
        sock.close()


QUIET = """
table ip6 quiet {
    chain in { type filter hook prerouting priority -500; iifname "up0" drop; }
    chain out { type filter hook output priority -500; oifname "up0" drop; }
}
"""


class World:
    """Workloads a and b. What is not said about a's egress and b's ingress is allowed by their profile.

    There is no IPv6 on the way to the outside: the kernel asks for routers and reports groups by itself, and what is denied of that
    counts too. It is dropped before our chains: a second after IPv6 was switched off, the kernel still reports the groups it left.
    """

    def __init__(self):
        self.bed = Bed()
        for fd in (self.bed.host, self.bed.outside):
            self.bed.run(fd, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
        self.bed.nft("-f", "-", text=QUIET)
        self._revisions = itertools.count(1)
        self.messages = {}
        self.plane = self.started()
        for name, addresses in (("a", (A, A6)), ("b", (B, B6))):
            self.bed.attach(self.plane, name, *addresses)
        self.update(profile("p", [ALLOW], [ALLOW]), self.workload("a", (A, A6)), self.workload("b", (B, B6)))

    def started(self):
        plane = self.bed.plane()
        plane.submit(batch(next(self._revisions), *self.messages.values()))
        plane.resync().result(10)
        return plane

    @staticmethod
    def workload(name, addresses, ingress=(), egress=()):
        found = endpoint(name, *addresses)
        return type(found)(found.key, found.interface, found.addresses, found.profiles, ingress, egress)

    def b_asks(self, *tiers):
        return self.workload("b", (B, B6), tiers)

    def update(self, *messages):
        for message in messages:
            self.messages[type(message), getattr(message, "key", ""), getattr(message, "policy_id", "")] = message
        revision = next(self._revisions)
        self.plane.submit((*messages, Revision(revision)))
        self.bed.wait(lambda report: report == Applied(revision))
        assert not [report for report in self.bed.reports if isinstance(report, Problem) and report.text]

    def a_sends_to_b(self, port, flows, target=B):
        send(self.bed.containers["a"], target, port, flows)

    def counts(self):
        """What is not 0, by the counters' words. Both ways of reading say the same."""
        with NetfilterSocket(self.bed.host) as sock:
            found = counting.read(sock)
        assert found is not None
        return {counter(each.decider).comment: each.packets for each in found if each.packets}

    def wait_for(self, expected):
        """... beside what a's profile lets out."""
        left_out = ("profile p egress",)

        def found():
            return {name: count for name, count in self.counts().items() if not name.startswith(left_out)}

        try:
            wait_until(lambda: found() == expected)
        except AssertionError:
            assert found() == expected
            raise


@pytest.fixture
def world():
    made = World()
    yield made
    made.bed.close()


ENFORCED = policy("web", to_ports("Deny", 1), to_ports("Allow", 2, 3), to_ports("Pass", 4), to_ports("Log", 5, 6))
LISTED = Tier("t", "Deny", (NP + "web",))


def test_each_new_flow_counts_once_at_the_rule_that_decides_it(world):
    world.update(
        ENFORCED, policy("last", to_ports("Allow", 6)), profile("p", [to_ports("Deny", 7), to_ports("Allow", 4)])
    )
    world.update(world.b_asks(Tier("t", "Deny", (NP + "web", NP + "last"))))
    for port, flows in ((1, 10), (2, 7), (3, 5), (4, 4), (5, 3), (6, 2), (9, 6)):
        world.a_sends_to_b(port, flows)
        world.a_sends_to_b(port, flows, B6)
    world.wait_for(
        {
            "policy np/prod/web ingress normal 0 Deny": 20,
            "policy np/prod/web ingress normal 1 Allow": 24,
            "policy np/prod/web ingress normal 2 Pass": 8,
            "policy np/prod/web ingress normal 3 Log": 10,
            "policy np/prod/last ingress normal 0 Allow": 4,
            "tier t ingress normal end Deny": 6 + 12,
            "profile p ingress normal 1 Allow": 8,
        }
    )


def test_bytes_are_counted(world):
    world.update(ENFORCED, world.b_asks(LISTED))
    world.a_sends_to_b(1, 5)
    with NetfilterSocket(world.bed.host) as sock:
        wait_until(lambda: any(each.packets == 5 for each in counting.read(sock)))
        (found,) = [each for each in counting.read(sock) if each.decider.owner == "policy" and each.packets]
    assert (found.decider.name, found.decider.index, found.bytes) == ("np/prod/web", 0, 5 * DATAGRAM_BYTES)


def test_what_is_established_is_not_counted_again(world):
    world.update(ENFORCED, world.b_asks(LISTED))
    with namespace.inside(world.bed.containers["b"]):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with namespace.inside(world.bed.containers["a"]):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.bind((B, 2))
        server.settimeout(5)
        client.settimeout(5)
        for _ in range(20):
            client.sendto(b"x", (B, 2))
            server.sendto(b"y", server.recvfrom(1)[1])
            assert client.recv(1) == b"y"
    world.wait_for({"policy np/prod/web ingress normal 1 Allow": 1})


def test_egress_profiles_and_what_no_profile_allows(world):
    out = policy("out", egress=[to_ports("Deny", 1), to_ports("Pass", 2)])
    world.update(out, profile("p", [to_ports("Allow", 2), to_ports("Pass", 3)], [to_ports("Allow", 2, 3)]))
    world.update(world.workload("a", (A, A6), (), (Tier("t", "Pass", (NP + "out",)),)))
    for port, flows in ((1, 3), (2, 4), (3, 5), (4, 6)):
        world.a_sends_to_b(port, flows)
    wait_until(lambda: world.counts().get("profiles - egress normal end Deny") == 6)
    assert world.counts() == {
        "policy np/prod/out egress normal 0 Deny": 3,
        "policy np/prod/out egress normal 1 Pass": 4,
        "tier t egress normal end Pass": 5 + 6,
        "profile p egress normal 0 Allow": 4 + 5,
        "profile p ingress normal 0 Allow": 4,
        "profile p ingress normal 1 Pass": 5,
        "profiles - ingress normal end Deny": 5,
        "profiles - egress normal end Deny": 6,
    }


@pytest.mark.parametrize("action", ["Allow", "Deny", "Pass"])
@pytest.mark.parametrize("ends", ["Deny", "Pass"])
def test_a_staged_rule_counts_and_changes_nothing(world, action, ends):
    """What it names is denied by the policy behind it or passed by the tier's end, as if it were not there."""
    staged = policy("s", to_ports(action, 1), to_ports("Log", 1, 2), to_ports("Deny", 2), prefix=STAGED)
    world.update(staged, policy("web", to_ports("Deny", 1, 3)))
    world.update(world.b_asks(Tier("t", ends, (STAGED + "s", NP + "web"))))
    for port, flows in ((1, 3), (2, 4), (3, 5)):
        world.a_sends_to_b(port, flows)
    passed = {"profile p ingress normal 0 Allow": 4} if ends == "Pass" else {}
    world.wait_for(
        {
            f"policy snp/prod/s ingress normal 0 {action}": 3,
            "policy snp/prod/s ingress normal 1 Log": 4,
            "policy snp/prod/s ingress normal 2 Deny": 4,
            "policy np/prod/web ingress normal 0 Deny": 3 + 5,
            f"tier t ingress normal end {ends}": 4,
            **passed,
        }
    )


@pytest.mark.parametrize("action", ["Allow", "Deny"])
def test_a_staged_policy_alone_in_its_tier_lets_pass(world, action):
    world.update(policy("s", to_ports(action, 1), prefix=STAGED), profile("p", [to_ports("Allow", 1)]))
    world.update(world.b_asks(Tier("t", "Pass", (STAGED + "s",))))
    world.a_sends_to_b(1, 3)
    world.wait_for(
        {
            f"policy snp/prod/s ingress normal 0 {action}": 3,
            "tier t ingress normal end Pass": 3,
            "profile p ingress normal 0 Allow": 3,
        }
    )


BEFORE = {"policy np/prod/web ingress normal 0 Deny": 10, "policy np/prod/web ingress normal 1 Allow": 7}


@pytest.fixture
def used(world):
    world.update(ENFORCED, world.b_asks(LISTED))
    world.a_sends_to_b(1, 10)
    world.a_sends_to_b(2, 7)
    world.wait_for(BEFORE)
    return world


def test_counts_survive_an_edit_of_other_rules_and_of_their_own_conditions(used):
    used.update(policy("web", to_ports("Deny", 1, 9), *ENFORCED.ingress[1:3]))
    used.a_sends_to_b(9, 5)
    used.wait_for({**BEFORE, "policy np/prod/web ingress normal 0 Deny": 15})
    used.update(policy("web", to_ports("Allow", 1), *ENFORCED.ingress[1:]))
    used.a_sends_to_b(1, 1)
    wait_until(lambda: "policy np/prod/web ingress normal 0 Allow" in used.counts())
    used.plane.resync().result(10)
    used.wait_for({"policy np/prod/web ingress normal 0 Allow": 1, "policy np/prod/web ingress normal 1 Allow": 7})


def test_counters_go_with_their_rules(used):
    used.update(used.b_asks())
    used.plane.resync().result(10)
    wait_until(lambda: used.counts() == {"profile p egress normal 0 Allow": 17})
    assert "np/prod/web" not in used.bed.nft("list", "counters")


def test_counts_survive_a_restart(used):
    used.plane.stop()
    used.a_sends_to_b(1, 1)
    used.plane = used.started()
    used.a_sends_to_b(1, 1)
    used.wait_for({**BEFORE, "policy np/prod/web ingress normal 0 Deny": 12})


def test_flow_logs_and_what_log_rules_write_change_no_count(used):
    used.update(HostSettings(flow_logs=True, log_limit=LogLimit(1, "day", 2)))
    assert "limit rate 1/day burst 2 packets log prefix" in used.bed.nft("list", "table", "inet", "ocicat")
    used.a_sends_to_b(1, 1)
    used.a_sends_to_b(5, 9)
    used.wait_for(
        {
            **BEFORE,
            "policy np/prod/web ingress normal 0 Deny": 11,
            "policy np/prod/web ingress normal 3 Log": 9,
            "tier t ingress normal end Deny": 9,
        }
    )


def name_of(comment):
    return counter(parse_comment(comment)).name


DENIED = name_of("policy np/prod/web ingress normal 0 Deny")


def test_a_counter_that_another_hand_deletes_comes_back_and_the_others_go_on(used):
    chain = (
        used.bed.nft("list", "table", "inet", "ocicat").partition(f'counter name "{DENIED}"')[0].rsplit("chain ", 1)[1]
    )
    used.bed.reports.clear()
    used.bed.nft("-f", "-", text=f"flush chain inet ocicat {chain.split()[0]}\ndelete counter inet ocicat {DENIED}\n")
    told = used.bed.wait(lambda report: isinstance(report, Drift))
    assert f"counter {DENIED}" in told.what
    used.a_sends_to_b(1, 2)
    used.wait_for({**BEFORE, "policy np/prod/web ingress normal 0 Deny": 2})


def test_one_that_another_hand_resets_counts_from_there(used):
    used.bed.nft("reset", "counter", "inet", "ocicat", DENIED)
    used.a_sends_to_b(1, 2)
    used.wait_for({**BEFORE, "policy np/prod/web ingress normal 0 Deny": 2})


def test_counters_of_others_in_our_table_are_swept_and_not_taken_for_ours(used):
    used.bed.nft(
        "-f",
        "-",
        text='table inet ocicat {\ncounter c-0 { comment "tier t ingress normal end Deny"; packets 7 bytes 9; }\n}\n',
    )
    used.wait_for(BEFORE)
    wait_until(lambda: "counter c-0 {" not in used.bed.nft("list", "counters"))


def test_what_was_counted_goes_into_a_table_that_must_be_made_anew(used):
    used.plane.stop()
    table = used.bed.nft("list", "table", "inet", "ocicat")
    moved = table.replace("hook forward priority filter;", "hook forward priority filter - 3;")
    assert moved != table
    used.bed.nft("-f", "-", text=f"delete table inet ocicat\n{moved}")
    used.plane = used.started()
    assert "priority filter - 3" not in used.bed.nft("list", "table", "inet", "ocicat")
    used.a_sends_to_b(1, 1)
    used.wait_for({**BEFORE, "policy np/prod/web ingress normal 0 Deny": 11})


def test_every_hook_of_a_host_endpoint_counts(world):
    """Packets from outside: to the host, and through it to a workload."""
    one = WantedRule("Allow", protocol=UDP, source=Match(nets=(Cidr.parse(f"{OUTSIDE}/32"),)))
    before = [WantedRule("Pass", protocol=UDP), one]
    named = {name: policy(name, *rules) for name, rules in (("u", before), ("d", before), ("n", [one]), ("f", [one]))}
    world.update(*named.values())
    lists = {name: (Tier("t", "Deny" if name in "nf" else "Pass", (NP + name,)),) for name in "udnf"}
    world.update(HostEndpoint("/h", "up0", (), lists["n"], (), lists["f"], (), lists["u"], (), lists["d"]))
    send(world.bed.outside, HOST, 1, 3)
    send(world.bed.outside, B, 1, 4)
    world.wait_for(
        {
            "policy np/prod/u ingress untracked 0 Pass": 7,
            "policy np/prod/d ingress pre-dnat 0 Pass": 7,
            "policy np/prod/n ingress normal 0 Allow": 3,
            "policy np/prod/f ingress normal 0 Allow": 4,
            "profile p ingress normal 0 Allow": 4,
        }
    )


def test_staged_policy_before_routing_counts_and_changes_nothing(world):
    staged = policy("s", to_ports("Allow", 1), to_ports("Deny", 2), prefix=STAGED)
    world.update(staged, policy("n", to_ports("Deny", 1), WantedRule("Allow", protocol=UDP)))
    asked = (Tier("t", "Pass", (STAGED + "s",)),)
    world.update(
        HostEndpoint("/h", "up0", (), (Tier("t", "Deny", (NP + "n",)),), untracked_ingress=asked, pre_dnat=asked)
    )
    send(world.bed.outside, HOST, 1, 3)
    send(world.bed.outside, HOST, 2, 4)
    world.wait_for(
        {
            "policy snp/prod/s ingress untracked 0 Allow": 3,
            "policy snp/prod/s ingress untracked 1 Deny": 4,
            "policy snp/prod/s ingress pre-dnat 0 Allow": 3,
            "policy snp/prod/s ingress pre-dnat 1 Deny": 4,
            "policy np/prod/n ingress normal 0 Deny": 3,
            "policy np/prod/n ingress normal 1 Allow": 4,
        }
    )


def told(fd, *words):
    program = "from ocicat.cli.main import main; main()"
    return Bed.run(fd, sys.executable, "-c", program, "counters", *words)


def test_the_command_line_tells_them_with_and_without_an_agent(used):
    lines = told(used.bed.host, "prod/web", "-o", "wide").splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["networkpolicy/prod/web", "ingress", "0", "Deny", "10", "290", "normal", "no"],
        ["networkpolicy/prod/web", "ingress", "1", "Allow", "7", "203", "normal", "no"],
        ["networkpolicy/prod/web", "ingress", "2", "Pass", "0", "0", "normal", "no"],
        ["networkpolicy/prod/web", "ingress", "3", "Log", "0", "0", "normal", "no"],
    ]
    used.plane.stop()
    assert told(used.bed.host, "prod/web", "-o", "wide").splitlines() == lines
    with pytest.raises(subprocess.CalledProcessError) as error:
        told(used.bed.outside)
    assert error.value.returncode == 5


def test_there_is_nothing_to_read_without_a_table():
    with NetfilterSocket(namespace.unnamed()) as sock:
        assert counting.read(sock) is None
