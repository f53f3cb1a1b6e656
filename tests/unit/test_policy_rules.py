"""Which packets a rule matches. Expected: felix/rules/policy.go (rendering), felix/calc/rule_scanner.go (sets), rule_convert.go."""

from __future__ import annotations

import pytest

from ocicat.model.codec import convert
from ocicat.model.net import Addr
from ocicat.model.packet import Packet
from ocicat.model.v3.policy import Rule
from ocicat.policy.flow import Flow, matches
from ocicat.policy.model import NamedPort, Peer
from ocicat.policy.rules import resolve_rule

A, B, V6 = Addr.parse("10.0.0.1"), Addr.parse("10.0.0.2"), Addr.parse("fd00::1")
WEB = Peer({"app": "web"}, (NamedPort("http", 6, 80), NamedPort("http", 6, 8080), NamedPort("dns", 17, 53)))
BATCH = Peer({"app": "batch"}, (NamedPort("http", 6, 9000),))


def rule(**fields):
    return resolve_rule(convert(Rule, {"action": "Allow", **fields}), "")


def hits(fields: dict, packet: Packet, sources=(), destinations=()) -> bool:
    resolved = rule(**fields)
    assert not resolved.problem
    return matches(resolved, Flow(packet, tuple(sources), tuple(destinations)))


def tcp(port=80, source_port=40000, source=A, destination=B):
    return Packet(6, source, destination, source_port, port)


def udp(port=53):
    return Packet(17, A, B, 40000, port)


def icmp(type_, code=0):
    return Packet(1, A, B, icmp_type=type_, icmp_code=code)


def icmp6(type_, code=0):
    return Packet(58, V6, V6, icmp_type=type_, icmp_code=code)


@pytest.mark.parametrize(
    ("fields", "packet", "expected"),
    [
        ({}, tcp(), True),
        ({}, Packet(89, A, B), True),
        # protocols, by name in any case and by number
        ({"protocol": "TCP"}, tcp(), True),
        ({"protocol": "tcp"}, tcp(), True),
        ({"protocol": 6}, tcp(), True),
        ({"protocol": "6"}, tcp(), True),
        ({"protocol": "UDP"}, tcp(), False),
        ({"protocol": 89}, Packet(89, A, B), True),
        ({"protocol": "UDPLite"}, Packet(136, A, B), True),
        ({"notProtocol": "TCP"}, tcp(), False),
        ({"notProtocol": "TCP"}, udp(), True),
        ({"notProtocol": "ICMP"}, icmp6(1), True),
        ({"protocol": "TCP", "notProtocol": "TCP"}, tcp(), False),
        # families
        ({"ipVersion": 4}, tcp(), True),
        ({"ipVersion": 6}, tcp(), False),
        ({"ipVersion": 6}, tcp(source=V6, destination=V6), True),
        ({"protocol": "ICMP"}, icmp(8), True),
        ({"protocol": "ICMP"}, Packet(1, V6, V6), False),
        ({"protocol": "ICMPv6"}, icmp6(128), True),
        ({"protocol": "ICMPv6"}, Packet(58, A, B), False),
        # ICMP
        ({"protocol": "ICMP", "icmp": {"type": 8}}, icmp(8, 3), True),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, icmp(0), False),
        ({"protocol": "ICMP", "icmp": {"type": 3, "code": 4}}, icmp(3, 4), True),
        ({"protocol": "ICMP", "icmp": {"type": 3, "code": 4}}, icmp(3, 3), False),
        ({"protocol": "ICMP", "icmp": {"type": 0, "code": 0}}, icmp(0, 0), True),
        ({"protocol": "ICMP", "icmp": {}}, icmp(3), True),
        ({"icmp": {"type": 0}}, tcp(), False),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, icmp(8), False),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, icmp(0), True),
        ({"protocol": "ICMP", "notICMP": {"type": 3, "code": 4}}, icmp(3, 3), True),
        ({"protocol": "ICMP", "notICMP": {"type": 3, "code": 4}}, icmp(3, 4), False),
        ({"protocol": "ICMPv6", "icmp": {"type": 128}}, icmp6(128), True),
        # a negated ICMP condition is one on the protocol too (the kernel reads the field of ICMP packets only)
        ({"notICMP": {"type": 8}}, tcp(), False),
        ({"notICMP": {"type": 8}}, icmp(0), True),
        ({"notICMP": {"type": 8}}, icmp6(8), False),
        ({"notICMP": {}}, tcp(), True),
        # numbers of ports; both ends of a range are in it
        ({"protocol": "TCP", "destination": {"ports": [80]}}, tcp(80), True),
        ({"protocol": "TCP", "destination": {"ports": [80]}}, tcp(81), False),
        ({"protocol": "TCP", "destination": {"ports": ["80"]}}, tcp(80), True),
        ({"protocol": "TCP", "destination": {"ports": ["80:90"]}}, tcp(79), False),
        ({"protocol": "TCP", "destination": {"ports": ["80:90"]}}, tcp(80), True),
        ({"protocol": "TCP", "destination": {"ports": ["80:90"]}}, tcp(90), True),
        ({"protocol": "TCP", "destination": {"ports": ["80:90"]}}, tcp(91), False),
        ({"protocol": "TCP", "destination": {"ports": [1, "80:90"]}}, tcp(85), True),
        ({"protocol": "TCP", "destination": {"ports": [80]}}, udp(80), False),
        ({"protocol": "TCP", "source": {"ports": [40000]}}, tcp(), True),
        ({"protocol": "TCP", "source": {"ports": [80]}}, tcp(), False),
        ({"protocol": "TCP", "destination": {"notPorts": [80]}}, tcp(80), False),
        ({"protocol": "TCP", "destination": {"notPorts": [80]}}, tcp(81), True),
        ({"protocol": "TCP", "destination": {"ports": ["80:90"], "notPorts": [85]}}, tcp(85), False),
        ({"protocol": "TCP", "source": {"notPorts": ["40000:40001"]}}, tcp(), False),
        # prefixes
        ({"source": {"nets": ["10.0.0.0/31"]}}, tcp(), True),
        ({"source": {"nets": ["10.0.0.2/31"]}}, tcp(), False),
        ({"source": {"nets": ["10.0.0.1"]}}, tcp(), True),
        ({"source": {"nets": ["10.0.0.99/24"]}}, tcp(), True),  # host bits do not count
        ({"source": {"nets": ["1.1.1.1/32", "10.0.0.1/32"]}}, tcp(), True),
        ({"destination": {"nets": ["10.0.0.0/8"], "notNets": ["10.0.0.2/32"]}}, tcp(), False),
        ({"destination": {"notNets": ["10.0.0.1/32"]}}, tcp(), True),
        ({"source": {"nets": ["10.0.0.1/32"]}, "destination": {"nets": ["10.0.0.3/32"]}}, tcp(), False),
    ],
)
def test_matches(fields, packet, expected):
    assert hits(fields, packet) is expected


def test_ports_are_numbers_or_names():
    ports = rule(protocol="TCP", destination={"ports": ["http", "80:90", 7, "8"]}).destination.ports
    assert (ports.ranges, ports.names) == (((80, 90), (7, 7), (8, 8)), ("http",))


@pytest.mark.parametrize(
    ("fields", "families"),
    [
        ({}, (4, 6)),
        ({"source": {"nets": ["10.0.0.0/8"]}}, (4,)),
        ({"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}}, (4, 6)),
        ({"source": {"nets": ["10.0.0.0/8", "fd00::/8"]}, "destination": {"nets": ["10.0.0.0/8"]}}, (4,)),
        # FilterRuleToIPVersion drops the rule when a negative list is emptied, too
        ({"source": {"notNets": ["10.0.0.0/8"]}}, (4,)),
        ({"ipVersion": 6, "source": {"nets": ["10.0.0.0/8"]}}, ()),
        ({"source": {"nets": ["fd00::/8"]}, "destination": {"nets": ["10.0.0.0/8"]}}, ()),
        ({"protocol": "ICMP"}, (4,)),
        ({"protocol": 58}, (6,)),
        ({"protocol": "ICMP", "destination": {"nets": ["fd00::/8"]}}, ()),
        ({"notProtocol": "ICMP"}, (4, 6)),
    ],
)
def test_families_that_a_rule_can_match(fields, families):
    assert rule(**fields).families == families


@pytest.mark.parametrize(
    ("source", "peers", "expected"),
    [
        # a positive selector means known addresses only
        ({"selector": "all()"}, (), False),
        ({"selector": "all()"}, (WEB,), True),
        ({"selector": "app == 'web'"}, (BATCH,), False),
        ({"selector": "app == 'web'"}, (BATCH, WEB), True),  # an address may belong to several
        # a negative selector alone matches unknown addresses too, and none of those that hold it may be selected
        ({"notSelector": "app == 'web'"}, (), True),
        ({"notSelector": "app == 'web'"}, (BATCH,), True),
        ({"notSelector": "app == 'web'"}, (BATCH, WEB), False),
        # beside a positive one it narrows that: one peer must meet both (combineMatchesIfPossible)
        ({"selector": "has(app)", "notSelector": "app == 'web'"}, (BATCH, WEB), True),
        ({"selector": "has(app)", "notSelector": "app == 'web'"}, (WEB,), False),
        ({"selector": "has(app)", "notSelector": "app == 'web'"}, (), False),
    ],
)
def test_selectors_and_the_peers_of_an_address(source, peers, expected):
    assert hits({"source": source}, tcp(), sources=peers) is expected


@pytest.mark.parametrize(
    ("fields", "packet", "peers", "expected"),
    [
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(80), (WEB,), True),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(8080), (WEB,), True),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(81), (WEB,), False),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(80), (), False),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(80), (BATCH,), False),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, tcp(9000), (WEB, BATCH), True),
        ({"protocol": "UDP", "destination": {"ports": ["dns"]}}, udp(53), (WEB,), True),
        ({"protocol": "TCP", "destination": {"ports": ["dns"]}}, tcp(53), (WEB,), False),
        # without a protocol the names are those of TCP
        ({"destination": {"ports": ["http"]}}, tcp(80), (WEB,), True),
        ({"destination": {"ports": ["http"]}}, udp(80), (WEB,), False),
        ({"destination": {"ports": ["dns"]}}, udp(53), (WEB,), False),
        # numbers and names: one is enough
        ({"protocol": "TCP", "destination": {"ports": [443, "http"]}}, tcp(443), (), True),
        ({"protocol": "TCP", "destination": {"ports": [443, "http"]}}, tcp(80), (WEB,), True),
        # names count for the peers that the positive selector matches
        (
            {"protocol": "TCP", "destination": {"selector": "app == 'web'", "ports": ["http"]}},
            tcp(9000),
            (WEB, BATCH),
            False,
        ),
        (
            {"protocol": "TCP", "destination": {"selector": "app == 'web'", "ports": [443, "http"]}},
            tcp(443),
            (BATCH,),
            False,
        ),
        ({"protocol": "TCP", "destination": {"notPorts": ["http"]}}, tcp(80), (WEB,), False),
        ({"protocol": "TCP", "destination": {"notPorts": ["http"]}}, tcp(80), (), True),
        ({"destination": {"notPorts": ["dns"]}}, udp(53), (WEB,), True),  # the port of that name must be TCP
        (
            {"protocol": "TCP", "destination": {"selector": "app == 'batch'", "notPorts": ["http"]}},
            tcp(80),
            (WEB, BATCH),
            True,
        ),
    ],
)
def test_named_ports(fields, packet, peers, expected):
    assert hits(fields, packet, destinations=peers) is expected


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"http": {"methods": ["GET"]}}, "http: the kernel sees packets, not requests"),
        (
            {"source": {"services": {"name": "s", "namespace": "n"}}},
            "source.services: Mesos has no Kubernetes services",
        ),
        ({"destination": {"ports": [80]}}, "destination: ports: ports need a protocol that has them"),
        ({"protocol": "ICMP", "destination": {"ports": ["http"]}}, "destination: ports: ports need a protocol"),
        ({"source": {"notPorts": [80, "http"]}}, "source: notPorts: ports need a protocol"),
        ({"protocol": "nonsense"}, "protocol: 'nonsense' is no protocol"),
        ({"notProtocol": 256}, "notProtocol: 256"),
        ({"protocol": "TCP", "source": {"ports": ["9:1"]}}, "source: '9:1'"),
        ({"source": {"nets": ["10.0.0.0/99"]}}, "source: '10.0.0.0/99'"),
        ({"destination": {"selector": "has("}}, "destination: selector 'has('"),
        ({"destination": {"serviceAccounts": {"selector": "=="}}}, "destination: selector"),
    ],
)
def test_what_cannot_be_enforced_denies_whatever_reaches_it(fields, said):
    resolved = rule(**fields)
    assert resolved.problem.startswith(said)
    assert resolved.action == "Deny"
    assert matches(resolved, Flow(udp(), (), ()))
    assert matches(resolved, Flow(icmp6(1), (), ()))
