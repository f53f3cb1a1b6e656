"""What a rule does with a packet that it matches."""

import re

import pytest

from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.model.wanted import LogLimit

MARK = 0x1000_0000
MARKED = "meta mark set meta mark | 0x10000000"


def verdict(decider, log_prefix="", **book):
    """Without the counter, which each begins with."""
    text = Book(MARK, **book).verdict(decider, log_prefix)
    found = re.fullmatch(r'counter name "c-[0-9a-f]{20}" ?(.*)', text)
    assert found
    return found[1]


def of_policy(action, hook="normal", name="np/a/b"):
    return Decider("policy", name, "ingress", action, 0, hook)


@pytest.mark.parametrize(
    ("decider", "expected"),
    [
        (of_policy("Allow"), "accept"),
        (of_policy("Deny"), "drop"),
        (of_policy("Pass"), "return"),
        (of_policy("Log"), 'log prefix "p" level notice'),
        (of_policy("Allow", "untracked"), f"{MARKED} notrack accept"),
        (of_policy("Allow", "pre-dnat"), f"{MARKED} accept"),
        (of_policy("Deny", "untracked"), "drop"),
        (Decider("tier", "t", "ingress", "Deny"), "drop"),
        (Decider("tier", "t", "ingress", "Pass"), "return"),
        (Decider("profiles", "", "egress", "Deny"), "drop"),
        (Decider("profile", "w", "ingress", "Allow", 0), "accept"),
        (Decider("profile", "w", "egress", "Allow", 0), f"{MARKED} return"),
        (Decider("policy", "np/a/b", "egress", "Allow", 0, "untracked"), f"{MARKED} notrack accept"),
    ],
)
def test_decisions(decider, expected):
    assert verdict(decider, "p") == expected


@pytest.mark.parametrize("name", ["snp/a/b", "sgnp/b"])
@pytest.mark.parametrize(
    ("action", "expected"), [("Allow", "return"), ("Deny", "return"), ("Pass", "return"), ("Log", "")]
)
@pytest.mark.parametrize("hook", ["normal", "untracked", "pre-dnat"])
def test_a_staged_rule_counts_and_leaves_the_packet_where_it_was(name, action, expected, hook):
    assert verdict(of_policy(action, hook, name), "p") == expected


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (LogLimit(10, "minute"), "limit rate 10/minute"),
        (LogLimit(10, "minute", 5), "limit rate 10/minute burst 5 packets"),
        (LogLimit(1, "day", 0), "limit rate 1/day"),
    ],
)
def test_what_a_log_rule_writes_may_be_limited(limit, text):
    assert verdict(of_policy("Log"), "p", log_limit=limit) == f'{text} log prefix "p" level notice'


@pytest.mark.parametrize(
    ("decider", "expected"),
    [
        (of_policy("Allow"), 'log prefix "API0|np/a/b" group 1 snaplen 80 accept'),
        (of_policy("Deny", name="sgnp/b"), 'log prefix "DPI0|sgnp/b" group 1 snaplen 80 return'),
        (of_policy("Log", name="sgnp/b"), 'log prefix "LPI0|sgnp/b" group 1 snaplen 80'),
        (Decider("profile", "w", "egress", "Allow", 2), f'log prefix "ARE2|w" group 2 snaplen 80 {MARKED} return'),
        (Decider("tier", "t", "egress", "Pass"), 'log prefix "PPE|t" group 2 snaplen 80 return'),
        (of_policy("Deny", "untracked"), 'log prefix "DPI0|np/a/b" group 1 snaplen 80 drop'),
        (of_policy("Allow", "untracked"), f"{MARKED} notrack accept"),
        (
            of_policy("Log"),
            'log prefix "LPI0|np/a/b" group 1 snaplen 80 limit rate 1/second log prefix "p" level notice',
        ),
    ],
)
def test_flow_logs_are_told_before_the_decision_and_whatever_the_limit_of_log_rules(decider, expected):
    assert verdict(decider, "p", flow_logs=True, log_limit=LogLimit(1, "second")) == expected
