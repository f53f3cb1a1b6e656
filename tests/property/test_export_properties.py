"""Whatever keys and values a store holds, an export of it gives them back."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.store.base import KeyValue
from ocicat.store.transfer.content import content_of
from ocicat.store.transfer.export import export_lines, read_export

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
VALUES = st.binary(max_size=20) | st.builds(
    lambda one, space: json.dumps(one, indent=space).encode(), JSON, st.none() | st.just(1)
)


@settings(deadline=None)
@given(st.dictionaries(TEXTS.map("/calico/".__add__), VALUES, max_size=6))
def test_any_keys_and_values_come_back(values):
    content = content_of(7, [KeyValue(key, values[key], 1, 2) for key in sorted(values, key=str.encode)])
    lines = list(export_lines(content, source="s", taken="t", prefixes=("/calico/",)))
    assert all(line.count(b"\n") == 1 for line in lines)
    assert {item.key: item.value for item in read_export(lines, what="f").content.items} == values
