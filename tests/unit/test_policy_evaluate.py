"""Tiers, policies and profiles of workloads. Expected: felix/rules/endpoints.go (chain), felix/calc (order, what applies)."""

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
    W3,
    cluster,
    icmp,
    namespaced,
    passage,
    policy,
    profile,
    resource,
    tcp,
    tier,
    told,
    udp,
    w1_to_w2,
    workload,
)

from ocicat.model.net import Addr
from ocicat.policy import Packet

INGRESS, EGRESS = ["Ingress"], ["Egress"]


def ingress(name: str, *rules: dict, **spec):
    return policy(name, types=INGRESS, ingress=list(rules), **spec)


def egress(name: str, *rules: dict, **spec):
    return policy(name, types=EGRESS, egress=list(rules), **spec)


# --- no policy: profiles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "profiles", "expected"),
    [
        ([], [], "Deny workload-ingress no-profile"),
        (["a"], [profile("a", [ALLOW])], "Allow workload-ingress profile-rule a[0]"),
        (["a"], [profile("a", [])], "Deny workload-ingress no-profile"),
        (["a"], [profile("a", [DENY])], "Deny workload-ingress profile-rule a[0]"),
        (["a", "b"], [profile("a"), profile("b", [ALLOW])], "Allow workload-ingress profile-rule b[0]"),
        (["a", "b"], [profile("a", [ALLOW]), profile("b", [DENY])], "Allow workload-ingress profile-rule a[0]"),
        (["b", "a"], [profile("a", [ALLOW]), profile("b", [DENY])], "Deny workload-ingress profile-rule b[0]"),
        # a missing profile denies at its place (ActiveRulesCalculator puts dummy drop rules there)
        (["gone"], [], "Deny workload-ingress missing-profile gone"),
        (["a", "gone"], [profile("a", [ALLOW])], "Allow workload-ingress profile-rule a[0]"),
        (["gone", "a"], [profile("a", [ALLOW])], "Deny workload-ingress missing-profile gone"),
        # the one that always is, and is never stored
        (["projectcalico-default-allow"], [], "Allow workload-ingress profile-rule projectcalico-default-allow[0]"),
        # Pass in a profile ends that profile only
        (["a", "b"], [profile("a", [PASS, DENY]), profile("b", [ALLOW])], "Allow workload-ingress profile-rule b[0]"),
        (["a"], [profile("a", [PASS])], "Deny workload-ingress no-profile"),
        (["a"], [profile("a", [LOG, ALLOW])], "Allow workload-ingress profile-rule a[1]"),
    ],
)
def test_profiles_decide_in_their_order(names, profiles, expected):
    receiver = workload("w2", "10.0.0.2/32", profiles=names)
    where = cluster(OPEN, W1, receiver, *profiles)
    assert told(passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))) == expected


# --- tiers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([], "Allow workload-ingress profile-rule open[0]"),
        ([ingress("p", ALLOW)], "Allow workload-ingress rule p[0]"),
        ([ingress("p", DENY)], "Deny workload-ingress rule p[0]"),
        ([ingress("p")], "Deny workload-ingress end-of-tier default"),
        ([ingress("p", PASS, DENY)], "Allow workload-ingress profile-rule open[0]"),
        ([ingress("p", LOG, DENY, ALLOW)], "Deny workload-ingress rule p[1]"),
        ([ingress("p", ALLOW, selector="app == 'other'")], "Allow workload-ingress profile-rule open[0]"),
        # no type given: ingress, if there are no rules at all (clientv3 defaulting)
        ([policy("p")], "Deny workload-ingress end-of-tier default"),
        ([policy("p", egress=[ALLOW], selector="app == 'two'")], "Allow workload-ingress profile-rule open[0]"),
        (
            [policy("p", egress=[ALLOW], ingress=[], selector="app == 'one'")],
            "Allow workload-ingress profile-rule open[0]",
        ),
        # rules of a direction that `types` leaves out are not there
        ([policy("p", types=EGRESS, ingress=[DENY], egress=[ALLOW])], "Allow workload-ingress profile-rule open[0]"),
        ([egress("p", DENY)], "Deny workload-egress rule p[0]"),
        ([egress("p")], "Deny workload-egress end-of-tier default"),
        ([egress("p", PASS), ingress("q", ALLOW)], "Allow workload-ingress rule q[0]"),
        # order within the tier: lower first, none last, then by name/namespace/kind
        ([ingress("a", DENY, order=2), ingress("b", ALLOW, order=1)], "Allow workload-ingress rule b[0]"),
        ([ingress("a", DENY), ingress("b", ALLOW, order=1e9)], "Allow workload-ingress rule b[0]"),
        ([ingress("b", DENY, order=1), ingress("a", ALLOW, order=1)], "Allow workload-ingress rule a[0]"),
        ([ingress("b", DENY), ingress("a", ALLOW)], "Allow workload-ingress rule a[0]"),
        ([ingress("a", DENY, order=0), ingress("b", ALLOW, order=-1.5)], "Allow workload-ingress rule b[0]"),
        # the next policy of the tier is asked when no rule matches, and only then
        ([ingress("a", order=1), ingress("b", ALLOW, order=2)], "Allow workload-ingress rule b[0]"),
        ([ingress("a", PASS, order=1), ingress("b", DENY, order=2)], "Allow workload-ingress profile-rule open[0]"),
        # order of tiers
        (
            [tier("t", 1), ingress("t.a", ALLOW, tier="t"), ingress("b", DENY)],
            "Allow workload-ingress rule t.a[0]",
        ),
        (
            [tier("t", 2_000_000), ingress("t.a", ALLOW, tier="t"), ingress("b", DENY)],
            "Deny workload-ingress rule b[0]",
        ),
        ([tier("t"), ingress("t.a", ALLOW, tier="t"), ingress("b", DENY)], "Deny workload-ingress rule b[0]"),
        (
            [tier("u", 5), tier("t", 5), ingress("t.a", ALLOW, tier="t"), ingress("u.b", DENY, tier="u")],
            "Allow workload-ingress rule t.a[0]",
        ),
        # end of tier, Pass into the next one, default action Pass
        ([tier("t", 1), ingress("t.a", tier="t"), ingress("b", ALLOW)], "Deny workload-ingress end-of-tier t"),
        # a tier that nobody made comes last, after one without an order and of a later name; it denies, as any tier
        ([ingress("gone.a", tier="gone")], "Deny workload-ingress end-of-tier gone"),
        (
            [tier("z"), ingress("z.a", ALLOW, tier="z"), ingress("gone.a", tier="gone")],
            "Allow workload-ingress rule z.a[0]",
        ),
        ([tier("t", 1), ingress("t.a", PASS, tier="t"), ingress("b", ALLOW)], "Allow workload-ingress rule b[0]"),
        ([tier("t", 1), ingress("t.a", PASS, tier="t")], "Allow workload-ingress profile-rule open[0]"),
        ([tier("t", 1, "Pass"), ingress("t.a", tier="t"), ingress("b", ALLOW)], "Allow workload-ingress rule b[0]"),
        ([tier("t", 1, "Pass"), ingress("t.a", tier="t")], "Allow workload-ingress profile-rule open[0]"),
        ([tier("t", 1, "Pass"), ingress("t.a", DENY, tier="t")], "Deny workload-ingress rule t.a[0]"),
        # a tier without a policy that applies to this endpoint in this direction is not there
        ([tier("t", 1)], "Allow workload-ingress profile-rule open[0]"),
        (
            [tier("t", 1), ingress("t.a", tier="t", selector="app == 'x'")],
            "Allow workload-ingress profile-rule open[0]",
        ),
        ([tier("t", 1), egress("t.a", ALLOW, tier="t")], "Allow workload-ingress profile-rule open[0]"),
        # the tiers that always are: kube-admin passes by default and comes first, kube-baseline after default
        ([ingress("a", tier="kube-admin"), ingress("b", DENY)], "Deny workload-ingress rule b[0]"),
        ([ingress("a", ALLOW, tier="kube-admin"), ingress("b", DENY)], "Allow workload-ingress rule a[0]"),
        ([ingress("a", DENY, tier="kube-baseline"), ingress("b", ALLOW)], "Allow workload-ingress rule b[0]"),
        ([ingress("a", DENY, tier="kube-baseline"), ingress("b", PASS)], "Deny workload-ingress rule a[0]"),
        # a policy of a tier that does not exist is in force
        ([ingress("t.a", DENY, tier="t")], "Deny workload-ingress rule t.a[0]"),
        # untracked, pre-DNAT policies are for host endpoints only, and so is applyOnForward
        ([ingress("a", DENY, doNotTrack=True, applyOnForward=True)], "Allow workload-ingress profile-rule open[0]"),
        ([ingress("a", DENY, preDNAT=True, applyOnForward=True)], "Allow workload-ingress profile-rule open[0]"),
        ([ingress("a", DENY, applyOnForward=True)], "Deny workload-ingress rule a[0]"),
        # a rule that cannot be enforced denies whatever reaches it
        ([ingress("a", {"action": "Allow", "http": {"methods": ["GET"]}})], "Deny workload-ingress unenforceable a[0]"),
        (
            [ingress("a", ALLOW, {"action": "Allow", "http": {"methods": ["GET"]}})],
            "Allow workload-ingress rule a[0]",
        ),
    ],
)
def test_tiers(resources, expected):
    assert told(w1_to_w2(*resources)) == expected


def test_ties_are_broken_by_name_namespace_kind():
    both = [
        namespaced("a", types=INGRESS, ingress=[DENY]),
        ingress("a", ALLOW),  # "a//GlobalNetworkPolicy" < "a/ns/NetworkPolicy"
    ]
    assert told(w1_to_w2(*both)) == "Allow workload-ingress rule a[0]"
    assert w1_to_w2(*both).decider.decision.rule.kind == "GlobalNetworkPolicy"
    # the text is compared as a whole: "a-/..." < "a/..."
    assert told(w1_to_w2(ingress("a-0", DENY), ingress("a", ALLOW))) == "Deny workload-ingress rule a-0[0]"


def test_log_rules_are_told_and_go_on():
    verdict = w1_to_w2(egress("out", LOG, ALLOW), ingress("in", LOG, {"action": "Log", "protocol": "UDP"}, DENY))
    assert [str(rule) for rule in verdict.logs] == [
        "GlobalNetworkPolicy/out in tier default, egress rule 0",
        "GlobalNetworkPolicy/in in tier default, ingress rule 0",
    ]
    assert told(verdict) == "Deny workload-ingress rule in[2]"


def test_pass_rules_are_told():
    verdict = w1_to_w2(ingress("p", PASS))
    assert [rule.name for rule in verdict.decider.decision.passed] == ["p"]


def test_pass_rules_of_profiles_are_told_and_the_profile_that_decides():
    receiver = workload("w2", "10.0.0.2/32", profiles=["a", "b"])
    where = cluster(OPEN, W1, receiver, profile("a", [PASS]), profile("b", [ALLOW]))
    decision = passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2")).decider.decision
    assert (decision.tier, decision.profile) == ("", "b")
    assert [rule.owner for rule in decision.passed] == ["Profile/a"]


def test_the_tier_that_decides_is_told():
    decision = w1_to_w2(ingress("p", DENY)).decider.decision
    assert (decision.tier, decision.profile) == ("default", "")


def test_text_for_people():
    assert str(w1_to_w2(egress("out", ALLOW), ingress("in"))) == (
        "Deny\n"
        "  h1 workload-egress WorkloadEndpoint/ns/w1: Allow by rule: "
        "GlobalNetworkPolicy/out in tier default, egress rule 0\n"
        "  h1 workload-ingress WorkloadEndpoint/ns/w2: Deny by end-of-tier: tier default"
    )


# --- whom policies and rules mean ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"selector": "app == 'one'"}, True),
        ({"selector": "app == 'two'"}, False),
        ({"notSelector": "app == 'one'"}, False),
        ({"selector": "projectcalico.org/namespace == 'ns'"}, True),
        ({"selector": "projectcalico.org/orchestrator == 'cni'"}, True),
        ({"selector": "projectcalico.org/serviceaccount == 'robot'"}, True),
        ({"serviceAccounts": {"names": ["robot", "x"]}}, True),
        ({"serviceAccounts": {"names": ["x"]}}, False),
        ({"serviceAccounts": {"selector": "role == 'fetch'"}}, True),
        ({"serviceAccounts": {"selector": "role == 'fetch'", "names": ["x"]}}, False),
        ({"namespaceSelector": "env == 'prod'"}, True),
        ({"namespaceSelector": "env == 'test'"}, False),
        ({"namespaceSelector": "all()"}, True),
        ({"namespaceSelector": "global()"}, False),
        ({"namespaceSelector": "env == 'prod'", "selector": "app == 'two'"}, False),
        ({"selector": "team == 'first'"}, True),  # from the first of two profiles that both give it
        ({"selector": "only == 'second'"}, True),
        ({"selector": "app == 'profile'"}, False),  # an own label goes before a profile's
        ({"nets": ["10.0.0.0/8"]}, True),
        ({"nets": ["10.0.0.0/8"], "selector": "app == 'two'"}, False),
    ],
)
def test_labels_of_a_sender(source, expected):
    sender = workload(
        "w1",
        "10.0.0.1/32",
        labels={"app": "one", "projectcalico.org/namespace": "forged", "pcns.env": "test", "pcsa.role": "forged"},
        profiles=["open", "first", "second", "kns.ns", "ksa.ns.robot"],
        serviceAccountName="robot",
    )
    profiles = [
        profile("first", labels={"team": "first", "app": "profile"}),
        profile("second", labels={"team": "second", "only": "second"}),
        profile("kns.ns", labels={"pcns.env": "prod"}),
        profile("ksa.ns.robot", labels={"pcsa.role": "fetch"}),
    ]
    where = cluster(
        OPEN, sender, W2, *profiles, ingress("p", {"action": "Allow", "source": source}, selector="app == 'two'")
    )
    verdict = passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))
    assert told(verdict) == (
        "Allow workload-ingress rule p[0]" if expected else "Deny workload-ingress end-of-tier default"
    )


@pytest.mark.parametrize(
    ("source", "address", "expected"),
    [
        ({"selector": "list == 'bad'"}, OUTSIDE, True),
        ({"selector": "list == 'bad'"}, "198.51.100.1", False),
        (
            {"selector": "list == 'local'"},
            "198.51.100.1",
            False,
        ),  # of namespace ns, but rules of global policies mean all
        ({"selector": "list == 'local'"}, "198.51.100.9", True),
        ({"namespaceSelector": "global()", "selector": "has(list)"}, OUTSIDE, True),
        ({"namespaceSelector": "global()", "selector": "has(list)"}, "198.51.100.9", False),
        ({"namespaceSelector": "all()", "selector": "has(list)"}, "198.51.100.9", True),
        (
            {"namespaceSelector": "env == 'prod'"},
            "198.51.100.9",
            True,
        ),  # a NetworkSet inherits from profile kns.<namespace>
        ({"selector": "all()"}, "192.0.2.1", False),
        ({"notSelector": "has(list)"}, "192.0.2.1", True),
        ({"notSelector": "has(list)"}, OUTSIDE, False),
    ],
)
def test_network_sets(source, address, expected):
    sets = [
        resource("GlobalNetworkSet", "bad", {"nets": ["203.0.113.0/24", "2001:db8:bad::/48"]}, labels={"list": "bad"}),
        resource("NetworkSet", "local", {"nets": ["198.51.100.8/29"]}, namespace="ns", labels={"list": "local"}),
        profile("kns.ns", labels={"pcns.env": "prod"}),
    ]
    where = cluster(*PAIR, *sets, ingress("p", {"action": "Allow", "source": source}))
    verdict = passage(where, tcp(address, "10.0.0.2"), ("h1", "eth0", "caliw2"))
    assert told(verdict) == (
        "Allow workload-ingress rule p[0]" if expected else "Deny workload-ingress end-of-tier default"
    )


@pytest.mark.parametrize(
    ("namespace", "spec", "expected"),
    [
        ("ns", {}, "Deny workload-ingress end-of-tier default"),
        ("other", {}, "Allow workload-ingress profile-rule open[0]"),
        ("ns", {"selector": "app == 'one'"}, "Allow workload-ingress profile-rule open[0]"),
        (
            "ns",
            {"ingress": [{"action": "Allow", "source": {"selector": "app == 'one'"}}]},
            "Allow workload-ingress rule p[0]",
        ),
        # without any selector a rule of a namespaced policy is not limited to the namespace
        (
            "ns",
            {"ingress": [{"action": "Allow", "source": {"nets": ["10.0.0.1/32"]}}]},
            "Allow workload-ingress rule p[0]",
        ),
    ],
)
def test_namespaced_policy(namespace, spec, expected):
    assert told(w1_to_w2(namespaced("p", namespace, **spec))) == expected


def test_rules_of_a_namespaced_policy_mean_their_own_namespace():
    stranger = workload("w9", "10.0.0.9/32", namespace="elsewhere", labels={"app": "one"})
    rule = {"action": "Allow", "source": {"selector": "app == 'one'"}}
    packet, way = tcp("10.0.0.9", "10.0.0.2"), ("h1", "caliw9", "caliw2")

    def verdict(policies):
        return told(passage(cluster(*PAIR, stranger, *policies), packet, way))

    assert verdict([namespaced("p", ingress=[rule])]) == "Deny workload-ingress end-of-tier default"
    wider = {"action": "Allow", "source": {"selector": "app == 'one'", "namespaceSelector": "all()"}}
    assert verdict([namespaced("p", ingress=[wider])]) == "Allow workload-ingress rule p[0]"
    assert verdict([ingress("p", rule, selector="app == 'two'")]) == "Allow workload-ingress rule p[0]"


def test_named_ports_of_the_receiver():
    receiver = workload(
        "w2", "10.0.0.2/32", ports=[{"name": "web", "protocol": "TCP", "port": 8080}], labels={"app": "two"}
    )
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["web"]}}
    where = cluster(OPEN, W1, receiver, ingress("p", rule, selector="app == 'two'"))
    way = ("h1", "caliw1", "caliw2")
    assert passage(where, tcp("10.0.0.1", "10.0.0.2", 8080), way).action == "Allow"
    assert passage(where, tcp("10.0.0.1", "10.0.0.2", 80), way).action == "Deny"
    assert passage(where, udp("10.0.0.1", "10.0.0.2", 8080), way).action == "Deny"


def test_ipv6_and_icmpv6():
    rule = {"action": "Allow", "protocol": "ICMPv6", "icmp": {"type": 128}, "source": {"selector": "app == 'one'"}}
    p = ingress("p", rule, selector="app == 'two'")
    assert told(w1_to_w2(p, packet=icmp("fd00::1", "fd00::2", 128))) == "Allow workload-ingress rule p[0]"
    assert told(w1_to_w2(p, packet=icmp("fd00::1", "fd00::2", 129))) == "Deny workload-ingress end-of-tier default"
    assert told(w1_to_w2(p, packet=tcp("fd00::1", "fd00::2"))) == "Deny workload-ingress end-of-tier default"


# --- the way ----------------------------------------------------------------------------------------------------------


def test_across_hosts_the_sender_is_policed_on_its_host_and_the_receiver_on_its_own():
    where = cluster(*PAIR, W3, ingress("in", ALLOW, selector="app == 'three'"))
    verdict = passage(where, tcp("10.0.0.1", "10.0.0.3"), ("h1", "caliw1", "eth0"), ("h2", "eth0", "caliw3"))
    assert [(stage.host, stage.name) for stage in verdict.stages] == [
        ("h1", "workload-egress"),
        ("h2", "workload-ingress"),
    ]
    assert told(verdict) == "Allow workload-ingress rule in[0]"


def test_what_the_first_host_drops_never_reaches_the_second():
    where = cluster(*PAIR, W3, egress("out", DENY, selector="app == 'one'"))
    verdict = passage(where, tcp("10.0.0.1", "10.0.0.3"), ("h1", "caliw1", "eth0"), ("h2", "eth0", "caliw3"))
    assert [stage.host for stage in verdict.stages] == ["h1"]


@pytest.mark.parametrize(
    ("packet", "hop", "expected"),
    [
        (tcp("10.0.0.9", "10.0.0.2"), ("h1", "caliw1", "caliw2"), "Deny source-check spoofed"),
        (tcp("10.0.0.2", "10.0.0.2"), ("h1", "caliw1", "caliw2"), "Deny source-check spoofed"),
        (tcp("fd00::9", "fd00::2"), ("h1", "caliw1", "caliw2"), "Deny source-check spoofed"),
        (tcp("10.0.0.1", "10.0.0.9"), ("h1", "caliw1", "cali9"), "Deny workload-ingress unknown-interface"),
        (tcp("10.0.0.1", "10.0.0.2"), ("h1", "cali9", "caliw2"), "Deny source-check unknown-interface"),
        (tcp("10.0.0.1", "10.0.0.2"), ("h1", "oci9", "caliw2"), "Deny source-check unknown-interface"),
        # an interface that is not a workload's is no business of ours
        (tcp(OUTSIDE, "10.0.0.2"), ("h1", "eth0", "eth1"), "Allow forward-ingress not-policed"),
        (tcp("10.0.0.1", OUTSIDE), ("h1", "caliw1", "eth0"), "Allow workload-egress profile-rule open[0]"),
    ],
)
def test_sources_and_interfaces(packet, hop, expected):
    assert told(passage(cluster(*PAIR), packet, hop)) == expected


@pytest.mark.parametrize(
    ("fields", "packet", "expected"),
    [
        ({}, udp("10.0.0.1", "10.0.0.2", 4789), "Deny workload-egress encapsulated"),
        (
            {"allowVXLANPacketsFromWorkloads": True},
            udp("10.0.0.1", "10.0.0.2", 4789),
            "Allow workload-ingress profile-rule open[0]",
        ),
        ({"vxlanPort": 4790}, udp("10.0.0.1", "10.0.0.2", 4789), "Allow workload-ingress profile-rule open[0]"),
        ({"vxlanPort": 4790}, udp("10.0.0.1", "10.0.0.2", 4790), "Deny workload-egress encapsulated"),
        ({}, tcp("10.0.0.1", "10.0.0.2", 4789), "Allow workload-ingress profile-rule open[0]"),
    ],
)
def test_encapsulated_packets_made_by_workloads(fields, packet, expected):
    assert told(w1_to_w2(resource("FelixConfiguration", "default", fields), packet=packet)) == expected


def test_ipip_made_by_workloads():
    packet = Packet(4, Addr.parse("10.0.0.1"), Addr.parse("10.0.0.2"))
    assert told(w1_to_w2(packet=packet)) == "Deny workload-egress encapsulated"
    allowed = resource("FelixConfiguration", "default", {"allowIPIPPacketsFromWorkloads": True})
    assert w1_to_w2(allowed, packet=packet).action == "Allow"


@pytest.mark.parametrize(
    ("fields", "orchestrator", "expected"),
    [
        ({}, "cni", "Deny source-check spoofed"),
        ({"floatingIPs": "Enabled"}, "cni", "Allow workload-ingress profile-rule open[0]"),
        ({"floatingIPs": "Disabled"}, "cni", "Deny source-check spoofed"),
        ({}, "openstack", "Allow workload-ingress profile-rule open[0]"),
    ],
)
def test_a_floating_address_is_the_workloads_own_where_such_are_in_use(fields, orchestrator, expected):
    nat = [{"internalIP": "10.0.0.1", "externalIP": "172.16.0.1"}]
    sender = workload("w1", "10.0.0.1/32", orchestrator=orchestrator, ipNATs=nat)
    where = cluster(OPEN, sender, W2, resource("FelixConfiguration", "default", fields))
    assert told(passage(where, tcp("172.16.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))) == expected


def test_the_interface_of_an_endpoint_is_a_workloads_whatever_its_name():
    sender = workload("w1", "10.0.0.1/32", interfaceName="veth7", profiles=[])
    verdict = passage(cluster(sender, W2, OPEN), tcp("10.0.0.1", "10.0.0.2"), ("h1", "veth7", "caliw2"))
    assert told(verdict) == "Deny workload-egress no-profile"


def test_interface_prefixes_as_configured():
    packet, hop = tcp("10.0.0.1", OUTSIDE), ("h1", "tap9", "eth0")
    assert passage(cluster(), packet, hop).action == "Allow"
    setting = resource("FelixConfiguration", "default", {"interfacePrefix": "cali,tap"})
    assert told(passage(cluster(setting), packet, hop)) == "Deny source-check unknown-interface"


def test_allowed_source_prefixes_need_the_setting_and_without_it_the_endpoint_is_missing():
    sender = workload("w1", "10.0.0.1/32", allowSpoofedSourcePrefixes=["172.16.0.0/16"])
    packet, way = tcp("172.16.3.4", "10.0.0.2"), ("h1", "caliw1", "caliw2")
    setting = resource("FelixConfiguration", "default", {"workloadSourceSpoofing": "Any"})
    assert passage(cluster(OPEN, sender, W2, setting), packet, way).action == "Allow"
    where = cluster(OPEN, sender, W2)
    assert told(passage(where, packet, way)) == "Deny source-check unknown-interface"
    assert "workloadSourceSpoofing" in where.problems[0].text
