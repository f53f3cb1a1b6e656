"""What no comment tells: rules replaced under our comments, and rules that lead to a chain that was given another name."""

import re

import pytest
from dataplane_bed import ALLOW, WAIT_S, Bed, batch, endpoint, profile, reaches, wait_until

from ocicat.dataplane.api import Applied, Drift
from ocicat.netlink import nftwatch

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
CUT = "10.65.0.2 . 1 . 10.65.0.3 . 2"
INNER = "cut-flows"
"""A chain that others lead to."""


@pytest.fixture
def bed():
    made = Bed()
    yield made
    made.close()


@pytest.fixture
def plane(bed):
    return started(bed)


def started(bed, **settings):
    plane = bed.plane(**settings)
    plane.submit(batch(1, profile("p", ingress=(ALLOW,)), endpoint("a", A), endpoint("b", B)))
    bed.wait(lambda report: isinstance(report, Applied))
    for name, address in (("a", A), ("b", B)):
        bed.attach(plane, name, address)
    bed.wait_in_force(1, "a", "b")
    bed.reports.clear()
    return plane


def told(bed):
    return [report for report in bed.reports if isinstance(report, Drift)]


def state(bed):
    """Without handles, and what was counted."""
    return sorted(bed.nft("-s", "list", "ruleset").split())


def table(bed):
    """The table's handle: another if it was made anew."""
    return re.search(r"^table .* # handle (\d+)", bed.nft("-a", "list", "table", "inet", "ocicat"))[1]


def replacing(bed, family, chain, statement="drop"):
    """The text that makes the first rule of ours another, under the comment that it has."""
    listing = bed.nft("-a", "list", "chain", family, "ocicat", chain)
    comment, handle = re.search(r'(comment "[^"]*") # handle (\d+)\n', listing).groups()
    return f"replace rule {family} ocicat {chain} handle {handle} {statement} {comment}\n"


@pytest.mark.parametrize(
    ("family", "chain", "statement", "what"),
    [
        ("inet", "forward", "drop", "chain forward"),
        ("inet", INNER, "accept", f"chain {INNER}"),
        ("netdev", "ocia", "accept", "guard of ocia"),
    ],
)
def test_a_rule_replaced_under_its_comment_is_put_back_and_nothing_else_is_touched(
    bed, plane, family, chain, statement, what
):
    before = state(bed)
    bed.nft("-f", "-", text=replacing(bed, family, chain, statement))
    assert state(bed) != before
    wait_until(lambda: told(bed))
    wait_until(lambda: state(bed) == before)
    (drift,) = told(bed)
    assert f"table {family} ocicat was changed by nft (pid " in drift.by[0]
    assert drift.what == (what,)


@pytest.mark.parametrize(("family", "chain"), [("inet", "forward"), ("netdev", "ocia")])
def test_one_is_put_back_when_the_news_of_it_was_lost_and_the_chains_beside_it_are_no_drift(
    bed, family, chain, monkeypatch
):
    """All of one transaction: the rule is in the middle of two hundred thousand elements of somebody else's."""
    monkeypatch.setattr(nftwatch, "_BUFFER_BYTES", 1 << 18)
    started(bed)
    before = state(bed)
    some = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(100_000))
    big = "table ip big {{ set {} {{ type ipv4_addr; elements = {{ {} }}; }}; }}\n"
    bed.nft("-f", "-", text=big.format("s", some) + replacing(bed, family, chain) + big.format("t", some))
    bed.nft("delete", "table", "ip", "big")
    wait_until(lambda: state(bed) == before)
    assert [drift for drift in told(bed) if len(drift.what) > 1] == []


def test_after_a_rename_the_rules_lead_to_the_right_chain_and_what_was_cut_stays_cut(bed, plane):
    before = state(bed)
    bed.nft("add", "element", "inet", "ocicat", "cut-flows4", f"{{ {CUT} }}")
    first = table(bed)
    bed.nft("rename", "chain", "inet", "ocicat", INNER, "renamed")
    wait_until(lambda: told(bed))
    wait_until(lambda: f"jump {INNER}" in bed.nft("list", "table", "inet", "ocicat"))
    wait_until(lambda: "renamed" not in bed.nft("list", "table", "inet", "ocicat"))
    assert CUT in bed.nft("list", "set", "inet", "ocicat", "cut-flows4")
    assert table(bed) == first
    bed.nft("flush", "set", "inet", "ocicat", "cut-flows4")
    assert state(bed) == before
    assert {f"chain {INNER}", "chain renamed"} >= {*told(bed)[0].what}


def test_nor_does_a_rename_that_nobody_heard_of_undo_what_was_cut(bed, plane):
    plane.stop()
    bed.nft("add", "element", "inet", "ocicat", "cut-flows4", f"{{ {CUT} }}")
    first = table(bed)
    bed.nft("rename", "chain", "inet", "ocicat", INNER, "renamed")
    started(bed)
    wait_until(lambda: "renamed" not in bed.nft("list", "table", "inet", "ocicat"))
    assert f"jump {INNER}" in bed.nft("list", "table", "inet", "ocicat")
    assert CUT in bed.nft("list", "set", "inet", "ocicat", "cut-flows4")
    assert table(bed) == first


def test_a_table_that_must_be_made_anew_keeps_what_was_cut(bed, plane):
    """A base chain's name on one that is none: nft cannot make one of it."""
    bed.nft("add", "element", "inet", "ocicat", "cut-flows4", f"{{ {CUT} }}")
    first = table(bed)
    name = "forward"
    plane.stop()
    bed.nft("rename", "chain", "inet", "ocicat", name, "renamed")
    bed.nft("add", "chain", "inet", "ocicat", name)
    plane = started(bed)
    assert table(bed) != first
    assert CUT in bed.nft("list", "set", "inet", "ocicat", "cut-flows4")
    plane.resync().result(WAIT_S)
    assert CUT in bed.nft("list", "set", "inet", "ocicat", "cut-flows4")


@pytest.fixture
def refusing(tmp_path):
    """nft, which refuses to remove chains as many times as `times` says."""
    script = tmp_path / "nft"
    script.write_text(
        f"""#!/bin/bash
[ "$1" = -f ] || exec nft "$@"
text=$(cat)
left=$(cat {tmp_path}/times)
if [ "$left" -gt 0 ] && grep -q '^delete chain' <<< "$text"; then
    echo $((left - 1)) > {tmp_path}/times
    echo "Error: Could not process rule: Device or resource busy" >&2
    exit 1
fi
exec nft -f - <<< "$text"
"""
    )
    script.chmod(0o755)
    (tmp_path / "times").write_text("0")
    return script


@pytest.mark.parametrize(("times", "renewed"), [(1, False), (3, False), (4, True)])
def test_a_table_is_made_anew_only_when_all_else_was_refused_and_is_told(bed, refusing, times, renewed):
    """Each pass tries twice, the second time with all chains loaded; and before the second pass all is read back."""
    plane = started(bed, nft=str(refusing))
    bed.nft("add", "element", "inet", "ocicat", "cut-flows4", f"{{ {CUT} }}")
    plane.resync().result(WAIT_S)
    first = table(bed)
    bed.reports.clear()
    (refusing.parent / "times").write_text(str(times))
    bed.nft("add", "chain", "inet", "ocicat", "debug")
    wait_until(lambda: "debug" not in bed.nft("list", "table", "inet", "ocicat"))
    plane.resync().result(WAIT_S)
    assert (table(bed) != first) == renewed
    assert any("busy" in str(drift.by) and drift.what == ("table inet ocicat",) for drift in told(bed)) == renewed
    assert CUT in bed.nft("list", "set", "inet", "ocicat", "cut-flows4")
    assert reaches(bed.containers["a"], B, within_s=WAIT_S)
