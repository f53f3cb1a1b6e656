"""An export comes back byte for byte, and whatever happened to it on the way is noticed before anything is written."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import stat
from pathlib import Path

import pytest

from ocicat.errors import Refused, UserError
from ocicat.model import keys
from ocicat.store.base import KeyValue
from ocicat.store.transfer.content import ROOTS, content_of
from ocicat.store.transfer.export import export_lines, read_export
from ocicat.store.transfer.files import read_file, read_stream, write_file

NULL = Path("/dev/null")
VALUES = {
    "/calico/a": b'{"b":1,"a":[2.50,1e3,"\\u003c\xc3\xbc"],"a":null}',
    "/calico/b": b'{ "spaces" : 1 }',
    "/calico/c": b'{"two":\n"lines"}',
    "/calico/d": b'{"end":1}\n',
    "/calico/e": b"",
    "/calico/f": b"\xff\x00",
    "/calico/g": b"null",
    '/calico/h"\\\n\u00fc': b"17",
    "/calico/i": b'"text"',
    "/calico/j": b'{"json":{},"base64":"x"}',
    "/calico/k": b"1}\r",
    keys.CLUSTER_INFORMATION: b'{"kind":"ClusterInformation"}',
    "/ocicat/v1/x": b"{",
}
FEW = {key: VALUES[key] for key in ("/calico/a", "/calico/f")}


def content(values=VALUES):
    return content_of(7, [KeyValue(key, values[key], 1, 2) for key in sorted(values, key=str.encode)])


def lines_of(values=VALUES, prefixes=ROOTS):
    return list(export_lines(content(values), source="sqlite:///s", taken="2026-01-01T00:00:00Z", prefixes=prefixes))


def back(lines):
    found = read_export(lines, what="f")
    items = (*found.content.items, *([found.content.information] if found.content.information else []))
    return {item.key: item.value for item in items}


def signed(*lines):
    """With a last line that fits, as if somebody had made such a file."""
    whole = b"".join(lines)
    return [*lines, b'{"sha256":"%s"}\n' % hashlib.sha256(whole).hexdigest().encode()]


# --- there and back ---------------------------------------------------------------------------------------------


def test_it_comes_back_byte_for_byte():
    assert back(lines_of()) == VALUES


def test_its_lines_are_what_is_documented():
    first, *between, last = lines_of()
    assert json.loads(first) == {
        "ocicat": "export",
        "format": 1,
        "source": "sqlite:///s",
        "taken": "2026-01-01T00:00:00Z",
        "revision": 7,
        "prefixes": ["/calico/", "/ocicat/"],
        "keys": len(VALUES),
    }
    assert [json.loads(line)["key"] for line in between] == sorted(VALUES, key=str.encode)
    assert between[0] == b'{"key":"/calico/a","json":' + VALUES["/calico/a"] + b"}\n"
    assert between[5] == b'{"key":"/calico/f","base64":"/wA="}\n'
    as_text = {json.loads(line)["key"][-1] for line in between if b'"base64":"' not in line.partition(b",")[2][:11]}
    assert as_text >= {"a", "b", "g", "i", "j"}
    assert json.loads(last) == {"sha256": hashlib.sha256(b"".join([first, *between])).hexdigest()}


def test_what_stays_the_same_gives_the_same_lines():
    assert lines_of() == lines_of(dict(reversed(VALUES.items())))


def test_an_empty_store_is_an_export_too():
    assert back(lines_of({})) == {}


# --- damage -----------------------------------------------------------------------------------------------------


def test_cut_short_anywhere_it_is_refused():
    whole = b"".join(lines_of(FEW))
    for length in range(len(whole) - 1):
        with pytest.raises(UserError):
            read_stream(io.BytesIO(whole[:length]), what="f")
    assert read_stream(io.BytesIO(whole[:-1]), what="f")  # without the very last newline nothing is missing


def test_any_byte_changed_it_is_refused():
    whole = b"".join(lines_of(FEW))
    for place in range(len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises((UserError, Refused)):
            read_stream(io.BytesIO(bytes(changed)), what="f")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [], "f: is empty"),
        (lambda lines: [b"hello\n"], "f: is no export of a store"),
        (lambda lines: [b'{"kind":"List"}\n'], "f: is no export of a store"),
        (lambda lines: lines[:-1], "is cut short: its last line is missing"),
        (lambda lines: [*lines[:2], *lines[3:]], "was changed"),
        (lambda lines: [*lines, b"{}\n"], "f:15: "),
        (lambda lines: [*lines[:-1], b'{"sha256":"0"}\n'], "was changed"),
        (lambda lines: signed(*lines[:-2]), "holds 12 keys, and its first line tells of 13"),
        (
            lambda lines: signed(lines[0], lines[2], lines[1], *lines[3:-1]),
            "/calico/a: is not in order, or there twice",
        ),
        (lambda lines: signed(lines[0], lines[1], *lines[1:2], *lines[3:-1]), "not in order, or there twice"),
        (lambda lines: signed(lines[0], *lines[1:-2], b'{"key":"/other","base64":""}\n'), "/other: is under none"),
        (lambda lines: signed(*lines[:-2], b'{"key":"/ocicat/v1/x","base64":"!"}\n'), "is not base64"),
        (lambda lines: signed(*lines[:-2], b'{"key":"/ocicat/v1/x"}\n'), "has no value"),
        (lambda lines: signed(*lines[:-2], b'{"key":"/ocicat/v1/x","json":1,"more":2}\n'), "has no value"),
        (lambda lines: signed(*lines[:-2], b'{"json":1}\n'), "f:14: "),
        (lambda lines: signed(*lines[:-2], b"\xff\n"), "f:14: "),
    ],
)
def test_what_is_wrong_is_said(change, said):
    with pytest.raises(UserError) as caught:
        read_export(change(lines_of()), what="f")
    assert said in str(caught.value)


def test_another_format_is_refused_by_its_number():
    lines = lines_of()
    with pytest.raises(Refused, match="f: is of format 2, and this ocicat reads format 1"):
        read_export([b'{"ocicat":"export","format":2,"all":"else"}\n', *lines[1:]], what="f")


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_a_file_is_written_whole_for_its_owner_alone_and_read_again(tmp_path, name):
    path = tmp_path / name
    path.write_text("what was there before")
    write_file(path, lines_of())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    packed = path.read_bytes()
    assert (gzip.decompress(packed) if name.endswith(".gz") else packed) == b"".join(lines_of())
    assert read_file(path).header.keys == len(VALUES)
    write_file(path, lines_of())
    assert path.read_bytes() == packed


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path):
    def broken():
        yield b"half\n"
        raise KeyboardInterrupt

    path = tmp_path / "e.jsonl"
    path.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt):
        write_file(path, broken())
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_not_replaced():
    write_file(NULL, lines_of())
    assert NULL.is_char_device()
    with pytest.raises(Refused, match="/dev/full: cannot be written: No space left"):
        write_file(NULL.with_name("full"), lines_of() * 1000)


def test_files_that_cannot_be_read_or_written_are_told(tmp_path):
    with pytest.raises(Refused, match="cannot be written: No such file or directory"):
        write_file(tmp_path / "none" / "e", lines_of())
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        read_file(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_file(tmp_path)


def test_a_damaged_gzip_file_is_told(tmp_path):
    path = tmp_path / "e.gz"
    write_file(path, lines_of())
    whole = path.read_bytes()
    damaged = [
        whole[:-9],
        whole[: len(whole) // 2],
        b"plain text",
        b"",
        whole[:30] + bytes([whole[30] ^ 255]) + whole[31:],
    ]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(UserError) as caught:
            read_file(path)
        assert str(path) in str(caught.value)


def test_base64_is_that_of_the_standard():
    line = lines_of({"/calico/x": bytes(range(256))})[1]
    assert base64.b64decode(json.loads(line)["base64"]) == bytes(range(256))
