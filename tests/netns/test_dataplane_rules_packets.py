"""Every condition of a rule, in both families, asked of the kernel by real packets from a to b."""

import itertools

import pytest
from dataplane_bed import Bed, addr, batch, endpoint, hears, pings, profile, reaches

from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSet,
    Icmp,
    Match,
    PolicyRules,
    PortSet,
    Revision,
    Tier,
    WantedRule,
)

pytestmark = pytest.mark.netns

A = {4: "10.65.0.2", 6: "fd65::2"}
B = {4: "10.65.0.3", 6: "fd65::3"}
NET = {4: "10.65.0.0/29", 6: "fd65::/125"}
ELSEWHERE = {4: "10.65.1.0/24", 6: "fd66::/64"}
FAR = {4: "192.0.2.0/24", 6: "2001:db8::/32"}
PING = {4: (1, 8), 6: (58, 128)}  # protocol and type of an echo request
KEY = "/calico/resources/v3/projectcalico.org/networkpolicies/default/p"


class World:
    """What `decides` are the ingress rules of b's only policy."""

    def __init__(self):
        self.bed = Bed()
        self.plane = self.bed.plane()
        self._revisions = itertools.count(2)
        tiers = (Tier("t", "Deny", (KEY,)),)
        b = replace(endpoint("b", B[4], B[6], profiles=()), ingress=tiers)
        sets = [
            AddressSet("s:a", frozenset([addr(A[4]), addr(A[6])])),
            AddressSet("s:b", frozenset([addr(B[4]), addr(B[6])])),
            AddressSet(
                "s:nets", frozenset([addr(B[4]), addr(B[6])]), nets_added=frozenset(map(Cidr.parse, NET.values()))
            ),
            AddressSet("s:far", nets_added=frozenset(map(Cidr.parse, (*FAR.values(), *ELSEWHERE.values())))),
            AddressSet("s:none"),
            PortSet("s:b:6:http", frozenset((addr(B[f]), 6, 80) for f in (4, 6))),
            PortSet("s:a:6:high", frozenset((addr(A[f]), 6, 4444) for f in (4, 6))),
            PortSet("s:a:6:http", frozenset((addr(A[f]), 6, 80) for f in (4, 6))),
        ]
        self.plane.submit(batch(1, *sets, profile("p"), PolicyRules(KEY, (), ()), endpoint("a", A[4], A[6]), b))
        self.bed.attach(self.plane, "a", A[4], A[6])
        self.bed.attach(self.plane, "b", B[4], B[6])
        self.bed.wait_in_force(1, "a", "b")

    def decides(self, *rules):
        revision = next(self._revisions)
        self.plane.submit((PolicyRules(KEY, rules, ()), Revision(revision)))
        self.plane.resync().result(10)

    def passes(self, probe, family):
        kind, _, port = probe.partition(" ")
        a, b = self.bed.containers["a"], B[family]
        match kind:
            case "tcp":
                return reaches(a, b, int(port))
            case "from":
                return reaches(a, b, 80, source_port=int(port))
            case "udp":
                return hears(a, b, int(port))
            case "ping":
                return pings(a, b)


@pytest.fixture(scope="module")
def world():
    made = World()
    made.bed.run(made.bed.containers["b"], "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
    yield made
    made.bed.close()


def nets(*given):
    return lambda f: {"source": Match(nets=tuple(Cidr.parse(each[f]) for each in given))}


def not_nets(*given):
    return lambda f: {"source": Match(not_nets=tuple(Cidr.parse(each[f]) for each in given))}


def source(**match):
    return lambda f: {"source": Match(**match)}


def target(protocol=6, **match):
    return lambda f: {"protocol": protocol, "destination": Match(**match)}


def icmp(field, code, other=0):
    return lambda f: {"protocol": PING[f][0], field: Icmp(PING[f][1] + other, code)}


def host(given):
    return {f: f"{text}/{32 if f == 4 else 128}" for f, text in given.items()}


CASES = {
    "anything": (lambda f: {}, "tcp 80, udp 80, ping", ""),
    "protocol": (lambda f: {"protocol": 17}, "udp 80", "tcp 80, ping"),
    "not protocol": (lambda f: {"not_protocol": 6}, "udp 80, ping", "tcp 80"),
    "icmp type": (icmp("icmp", None), "ping", "tcp 80"),
    "icmp code": (icmp("icmp", 0), "ping", "udp 80"),
    "another icmp code": (icmp("icmp", 1), "", "ping"),
    "another icmp type": (icmp("icmp", None, 1), "", "ping"),
    "not icmp type": (icmp("not_icmp", None), "", "ping, tcp 80"),
    "not icmp code": (icmp("not_icmp", 0), "", "ping"),
    "not another icmp code": (icmp("not_icmp", 1), "ping", "tcp 80"),
    "not another icmp type": (icmp("not_icmp", 0, 1), "ping", "tcp 80"),
    "net": (nets(NET), "tcp 80", ""),
    "another net": (nets(ELSEWHERE), "", "tcp 80"),
    "one of several nets": (nets(FAR, ELSEWHERE, NET), "tcp 80", ""),
    "none of several nets": (nets(FAR, ELSEWHERE), "", "tcp 80"),
    "not net": (not_nets(host(A)), "", "tcp 80"),
    "not another net": (not_nets(host(B)), "tcp 80", ""),
    "not one of several nets": (not_nets(FAR, NET), "", "tcp 80"),
    "not any of several nets": (not_nets(FAR, ELSEWHERE), "tcp 80", ""),
    "set": (source(sets=("s:a",)), "tcp 80", ""),
    "another set": (source(sets=("s:b",)), "", "tcp 80"),
    "every set": (source(sets=("s:a", "s:nets")), "tcp 80", ""),
    "not every set": (source(sets=("s:a", "s:b")), "", "tcp 80"),
    "an empty set": (source(sets=("s:none",)), "", "tcp 80"),
    "not in an empty set": (source(not_sets=("s:none",)), "tcp 80", ""),
    "set of nets": (source(sets=("s:nets",)), "tcp 80", ""),
    "set of other nets": (source(sets=("s:far",)), "", "tcp 80"),
    "not set": (source(not_sets=("s:a",)), "", "tcp 80"),
    "not another set": (source(not_sets=("s:b", "s:far")), "tcp 80", ""),
    "not set of nets": (source(not_sets=("s:nets",)), "", "tcp 80"),
    "all of it": (
        lambda f: {"source": Match(sets=("s:a",), nets=(Cidr.parse(NET[f]),), not_nets=(Cidr.parse(FAR[f]),))},
        "tcp 80",
        "",
    ),
    "target set": (target(sets=("s:b",)), "tcp 80", "udp 80"),
    "another target set": (target(sets=("s:a",)), "", "tcp 80"),
    "port": (target(ports=((80, 80),)), "tcp 80", "tcp 81, udp 80"),
    "ports": (target(ports=((80, 82), (90, 90))), "tcp 80, tcp 82, tcp 90", "tcp 83, tcp 89"),
    "udp port": (target(17, ports=((80, 80),)), "udp 80", "tcp 80, udp 81"),
    "not port": (target(not_ports=((80, 80),)), "tcp 81", "tcp 80, udp 81"),
    "not ports": (target(not_ports=((80, 82), (90, 90))), "tcp 83", "tcp 82, tcp 90"),
    "port but not port": (target(ports=((80, 90),), not_ports=((85, 85),)), "tcp 80", "tcp 85, tcp 91"),
    "named port": (target(named=("s:b:6:http",)), "tcp 80", "tcp 81, udp 80"),
    "another's named port": (target(named=("s:a:6:http",)), "", "tcp 80"),
    "named or numbered": (target(named=("s:b:6:http",), ports=((90, 91),)), "tcp 80, tcp 91", "tcp 81"),
    "not named port": (target(not_named=("s:b:6:http",)), "tcp 81", "tcp 80"),
    "not another's named port": (target(not_named=("s:a:6:http",)), "tcp 80", "udp 80"),
    "not named nor numbered": (target(not_named=("s:b:6:http",), not_ports=((90, 90),)), "tcp 81", "tcp 80, tcp 90"),
    "source port": (lambda f: {"protocol": 6, "source": Match(ports=((4444, 4445),))}, "from 4445", "from 4446"),
    "named source port": (lambda f: {"protocol": 6, "source": Match(named=("s:a:6:high",))}, "from 4444", "from 4447"),
    "not source port": (
        lambda f: {"protocol": 6, "source": Match(not_ports=((4448, 4448),))},
        "from 4449",
        "from 4448",
    ),
    "the family": (lambda f: {"families": (f,)}, "tcp 80", ""),
    "the other family": (lambda f: {"families": (10 - f,)}, "", "tcp 80"),
    "no family": (lambda f: {"families": ()}, "", "tcp 80"),
    "nets of the other family": (lambda f: {"source": Match(nets=(Cidr.parse(NET[10 - f]),))}, "", "tcp 80"),
    "a problem": (lambda f: {"problem": "it cannot be"}, "", "tcp 80"),
}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", CASES)
def test_condition(world, name, family):
    fields, let_in, kept_out = CASES[name]
    world.decides(WantedRule("Allow", **fields(family)))
    probes = [(probe, True) for probe in let_in.split(", ") if probe]
    probes += [(probe, False) for probe in kept_out.split(", ") if probe]
    assert {probe: world.passes(probe, family) for probe, _ in probes} == dict(probes)
    assert not [report for report in world.bed.reports if getattr(report, "text", "")]


def test_the_same_conditions_deny(world):
    world.decides(
        WantedRule("Deny", protocol=6, destination=Match(named=("s:b:6:http",), ports=((90, 91),))), WantedRule("Allow")
    )
    assert [world.passes(probe, 4) for probe in ("tcp 80", "tcp 81", "tcp 91", "udp 80")] == [False, True, False, True]


def test_log_goes_on(world):
    world.decides(WantedRule("Log"), WantedRule("Allow", protocol=6))
    assert [world.passes(probe, 4) for probe in ("tcp 80", "udp 80")] == [True, False]


def test_a_set_that_gets_nets_and_loses_them(world):
    world.decides(WantedRule("Allow", source=Match(sets=("s:flip",))))
    net = frozenset([Cidr.parse(NET[4])])
    steps = [
        (AddressSet("s:flip"), False),
        (AddressSet("s:flip", nets_added=net), True),
        (AddressSet("s:flip", frozenset([addr(A[4])]), nets_removed=net), True),
        (AddressSet("s:flip", nets_added=frozenset([Cidr.parse(FAR[4])])), True),
        (AddressSet("s:flip", removed=frozenset([addr(A[4])])), False),
    ]
    for message, passes in steps:
        world.plane.submit((message, Revision(next(world._revisions))))
        world.plane.resync().result(10)
        assert world.passes("tcp 80", 4) == passes
