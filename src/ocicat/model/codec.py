"""Bytes and text on one side, typed records on the other.

The only module that calls msgspec. Everything it cannot read becomes one `UserError` that names what was read, the
field at fault and the rule it breaks; nothing else escapes. Unknown fields are skipped: what newer tools write must not stop us.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from threading import Lock
from typing import TypeVar, cast

import msgspec

from ocicat.errors import UserError

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder(order="deterministic")
_BUILDING = Lock()


@cache
def _decoder(wanted: Hashable) -> msgspec.json.Decoder[object]:
    """Building a decoder costs more than using it. One at a time, and before any other use of its types: msgspec keeps what it
    knows of a type with the type, and a second thread that finds this half made ends the process."""
    with _BUILDING:
        return msgspec.json.Decoder(wanted)


def decode_json(wanted: type[T], data: bytes | str, *, what: str = "") -> T:
    """`data` as a `wanted`. `what` names the document in the error ("profile a", "the network configuration")."""
    try:
        return _decode(wanted, data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # ValidationError is one of the first
        raise UserError(f"{what or wanted.__name__}: {_plain(error)}") from error


def _decode(wanted: type[T], data: bytes | str) -> T:
    """Go writes a list or map that holds nothing as null, and reads null as a field that is not there: so do we."""
    try:
        return cast("T", _decoder(cast("Hashable", wanted)).decode(data))
    except msgspec.ValidationError:
        document = msgspec.json.decode(data)
        without = _without_nulls(document)
        if without == document:
            raise
        return msgspec.convert(without, wanted)


def _without_nulls(value: object) -> object:
    """In lists a null has a place and a meaning of its own (a free address)."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def encode_json(value: object) -> bytes:
    """Compact JSON, keys in the order of the fields, dictionaries sorted: equal values give equal bytes."""
    return _ENCODER.encode(value)


def plain_number(number: float) -> int | float:
    """As Go writes it: 3, not 3.0, as long as it writes no exponent."""
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def pretty_json(value: object) -> str:
    """The same for people: indented, with a final newline."""
    return msgspec.json.format(encode_json(value), indent=2).decode() + "\n"


def with_field(data: bytes, path: Sequence[str], value: object, *, what: str = "") -> bytes:
    """The JSON object `data` with the field at `path` (its outermost name first) set, and everything else as it was.

    For objects of which others know more than our records do: decoding and encoding a record would drop what it has no word for.
    """
    document = decode_json(dict[str, object], data, what=what)
    inner = document
    for name in path[:-1]:
        found = inner.get(name)
        inner[name] = inner = found if isinstance(found, dict) else {}
    inner[path[-1]] = value
    return encode_json(document)


def convert(wanted: type[T], value: object, *, what: str = "") -> T:
    """Plain dictionaries and lists (from YAML, say) as a `wanted`."""
    try:
        _decoder(cast("Hashable", wanted))
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise UserError(f"{what or wanted.__name__}: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """msgspec's text, with the path first: "$.spec.cidr" says where better than "Object"."""
    text = str(error)
    head, marker, path = text.rpartition(" - at `")
    if not marker:
        return text[:1].lower() + text[1:]
    return f"{path.rstrip('`').removeprefix('$.')}: {head[:1].lower()}{head[1:]}"
