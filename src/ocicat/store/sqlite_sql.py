"""The store's tables and what is done with them: plain blocking functions on one connection, each one transaction.

1. `kv` is the present, `log` every change since `meta.compacted`, `meta` the two counters; a commit changes all three or none.
   `lease` is for `sqlite_leases`.
2. A commit takes the write lock before it reads, so what it compares cannot change under it.
3. Foreign errors leave as `sqlite3.Error`; the caller maps them (see `sqlite_file.mapped`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ocicat.store.base import Compare, Condition, Event, Events, KeyValue, Operation, Put, Snapshot
from ocicat.store.boot import Moment
from ocicat.store.checks import check_compaction, check_condition, check_kept, lease_gone

# Keys are TEXT under BINARY collation: compared as UTF-8 bytes, as the protocol orders them.
_FIRST = (
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
_LEASES = (
    "ALTER TABLE kv ADD COLUMN lease INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX leased ON kv (lease) WHERE lease != 0",
    """
    CREATE TABLE lease (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: whoever lost one must not renew another's
        ttl_s      INTEGER NOT NULL,
        boot       TEXT NOT NULL,
        deadline_s REAL NOT NULL  -- a monotonic clock's, of that boot
    )
    """,
)
SCHEMAS = (_FIRST, _LEASES)  # each leads from the version before it to the next; an empty file is version 0

WINDOW = 256  # revisions a watch reads at once: bounds memory, and whole revisions cannot be split
STEP = 512  # revisions forgotten in one transaction: bounds how long a compaction holds the write lock

PATIENCE = (
    10  # times the usual history, at most, are kept for a watch that lags: one that never reads must not fill the disk
)

_LAST = 2**63 - 1  # no revision is beyond it
_READ = "SELECT key, value, created, modified, lease FROM kv WHERE"
_LOOK = "SELECT key, x'', created, modified, lease FROM kv WHERE"
ALIVE = "boot = ? AND deadline_s > ?"  # of a lease, at a `Moment`
_UNDER = "key >= ? AND key < CAST(? AS TEXT)"
_PUT = """
    INSERT INTO kv VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT (key)
    DO UPDATE SET value = excluded.value, modified = excluded.modified, lease = excluded.lease
"""


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
    row = db.execute(f"{_READ} key = ?", (key,)).fetchone()
    return KeyValue(*row) if row else None


def under(db: sqlite3.Connection, prefix: str) -> Snapshot:
    """All keys that start with `prefix`."""
    with transaction(db, "DEFERRED"):
        now = revision(db)
        rows = db.execute(f"{_READ} {_UNDER} ORDER BY key", _bounds(prefix))
        return Snapshot(now, tuple(KeyValue(*row) for row in rows))


def commit(
    db: sqlite3.Connection, conditions: Sequence[Condition], operations: Sequence[Operation], moment: Moment
) -> int:
    with transaction(db, "IMMEDIATE"):
        for condition in conditions:
            check_condition(condition, _look(db, condition))
        for lease in {one.lease for one in operations if isinstance(one, Put) and one.lease}:
            if not db.execute(f"SELECT 1 FROM lease WHERE id = ? AND {ALIVE}", (lease, *moment)).fetchone():
                raise lease_gone(lease)
        return write(db, operations)


def write(db: sqlite3.Connection, operations: Sequence[Operation]) -> int:
    """Within a transaction. The revision at which it is done, or the present one when it changes nothing."""
    now = revision(db)
    changes = [one for one in operations if isinstance(one, Put) or _exists(db, one.key)]
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


def _look(db: sqlite3.Connection, condition: Condition) -> KeyValue | None:
    """What `check_condition` has to see, without its value."""
    if isinstance(condition, Compare):
        row = db.execute(f"{_LOOK} key = ?", (condition.key,)).fetchone()
    else:
        newer = (*_bounds(condition.prefix), min(condition.revision, _LAST))
        row = db.execute(f"{_LOOK} {_UNDER} AND modified > ? ORDER BY key LIMIT 1", newer).fetchone()
    return KeyValue(*row) if row else None


def _exists(db: sqlite3.Connection, key: str) -> bool:
    return db.execute("SELECT 1 FROM kv WHERE key = ?", (key,)).fetchone() is not None


def _apply(db: sqlite3.Connection, operation: Operation, revision: int, number: int) -> None:
    value = None
    if isinstance(operation, Put):
        value = operation.value
        db.execute(_PUT, (operation.key, value, revision, operation.lease))
    else:
        db.execute("DELETE FROM kv WHERE key = ?", (operation.key,))
    db.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (revision, number, operation.key, value))


def _forget(db: sqlite3.Connection, upto: int) -> None:
    db.execute("DELETE FROM log WHERE revision <= ?", (upto,))
    db.execute("UPDATE meta SET compacted = ?", (upto,))


def _bounds(prefix: str) -> tuple[str, bytes]:
    """The byte 0xff is in no UTF-8 text, so prefix + 0xff lies behind every key that starts with the prefix."""
    return prefix, prefix.encode() + b"\xff"
