"""What a setting may be: read from TOML and from text, checked, written again. Pure. Errors are UserErrors without the key."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import cast

from ocicat.errors import UserError
from ocicat.settings.secrets import masked_address
from ocicat.settings.setting import Setting, Shape, Value

_SEPARATORS = re.compile(r"[\s,]+")
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NONE = "none"  # as Felix writes a list of nothing
_BITS = 63  # TOML promises no longer numbers, and Python neither prints nor converts all that it reads
_KINDS: dict[Shape, str] = {
    "text": "a text in quotes",
    "texts": "a list of texts",
    "whole": "a whole number",
    "wholes": "a list of whole numbers",
    "number": "a number",
    "switch": "true or false",
}
_Reader = Callable[[str], Value]


def from_toml(setting: Setting, value: object) -> Value:
    """A single element may stand for a list of one."""
    shape = setting.shape
    if shape in ("texts", "wholes"):
        given: Sequence[object] = value if isinstance(value, list) else [value]
        wanted = str if shape == "texts" else int
        if not all(type(one) is wanted for one in given):
            raise _kind(setting)
        return _checked(setting, cast("Value", tuple(given)))
    allowed = {"text": (str,), "whole": (int,), "number": (int, float), "switch": (bool,)}[shape]
    if type(value) not in allowed:
        raise _kind(setting)
    checked = _checked(setting, cast("Value", value))
    return float(checked) if shape == "number" else checked  # type: ignore[arg-type]


def from_text(setting: Setting, text: str) -> Value:
    """As in a variable: elements of a list are separated by commas or blanks."""
    readers: dict[Shape, _Reader] = {
        "text": lambda one: one,
        "texts": _texts,
        "whole": _whole,
        "wholes": lambda one: tuple(_whole(each) for each in _texts(one)),
        "number": _number,
        "switch": _switch,
    }
    try:
        value = readers[setting.shape](text.strip())
    except ValueError as error:
        raise UserError(f"{text!r} is not {_of_text(setting)}", hint=_hint(setting)) from error
    return _checked(setting, value)


def toml_text(value: Value) -> str:
    """As it stands in the file."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_text(one) for one in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if not value.is_integer() else f"{value:.1f}"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(map(_escaped, value)) + '"'


def plain_text(value: Value) -> str:
    """For people: without quotes, and without the passwords of a URL."""
    if isinstance(value, tuple):
        return ", ".join(plain_text(one) for one in value)
    return masked_address(value) if isinstance(value, str) else toml_text(value)


def holds_password(value: Value) -> bool:
    return isinstance(value, str) and masked_address(value) != value


def masked_value(value: Value) -> Value:
    if isinstance(value, tuple):
        return tuple(masked_address(one) for one in value if isinstance(one, str)) or value
    return masked_address(value) if isinstance(value, str) else value


def _checked(setting: Setting, value: Value) -> Value:
    for one in value if isinstance(value, tuple) else (value,):
        if setting.choices and one not in setting.choices:
            raise UserError(f"{one!r} is not one of {', '.join(setting.choices)}", hint=_hint(setting))
        if isinstance(one, int) and one.bit_length() > _BITS:
            raise UserError(f"is a number of more than {_BITS} bits")
        if isinstance(one, int | float) and not _within(setting, one):
            unit = f" {setting.unit}" if setting.unit else ""
            raise UserError(f"{one} is not in {_edge(setting.low, '')} to {_edge(setting.high, 'any')}{unit}")
    return value


def _within(setting: Setting, one: float) -> bool:
    low = -math.inf if setting.low is None else setting.low
    high = math.inf if setting.high is None else setting.high
    return low <= one <= high and math.isfinite(one)


def _edge(bound: float | None, otherwise: str) -> str:
    return otherwise if bound is None else f"{bound:g}"


def _kind(setting: Setting) -> UserError:
    return UserError(f"is not {_KINDS[setting.shape]}", hint=_hint(setting))


def _of_text(setting: Setting) -> str:
    return _KINDS[setting.shape].replace(" in quotes", "")


def _hint(setting: Setting) -> str:
    return f"for example {setting.name} = {toml_text(setting.example)}"


def _texts(text: str) -> tuple[str, ...]:
    return () if text.lower() == _NONE else tuple(filter(None, _SEPARATORS.split(text)))


def _whole(text: str) -> int:
    return int(text, 0) if text.lower().startswith(("0x", "-0x")) else int(text)


def _number(text: str) -> float:
    return float(text)


def _switch(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(text)
    return text.lower() in _YES


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
