"""What is known of a copy of a service's data, and where it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct
from ocicat.services.pki.openssl import mend

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
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{part.parent}: {error.strerror}", hint="choose a directory that can be written") from error
    try:
        with os.fdopen(fd, "w+b") as output:
            yield part, output
            output.flush()
            os.fsync(output.fileno())
        part.replace(file)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}", hint=mend(error)) from error
    finally:
        part.unlink(missing_ok=True)


def readable(file: Path) -> Path:
    """UserError when it is no file."""
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    return file.absolute()
