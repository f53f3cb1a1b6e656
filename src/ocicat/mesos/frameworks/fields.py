"""Reading a JSON object field by field, so that no field of it stays unread. PURE.

1. A field that is null is a field that is not there.
2. What is wrong is noted, with the field's path, and reading goes on: all complaints come at once, in `Notes.check`.
3. `done` refuses every field that nobody has asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ocicat.errors import UserError

T = TypeVar("T")

_SHOWN = 5


@dataclass(slots=True)
class Notes:
    """About one document, `what` it is. `remarks`: what has no effect here, and why that is right."""

    what: str
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def check(self) -> None:
        """UserError if there were problems: all of them, the first few in full."""
        if self.problems:
            more = len(self.problems) - _SHOWN
            rest = f"; and {more} more" if more > 0 else ""
            raise UserError(f"{self.what}: {'; '.join(self.problems[:_SHOWN])}{rest}")

    def told(self) -> list[str]:
        """The remarks, each with what it is about."""
        return [f"{self.what}: {remark}" for remark in self.remarks]


class Fields:
    """One object of a document."""

    def __init__(self, raw: object, notes: Notes, path: str = "") -> None:
        self.notes = notes
        self.path = path
        self._raw: dict[str, object] = {}
        if isinstance(raw, dict):
            self._raw = {str(key): value for key, value in raw.items() if value is not None}
        else:
            self.wrong("", f"must be an object, not {_kind(raw)}")

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def is_text(self, name: str) -> bool:
        return isinstance(self._raw.get(name), str)

    def wrong(self, name: str, what: str) -> None:
        self.notes.problems.append(f"{self._where(name)}: {what}" if self._where(name) else what)

    def remark(self, name: str, what: str) -> None:
        self.notes.remarks.append(f"{self._where(name)} {what}".lstrip())

    def text(self, name: str, default: str = "", *, choices: Sequence[str] = ()) -> str:
        value = self._take(name, str, "text", default)
        if choices and value not in choices:
            self.wrong(name, f"{value!r} is none of {', '.join(choices)}")
            return default
        return value

    def number(self, name: str, default: float, *, least: float = 0.0, most: float = float("inf")) -> float:
        value = self._raw.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(name, f"must be a number, not {_kind(value)}")
            return float(default)
        if not least <= value <= most:
            self.wrong(name, f"{value:g} is not {least:g} or more" + (f", up to {most:g}" if most < 1e9 else ""))
            return float(default)
        return float(value)

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        value = self.number(name, default, least=least, most=most)
        if not value.is_integer():
            self.wrong(name, f"{value:g} is no whole number")
        return int(value)

    def port(self, name: str, default: int = 0) -> int:
        return self.whole(name, default, most=65535)

    def flag(self, name: str, *, default: bool = False) -> bool:
        return self._take(name, bool, "true or false", default)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._take(name, list, "a list", [])
        for value in values:
            if not isinstance(value, str):
                self.wrong(name, f"must hold text, not {_kind(value)}")
                return ()
        return tuple(values)

    def pairs(self, name: str) -> dict[str, str]:
        """Free names to free text. Numbers and truth values are taken for how JSON writes them."""
        values = self._take(name, dict, "an object", {})
        read = {str(key): _written(value) for key, value in values.items()}
        for key in (key for key, value in read.items() if value is None):
            self.wrong(f"{name}.{key}", "must be text")
        return {key: value for key, value in read.items() if value is not None}

    def items(self, name: str) -> list[object]:
        return list(self._take(name, list, "a list", []))

    def inner(self, name: str) -> Fields | None:
        """None when it is not there."""
        value = self._raw.pop(name, None)
        return None if value is None else Fields(value, self.notes, self._where(name))

    def each(self, name: str) -> Iterator[Fields]:
        for index, item in enumerate(self.items(name)):
            yield Fields(item, self.notes, f"{self._where(name)}[{index}]")

    def without_effect(self, reasons: Mapping[str, str]) -> None:
        """Fields that change nothing here: remarked, each with its reason."""
        for name, reason in reasons.items():
            value = self._raw.pop(name, None)
            if value not in (None, "", [], {}, 0, False):
                self.remark(name, f"has no effect: {reason}")

    def refused(self, reasons: Mapping[str, str]) -> None:
        """Fields that cannot be honoured. Where they ask for nothing, they are as good as not there."""
        for name, reason in reasons.items():
            if self._raw.pop(name, None) not in (None, "", [], {}, 0, False):
                self.wrong(name, f"not supported: {reason}")

    def done(self) -> None:
        for name in self._raw:
            self.wrong(name, "there is no such field")

    def _where(self, name: str) -> str:
        return ".".join(filter(None, (self.path, name)))

    def _take(self, name: str, wanted: type[T], words: str, default: T) -> T:
        value = self._raw.pop(name, default)
        if isinstance(value, wanted):
            return value
        self.wrong(name, f"must be {words}, not {_kind(value)}")
        return default


def _written(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return value if isinstance(value, str) else None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")
