"""From resources to what is evaluated: order, staged policies, what is told as a problem, and scale."""

from __future__ import annotations

import math
import random
import time

import pytest
from policy_bed import (
    ALLOW,
    DENY,
    LOG,
    OPEN,
    PAIR,
    PASS,
    W1,
    W2,
    cluster,
    namespaced,
    passage,
    policy,
    profile,
    resource,
    tcp,
    tier,
    told,
    w1_to_w2,
    workload,
)

from ocicat.model.v3.document import parse as parse_document
from ocicat.model.v3.metadata import API_VERSION
from ocicat.policy.model import Problem, ResolvedPolicy, ResolvedTier
from ocicat.policy.tiers import PolicyTable
from ocicat.selector import parse


def staged(name: str, action: str = "Set", **spec):
    return resource("StagedGlobalNetworkPolicy", name, {"stagedAction": action, **spec})


# --- staged policies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "now", "then"),
    [
        # added
        (
            [staged("p", ingress=[DENY])],
            "Allow workload-ingress profile-rule open[0]",
            "Deny workload-ingress rule p[0]",
        ),
        (
            [staged("p", "Learn", ingress=[DENY])],
            "Allow workload-ingress profile-rule open[0]",
            "Deny workload-ingress rule p[0]",
        ),
        ([staged("p", "Ignore", ingress=[DENY])], *["Allow workload-ingress profile-rule open[0]"] * 2),
        # put in the place of the policy of that name, its order and types included
        (
            [policy("p", ingress=[ALLOW]), staged("p", ingress=[DENY])],
            "Allow workload-ingress rule p[0]",
            "Deny workload-ingress rule p[0]",
        ),
        (
            [
                policy("p", ingress=[ALLOW], order=1),
                policy("q", ingress=[DENY], order=2),
                staged("p", ingress=[ALLOW], order=3),
            ],
            "Allow workload-ingress rule p[0]",
            "Deny workload-ingress rule q[0]",
        ),
        # taken away
        (
            [policy("p", ingress=[DENY]), staged("p", "Delete")],
            "Deny workload-ingress rule p[0]",
            "Allow workload-ingress profile-rule open[0]",
        ),
        ([staged("p", "Delete")], *["Allow workload-ingress profile-rule open[0]"] * 2),
        # a tier that holds only staged policies does not end in a drop until they are in force
        (
            [tier("t", 1), staged("t.p", tier="t")],
            "Allow workload-ingress profile-rule open[0]",
            "Deny workload-ingress end-of-tier t",
        ),
        # a staged policy of another kind or namespace has its own name
        (
            [namespaced("p", ingress=[ALLOW]), staged("p", "Delete")],
            *["Allow workload-ingress rule p[0]"] * 2,
        ),
    ],
)
def test_staged_policies_are_evaluated_apart(resources, now, then):
    verdict = w1_to_w2(*resources)
    assert told(verdict) == now
    assert verdict.staged is not None
    assert told(verdict.staged) == then


def test_staged_policies_in_a_namespace():
    one = resource("StagedNetworkPolicy", "p", {"ingress": [DENY]}, namespace="ns")
    verdict = w1_to_w2(namespaced("p", ingress=[ALLOW]), one)
    assert (told(verdict), told(verdict.staged)) == (
        "Allow workload-ingress rule p[0]",
        "Deny workload-ingress rule p[0]",
    )
    assert verdict.staged.decider.decision.rule.kind == "StagedNetworkPolicy"


def test_without_staged_policies_nothing_is_said_of_them():
    assert w1_to_w2(policy("p", ingress=[ALLOW])).staged is None


# --- order --------------------------------------------------------------------------------------------------------------


def resolved(name: str, tier_name: str = "default", order: float = math.inf, selector: str = "all()") -> ResolvedPolicy:
    return ResolvedPolicy(
        kind="GlobalNetworkPolicy",
        name=name,
        tier=tier_name,
        order=order,
        selector=parse(selector),
        ingress=(),
        egress=None,
    )


def test_the_order_of_all_does_not_depend_on_how_they_came():
    tiers = [
        ResolvedTier("b", 1, "Deny"),
        ResolvedTier("a", 1, "Deny"),
        ResolvedTier("c", 0, "Deny"),
        ResolvedTier("z", math.inf, "Deny"),
    ]
    policies = [
        resolved("p3", "z"),
        resolved("p2", "a", 5),
        resolved("p1", "a"),
        resolved("p0", "c"),
        resolved("p9", "b", -1),
    ]
    expected = ["p0", "p2", "p1", "p9", "p3"]
    for seed in range(20):
        random.Random(seed).shuffle(tiers)
        random.Random(seed).shuffle(policies)
        assert [one.name for one in PolicyTable.of(tiers, policies).policies] == expected


@pytest.mark.parametrize(
    "selector",
    [
        "all()",
        "a == 'b'",
        "a != 'b'",
        "a in {'b', 'c'}",
        "a in {}",
        "a not in {'b'}",
        "has(a)",
        "!has(a)",
        "a contains 'b'",
        "a == 'b' && has(c)",
        "a == 'b' || c == 'd'",
        "a == 'b' || a == 'c'",
        "has(a) || has(c)",
        "a == 'b' && a == 'c'",
        "a == 'b' && projectcalico.org/namespace == 'n'",
    ],
)
def test_the_index_finds_what_the_selector_matches(selector):
    table = PolicyTable.of([ResolvedTier("default", 1, "Deny")], [resolved("p", selector=selector)])
    values = (None, "b", "c", "xb")
    for a in values:
        for c in (None, "d", "e"):
            pairs = {"a": a, "c": c, "projectcalico.org/namespace": "n"}
            labels = {label: value for label, value in pairs.items() if value is not None}
            found = bool(table._selecting(labels))
            assert found is parse(selector).matches(labels), labels


# --- what is told -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "subject", "text"),
    [
        (policy("p", tier="gone"), "GlobalNetworkPolicy/p", "there is no tier gone: it comes after all others"),
        (
            resource("StagedGlobalNetworkPolicy", "p", {"tier": "gone"}),
            "StagedGlobalNetworkPolicy/p",
            "there is no tier gone: it comes after all others, and a staged policy alone decides nothing there",
        ),
        (policy("p", selector="=="), "GlobalNetworkPolicy/p", "not in force: selector '=='"),
        (
            policy("p", ingress=[ALLOW, {"action": "Deny", "source": {"services": {"name": "s", "namespace": "n"}}}]),
            "GlobalNetworkPolicy/p",
            "spec.ingress[1] denies whatever reaches it: source.services",
        ),
        (
            namespaced("p", egress=[{"action": "Allow", "protocol": 0}]),
            "NetworkPolicy/ns/p",
            "spec.egress[0] denies whatever reaches it: protocol: 0 is no protocol",
        ),
        (
            profile("p", egress=[{"action": "Allow", "destination": {"ports": [1]}}]),
            "Profile/p",
            "spec.egress[0] denies whatever reaches it: destination: ports",
        ),
        (
            staged("p", ingress=[{"action": "Deny", "source": {"nets": ["x"]}}]),
            "StagedGlobalNetworkPolicy/p",
            "spec.ingress[0]",
        ),
        (
            resource("StagedKubernetesNetworkPolicy", "p", {}, namespace="n"),
            "StagedKubernetesNetworkPolicy/n/p",
            "not evaluated",
        ),
        (workload("w9"), "WorkloadEndpoint/ns/w9", "it is treated as missing: it has no address"),
        (
            workload("w9", "10.0.0.9/32", interfaceName=""),
            "WorkloadEndpoint/ns/w9",
            "it is treated as missing: it has no",
        ),
        (workload("w9", "10.0.0.900/32"), "WorkloadEndpoint/ns/w9", "it is treated as missing: '10.0.0.900'"),
        (
            workload("w9", "10.0.0.9/32", interfaceName="caliw1"),
            "WorkloadEndpoint/ns/w9",
            "not in force: WorkloadEndpoint/ns/w1",
        ),
        (
            resource("HostEndpoint", "h", {"node": "h1", "expectedIPs": ["x"]}),
            "HostEndpoint/h",
            "it is treated as missing: 'x'",
        ),
        (resource("GlobalNetworkSet", "s", {"nets": ["10.0.0.0/8", "x"]}), "GlobalNetworkSet/s", "passed over: 'x'"),
        (
            resource("Node", "n", {"interfaces": [{"name": "e", "addresses": ["x"]}]}),
            "Node/n",
            "interface e is treated as",
        ),
        (
            resource("FelixConfiguration", "extra", {}),
            "FelixConfiguration/extra",
            "only the objects default and node.HOST",
        ),
        (
            resource("FelixConfiguration", "default", {"failsafeInboundHostPorts": [{"port": 1, "protocol": "x"}]}),
            "FelixConfiguration/default",
            "failsafeInboundHostPorts is passed over: 'x' of port 1 is no protocol",
        ),
        (
            resource("FelixConfiguration", "default", {"defaultEndpointToHostAction": "Reject"}),
            "FelixConfiguration/default",
            "defaultEndpointToHostAction is passed over: 'Reject' is no action",
        ),
        (
            workload("w9", "10.0.0.0/24"),
            "WorkloadEndpoint/ns/w9",
            "it is treated as missing: spec.ipNetworks: 10.0.0.0/24 is not one address",
        ),
    ],
)
def test_what_is_not_enforced_as_written_is_told(one, subject, text):
    problems = cluster(*PAIR, one).problems
    assert [problem.subject for problem in problems] == [subject]
    assert problems[0].text.startswith(text)
    assert "\n" not in str(problems[0])


UNKNOWN = {"action": "Allow", "source": {"colour": "red"}}


def unknown(kind, name, spec, **metadata):
    """A document with a field that this version has no word for."""
    raw = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
    document = parse_document(raw)
    assert document.unknown
    return document


def test_a_rule_with_an_unknown_field_denies_whatever_reaches_it():
    rules = [UNKNOWN, ALLOW]
    policies = unknown("GlobalNetworkPolicy", "p", {"ingress": rules}), policy("q", ingress=[ALLOW])
    found = cluster(*PAIR, *policies)
    assert found.problems == (
        Problem(
            "GlobalNetworkPolicy/p",
            "spec.ingress[0] denies whatever reaches it: source.colour: this version does not know it",
        ),
    )
    assert told(w1_to_w2(*policies)) == "Deny workload-ingress unenforceable p[0]"
    of_later = unknown("GlobalNetworkPolicy", "p", {"ingress": rules[::-1]})
    assert told(w1_to_w2(of_later)) == "Allow workload-ingress rule p[0]"


def test_a_staged_rule_with_an_unknown_field_denies_too():
    verdict = w1_to_w2(unknown("StagedGlobalNetworkPolicy", "p", {"ingress": [UNKNOWN]}))
    assert (verdict.action, verdict.staged.action) == ("Allow", "Deny")


def test_what_says_nothing_about_packets_may_be_unknown():
    rule = {"action": "Allow", "metadata": {"colour": "red"}}
    one = unknown("GlobalNetworkPolicy", "p", {"ingress": [rule], "colour": "red"}, colour="red")
    assert told(w1_to_w2(one)) == "Allow workload-ingress rule p[0]"


def test_a_profile_with_an_unknown_field_in_a_rule_is_missing():
    one = unknown("Profile", "open", {"ingress": [ALLOW, UNKNOWN], "egress": [ALLOW], "labelsToApply": {"a": "b"}})
    found = cluster(*(each for each in PAIR if each.kind != "Profile"), one)
    assert [problem.text for problem in found.problems] == [
        "it is treated as missing: spec.ingress[1].source.colour: this version does not know it"
    ]
    assert "open" not in found.profiles
    assert not any("a" in endpoint.peer.labels for endpoint in found.workloads.values())


def test_a_good_cluster_has_no_problems():
    assert cluster(*PAIR, policy("p", ingress=[ALLOW, LOG, PASS, DENY]), staged("s")).problems == ()


def test_kinds_that_say_nothing_about_policy_are_passed_over():
    pool = resource("IPPool", "pool", {"cidr": "10.0.0.0/16"})
    assert w1_to_w2(pool).action == "Allow"


# --- scale --------------------------------------------------------------------------------------------------------------


def test_thousands_of_policies():
    """Under a second to resolve, far less than a millisecond for a packet that few of them are about; the bounds are generous."""
    policies = [
        namespaced(
            f"p{number}",
            f"ns{number % 100}",
            selector=f"app == 'a{number}'",
            ingress=[
                {
                    "action": "Allow",
                    "protocol": "TCP",
                    "source": {"selector": f"app == 'b{number}'"},
                    "destination": {"ports": [80]},
                }
            ],
        )
        for number in range(2_000)
    ]
    receiver = workload("w2", "10.0.0.2/32", namespace="ns7", labels={"app": "a107"})
    started = time.thread_time()
    where = cluster(OPEN, W1, receiver, *policies)
    resolved_s = time.thread_time() - started
    started = time.thread_time()
    for _ in range(100):
        verdict = passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2"))
    each_s = (time.thread_time() - started) / 100
    assert told(verdict) == "Deny workload-ingress end-of-tier default"
    assert resolved_s < 10, resolved_s
    assert each_s < 0.005, each_s


def test_an_address_of_two_endpoints_has_the_labels_of_both():
    """An address may be told twice for a moment, when a workload moves: each may match."""
    twin = workload("w9", "10.0.0.1/32", host="h2", labels={"app": "twin"})
    for app in ("one", "twin"):
        rule = {"action": "Allow", "source": {"selector": f"app == '{app}'"}}
        where = cluster(OPEN, W1, W2, twin, policy("p", ingress=[rule], selector="app == 'two'"))
        assert passage(where, tcp("10.0.0.1", "10.0.0.2"), ("h1", "caliw1", "caliw2")).action == "Allow"
