"""Reading any resource, and changing one without losing what this version does not know."""

from __future__ import annotations

import json

import pytest

from ocicat.errors import UserError
from ocicat.model.base import replace
from ocicat.model.codec import decode_json
from ocicat.model.v3.defaults import policy_types, with_defaults
from ocicat.model.v3.document import Malformed, merged, parse
from ocicat.model.v3.endpoints import GlobalNetworkSet
from ocicat.model.v3.kinds import KINDS, kind_named
from ocicat.model.v3.metadata import Metadata
from ocicat.model.v3.policy import NetworkPolicy, NetworkPolicySpec, Profile, Rule


def policy(**spec):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web", "namespace": "default", "managedFields": [{"manager": "kubectl"}]},
        "spec": spec,
    }


def changed(document, **spec):
    return replace(document.resource, spec=replace(document.resource.spec, **spec))


def spec_after(document, **spec):
    return json.loads(merged(document, changed(document, **spec)))["spec"]


def test_unknown_fields_are_named():
    document = parse(policy(new=1, ingress=[{"action": "Allow", "source": {"nets": [], "asn": 5}}]))
    assert document.unknown == ("metadata.managedFields", "spec.new", "spec.ingress[0].source.asn")


def test_unknown_fields_survive_a_change_beside_them():
    document = parse(policy(new={"deep": [1]}, order=1))
    after = json.loads(merged(document, changed(document, order=2.0)))
    assert after["spec"] == {"new": {"deep": [1]}, "order": 2.0}
    assert after["metadata"]["managedFields"] == [{"manager": "kubectl"}]


def test_unknown_fields_survive_in_a_rule_that_moves():
    document = parse(policy(ingress=[{"action": "Allow", "new": 1}, {"action": "Deny"}]))
    ingress = (Rule(action="Log"), *document.resource.spec.ingress)
    assert spec_after(document, ingress=ingress)["ingress"] == [
        {"action": "Log"},
        {"action": "Allow", "new": 1},
        {"action": "Deny"},
    ]


def test_unknown_fields_survive_in_a_rule_that_changes():
    document = parse(policy(ingress=[{"action": "Allow", "new": 1}]))
    assert spec_after(document, ingress=(Rule(action="Deny"),))["ingress"] == [{"action": "Deny", "new": 1}]


def test_equal_rules_keep_each_its_own():
    document = parse(policy(ingress=[{"action": "Allow", "new": 1}, {"action": "Allow", "new": 2}]))
    after = spec_after(document, ingress=document.resource.spec.ingress[:1], order=1.0)
    assert after["ingress"] == [{"action": "Allow", "new": 1}]


def test_a_field_set_to_its_default_disappears():
    document = parse(policy(selector="a == 'b'", order=5))
    assert spec_after(document, selector="", order=None) == {}


def test_a_default_that_was_written_out_stays():
    document = parse(policy(tier="default", order=5))
    assert spec_after(document, order=6.0) == {"tier": "default", "order": 6.0}


def test_null_is_absent():
    document = parse(policy(ingress=None, selector=None))
    assert document.resource.spec == NetworkPolicySpec()
    assert document.unknown == ("metadata.managedFields",)


def test_a_rule_with_an_unknown_condition_is_not_readable_for_enforcement():
    text = json.dumps({"metadata": {"name": "a"}, "spec": {"ingress": [{"action": "Allow", "new": 1}]}})
    with pytest.raises(UserError, match="new"):
        decode_json(Profile, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "NetworkPolicies!"}, "no kind of resource.*did you mean NetworkPolicy"),
        ({"kind": None}, "^the resource: kind: is missing"),
        ({"kind": ["NetworkPolicy"]}, r"^the resource: kind: \['NetworkPolicy'\] must be text"),
        ({"kind": "networkpolicy"}, "^networkpolicy default/web: kind: 'networkpolicy' must be 'NetworkPolicy'"),
        ({"apiVersion": "v1"}, "^NetworkPolicy default/web: apiVersion: 'v1' must be 'projectcalico.org/v3'$"),
        ({"apiVersion": None}, r"apiVersion: is missing \(write apiVersion: projectcalico.org/v3\)"),
        ({"spec": {"order": "first"}}, "^NetworkPolicy default/web: spec.order"),
        (
            {"spec": {"ingress": [{"action": "Maybe"}]}},
            r"^NetworkPolicy default/web: spec.ingress\[0\].action: 'Maybe' must be one of Allow, Deny, Log, Pass",
        ),
        ({"spec": {"ingress": [{}]}}, r"^NetworkPolicy default/web: spec.ingress\[0\]: .*action"),
        ({"metadata": {"name": 3}}, "^NetworkPolicy: metadata.name: "),
    ],
)
def test_what_cannot_be_read_says_where(change, message):
    with pytest.raises(Malformed, match=message) as caught:
        parse({**policy(), **change})
    field = caught.value.field
    assert caught.value.fault.startswith(f"{field}: ")
    assert field.partition(".")[0] in change


def test_a_nameless_endpoint_whose_metadata_are_none_is_refused():
    spec = {"orchestrator": "mesos", "workload": "a", "node": "h1", "endpoint": "eth0"}
    endpoint = {"apiVersion": "projectcalico.org/v3", "kind": "WorkloadEndpoint", "metadata": 3, "spec": spec}
    with pytest.raises(Malformed, match=r"^WorkloadEndpoint: metadata: expected"):
        parse(endpoint)
    assert parse(endpoint | {"metadata": None}).resource.metadata.name == "h1-mesos-a-eth0"


@pytest.mark.parametrize("text", [b"[]", b"{", b'"x"'])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(UserError, match=r"web\.json"):
        parse(text, what="web.json")


def test_a_document_does_not_change_its_kind():
    with pytest.raises(UserError, match="a NetworkPolicy cannot become a GlobalNetworkSet"):
        merged(parse(policy()), GlobalNetworkSet(metadata=Metadata(name="x")))


@pytest.mark.parametrize("word", ["IPPool", "ippools", "IPP", "pool", "POOLS"])
def test_a_kind_has_many_names(word):
    assert kind_named(word).name == "IPPool"


def test_no_two_kinds_share_a_name():
    words = [word.lower() for kind in KINDS.values() for word in {kind.name.lower(), kind.plural, *kind.aliases}]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_that_of_its_type_and_its_immutable_fields_exist(kind):
    assert kind.type.kind is not None
    assert all(path.split(".")[0] in ("metadata", "spec") for path in kind.immutable)


@pytest.mark.parametrize(
    ("kind", "namespace", "key"),
    [
        ("IPPool", "", "/calico/resources/v3/projectcalico.org/ippools/x"),
        ("NetworkPolicy", "default", "/calico/resources/v3/projectcalico.org/networkpolicies/default/x"),
    ],
)
def test_an_object_lies_under_its_plural(kind, namespace, key):
    assert KINDS[kind].key("x", namespace) == key


@pytest.mark.parametrize(("kind", "namespace"), [("IPPool", "default"), ("NetworkPolicy", ""), ("IPAMBlock", "")])
def test_an_object_that_cannot_lie_there_has_no_key(kind, namespace):
    with pytest.raises(UserError):
        KINDS[kind].key("x", namespace)


@pytest.mark.parametrize(
    ("ingress", "egress", "types"),
    [(0, 0, ("Ingress",)), (1, 0, ("Ingress",)), (0, 1, ("Egress",)), (1, 1, ("Ingress", "Egress"))],
)
def test_a_policy_applies_in_the_directions_it_has_rules_for(ingress, egress, types):
    rule = Rule(action="Allow")
    assert policy_types(NetworkPolicySpec(ingress=(rule,) * ingress, egress=(rule,) * egress)) == types


def test_defaults_are_filled_in_when_an_object_is_created():
    created = with_defaults(parse(policy(egress=[{"action": "Allow", "protocol": "udp"}])).resource)
    assert isinstance(created, NetworkPolicy)
    assert (created.spec.types, created.spec.egress[0].protocol) == (("Egress",), "UDP")


@pytest.mark.parametrize(("cidr", "size"), [("10.0.0.0/8", 26), ("fd00::/64", 122)])
def test_a_pool_gets_the_block_size_of_its_family(cidr, size):
    pool = {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": cidr}}
    assert with_defaults(parse(pool).resource).spec.block_size == size
