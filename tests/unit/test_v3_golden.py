"""One object of each kind as Calico's tools write it: read completely, found right, and written back the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocicat.model.codec import encode_json
from ocicat.model.v3.document import merged, parse
from ocicat.model.v3.kinds import KINDS
from ocicat.validate import validate

GOLDEN = Path(__file__).parent.parent / "golden" / "v3"


def golden(kind: str) -> bytes:
    return (GOLDEN / f"{kind}.json").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_known(kind):
    assert parse(golden(kind)).unknown == ()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_written_as_it_was(kind):
    assert json.loads(encode_json(parse(golden(kind)).resource)) == json.loads(golden(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_right(kind):
    assert validate(parse(golden(kind)).resource) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changed_nothing_written_differently(kind):
    document = parse(golden(kind))
    assert json.loads(merged(document, document.resource)) == json.loads(golden(kind))
