"""A file of lines that never takes more than its share of the disk.

`path` is what is written; when it is full it becomes `path.1`, that `path.2` and so on, and the last is removed.

Invariants: 1. A line is whole in one of the files: what a crash or a full disk tore is ended before the next one begins. 2. Whoever
moves or removes the files meanwhile disturbs nothing: each `append` opens the path anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ocicat.errors import NotFound, Refused

MOST_BYTES = 16 << 20
KEPT = 3

_NO_FILE_HINT = (
    "flows are written once FelixConfiguration has flowLogsLocalReporter: Enabled, and then every flowLogsFlushInterval"
)
_MODE = 0o640  # who talks to whom is not everybody's business


def append(path: Path, lines: Iterable[bytes], *, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
    """Refused when it cannot be written; some of the lines may be there then."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        for part in _parts(lines, most_bytes):
            if _size(path) + len(part) > most_bytes:
                _rotate(path, kept)
            _write(path, part)
    except OSError as error:
        raise Refused(
            f"cannot write {path}: {error.strerror}", hint="it is tried again; what it misses is lost"
        ) from error


def written(path: Path) -> list[Path]:
    """The files that there are, the oldest first."""
    old = [(int(number), one) for one in path.parent.glob(f"{path.name}.*") if (number := one.suffix[1:]).isdecimal()]
    return [*(one for _, one in sorted(old, reverse=True)), *([path] if path.exists() else [])]


def _parts(lines: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
    """As many lines together as one file takes, and one at least."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > most_bytes:
            yield b"".join(part)
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield b"".join(part)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _rotate(path: Path, kept: int) -> None:
    for number in range(kept, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.replace(older)


def _write(path: Path, data: bytes) -> None:
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
    with os.fdopen(number, "r+b", buffering=0) as file:
        size = os.fstat(number).st_size
        if size and os.pread(number, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[file.write(data) :]


class Tail:
    """The lines of such a file for somebody who reads it, whole ones only, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0  # of the file that was read last
        self._offset = 0  # how far

    def lines(self) -> Iterator[bytes]:
        """Those that came since the last call; at first all that there are. NotFound, Refused."""
        with ExitStack() as stack:
            files = _opened(self._path, stack)
            if not files and not self._inode:
                raise NotFound(f"there is no flow log {self._path}", hint=_NO_FILE_HINT)
            inodes = [os.fstat(one.fileno()).st_ino for one in files]
            known = self._inode in inodes
            for inode, one in zip(inodes, files, strict=True):
                if known and inode != self._inode:
                    continue  # read long ago
                yield from self._rest(inode, one, self._offset if known else 0)
                known = False

    def _rest(self, inode: int, file: BinaryIO, offset: int) -> Iterator[bytes]:
        file.seek(offset)
        self._inode, self._offset = inode, offset
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            yield line


def _opened(path: Path, stack: ExitStack) -> list[BinaryIO]:
    """All that there are, the oldest first; anew if they were moved on meanwhile."""
    while True:
        try:
            names = written(path)
            files: list[BinaryIO] = [stack.enter_context(one.open("rb")) for one in names]
            if [one.stat().st_ino for one in names] == [os.fstat(one.fileno()).st_ino for one in files]:
                return files
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror}", hint="only root may") from error
