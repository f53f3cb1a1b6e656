"""Calico's own tables: which resources are right, how numbers are written, which fields there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocicat.errors import UserError
from ocicat.model.codec import decode_json
from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.numbers import (
    dscp_value,
    has_ports,
    is_port_name,
    parse_as_number,
    parse_dscp,
    parse_port,
    parse_protocol,
)
from ocicat.model.v3.shape import Listing, Record, Shape, record
from ocicat.validate import validate

DATA = Path(__file__).parent.parent / "data"
VALIDATION = json.loads((DATA / "validation.json").read_text())["rows"]
NUMBERS = json.loads((DATA / "ports_protocols.json").read_text())
FIELDS = json.loads((DATA / "v3_fields.json").read_text())["fields"]
PARSE = {"as_number": parse_as_number, "port": parse_port, "protocol": parse_protocol, "dscp": parse_dscp}


def rows(table: str):
    return pytest.mark.parametrize("row", NUMBERS[table], ids=lambda row: row["title"])


def expanded(row: dict) -> dict:
    """Very long texts stand in the table as a length."""
    resource = json.loads(json.dumps(row["resource"]))
    if long := row.get("expand"):
        inner = resource
        for name in long["path"][:-1]:
            inner = inner[name]
        inner[long["path"][-1]] = long["char"] * long["length"]
    return resource


def problems(resource: dict) -> list[str]:
    try:
        return [str(problem) for problem in validate(parse(resource).resource)]
    except UserError as error:
        return [str(error)]


@pytest.mark.parametrize("row", VALIDATION, ids=lambda row: row["id"])
def test_a_resource_is_right_or_wrong_as_calico_says(row):
    found = problems(expanded(row))
    assert (not found) == row["valid"], (row["title"], found)


@pytest.mark.parametrize("row", [row for row in VALIDATION if not row["valid"]], ids=lambda row: row["id"])
def test_what_is_wrong_is_said_in_one_line_that_names_a_field(row):
    for line in problems(expanded(row)):
        assert "\n" not in line
        assert line.startswith(("spec.", "metadata.", row["resource"]["kind"]))
        assert len(line) < 400


def paths(shape: Shape, path: str = "") -> Iterator[str]:
    if isinstance(shape, Record):
        for member in shape.members:
            name = f"{path}.{member.name}" if path else member.name
            yield name
            yield from paths(member.shape, name)
    elif isinstance(shape, Listing):
        yield f"{path}[]"
        yield from paths(shape.element, f"{path}[]")


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_the_crd_is_in_the_model(kind):
    assert set(FIELDS[kind]) - set(paths(record(KINDS[kind].type))) == set()


@rows("parse")
def test_a_number_is_accepted_and_canonical(row):
    if not row["accepted"]:
        with pytest.raises(UserError):
            PARSE[row["kind"]](decode_json(int | str, row["json"], what="the value"))
        return
    value = PARSE[row["kind"]](decode_json(int | str, row["json"], what="the value"))
    assert (value, str(value)) == (row["value"], row["text"])


@rows("marshal")
def test_a_canonical_value_is_written_as_it_is(row):
    assert json.dumps(PARSE[row["kind"]](row["value"])) == row["json"]


@rows("text")
def test_a_value_has_its_text(row):
    assert str(PARSE[row["kind"]](row["value"])) == row["text"]


@rows("supports_ports")
def test_a_protocol_has_ports_or_not(row):
    assert has_ports(row["protocol"]) == row["supports_ports"]


@rows("protocol_names")
def test_a_protocol_is_spelt_one_way(row):
    assert parse_protocol(row["text"]) == row["canonical"]


@rows("named_port")
def test_a_port_may_have_a_name(row):
    assert is_port_name(row["text"]) == row["accepted"]


@rows("dscp_names")
def test_a_code_point_is_spelt_one_way(row):
    assert parse_dscp(row["text"]) == row["canonical"]


@rows("dscp_values")
def test_a_code_point_has_a_value(row):
    assert dscp_value(row["text"]) == row["value"]


@rows("dscp_valid")
def test_a_code_point_is_known_or_not(row):
    assert (dscp_value(row["value"]) is not None) == row["valid"]
