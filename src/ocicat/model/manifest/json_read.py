"""JSON text to values and their lines, as RFC 8259 has it, several values one after the other allowed. Pure.

A name that stands twice in an object is refused, as is a number that is not finite; Python's own decoder would take the last, and
knows no lines.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

from ocicat.model.manifest.place import HALF_PAIR, Place, Read, wrong

MAX_DEPTH = 64

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRINGS = JSONDecoder()  # used for these only
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile("true|false|null")


def read_json(text: str, source: str) -> Iterator[Read]:
    """Each value. Errors: UserError `source:line:column: what`."""
    reader = _Reader(text, source)
    while reader.more():
        value, place = reader.value(0)
        yield Read(value, place)


@dataclass(slots=True)
class _Reader:
    text: str
    source: str
    at: int = 0
    breaks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaks = [found.end() for found in re.finditer("\n", self.text)]

    def more(self) -> bool:
        return self._next() != ""

    def value(self, depth: int) -> tuple[object, Place]:
        line, char = self._line(), self._next()
        if depth > MAX_DEPTH:
            self._wrong(f"nested deeper than {MAX_DEPTH} levels")
        if char == "{":
            return self._object(line, depth + 1)
        if char == "[":
            return self._array(line, depth + 1)
        return self._string() if char == '"' else self._plain(), Place(self._line())

    def _object(self, line: int, depth: int) -> tuple[dict[str, object], Place]:
        values: dict[str, object] = {}
        places: dict[str | int, Place] = {}
        for _ in self._elements("}"):
            if self._next() != '"':
                self._wrong("a name in double quotes must stand here")
            start = self.at
            name = self._string()
            if name in values:
                self._wrong(f"{name!r} stands here twice, first in line {places[name].line}", start)
            self._take(":")
            values[name], place = self.value(depth)
            places[name] = Place(self._line(start), place.inner)
        return values, Place(line, places)

    def _array(self, line: int, depth: int) -> tuple[list[object], Place]:
        values: list[object] = []
        places: dict[str | int, Place] = {}
        for number in self._elements("]"):
            value, places[number] = self.value(depth)
            values.append(value)
        return values, Place(line, places)

    def _elements(self, end: str) -> Iterator[int]:
        """Stands before each element in turn: 0, 1, 2 ..."""
        self.at += 1
        number = 0
        while number or self._next() != end:
            yield number
            number += 1
            if self._next() == end:
                break
            self._take(",")
        self.at += 1

    def _string(self) -> str:
        try:
            text, self.at = _STRINGS.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            self._wrong(error.msg[:1].lower() + error.msg[1:], error.pos)
        if not isinstance(text, str) or HALF_PAIR.search(text):
            self._wrong("half of a surrogate pair")
        return text

    def _plain(self) -> bool | int | float | None:
        found = _NUMBER.match(self.text, self.at)
        if found:
            number = float(found[0])
            if not math.isfinite(number):
                self._wrong(f"{found[0][:20]}: the number is too large")
            if not (found[1] or found[2]):
                number = int(found[0])
            self.at = found.end()
            return number
        word = _WORD.match(self.text, self.at)
        if word is None:
            self._wrong("a value must stand here")
        self.at = word.end()
        return _WORDS[word[0]]

    def _next(self) -> str:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def _take(self, char: str) -> None:
        if self._next() != char:
            self._wrong(f"{char!r} must stand here")
        self.at += 1

    def _line(self, at: int | None = None) -> int:
        return bisect_right(self.breaks, self.at if at is None else at) + 1

    def _wrong(self, what: str, at: int | None = None) -> NoReturn:
        place = self.at if at is None else at
        wrong(self.source, self._line(place), place - self.text.rfind("\n", 0, place), what)
