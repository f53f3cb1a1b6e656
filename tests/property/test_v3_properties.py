"""For every kind: what is written is read back the same, and changing it loses nothing that is not ours."""

from __future__ import annotations

import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocicat.model.base import NODEFAULT, UNSET, Struct, UnsetType, fields
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.v3.document import merged, parse
from ocicat.model.v3.kinds import KINDS
from ocicat.validate import validate, validate_update

GOLDEN = Path(__file__).parent.parent / "golden" / "v3"
SIMPLE = {
    str: st.text(max_size=8) | st.sampled_from(["10.0.0.0/8", "fd00::1", "all()", "a == 'b'", "web", "1", "80:90"]),
    int: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 256),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    NoneType: st.none(),
    UnsetType: st.just(UNSET),
}
BOUNDED = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
NEW = {"addedByANewerTool": {"deep": [1, None]}}


def values(hint):
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return values(arguments[0])
    if origin in (Union, UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    return records(hint) if issubclass(hint, Struct) else SIMPLE[hint]


def records(of):
    hints = get_type_hints(of, include_extras=True)
    must = {field.name: values(hints[field.name]) for field in fields(of) if field.required}
    may = {field.name: values(hints[field.name]) for field in fields(of) if field.default is not NODEFAULT}
    may.pop("api_version", None)
    return st.fixed_dictionaries(must, optional=may).map(lambda given: of(**given))


STRATEGIES = {name: records(kind.type) for name, kind in KINDS.items()}


def golden(kind):
    return json.loads((GOLDEN / f"{kind}.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
@BOUNDED
@given(data=st.data())
def test_what_is_written_is_read_back(kind, data):
    resource = data.draw(STRATEGIES[kind])
    assert decode_json(KINDS[kind].type, encode_json(resource)) == resource
    assert parse(encode_json(resource)).resource == resource


@pytest.mark.parametrize("kind", KINDS)
@BOUNDED
@given(data=st.data())
def test_any_change_arrives_and_unknown_fields_survive(kind, data):
    text = golden(kind)
    text = {**text, **NEW, "metadata": {**text["metadata"], **NEW}, "spec": {**text["spec"], **NEW}}
    changed = data.draw(STRATEGIES[kind])
    after = merged(parse(text), changed)
    assert parse(after).resource == changed
    for place in (json.loads(after), json.loads(after)["metadata"], json.loads(after)["spec"]):
        assert NEW.items() <= place.items()


@pytest.mark.parametrize("kind", KINDS)
@BOUNDED
@given(data=st.data())
def test_no_resource_makes_validation_fail(kind, data):
    before, after = data.draw(STRATEGIES[kind]), data.draw(STRATEGIES[kind])
    problems = (*validate(before), *validate_update(before, after))
    assert all(problem.field and problem.rule for problem in problems)
    assert not any("\n" in str(problem) for problem in problems)
