"""What decides, by its counter's comment and its prefix in flow logs, and back."""

import string
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.dataplane.ruleset.identity import (
    Decider,
    counter,
    counter_name,
    parse_comment,
    parse_prefix,
    policy_name,
    prefix,
)
from ocicat.dataplane.ruleset.objects import comment_text

KEY = "/calico/resources/v3/projectcalico.org/"


@dataclass
class Case:
    decider: Decider
    comment: str
    prefix: str


CASES = [
    Case(
        Decider("policy", "np/prod/web", "ingress", "Allow", 0),
        "policy np/prod/web ingress normal 0 Allow",
        "API0|np/prod/web",
    ),
    Case(Decider("policy", "gnp/b", "egress", "Deny", 1023), "policy gnp/b egress normal 1023 Deny", "DPE1023|gnp/b"),
    Case(Decider("policy", "sgnp/b", "egress", "Pass", 2), "policy sgnp/b egress normal 2 Pass", "PPE2|sgnp/b"),
    Case(Decider("policy", "gnp/b", "ingress", "Log", 3), "policy gnp/b ingress normal 3 Log", "LPI3|gnp/b"),
    Case(Decider("profile", "web", "egress", "Deny", 1), "profile web egress normal 1 Deny", "DRE1|web"),
    Case(Decider("tier", "default", "ingress", "Deny"), "tier default ingress normal end Deny", "DPI|default"),
    Case(Decider("tier", "7", "egress", "Pass"), "tier 7 egress normal end Pass", "PPE|7"),
    Case(Decider("profiles", "", "ingress", "Deny"), "profiles - ingress normal end Deny", "DRI"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.prefix)
def test_comment_and_prefix_and_back(case):
    assert counter(case.decider).comment == case.comment
    assert parse_comment(case.comment) == case.decider
    assert prefix(case.decider) == case.prefix
    assert parse_prefix(case.prefix) == case.decider


def test_a_comment_says_the_hook_and_a_prefix_does_not():
    decider = Decider("policy", "gnp/b", "ingress", "Allow", 0, "pre-dnat")
    assert parse_comment(counter(decider).comment) == decider
    assert parse_prefix(prefix(decider)).hook == "normal"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("networkpolicies/prod/default.web", "np/prod/default.web"),
        ("globalnetworkpolicies/base", "gnp/base"),
        ("stagednetworkpolicies/prod/web", "snp/prod/web"),
        ("stagedglobalnetworkpolicies/base", "sgnp/base"),
        ("others/x", "others/x"),
    ],
)
def test_names_of_policies(key, name):
    assert policy_name(KEY + key) == name


def test_what_is_no_key_is_called_as_it_is():
    assert policy_name("whatever") == "whatever"


@pytest.mark.parametrize(("name", "staged"), [("np/a/b", False), ("snp/a/b", True), ("sgnp/a", True), ("gnp/a", False)])
def test_which_policies_are_staged(name, staged):
    assert Decider("policy", name, "ingress", "Allow", 0).staged == staged


def test_a_profile_may_be_called_as_a_staged_policy():
    assert not Decider("profile", "snp/a", "ingress", "Allow", 0).staged


@pytest.mark.parametrize(
    ("decider", "expected"),
    [  # Calico's own (felix/rules/nflogprefix_test.go)
        (
            Decider("policy", "0123456789" * 5 + "0123456", "ingress", "Deny", 88),
            "DPI88|0123_S7GBfc7R7_4bzrXpbzglqoJrRG_UxIP0CuYjRWshz_7890123456",
        ),
        (
            Decider(
                "policy", "quite-a-long-namespace/quite-a-long-tier-name.quite-a-long-policy-name", "egress", "Deny", 1
            ),
            "DPE1|quite_nnW4FYptgISH4G3jdI6KJWVcEx19s0BDp2On0wVAY_olicy-name",
        ),
        (
            Decider("tier", "tier-012345678901234567890123456789012345678901234567890123", "ingress", "Deny"),
            "DPI|tier-0_phEfG4Vhbq2xh4TQsePNa2X9YRj5peCVw1FgaNSbd_4567890123",
        ),
        (
            Decider("tier", "tier-01234567890123456789012345678901234567890123456789012", "ingress", "Deny"),
            "DPI|tier-01234567890123456789012345678901234567890123456789012",
        ),
    ],
)
def test_long_prefixes_are_hashed_as_felix_does(decider, expected):
    assert prefix(decider) == expected
    assert parse_prefix(expected) == (decider if len(expected) < 63 else None)


@pytest.mark.parametrize("text", ["", "API", "API0", "DRI|x", "DRI0", "XPI0|a", "API0|", "calico-packet", "api0|a"])
def test_what_is_no_prefix_of_ours(text):
    assert parse_prefix(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "policy a ingress normal 0",
        "policy a ingress normal 0 Allow more",
        "rule a ingress normal 0 Allow",
        "policy a inwards normal 0 Allow",
        "policy a ingress nowhere 0 Allow",
        "policy a ingress normal zero Allow",
        "policy a ingress normal 0 Drop",
    ],
)
def test_what_is_no_comment_of_ours(text):
    assert parse_comment(text) is None


NAMES = st.text(st.characters(codec="utf-8"), max_size=300) | st.text(string.ascii_lowercase + './-~$"', max_size=300)
DECIDERS = st.builds(
    Decider,
    st.sampled_from(["policy", "profile", "tier"]),
    NAMES.filter(bool),
    st.sampled_from(["ingress", "egress"]),
    st.sampled_from(["Allow", "Deny", "Pass", "Log"]),
    st.none() | st.integers(0, 1023),
    st.sampled_from(["normal", "untracked", "pre-dnat"]),
)


@settings(deadline=None)
@given(DECIDERS)
def test_nft_takes_whatever_name_and_the_kernel_keeps_it_whole(decider):
    found = counter(decider)
    assert found.comment == comment_text(found.comment)
    assert found.name == counter_name(found.comment)
    known = parse_comment(found.comment)
    assert known is not None
    assert (known.owner, known.direction, known.action, known.index, known.hook) == (
        decider.owner,
        decider.direction,
        decider.action,
        decider.index,
        decider.hook,
    )
    text = prefix(decider)
    assert len(text) <= 63
    assert text == comment_text(text)
    assert "$" not in text


@settings(deadline=None)
@given(DECIDERS, DECIDERS)
def test_two_deciders_have_two_counters(one, other):
    assert (counter(one).name == counter(other).name) == (one == other)
