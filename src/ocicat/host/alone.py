"""One at a time on a host, by a lock that nobody but root can hold, and that goes with whoever holds it.

The lock is a file below /run that only its owner can open: what everybody may open, everybody may lock, and never let go.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocicat.changes.files import Tree
from ocicat.errors import Refused

PATH = "/run/ocicat/host.lock"
WAIT_S = 120.0  # more than what one program that is run for a change may take
_LOOK_S = 0.1
_TRIES = 100


@contextmanager
def alone(tree: Tree, wait_s: float = WAIT_S) -> Iterator[None]:
    """Refused when somebody else has not finished after `wait_s`; or it cannot be locked. Nothing of it is left afterwards."""
    path = tree.at(PATH)
    try:
        lock, made = _locked(path, wait_s)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", hint="run it as root") from error
    try:
        text = f"{os.getpid()}\n".encode()
        os.ftruncate(lock, os.pwrite(lock, text, 0))  # one that was killed has left its own
        yield
    finally:
        with suppress(OSError):
            if _is_at(lock, path):
                path.unlink()
            if made:
                path.parent.rmdir()
        os.close(lock)


def _locked(path: Path, wait_s: float) -> tuple[int, bool]:
    """The descriptor of the file that is there now: who had it before removes it. Whether the directory was made for it."""
    end_s = time.monotonic() + wait_s
    while True:
        lock, made = _opened(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            if time.monotonic() >= end_s:
                raise Refused(
                    f"process {who} has been preparing this host, or putting it back, for {wait_s:g} s",
                    hint="look at what it does, or end it; what it has begun is completed by `ocicat host prepare`",
                ) from None
            time.sleep(_LOOK_S)
            continue
        if _is_at(lock, path):
            return lock, made
        os.close(lock)


def _opened(path: Path) -> tuple[int, bool]:
    """Who had it before may remove the directory at any moment; while it is being made, that looks as if a file were there."""
    tries = _TRIES
    while True:
        made = not path.parent.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), made
        except (FileNotFoundError, FileExistsError):
            tries -= 1
            if not tries:
                raise


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
