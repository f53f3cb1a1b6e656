"""What may have been forbidden by a change, and what is told to be no reason to look."""

import pytest

from ocicat.dataplane.flows.tightening import Tightened, Tightening, tightens
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    AddressSetGone,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    InSync,
    Match,
    PolicyGone,
    PolicyRules,
    PortSet,
    ProfileGone,
    ProfileRules,
    Tier,
    WantedRule,
)

ALLOW, DENY, PASS, LOG = (WantedRule(action) for action in ("Allow", "Deny", "Pass", "Log"))
TCP = WantedRule("Allow", protocol=6)
NO_UDP = WantedRule("Deny", protocol=17)
BROKEN = WantedRule("Allow", problem="it is not")
A, B = Addr.parse("10.65.0.2"), Addr.parse("fd65::3")
NET = Cidr.parse("10.1.0.0/16")
HTTP = (A, 6, 80)


def from_set(action, name="s:x", **more):
    return WantedRule(action, source=Match(sets=(name,)), **more)


def policy(*ingress, name="/p", egress=(), **more):
    return PolicyRules(name, ingress, egress, **more)


def noted(*messages, before=()):
    tightening = Tightening()
    for message in (*before, InSync()):
        tightening.note(message)
    tightening.take()
    for message in messages:
        tightening.note(message)
    return tightening.take()


NOTHING = Tightened()
OWNER = Tightened(owners=frozenset([("policy", "/p")]))
EVERYTHING = Tightened(everything=True)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([TCP], [TCP], False),
        ([TCP], [TCP, ALLOW], False),
        ([TCP], [ALLOW, TCP], False),
        ([NO_UDP, TCP], [TCP], False),
        ([NO_UDP, TCP], [ALLOW, NO_UDP, TCP], False),
        ([NO_UDP, PASS, DENY], [PASS], False),
        ([TCP, LOG], [LOG, TCP], False),
        ([TCP], [], True),
        ([TCP, PASS], [PASS, TCP], True),
        ([TCP, NO_UDP], [NO_UDP, TCP], True),
        ([TCP], [DENY, TCP], True),
        ([TCP], [PASS, TCP], True),
        ([PASS, TCP], [TCP], True),
        ([TCP], [ALLOW], True),  # to know better would take more than to look
        ([TCP], [BROKEN, TCP], True),
        ([BROKEN, TCP], [TCP], False),
        ([BROKEN], [ALLOW], False),
    ],
)
@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_rules_that_tighten(before, now, expected, side):
    ways = [(rules, ()) if side == "ingress" else ((), rules) for rules in (tuple(before), tuple(now))]
    one, other = (PolicyRules("/p", *way) for way in ways)
    assert tightens(one, other) is expected


def test_what_is_staged_decides_nothing():
    assert noted(policy(DENY, staged=True), before=[policy(ALLOW, staged=True)]) == NOTHING
    assert noted(policy(ALLOW, staged=True), before=[policy(ALLOW)]) == OWNER
    assert noted(policy(ALLOW), before=[policy(ALLOW, staged=True)]) == OWNER


def test_policies_and_profiles_that_come_and_go():
    """One that is missing denies where it stands."""
    assert noted(policy(DENY)) == NOTHING
    assert noted(ProfileRules("p", (DENY,), ())) == NOTHING
    assert noted(PolicyGone("/p"), before=[policy(ALLOW)]) == OWNER
    gone = noted(ProfileGone("p"), before=[ProfileRules("p", (ALLOW,), ())])
    assert gone == Tightened(owners=frozenset([("profile", "p")]))
    assert noted(PolicyGone("/p"), ProfileGone("p")) == NOTHING


JOINS = AddressSet("s:x", frozenset([A, B]))
LEAVES = AddressSet("s:x", removed=frozenset([A, B]))
MEMBERS = Tightened(frozenset([A, B]))


@pytest.mark.parametrize(
    ("rule", "joins", "leaves"),
    [
        (from_set("Allow"), False, True),
        (from_set("Deny"), True, False),
        (from_set("Pass"), True, True),
        (from_set("Log"), False, False),
        (from_set("Allow", problem="it is not"), False, False),
        (from_set("Allow", "s:other"), False, False),
        (WantedRule("Allow", destination=Match(not_sets=("s:x",))), True, False),
        (WantedRule("Deny", destination=Match(not_sets=("s:x",))), False, True),
    ],
)
def test_members_matter_to_who_names_their_set(rule, joins, leaves):
    for before in (policy(rule), policy(egress=(rule,)), ProfileRules("p", (rule,), ())):
        assert noted(JOINS, before=[before]) == (MEMBERS if joins else NOTHING)
        assert noted(LEAVES, before=[before]) == (MEMBERS if leaves else NOTHING)


def test_one_who_minds_is_enough_and_one_who_is_gone_does_not():
    rules = [policy(from_set("Allow"), from_set("Deny"), name="/both"), policy(from_set("Allow"))]
    assert noted(JOINS, before=rules) == MEMBERS
    assert noted(JOINS, before=[*rules, policy(name="/both")]) == NOTHING
    assert noted(JOINS, before=[*rules, PolicyGone("/both")]) == NOTHING
    assert noted(LEAVES, before=[*rules, AddressSetGone("s:x")]) == NOTHING


def test_nets_and_named_ports():
    nets = AddressSet("s:x", nets_removed=frozenset([NET]))
    assert noted(nets, before=[policy(from_set("Allow"))]) == Tightened(nets=frozenset([NET]))
    named = WantedRule("Allow", destination=Match(named=("s:http",)))
    gone = PortSet("s:http", removed=frozenset([HTTP]))
    assert noted(gone, before=[policy(named)]) == Tightened(frozenset([A]))
    assert noted(PortSet("s:http", frozenset([HTTP])), before=[policy(named)]) == NOTHING


def endpoint(profiles=(), **more):
    return Endpoint("/a", "ocia", (A, B), profiles, **more)


def test_endpoints():
    tiers = (Tier("default", "Deny", ("/p",)),)
    assert noted(endpoint()) == NOTHING
    assert noted(endpoint(), before=[endpoint()]) == NOTHING
    assert noted(EndpointGone("/a"), endpoint(ingress=tiers), before=[endpoint()]) == NOTHING
    assert noted(endpoint(ingress=tiers), before=[endpoint()]) == MEMBERS
    assert noted(endpoint(egress=tiers), before=[endpoint()]) == MEMBERS
    assert noted(endpoint(profiles=("p",)), before=[endpoint()]) == MEMBERS
    assert noted(endpoint(dscp=3), before=[endpoint()]) == NOTHING


def test_hosts():
    host = HostEndpoint("/h", "eth0", ingress=(Tier("default", "Deny", ("/p",)),))
    assert noted(host) == EVERYTHING
    assert noted(host, HostEndpointGone("eth1"), before=[host]) == NOTHING
    assert noted(HostEndpointGone("eth0"), before=[host]) == EVERYTHING
    assert noted(HostSettings(log_prefix="x", flow_logs=True)) == NOTHING
    assert noted(HostSettings(endpoint_to_host="Accept")) == EVERYTHING


def test_the_first_complete_state_is_looked_at_whole_and_nothing_before():
    tightening = Tightening()
    for message in (policy(ALLOW), policy(), HostEndpoint("/h", "eth0")):
        tightening.note(message)
    assert tightening.take() == NOTHING
    tightening.note(InSync())
    assert tightening.take() == EVERYTHING
    assert tightening.take() == NOTHING


def test_who_is_concerned():
    both = OWNER.joined(Tightened(frozenset([A]), owners=frozenset([("profile", "q")])))
    assert both.addresses == {A}
    assert both.concerns([Tier("t", "Deny", ("/o", "/p"))], ())
    assert both.concerns([], ("q",))
    assert not both.concerns([Tier("t", "Deny", ("/o", "q"))], ("/p",))
