"""An export: a whole store, or a part, as lines of text. Pure; a line is bytes with its newline.

    {"ocicat":"export","format":1,"source":URL,"taken":TIME,"revision":N,"prefixes":[...],"keys":N}
    {"key":KEY,"json":VALUE}
    {"key":KEY,"base64":VALUE}
    {"sha256":HEX}

1. The first line says what it is, the last one holds the SHA-256 of all bytes before it: what is cut short, changed or not ours
   is noticed before anything is done with it.
2. Between them one key a line, in order. Its value follows `"json":` byte for byte, up to the brace that ends the line, when it is
   one line of JSON; any other value is in base64. So a store comes back exactly as it was, and people can read and compare exports.
3. What stays the same gives the same lines.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal

from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import KeyValue
from ocicat.store.transfer.content import Content, content_of

FORMAT = 1
_SPACE = b" \t\r\n"


class Header(Struct, frozen=True, kw_only=True):
    """`revision`: of the source, at which all of it was read. `keys`: how many lines follow."""

    ocicat: Literal["export"] = "export"
    format: int = FORMAT
    source: str
    taken: str  # RFC 3339
    revision: int
    prefixes: tuple[str, ...]
    keys: int


class _Key(Struct, frozen=True):
    key: str
    base64: str | None = None
    json: object = None


class _Footer(Struct, frozen=True):
    sha256: str


class _Any(Struct, frozen=True):
    """Enough of a header to tell what it is, whatever its format."""

    ocicat: Literal["export"]
    format: int


class Export(Struct, frozen=True):
    header: Header
    sha256: str
    content: Content

    @property
    def prefixes(self) -> tuple[str, ...]:
        return self.header.prefixes


def export_lines(content: Content, *, source: str, taken: str, prefixes: tuple[str, ...]) -> Iterator[bytes]:
    """`taken`: now, in RFC 3339."""
    header = Header(source=source, taken=taken, revision=content.revision, prefixes=prefixes, keys=content.count())
    digest = hashlib.sha256()
    for line in _before_footer(header, content):
        digest.update(line)
        yield line
    yield encode_json(_Footer(digest.hexdigest())) + b"\n"


def read_export(lines: Iterable[bytes], *, what: str) -> Export:
    """The whole of it, verified. `what` names the file.

    Errors: UserError (not an export, cut short, changed), Refused (another format).
    """
    digest = hashlib.sha256()
    header: Header | None = None
    items: list[KeyValue] = []
    number, last = 0, b""
    for number, line in enumerate(lines, 1):
        if last:
            digest.update(last)
        if header is None:
            header = _header(line, what)
        elif number > 2:
            items.append(_item(last, f"{what}:{number - 1}"))
        last = line
    if header is None:
        raise UserError(f"{what}: is empty")
    _check_footer(last, digest.hexdigest(), f"{what}:{number}")
    _check_keys(header, items, what)
    return Export(header, digest.hexdigest(), content_of(header.revision, items))


def _before_footer(header: Header, content: Content) -> Iterator[bytes]:
    yield encode_json(header) + b"\n"
    information = content.information
    for item in sorted((*content.items, *((information,) if information else ())), key=_order):
        yield _key_line(item)


def _key_line(item: KeyValue) -> bytes:
    name = _name(item.key)
    if _is_one_line_of_json(item.value):
        return name + b'"json":' + item.value + b"}\n"
    return name + b'"base64":"' + b64encode(item.value) + b'"}\n'


def _name(key: str) -> bytes:
    return b'{"key":' + encode_json(key) + b","


def _is_one_line_of_json(value: bytes) -> bool:
    if not value or b"\n" in value or b"\r" in value or value[:1] in _SPACE or value[-1:] in _SPACE:
        return False
    try:
        decode_json(object, value)
    except UserError:
        return False
    return True


def _header(line: bytes, what: str) -> Header:
    try:
        found = decode_json(_Any, line)
    except UserError as error:
        raise UserError(f"{what}: is no export of a store", hint="`ocicat store export` makes them") from error
    if found.format != FORMAT:
        raise Refused(
            f"{what}: is of format {found.format}, and this ocicat reads format {FORMAT}",
            hint="use the ocicat that made it",
        )
    return decode_json(Header, line, what=f"{what}:1")


def _item(line: bytes, where: str) -> KeyValue:
    """A value in JSON is not decoded and encoded again: its bytes are taken from the line."""
    found = decode_json(_Key, line, what=where)
    start = _name(found.key) + b'"json":'
    value = line[len(start) :].removesuffix(b"}\n")
    if line.startswith(start) and _is_one_line_of_json(value):
        return KeyValue(found.key, value, 0, 0)
    if found.base64 is None:
        raise UserError(f"{where}: key {found.key}: has no value in the form that an export has")
    try:
        return KeyValue(found.key, b64decode(found.base64, validate=True), 0, 0)
    except (NotBase64, ValueError) as error:
        raise UserError(f"{where}: key {found.key}: its value is not base64") from error


def _check_footer(line: bytes, digest: str, where: str) -> None:
    try:
        footer = decode_json(_Footer, line)
    except UserError as error:
        raise UserError(f"{where}: is cut short: its last line is missing", hint="take another copy of it") from error
    if footer.sha256 != digest:
        raise UserError(
            f"{where}: was changed: it does not have the SHA-256 that its last line tells",
            hint="take another copy of it",
        )


def _check_keys(header: Header, items: list[KeyValue], what: str) -> None:
    """What a SHA-256 of somebody else's making cannot promise."""
    if len(items) != header.keys:
        raise UserError(f"{what}: holds {len(items)} keys, and its first line tells of {header.keys}")
    for before, after in pairwise(items):
        if _order(before) >= _order(after):
            raise UserError(f"{what}: key {after.key}: is not in order, or there twice")
    for item in items:
        if not item.key.startswith(header.prefixes):
            raise UserError(f"{what}: key {item.key}: is under none of the prefixes that its first line tells")


def _order(item: KeyValue) -> bytes:
    return item.key.encode()
