"""`ocicat explain`: the fields of a kind, with their types, defaults and rules."""

from __future__ import annotations

from typing import cast

import click

from ocicat.cli.output import Format, format_option, show
from ocicat.errors import UserError
from ocicat.model.base import NODEFAULT, UNSET, Struct
from ocicat.model.codec import encode_json
from ocicat.model.v3.fields import Form, Items, Matches, MaxLength, OneOf, Range
from ocicat.model.v3.kinds import kind_named
from ocicat.model.v3.shape import Leaf, Listing, Member, Record, Shape, Statement, record

_TYPES: dict[object, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true/false",
    dict[str, str]: "map of text",
    dict[str, int]: "map of numbers",
}


class Shown(Struct, frozen=True):
    """One field. `default`: what it means where it is left out; empty: nothing in particular."""

    field: str
    type: str
    default: str
    rules: tuple[str, ...]


@click.command()
@click.argument("path", metavar="KIND[.FIELD...]")
@format_option
def command(path: str, style: Format) -> None:
    """Show the fields of a kind, or of a part of it: type, default, rules.

    \b
    Example:
      ocicat explain ippool.spec
      ocicat explain globalnetworkpolicy.spec.ingress.source
    """
    show(
        style,
        _fields(path),
        head=("field", "type", "default", "rules"),
        row=lambda one: (one.field, one.type, one.default or "-", "; ".join(one.rules) or "-"),
        name=lambda one: one.field,
    )


def _fields(path: str) -> list[Shown]:
    """Errors: UserError for a kind or a field that does not exist."""
    word, *names = path.split(".")
    kind = kind_named(word)
    shape: Shape = record(cast("type[Struct]", kind.type))
    shown: list[Shown] = []
    for depth, name in enumerate(names):
        inner = _element(shape)
        member = inner.by_name.get(name) if isinstance(inner, Record) else None
        if member is None:
            above = ".".join([kind.name, *names[:depth]])
            fields = ", ".join(inner.by_name) if isinstance(inner, Record) else "no fields"
            raise UserError(f"{above} has no field {name!r}", hint=f"it has {fields}")
        shown, shape = [_shown(name, member)], member.shape
    inner = _element(shape)
    return [_shown(member.name, member) for member in inner.members] if isinstance(inner, Record) else shown


def _shown(name: str, member: Member) -> Shown:
    return Shown(name, _type(member.shape), _default(member), tuple(_rules(member.shape)))


def _element(shape: Shape) -> Shape:
    while isinstance(shape, Listing):
        shape = shape.element
    return shape


def _type(shape: Shape) -> str:
    match shape:
        case Record():
            return "object"
        case Listing(_, element):
            return f"list of {_type(element)}"
        case Leaf(types=types):
            return " or ".join(dict.fromkeys(_TYPES.get(one, "anything") for one in types))


def _default(member: Member) -> str:
    if member.unset is NODEFAULT:
        return "required"
    empty: tuple[object, ...] = (None, UNSET, "", (), {})
    if member.unset in empty or isinstance(member.unset, Struct):
        return ""
    return encode_json(member.unset).decode().strip('"')


def _rules(shape: Shape) -> list[str]:
    match shape:
        case Record():
            return []
        case Listing(statements, element):
            return [*map(_rule, statements), *_rules(element)]
        case Leaf(statements, values):
            return [*([f"one of {', '.join(map(str, values))}"] if values else []), *map(_rule, statements)]


def _rule(statement: Statement) -> str:
    match statement:
        case Form(name):
            return f"form: {name}"
        case OneOf(values, ignore_case):
            return f"one of {', '.join(map(str, values))}{' in any case' if ignore_case else ''}"
        case Range(low, high):
            return f"{low} to {high}"
        case MaxLength(high):
            return f"at most {high} characters"
        case Matches(_, meaning):
            return meaning
        case Items(high, unique):
            most = "" if high is None else f"at most {high} elements"
            return ", ".join(filter(None, [most, "each once" if unique else ""]))
