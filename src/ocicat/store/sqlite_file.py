"""The store's file: made, recognised, connected to; and what SQLite's errors mean to those who read ours.

1. A file that is not ours is refused before anything in it changes: SQLite's `application_id` says whose it is.
2. Durable before acknowledged: write-ahead log, `synchronous=FULL`.
3. A newer schema is refused; an older one is brought up to ours by the first who opens it.
4. Nothing here opens the file but SQLite. POSIX locks belong to the process: closing any other descriptor of the file would drop
   SQLite's, another process would take itself for the last user and remove the log, and commits would be lost.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ocicat.errors import NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.store.sqlite_sql import SCHEMAS, transaction

APPLICATION_ID = 0x6F636174  # "ocat"
SCHEMA_VERSION = len(SCHEMAS)
_WAL_LEFT_BYTES = 16 << 20  # the log is cut back to this after a checkpoint, however long a burst made it

T = TypeVar("T")


def make(path: Path) -> None:
    """The folder (0700) and an empty file (0600), where they are missing. Only root and the agent have business here."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mknod(path, stat.S_IFREG | 0o600)
    except OSError as error:
        raise UserError(
            f"store {path}: cannot be made: {error.strerror}", hint="give the path of a file to write"
        ) from error
    find(path)


def find(path: Path) -> None:
    """Looking must not make a store: whoever mistypes its path would be told that it is empty."""
    if path.is_file():
        return
    if path.exists():
        raise UserError(f"store {path}: is not a file", hint="give the path of a file to write")
    raise NotFound(f"store {path}: there is no such file", hint="`ocicat store init` makes it, and the agent does")


def connect(path: Path, busy_s: float) -> sqlite3.Connection:
    """A connection for the calling thread. The first one to a new file makes the tables."""
    db = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
    try:
        _patiently(lambda: _set_up(db, path), busy_s)
    except BaseException:
        db.close()
        raise
    return db


def identity(path: Path) -> tuple[int, int]:
    """Which file lies there: a store that was removed or replaced under us must not take another commit."""
    try:
        found = path.stat()
    except OSError as error:
        raise Unavailable(
            f"store {path}: is gone: {error.strerror}", hint="put the file back and restart this process"
        ) from error
    return found.st_dev, found.st_ino


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """SQLite's errors, and the system's, as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(path, error) from error
    except OSError as error:
        raise Unavailable(f"store {path}: {error.strerror}") from error


def size_bytes(path: Path) -> int:
    """The file and its write-ahead log."""
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    _recognise(db, path)
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise Refused(f"store {path}: its file system cannot share memory between processes", hint="use a local disk")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_LEFT_BYTES}")
    if _pragma(db, "user_version") < SCHEMA_VERSION:
        with transaction(db, "IMMEDIATE"):
            _make_tables(db)


def _recognise(db: sqlite3.Connection, path: Path) -> None:
    """Ours, or empty; else an error. Looked at as of one moment: another process may be making the tables."""
    with transaction(db, "DEFERRED"):
        owner, version = _pragma(db, "application_id"), _pragma(db, "user_version")
        empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    if owner == APPLICATION_ID and version > SCHEMA_VERSION:
        raise Refused(
            f"store {path}: was written by a newer ocicat (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade ocicat on this machine",
        )
    if owner != APPLICATION_ID and (owner or version or not empty):
        raise _foreign(path)


def _make_tables(db: sqlite3.Connection) -> None:
    """What is missing of them. Under the write lock: another process may have been first."""
    for statements in SCHEMAS[_pragma(db, "user_version") :]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _patiently(work: Callable[[], T], limit_s: float) -> T:
    """Turning the log on is the one step for which SQLite itself does not wait when another process is at it too."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.005)


def _foreign(path: Path) -> UserError:
    return UserError(f"store {path}: is not an ocicat store", hint="give another path, or move that file away")


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 when the Python module raised the error itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _ours(path: Path, error: sqlite3.Error) -> OcicatError:
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                f"store {path}: another process holds it", hint=f"try again; `fuser -v {path}` shows who"
            )
        case sqlite3.SQLITE_FULL:
            return Refused(f"store {path}: the disk is full", hint=f"make room under {path.parent}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return Refused(f"store {path}: may not be written", hint="check its owner, mode and mount")
        case sqlite3.SQLITE_CANTOPEN:
            return Refused(
                f"store {path}: cannot be opened", hint="check owner, mode and mount, and the limit of open files"
            )
        case sqlite3.SQLITE_NOTADB:
            return _foreign(path)
        case sqlite3.SQLITE_CORRUPT:
            return Refused(
                f"store {path}: is damaged: {error}", hint="stop every agent that uses it and restore a copy"
            )
        case sqlite3.SQLITE_TOOBIG:
            return Refused(f"store {path}: the value is too big: {error}")
        case _:
            return Unavailable(f"store {path}: {error}")
