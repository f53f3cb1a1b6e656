"""Derived names: Calico's tables (tests/data/names.json), shortening, sanitising."""

import json
import re
from pathlib import Path

import pytest

from ocicat.errors import Bug, UserError
from ocicat.model.names import WorkloadEndpointIds, dns_name, label_value, length_limited_id, own_label_value, unique_id

TABLES = json.loads((Path(__file__).parents[1] / "data" / "names.json").read_text())
LABEL_FORM = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
DNS_FORM = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def rows(table):
    return pytest.mark.parametrize("row", TABLES[table], ids=lambda row: row["title"])


def ids_of(fields):
    renamed = {"container_id" if key == "containerID" else key: value for key, value in fields.items()}
    return WorkloadEndpointIds(**renamed)


def expect(row, key, compute):
    if row["error"] is None:
        assert compute() == row[key]
    else:
        with pytest.raises(UserError, match=rf"^workload endpoint: {row['error']} "):
            compute()


@rows("full")
def test_name(row):
    expect(row, "name", ids_of(row["fields"]).name)


@rows("prefix")
def test_prefix(row):
    expect(row, "name", ids_of(row["fields"]).prefix)


@rows("match")
def test_match(row):
    expect(row, "matches", lambda: ids_of(row["fields"]).matches(row["name"]))


@rows("parse")
def test_parse(row):
    if row["error"]:
        with pytest.raises(UserError, match="is no name of a workload endpoint"):
            WorkloadEndpointIds.parse(row["name"])
    else:
        assert WorkloadEndpointIds.parse(row["name"]) == ids_of(row["fields"])


@pytest.mark.parametrize(
    "ids",
    [
        WorkloadEndpointIds(node="n-1", orchestrator="cni", container_id="a--b", endpoint="eth0"),
        WorkloadEndpointIds(node="n", orchestrator="k8s", pod="p", endpoint="e---e"),
        WorkloadEndpointIds(node="n", orchestrator="libnetwork", endpoint="e"),
        WorkloadEndpointIds(node="a.b", orchestrator="mesos-x", workload="w", endpoint="e"),
    ],
)
def test_a_name_tells_the_fields_it_was_made_from(ids):
    name = ids.name()
    assert WorkloadEndpointIds.parse(name) == ids
    assert ids.matches(name)
    assert ids.prefix() == name


@pytest.mark.parametrize("name", ["n-cni-c-e-", "n-cni-c-e-x", "n-libnetwork-other-e"])
def test_what_is_no_name_does_not_parse(name):
    with pytest.raises(UserError):
        WorkloadEndpointIds.parse(name)


def test_an_endpoint_whose_part_merely_begins_alike_does_not_match():
    ids = WorkloadEndpointIds(node="n", orchestrator="k8s", pod="pod")
    assert "n-k8s-pod--1-eth0".startswith(ids.prefix())
    assert not ids.matches("n-k8s-pod--1-eth0")
    assert not ids.matches(ids.prefix())


def test_unique_id_is_calicos():
    assert unique_id("s", "all()") == "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"


@pytest.mark.parametrize(
    ("prefix", "suffix", "max_bytes", "expected"),
    [
        ("felix", "1234567", 13, "felix1234567"),
        ("felix", "12345678", 13, "felix12345678"),
        ("felix", "12345678910", 13, "felix_Y2QCZIS"),
        ("felix", "", 13, "felix_"),
    ],
)
def test_an_id_is_shortened_only_where_it_must_be(prefix, suffix, max_bytes, expected):
    assert length_limited_id(prefix, suffix, max_bytes) == expected


def test_an_id_that_looks_shortened_is_shortened():
    shortened = length_limited_id("felix", "12345678910", 13)
    assert length_limited_id("felix", shortened.removeprefix("felix"), 13) not in ("", shortened)


def test_an_id_is_counted_in_bytes():
    assert len(length_limited_id("x", "é" * 7, 14).encode()) == 14
    assert length_limited_id("x", "é" * 6, 14) == "xéééééé"


def test_an_id_without_room_for_a_hash_is_a_bug():
    with pytest.raises(Bug, match="no room"):
        length_limited_id("felix", "1", 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", "web"),
        ("Web_1.a-b", "Web_1.a-b"),
        ("team/web", "team.web"),
        ("/team//web/", "team.web"),
        ("a b&c", "a-b-c"),
        ("_a_", "a"),
        ("a -./ b", "a.b"),
        ("a--b", "a--b"),
        ("straße", "stra-e"),
        ("***", ""),
        ("", ""),
        ("\ud800x", "x"),
    ],
)
def test_label_value(text, expected):
    assert label_value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("web", "web"), ("Team/Web_1", "team.web-1"), ("-a.-b-", "a.b"), ("x.y--z", "x.y--z"), ("a b", "a-b")],
)
def test_dns_name(text, expected):
    assert dns_name(text) == expected


@pytest.mark.parametrize("text", ["", "/", "__", "é"])
def test_a_dns_name_needs_a_letter_or_a_digit(text):
    with pytest.raises(UserError, match="no letter or digit"):
        dns_name(text)


LONG = [
    "a" * 300,
    "a" * 299 + "b",
    "a" * 46 + "." + "a" * 300,
    "a" * 236 + "." + "a" * 300,
    ("x-" * 200) + "y",
    "a/" * 200,
]


@pytest.mark.parametrize(("shorten", "length"), [(label_value, 63), (dns_name, 253)])
def test_long_names_are_cut_to_the_bound_and_stay_distinct(shorten, length):
    names = [shorten(text) for text in LONG]
    assert {len(name) for name in names} == {length}
    assert len(set(names)) == len(LONG)


@pytest.mark.parametrize("text", LONG)
def test_cut_names_keep_their_form(text):
    assert LABEL_FORM.fullmatch(label_value(text))
    assert DNS_FORM.fullmatch(dns_name(text))


@pytest.mark.parametrize(("shorten", "length"), [(label_value, 63), (dns_name, 253)])
def test_a_name_of_the_greatest_length_is_not_cut(shorten, length):
    assert shorten("a" * length) == "a" * length


def test_an_own_label_value_is_one_text_s():
    assert [own_label_value(text) for text in ("eng.prod", "a" * 63, "*", "")] == ["eng.prod", "a" * 63, "", ""]
    texts = ["eng.prod", "eng/prod", "eng//prod", "/eng/prod", "_eng.prod", "eng.prod!", "\ud800eng.prod", *LONG]
    values = [own_label_value(text) for text in texts]
    assert len(set(values)) == len(texts)
    assert values[1].startswith("eng.prod-")
    assert all(LABEL_FORM.fullmatch(value) for value in values)
    assert own_label_value("a" * 300) == label_value("a" * 300)


def test_nobody_can_take_the_own_label_value_of_another():
    victim = own_label_value("eng/prod")
    assert own_label_value(victim) != victim == label_value(victim)


@pytest.mark.parametrize("shorten", [label_value, dns_name])
def test_nobody_can_take_the_name_of_a_cut_one(shorten):
    victim = shorten("a" * 300)
    assert shorten(victim) != victim
