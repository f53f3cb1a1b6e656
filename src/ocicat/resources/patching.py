"""JSON patches: RFC 7386 (merge) and RFC 6902 (a list of operations). Pure: what is given is never changed.

A strategic merge, which tells lists of things with names from plain ones, is a merge here: the v3 kinds name no keys for it to go
by, so calicoctl's strategic patch replaces their lists as well. Its directives (`$patch`) are unknown fields, and refused as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy

from ocicat.errors import UserError

_INDEX = re.compile(r"0|[1-9][0-9]*")


def merge(target: object, patch: object) -> object:
    """RFC 7386, section 2: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), change)
    return result


def apply_operations(target: object, operations: object) -> object:
    """RFC 6902. Errors: UserError that names the operation, by its place from 0, and what is wrong with it."""
    if not isinstance(operations, list):
        raise UserError(
            "patch: a JSON patch is a list of operations", hint='for example [{"op": "remove", "path": "/a"}]'
        )
    result = deepcopy(target)
    for place, operation in enumerate(operations):
        try:
            result = _apply(result, operation)
        except UserError as error:
            raise UserError(f"patch[{place}]: {error.message}") from error
    return result


def _apply(document: object, operation: object) -> object:
    if not isinstance(operation, Mapping):
        raise UserError("must be an object with op and path")
    act = _OPERATIONS.get(str(operation.get("op")))
    if act is None:
        raise UserError(f"op: {operation.get('op')!r} must be one of {', '.join(_OPERATIONS)}")
    return act(document, _pointer(operation, "path"), operation)


def _add(document: object, path: list[str], operation: Mapping[str, object]) -> object:
    return _put(document, path, deepcopy(_value(operation)))


def _remove(document: object, path: list[str], _operation: Mapping[str, object]) -> object:
    _find(document, path)
    return _without(document, path)


def _replace(document: object, path: list[str], operation: Mapping[str, object]) -> object:
    value = deepcopy(_value(operation))
    _find(document, path)
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent[_place(path[-1], len(parent) - 1)] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    return document


def _move(document: object, path: list[str], operation: Mapping[str, object]) -> object:
    source = _pointer(operation, "from")
    if path[: len(source)] == source and path != source:
        raise UserError(f"path: {_text(path)!r} lies in {_text(source)!r}, which is moved")
    value = _find(document, source)
    return _put(_without(document, source), path, value)


def _copy(document: object, path: list[str], operation: Mapping[str, object]) -> object:
    return _put(document, path, deepcopy(_find(document, _pointer(operation, "from"))))


def _test(document: object, path: list[str], operation: Mapping[str, object]) -> object:
    if not _equal(_find(document, path), _value(operation)):
        raise UserError(f"test: {_text(path)} holds something else")
    return document


_OPERATIONS: Mapping[str, Callable[[object, list[str], Mapping[str, object]], object]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _value(operation: Mapping[str, object]) -> object:
    if "value" not in operation:
        raise UserError("value: is missing")
    return operation["value"]


def _pointer(operation: Mapping[str, object], field: str) -> list[str]:
    """RFC 6901."""
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise UserError(f"{field}: {text!r} must be a pointer such as /spec/selector")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _find(document: object, path: list[str]) -> object:
    for depth, part in enumerate(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_place(part, len(document) - 1)]
        else:
            raise UserError(f"path: there is no {_text(path[: depth + 1])}")
    return document


def _put(document: object, path: list[str], value: object) -> object:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _place(path[-1], len(parent)), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise UserError(f"path: {_text(path[:-1])} is neither an object nor a list")
    return document


def _without(document: object, path: list[str]) -> object:
    if not path:
        return None
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        del parent[_place(path[-1], len(parent) - 1)]
    elif isinstance(parent, dict):
        del parent[path[-1]]
    return document


def _place(part: str, last: int) -> int:
    if not _INDEX.fullmatch(part) or len(part) > 9 or int(part) > last:
        raise UserError(
            f"path: {part!r} is no place in a list of {last + 1}" if last >= 0 else "path: the list is empty"
        )
    return int(part)


def _equal(one: object, other: object) -> bool:
    """As JSON: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def _text(path: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path) or '""'
