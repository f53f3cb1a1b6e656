"""TOML with the lines in which its keys stand, which the standard library's reader does not tell. Pure.

Promise: every key that `tomllib` finds has the line on which its name begins (for one in an inline table, that of the table). The
text is walked a second time only to find lines, so nothing is ever read differently.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

from ocicat.errors import UserError
from ocicat.model.base import Struct

_LONGEST = re.compile(r"[0-9][0-9_]{4000,}")  # about what the interpreter reads of a number
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_PATH = rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*"
_HEADER = re.compile(rf"\[\[?[ \t]*({_PATH})[ \t]*\]\]?")
_ASSIGNED = re.compile(rf"({_PATH})[ \t]*=")
_PART = re.compile(_KEY_PART)
_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[\[\]{}\n]|[^"'#\[\]{}\n]+''',
    re.DOTALL,
)


class Entry(Struct, frozen=True):
    """`path`: sections and key, outermost first. `value`: as TOML has it; never a table."""

    path: tuple[str, ...]
    value: object
    line: int

    @property
    def key(self) -> str:
        return ".".join(self.path)


def read(text: str, what: str) -> tuple[Entry, ...]:
    """All keys, in the order of their lines. Raises UserError with the line of what is no TOML."""
    try:
        leaves = list(_leaves(tomllib.loads(text), ()))
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(str(error), what, text) from error
    except ValueError as error:
        raise _too_long(what, text) from error
    except RecursionError as error:
        raise UserError(f"{what}: cannot be read: lists or tables lie too deep in each other") from error
    lines = dict(_lines(text))
    found = (Entry(path, value, _line(lines, path)) for path, value in leaves)
    return tuple(sorted(found, key=lambda one: one.line))


def _not_toml(said: str, what: str, text: str) -> UserError:
    place = _PLACE.search(said)
    line = (place[1] if place else None) or str(text.count("\n") + 1)
    cause = _PLACE.sub("", said)
    return UserError(f"{what}:{line}: is no TOML: {cause[:1].lower()}{cause[1:]}", hint="texts stand in quotes")


def _too_long(what: str, text: str) -> UserError:
    """A number: the reader itself tells neither which nor where."""
    found = _LONGEST.search(text)
    line = text.count("\n", 0, found.start() if found else 0) + 1
    return UserError(f"{what}:{line}: cannot be read: a number of thousands of digits")


def _leaves(table: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _line(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> int:
    """Of the key, or of the inline table around it."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each key and each section begins."""
    section: tuple[str, ...] = ()
    place, line = 0, 1
    while place < len(text):
        if header := _HEADER.match(text, place):
            section = _parts(header[1])
            yield section, line
            end = header.end()
        elif assigned := _ASSIGNED.match(text, place):
            yield (*section, *_parts(assigned[1])), line
            end = _after_value(text, assigned.end())
        else:
            end = place + 1
        line += text.count("\n", place, end)
        place = end if end > place + 1 or text[place] in " \t\r\n" else _end_of_line(text, place)


def _after_value(text: str, place: int) -> int:
    """Where the line ends on which a value ends: strings and lists may have several."""
    depth = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return _end_of_line(text, place)
        if token[0] == "\n" and depth == 0:
            return place
        depth += (token[0] in "[{") - (token[0] in "]}")
        place = token.end()
    return place


def _end_of_line(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found


def _parts(path: str) -> tuple[str, ...]:
    return tuple(_plain(part) for part in _PART.findall(path))


def _plain(part: str) -> str:
    """A quoted name, read."""
    if part[0] not in "\"'":
        return part
    return next(iter(tomllib.loads(f"{part} = 0")))
