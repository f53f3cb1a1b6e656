"""The small nodes one by one: change trackers, set members, active policies, routes, the dispatcher."""

from __future__ import annotations

import pytest

from ocicat.calc.active_policies import ActivePolicies, ActiveProfiles
from ocicat.calc.changes import ObjectChanges, SetChanges
from ocicat.calc.configuration import Configuration
from ocicat.calc.dispatcher import Dispatcher, feed
from ocicat.calc.graph import Graph
from ocicat.calc.host_endpoints import HostEndpoints
from ocicat.calc.records import BlockRecord, NodeRecord, read_global_policy
from ocicat.calc.routes import Routes
from ocicat.calc.rules import PeerSet
from ocicat.calc.sequencer import Sequencer
from ocicat.calc.set_members import SetMembers
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.document import parse as parse_document
from ocicat.model.v3.endpoints import HostEndpoint as HostEndpointResource
from ocicat.model.v3.endpoints import HostEndpointSpec
from ocicat.model.v3.felix import FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import API_VERSION, Metadata
from ocicat.model.v3.policy import GlobalNetworkPolicy, GlobalNetworkPolicySpec, Profile, Tier, TierSpec
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedGlobalNetworkPolicySpec
from ocicat.model.wanted import (
    AddressSet,
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    InSync,
    LocalBlock,
    OpenPort,
    PortSet,
    PortSetGone,
    RemoteBlock,
    Revision,
)
from ocicat.policy import HostInterface, resolve
from ocicat.policy.endpoints import host_endpoint
from ocicat.policy.model import NamedPort
from ocicat.policy.policies import resolve_policy
from ocicat.selector import parse

ONE, TWO, THREE = map(Addr.parse, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
HERE, THERE = Cidr.parse("10.0.0.0/26"), Cidr.parse("10.0.1.0/26")


def synced() -> Sequencer:
    sequencer = Sequencer()
    sequencer.in_sync()
    assert sequencer.flush(0) == (InSync(), Revision(0))
    return sequencer


# --- changes ----------------------------------------------------------------------------------------------------


def test_object_that_came_and_went_leaves_no_trace():
    changes = ObjectChanges[str, int]()
    changes.want("a", 1)
    changes.want("a", None)
    assert changes.take() == ([], [])


def test_object_that_went_and_came_back_leaves_no_trace():
    changes = ObjectChanges[str, int]()
    changes.want("a", 1)
    changes.take()
    changes.want("a", None)
    changes.want("a", 1)
    assert changes.take() == ([], [])


def test_objects_are_taken_in_the_order_of_their_ids():
    changes = ObjectChanges[str, int]()
    for name in "cab":
        changes.want(name, ord(name))
    assert changes.take() == ([97, 98, 99], [])
    for name in "bc":
        changes.want(name, None)
    assert changes.take() == ([], ["b", "c"])


def taken(changes: SetChanges) -> tuple[list[tuple[str, set, set]], list[str]]:
    changed, gone = changes.take()
    return [(delta.set_id, delta.added, delta.removed) for delta in changed], [delta.set_id for delta in gone]


def test_set_is_created_and_filled_at_once():
    changes = SetChanges()
    changes.open("s")
    changes.add("s", ONE)
    assert taken(changes) == ([("s", {ONE}, set())], [])


def test_empty_set_is_created_too():
    changes = SetChanges()
    changes.open("s")
    assert taken(changes) == ([("s", set(), set())], [])


def test_member_that_came_and_went_leaves_no_trace():
    changes = SetChanges()
    changes.open("s")
    changes.take()
    changes.add("s", ONE)
    changes.remove("s", ONE)
    assert taken(changes) == ([], [])


def test_set_that_was_opened_and_closed_leaves_no_trace():
    changes = SetChanges()
    changes.open("s")
    changes.close("s")
    assert taken(changes) == ([], [])


def test_set_that_was_closed_and_opened_again_comes_out_as_the_difference():
    changes = SetChanges()
    changes.open("s", {ONE, THREE})
    changes.take()
    changes.close("s", {ONE, THREE})
    changes.open("s", {TWO, THREE})
    assert taken(changes) == ([("s", {TWO}, {ONE})], [])


def test_member_that_came_before_the_set_was_closed_and_opened_again_leaves_no_trace():
    changes = SetChanges()
    changes.open("s", {ONE})
    changes.take()
    changes.add("s", TWO)
    changes.close("s", {ONE, TWO})
    changes.open("s", {ONE})
    assert taken(changes) == ([], [])


def test_set_that_is_gone_says_nothing_of_its_members():
    changes = SetChanges()
    changes.open("s", {ONE})
    changes.take()
    changes.add("s", TWO)
    changes.close("s", {ONE, TWO})
    assert taken(changes) == ([], ["s"])


# --- sequencer --------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_in_sync_and_nothing_is_lost():
    sequencer = Sequencer()
    sequencer.block(HERE, LocalBlock(HERE))
    assert sequencer.flush(1) == ()
    sequencer.in_sync()
    assert sequencer.flush(2) == (LocalBlock(HERE), InSync(), Revision(2))


def test_members_are_told_by_what_they_are():
    sequencer = synced()
    sequencer.open_set("s", [ONE], of_ports=False)
    sequencer.open_set("p", [(ONE, 6, 80)], of_ports=True)
    sequencer.add_member("s", THERE)
    ports, addresses, _ = sequencer.flush(1)
    assert ports == PortSet("p", frozenset({(ONE, 6, 80)}))
    assert addresses == AddressSet("s", frozenset({ONE}), nets_added=frozenset({THERE}))
    sequencer.remove_member("s", THERE)
    sequencer.close_set("p", [(ONE, 6, 80)])
    assert sequencer.flush(2)[:2] == (AddressSet("s", nets_removed=frozenset({THERE})), PortSetGone("p"))


# --- set members ------------------------------------------------------------------------------------------------

EVERY = parse("all()")
HTTP = NamedPort("http", 6, 80)


def test_address_stays_while_one_endpoint_holds_it():
    sequencer = synced()
    members = SetMembers(sequencer)
    for name in ("e", "f"):
        members.replace(name, (ONE,), (), ())
    members.open(PeerSet("s", EVERY), ["e"])
    members.match_started("s", "f")
    assert sequencer.flush(1)[0] == AddressSet("s", frozenset({ONE}))
    members.match_stopped("s", "e")
    assert sequencer.flush(2) == (Revision(2),)
    members.match_stopped("s", "f")
    assert sequencer.flush(3)[0] == AddressSet("s", removed=frozenset({ONE}))


def test_new_address_replaces_the_old_in_every_set():
    sequencer = synced()
    members = SetMembers(sequencer)
    members.replace("e", (ONE,), (), ())
    for set_id in ("s", "t"):
        members.open(PeerSet(set_id, EVERY), ["e"])
    sequencer.flush(1)
    members.replace("e", (TWO,), (), ("s", "t"))
    exchanged = [AddressSet(set_id, frozenset({TWO}), frozenset({ONE})) for set_id in ("s", "t")]
    assert sequencer.flush(2) == (*exchanged, Revision(2))


def test_set_of_ports_holds_those_of_its_name_and_protocol():
    sequencer = synced()
    members = SetMembers(sequencer)
    members.open(PeerSet("p", EVERY, 6, "http"), ())
    members.replace("e", (ONE, TWO), (HTTP, NamedPort("http", 17, 81), NamedPort("dns", 6, 53)), ())
    members.match_started("p", "e")
    assert sequencer.flush(1)[0] == PortSet("p", frozenset({(ONE, 6, 80), (TWO, 6, 80)}))
    members.replace("e", (ONE,), (NamedPort("http", 6, 8080),), ("p",))
    expected = PortSet("p", frozenset({(ONE, 6, 8080)}), frozenset({(ONE, 6, 80), (TWO, 6, 80)}))
    assert sequencer.flush(2)[0] == expected


# --- active profiles --------------------------------------------------------------------------------------------


def profile(name: str) -> Profile:
    return Profile(metadata=Metadata(name=name))


def exists(active: ActiveProfiles) -> dict[str, bool]:
    return {name: found is not None for name, found in active.take().items()}


def test_profile_is_active_from_its_first_endpoint_to_its_last():
    active = ActiveProfiles()
    active.set_profile("p", profile("p"))
    assert exists(active) == {}
    active.set_endpoint("e", ("p",))
    active.set_endpoint("f", ("p", "q"))
    assert exists(active) == {"p": True, "q": False}
    active.set_endpoint("e", ())
    assert exists(active) == {"p": True}
    active.set_endpoint("f", ("q",))
    assert exists(active)["p"] is False


def test_active_profile_follows_its_edits():
    active = ActiveProfiles()
    active.set_endpoint("e", ("p",))
    assert exists(active) == {"p": False}
    active.set_profile("p", profile("p"))
    assert exists(active) == {"p": True}
    active.set_profile("p", None)
    assert exists(active) == {"p": False}


# --- active policies --------------------------------------------------------------------------------------------


def policy(selector: str, **spec):
    spec = GlobalNetworkPolicySpec(selector=selector, **spec)
    return resolve_policy(GlobalNetworkPolicy(metadata=Metadata(name="p"), spec=spec))


def active(active: ActivePolicies) -> tuple[dict[str, bool], frozenset[str]]:
    policies, endpoints = active.take()
    return {key: found is not None for key, found in policies.items()}, endpoints


def test_policy_is_active_from_its_first_endpoint_to_its_last():
    policies = ActivePolicies()
    policies.set_policy("p", policy("a == 'b'"))
    assert active(policies) == ({"p": False}, set())
    policies.set_endpoint("e", {"a": "b"}, ())
    assert active(policies) == ({"p": True}, {"e"})
    policies.set_endpoint("f", {"a": "b"}, ())
    policies.set_endpoint("e", {"a": "x"}, ())
    assert active(policies) == ({}, {"e", "f"})
    policies.remove_endpoint("f")
    assert active(policies) == ({"p": False}, {"f"})


def test_endpoint_that_a_policy_does_not_select_is_left_alone():
    policies = ActivePolicies()
    policies.set_endpoint("e", {"a": "b"}, ())
    policies.set_endpoint("f", {"a": "c"}, ())
    policies.set_policy("p", policy("a == 'b'"))
    policies.set_policy("q", policy("a == 'c'", tier="t"))
    policies.take()
    policies.set_policy("p", policy("a == 'b'", order=1))
    assert active(policies) == ({"p": True}, {"e"})
    policies.set_tier("t", Tier(metadata=Metadata(name="t"), spec=TierSpec(order=1)))
    assert active(policies) == ({}, {"f"})


def test_staged_policy_in_a_tier_that_is_not_there_denies_nothing():
    policies = ActivePolicies()
    policies.set_policy("p", policy("all()", tier="t"))
    staged = StagedGlobalNetworkPolicy(metadata=Metadata(name="s"), spec=StagedGlobalNetworkPolicySpec(tier="t"))
    policies.set_policy("s", resolve_policy(staged))
    told = {problem.key: problem.text for problem in policies.problems()}
    missing = "there is no tier t: it comes after all others, and "
    assert told == {
        "p": missing + "denies what its policies do not decide",
        "s": missing + "a staged policy alone decides nothing there",
    }


def test_equal_policy_changes_nothing():
    policies = ActivePolicies()
    policies.set_policy("p", policy("all()"))
    policies.set_endpoint("e", {}, ())
    policies.take()
    policies.set_policy("p", policy("all()"))
    policies.set_endpoint("e", {}, ())
    assert active(policies) == ({}, set())


def test_rule_with_an_unknown_field_denies_and_the_others_stay():
    rules = '[{"action":"Allow"},{"action":"Allow","source":{"colour":"red"}}]'
    head = '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"},"spec":'
    value = head + '{"types":["Ingress"],"ingress":' + rules + ',"egress":' + rules + "}}"
    found = read_global_policy(KINDS["GlobalNetworkPolicy"].key("p"), value.encode())
    assert [(rule.action, rule.problem) for rule in found.ingress] == [
        ("Allow", ""),
        ("Deny", "source.colour: this version does not know it"),
    ]
    assert found.egress is None


@pytest.mark.parametrize("field", ["source", "colour", "metadata"])
def test_unknown_fields_mean_the_same_to_the_model_of_policy(field):
    rule = {"action": "Allow", field: {"colour": "red"}}
    raw = {
        "apiVersion": API_VERSION,
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"ingress": [rule]},
    }
    enforced = resolve([parse_document(raw)]).enforced.policies
    assert enforced == (read_global_policy(KINDS["GlobalNetworkPolicy"].key("p"), encode_json(raw)),)


def test_what_says_nothing_about_packets_may_be_unknown():
    rule = '{"action":"Allow","source":{"colour":"red"}},{"action":"Allow","metadata":{"colour":"red"}}'
    value = f'{{"kind":"GlobalNetworkPolicy","apiVersion":"{API_VERSION}","metadata":{{"name":"p"}},"spec":{{"ingress":[{rule}]}}}}'
    found = read_global_policy(KINDS["GlobalNetworkPolicy"].key("p"), value.encode())
    assert [rule.action for rule in found.ingress] == ["Deny", "Allow"]


# --- configuration ----------------------------------------------------------------------------------------------


def test_settings_of_the_host_go_before_the_general_ones():
    sequencer = Sequencer()
    sequencer.in_sync()
    configuration = Configuration("h", sequencer)
    usual = sequencer.flush(0)[0]
    assert usual.endpoint_to_host == "Drop"
    assert OpenPort(6, 22) in usual.failsafe_inbound
    general = FelixConfigurationSpec(log_prefix="g", failsafe_inbound_host_ports=(), vxlan_port=1)
    assert configuration.set("default", general)
    assert configuration.set("node.h", FelixConfigurationSpec(default_endpoint_to_host_action="RETURN", vxlan_port=2))
    assert configuration.set("node.i", FelixConfigurationSpec(workload_source_spoofing="Any"))
    outbound = usual.failsafe_outbound
    expected = HostSettings((), outbound, endpoint_to_host="Return", vxlan_port=2, log_prefix="g")
    assert sequencer.flush(1) == (expected, Revision(1))
    assert [configuration.of(host).source_spoofing for host in "hij"] == [False, True, False]
    assert not configuration.set("default", general)
    for name in ("default", "node.h", "node.i"):
        configuration.set(name, None)
    assert sequencer.flush(2) == (usual, Revision(2))


def test_log_prefix_that_could_break_the_ruleset_is_passed_over():
    sequencer = Sequencer()
    sequencer.in_sync()
    configuration = Configuration("h", sequencer)
    configuration.set("default", FelixConfigurationSpec(log_prefix="g"))
    configuration.set("node.h", FelixConfigurationSpec(log_prefix='x" accept; #'))
    assert sequencer.flush(1)[0].log_prefix == "g"
    assert ["logPrefix is passed over" in problem.text for problem in configuration.problems()] == [True]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"failsafe_inbound_host_ports": (ProtoPort(port=1, protocol="x"),)}, "failsafeInboundHostPorts"),
        ({"failsafe_outbound_host_ports": (ProtoPort(port=70000),)}, "failsafeOutboundHostPorts"),
        ({"failsafe_outbound_host_ports": (ProtoPort(port=1, net="x"),)}, "failsafeOutboundHostPorts"),
        ({"default_endpoint_to_host_action": "Reject"}, "defaultEndpointToHostAction"),
        ({"vxlan_port": 70000}, "vxlanPort"),
        ({"workload_source_spoofing": "all"}, "workloadSourceSpoofing"),
        ({"floating_i_ps": "on"}, "floatingIPs"),
        ({"log_prefix": 'a" drop'}, "logPrefix"),
        ({"nftables_mark_mask": 0}, "nftablesMarkMask"),
        ({"iptables_mark_mask": 2**32}, "iptablesMarkMask"),
    ],
)
def test_a_setting_that_cannot_be_used_is_passed_over_and_the_others_stay(bad, field):
    sequencer = Sequencer()
    sequencer.in_sync()
    configuration = Configuration("h", sequencer)
    configuration.set("default", FelixConfigurationSpec(ipv6_support=True))
    usual = sequencer.flush(0)[0]
    configuration.set("node.h", FelixConfigurationSpec(**bad, allow_ipip_packets_from_workloads=True))
    assert sequencer.flush(1)[0] == replace(usual, ipip_from_workloads=True)
    assert [problem.text.partition(" is passed over: ")[0] for problem in configuration.problems()] == [field]


def test_what_another_tool_stored_and_nobody_reads_is_a_problem_where_it_matters():
    configuration = Configuration("h", synced())
    configuration.set("default", FelixConfigurationSpec(wireguard_enabled=True, bpf_enabled=True, ipip_enabled=False))
    assert [problem.text for problem in configuration.problems()] == [
        "wireguardEnabled is not supported: traffic between hosts is not encrypted here"
    ]


@pytest.mark.parametrize(
    ("general", "special", "mark"),
    [
        ({}, {}, None),
        ({"nftables_mark_mask": 0xFFFF0000}, {}, 0x10000),
        ({"nftables_mark_mask": 0xFFFF0000}, {"nftables_mark_mask": 0x80000000}, 0x80000000),
        ({"iptables_mark_mask": 0x0FF0}, {}, 0x10),
        ({"nftables_mark_mask": 0xF}, {"iptables_mark_mask": 0xF0}, 1),
        ({"nftables_mark_mask": 0xF00}, {"nftables_mark_mask": 0}, 0x100),
    ],
)
def test_the_mark_is_the_lowest_bit_of_the_mask(general, special, mark):
    sequencer = Sequencer()
    sequencer.in_sync()
    configuration = Configuration("h", sequencer)
    configuration.set("default", FelixConfigurationSpec(**general))
    configuration.set("node.h", FelixConfigurationSpec(**special))
    assert sequencer.flush(1)[0].mark == mark


# --- host endpoints ---------------------------------------------------------------------------------------------


def host_endpoints(sequencer: Sequencer) -> HostEndpoints:
    return HostEndpoints(sequencer, applied=lambda key: (), is_workload=lambda interface: False)


def test_found_interface_goes_before_the_written_one():
    sequencer = synced()
    nodes = host_endpoints(sequencer)
    spec = HostEndpointSpec(node="h", expected_ips=("10.0.0.1",))
    nodes.set("key", host_endpoint(HostEndpointResource(metadata=Metadata(name="one"), spec=spec), {}))
    nodes.interfaces_written([HostInterface("h", "eth0", (ONE,)), HostInterface("h", "eth1", (TWO,))])
    nodes.settle(())
    assert sequencer.flush(1)[0] == HostEndpoint("key", "eth0")
    nodes.interfaces_found([HostInterface("h", "eth0", (TWO,)), HostInterface("h", "eth2", (ONE,))])
    nodes.settle(())
    assert sequencer.flush(2)[:2] == (HostEndpointGone("eth0"), HostEndpoint("key", "eth2"))


def test_nothing_is_looked_at_that_was_not_touched():
    asked = []
    sequencer = synced()
    nodes = HostEndpoints(sequencer, applied=lambda key: asked.append(key) or (), is_workload=lambda interface: False)
    spec = HostEndpointSpec(node="h", interface_name="eth0")
    nodes.set("key", host_endpoint(HostEndpointResource(metadata=Metadata(name="one"), spec=spec), {}))
    for touched in (("other",), ("other",), ("key",)):
        nodes.settle(touched)
    assert asked == ["key", "key"]


# --- routes -----------------------------------------------------------------------------------------------------


def test_node_change_says_only_its_own_blocks():
    sequencer = synced()
    routes = Routes("h1", sequencer)
    routes.set_node("h2", NodeRecord((ONE,)))
    routes.set_node("h3", NodeRecord((ONE,)))
    routes.set_block("here", BlockRecord(HERE, "h2"))
    routes.set_block("there", BlockRecord(THERE, "h3"))
    sequencer.flush(1)
    routes.set_node("h3", NodeRecord((TWO,)))
    assert sequencer.flush(2) == (RemoteBlock(THERE, TWO), Revision(2))


def test_block_that_changes_hands_is_said_once():
    sequencer = synced()
    routes = Routes("h1", sequencer)
    routes.set_node("h2", NodeRecord((ONE,)))
    routes.set_block("b", BlockRecord(HERE, "h1"))
    assert sequencer.flush(1) == (LocalBlock(HERE), Revision(1))
    routes.set_block("b", BlockRecord(HERE, "h2"))
    assert sequencer.flush(2) == (RemoteBlock(HERE, ONE), Revision(2))


def test_a_block_of_one_address_yields_to_its_borrower():
    one = Cidr.parse("10.0.0.7/32")
    record = BlockRecord(one, "h2", ((one, "h3"),))
    routed = {"h1": RemoteBlock(one, TWO), "h2": RemoteBlock(one, TWO), "h3": None}
    for host, wanted in routed.items():
        sequencer = synced()
        routes = Routes(host, sequencer)
        routes.set_node("h2", NodeRecord((ONE,)))
        routes.set_node("h3", NodeRecord((TWO,)))
        routes.set_block("b", record)
        assert sequencer.flush(1) == (*filter(None, (wanted,)), Revision(1))


# --- dispatcher -------------------------------------------------------------------------------------------------


def test_value_that_cannot_be_read_counts_as_deleted_and_is_a_problem():
    seen = []

    def read(key, value):
        if value == b"bad":
            raise UserError("it is bad")
        return value

    dispatcher = Dispatcher({"/a/": feed(read, lambda key, record: seen.append(record))})
    dispatcher.update("/a/x", b"good")
    dispatcher.update("/a/x", b"bad")
    assert [(problem.key, problem.text) for problem in dispatcher.problems()] == [("/a/x", "it is bad")]
    dispatcher.update("/a/x", b"good")
    assert seen == [b"good", None, b"good"]
    assert not list(dispatcher.problems())


NESTED = b'{"metadata":{"name":"x"},"junk":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("value", [b"", b"\xff", b'{"metadata":{"name":"\xff"}}', b"null", NESTED])
@pytest.mark.parametrize("key", [keys.workload("n", "e"), keys.profile("p"), keys.node("h"), keys.block(HERE)])
def test_hostile_value_is_a_problem_of_its_key(key, value):
    graph = Graph("h")
    graph.update(key, value)
    assert graph.problems().keys() == {key}
    graph.update(key, None)
    assert graph.problems() == {}


def endpoint(**spec) -> bytes:
    fields = {"orchestrator": "o", "node": "h", "interfaceName": "i", "ipNetworks": ["10.0.0.1"], **spec}
    return encode_json({"metadata": {"name": "e"}, "spec": fields})


@pytest.mark.parametrize(
    "spec",
    [
        {"ipNetworks": []},
        {"ipNetworks": ["10.0.0.0/24"]},
        {"ipNetworks": ["10.0.0.1/" + "9" * 5000]},
        {"interfaceName": ""},
        {"interfaceName": "sixteen-letters-"},
        {"interfaceName": 'a"; drop'},
        {"interfaceName": "trailing\n"},
    ],
)
def test_endpoint_that_cannot_be_used_is_a_problem_and_not_sent(spec):
    graph = Graph("h")
    graph.update(keys.workload("n", "e"), endpoint(**spec))
    graph.in_sync()
    settings, *rest = graph.flush(1)
    assert isinstance(settings, HostSettings)
    assert rest == [InSync(), Revision(1)]
    assert graph.problems().keys() == {keys.workload("n", "e")}


def test_block_under_another_key_is_a_problem():
    value = {"cidr": str(THERE), "affinity": "host:h", "allocations": [], "unallocated": [], "attributes": []}
    graph = Graph("h")
    graph.update(keys.block(HERE), encode_json(value))
    assert "own key" in graph.problems()[keys.block(HERE)]


def test_problem_of_a_rule_names_where_it_is():
    graph = Graph("h")
    graph.in_sync()
    rules = b'[{"action":"Allow"},{"action":"Deny","protocol":"x"}]'
    graph.update(keys.profile("p"), b'{"metadata":{"name":"p"},"spec":{"egress":' + rules + b"}}")
    graph.flush(1)
    assert graph.problems() == {}
    graph.update(keys.workload("n", "e"), endpoint(profiles=["p"]))
    graph.flush(2)
    (text,) = graph.problems().values()
    assert text.startswith("spec.egress[1] denies whatever reaches it: protocol: 'x' is no protocol")
