"""Setting one field of a document leaves everything else of it as others wrote it."""

from __future__ import annotations

import json

import pytest

from ocicat.errors import UserError
from ocicat.model.codec import with_field


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": {"b": 1}}),
        ({"a": None, "x": [1]}, {"a": {"b": 1}, "x": [1]}),
        ({"a": {"b": 0, "c": 2}}, {"a": {"b": 1, "c": 2}}),
    ],
)
def test_a_field_is_set_and_the_rest_stays(before, after):
    assert json.loads(with_field(json.dumps(before).encode(), ("a", "b"), 1)) == after


@pytest.mark.parametrize("text", [b"[]", b"{", b"7"])
def test_what_is_no_object_is_refused_by_its_name(text):
    with pytest.raises(UserError, match="node h1"):
        with_field(text, ("a",), 1, what="node h1")
