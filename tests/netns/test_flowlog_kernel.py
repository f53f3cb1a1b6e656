"""Flow logs by real packets: who, which rule, what it did; both directions, both families; and what a burst loses is counted."""

import itertools
import json
import logging
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from dataplane_bed import (
    ALLOW,
    DENY,
    OUTSIDE,
    OUTSIDE6,
    Bed,
    addr,
    batch,
    endpoint,
    hears,
    members,
    pings,
    profile,
    reaches,
    wait_until,
)

from ocicat.agent.flowlog import file, reader
from ocicat.agent.flowlog.reader import Reader
from ocicat.clock import SystemClock
from ocicat.dataplane.ruleset.identity import parse_prefix
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import HostEndpoint, HostSettings, Match, PolicyRules, Revision, Tier, WantedRule
from ocicat.netlink import namespace
from ocicat.netlink.nflog import NflogSocket
from ocicat.policy import HostInterface

pytestmark = pytest.mark.netns

A, B, A6, B6 = "10.65.0.2", "10.65.0.3", "fd00:65::2", "fd00:65::3"
HEP = KINDS["HostEndpoint"].prefix() + "h1-up0"
WEB, BASE = KINDS["NetworkPolicy"].prefix() + "shop/web", KINDS["GlobalNetworkPolicy"].prefix() + "base"
NEXT = KINDS["StagedNetworkPolicy"].prefix() + "shop/next"
PASS, LOG = WantedRule("Pass"), WantedRule("Log")


def to_port(action, port, protocol=6):
    return WantedRule(action, protocol=protocol, destination=Match(ports=((port, port),)))


class World:
    """Workloads a and b, and a reader of this host's flow log; a may send anything."""

    def __init__(self, **settings):
        self.bed = Bed()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "flows.log"
        self.plane = self.bed.plane()
        self._revisions = itertools.count(2)
        self._a, self._b = endpoint("a", A, A6), endpoint("b", B, B6)
        self.plane.submit(batch(1, HostSettings(flow_logs=True), profile("p"), self._a, self._b))
        self.bed.attach(self.plane, "a", A, A6)
        self.bed.attach(self.plane, "b", B, B6)
        self.bed.wait_in_force(1, "a", "b")
        self.reader = self.read(**settings)

    def read(self, **settings):
        """A reader that knows everybody."""
        usual = {"interval_s": 0.1, "decider": self.decider, "tier_of": lambda name: "default"}
        with namespace.inside(self.bed.host):
            made = Reader(self.path, "h1", SystemClock(), **usual | settings)
            for name, *held in (("a", A, A6), ("b", B, B6)):
                key, addresses = keys.workload("shop", name), tuple(map(addr, held))
                made.change(lambda parties, key=key, addresses=addresses: parties.set(key, {}, addresses))
            made.change(lambda parties: parties.set(HEP, {}, ()))
            made.change(lambda parties: parties.governs("up0", HEP))
            made.change(lambda parties: parties.interfaces([HostInterface("h1", "up0", (addr("10.0.0.1"),))]))
            made.start()
            bound = "/proc/thread-self/net/netfilter/nfnetlink_log"
            wait_until(lambda: len(Path(bound).read_text().splitlines()) == 2)
        return made

    def decider(self, prefix):
        return self.plane.deciders.get(prefix) or parse_prefix(prefix)

    def close(self):
        self.reader.stop()
        self.bed.close()
        self.directory.cleanup()

    def update(self, *messages):
        self.plane.submit((*messages, Revision(next(self._revisions))))
        self.plane.resync().result(10)

    def police(self, *tiers, profiles=("p",), egress=()):
        self.update(replace(self._b, ingress=tiers, profiles=profiles), replace(self._a, egress=egress))

    def lines(self):
        return [json.loads(line) for one in file.written(self.path) for line in one.read_bytes().splitlines()]

    def flows(self, **wanted):
        return [one for one in self.lines() if wanted.items() <= one.items()]

    def flow(self, **wanted):
        """The one that is so, when it is there."""
        wait_until(lambda: self.flows(**wanted))
        (found,) = self.flows(**wanted)
        return found

    def a(self, call, *words):
        return call(self.bed.containers["a"], *words)


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def rules(trace):
    return [(hit["kind"], hit["name"], hit["rule_index"], hit["action"]) for hit in trace]


@pytest.mark.parametrize(("source", "target"), [(A, B), (A6, B6)])
def test_both_ends_tell_of_an_allowed_connection(world, source, target):
    world.update(PolicyRules(WEB, (to_port("Deny", 81), to_port("Allow", 80)), ()))
    world.police(Tier("default", "Deny", (WEB,)))
    assert world.a(reaches, target, 80)
    dst = world.flow(reporter="dst", dest_port=80)
    src = world.flow(reporter="src", dest_port=80)
    for one in (dst, src):
        assert (one["source_namespace"], one["source_name"], one["source_ips"]) == ("shop", "a", [source])
        assert (one["dest_namespace"], one["dest_name"], one["dest_ips"]) == ("shop", "b", [target])
        assert (one["proto"], one["action"], one["num_flows_started"], one["packets"]) == ("tcp", "allow", 1, 1)
        assert one["source_type"] == one["dest_type"] == "wep"
    assert rules(dst["policies"]["enforced"]) == [("NetworkPolicy", "web", 1, "allow")]
    assert rules(src["policies"]["enforced"]) == [("Profile", "p", 0, "allow")]


def test_everything_that_denies(world):
    world.update(
        PolicyRules(WEB, (to_port("Deny", 81), to_port("Pass", 82), to_port("Pass", 83)), ()),
        profile("q", [to_port("Deny", 82)]),
    )
    world.police(Tier("default", "Deny", (WEB,)), profiles=("q",))
    for port in (80, 81, 82, 83):
        assert not world.a(reaches, B, port)
    found = {port: world.flow(reporter="dst", dest_port=port) for port in (80, 81, 82, 83)}
    assert {one["action"] for one in found.values()} == {"deny"}
    passed = [("NetworkPolicy", "web", 1, "pass"), ("NetworkPolicy", "web", 2, "pass")]
    assert {port: rules(one["policies"]["enforced"]) for port, one in found.items()} == {
        80: [("EndOfTier", "", -1, "deny")],
        81: [("NetworkPolicy", "web", 0, "deny")],
        82: [passed[0], ("Profile", "q", 0, "deny")],
        83: [passed[1], ("Profile", "__NO_MATCH__", -1, "deny")],
    }
    assert found[80]["policies"]["enforced"][0]["tier"] == "default"


@pytest.mark.parametrize(("verdict", "reached"), [("Allow", True), ("Deny", False)])
def test_staged_policies_tell_what_they_would_do(world, verdict, reached):
    would = "Deny" if verdict == "Allow" else "Allow"
    world.update(
        PolicyRules(NEXT, (to_port(would, 80),), (), staged=True), PolicyRules(WEB, (WantedRule(verdict),), ())
    )
    world.police(Tier("default", "Deny", (NEXT, WEB)))
    assert world.a(reaches, B, 80) == reached
    one = world.flow(reporter="dst", dest_port=80)
    assert rules(one["policies"]["enforced"]) == [("NetworkPolicy", "web", 0, verdict.lower())]
    assert rules(one["policies"]["pending"]) == [("StagedNetworkPolicy", "next", 0, would.lower())]
    assert one["action"] == verdict.lower()


def test_a_policy_with_a_name_that_no_prefix_can_hold(world):
    name = "a-policy-with-a-rather-long-name-" * 5 + "end"
    key = KINDS["NetworkPolicy"].prefix() + "a-namespace-with-a-long-name/" + name
    world.update(PolicyRules(key, (to_port("Allow", 80),), ()))
    world.police(Tier("default", "Deny", (key,)))
    assert world.a(reaches, B, 80)
    one = world.flow(reporter="dst", dest_port=80)
    assert rules(one["policies"]["enforced"]) == [("NetworkPolicy", name, 0, "allow")]
    assert one["policies"]["enforced"][0]["namespace"] == "a-namespace-with-a-long-name"


def test_rules_of_a_list_that_became_a_lookup_have_their_names_too(world):
    count = 40
    policies = [KINDS["GlobalNetworkPolicy"].prefix() + f"p{number}" for number in range(count)]
    sources = [members(f"x{number}", A if number >= 30 else f"10.99.0.{number + 1}") for number in range(count)]
    actions = ["Deny" if number % 2 else "Allow" for number in range(count)]
    asked = [
        replace(to_port(actions[number], 1000 + number), source=Match(sets=(f"s:x{number}",)))
        for number in range(count)
    ]
    world.update(
        *sources,
        *(PolicyRules(policy, (rule,), ()) for policy, rule in zip(policies, asked, strict=True)),
        PolicyRules(NEXT, (to_port("Deny", 1038),), (), staged=True),
    )
    world.police(Tier("default", "Deny", (*policies[:20], NEXT, *policies[20:])))
    assert [port for port in (1010, 1038, 1039) if world.a(reaches, B, port)] == [1038]
    found = {port: world.flow(reporter="dst", dest_port=port)["policies"] for port in (1010, 1038, 1039)}
    assert {port: rules(one["enforced"]) for port, one in found.items()} == {
        1010: [("EndOfTier", "", -1, "deny")],
        1038: [("GlobalNetworkPolicy", "p38", 0, "allow")],
        1039: [("GlobalNetworkPolicy", "p39", 0, "deny")],
    }
    assert rules(found[1038]["pending"]) == [("StagedNetworkPolicy", "next", 0, "deny")]


def test_log_rules_are_told_as_what_they_are(world):
    world.update(PolicyRules(WEB, (LOG, to_port("Allow", 80)), ()))
    world.police(Tier("default", "Deny", (WEB,)))
    assert world.a(reaches, B, 80)
    one = world.flow(reporter="dst", dest_port=80)
    assert rules(one["policies"]["enforced"]) == [
        ("NetworkPolicy", "web", 0, "log"),
        ("NetworkPolicy", "web", 1, "allow"),
    ]


def test_egress_denials_have_no_other_end(world):
    world.update(PolicyRules(BASE, (), (to_port("Deny", 80), to_port("Allow", 81))))
    world.police(egress=(Tier("default", "Deny", (BASE,)),))
    assert not world.a(reaches, B, 80)
    world.a(reaches, B, 81)
    one = world.flow(reporter="src", dest_port=80)
    assert rules(one["policies"]["enforced"]) == [("GlobalNetworkPolicy", "base", 0, "deny")]
    world.flow(reporter="dst", dest_port=81)
    assert world.flows(reporter="dst", dest_port=80) == []


@pytest.mark.parametrize(("target", "proto"), [(OUTSIDE, "icmp"), (OUTSIDE6, "icmpv6")])
def test_an_echo_to_the_rest_of_the_world(world, target, proto):
    wait_until(lambda: world.a(pings, target))  # of IPv6 the first may wait for its neighbour too long
    wait_until(lambda: world.flows(proto=proto))
    one = world.flows(proto=proto)[0]
    assert (one["dest_type"], one["dest_name"], one["dest_ips"], one["dest_port"]) == ("net", "pvt", [target], 0)


def test_a_connection_that_is_tried_again_is_one_connection(world):
    world.police(profiles=())
    with namespace.inside(world.bed.containers["a"]):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        for _ in range(10):
            sock.sendto(b"?", (B, 53))
    wait_until(lambda: sum(one["packets"] for one in world.flows(reporter="dst", dest_port=53)) == 10)
    found = world.flows(reporter="dst", dest_port=53)
    assert sum(one["num_flows_started"] for one in found) == 1
    assert sum(one["bytes"] for one in found) == 10 * 29


def test_the_hosts_own_end_is_its_host_endpoint(world):
    world.update(
        PolicyRules(BASE, (to_port("Allow", 53, protocol=17),), (ALLOW,)),
        HostEndpoint(HEP, "up0", ingress=(Tier("default", "Deny", (BASE,)),)),
    )
    assert hears(world.bed.outside, "10.0.0.1", 53)
    assert not reaches(world.bed.outside, "10.0.0.1", 9999)
    one = world.flow(dest_port=53)
    assert (one["dest_type"], one["dest_namespace"], one["dest_name"], one["action"]) == ("hep", "-", "h1-up0", "allow")
    assert (one["source_type"], one["source_ips"]) == ("net", [OUTSIDE])
    assert world.flow(dest_port=9999)["action"] == "deny"


def test_a_stage_that_leaves_a_packet_to_the_next_is_told_too(world):
    """A staged policy alone at the forward stage of a host endpoint: nothing decides there, and the workload's own policy does."""
    world.update(
        PolicyRules(NEXT, (DENY,), (), staged=True),
        profile("open", [ALLOW]),
        HostEndpoint(HEP, "up0", forward_ingress=(Tier("default", "Pass", (NEXT,)),)),
    )
    world.police(profiles=("open",))
    assert reaches(world.bed.outside, B, 80)
    one = world.flow(dest_port=80, reporter="dst")
    assert one["policies"]["pending"][0]["kind"] == "StagedNetworkPolicy"


def test_what_no_rule_of_the_last_stage_decides_is_told_after_a_while(world):
    """The workload's egress policy allows; behind it the host endpoint has a staged policy only, and the packet leaves."""
    world.update(
        PolicyRules(NEXT, (), (DENY,), staged=True),
        HostEndpoint(HEP, "up0", forward_egress=(Tier("default", "Pass", (NEXT,)),)),
    )
    assert world.a(reaches, OUTSIDE, 80)
    one = world.flow(dest_port=80, action="pass")
    assert rules(one["policies"]["enforced"]) == [("EndOfTier", "", -1, "pass")]
    assert rules(one["policies"]["pending"]) == [("StagedNetworkPolicy", "next", 0, "deny")]
    assert world.flow(dest_port=80, action="allow")["reporter"] == "src"


def test_a_name_that_was_told_just_before_is_known(world):
    world.reader.stop()
    world.reader = world.read(interval_s=1.0)
    world.reader.change(lambda parties: parties.set(keys.workload("shop", "late"), {}, (addr(OUTSIDE),)))
    assert world.a(reaches, OUTSIDE, 80)
    assert world.flow(dest_port=80)["dest_name"] == "late"


def test_nothing_is_told_and_nothing_logs_when_it_is_off(world):
    world.update(HostSettings(flow_logs=False))
    assert " group " not in world.bed.nft("list", "table", "inet", "ocicat")
    world.a(reaches, B, 80)
    world.update(HostSettings(flow_logs=True))
    world.a(reaches, B, 81)
    world.flow(reporter="dst", dest_port=81)
    assert world.flows(dest_port=80) == []


# --- bursts -----------------------------------------------------------------------------------------------------------


def open_many(world, count):
    """So many connections from a to b, each from a port of its own."""
    with namespace.inside(world.bed.containers["a"]):
        for port in range(FIRST_PORT, FIRST_PORT + count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("", port))
                sock.sendto(b"?", (B, 53))


def told(world, **wanted):
    flows = world.flows(type="flow", **wanted)
    lost = world.flows(type="lost")
    return (
        sum(one["num_flows_started"] for one in flows),
        sum(one["packets"] for one in flows),
        sum(one["unread"] + one["uncounted"] for one in lost),
    )


COUNT, FIRST_PORT = 10_000, 20_000


def test_a_burst_of_ten_thousand_connections_is_told_or_counted(world):
    open_many(world, COUNT)
    wait_until(lambda: sum(told(world)[1:]) >= 2 * COUNT)  # src and dst
    connections, packets, lost = told(world)
    assert packets + lost == 2 * COUNT
    assert connections == packets
    assert lost == 0


def test_a_stop_writes_what_has_come_until_then(world):
    world.reader.stop()
    made = world.reader = world.read(interval_s=3600.0)
    open_many(world, 3000)
    made.stop()
    assert told(world)[1:] == (6000, 0)


def test_what_a_small_buffer_loses_is_counted(monkeypatch, caplog):
    monkeypatch.setattr(reader, "NflogSocket", partial(NflogSocket, rcvbuf_bytes=40_000))
    world = World(interval_s=0.5)
    try:
        with caplog.at_level(logging.WARNING):
            open_many(world, COUNT)
            wait_until(lambda: open_many(world, 1) or world.flows(type="lost"))
            world.reader.stop()
        connections, packets, lost = told(world)
        assert 0 < lost < 2 * COUNT
        assert connections <= packets < 2 * COUNT
        assert "packets were not read in time" in caplog.text
    finally:
        world.close()


def test_flows_that_find_no_room_are_counted(monkeypatch):
    monkeypatch.setattr("ocicat.agent.flowlog.flows.MOST_ROWS", 20)
    world = World(interval_s=1.0)
    try:
        with namespace.inside(world.bed.containers["a"]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in range(1000, 1050):
                sock.sendto(b"?", (B, port))
        wait_until(lambda: sum(told(world)[1:]) >= 100)
        assert told(world)[1:] == (20, 80)
    finally:
        world.close()


# --- a reader that has company, or trouble ------------------------------------------------------------------------------


def test_it_waits_for_a_group_that_another_program_reads(world, monkeypatch, caplog):
    monkeypatch.setattr(reader, "_RETRY_S", 0.05)
    world.reader.stop()
    with caplog.at_level(logging.INFO):
        with NflogSocket((1,), world.bed.host):
            with namespace.inside(world.bed.host):
                world.reader = Reader(
                    world.path, "h1", SystemClock(), parse_prefix, lambda name: "", interval_s=0.1
                )  # fmt: skip
                world.reader.start()
            wait_until(lambda: "another program reads it" in caplog.text)
        wait_until(lambda: "solved" in caplog.text)
    assert caplog.text.count("another program reads it") == 1
    world.a(reaches, B, 80)
    world.flow(reporter="src", dest_port=80)


def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(world, caplog):
    world.path.mkdir()
    with caplog.at_level(logging.INFO):
        world.a(reaches, B, 80)
        wait_until(lambda: "cannot write" in caplog.text)
        world.a(reaches, B, 81)
        world.path.rmdir()
        world.a(reaches, B, 82)
        world.flow(reporter="src", dest_port=82)
    assert caplog.text.count("cannot write") == 1
    assert "solved" in caplog.text


def test_the_command_line_shows_it(world):
    world.a(reaches, B, 80)
    world.flow(reporter="src", dest_port=80)
    command = [sys.executable, "-m", "ocicat", "flows", "--file", str(world.path), "--from", "shop/a", "--denied"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(found.splitlines()) == 2
    assert found.splitlines()[1].endswith("no profile")
