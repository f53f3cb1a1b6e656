"""YAML text to values and their lines. Pure.

Promises:
1. Plain words mean what they mean to calicoctl (go-yaml: the truth values and number forms of YAML 1.1, but neither dates nor
   base 60); an `Odd` keeps the spelling where a reader of the text might expect something else.
2. A key that stands twice, a key that is no text, a tag, an alias inside its own anchor: refused, with line and column.
3. Aliases and nesting are bounded: a small text cannot become a large value.

Built from the parser's events, because an object that a constructor has made no longer knows its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, cast

import yaml

from ocicat.model.manifest.place import HALF_PAIR, Odd, Place, Read, wrong

MAX_DEPTH = 64
MAX_ALIASED = 100_000  # values of a document that come out of aliases


class _Parser(Protocol):
    """What is used of the library's loaders, the one in C or the one in Python."""

    def get_event(self) -> yaml.Event: ...
    def dispose(self) -> None: ...


_PARSER: Callable[[str], _Parser] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTE = "put it in quotes if it is meant as text"
_MERGE = "<<"
_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{form: True for word in ("y", "yes", "on", "true") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("n", "no", "off", "false") for form in (word, word.title(), word.upper())},
}
_NUMBER_START = frozenset("+-.0123456789")
_INT = re.compile(r"([-+]?)(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z")
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")

Scalar = str | bool | int | float | None


def read_yaml(text: str, source: str) -> Iterator[Read]:
    """Each document that holds something. Errors: UserError `source:line:column: what`."""
    parser: _Parser | None = None
    try:
        parser = _PARSER(text)
        yield from _Documents(parser, source).all()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        wrong(source, line, column, " ".join(filter(None, [error.problem, error.context])))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        wrong(source, line, column, f"the character {str(error.character)!r} may not stand in YAML")
    finally:
        if parser is not None:
            parser.dispose()


def meaning(text: str) -> Scalar:
    """What a plain word of YAML means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if found := _INT.match(text):
        return _integer(text, found[1], found[2].replace("_", ""))
    if _ENDLESS.match(text):
        return float(text.lower().replace(".", ""))
    return float(text.replace("_", "")) if _FLOAT.match(text) else text


def is_spelling(text: str, value: Scalar) -> bool:
    """Whether `text` is how `value` is written by everybody, so that it may stand for the text as well."""
    match value:
        case bool():
            return text == str(value).lower()
        case int():
            return text == str(value)
        case float():
            return text == repr(value) and not value.is_integer() and "e" not in text
        case _:
            return False


def _integer(text: str, sign: str, digits: str) -> int | float | str:
    octal = len(digits) > 1 and digits.isdecimal() and digits[0] == "0"
    try:
        return int(sign + (f"0o{digits}" if octal else digits), 0)
    except ValueError:  # a prefix and underscores only, or more digits than Python reads
        return math.inf if len(digits) > 2 else text


@dataclass(frozen=True, slots=True)
class _Node:
    """`size`: how many values there are in it, itself included."""

    value: object
    place: Place
    size: int = 1


@dataclass(slots=True)
class _Documents:
    parser: _Parser
    source: str
    anchors: dict[str, _Node | None] = field(default_factory=dict)  # None: the anchor's value is not complete yet
    aliased: int = 0

    def all(self) -> Iterator[Read]:
        while not isinstance(event := self.parser.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors, self.aliased = {}, 0
                node = self._node(self.parser.get_event(), 0)
                if not (node.value is None or (isinstance(node.value, Odd) and node.value.value is None)):
                    yield Read(node.value, node.place)

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            self._wrong(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = cast("str | None", getattr(event, "anchor", None))
        if anchor is not None:
            self.anchors[anchor] = None
        match event:
            case yaml.MappingStartEvent():
                node = self._mapping(event, depth + 1)
            case yaml.SequenceStartEvent():
                node = self._sequence(event, depth + 1)
            case _:
                node = _Node(self._scalar(cast("yaml.ScalarEvent", event)), Place(_line(event)))
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> _Node:
        name = cast("str", event.anchor)
        if name not in self.anchors:
            self._wrong(event, f"the alias *{name} has no anchor before it")
        anchored = self.anchors[name]
        if anchored is None:
            self._wrong(event, f"the alias *{name} stands inside its own anchor")
        self.aliased += anchored.size
        if self.aliased > MAX_ALIASED:
            self._wrong(event, f"aliases stand for more than {MAX_ALIASED} values")
        return _Node(anchored.value, Place(_line(event)), anchored.size)

    def _sequence(self, start: yaml.SequenceStartEvent, depth: int) -> _Node:
        self._known_tag(start, "seq")
        nodes: list[_Node] = []
        while not isinstance(event := self.parser.get_event(), yaml.SequenceEndEvent):
            nodes.append(self._node(event, depth))
        place = Place(_line(start), {number: node.place for number, node in enumerate(nodes)})
        return _Node([node.value for node in nodes], place, 1 + sum(node.size for node in nodes))

    def _mapping(self, start: yaml.MappingStartEvent, depth: int) -> _Node:
        self._known_tag(start, "map")
        nodes: dict[str, _Node] = {}
        merged: list[_Node] = []
        while not isinstance(event := self.parser.get_event(), yaml.MappingEndEvent):
            key, is_plain = self._key(event)
            node = self._node(self.parser.get_event(), depth)
            if key == _MERGE and is_plain:
                merged.append(self._checked_merge(event, node))
            elif key in nodes:
                self._wrong(event, f"{key!r} stands here twice, first in line {nodes[key].place.line}")
            else:
                nodes[key] = _Node(node.value, Place(_line(event), node.place.inner), node.size)
        values: dict[str, object] = {key: node.value for key, node in nodes.items()}
        for node in merged:
            for one in node.value if isinstance(node.value, list) else [node.value]:
                values = {**cast("dict[str, object]", one), **values}
        place = Place(_line(start), {key: node.place for key, node in nodes.items()})
        return _Node(values, place, 1 + sum(node.size for node in (*nodes.values(), *merged)))

    def _checked_merge(self, event: yaml.Event, node: _Node) -> _Node:
        values = node.value if isinstance(node.value, list) else [node.value]
        if not all(isinstance(value, dict) for value in values):
            self._wrong(event, "<< takes the fields of a mapping: name one by its alias")
        return node

    def _key(self, event: yaml.Event) -> tuple[str, bool]:
        """The key, and whether it stands there without quotes."""
        if not isinstance(event, yaml.ScalarEvent):
            self._wrong(event, "a key must be plain text")
        value = self._scalar(event)
        if isinstance(value, str):
            return value, event.implicit[0]
        if isinstance(value, Odd):
            self._wrong(event, f"the key {event.value!r} means {_shown(value.value)}", hint=_QUOTE)
        return event.value, False

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar | Odd:
        text, tag = event.value, event.tag
        if HALF_PAIR.search(text):
            self._wrong(event, "half of a surrogate pair")
        if tag in ("!", _TAG + "str") or (tag is None and not event.implicit[0]):
            return text
        value = meaning(text)
        if tag is not None and type(value) not in _TYPES.get(tag.removeprefix(_TAG), ()):
            self._wrong(event, f"the tag {tag.replace(_TAG, '!!')} does not fit {text!r} or is not supported")
        if isinstance(value, float) and not math.isfinite(value):
            self._wrong(event, f"{text[:20]}: a number must be finite", hint=_QUOTE)
        return value if isinstance(value, str) or is_spelling(text, value) else Odd(value, text)

    def _known_tag(self, event: yaml.CollectionStartEvent, name: str) -> None:
        if event.tag not in (None, "!", _TAG + name):
            self._wrong(event, f"the tag {str(event.tag).replace(_TAG, '!!')} is not supported")

    def _wrong(self, event: yaml.Event, what: str, *, hint: str = "") -> NoReturn:
        wrong(self.source, _line(event), event.start_mark.column + 1 if event.start_mark else 1, what, hint=hint)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value).lower()
