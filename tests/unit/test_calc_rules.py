"""Rules as written and as wanted: all that is enforced, and all that must fail closed."""

from __future__ import annotations

import pytest

from ocicat.calc.rules import resolve
from ocicat.model.codec import convert
from ocicat.model.net import Cidr
from ocicat.model.resources import Rule
from ocicat.model.wanted import Match, WantedRule
from ocicat.selector import parse


def rule(**fields) -> WantedRule:
    return resolve(convert(Rule, {"action": "Allow", **fields}))[0]


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
    ("fields", "family"),
    [
        ({"ipVersion": 4}, 4),
        ({"protocol": "ICMP"}, 4),
        ({"protocol": "icmpv6"}, 6),
        ({"source": {"nets": ["10.0.0.0/8"]}}, 4),
        ({"destination": {"nets": ["fd00::/8"]}}, 6),
        ({"ipVersion": 6, "destination": {"nets": ["fd00::/8"]}}, 6),
        ({"protocol": "TCP"}, None),
    ],
)
def test_family_follows_from_the_parts(fields, family):
    assert rule(**fields).families == ((4, 6) if family is None else (family,))


@pytest.mark.parametrize(
    "fields",
    [
        {"ipVersion": 5},
        {"ipVersion": 6, "protocol": "ICMP"},
        {"ipVersion": 4, "source": {"nets": ["fd00::/8"]}},
        {"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}},
        {"source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}},
    ],
)
def test_mixed_families_fail_closed(fields):
    assert "ipVersion" in rule(**fields).problem


def test_nets_are_masked_prefixes():
    wanted = rule(source={"nets": ["10.1.2.3/8", "10.0.0.1"]})
    assert wanted.source == Match(nets=(Cidr.parse("10.0.0.0/8"), Cidr.parse("10.0.0.1/32")))


@pytest.mark.parametrize("net", ["", "x", "10.0.0.0/33", "10.0.0.0/" + "9" * 5000, "fe80::1%eth0"])
def test_bad_net_fails_closed_and_is_named(net):
    wanted = rule(destination={"nets": [net]})
    assert wanted.problem.startswith("destination.nets: ")


def test_ports_are_ranges():
    wanted = rule(protocol="TCP", source={"ports": [1, "2:3"]}, destination={"ports": ["80", 65535]})
    assert wanted.source == Match(ports=((1, 1), (2, 3)))
    assert wanted.destination == Match(ports=((80, 80), (65535, 65535)))


@pytest.mark.parametrize("port", [0, 65536, -1, "3:2", "0:1", "1:65536", "1:2:3", "http", "", ":", "1:", "9" * 5000])
def test_bad_and_named_ports_fail_closed(port):
    assert rule(protocol="UDP", destination={"ports": [port]}).problem.startswith("destination.ports: ")


@pytest.mark.parametrize("protocol", [None, "ICMP", "UDPLite", 47])
def test_ports_need_a_protocol_that_has_them(protocol):
    assert "ports" in rule(protocol=protocol, source={"ports": [1]}).problem


def test_selectors_become_sets():
    source, destination = parse("a == 'b'"), parse("has(c)")
    written = {"action": "Allow", "source": {"selector": ' a=="b" '}, "destination": {"selector": "has(c)"}}
    wanted, selectors = resolve(convert(Rule, written))
    assert wanted == WantedRule("Allow", source=Match(sets=(source.uid,)), destination=Match(sets=(destination.uid,)))
    assert selectors == (source, destination)


def test_bad_selector_fails_closed_and_is_named():
    assert rule(source={"selector": "a ="}).problem.startswith("source.selector: ")


UNSUPPORTED = {
    "notProtocol": {"notProtocol": "TCP"},
    "icmp": {"icmp": {}},
    "notICMP": {"notICMP": {"type": 8}},
    "http": {"http": {"methods": ["GET"]}},
    "source.notNets": {"source": {"notNets": ["10.0.0.0/8"]}},
    "source.notSelector": {"source": {"notSelector": "all()"}},
    "destination.notPorts": {"destination": {"notPorts": [1]}},
    "destination.namespaceSelector": {"destination": {"namespaceSelector": "global()"}},
    "source.serviceAccounts": {"source": {"serviceAccounts": {}}},
    "destination.services": {"destination": {"services": {"name": "x"}}},
}


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_field_that_is_not_enforced_fails_closed_and_is_named(field):
    wanted = rule(**UNSUPPORTED[field])
    assert wanted.problem.startswith(field)
    assert "does not enforce" in wanted.problem


@pytest.mark.parametrize("action", ["Log", "Pass"])
def test_action_that_is_not_enforced_fails_closed(action):
    assert action in rule(action=action).problem


def test_problem_denies_and_matches_everything_and_needs_no_set():
    wanted, selectors = resolve(convert(Rule, {"action": "Allow", "source": {"selector": "all()"}, "protocol": "no"}))
    assert wanted == WantedRule("Deny", problem=wanted.problem)
    assert selectors == ()
