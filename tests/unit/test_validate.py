"""Rules that Calico's tables do not show: names, updates, other objects, and the text of problems."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ocicat.model.net import Cidr
from ocicat.model.v3.document import parse
from ocicat.model.v3.endpoints import QoSControls
from ocicat.validate import conflicts, reasons_to_keep, validate, validate_part, validate_update

NAMESPACED = ("NetworkPolicy", "NetworkSet", "WorkloadEndpoint", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy")


def resource(kind, name="x", *, labels=None, namespace=None, **spec):
    metadata = {"name": name, "labels": labels or {}}
    if namespace or (namespace is None and kind in NAMESPACED):
        metadata["namespace"] = namespace or "default"
    document = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}
    return parse(document).resource


def lines(kind, name="x", **more):
    return [str(problem) for problem in validate(resource(kind, name, **more))]


@dataclass
class Others:
    there: list = field(default_factory=list)
    prefixes: list = field(default_factory=list)
    tiers: dict = field(default_factory=dict)

    def pools(self):
        return self.there

    def blocks(self):
        return self.prefixes

    def has_tier(self, name):
        return name in self.tiers

    def policies_in(self, tier):
        return self.tiers.get(tier, ())


@pytest.mark.parametrize(
    ("kind", "spec", "line"),
    [
        ("IPPool", {"cidr": "10.0.0.1/8"}, 'spec.cidr = "10.0.0.1/8": has host bits set: did you mean 10.0.0.0/8?'),
        (
            "IPPool",
            {"cidr": "10.0.0.0/30"},
            'spec.cidr = "10.0.0.0/30": holds no block: blocks are /26; enlarge it or set blockSize',
        ),
        ("IPPool", {"cidr": "10.0.0.0/8", "blockSize": 19}, "spec.blockSize = 19: must be between 20 and 32 for IPv4"),
        ("BGPPeer", {"ttlSecurity": 256}, "spec.ttlSecurity = 256: must be between 0 and 255"),
        (
            "GlobalNetworkPolicy",
            {"ingress": [{"action": "Allow", "protocol": "GRE"}]},
            'spec.ingress[0].protocol = "GRE": must be 1 to 255 or one of ICMP, TCP, UDP, ICMPv6, SCTP, UDPLite',
        ),
        (
            "GlobalNetworkPolicy",
            {"ingress": [{"action": "Allow", "source": {"nets": ["10.0.0.0/8", "fd00::/8"]}}]},
            'spec.ingress[0].source.nets[1] = "fd00::/8": is of another family than source.nets[0]: make two rules',
        ),
        (
            "HostEndpoint",
            {"node": "a", "interfaceName": "eth0/1"},
            'spec.interfaceName = "eth0/1": must be an interface: at most 15 of a-z A-Z 0-9 _ . -, or * for every interface',
        ),
    ],
)
def test_a_problem_names_the_field_the_value_and_the_rule(kind, spec, line):
    assert lines(kind, **spec) == [line]


def test_every_problem_is_told_not_only_the_first():
    found = validate(resource("IPPool", "UPPER", cidr="fd00::1/120", ipipMode="Always", nodeSelector="a =="))
    assert {problem.field for problem in found} == {"metadata.name", "spec.cidr", "spec.ipipMode", "spec.nodeSelector"}


def test_whatever_was_written_the_problem_stays_one_line():
    fields = {"node": "h", "orchestrator": "a\nb", "workload": "w", "endpoint": "e", "interfaceName": "cali1"}
    assert not any("\n" in line for line in lines("WorkloadEndpoint", **fields))


def test_a_long_value_is_cut():
    assert all(len(line) < 300 for line in lines("GlobalNetworkPolicy", selector="a == " * 500))


def test_a_broken_selector_shows_where():
    (line,) = lines("GlobalNetworkPolicy", selector="a = 'b'")
    assert "column 3" in line


@pytest.mark.parametrize(("kind", "namespace"), [("NetworkPolicy", ""), ("IPPool", "default")])
def test_a_namespace_is_given_where_there_is_one(kind, namespace):
    spec = {"cidr": "10.0.0.0/8"} if kind == "IPPool" else {}
    assert lines(kind, namespace=namespace, **spec)[0].startswith("metadata.namespace")


@pytest.mark.parametrize("kind", ["IPAMConfiguration", "ClusterInformation"])
def test_some_kinds_have_one_object_only(kind):
    assert lines(kind, "default") == []
    assert lines(kind, "other")[0].startswith("metadata.name")


def test_a_workload_endpoint_has_the_name_its_fields_make():
    fields = {"node": "h-1", "orchestrator": "cni", "containerID": "c0", "endpoint": "eth0", "interfaceName": "cali1"}
    assert lines("WorkloadEndpoint", "h--1-cni-c0-eth0", **fields) == []
    assert "must be h--1-cni-c0-eth0" in lines("WorkloadEndpoint", "other", **fields)[0]


def test_the_namespace_label_is_not_for_global_sets():
    assert lines("GlobalNetworkSet", labels={"projectcalico.org/namespace": "a"}) != []


def test_what_concerns_the_cluster_is_not_said_for_one_node():
    assert lines("BGPConfiguration", "node.a", logSeverityScreen="Debug") == []
    assert lines("BGPConfiguration", "node.a", asNumber=64512) != []


def test_global_inside_quotes_is_a_value():
    assert lines("GlobalNetworkPolicy", selector="a == 'global()'") == []


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("spec.cidr", {"cidr": "10.0.0.0/8"}, {"cidr": "10.0.0.0/9"}),
        ("spec.blockSize", {"cidr": "10.0.0.0/8", "blockSize": 26}, {"cidr": "10.0.0.0/8", "blockSize": 27}),
        (
            "spec.allowedUses",
            {"cidr": "10.0.0.0/8", "allowedUses": ["LoadBalancer"]},
            {"cidr": "10.0.0.0/8", "allowedUses": ["Workload"]},
        ),
    ],
)
def test_what_never_changes(path, before, after):
    assert [p.field for p in validate_update(resource("IPPool", **before), resource("IPPool", **after))] == [path]


def test_what_may_change():
    before = resource("IPPool", cidr="10.0.0.0/8")
    assert validate_update(before, resource("IPPool", cidr="10.0.0.0/8", natOutgoing=True, disabled=True)) == ()


def test_a_pool_keeps_its_default_block_size_when_it_is_written_out():
    before, after = resource("IPPool", cidr="10.0.0.0/8"), resource("IPPool", cidr="10.0.0.0/8", blockSize=26)
    assert validate_update(before, after) == ()


def test_a_name_and_a_kind_never_change():
    assert [p.field for p in validate_update(resource("Tier", "a"), resource("Tier", "b"))] == ["metadata.name"]
    assert [p.field for p in validate_update(resource("Tier"), resource("Profile"))] == ["kind"]


def test_pools_do_not_overlap():
    world = Others(there=[resource("IPPool", "old", cidr="10.0.0.0/8")])
    found = conflicts(resource("IPPool", "new", cidr="10.1.0.0/16"), world, creates=True)
    assert [str(p) for p in found] == ['spec.cidr = "10.1.0.0/16": overlaps with the pool old (10.0.0.0/8)']
    assert conflicts(resource("IPPool", "old", cidr="10.0.0.0/8"), world, creates=False) == ()


def test_a_pool_is_not_made_over_blocks_of_another_size():
    world = Others(prefixes=[Cidr.parse("10.0.0.0/27")])
    assert conflicts(resource("IPPool", cidr="10.0.0.0/8"), world, creates=True)[0].field == "spec.blockSize"
    assert conflicts(resource("IPPool", cidr="10.0.0.0/8"), world, creates=False) == ()
    assert conflicts(resource("IPPool", cidr="10.0.0.0/8", blockSize=27), world, creates=True) == ()


@pytest.mark.parametrize(
    "kind", ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"]
)
def test_a_policy_needs_its_tier(kind):
    assert conflicts(resource(kind, tier="eng"), Others(), creates=True)[0].field == "spec.tier"
    assert conflicts(resource(kind, tier="eng"), Others(tiers={"eng": []}), creates=True) == ()
    assert conflicts(resource(kind), Others(), creates=True) == ()


def test_a_tier_stays_while_it_holds_policies():
    world = Others(tiers={"eng": ["a", "b", "c", "d"], "empty": []})
    rule = "the tier holds 4 policies (a, b, c ...): delete or move them first"
    assert [p.rule for p in reasons_to_keep(resource("Tier", "eng"), world)] == [rule]
    assert reasons_to_keep(resource("Tier", "empty"), world) == ()


@pytest.mark.parametrize(
    ("kind", "name"), [("Tier", "default"), ("Tier", "kube-admin"), ("Profile", "projectcalico-default-allow")]
)
def test_some_objects_always_exist(kind, name):
    assert reasons_to_keep(resource(kind, name), Others()) != ()


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (
            {"ingress_bandwidth": 1000, "ingress_peakrate": 1010, "ingress_minburst": 999},
            "spec.qosControls.ingressMinburst = 999: must be between 1000 and 100000000",
        ),
        (
            {"egress_bandwidth": 2000, "egress_peakrate": 2000},
            "spec.qosControls.egressPeakrate = 2000: must be greater than egressBandwidth, which must be given",
        ),
        ({"ingress_burst": 5000}, "spec.qosControls.ingressBurst = 5000: means nothing without ingressBandwidth"),
        (
            {"egress_packet_burst": 5},
            "spec.qosControls.egressPacketBurst = 5: means nothing without egressPacketRate",
        ),
    ],
)
def test_limits_need_each_other(limits, line):
    assert [str(problem) for problem in validate_part(QoSControls(**limits), "spec.qosControls")] == [line]
