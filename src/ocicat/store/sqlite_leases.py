"""Leases in the store's file: plain blocking functions on one connection, each one transaction. `sqlite_sql` says what is written.

1. A lease lives until its deadline on the clock of the boot that granted it. After a restart of the machine all are dead: so are
   their holders.
2. A lease that is over, by whichever cause, is deleted together with the keys under it.
3. Nobody is in charge: whoever has the file open asks from time to time whether one `is_due`, and reaps.
"""

from __future__ import annotations

import sqlite3

from ocicat.store.base import Delete, Lease
from ocicat.store.boot import Moment
from ocicat.store.checks import lease_gone
from ocicat.store.sqlite_sql import ALIVE, transaction, write

# By the index of the few keys that are under a lease; for the sake of the order SQLite would rather read them all.
_ORPHANS = """
    SELECT key FROM kv INDEXED BY leased
    WHERE lease != 0 AND lease NOT IN (SELECT id FROM lease) ORDER BY key
"""


def grant(db: sqlite3.Connection, ttl_s: int, moment: Moment) -> Lease:
    deadline_s = moment.monotonic_s + ttl_s
    insert = "INSERT INTO lease (ttl_s, boot, deadline_s) VALUES (?, ?, ?) RETURNING id"
    with transaction(db, "IMMEDIATE"):
        ((lease,),) = db.execute(insert, (ttl_s, moment.boot, deadline_s)).fetchall()
    return Lease(lease, ttl_s)


def renew(db: sqlite3.Connection, lease: int, moment: Moment) -> None:
    update = f"UPDATE lease SET deadline_s = ? + ttl_s WHERE id = ? AND {ALIVE}"
    with transaction(db, "IMMEDIATE"):
        if not db.execute(update, (moment.monotonic_s, lease, *moment)).rowcount:
            raise lease_gone(lease)


def revoke(db: sqlite3.Connection, lease: int) -> int:
    """The revision of the store, after what was under it is deleted."""
    with transaction(db, "IMMEDIATE"):
        db.execute("DELETE FROM lease WHERE id = ?", (lease,))
        return _bury(db)


def is_due(db: sqlite3.Connection, moment: Moment) -> bool:
    """Has one expired that nobody has reaped?"""
    return db.execute(f"SELECT 1 FROM lease WHERE NOT ({ALIVE})", moment).fetchone() is not None


def reap(db: sqlite3.Connection, moment: Moment) -> int:
    """The revision of the store, after what was under expired leases is deleted."""
    with transaction(db, "IMMEDIATE"):
        db.execute(f"DELETE FROM lease WHERE NOT ({ALIVE})", moment)
        return _bury(db)


def _bury(db: sqlite3.Connection) -> int:
    orphans = db.execute(_ORPHANS).fetchall()
    return write(db, [Delete(key) for (key,) in orphans])
