"""What is not done here is told before it is written: refused where it matters, remarked where it does not; and documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from resources_bed import Bed, apply, create, doc, manifest, put, replace, run

from ocicat.model.v3.addressing import IPAMConfiguration, IPAMConfigurationSpec, IPPool, IPPoolSpec
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.shape import record
from ocicat.policy.felix_unread import READ, UNREAD
from ocicat.resources import Label, Patch, remarks_only, validate_only
from ocicat.resources.unsupported import UNREAD_FIELDS, UNREAD_KINDS

FELIX = {member.name for member in record(FelixConfigurationSpec).members}
DOCUMENT = Path(__file__).parents[2] / "docs" / "resources.md"
HTTP = {"action": "Allow", "http": {"methods": ["GET"]}}
SERVICE = {"action": "Allow", "destination": {"services": {"name": "s", "namespace": "n"}}}
NO_HTTP = "http: is not supported: the kernel sees packets, not requests (leave it out, and match the port)"
NO_SERVICES = "services: is not supported: Mesos has no Kubernetes services (use selector, nets and ports)"


@pytest.fixture
def bed():
    return Bed()


def patch(name, change):
    return Patch(kind=KINDS["Profile"], name=name, patch=change)


def told(kind, name, spec=None, **metadata):
    """(what is refused, what is remarked), without the object's name."""
    documents = [(doc(kind, name, spec, **metadata), "f:1")]
    refused, remarked = validate_only(documents), remarks_only(documents)
    return [bare(one) for one in refused], [bare(one) for one in remarked]


def bare(one):
    return str(one).split(": ", 2)[2]


# --- policies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "Profile"]
)
def test_rules_that_cannot_be_enforced_are_refused(kind):
    spec = {"ingress": [{"action": "Deny"}, HTTP], "egress": [SERVICE]}
    assert told(kind, "p", spec) == (
        [f"spec.ingress[1].{NO_HTTP}", f"spec.egress[0].destination.{NO_SERVICES}"],
        [],
    )


def test_policies_of_kubernetes_are_refused():
    refused, _ = told("StagedKubernetesNetworkPolicy", "p")
    assert refused == ["kind: is not supported: there is no Kubernetes API here (write a StagedNetworkPolicy)"]


def test_hints_about_performance_have_no_effect():
    refused, remarked = told("NetworkPolicy", "p", {"performanceHints": ["AssumeNeededOnEveryNode"]})
    assert (refused, len(remarked)) == ([], 1)
    assert remarked[0].startswith('spec.performanceHints = ["AssumeNeededOnEveryNode"]: has no effect')


def test_what_is_supported_is_not_told():
    spec = {"order": 1, "types": ["Ingress"], "ingress": [{"action": "Allow", "metadata": {"annotations": {"a": "b"}}}]}
    for kind in ("NetworkPolicy", "Profile"):
        assert told(kind, "p", {"ingress": spec["ingress"]} if kind == "Profile" else spec) == ([], [])
    assert told("Tier", "t", {"order": 1, "defaultAction": "Pass"}) == ([], [])
    whole = {"node": "h", "interfaceName": "*", "expectedIPs": ["10.0.0.1"], "profiles": ["p"]}
    assert told("HostEndpoint", "h", whole) == ([], [])


# --- FelixConfiguration -------------------------------------------------------------------------------------------


def test_every_field_is_read_or_told():
    assert READ | UNREAD.keys() == FELIX
    assert not READ & UNREAD.keys()


@pytest.mark.parametrize(
    ("spec", "refused", "remarked"),
    [
        ({"wireguardEnabled": True}, ["spec.wireguardEnabled = true: is not supported: traffic between hosts"], []),
        ({"wireguardEnabled": False, "ipv6Support": True, "ipForwarding": "Enabled"}, [], []),
        ({"ipv6Support": False}, ["spec.ipv6Support = false: is not supported: IPv6 is always policed here"], []),
        ({"bpfEnabled": True}, [], ["spec.bpfEnabled = true: has no effect: there is no eBPF dataplane here"]),
        ({"bpfEnabled": False, "nftablesMode": "Auto", "iptablesFilterDenyAction": "DROP"}, [], []),
        (
            {"routeRefreshInterval": "90s"},
            [],
            ['spec.routeRefreshInterval = "90s": has no effect: what others change is heard'],
        ),
        (
            {"reportingInterval": "0s", "disableConntrackInvalidCheck": True},
            ["spec.disableConntrackInvalidCheck = true: is not supported: invalid packets"],
            [],  # nothing is remarked of what is refused
        ),
        ({"logPrefix": "x", "failsafeInboundHostPorts": []}, [], []),
    ],
)
def test_settings(spec, refused, remarked):
    for found, expected in zip(told("FelixConfiguration", "default", spec), (refused, remarked), strict=True):
        assert len(found) == len(expected)
        assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


def test_empty_list_says_nothing():
    assert told("FelixConfiguration", "default", {"externalNodesList": [], "healthTimeoutOverrides": []}) == ([], [])


def test_only_two_kinds_of_names_are_applied():
    assert told("FelixConfiguration", "node.h1", {}) == ([], [])
    (line,), _ = told("FelixConfiguration", "extra", {})
    assert line.startswith('metadata.name = "extra": is not supported: only the objects default and node.HOST')
    (_, line), _ = told("FelixConfiguration", "extra", {"nodeSelector": "all()"})
    assert line.startswith('spec.nodeSelector = "all()": is not supported: only the objects default and node.HOST')


# --- what nothing reads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("BGPPeer", {"peerIP": "10.0.0.1", "asNumber": 64512}, "there is no BGP here"),
        ("KubeControllersConfiguration", {"controllers": {}}, "there is no Kubernetes here"),
    ],
)
def test_kinds_that_nothing_reads_are_told(kind, spec, why):
    refused, (line,) = told(kind, "default" if "Configuration" in kind else "p", spec)
    assert refused == []
    assert line.startswith(f"kind: has no effect: {why}")


def test_fields_of_pools_that_nothing_reads_are_told():
    spec = {"cidr": "10.65.0.0/24", "vxlanMode": "CrossSubnet", "ipipMode": "Never", "disableBGPExport": True}
    refused, remarked = told("IPPool", "p", spec)
    assert refused == []
    assert [line.partition(": has no effect")[0] for line in remarked] == [
        'spec.vxlanMode = "CrossSubnet"',
        "spec.disableBGPExport = true",
    ]
    assert told("IPPool", "p", {"cidr": "10.65.0.0/24"}) == ([], [])


def test_what_nothing_reads_is_a_kind_and_its_fields():
    assert KINDS.keys() >= UNREAD_KINDS.keys() | UNREAD_FIELDS.keys()
    for kind, fields in UNREAD_FIELDS.items():
        spec = {IPPool: IPPoolSpec, IPAMConfiguration: IPAMConfigurationSpec}[KINDS[kind].type]
        assert {member.name for member in record(spec).members} >= fields.keys()


# --- what another tool has stored ---------------------------------------------------------------------------------


def test_every_verb_refuses_what_is_new(bed):
    async def scenario():
        fine, wrong = {"ingress": [{"action": "Allow"}]}, {"ingress": [HTTP]}
        reasons = [f"Profile p: spec.ingress[0].{NO_HTTP}"]
        assert await bed.rejected(create("Profile", "p", wrong)) == reasons
        assert await bed.rejected(apply("Profile", "p", wrong)) == reasons
        await bed.commit(create("Profile", "p", fine))
        assert await bed.rejected(apply("Profile", "p", wrong)) == reasons
        assert await bed.rejected(replace("Profile", "p", wrong)) == reasons
        assert await bed.rejected(patch("p", {"spec": wrong})) == reasons

    run(scenario())


def test_what_is_stored_so_can_be_changed_otherwise_and_is_told(bed):
    async def scenario():
        stored = manifest("Profile", "p", {"ingress": [HTTP]}, uid="u", creationTimestamp="2026-01-01T00:00:00Z")
        await bed.store.write(put(KINDS["Profile"].key("p"), stored))
        reason = f"Profile p: spec.ingress[1].{NO_HTTP}"
        more = {"ingress": [{"action": "Deny"}, HTTP]}  # at another place now
        for change in (
            patch("p", {"spec": more}),
            apply("Profile", "p", more),
            replace("Profile", "p", more),
        ):
            (outcome,) = await bed.commit(change)
            assert list(map(str, outcome.remarks)) == [reason]
        assert await bed.rejected(patch("p", {"spec": {"egress": [HTTP]}})) == [f"Profile p: spec.egress[0].{NO_HTTP}"]
        (outcome,) = await bed.commit(Label(kind=KINDS["Profile"], name="p", put={"a": "b"}))
        assert outcome.remarks == ()

    run(scenario())


def test_what_has_no_effect_is_told_each_time(bed):
    async def scenario():
        for action in ("created", "unchanged"):
            (outcome,) = await bed.commit(apply("FelixConfiguration", "default", {"bpfEnabled": True}, where="f:1"))
            assert outcome.action == action
            assert [str(one).partition(" = ")[0] for one in outcome.remarks] == [
                "f:1: FelixConfiguration default: spec.bpfEnabled"
            ]

    run(scenario())


# --- the documentation --------------------------------------------------------------------------------------------


def rows(*, refused):
    """As they stand in the document: why, and which fields."""
    found = {}
    for name, field in UNREAD.items():
        if field.refused is refused:
            found.setdefault(field.why, []).append(f"`{name}`")
    return [f"| {', '.join(names)} | {why} |" for why, names in found.items()]


def test_the_document_lists_all_of_it():
    text = DOCUMENT.read_text()
    of_kinds = [f"| {kind} | {why} |" for kind, why in UNREAD_KINDS.items()]
    of_fields = [
        f"| {kind} `{name}` | {why} |" for kind, fields in UNREAD_FIELDS.items() for name, why in fields.items()
    ]
    section = text.partition("### Other kinds without effect\n")[2].partition("\n##")[0]
    assert section.splitlines()[-len(of_kinds) - len(of_fields) :] == [*of_kinds, *of_fields]
    for heading, refused in (("### Refused\n", True), ("### Without effect\n", False)):
        section = text.partition(heading)[2].partition("\n##")[0]
        assert [line for line in section.splitlines() if line.startswith("| `")] == rows(refused=refused)
