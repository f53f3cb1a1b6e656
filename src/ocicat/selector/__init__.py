"""Calico's selector language: text to syntax tree to closure. Pure.

`parse` is all that the rest of the program needs. Selectors with the same canonical text are equal, however they were
written, and `matches`, `restrictions` and `uid` depend on that text alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocicat.model.names import unique_id
from ocicat.selector import ast, compile, parser  # noqa: A004 - the module; the builtin is not used here
from ocicat.selector.compile import Matcher
from ocicat.selector.error import SelectorError
from ocicat.selector.restrictions import LabelRestriction, Restrictions, restrictions

__all__ = ["LabelRestriction", "Selector", "SelectorError", "parse"]


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed selector. `matches(labels)` is a closure and not a method: it is the hot path of the calculation."""

    text: str
    uid: str = field(compare=False)
    matches: Matcher = field(compare=False, repr=False)
    restrictions: Restrictions = field(compare=False, repr=False)


def parse(text: str) -> Selector:
    """The selector that `text` says; nothing but blanks means all(). Errors: SelectorError."""
    node = parser.parse(text)
    canonical = ast.canonical(node)
    return Selector(canonical, unique_id("s", canonical), compile.compile(node), restrictions(node))
