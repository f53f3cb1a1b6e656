"""Resources as they stand in the datastore or in a file, read and changed without losing what this version does not know. Pure.

Promises:
1. `parse(merged(document, changed)).resource == changed`, and a field that is the same in both stays in the text as it was.
2. A field that no record has a word for is kept, at any depth, and `Document.unknown` names it: enforcing code decodes the
   records themselves and refuses it in a rule, tools may show and carry it, and whoever creates an object may refuse it.
3. `null` is the same as absent, as in Go.
4. A workload endpoint without a name gets the one that follows from its fields.

An element of a list keeps its unknown fields if an equal element was there before, or, in a list of the same length, at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, TypeVar, cast

from ocicat.errors import UserError
from ocicat.model.base import Struct, replace
from ocicat.model.codec import convert, decode_json, encode_json
from ocicat.model.v3.endpoints import WorkloadEndpoint
from ocicat.model.v3.kinds import KINDS, Kind, kind_named
from ocicat.model.v3.metadata import API_VERSION, Resource
from ocicat.model.v3.shape import Leaf, Listing, Record, Shape, record

Json = dict[str, object]
T = TypeVar("T")


class Document(Struct, frozen=True):
    """`raw` is the whole JSON object, `unknown` the paths of the fields in it that `resource` has no word for."""

    kind: Kind
    resource: Resource
    raw: Json
    unknown: tuple[str, ...] = ()


class Malformed(UserError):
    """An object that is no resource. `field`: the path of what is wrong, if it is a field; `fault` begins with it."""

    def __init__(self, title: str, fault: str, *, hint: str = "") -> None:
        super().__init__(f"{title}: {fault}", hint=hint)
        self.fault = fault
        self.field = fault.partition(": ")[0] if ": " in fault else ""


def parse(data: bytes | str | Mapping[str, object], *, what: str = "the resource") -> Document:
    """One resource of any kind. `what` names it in errors until its own name is known.

    Errors: UserError (no JSON object), Malformed (no such kind, another API version, a value of the wrong type).
    """
    raw = dict(data) if isinstance(data, Mapping) else decode_json(Json, data, what=what)
    title = _title(raw, what)
    kind = _kind(raw, title)
    shape = record(cast("type[Struct]", kind.type))
    unknown: list[str] = []
    try:
        known = _known(shape, raw, "", unknown)
    except UserError as error:
        raise Malformed(title, error.message) from error
    if kind.type is WorkloadEndpoint and _is_nameless(raw):
        return _with_derived_name(kind, raw, known, unknown)
    return Document(kind, _decoded(kind.type, known, title), raw, tuple(unknown))


def _decoded(wanted: type[T], known: object, title: str) -> T:
    try:
        return convert(wanted, known, what=title)
    except UserError as error:
        raise Malformed(title, error.message.removeprefix(f"{title}: ")) from error


def _is_nameless(raw: Json) -> bool:
    metadata = raw.get("metadata") or {}
    return isinstance(metadata, dict) and metadata.get("name") is None


def _with_derived_name(kind: Kind, raw: Json, known: object, unknown: list[str]) -> Document:
    nameless = merge_metadata(cast("Json", known), name="")
    endpoint = _decoded(WorkloadEndpoint, nameless, kind.name)
    try:
        name = endpoint.spec.ids.name()
    except UserError as error:
        raise Malformed(kind.name, f"metadata.name: cannot be made from the fields: {error.message}") from error
    named = replace(endpoint, metadata=replace(endpoint.metadata, name=name))
    return Document(kind, named, merge_metadata(raw, name=name), tuple(unknown))


def merge_metadata(raw: Mapping[str, object], **fields: object) -> Json:
    """`raw` with these fields of its metadata set, by their JSON names; None takes one away."""
    metadata = _metadata(raw) | fields
    return dict(raw) | {"metadata": {name: value for name, value in metadata.items() if value is not None}}


def fields_beside(kind: Kind, path: str) -> tuple[str, ...]:
    """The names that a record has where `path`, one of `Document.unknown`, lies: what may have been meant."""
    shape: Shape = record(cast("type[Struct]", kind.type))
    for part in path.split("."):
        member = shape.by_name.get(part.partition("[")[0]) if isinstance(shape, Record) else None
        if member is None:
            break
        shape = member.shape
        while isinstance(shape, Listing):
            shape = shape.element
    return tuple(shape.by_name) if isinstance(shape, Record) else ()


def merged(document: Document, changed: Resource) -> bytes:
    """The document with its resource replaced by `changed`, of the same kind. Errors: UserError if it is of another."""
    if changed.kind != document.kind.name:
        raise UserError(f"a {document.kind.name} cannot become a {changed.kind}")
    shape = record(cast("type[Struct]", document.kind.type))
    written = decode_json(Json, encode_json(changed))
    return encode_json(_merge(shape, document.raw, document.resource, changed, written))


def _kind(raw: Mapping[str, object], title: str) -> Kind:
    name, version = raw.get("kind"), raw.get("apiVersion")
    if version != API_VERSION:
        fault = "is missing" if version is None else f"{version!r} must be {API_VERSION!r}"
        raise Malformed(title, f"apiVersion: {fault}", hint="" if version else f"write apiVersion: {API_VERSION}")
    if not isinstance(name, str):
        fault = "is missing" if name is None else f"{name!r} must be text"
        raise Malformed(title, f"kind: {fault}", hint="`ocicat kinds` lists them")
    return KINDS.get(name) or _kind_meant(name, title)


def _kind_meant(name: str, title: str) -> NoReturn:
    """In a resource a kind is spelled in one way only, as it is for Calico."""
    try:
        meant = kind_named(name)
    except UserError as error:
        raise Malformed(title, f"kind: {error.message}", hint=error.hint) from error
    raise Malformed(title, f"kind: {name!r} must be {meant.name!r}")


def _title(raw: Mapping[str, object], what: str) -> str:
    """What it says itself that it is."""
    kind, metadata = raw.get("kind"), _metadata(raw)
    words = (word for field in ("namespace", "name") if isinstance(word := metadata.get(field), str) and word)
    return f"{kind} {'/'.join(words)}".rstrip() if isinstance(kind, str) else what


def _metadata(raw: Mapping[str, object]) -> Json:
    metadata = raw.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _known(shape: Shape, value: object, path: str, unknown: list[str]) -> object:
    """`value` without the fields that `shape` does not know, and without nulls."""
    if isinstance(shape, Leaf):  # most are, and every object that is listed comes through here
        if shape.values and isinstance(value, str) and value not in shape.values:
            raise UserError(f"{path}: {value!r} must be one of {', '.join(map(str, shape.values))}")
        return value
    if isinstance(shape, Record):
        return _known_fields(shape, value, path, unknown) if isinstance(value, dict) else value
    if not isinstance(value, list):
        return value
    return [_known(shape.element, item, f"{path}[{place}]", unknown) for place, item in enumerate(value)]


def _known_fields(shape: Record, value: Json, path: str, unknown: list[str]) -> Json:
    found: Json = {}
    for name, inner in value.items():
        inner_path = f"{path}.{name}" if path else name
        member = shape.by_name.get(name)
        if member is None:
            unknown.append(inner_path)
        elif inner is not None:
            found[name] = _known(member.shape, inner, inner_path, unknown)
    return found


def _merge(shape: Shape, raw: object, old: object, new: object, written: object) -> object:
    """`raw` is the text of `old`, `written` that of `new`, all known fields and no others."""
    if old == new and raw is not None:
        return raw
    match shape, raw, written:
        case Record(), dict(), dict() if isinstance(old, shape.type):
            return _merge_fields(shape, raw, old, new, written)
        case Listing(_, element), list(), list() if isinstance(old, tuple):
            return _merge_elements(element, raw, old, cast("tuple[object, ...]", new), written)
        case _:
            return written


def _merge_fields(shape: Record, raw: Json, old: object, new: object, written: Json) -> Json:
    result = dict(raw)
    for member in shape.members:
        before, after = getattr(old, member.attribute), getattr(new, member.attribute)
        if before == after:
            continue
        if member.name in written:
            result[member.name] = _merge(member.shape, raw.get(member.name), before, after, written[member.name])
        else:
            result.pop(member.name, None)
    return result


def _merge_elements(
    shape: Shape, raw: list[object], old: tuple[object, ...], new: tuple[object, ...], written: list[object]
) -> list[object]:
    left = list(zip(old, raw, strict=True))
    same_length = len(old) == len(new)
    result: list[object] = []
    for place, (element, text) in enumerate(zip(new, written, strict=True)):
        equal = next((pair for pair in left if pair[0] == element), None)
        if equal is not None:
            left.remove(equal)
            result.append(equal[1])
        elif same_length:
            result.append(_merge(shape, raw[place], old[place], element, text))
        else:
            result.append(text)
    return result
