"""What the readers of YAML and JSON give: values, and the lines where they stand. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn

from ocicat.errors import UserError

HALF_PAIR = re.compile("[\ud800-\udfff]")
"""What may stand in a Python text and in no file."""

_STEP = re.compile(r"\[(\d+)\]|([^.\[]+)")
_NOTHING: Mapping[str | int, Place] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Place:
    """The line where a value begins, from 1, and those of what is in it: by the field's name or the element's number."""

    line: int
    inner: Mapping[str | int, Place] = field(default_factory=lambda: _NOTHING)

    def line_of(self, path: str) -> int:
        """The line of `spec.ingress[0].action`; of the innermost field around it that stands in the text, if that one does not."""
        place = self
        for number, name in _STEP.findall(path):
            found = place.inner.get(int(number) if number else name)
            if found is None:
                break
            place = found
        return place.line


@dataclass(frozen=True, slots=True)
class Read:
    """One document. In the value of a YAML document an `Odd` may stand for a number, a truth value or nothing."""

    value: object
    place: Place


@dataclass(frozen=True, slots=True)
class Odd:
    """A YAML word that means `value`, and would not be spelled `text` if it were written from that value: `yes`, `1.10`, `010`."""

    value: bool | int | float | None
    text: str


def wrong(source: str, line: int, column: int, what: str, *, hint: str = "") -> NoReturn:
    """`line` and `column` count from 1."""
    raise UserError(f"{source}:{line}:{column}: {what}", hint=hint)
