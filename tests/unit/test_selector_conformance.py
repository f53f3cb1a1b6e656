"""Calico's own tables for the selector language (tests/data/selectors.json)."""

import json
from pathlib import Path

import pytest

from ocicat.selector import SelectorError, parse

TABLES = json.loads((Path(__file__).parents[1] / "data" / "selectors.json").read_text())


def rows(table):
    return pytest.mark.parametrize(
        "row", TABLES[table], ids=lambda row: row if isinstance(row, str) else row["selector"]
    )


def as_row(restriction):
    values = restriction.must_have_one_of
    return {
        "must_be_present": restriction.must_be_present,
        "must_be_absent": restriction.must_be_absent,
        "must_have_one_of": None if values is None else sorted(values),
    }


def as_table(restrictions):
    return {label: as_row(restriction) for label, restriction in restrictions.items()}


@rows("match")
def test_matches_what_calico_matches(row):
    selector = parse(row["selector"])
    assert [labels for labels in row["matches"] if not selector.matches(labels)] == []
    assert [labels for labels in row["rejects"] if selector.matches(labels)] == []


@rows("invalid")
def test_refuses_what_calico_refuses(row):
    with pytest.raises(SelectorError):
        parse(row)


@rows("canonical")
def test_canonical_text_is_calicos(row):
    assert parse(row["selector"]).text == row["canonical"]


@rows("uid")
def test_unique_id_is_calicos(row):
    assert parse(row["selector"]).uid == row["uid"]


@pytest.mark.parametrize("table", ["match", "canonical", "uid", "restrictions"])
def test_canonical_text_says_the_same_selector(table):
    for row in TABLES[table]:
        selector = parse(row["selector"])
        again = parse(selector.text)
        assert (again.text, again.uid, again.restrictions) == (selector.text, selector.uid, selector.restrictions)


@rows("restrictions")
def test_restrictions_are_calicos(row):
    assert as_table(parse(row["selector"]).restrictions) == row["restrictions"]


@rows("restrictions")
def test_all_beside_it_adds_no_restriction(row):
    if row["selector"]:
        assert as_table(parse(f"all() && ({row['selector']})").restrictions) == row["restrictions"]
