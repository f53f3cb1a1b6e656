"""What only the SQLite back end promises of leases: clocks, restarts, who reaps; and files from before there were any."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing, closing

import pytest

from ocicat.errors import NotFound
from ocicat.store.base import KeyValue, Put, Unchanged
from ocicat.store.sqlite import SqliteStore
from ocicat.store.sqlite_file import APPLICATION_ID

LONG_S = 1000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def play(path, scenario, **options):
    async def opened():
        async with asyncio.timeout(30):
            store = await SqliteStore.open(path, **options)
            try:
                return await scenario(store)
            finally:
                await store.close()

    return asyncio.run(opened())


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


async def put_under_lease(store):
    lease = await store.grant(LONG_S)
    await store.commit([], [Put("/a", b"1", lease.id), Put("/b", b"1")])
    return lease.id


async def keys(store):
    return [item.key for item in (await store.range("")).items]


def test_a_lease_lives_on_in_the_file_while_nobody_has_it_open(path):
    lease = play(path, put_under_lease)
    assert play(path, keys) == ["/a", "/b"]
    play(path, lambda store: store.renew(lease))


def test_what_expired_while_nobody_had_the_file_open_is_gone_when_it_is_opened(path):
    play(path, put_under_lease)
    sql(path, "UPDATE lease SET deadline_s = 1")
    assert play(path, keys, poll_s=60.0) == ["/b"]


def test_a_restart_of_the_machine_ends_every_lease(path):
    """The deadline lies ahead on the new boot's clock, too."""
    lease = play(path, put_under_lease)
    sql(path, "UPDATE lease SET boot = 'the one before', deadline_s = 1e9")

    async def scenario(store):
        assert await keys(store) == ["/b"]
        with pytest.raises(NotFound, match=f"lease {lease}"):
            await store.renew(lease)

    play(path, scenario)


def test_an_expired_lease_is_gone_before_anybody_reaped_it(path):
    async def scenario(store):
        lease = await put_under_lease(store)
        sql(path, "UPDATE lease SET deadline_s = 1")
        with pytest.raises(NotFound):
            await store.renew(lease)
        with pytest.raises(NotFound):
            await store.commit([], [Put("/c", b"", lease)])

    play(path, scenario, poll_s=60.0)


def test_any_process_reaps_and_all_hear_of_it(path):
    async def scenario(store):
        other = await SqliteStore.open(path, poll_s=0.01)
        await put_under_lease(store)
        sql(path, "UPDATE lease SET deadline_s = 1")
        async with aclosing(store.watch("/", 2)) as watch:
            (event,) = (await anext(watch)).events
        assert (event.key, event.value, event.revision) == ("/a", None, 2)
        await other.close()

    play(path, scenario, poll_s=60.0)


def test_what_cannot_be_reaped_now_is_read_and_reaped_later(path):
    play(path, put_under_lease)
    sql(path, "UPDATE lease SET deadline_s = 1")

    async def scenario(store):
        assert await keys(store) == ["/a", "/b"]
        other.execute("ROLLBACK")
        async with aclosing(store.watch("/", 2)) as watch:
            assert (await anext(watch)).revision == 2
        assert await keys(store) == ["/b"]

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        play(path, scenario, busy_s=0.05, poll_s=0.05)


def test_the_number_of_a_lease_is_never_given_again(path):
    async def scenario(store):
        first = await store.grant(LONG_S)
        await store.revoke(first.id)
        return first.id

    assert play(path, scenario) != play(path, scenario)


# Schema 1, as it was written before there were leases.
OLD = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, compacted INTEGER NOT NULL)",
    """CREATE TABLE kv (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE log (
        revision INTEGER, number INTEGER, key TEXT NOT NULL, value BLOB, PRIMARY KEY (revision, number)
    ) WITHOUT ROWID""",
    "INSERT INTO meta VALUES (1, 8, 6)",
    "INSERT INTO kv VALUES ('/old', x'31', 3, 8)",
    "INSERT INTO log VALUES (7, 0, '/old', x'30'), (8, 0, '/old', x'31')",
)


def test_a_file_of_the_first_schema_is_brought_up_and_loses_nothing(path):
    sql(path, *OLD)

    async def scenario(store):
        assert await store.get("/old") == KeyValue("/old", b"1", 3, 8)
        async with aclosing(store.watch("/", 7)) as watch:
            assert [event.revision for event in (await anext(watch)).events] == [7, 8]
        assert await store.commit([Unchanged("/old", 8)], [Put("/old", b"2")]) == 9
        lease = await put_under_lease(store)
        await store.revoke(lease)
        return await keys(store)

    assert play(path, scenario) == ["/b", "/old"]
    assert play(path, keys) == ["/b", "/old"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_processes_that_find_an_old_file_at_once_bring_it_up_once(path):
    sql(path, *OLD)

    async def scenario(_store):
        stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(4)))
        for store in stores:
            assert await keys(store) == ["/old"]
            await store.close()

    play(path, scenario)
