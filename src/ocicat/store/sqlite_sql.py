"""The store's tables and what is done with them: plain blocking functions on one connection, each one transaction.

1. `kv` is the present, `log` every change since `meta.compacted`, `meta` the two counters; a commit changes all three or none.
2. A commit takes the write lock before it reads, so what it compares cannot change under it.
3. Foreign errors leave as `sqlite3.Error`; the caller maps them (see `sqlite_file.mapped`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ocicat.store.base import Compare, Event, Events, KeyValue, Operation, Put, Snapshot
from ocicat.store.checks import check_compaction, check_compare, check_kept

# Keys are TEXT under BINARY collation: compared as UTF-8 bytes, as the protocol orders them.
SCHEMA = (
    """
    CREATE TABLE meta (
        one       INTEGER PRIMARY KEY CHECK (one = 1),
        revision  INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    )
    """,
    "INSERT INTO meta VALUES (1, 0, 0)",
    """
    CREATE TABLE kv (
        key      TEXT PRIMARY KEY,
        value    BLOB NOT NULL,
        created  INTEGER NOT NULL,
        modified INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE log (
        revision INTEGER,
        number   INTEGER,  -- place within the commit
        key      TEXT NOT NULL,
        value    BLOB,     -- NULL: deleted
        PRIMARY KEY (revision, number)
    ) WITHOUT ROWID
    """,
)

WINDOW = 256  # revisions a watch reads at once: bounds memory, and whole revisions cannot be split
STEP = 512  # revisions forgotten in one transaction: bounds how long a compaction holds the write lock

PATIENCE = (
    10  # times the usual history, at most, are kept for a watch that lags: one that never reads must not fill the disk
)

_UNDER = "key >= ? AND key < CAST(? AS TEXT)"
_PUT = "INSERT INTO kv VALUES (?1, ?2, ?3, ?3) ON CONFLICT (key) DO UPDATE SET value = excluded.value, modified = excluded.modified"


@contextmanager
def transaction(db: sqlite3.Connection, mode: str) -> Iterator[None]:
    """`mode`: IMMEDIATE to write, DEFERRED to read several things as of one moment."""
    db.execute(f"BEGIN {mode}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def counters(db: sqlite3.Connection) -> tuple[int, int]:
    """(revision, compacted)."""
    revision, compacted = db.execute("SELECT revision, compacted FROM meta").fetchone()
    return revision, compacted


def revision(db: sqlite3.Connection) -> int:
    return counters(db)[0]


def get(db: sqlite3.Connection, key: str) -> KeyValue | None:
    row = db.execute("SELECT key, value, created, modified FROM kv WHERE key = ?", (key,)).fetchone()
    return KeyValue(*row) if row else None


def under(db: sqlite3.Connection, prefix: str) -> Snapshot:
    """All keys that start with `prefix`."""
    with transaction(db, "DEFERRED"):
        now = revision(db)
        rows = db.execute(f"SELECT key, value, created, modified FROM kv WHERE {_UNDER} ORDER BY key", _bounds(prefix))
        return Snapshot(now, tuple(KeyValue(*row) for row in rows))


def commit(db: sqlite3.Connection, compares: Sequence[Compare], operations: Sequence[Operation]) -> int:
    with transaction(db, "IMMEDIATE"):
        now = revision(db)
        for compare in compares:
            check_compare(compare, _modified(db, compare.key))
        changes = [one for one in operations if isinstance(one, Put) or _modified(db, one.key)]
        if not changes:
            return now
        for number, operation in enumerate(changes):
            _apply(db, operation, now + 1, number)
        db.execute("UPDATE meta SET revision = ?", (now + 1,))
    return now + 1


def events(db: sqlite3.Connection, prefix: str, start: int) -> Events:
    """What happened under `prefix` from revision `start` on, at most `WINDOW` revisions of it."""
    with transaction(db, "DEFERRED"):
        now, compacted = counters(db)
        check_kept(start, compacted)
        last = min(now, start + WINDOW - 1)
        rows = db.execute(
            f"SELECT key, value, revision FROM log WHERE revision BETWEEN ? AND ? AND {_UNDER} ORDER BY revision, number",
            (start, last, *_bounds(prefix)),
        )
        return Events(last, tuple(Event(*row) for row in rows))


def compact(db: sqlite3.Connection, upto: int) -> bool:
    """One step of forgetting revisions up to `upto`, included. True: call again, there is more."""
    with transaction(db, "IMMEDIATE"):
        now, compacted = counters(db)
        check_compaction(upto, now)
        step = min(upto, compacted + STEP)
        if step > compacted:
            _forget(db, step)
        return step < upto


def trim(db: sqlite3.Connection, history: int, oldest: int | None) -> None:
    """One step of forgetting what is beyond the last `history` revisions; from `oldest` on, beyond `PATIENCE` times as many."""
    with transaction(db, "IMMEDIATE"):
        now, compacted = counters(db)
        wanted = now if oldest is None else max(oldest - 1, now - PATIENCE * history)
        step = min(now - history, compacted + STEP, wanted)
        if step > compacted:
            _forget(db, step)


def totals(db: sqlite3.Connection) -> tuple[int, int, int]:
    """(revision, compacted, number of keys)."""
    with transaction(db, "DEFERRED"):
        (keys,) = db.execute("SELECT count(*) FROM kv").fetchone()
        return (*counters(db), keys)


def _modified(db: sqlite3.Connection, key: str) -> int:
    row = db.execute("SELECT modified FROM kv WHERE key = ?", (key,)).fetchone()
    return row[0] if row else 0


def _apply(db: sqlite3.Connection, operation: Operation, revision: int, number: int) -> None:
    value = None
    if isinstance(operation, Put):
        value = operation.value
        db.execute(_PUT, (operation.key, value, revision))
    else:
        db.execute("DELETE FROM kv WHERE key = ?", (operation.key,))
    db.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (revision, number, operation.key, value))


def _forget(db: sqlite3.Connection, upto: int) -> None:
    db.execute("DELETE FROM log WHERE revision <= ?", (upto,))
    db.execute("UPDATE meta SET compacted = ?", (upto,))


def _bounds(prefix: str) -> tuple[str, bytes]:
    """The byte 0xff is in no UTF-8 text, so prefix + 0xff lies behind every key that starts with the prefix."""
    return prefix, prefix.encode() + b"\xff"
