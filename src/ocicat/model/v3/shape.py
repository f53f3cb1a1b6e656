"""The shape of a record: which JSON field holds what, and what its types state about it. Pure.

Made once for each type. A shape is a `Record`, a `Listing` of things of one shape, or a `Leaf`; of alternatives (`X | None`) it is
the one that has something inside. Records are never recursive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from ocicat.model.base import NODEFAULT, FieldInfo, Struct, UnsetType, fields
from ocicat.model.v3.fields import Form, Items, Matches, MaxLength, OneOf, Range

Statement = Form | Items | Matches | MaxLength | OneOf | Range


@dataclass(frozen=True, slots=True)
class Leaf:
    """`types`: those a value may be of, such as `int`, `str` or `dict[str, str]`. `values`: all there may be, if decoding itself
    insists on them."""

    statements: tuple[Statement, ...] = ()
    values: tuple[object, ...] = ()
    types: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    statements: tuple[Statement, ...]
    element: Shape


@dataclass(frozen=True, slots=True)
class Member:
    """`unset`: what the attribute holds when nobody set it. `name` is that of the JSON field."""

    attribute: str
    name: str
    unset: object
    shape: Shape


@dataclass(frozen=True, slots=True)
class Record:
    type: type[Struct]
    members: tuple[Member, ...]
    by_name: Mapping[str, Member]


Shape: TypeAlias = Leaf | Listing | Record


@cache
def record(of: type[Struct]) -> Record:
    hints = get_type_hints(of, include_extras=True)
    members = tuple(Member(info.name, info.encode_name, _unset(info), _shape(hints[info.name])) for info in fields(of))
    return Record(of, members, {member.name: member for member in members})


def _unset(info: FieldInfo) -> object:
    """A field that must be given is never unset: `NODEFAULT` equals nothing that was decoded."""
    return info.default_factory() if info.default_factory is not NODEFAULT else info.default


def _shape(hint: object, statements: tuple[Statement, ...] = ()) -> Shape:
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        return _shape(arguments[0], (*cast("tuple[Statement, ...]", arguments[1:]), *statements))
    if origin in (Union, UnionType):
        return _alternatives(arguments, statements)
    if origin is tuple and arguments[-1] is Ellipsis:
        return Listing(statements, _shape(arguments[0]))
    if origin is Literal:
        return Leaf(statements, arguments, tuple(dict.fromkeys(map(type, arguments))))
    if isinstance(hint, type) and issubclass(hint, Struct):
        return record(hint)
    return Leaf(statements, types=(hint,))


def _alternatives(hints: tuple[object, ...], statements: tuple[Statement, ...]) -> Shape:
    shapes = [_shape(hint, statements) for hint in hints if hint not in (NoneType, UnsetType)]
    plain = [
        shape for shape in shapes if isinstance(shape, Leaf) and shape.statements == statements and not shape.values
    ]
    inner = [shape for shape in shapes if shape not in plain]
    return inner[0] if inner else Leaf(statements, types=tuple(chain.from_iterable(shape.types for shape in plain)))
