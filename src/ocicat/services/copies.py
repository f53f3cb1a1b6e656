"""What is known of a copy of a service's data, and where it is written."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct
from ocicat.services.pki.openssl import mend

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHECK_S = 60.0  # until a server on the copy has to serve


class Copy(Struct, frozen=True, kw_only=True):
    """`revision`: of etcd; the last transaction of ZooKeeper. `keys`: nodes, of ZooKeeper. Both 0 when it was not verified."""

    service: str
    member: str
    file: str
    size_bytes: int
    revision: int = 0
    keys: int = 0
    digest: str = ""
    is_verified: bool = False


@contextmanager
def written(file: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file beside it, for its owner alone; it takes its place when all went well. Refused: it is there, or cannot be written."""
    if file.exists():
        raise Refused(f"{file} exists", hint="choose another name")
    part = file.with_name(f".{file.name}.{os.getpid()}")
    opened = Output(part, "x+", file)
    try:
        with io.BufferedRandom(opened) as output:
            yield part, output
            output.flush()
            with writing(file):
                os.fsync(output.fileno())
        with writing(file):
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what can fail by `path` alone: whose reader fails meanwhile says that itself. Refused."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}", hint=mend(error)) from error


class Output(io.FileIO):
    """A file for its owner alone. That it cannot be written is Refused, whoever writes it, and told of `named`."""

    def __init__(self, path: Path, mode: str, named: Path) -> None:
        self._named = named
        with writing(named):
            super().__init__(path, mode, opener=lambda at, flags: os.open(at, flags, 0o600))

    def write(self, data: ReadableBuffer, /) -> int:
        with writing(self._named):
            return super().write(data)


def readable(file: Path) -> Path:
    """UserError when it is no file."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    return file.absolute()
