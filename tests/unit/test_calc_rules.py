"""Rules as written and as wanted: all that is enforced, and all that must fail closed."""

from __future__ import annotations

import pytest

from ocicat.calc.rules import PeerSet, wanted_rules
from ocicat.model.codec import convert
from ocicat.model.net import Cidr
from ocicat.model.v3.policy import Rule
from ocicat.model.wanted import Icmp, Match, WantedRule
from ocicat.policy.rules import resolve_rule
from ocicat.selector import parse


def scanned(*, namespace="", **fields) -> tuple[WantedRule, dict[str, PeerSet]]:
    sets: dict[str, PeerSet] = {}
    (wanted,) = wanted_rules([resolve_rule(convert(Rule, {"action": "Allow", **fields}), namespace)], sets)
    return wanted, sets


def rule(**fields) -> WantedRule:
    return scanned(**fields)[0]


def test_empty_rule_matches_everything():
    assert rule() == WantedRule("Allow")
    assert rule(action="Deny") == WantedRule("Deny")


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("TCP", 6),
        ("tcp", 6),
        ("Udp", 17),
        ("SCTP", 132),
        ("UDPLite", 136),
        (1, 1),
        (255, 255),
        ("47", 47),
    ],
)
def test_protocol_is_a_number(written, number):
    assert rule(protocol=written).protocol == number


@pytest.mark.parametrize("written", [0, 256, -1, "0", "256", "xyz", "", "6.0", "٦", 10**15])
def test_unknown_protocol_fails_closed(written):
    assert "protocol" in rule(protocol=written).problem


@pytest.mark.parametrize(
    ("fields", "families"),
    [
        ({"ipVersion": 4}, (4,)),
        ({"protocol": "ICMP"}, (4,)),
        ({"protocol": "icmpv6"}, (6,)),
        ({"source": {"nets": ["10.0.0.0/8"]}}, (4,)),
        ({"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}}, (4, 6)),
        ({"source": {"nets": ["10.0.0.0/8"]}, "destination": {"notNets": ["fd00::/8"]}}, ()),
        ({"ipVersion": 6, "protocol": "ICMP"}, ()),
        ({"protocol": "TCP"}, (4, 6)),
    ],
)
def test_families_follow_from_the_parts(fields, families):
    assert rule(**fields).families == families


def test_rule_that_matches_nothing_keeps_its_place():
    written = [{"action": "Deny", "ipVersion": 6, "protocol": "ICMP"}, {"action": "Allow"}]
    wanted = wanted_rules([resolve_rule(convert(Rule, one), "") for one in written], {})
    assert [(one.action, one.families) for one in wanted] == [("Deny", ()), ("Allow", (4, 6))]


def test_nets_are_masked_prefixes():
    wanted = rule(source={"nets": ["10.1.2.3/8", "10.0.0.1"], "notNets": ["10.9.9.9/16"]})
    nets = (Cidr.parse("10.0.0.0/8"), Cidr.parse("10.0.0.1/32"))
    assert wanted.source == Match(nets=nets, not_nets=(Cidr.parse("10.9.0.0/16"),))


@pytest.mark.parametrize("net", ["", "x", "10.0.0.0/33", "10.0.0.0/" + "9" * 5000, "fe80::1%eth0"])
def test_bad_net_fails_closed_and_is_named(net):
    wanted = rule(destination={"nets": [net]})
    assert wanted.problem.startswith("destination: ")


def test_ports_are_ranges():
    wanted = rule(protocol="TCP", source={"ports": [1, "2:3"]}, destination={"ports": ["80", 65535], "notPorts": [7]})
    assert wanted.source == Match(ports=((1, 1), (2, 3)))
    assert wanted.destination == Match(ports=((80, 80), (65535, 65535)), not_ports=((7, 7),))


@pytest.mark.parametrize("port", [65536, -1, "3:2", "1:65536", "1:2:3", "", ":", "1:", "9" * 5000])
def test_bad_ports_fail_closed(port):
    assert rule(protocol="UDP", destination={"ports": [port]}).problem.startswith("destination: ")


@pytest.mark.parametrize("protocol", [None, "ICMP", "UDPLite", 47])
def test_ports_need_a_protocol_that_has_them(protocol):
    assert "ports" in rule(protocol=protocol, source={"ports": [1]}).problem


def test_negations_and_icmp():
    wanted = rule(notProtocol="UDP", icmp={"type": 8}, notICMP={"type": 3, "code": 4})
    assert wanted == WantedRule("Allow", not_protocol=17, icmp=Icmp(8), not_icmp=Icmp(3, 4))


@pytest.mark.parametrize("action", ["Log", "Pass"])
def test_every_action_is_wanted(action):
    assert rule(action=action) == WantedRule(action)


def test_selectors_become_sets():
    source, destination = parse("a == 'b'"), parse("has(c)")
    wanted, sets = scanned(source={"selector": ' a=="b" '}, destination={"notSelector": "has(c)"})
    assert wanted.source == Match(sets=(source.uid,))
    assert wanted.destination == Match(not_sets=(destination.uid,))
    assert sets == {one.uid: PeerSet(one.uid, one) for one in (source, destination)}


def test_negative_selector_beside_a_positive_one_is_part_of_it():
    wanted, sets = scanned(source={"selector": "a == 'b'", "notSelector": "has(c)"})
    assert wanted.source.not_sets == ()
    assert [one.selector for one in sets.values()] == [parse("a == 'b' && !has(c)")]


def test_selector_of_a_namespaced_policy_stays_in_its_namespace():
    _, sets = scanned(namespace="prod", source={"selector": "a == 'b'"})
    assert [one.selector for one in sets.values()] == [parse("projectcalico.org/namespace == 'prod' && a == 'b'")]


@pytest.mark.parametrize(("protocol", "number"), [("TCP", 6), ("UDP", 17), ("SCTP", 132), (None, 6)])
def test_named_ports_become_sets_of_their_protocol(protocol, number):
    web = parse("a == 'b'")
    wanted, sets = scanned(protocol=protocol, destination={"selector": "a == 'b'", "ports": ["http"]})
    set_id = f"{web.uid}:{number}:http"
    assert wanted.destination == Match(sets=(web.uid,), named=(set_id,))
    assert sets[set_id] == PeerSet(set_id, web, number, "http")


def test_named_ports_without_a_selector_are_those_of_every_peer():
    every = parse("all()")
    wanted, sets = scanned(protocol="TCP", destination={"notSelector": "a == 'b'", "notPorts": ["http", 1]})
    set_id = f"{every.uid}:6:http"
    assert wanted.destination.not_named == (set_id,)
    assert wanted.destination.not_ports == ((1, 1),)
    assert sets[set_id].selector == every


def test_bad_selector_fails_closed_and_is_named():
    assert rule(source={"selector": "a ="}).problem.startswith("source: ")


@pytest.mark.parametrize("fields", [{"http": {"methods": ["GET"]}}, {"destination": {"services": {"name": "x"}}}])
def test_what_is_not_enforced_fails_closed_and_is_named(fields):
    wanted, sets = scanned(source={"selector": "all()"}, **fields)
    assert wanted == WantedRule("Deny", problem=wanted.problem)
    assert wanted.problem
    assert sets == {}
