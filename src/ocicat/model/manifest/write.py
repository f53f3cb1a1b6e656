"""Resources as text for people: YAML and JSON whose fields always stand in the same order. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from ocicat.model.base import Struct
from ocicat.model.codec import plain_number
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.shape import Listing, Record, Shape, record

Json = dict[str, object]

_FIRST = ("apiVersion", "kind", "metadata", "spec", "status")


def ordered(raw: Json) -> Json:
    """The same object: what says its type first, then the fields in the order of their definition, unknown ones last."""
    kind = KINDS.get(str(raw.get("kind")))
    shape = None if kind is None else record(cast("type[Struct]", kind.type))
    result = cast("Json", _ordered(shape, raw))
    return {name: result[name] for name in (*_FIRST, *result) if name in result}


def json_text(value: object, *, indent: int | None = 2) -> str:
    """In the order that it has, with a final newline; without an indent on one line."""
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"


def yaml_text(value: Json | Sequence[Json]) -> str:
    """One document, or several with `---` between them. Whatever else a reader of YAML might take for a text stands in quotes."""
    from ocicat.model.manifest.yaml_write import dumped  # the library is large

    documents = [value] if isinstance(value, dict) else value
    return "---\n".join(dumped(document) for document in documents)


def _ordered(shape: Shape | None, value: object) -> object:
    match shape, value:
        case Record(), dict():
            known = [member.name for member in shape.members if member.name in value]
            unknown = sorted(name for name in value if name not in shape.by_name)
            inner = {**{name: shape.by_name[name].shape for name in known}, **dict.fromkeys(unknown)}
            return {name: _ordered(of, value[name]) for name, of in inner.items()}
        case Listing(_, element), list():
            return [_ordered(element, item) for item in value]
        case _, dict():
            return {name: _ordered(None, value[name]) for name in sorted(value)}
        case _, list():
            return [_ordered(None, item) for item in value]
        case _, float():
            return plain_number(value)
        case _:
            return value
