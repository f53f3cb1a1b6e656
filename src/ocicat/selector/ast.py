"""What a selector says, as a tree of immutable values, and its canonical text.

The text and the unique id made from it are Calico's, character for character, but for a double negation across
parentheses, which Calico keeps: its text of `!(!has(a))` is `!!has(a)`, and that reads back as something else.

Invariants:
1. A quoted value never holds both kinds of quote: the language has no escapes, so no text could say it.
2. `In.values` and `NotIn.values` are sorted and without duplicates.
3. `And` and `Or` have two operands or more; the operand of a `Not` is never a `Not`.
4. No node is deeper than MAX_DEPTH, so that a recursive walk is safe. Only the parser makes nodes, and it sees to all four.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias, assert_never

from ocicat.model.base import Struct

MAX_DEPTH = 64
"""How deep `&&` and `||` may nest. Nobody writes ten; a walk must stay far from Python's limit of 1000 frames."""


class Comparison(StrEnum):
    """How a label's value is compared with one given; the value is the canonical spelling."""

    EQUALS = "=="
    DIFFERS = "!="
    CONTAINS = "contains"
    STARTS = "starts with"
    ENDS = "ends with"


class All(Struct, frozen=True):
    """Everything matches."""


class Global(Struct, frozen=True):
    """Everything matches; as a namespace selector it means resources without a namespace."""


class Has(Struct, frozen=True):
    """The label is there."""

    label: str


class Compare(Struct, frozen=True):
    """The label is there and compares so with the value; DIFFERS also matches where the label is absent."""

    label: str
    comparison: Comparison
    value: str


class In(Struct, frozen=True):
    """The label is there and has one of the values."""

    label: str
    values: tuple[str, ...]


class NotIn(Struct, frozen=True):
    """The label is absent or has none of the values."""

    label: str
    values: tuple[str, ...]


class Not(Struct, frozen=True):
    """The operand does not match."""

    operand: Node


class And(Struct, frozen=True):
    """Every operand matches."""

    operands: tuple[Node, ...]


class Or(Struct, frozen=True):
    """At least one operand matches."""

    operands: tuple[Node, ...]


Node: TypeAlias = All | Global | Has | Compare | In | NotIn | Not | And | Or


def canonical(node: Node) -> str:
    """The one text of this tree; parsing it gives the same tree again."""
    match node:
        case All():
            return "all()"
        case Global():
            return "global()"
        case Has(label):
            return f"has({label})"
        case Compare(label, comparison, value):
            return f"{label} {comparison} {_quoted(value)}"
        case In(label, values):
            return f"{label} in {_set(values)}"
        case NotIn(label, values):
            return f"{label} not in {_set(values)}"
        case Not(operand):
            return f"!{canonical(operand)}"
        case And(operands):
            return f"({' && '.join(map(canonical, operands))})"
        case Or(operands):
            return f"({' || '.join(map(canonical, operands))})"
    assert_never(node)


def depth(node: Node) -> int:
    """How many `And` and `Or` lie inside one another: the depth of parentheses in the canonical text."""
    match node:
        case And(operands) | Or(operands):
            return 1 + max(map(depth, operands))
        case Not(operand):
            return depth(operand)
        case _:
            return 0


def _set(values: tuple[str, ...]) -> str:
    return f"{{{', '.join(map(_quoted, values))}}}"


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'
