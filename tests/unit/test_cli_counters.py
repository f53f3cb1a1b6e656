"""`ocicat counters` without a kernel: whose counters are meant, and how they are told."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from cli_bed import Shell

from ocicat.cli.commands import counters
from ocicat.dataplane import counting
from ocicat.dataplane.counting import Counted, order
from ocicat.dataplane.ruleset.identity import Decider, counter, shortened
from ocicat.dataplane.ruleset.objects import Counter
from ocicat.errors import Refused

LONG = "x" * 120


def policy(name, index=0, action="Allow", direction="ingress"):
    return Decider("policy", name, direction, action, index)


FOUND = [
    Counted(policy("gnp/base"), 0, 0),
    Counted(policy("np/prod/default.web"), 5, 300),
    Counted(policy("np/prod/default.web", 1, "Deny"), 0, 0),
    Counted(policy("np/test/t.web", 0, "Pass", "egress"), 7, 420),
    Counted(policy(shortened(f"np/prod/{LONG}")), 1, 60),
    Counted(policy("snp/prod/default.web", 0, "Deny"), 2, 120),
    Counted(policy("odd/a/b"), 1, 60),
    Counted(Decider("profile", "web", "egress", "Allow", 0), 9, 540),
    Counted(Decider("tier", "default", "ingress", "Deny"), 3, 180),
    Counted(Decider("profiles", "", "egress", "Deny"), 4, 240),
]


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(counters, "NetfilterSocket", nullcontext)
    monkeypatch.setattr(counting, "read", lambda _: FOUND)
    return Shell(tmp_path, monkeypatch, capsys)


def names(ended):
    return ended.out.split()


def test_what_has_counted_is_told_and_how_much_has_not(shell):
    ended = shell.ok("counters")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["NAME", "DIRECTION", "RULE", "ACTION", "PACKETS", "BYTES"],
        ["networkpolicy/prod/web", "ingress", "0", "Allow", "5", "300"],
        ["networkpolicy/test/t.web", "egress", "0", "Pass", "7", "420"],
        [f"networkpolicy/prod/{shortened(f'np/prod/{LONG}')[8:]}", "ingress", "0", "Allow", "1", "60"],
        ["stagednetworkpolicy/prod/web", "ingress", "0", "Deny", "2", "120"],
        ["odd/a/b", "ingress", "0", "Allow", "1", "60"],
        ["profile/web", "egress", "0", "Allow", "9", "540"],
        ["tier/default", "ingress", "end", "Deny", "3", "180"],
        ["no", "profile", "egress", "end", "Deny", "4", "240"],
    ]
    assert "2 more" in ended.err


def test_all_is_all(shell):
    ended = shell.ok("counters", "--all")
    assert len(ended.out.splitlines()) == 1 + len(FOUND)
    assert ended.err == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("base", ["globalnetworkpolicy/base/ingress/0"]),
        ("gnp/base", ["globalnetworkpolicy/base/ingress/0"]),
        (
            "prod/web",
            [
                "networkpolicy/prod/web/ingress/0",
                "networkpolicy/prod/web/ingress/1",
                "stagednetworkpolicy/prod/web/ingress/0",
            ],
        ),
        ("networkpolicy/prod/web", ["networkpolicy/prod/web/ingress/0", "networkpolicy/prod/web/ingress/1"]),
        ("np/prod/default.web", ["networkpolicy/prod/web/ingress/0", "networkpolicy/prod/web/ingress/1"]),
        ("stagednetworkpolicies/prod/web", ["stagednetworkpolicy/prod/web/ingress/0"]),
        ("t.web", ["networkpolicy/test/t.web/egress/0"]),
        ("odd/a/b", ["odd/a/b/ingress/0"]),
        ("profile/web", ["profile/web/egress/0"]),
        ("tier/default", ["tier/default/ingress/end"]),
        ("default", ["tier/default/ingress/end"]),
    ],
)
def test_names(shell, name, expected):
    assert names(shell.ok("counters", name, "-o", "name")) == expected


@pytest.mark.parametrize("name", [LONG, f"prod/{LONG}", f"np/prod/{LONG}"])
def test_a_long_name_finds_what_is_known_by_its_digest(shell, name):
    (found,) = names(shell.ok("counters", name, "-o", "name"))
    assert "~" in found


def test_several_names_are_told_once_each(shell):
    found = names(shell.ok("counters", "web", "prod/web", "tier/default", "-o", "name"))
    assert len(found) == len(set(found)) == 5


def test_json_says_all(shell):
    found = json.loads(shell.ok("counters", "tier/default", "stagednetworkpolicy/prod/web", "-o", "json").out)
    assert found == [
        {"kind": "Tier", "namespace": "", "name": "default", "direction": "ingress", "hook": "normal", "rule": None,
         "action": "Deny", "staged": False, "packets": 3, "bytes": 180},
        {"kind": "StagedNetworkPolicy", "namespace": "prod", "name": "web", "direction": "ingress", "hook": "normal", "rule": 0,
         "action": "Deny", "staged": True, "packets": 2, "bytes": 120},
    ]  # fmt: skip


def test_wide_has_hook_and_stage(shell):
    assert shell.ok("counters", "stagednetworkpolicy/prod/web", "-o", "wide").out.splitlines()[1].split()[-2:] == [
        "normal",
        "yes",
    ]


@pytest.mark.parametrize("name", ["nothing", "", "web/prod", "no profile", "np/web", "base/"])
def test_a_name_of_nothing_here(shell, name):
    ended = shell("counters", name)
    assert (ended.code, ended.out) == (5, "")
    assert repr(name) in ended.err


def test_a_host_without_our_table(shell, monkeypatch):
    monkeypatch.setattr(counting, "read", lambda _: None)
    ended = shell("counters")
    assert (ended.code, ended.out) == (5, "")
    assert "no table inet ocicat" in ended.err


def test_without_the_right_to_read(shell, monkeypatch):
    def refused(_):
        raise Refused("cannot find table ocicat", hint="CAP_NET_ADMIN is needed")

    monkeypatch.setattr(counting, "read", refused)
    assert shell("counters").code == 1


def test_counters_that_are_not_ours_are_left_out():
    ours = [counter(policy("np/a/b", index)) for index in (10, 2, 1)]
    others = [Counter("c-1", ours[0].comment), Counter(ours[0].name, "other words"), Counter("hits", "")]
    assert [each.decider.index for each in order([*others, *ours])] == [1, 2, 10]


def test_ingress_before_egress_and_the_end_after_the_rules():
    deciders = [
        Decider("profiles", "", "ingress", "Deny"),
        Decider("tier", "a", "egress", "Deny"),
        Decider("tier", "a", "ingress", "Deny"),
        Decider("profile", "a", "ingress", "Allow", 0),
        policy("np/b", 0),
        policy("np/a", 0, direction="egress"),
        policy("np/a", 1),
    ]
    found = order([counter(each) for each in deciders])
    assert [each.decider for each in found] == list(reversed(deciders))
