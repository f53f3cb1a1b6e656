"""A wanted rule as nft rules, without a kernel."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.dataplane.ruleset.rules import action, hosts_name, merged, ports_name, ranges_name, render, trouble
from ocicat.model.net import Cidr
from ocicat.model.wanted import Icmp, Match, WantedRule
from ocicat.netlink.nftset import Element

VERDICTS = {"Allow": "accept", "Deny": "drop", "Pass": "return", "Log": 'log prefix "x"'}


def rendered(rule, name=hosts_name):
    return render(rule, VERDICTS[action(rule)], name)


def texts(rule, name=hosts_name):
    return [each.text for each in rendered(rule, name).rules]


def nets(*cidrs):
    return Match(nets=tuple(map(Cidr.parse, cidrs)))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (WantedRule("Allow"), ["accept"]),
        (WantedRule("Deny"), ["drop"]),
        (WantedRule("Allow", families=(4,)), ["meta nfproto ipv4 accept"]),
        (WantedRule("Allow", families=(6,), protocol=58), ["meta nfproto ipv6 meta l4proto 58 accept"]),
        (WantedRule("Allow", protocol=6), ["meta l4proto 6 accept"]),
        (WantedRule("Allow", protocol=17, destination=Match(ports=((53, 53),))), ["udp dport 53 accept"]),
        (WantedRule("Deny", protocol=132, source=Match(ports=((1, 9),))), ["sctp sport 1-9 drop"]),
        (WantedRule("Allow", source=nets("10.0.0.0/8")), ["ip saddr 10.0.0.0/8 accept"]),
        (WantedRule("Allow", source=nets("0.0.0.0/0")), ["meta nfproto ipv4 accept"]),
        (WantedRule("Allow", destination=nets("fd00::/8")), ["ip6 daddr fd00::/8 accept"]),
        (WantedRule("Allow", source=nets("10.0.0.0/8"), destination=nets("fd00::/8")), []),
        (WantedRule("Allow", families=(6,), source=nets("10.0.0.0/8")), []),
        (
            WantedRule("Allow", source=Match(sets=("s:a", "s:b"))),
            ["ip saddr @s4-a ip saddr @s4-b accept", "ip6 saddr @s6-a ip6 saddr @s6-b accept"],
        ),
        (
            WantedRule(
                "Allow", families=(4,), protocol=6, source=Match(sets=("s:a",)), destination=Match(ports=((80, 80),))
            ),
            ["ip saddr @s4-a tcp dport 80 accept"],
        ),
    ],
)
def test_rendering(rule, expected):
    assert texts(rule) == expected


def test_the_verdict_may_be_several_statements():
    assert [each.text for each in render(WantedRule("Allow", protocol=6), 'counter name "c" accept').rules] == [
        'meta l4proto 6 counter name "c" accept'
    ]


@pytest.mark.parametrize(
    "rule",
    [
        WantedRule("Allow", destination=Match(ports=((80, 80),))),
        WantedRule("Allow", protocol=1, destination=Match(ports=((80, 80),))),
    ],
)
def test_what_cannot_be_rendered_denies_everything_and_is_a_problem(rule):
    found = rendered(rule)
    assert action(rule) == "Deny"
    assert [each.text for each in found.rules] == ["drop"]
    assert found.problem == trouble(rule) != ""
    assert found.problem in found.rules[0].note


def test_a_problem_that_came_with_the_rule_is_not_told_twice():
    found = rendered(WantedRule("Allow", problem="named ports"))
    assert [each.text for each in found.rules] == ["drop"]
    assert found.problem == ""


def test_several_ranges_are_a_set_named_by_content():
    one = rendered(WantedRule("Allow", protocol=6, destination=Match(ports=((80, 90), (22, 22), (85, 95)))))
    two = rendered(WantedRule("Deny", protocol=17, source=Match(ports=((22, 22), (80, 95)))))
    assert one.sets == two.sets
    assert one.sets[0].elements == (
        Element(b"\0\x16", key_end=b"\0\x16"),
        Element(b"\0\x50", key_end=b"\0\x5f"),
    )
    assert one.rules[0].text == f"tcp dport @{one.sets[0].spec.name} accept"


def test_nets_of_both_families_are_two_sets():
    found = rendered(
        WantedRule("Allow", source=nets("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "fd00::/8", "fe80::/10"))
    )
    assert [(each.spec.key, len(each.elements)) for each in found.sets] == [("ipv4_addr", 1), ("ipv6_addr", 2)]


def test_a_set_has_the_name_of_its_selector_or_a_digest():
    assert hosts_name("s:Az-_09", 4) == "s4-Az-_09"
    for wild in ("s:a b", "s:", "x:a", "s:a{", "s:" + "a" * 200, 's:"; drop'):
        assert hosts_name(wild, 6).startswith("s6-")
        assert hosts_name(wild, 6)[3:].isalnum()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))))
def test_merged_ranges_hold_the_same_numbers_and_never_touch(ranges):
    result = merged(ranges)
    numbers = {number for first, last in ranges for number in range(first, last + 1)}
    assert {number for first, last in result for number in range(first, last + 1)} == numbers
    assert all(one[1] + 1 < two[0] for one, two in pairwise(result))


EVERYTHING = WantedRule(
    "Pass",
    protocol=6,
    source=Match(
        nets=(Cidr.parse("10.0.0.0/8"),),
        not_nets=(Cidr.parse("10.1.0.0/16"), Cidr.parse("fd00::/8")),
        sets=("s:a",),
        not_sets=("s:b",),
        not_ports=((1, 1023),),
    ),
    destination=Match(ports=((80, 80),), named=("s:web",), not_named=("s:old",)),
)


def test_all_conditions_of_a_rule_are_there_and_alternatives_are_rules_of_their_own():
    addresses = "ip saddr @s4-a ip saddr != @s4-b ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 tcp sport != 1-1023"
    named = "ip daddr . meta l4proto . th dport"
    web, old = (ports_name(each, 4) for each in ("s:web", "s:old"))
    assert texts(EVERYTHING) == [
        f"{addresses} tcp dport 80 {named} != @{old} return",
        f"{addresses} {named} @{web} {named} != @{old} return",
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (WantedRule("Deny", not_protocol=17), ["meta l4proto != 17 drop"]),
        (
            WantedRule("Allow", families=(4,), protocol=1, icmp=Icmp(8, 0)),
            ["meta l4proto 1 icmp type 8 icmp code 0 accept"],
        ),
        (WantedRule("Allow", icmp=Icmp(8)), ["icmp type 8 accept", "icmpv6 type 8 accept"]),
        (WantedRule("Allow", protocol=58, icmp=Icmp(128)), ["meta l4proto 58 icmpv6 type 128 accept"]),
        (WantedRule("Allow", protocol=6, not_icmp=Icmp(128)), []),
        (
            WantedRule("Log", families=(6,), not_icmp=Icmp(1, 3)),
            ['icmpv6 type != 1 log prefix "x"', 'icmpv6 type 1 icmpv6 code != 3 log prefix "x"'],
        ),
        (WantedRule("Allow", families=()), []),
        (WantedRule("Allow", source=Match(not_nets=(Cidr.parse("0.0.0.0/0"),))), ["meta nfproto ipv6 accept"]),
        (WantedRule("Allow", source=Match(nets=(Cidr.parse("0.0.0.0/0"),))), ["meta nfproto ipv4 accept"]),
        (
            WantedRule("Allow", source=Match(not_sets=("s:a",))),
            ["ip saddr != @s4-a accept", "ip6 saddr != @s6-a accept"],
        ),
    ],
)
def test_negations_and_icmp(rule, expected):
    assert texts(rule) == expected


def test_a_log_rule_matches_a_packet_once_however_many_of_its_ports_fit():
    ports = Match(ports=((80, 80),), named=("s:a", "s:b"))
    a, b = (f"ip daddr . meta l4proto . th dport {{}}@{ports_name(each, 4)}" for each in ("s:a", "s:b"))
    said = [a.format(""), b.format("")]
    allow, log = (WantedRule(each, families=(4,), protocol=6, destination=ports) for each in ("Allow", "Log"))
    assert texts(allow) == ["meta nfproto ipv4 tcp dport 80 accept", f"{said[0]} accept", f"{said[1]} accept"]
    assert texts(log) == [
        'meta nfproto ipv4 tcp dport 80 log prefix "x"',
        f'{said[0]} tcp dport != 80 log prefix "x"',
        f'{said[1]} tcp dport != 80 {a.format("!= ")} log prefix "x"',
    ]


def test_sets_of_nets_have_another_name():
    rule = WantedRule("Allow", families=(6,), source=Match(sets=("s:a",)))
    assert texts(rule, ranges_name) == ["ip6 saddr @r6-a accept"]
