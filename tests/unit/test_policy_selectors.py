"""Which endpoints policies and rules mean. Expected: libcalico-go updateprocessors (rules.go, networkpolicyprocessor.go, ...)."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.model.codec import convert
from ocicat.model.v3.policy import EntityRule, GlobalNetworkPolicySpec, NetworkPolicySpec
from ocicat.policy.selectors import of_global_policy, of_policy, of_side
from ocicat.selector import parse

NS = "projectcalico.org/namespace"
SA = "projectcalico.org/serviceaccount"
HERE = f'{NS} == "ns"'


def canonical(text: str | None) -> str | None:
    return None if text is None else parse(text).text


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, HERE),
        ({"selector": "a == 'b' || has(c)"}, f"(a == 'b' || has(c)) && ({HERE})"),
        ({"selector": "all()"}, f"all() && {HERE}"),
        ({"serviceAccountSelector": "role == 'x'"}, f"({HERE}) && (pcsa.role == 'x')"),
        # all() is not rewritten in a namespaced policy: such a serviceAccountSelector asks for nothing
        ({"serviceAccountSelector": "all()"}, f"({HERE}) && (all())"),
    ],
)
def test_namespaced_policy(spec, expected):
    assert of_policy(convert(NetworkPolicySpec, spec), "ns").text == canonical(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "all()"),
        ({"selector": "has(a)"}, "has(a)"),
        ({"selector": "all()"}, "all()"),
        ({"namespaceSelector": "env == 'p'"}, "pcns.env == 'p'"),
        ({"namespaceSelector": "all()"}, f"has({NS})"),
        # an absent selector and all() differ: with a namespaceSelector the latter asks for a namespace
        ({"selector": "all()", "namespaceSelector": "!has(x)"}, f"has({NS}) && !has(pcns.x)"),
        ({"namespaceSelector": "!has(x)"}, "!has(pcns.x)"),
        (
            {"selector": "has(a)", "namespaceSelector": "b == 'c' || d == 'e'"},
            "has(a) && (pcns.b == 'c' || pcns.d == 'e')",
        ),
        ({"serviceAccountSelector": "all()"}, f"has({SA})"),
        ({"selector": "has(a)", "serviceAccountSelector": "r == 'x'"}, "has(a) && pcsa.r == 'x'"),
        ({"namespaceSelector": "all()", "serviceAccountSelector": "all()"}, f"has({NS}) && has({SA})"),
        ({"selector": 'a == "all()"', "namespaceSelector": "all()"}, f'a == "all()" && has({NS})'),
    ],
)
def test_global_policy(spec, expected):
    assert of_global_policy(convert(GlobalNetworkPolicySpec, spec)).text == canonical(expected)


@pytest.mark.parametrize(
    ("side", "namespace", "positive", "negative"),
    [
        ({}, "", None, None),
        ({}, "ns", None, None),
        ({"nets": ["10.0.0.0/8"], "ports": [1]}, "ns", None, None),
        ({"selector": "has(a)"}, "", "has(a)", None),
        ({"selector": "has(a)"}, "ns", f"({HERE}) && (has(a))", None),
        ({"notSelector": "has(a)"}, "", None, "has(a)"),
        # in a namespaced policy a negative selector alone limits the rule to the namespace
        ({"notSelector": "has(a)"}, "ns", f"({HERE}) && (!(has(a)))", None),
        ({"selector": "has(a)", "notSelector": "has(b)"}, "", "has(a) && !has(b)", None),
        ({"selector": "has(a)", "notSelector": "!has(b)"}, "", "has(a) && has(b)", None),
        ({"namespaceSelector": "env == 'p'"}, "ns", "pcns.env == 'p'", None),
        ({"namespaceSelector": "all()"}, "ns", f"has({NS})", None),
        ({"namespaceSelector": "global()"}, "ns", f"!has({NS})", None),
        ({"namespaceSelector": "global()", "selector": "has(a)"}, "", f"(!has({NS})) && (has(a))", None),
        ({"namespaceSelector": "!has(x) && y in {'z'}"}, "", "!has(pcns.x) && pcns.y in {'z'}", None),
        ({"namespaceSelector": "all()", "notSelector": "has(a)"}, "", f"(has({NS})) && (!(has(a)))", None),
        ({"serviceAccounts": {"names": ["b", "a"]}}, "", f"{SA} in {{'a', 'b'}}", None),
        ({"serviceAccounts": {"names": ["a"]}}, "ns", f"({HERE}) && ({SA} in {{'a'}})", None),
        (
            {"serviceAccounts": {"names": ["a"], "selector": "r == 'x'"}, "selector": "has(b)"},
            "",
            f"((pcsa.r == 'x') && ({SA} in {{'a'}})) && (has(b))",
            None,
        ),
        ({"serviceAccounts": {}}, "ns", None, None),
    ],
)
def test_side_of_a_rule(side, namespace, positive, negative):
    peers = of_side(convert(EntityRule, side), namespace)
    assert (peers.selector and peers.selector.text) == canonical(positive)
    assert (peers.not_selector and peers.not_selector.text) == canonical(negative)


def test_unbalanced_text_cannot_reach_beyond_its_place():
    with pytest.raises(UserError):
        of_side(convert(EntityRule, {"selector": "has(a)) || (all()"}), "ns")
