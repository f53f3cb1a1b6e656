"""Host endpoints and the host's own traffic. Expected: felix/rules/{static,dispatch,endpoints}.go, linux/endpoint_mgr.go."""

from __future__ import annotations

import pytest
from policy_bed import (
    ALLOW,
    DENY,
    LOG,
    OPEN,
    OUTSIDE,
    PAIR,
    PASS,
    W1,
    W2,
    cluster,
    host_endpoint,
    icmp,
    passage,
    policy,
    profile,
    resource,
    tcp,
    tier,
    told,
    udp,
    workload,
)

from ocicat.model.net import Addr
from ocicat.policy import Hop, Packet, Translation, evaluate

INGRESS, EGRESS, BOTH = ["Ingress"], ["Egress"], ["Ingress", "Egress"]
HOST = "192.168.0.1"
TO_HOST, FROM_HOST = ("h1", "eth0", ""), ("h1", "", "eth0")
IN, OUT, THROUGH = ("h1", "eth0", "caliw1"), ("h1", "caliw1", "eth0"), ("h1", "eth0", "eth1")
ETH0 = host_endpoint("eth0", interfaceName="eth0", labels={"role": "host"})
ALL = host_endpoint("every", interfaceName="*", labels={"role": "host"})
OPEN_ETH0 = host_endpoint("eth0", interfaceName="eth0", labels={"role": "host"}, profiles=["open"])


def hostly(name: str, *rules: dict, types=INGRESS, **spec):
    """A policy for host endpoints, with the same rules in each direction."""
    sides = {"ingress": list(rules)} if "Ingress" in types else {}
    sides |= {"egress": list(rules)} if "Egress" in types else {}
    return policy(name, selector="role == 'host'", types=types, **sides, **spec)


def forward(name: str, *rules: dict, **spec):
    return hostly(name, *rules, applyOnForward=True, **spec)


def untracked(name: str, *rules: dict, **spec):
    return forward(name, *rules, doNotTrack=True, **spec)


def pre_dnat(name: str, *rules: dict, **spec):
    return forward(name, *rules, preDNAT=True, **spec)


def go(packet, hop, *resources) -> str:
    return told(passage(cluster(OPEN, W1, *resources), packet, hop))


TO_H1 = tcp(OUTSIDE, HOST, 80)
FROM_H1 = tcp(HOST, OUTSIDE, 80)
TO_W1 = tcp(OUTSIDE, "10.0.0.1")
FROM_W1 = tcp("10.0.0.1", OUTSIDE)


# --- to and from the host itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "hop", "resources", "expected"),
    [
        (TO_H1, TO_HOST, [], "Allow host-ingress not-policed"),
        (FROM_H1, FROM_HOST, [], "Allow host-egress not-policed"),
        # a host endpoint without policy falls through to its profiles
        (TO_H1, TO_HOST, [ETH0], "Deny host-ingress no-profile"),
        (FROM_H1, FROM_HOST, [ETH0], "Deny host-egress no-profile"),
        (TO_H1, TO_HOST, [OPEN_ETH0], "Allow host-ingress profile-rule open[0]"),
        (TO_H1, TO_HOST, [ETH0, hostly("p", ALLOW)], "Allow host-ingress rule p[0]"),
        (TO_H1, TO_HOST, [ETH0, hostly("p", DENY)], "Deny host-ingress rule p[0]"),
        (TO_H1, TO_HOST, [ETH0, hostly("p")], "Deny host-ingress end-of-tier default"),
        (TO_H1, TO_HOST, [OPEN_ETH0, hostly("p", PASS)], "Allow host-ingress profile-rule open[0]"),
        (FROM_H1, FROM_HOST, [ETH0, hostly("p", ALLOW, types=EGRESS)], "Allow host-egress rule p[0]"),
        (FROM_H1, FROM_HOST, [ETH0, hostly("p", ALLOW)], "Deny host-egress no-profile"),
        # policies that apply on forward apply to the host's own traffic all the same
        (TO_H1, TO_HOST, [ETH0, forward("p", ALLOW)], "Allow host-ingress rule p[0]"),
        # a namespaced policy means workloads
        (
            TO_H1,
            TO_HOST,
            [OPEN_ETH0, resource("NetworkPolicy", "p", {"ingress": [DENY]}, namespace="ns")],
            "Allow host-ingress profile-rule open[0]",
        ),
        # other hosts' endpoints are no matter here
        (TO_H1, TO_HOST, [host_endpoint("eth0", "h2", interfaceName="eth0")], "Allow host-ingress not-policed"),
    ],
)
def test_own_traffic_of_a_host(packet, hop, resources, expected):
    assert go(packet, hop, *resources) == expected


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([host_endpoint("a", interfaceName="eth0")], "HostEndpoint/a"),
        ([host_endpoint("a", interfaceName="eth1")], ""),
        ([host_endpoint("a", expectedIPs=[HOST])], "HostEndpoint/a"),
        ([host_endpoint("a", expectedIPs=["2001:db8::1"])], "HostEndpoint/a"),
        ([host_endpoint("a", expectedIPs=["192.168.0.77"])], ""),
        # a name that is given must fit, whatever the addresses
        ([host_endpoint("a", interfaceName="eth1", expectedIPs=[HOST])], ""),
        ([host_endpoint("a", interfaceName="eth0", expectedIPs=["192.168.0.77"])], "HostEndpoint/a"),
        # of several the first by name, however they match
        ([host_endpoint("b", interfaceName="eth0"), host_endpoint("a", expectedIPs=[HOST])], "HostEndpoint/a"),
        ([host_endpoint("a", interfaceName="eth0"), host_endpoint("b", expectedIPs=[HOST])], "HostEndpoint/a"),
        # that for all interfaces is for those that have none of their own
        ([host_endpoint("a", interfaceName="*"), host_endpoint("b", interfaceName="eth0")], "HostEndpoint/b"),
        ([host_endpoint("b", interfaceName="*"), host_endpoint("a", interfaceName="*")], "HostEndpoint/a"),
        ([host_endpoint("a", interfaceName="*"), host_endpoint("b", interfaceName="eth1")], "HostEndpoint/a"),
    ],
)
def test_which_host_endpoint_governs_an_interface(endpoints, expected):
    assert passage(cluster(*endpoints), TO_H1, TO_HOST).decider.endpoint == expected


def test_interfaces_of_a_node_are_known_from_its_resource():
    node = resource("Node", "h9", {"interfaces": [{"name": "ens3", "addresses": ["192.168.0.9/24"]}]})
    verdict = passage(cluster(node, host_endpoint("a", "h9", expectedIPs=["192.168.0.9"])), TO_H1, ("h9", "ens3", ""))
    assert verdict.decider.endpoint == "HostEndpoint/a"


@pytest.mark.parametrize(
    ("packet", "hop", "expected"),
    [
        (tcp(OUTSIDE, HOST, 22), TO_HOST, "Allow host-ingress failsafe"),
        (tcp(OUTSIDE, HOST, 2379), TO_HOST, "Allow host-ingress failsafe"),
        (udp(OUTSIDE, HOST, 68), TO_HOST, "Allow host-ingress failsafe"),
        (udp(OUTSIDE, HOST, 22), TO_HOST, "Deny host-ingress rule p[0]"),
        (udp(OUTSIDE, HOST, 53), TO_HOST, "Deny host-ingress rule p[0]"),
        (udp(HOST, OUTSIDE, 53), FROM_HOST, "Allow host-egress failsafe"),
        (udp(HOST, OUTSIDE, 67), FROM_HOST, "Allow host-egress failsafe"),
        (tcp(HOST, OUTSIDE, 22), FROM_HOST, "Deny host-egress rule p[0]"),
        # answers to failsafe flows are conntrack's business in these hooks
        (udp(OUTSIDE, HOST, 9, source_port=53), TO_HOST, "Deny host-ingress rule p[0]"),
    ],
)
def test_failsafe_ports(packet, hop, expected):
    assert go(packet, hop, ETH0, hostly("p", DENY, types=BOTH)) == expected


@pytest.mark.parametrize(
    ("fields", "packet", "hop", "expected"),
    [
        ({"failsafeInboundHostPorts": []}, tcp(OUTSIDE, HOST, 22), TO_HOST, "Deny host-ingress no-profile"),
        ({"failsafeInboundHostPorts": []}, udp(HOST, OUTSIDE, 53), FROM_HOST, "Allow host-egress failsafe"),
        ({"failsafeInboundHostPorts": [{"port": 80}]}, TO_H1, TO_HOST, "Allow host-ingress failsafe"),
        (
            {"failsafeInboundHostPorts": [{"port": 80, "protocol": "UDP"}]},
            TO_H1,
            TO_HOST,
            "Deny host-ingress no-profile",
        ),
        (
            {"failsafeInboundHostPorts": [{"port": 80, "protocol": "tcp", "net": "203.0.113.0/24"}]},
            TO_H1,
            TO_HOST,
            "Allow host-ingress failsafe",
        ),
        (
            {"failsafeInboundHostPorts": [{"port": 80, "protocol": "tcp", "net": "192.168.0.0/24"}]},
            TO_H1,
            TO_HOST,
            "Deny host-ingress no-profile",
        ),
        (
            {"failsafeInboundHostPorts": [{"port": 80, "protocol": "tcp", "net": "2001:db8::/32"}]},
            TO_H1,
            TO_HOST,
            "Deny host-ingress no-profile",
        ),
        (
            {"failsafeOutboundHostPorts": [{"port": 80, "protocol": "tcp", "net": "203.0.113.0/24"}]},
            FROM_H1,
            FROM_HOST,
            "Allow host-egress failsafe",
        ),
    ],
)
def test_failsafe_ports_as_configured(fields, packet, hop, expected):
    assert go(packet, hop, ETH0, resource("FelixConfiguration", "default", fields)) == expected


def test_settings_of_a_host_go_before_those_of_all():
    usual = resource(
        "FelixConfiguration",
        "default",
        {"failsafeInboundHostPorts": [], "vxlanPort": 9, "defaultEndpointToHostAction": "Accept"},
    )
    own = resource("FelixConfiguration", "node.h1", {"failsafeInboundHostPorts": [{"port": 80}]})
    other = host_endpoint("other", "h2", interfaceName="eth0")
    where = cluster(ETH0, other, usual, own)
    assert told(passage(where, TO_H1, TO_HOST)) == "Allow host-ingress failsafe"
    assert told(passage(where, TO_H1, ("h2", "eth0", ""))) == "Deny host-ingress no-profile"
    assert where.settings_at("h1").vxlan_port == 9
    assert where.settings_at("h1").endpoint_to_host == "Accept"


# --- a workload and its own host ----------------------------------------------------------------------------------------


def felix(**fields):
    return resource("FelixConfiguration", "default", fields)


W1_TO_H1 = ("h1", "caliw1", "")
OWN = tcp("10.0.0.1", HOST)
DENY_W1 = policy("out", selector="app == 'one'", types=EGRESS, egress=[DENY])


@pytest.mark.parametrize(
    ("resources", "packet", "expected"),
    [
        ([], OWN, "Deny workload-to-host endpoint-to-host"),
        ([felix(defaultEndpointToHostAction="Accept")], OWN, "Allow workload-to-host endpoint-to-host"),
        ([felix(defaultEndpointToHostAction="ACCEPT")], OWN, "Allow workload-to-host endpoint-to-host"),
        ([felix(defaultEndpointToHostAction="Return")], OWN, "Allow workload-to-host endpoint-to-host"),
        # the egress policy is asked first, and may deny
        ([felix(defaultEndpointToHostAction="Accept"), DENY_W1], OWN, "Deny workload-egress rule out[0]"),
        ([DENY_W1], OWN, "Deny workload-egress rule out[0]"),
        # the host's ingress policy is not asked
        (
            [felix(defaultEndpointToHostAction="Accept"), ALL, hostly("p", DENY)],
            OWN,
            "Allow workload-to-host endpoint-to-host",
        ),
        # what IPv6 needs is allowed before any policy
        ([DENY_W1], icmp("fe80::1", "ff02::1:ff00:1", 135), "Allow workload-to-host neighbour-discovery"),
        ([DENY_W1], icmp("fd00::1", "2001:db8::1", 136), "Allow workload-to-host neighbour-discovery"),
        ([DENY_W1], icmp("::", "ff02::16", 131), "Allow workload-to-host neighbour-discovery"),
        ([DENY_W1], icmp("fe80::1", "ff02::2", 133), "Allow workload-to-host neighbour-discovery"),
        ([DENY_W1], icmp("fe80::1", "ff02::1", 134), "Deny workload-egress rule out[0]"),
        ([DENY_W1], icmp("fd00::1", "2001:db8::1", 128), "Deny workload-egress rule out[0]"),
        ([DENY_W1], icmp("10.0.0.1", HOST, 133), "Deny workload-egress rule out[0]"),
        (
            [DENY_W1],
            Packet(6, Addr.parse("fd00::1"), Addr.parse("2001:db8::1"), icmp_type=135),
            "Deny workload-egress rule out[0]",
        ),
        ([], tcp("10.0.0.9", HOST), "Deny source-check spoofed"),
    ],
)
def test_workload_to_its_host(resources, packet, expected):
    assert go(packet, W1_TO_H1, *resources) == expected


def test_a_task_reaches_its_own_agent_whatever_policy_says():
    where = cluster(OPEN, W1, DENY_W1, agent_ports=(5051,))
    assert told(passage(where, tcp("10.0.0.1", HOST, 5051), W1_TO_H1)) == "Allow workload-to-host agent-port"
    assert passage(where, udp("10.0.0.1", HOST, 5051), W1_TO_H1).action == "Deny"
    assert passage(where, tcp("10.0.0.1", HOST, 5052), W1_TO_H1).action == "Deny"


def test_a_task_asks_its_own_host_for_names_whatever_policy_says():
    where = cluster(OPEN, W1, DENY_W1, name_ports=(53,))
    for packet in (tcp("10.0.0.1", HOST, 53), udp("10.0.0.1", HOST, 53)):
        assert told(passage(where, packet, W1_TO_H1)) == "Allow workload-to-host name-port"
    assert passage(where, udp("10.0.0.1", HOST, 54), W1_TO_H1).action == "Deny"


@pytest.mark.parametrize(
    "resources",
    [
        [],
        [policy("p", types=BOTH)],  # denies all ingress and egress of everything
        [
            ALL,
            policy("p", types=BOTH, applyOnForward=True),
        ],  # "*" does not apply to the host's traffic to its workloads
    ],
)
def test_a_host_reaches_its_own_workloads_without_policy(resources):
    assert go(tcp(HOST, "10.0.0.1"), ("h1", "", "caliw1"), *resources) == "Allow host-egress host-to-workload"


def test_another_host_is_policed_as_everybody():
    assert go(tcp("192.168.0.2", "10.0.0.1"), IN, policy("p")) == "Deny workload-ingress end-of-tier default"


# --- forwarded traffic --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "hop", "resources", "expected"),
    [
        # a host endpoint without policies that apply on forward lets forwarded traffic through
        (TO_W1, IN, [ETH0], "Allow workload-ingress profile-rule open[0]"),
        (TO_W1, IN, [ETH0, hostly("p", DENY, types=BOTH)], "Allow workload-ingress profile-rule open[0]"),
        (TO_W1, IN, [ETH0, forward("p", DENY)], "Deny forward-ingress rule p[0]"),
        (TO_W1, IN, [ETH0, forward("p")], "Deny forward-ingress end-of-tier default"),
        (TO_W1, IN, [ETH0, forward("p", ALLOW)], "Allow workload-ingress profile-rule open[0]"),
        # in the other direction nothing applies
        (TO_W1, IN, [ETH0, forward("p", DENY, types=EGRESS)], "Allow workload-ingress profile-rule open[0]"),
        (FROM_W1, OUT, [ETH0, forward("p", DENY)], "Allow forward-egress no-forward-policy"),
        (FROM_W1, OUT, [ETH0, forward("p", DENY, types=EGRESS)], "Deny forward-egress rule p[0]"),
        (FROM_W1, OUT, [ETH0, forward("p", ALLOW, types=EGRESS)], "Allow forward-egress rule p[0]"),
        # profiles say nothing about forwarded traffic: what every tier passes goes on
        (FROM_W1, OUT, [ETH0, forward("p", PASS, types=EGRESS)], "Allow forward-egress passed"),
        (
            FROM_W1,
            OUT,
            [ETH0, tier("t", 1, "Pass"), forward("t.p", types=EGRESS, tier="t")],
            "Allow forward-egress passed",
        ),
        # failsafe ports are for the host's own traffic
        (tcp(OUTSIDE, "10.0.0.1", 22), IN, [ETH0, forward("p", DENY)], "Deny forward-ingress rule p[0]"),
        (tcp(OUTSIDE, "198.51.100.1"), THROUGH, [ETH0, forward("p", DENY)], "Deny forward-ingress rule p[0]"),
        (tcp(OUTSIDE, "198.51.100.1"), THROUGH, [ETH0, forward("p", ALLOW)], "Allow forward-ingress rule p[0]"),
        (tcp(OUTSIDE, "198.51.100.1"), THROUGH, [ETH0], "Allow forward-ingress no-forward-policy"),
        # "*" is met on both sides of forwarded traffic, at the interfaces of workloads too
        (FROM_W1, OUT, [ALL, forward("p", DENY)], "Deny forward-ingress rule p[0]"),
        (TO_W1, IN, [ALL, forward("p", DENY, types=EGRESS)], "Deny forward-egress rule p[0]"),
        (TO_W1, IN, [OPEN_ETH0, ALL, forward("p", DENY, types=EGRESS)], "Deny forward-egress rule p[0]"),
    ],
)
def test_forwarded_traffic(packet, hop, resources, expected):
    assert go(packet, hop, *resources) == expected


def test_between_two_workloads_of_a_host_the_endpoint_for_all_interfaces_is_met_twice():
    where = cluster(*PAIR, ALL, forward("p", ALLOW, types=BOTH))
    verdict = passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))
    assert [stage.name for stage in verdict.stages] == [
        "forward-ingress",
        "workload-egress",
        "workload-ingress",
        "forward-egress",
    ]


# --- untracked and pre-DNAT -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "hop", "resources", "expected", "not_tracked"),
    [
        (TO_H1, TO_HOST, [ETH0, untracked("p", ALLOW)], "Allow untracked-ingress rule p[0]", True),
        (TO_H1, TO_HOST, [ETH0, untracked("p", DENY)], "Deny untracked-ingress rule p[0]", False),
        # no end-of-tier drop, no profiles: the other policies have their say
        (TO_H1, TO_HOST, [OPEN_ETH0, untracked("p")], "Allow host-ingress profile-rule open[0]", False),
        (TO_H1, TO_HOST, [ETH0, untracked("p"), hostly("q", ALLOW)], "Allow host-ingress rule q[0]", False),
        (TO_H1, TO_HOST, [ETH0, untracked("p", PASS, DENY), hostly("q", ALLOW)], "Allow host-ingress rule q[0]", False),
        (TO_H1, TO_HOST, [ETH0, untracked("p", ALLOW), hostly("q", DENY)], "Allow untracked-ingress rule p[0]", True),
        (FROM_H1, FROM_HOST, [ETH0, untracked("p", ALLOW, types=EGRESS)], "Allow untracked-egress rule p[0]", True),
        (FROM_H1, FROM_HOST, [ETH0, untracked("p", DENY, types=EGRESS)], "Deny untracked-egress rule p[0]", False),
        (FROM_H1, FROM_HOST, [OPEN_ETH0, untracked("p", DENY)], "Allow host-egress profile-rule open[0]", False),
        # failsafe ports, and answers from them, only escape the untracked policy
        (tcp(OUTSIDE, HOST, 22), TO_HOST, [ETH0, untracked("p", DENY)], "Allow host-ingress failsafe", False),
        (udp(OUTSIDE, HOST, 9, 53), TO_HOST, [ETH0, untracked("p", ALLOW)], "Deny host-ingress no-profile", False),
        (
            tcp(HOST, OUTSIDE, 9, 22),
            FROM_HOST,
            [ETH0, untracked("p", ALLOW, types=EGRESS)],
            "Deny host-egress no-profile",
            False,
        ),
        # forwarded: an Allow stands for forward-ingress and nothing else
        (
            TO_W1,
            IN,
            [ETH0, untracked("p", ALLOW), forward("q", DENY)],
            "Allow workload-ingress profile-rule open[0]",
            True,
        ),
        (
            TO_W1,
            IN,
            [ETH0, untracked("p", ALLOW), policy("w", selector="app == 'one'")],
            "Deny workload-ingress end-of-tier default",
            True,
        ),
        # what leaves a workload meets no untracked policy
        (FROM_W1, OUT, [ETH0, untracked("p", DENY, types=BOTH)], "Allow forward-egress no-forward-policy", False),
        # nor does an endpoint for all interfaces have any
        (TO_H1, TO_HOST, [ALL, untracked("p", ALLOW)], "Deny host-ingress no-profile", False),
    ],
)
def test_untracked_policy(packet, hop, resources, expected, not_tracked):
    verdict = passage(cluster(OPEN, W1, *resources), packet, hop)
    assert (told(verdict), verdict.not_tracked) == (expected, not_tracked)


def test_what_one_host_does_not_track_is_told_of_the_whole_way():
    where = cluster(OPEN, workload("w3", "10.0.0.3/32", host="h2"), ETH0, untracked("p", ALLOW, types=EGRESS))
    verdict = passage(where, tcp(HOST, "10.0.0.3"), FROM_HOST, ("h2", "eth0", "caliw3"))
    assert (told(verdict), verdict.not_tracked) == ("Allow workload-ingress profile-rule open[0]", True)


def test_untracked_policy_for_all_interfaces_is_told():
    where = cluster(ALL, ETH0, untracked("p", ALLOW))
    assert [problem.subject for problem in where.problems] == ["HostEndpoint/every"]


@pytest.mark.parametrize(
    ("packet", "hop", "resources", "expected"),
    [
        (TO_H1, TO_HOST, [ETH0, pre_dnat("p", ALLOW)], "Allow pre-dnat rule p[0]"),
        (TO_H1, TO_HOST, [ETH0, pre_dnat("p", DENY), hostly("q", ALLOW)], "Deny pre-dnat rule p[0]"),
        (TO_H1, TO_HOST, [OPEN_ETH0, pre_dnat("p")], "Allow host-ingress profile-rule open[0]"),
        (TO_H1, TO_HOST, [ETH0, pre_dnat("p", ALLOW), hostly("q", DENY)], "Allow pre-dnat rule p[0]"),
        (tcp(OUTSIDE, HOST, 22), TO_HOST, [ETH0, pre_dnat("p", DENY)], "Allow host-ingress failsafe"),
        (udp(OUTSIDE, HOST, 9, 53), TO_HOST, [ETH0, pre_dnat("p", DENY)], "Deny pre-dnat rule p[0]"),
        (TO_W1, IN, [ETH0, pre_dnat("p", ALLOW), forward("q", DENY)], "Allow workload-ingress profile-rule open[0]"),
        (TO_W1, IN, [ETH0, pre_dnat("p", LOG, DENY)], "Deny pre-dnat rule p[1]"),
        # untracked comes first; what it allowed is not asked again
        (TO_H1, TO_HOST, [ETH0, untracked("u", ALLOW), pre_dnat("p", DENY)], "Allow untracked-ingress rule u[0]"),
        # only what comes in
        (FROM_H1, FROM_HOST, [OPEN_ETH0, pre_dnat("p", DENY)], "Allow host-egress profile-rule open[0]"),
        # an endpoint for all interfaces has them at those of workloads too
        (FROM_W1, OUT, [ALL, pre_dnat("p", DENY)], "Deny pre-dnat rule p[0]"),
        (FROM_W1, OUT, [ETH0, pre_dnat("p", DENY)], "Allow forward-egress no-forward-policy"),
        # the interface's own endpoint goes before that for all, also where it has no such policy
        (
            TO_H1,
            TO_HOST,
            [host_endpoint("own", interfaceName="eth0", profiles=["open"]), ALL, pre_dnat("p", DENY)],
            "Allow host-ingress profile-rule open[0]",
        ),
    ],
)
def test_pre_dnat_policy(packet, hop, resources, expected):
    assert go(packet, hop, *resources) == expected


def test_pre_dnat_policy_sees_the_destination_before_and_the_others_after_translation():
    def allow(port):
        return {"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}

    def verdict(*resources):
        to = Translation(Addr.parse("10.0.0.1"), 8080)
        return told(evaluate(cluster(OPEN, W1, ETH0, *resources), tcp(OUTSIDE, HOST, 80), [Hop(*IN, to)]))

    only = policy("w", selector="app == 'one'", ingress=[allow(8080)])
    assert verdict(only, pre_dnat("p", allow(80), DENY)) == "Allow workload-ingress rule w[0]"
    assert verdict(only, pre_dnat("p", allow(8080), DENY)) == "Deny pre-dnat rule p[1]"
    assert verdict(only, forward("q", allow(8080))) == "Allow workload-ingress rule w[0]"
    assert verdict(only, forward("q", allow(80))) == "Deny forward-ingress end-of-tier default"
    # what conntrack does not see is not translated
    assert verdict(only, untracked("u", allow(80))) == "Deny workload-ingress end-of-tier default"


def test_translated_traffic_of_the_host_is_policed_with_the_new_destination():
    """filter-OUTPUT leaves it out, mangle-POSTROUTING does it (static.go): the same policy, later."""
    to = Translation(Addr.parse(OUTSIDE), 8080)
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"nets": [f"{OUTSIDE}/32"], "ports": [8080]}}
    where = cluster(ETH0, hostly("p", rule, types=EGRESS))
    assert evaluate(where, tcp(HOST, "10.96.0.1", 80), [Hop(*FROM_HOST, to)]).action == "Allow"
    assert evaluate(where, tcp(HOST, "10.96.0.1", 80), [Hop(*FROM_HOST)]).action == "Deny"


# --- host endpoints as peers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (host_endpoint("a", "h2", expectedIPs=["192.168.0.2"], labels={"role": "master"}), "Allow"),
        (host_endpoint("a", "h2", interfaceName="eth0", labels={"role": "master"}), "Deny"),
        (host_endpoint("a", "h2", interfaceName="*", expectedIPs=["192.168.0.2"], profiles=["masters"]), "Allow"),
        (host_endpoint("a", "h2", expectedIPs=["192.168.0.2"], labels={"role": "x"}, profiles=["masters"]), "Deny"),
    ],
)
def test_a_host_endpoint_is_known_by_its_expected_addresses(endpoint, expected):
    rule = {"action": "Allow", "source": {"selector": "role == 'master'", "namespaceSelector": "global()"}}
    resources = [
        endpoint,
        profile("masters", labels={"role": "master"}),
        policy("p", ingress=[rule], selector="app == 'one'"),
    ]
    assert passage(cluster(OPEN, W1, *resources), tcp("192.168.0.2", "10.0.0.1"), IN).action == expected


def test_named_port_of_a_host_endpoint():
    ports = [{"name": "api", "protocol": "TCP", "port": 80}]
    endpoint = host_endpoint("a", expectedIPs=[HOST], ports=ports, labels={"role": "host"})
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["api"]}}
    where = cluster(endpoint, hostly("p", rule))
    assert passage(where, TO_H1, TO_HOST).action == "Allow"
    assert passage(where, tcp(OUTSIDE, HOST, 81), TO_HOST).action == "Deny"


def test_named_host_endpoints_never_govern_the_interface_of_a_workload():
    named = host_endpoint("a", interfaceName="caliw1", labels={"role": "host"})
    where = cluster(OPEN, W1, W2, workload("w4", "10.0.0.4/32"), named, forward("p", DENY, types=BOTH))
    assert passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2")).action == "Allow"
