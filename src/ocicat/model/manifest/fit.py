"""YAML words as the values that a resource's fields take: a label whose value is `1` is the text "1". Pure.

calicoctl turns a number or a truth value into text wherever a field takes text, spelled its own way: `yes` becomes "true",
`1.10` becomes "1.1". Here a word becomes text only if there is no other way to spell its value; else it is refused, because
whoever wrote it may have meant either.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.model.codec import encode_json
from ocicat.model.manifest.place import Odd
from ocicat.model.v3.shape import Leaf, Listing, Record, Shape

Unclear = list[tuple[str, str]]
"""The path of each field that can be read in two ways, and what is to be said about it."""


def fitted(shape: Shape | None, value: object, path: str, unclear: Unclear) -> object:
    """`value` with nothing but JSON in it, fitted to `shape`; None: to no shape."""
    match shape, value:
        case Record(), Mapping():
            return {
                name: fitted(_member(shape, name), inner, f"{path}.{name}" if path else name, unclear)
                for name, inner in value.items()
            }
        case Listing(_, element), list():
            return [fitted(element, inner, f"{path}[{number}]", unclear) for number, inner in enumerate(value)]
        case Leaf(types=types), Mapping() if dict[str, str] in types:
            # Go reads a null as the text that holds nothing.
            return {
                name: "" if _is_null(inner) else _as_text(inner, f"{path}.{name}", unclear)
                for name, inner in value.items()
            }
        case Leaf(types=types), _ if str in types and not _is_null(value) and _type(value) not in types:
            return _as_text(value, path, unclear)
        case _:
            return _plain(value)


def _member(shape: Record, name: str) -> Shape | None:
    member = shape.by_name.get(name)
    return None if member is None else member.shape


def _as_text(value: object, path: str, unclear: Unclear) -> object:
    if isinstance(value, Odd):
        meant = "nothing" if value.value is None else encode_json(value.value).decode()
        unclear.append((path, f"{value.text} means {meant} in YAML: put it in quotes"))
        return value.text
    return encode_json(value).decode() if isinstance(value, bool | int | float) else _plain(value)


def _plain(value: object) -> object:
    match value:
        case Odd():
            return value.value
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, Odd) and value.value is None)


def _type(value: object) -> type:
    return type(value.value if isinstance(value, Odd) else value)
