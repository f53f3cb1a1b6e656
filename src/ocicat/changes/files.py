"""Files, links and parts of files below the root of a file system: read, written, removed. The only writer here.

1. A file takes its new content in one step, keeps its owner, and is never seen half written.
2. A block is our part of a file that somebody else owns: its end, between two marks. What is outside is never looked at.
3. Each command has marks of its own: blocks of several in one file do not disturb each other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from ocicat.errors import Refused
from ocicat.model.base import Struct

PLAIN = 0o644

_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

_JOINED = b" (the line before had no end)"


class State(Struct, frozen=True):
    """What is at a path. A link's content is where it leads; a block's is the text between the marks, "" while there is none."""

    kind: Literal["file", "link", "block"]
    content: bytes
    mode: int = PLAIN


class Item(Struct, frozen=True):
    """What shall be at a path (as seen from inside the root)."""

    path: str
    state: State


class Tree:
    """A file system by its root, as the command `ocicat OWNER` changes it. Refused where it cannot be read or written."""

    def __init__(self, root: Path, owner: str) -> None:
        self.root = root
        self.owner = owner
        self._marks = _Marks(f"# --- ocicat {owner}: from here".encode(), f"# --- ocicat {owner}: to here\n".encode())

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str:
        """Of a file; "" when there is none."""
        try:
            with _mapped(_NO_FILE):
                return self.at(path).read_text(errors="replace")
        except _NO_FILE:
            return ""

    def names(self, directory: str) -> list[str]:
        """Of all that lies in a directory, sorted; none when there is none."""
        try:
            with _mapped(_NO_FILE):
                return sorted(entry.name for entry in self.at(directory).iterdir())
        except _NO_FILE:
            return []

    def is_file(self, path: str) -> bool:
        return self.at(path).is_file()

    def is_directory(self, path: str) -> bool:
        return self.at(path).is_dir()

    def state(self, path: str, *, block: bool = False) -> State | None:
        """None when nothing is there."""
        try:
            with _mapped():
                return self._block(path) if block else self._whole(path)
        except FileNotFoundError:
            return None

    def put(self, path: str, state: State | None) -> None:
        """Make it so, with the directories above; None: nothing is there."""
        with _mapped():
            if state is None:
                self.at(path).unlink(missing_ok=True)
                return
            self.at(path).parent.mkdir(parents=True, exist_ok=True)
            if state.kind == "block":
                self._put_block(self.at(path).resolve(), state)
            else:
                _replace(self.at(path), state)

    def remove_block(self, path: str) -> None:
        """The file too, if nothing else is in it."""
        self.put(path, State("block", b""))
        if not self.text(path):
            with _mapped():
                self.at(path).resolve().unlink(missing_ok=True)

    def with_block(self, path: str, block: bytes) -> tuple[State | None, State | None]:
        """The whole file, that behind links, as it is, and as it would be with that block in place of the one that is in it; None:
        there is none, or nothing would be left."""
        with _mapped():
            target = self.at(path).resolve()
            old = State("file", *_content(target)) if target.exists() else None
            new = self._around(target, State("block", block))
        return old, new if new.content else None

    def missing_parents(self, path: str) -> list[str]:
        """The directories above that are not there."""
        return [str(parent) for parent in Path(path).parents if not self.is_directory(str(parent))]

    def remove_if_empty(self, directory: str) -> None:
        with suppress(OSError):
            self.at(directory).rmdir()

    def _put_block(self, target: Path, state: State) -> None:
        _replace(target, self._around(target, state))

    def _around(self, target: Path, block: State) -> State:
        """The file with it."""
        old = State("file", *_content(target)) if target.exists() else block
        around = self._marks.without_block(old.content) if old.kind == "file" else b""
        return State("file", self._marks.with_block(around, block.content), old.mode)

    def _whole(self, path: str) -> State:
        target = self.at(path)
        found = target.lstat()
        if stat.S_ISLNK(found.st_mode):
            return State("link", os.fsencode(target.readlink()))
        return State("file", target.read_bytes(), stat.S_IMODE(found.st_mode))

    def _block(self, path: str) -> State:
        return State("block", self._marks.block(self.at(path).read_bytes()))


def _content(target: Path) -> tuple[bytes, int]:
    return target.read_bytes(), stat.S_IMODE(target.stat().st_mode)


class _Marks(NamedTuple):
    """The lines around a block."""

    begin: bytes
    end: bytes

    def block(self, text: bytes) -> bytes:
        _, begin, rest = text.partition(self.begin)
        _, _, block = rest.partition(b"\n")
        return block.partition(self.end)[0] if begin else b""

    def with_block(self, around: bytes, block: bytes) -> bytes:
        if not block:
            return around
        joined = bool(around) and not around.endswith(b"\n")
        return around + (b"\n" + self.begin + _JOINED if joined else self.begin) + b"\n" + block + self.end

    def without_block(self, text: bytes) -> bytes:
        before, begin, rest = text.partition(self.begin)
        if not begin:
            return text
        after = rest.partition(self.end)[2]
        return (before[:-1] if rest.startswith(_JOINED) and not after else before) + after


def _replace(target: Path, state: State) -> None:
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if state.kind == "link":
            new.symlink_to(os.fsdecode(state.content))
        else:
            _write(new, state, target)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _write(new: Path, state: State, target: Path) -> None:
    """Who may not read it in the end cannot read it meanwhile either: it is nobody else's until all of it is there."""
    new.unlink(missing_ok=True)  # of a process of the same number that was cut off
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(state.content)
        with suppress(FileNotFoundError):
            found = target.lstat()
            os.fchown(fd, found.st_uid, found.st_gid)
        os.fchmod(fd, state.mode)
        file.flush()
        os.fsync(fd)


@contextmanager
def _mapped(passed: tuple[type[OSError], ...] = (FileNotFoundError,)) -> Iterator[None]:
    try:
        yield
    except passed:
        raise
    except OSError as error:
        raise Refused(
            f"{error.filename}: {error.strerror}", hint="run it as root, on a file system that can be written"
        ) from error
