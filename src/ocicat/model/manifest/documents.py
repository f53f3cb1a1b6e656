"""The resources in a text. Pure: who calls has read the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn, cast

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.manifest.fit import Unclear, fitted
from ocicat.model.manifest.json_read import read_json
from ocicat.model.manifest.place import HALF_PAIR, Place, Read, wrong
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.shape import record

Json = dict[str, object]

_LIST = "List"


class Manifest(Struct, frozen=True):
    """One resource as it was written, before anything is held to a rule. `source` names the file.

    `unclear`: the fields that can be read in two ways, and what to say about each: an object that has any must not be used.
    """

    raw: Json
    source: str
    place: Place
    unclear: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        return f"{self.source}:{self.place.line}"

    def where_of(self, field: str) -> str:
        """Where the field at this path stands, as "policy.yaml:12"; of what is missing, where it should be."""
        return f"{self.source}:{self.place.line_of(field)}"


def read(data: bytes, *, source: str) -> tuple[Manifest, ...]:
    """All resources in `data`, in order: of every document, and of every list (`kind: IPPoolList`, `kind: List`, a JSON array).

    Errors: UserError, with source, line and column, about the first thing that cannot be read.
    """
    text = _decoded(data, source)
    return tuple(manifest for found in _values(text, source) for manifest in _taken_apart(found, source))


def read_value(text: str, *, source: str) -> object:
    """The one value that a text in YAML or JSON holds, whatever it is. Errors: UserError, also if there is none, or another."""
    if HALF_PAIR.search(text):
        raise UserError(f"{source}: is not UTF-8")
    found = _values(text, source)
    if len(found) != 1:
        raise UserError(f"{source}: must be one value in JSON or YAML")
    return fitted(None, found[0].value, "", [])


def _decoded(data: bytes, source: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{source}: is UTF-16", hint="save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        wrong(source, line, column, f"the byte 0x{data[error.start]:02x} is no UTF-8", hint="save it as UTF-8")


def _values(text: str, source: str) -> list[Read]:
    """JSON is read as such: it is not quite a part of YAML. What only begins like it may still be YAML in its flow style."""
    start = text.lstrip()[:1]
    if not start:
        return []
    if start not in "{[":
        return _yaml(text, source)
    try:
        return list(read_json(text, source))
    except UserError as as_json:
        if source.endswith(".json"):
            raise
        try:
            return _yaml(text, source)
        except UserError:
            raise as_json from None


def _yaml(text: str, source: str) -> list[Read]:
    from ocicat.model.manifest.yaml_read import read_yaml  # the library is large

    return list(read_yaml(text, source))


def _taken_apart(found: Read, source: str) -> Iterator[Manifest]:
    match found.value:
        case list() as items:
            yield from _each(items, found.place, {}, source)
        case dict() as raw if _is_list(raw):
            items = raw["items"]
            if not isinstance(items, list):
                wrong(source, found.place.line_of("items"), 1, "items: must be a list")
            kind = str(raw["kind"]).removesuffix(_LIST)
            like = {"kind": kind, "apiVersion": raw.get("apiVersion")} if kind else {}
            yield from _each(items, found.place.inner["items"], like, source)
        case dict() as raw:
            yield _manifest(raw, found.place, source)
        case _:
            _no_resource(source, found.place)


def _is_list(raw: Json) -> bool:
    kind = raw.get("kind")
    return isinstance(kind, str) and kind.endswith(_LIST) and "items" in raw


def _each(items: list[object], place: Place, like: Json, source: str) -> Iterator[Manifest]:
    """`like`: the type of the elements that do not say their own."""
    for number, item in enumerate(items):
        inner = place.inner.get(number, place)
        if not isinstance(item, dict):
            _no_resource(source, inner)
        yield _manifest({**like, **item}, inner, source)


def _manifest(raw: Json, place: Place, source: str) -> Manifest:
    kind = KINDS.get(str(raw.get("kind")))
    shape = None if kind is None else record(cast("type[Struct]", kind.type))
    unclear: Unclear = []
    result = cast("Json", fitted(shape, raw, "", unclear))
    return Manifest(result, source, place, tuple(unclear))


def _no_resource(source: str, place: Place) -> NoReturn:
    wrong(source, place.line, 1, "is no resource", hint="a resource has apiVersion, kind, metadata and spec")
