"""The models of policy agree, and the questions that they are asked leave nothing out.

The oracle is held to cases with known answers; the generator to what it must bring about: every field of policy that is
ignored must be missed by some packet. Longer runs: see `fuzz`.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest
from cases import CASES, STAGED, case, resource
from cluster import Outcome
from generate import cluster as generated
from generate import features
from ignoring import IGNORING, Ignored
from models import MODELS
from oracle import model, see_all, verdict
from packets import packets
from runner import differ, run, seconds_wanted, seed_wanted
from shrink import shrunk, valid

CLUSTERS = 150
"""What the generator is judged by: so many clusters, from seed 0 on."""


@pytest.mark.parametrize("case", CASES, ids=[case.reason for case in CASES])
@pytest.mark.parametrize("name", MODELS)
def test_known_answers(name, case):
    assert all(valid(resource) for resource in case.cluster.resources)
    found = MODELS[name](case.cluster)(case.packet)
    expected = Outcome(case.expected in ("", "untracked"), case.expected == "untracked")
    assert (found.allowed, found.untracked) == (expected.allowed, expected.untracked), found
    if not expected.allowed and found.why is not None:
        assert found.why[-1] == f"h1 {case.expected}"


@pytest.mark.parametrize(("reason", "expected", "policies"), STAGED, ids=[reason for reason, *_ in STAGED])
@pytest.mark.parametrize("name", ["oracle", "evaluate"])
def test_what_staged_policies_would_do(name, reason, expected, policies):
    asked = case(reason, "", *(resource(kind, "p", spec) for kind, spec in policies))
    assert MODELS[name](asked.cluster)(asked.packet).staged is expected


def test_the_models_agree():
    done = run(MODELS, seed=seed_wanted(), seconds=seconds_wanted(10))
    print(done)
    assert not done.found, f"\n{shrunk(MODELS, done.found[0])}"
    assert done.packets > 100


def test_every_generated_resource_is_valid():
    for seed in range(CLUSTERS):
        assert [r for r in generated(seed).resources if not valid(r)] == []


def test_the_same_seed_gives_the_same_questions():
    for seed in range(5):
        first, second = generated(seed), generated(seed)
        assert first == second
        assert list(islice(packets(first, random.Random(seed)), 50)) == list(
            islice(packets(second, random.Random(seed)), 50)
        )
    assert len({str(generated(seed)) for seed in range(20)}) == 20


def test_every_feature_occurs():
    seen = Counter(path for seed in range(CLUSTERS) for path in features(generated(seed)))
    rule = [f"{direction}{field}" for direction in ("ingress", "egress") for field in RULE_FIELDS]
    wanted = [f"{kind}.{field}" for kind in ("NetworkPolicy", "GlobalNetworkPolicy", "Profile") for field in rule]
    wanted += [f"{kind}.{field}" for kind, fields in OTHER_FIELDS.items() for field in fields.split()]
    assert [path for path in wanted if not seen[path]] == []


RULE_FIELDS = [
    *(f".action={action}" for action in ("Allow", "Deny", "Pass", "Log")),
    *(".protocol=TCP", ".notProtocol=UDP", ".ipVersion", ".icmp.type", ".icmp.code", ".notICMP.type"),
    *(
        f".{side}.{field}"
        for side in ("source", "destination")
        for field in (
            *("selector", "notSelector", "namespaceSelector", "serviceAccounts.names", "serviceAccounts.selector"),
            *("nets", "notNets", "ports", "notPorts"),
        )
    ),
]
OTHER_FIELDS = {
    "Tier": "order defaultAction",
    "Profile": "labelsToApply.pcns.team labelsToApply.pcsa.level labelsToApply.role",
    "NetworkPolicy": "tier order selector serviceAccountSelector types=Ingress types=Egress",
    "GlobalNetworkPolicy": "namespaceSelector serviceAccountSelector doNotTrack preDNAT applyOnForward",
    "WorkloadEndpoint": "profiles ports.name serviceAccountName allowSpoofedSourcePrefixes ipNetworks",
    "HostEndpoint": "interfaceName expectedIPs profiles ports.name",
    "NetworkSet": "nets",
    "GlobalNetworkSet": "nets",
    "StagedNetworkPolicy": "stagedAction=Set stagedAction=Delete ingress.action=Deny",
    "StagedGlobalNetworkPolicy": "stagedAction=Ignore stagedAction=Learn egress.action=Deny",
    "FelixConfiguration": (
        "defaultEndpointToHostAction failsafeInboundHostPorts.net failsafeOutboundHostPorts.port vxlanPort "
        "allowVXLANPacketsFromWorkloads allowIPIPPacketsFromWorkloads workloadSourceSpoofing"
    ),
}


def test_every_way_of_deciding_occurs():
    """Each stage drops packets, and each cause; neither verdict is rare."""
    stages: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    allowed = asked = 0
    for seed in range(CLUSTERS):
        cluster = generated(seed)
        seen = see_all(cluster)
        for packet in islice(packets(cluster, random.Random(seed)), 30):
            found = verdict(cluster, packet, seen)
            asked += 1
            allowed += found.allowed
            for stage in found.stages:
                stages[f"{stage.name} {stage.decision.action}"] += 1
                reasons[getattr(stage.decision.by, "what", "rule")] += 1
    print(f"{allowed} of {asked} allowed; {stages}; {reasons}")
    assert 0.25 < allowed / asked < 0.75
    assert [wanted for wanted in STAGES.split(", ") if not stages[wanted]] == []
    assert [wanted for wanted in REASONS.split(", ") if not reasons[wanted]] == []


STAGES = (
    "source-check deny, untracked-ingress allow, untracked-ingress deny, untracked-ingress continue, pre-dnat allow, "
    "pre-dnat deny, pre-dnat continue, forward-ingress allow, forward-ingress deny, workload-egress allow, "
    "workload-egress deny, workload-ingress allow, workload-ingress deny, forward-egress allow, forward-egress deny, "
    "host-ingress allow, host-ingress deny, host-egress allow, host-egress deny, untracked-egress allow, "
    "untracked-egress deny, workload-to-host allow, workload-to-host deny, host-to-workload allow"
)
REASONS = (
    "rule, end-of-tier, no-profile, missing-profile, spoofed, unknown-interface, failsafe, encapsulated, neighbour-discovery, "
    "endpoint-to-host, no-policy, passed"
)


def test_no_field_can_be_ignored_unnoticed():
    """Models that do not know one field each: the questions find out every one of them."""
    left = {ignored.name: ignored for ignored in IGNORING}
    for seed in range(1500):
        cluster = generated(seed)
        changed = {name: ignored.apply(cluster) for name, ignored in left.items()}
        ignorant = {name: model(other) for name, other in changed.items() if other != cluster}
        knowing = model(cluster)
        for packet in islice(packets(cluster, random.Random(seed)), 20) if ignorant else ():
            right = knowing(packet)
            told = {name for name, ask in ignorant.items() if ask(packet).allowed != right.allowed}
            for name in told:
                del left[name], ignorant[name]
        if not left:
            return
    pytest.fail(f"unnoticed: {sorted(left)}")


def test_a_disagreement_is_made_small():
    """A model that does not know notNets is shown what it does not know, and little else."""
    ignored = Ignored("rules", "source.notNets")
    models = {"oracle": model, "ignorant": lambda cluster: model(ignored.apply(cluster))}
    found = run(models, seed=0, seconds=60).found[0]
    small = shrunk(models, found)
    assert differ(small.answers)
    assert len(small.cluster.resources) <= 3 < len(found.cluster.resources)
    assert any("notNets" in str(resource) for resource in small.cluster.resources)
    assert len(str(small)) < len(str(found)) / 2
    assert small.seed == found.seed
