"""Exports as files: written whole or not at all, compressed when their name ends in `.gz`."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ocicat.errors import Refused, UserError
from ocicat.store.transfer.export import Export, read_export

_MODE = 0o600  # an export holds what the store holds, and that is not for everybody's eyes


def write_file(path: Path, lines: Iterable[bytes]) -> None:
    """What was there before is replaced at once, when everything is on the disk. Refused: cannot be written."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe is written to, not replaced
            with path.open("wb") as file:
                _write(file, lines, compressed=path.suffix == ".gz")
        else:
            _replace(path, lines)
    except OSError as error:
        raise Refused(f"{path}: cannot be written: {error.strerror}") from error


def read_file(path: Path) -> Export:
    """Errors: UserError (cannot be read, not an export, damaged), Refused (newer format)."""
    with _readable(str(path)), path.open("rb") as file:
        return read_stream(file, what=str(path), compressed=path.suffix == ".gz")


def read_stream(file: IO[bytes], *, what: str, compressed: bool = False) -> Export:
    with _readable(what):
        if not compressed:
            return read_export(file, what=what)
        with gzip.open(file) as unpacked:
            return read_export(unpacked, what=what)


def _replace(path: Path, lines: Iterable[bytes]) -> None:
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.touch(_MODE)
        with made.open("wb") as file:
            _write(file, lines, compressed=path.suffix == ".gz")
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _write(file: IO[bytes], lines: Iterable[bytes], *, compressed: bool) -> None:
    if not compressed:
        file.writelines(lines)
        return
    with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
        packed.writelines(lines)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{what}: is no gzip file, or is damaged: {error}", hint="take another copy of it") from error
    except OSError as error:
        raise UserError(f"{what}: cannot be read: {error.strerror}") from error
