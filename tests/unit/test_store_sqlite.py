"""What only the SQLite back end promises: its file, its patience, its bounded history."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from ocicat.errors import Compacted, Refused, Unavailable, UserError
from ocicat.store import bell, sqlite, sqlite_sql
from ocicat.store.base import Put
from ocicat.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "store.db"


def play(path, scenario, **options):
    async def opened():
        async with asyncio.timeout(30):
            store = await SqliteStore.open(path, **options)
            try:
                return await scenario(store)
            finally:
                await store.close()

    return asyncio.run(opened())


async def nothing(store):
    pass


async def put_one(store):
    return await store.commit([], [Put("/a", b"1")])


def sql(path, statement):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement).fetchone()


def test_the_file_and_its_folder_are_made_for_their_owner_only(path):
    play(path, put_one)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_log_beside_the_file_is_for_its_owner_only(path):
    async def scenario(store):
        await put_one(store)
        assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}

    play(path, scenario)


def test_a_store_opened_again_goes_on_where_it_was(path):
    assert play(path, put_one) == 1
    assert play(path, put_one) == 2


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.parent.mkdir()
    path.write_text("a file of somebody's, long enough to look like one\n" * 100)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"store\.db: is not an ocicat store"):
        play(path, nothing)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    path.parent.mkdir()
    sql(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(UserError, match="is not an ocicat store"):
        play(path, nothing)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(path):
    play(path, nothing)
    sql(path, "PRAGMA user_version = 3")
    with pytest.raises(Refused, match=r"newer ocicat \(schema 3, this one knows 2\) \(upgrade"):
        play(path, nothing)


def test_a_folder_is_not_a_store(path):
    path.mkdir(parents=True)
    with pytest.raises(UserError, match="is not a file"):
        play(path, nothing)


def test_a_path_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made: Not a directory"):
        play(tmp_path / "file" / "folder" / "store.db", nothing)


def test_a_damaged_file_is_refused(path):
    play(path, put_one)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 3 * 4096)
    with pytest.raises(Refused, match="is damaged"):
        play(path, lambda store: store.range(""))


def test_a_commit_waits_for_another_process_only_so_long(path):
    play(path, nothing)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"store\.db: another process holds it \(try again; `fuser -v"):
            play(path, put_one, busy_s=0.05)


def test_reads_wait_for_no_writer(path):
    async def scenario(store):
        await put_one(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            blocked = asyncio.ensure_future(put_one(store))
            assert (await store.get("/a")).value == b"1"
            assert not blocked.done()
            other.execute("ROLLBACK")
            assert await blocked == 2

    play(path, scenario)


def test_a_commit_that_failed_leaves_the_store_usable(path):
    async def scenario(store):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await put_one(store)
        assert await put_one(store) == 1

    play(path, scenario, busy_s=0.02)


def test_a_cancelled_commit_stops_the_waiting_only(path):
    async def scenario(store):
        base = (await store.status()).revision
        task = asyncio.ensure_future(put_one(store))
        await asyncio.sleep(0)
        task.cancel()
        await put_one(store)
        assert (await store.status()).revision in (base + 1, base + 2)

    play(path, scenario)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.rename(path.with_name("away"))])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(path, change):
    async def scenario(store):
        await put_one(store)
        change(path)
        for call in (put_one(store), store.get("/a"), store.status()):
            with pytest.raises(Unavailable, match=r"store\.db: is gone: No such file"):
                await call

    play(path, scenario)


def test_nothing_is_acknowledged_into_a_file_that_was_replaced(path):
    async def scenario(store):
        await put_one(store)
        copy = path.with_name("copy")
        shutil.copy(path, copy)
        copy.rename(path)
        with pytest.raises(Unavailable, match="was replaced"):
            await put_one(store)

    play(path, scenario)


def test_a_watch_of_a_file_that_goes_away_is_told_at_once(path):
    async def scenario(store):
        async with aclosing(store.watch("/", 1)) as watch:
            task = await waiting(store, watch)
            path.unlink()
            with pytest.raises(Unavailable, match="is gone"):
                await task

    play(path, scenario, poll_s=20.0)


async def waiting(store, watch):
    """The next batch of a watch that has got as far as waiting for it."""
    task = asyncio.ensure_future(anext(watch))
    for _ in range(5):
        await store.get("/a")
    return task


def test_without_inotify_a_watch_is_served_by_the_poll(path, monkeypatch, caplog):
    def none_left(_path):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(bell, "_inotify", none_left)

    async def scenario(store):
        other = await SqliteStore.open(path)
        async with aclosing(store.watch("/", 1)) as watch:
            task = asyncio.ensure_future(anext(watch))
            await put_one(other)
            assert (await task).revision == 1
        await other.close()

    play(path, scenario, poll_s=0.02)
    assert "changes by other processes are seen late" in caplog.text


def test_two_stores_on_one_file_hear_each_other_by_the_bell(path):
    """With a poll that comes too late for the test's own bound."""

    async def scenario(store):
        other = await SqliteStore.open(path)
        async with aclosing(store.watch("/", 1)) as watch:
            for revision in range(1, 6):
                task = await waiting(store, watch)
                await put_one(other)
                assert (await task).revision == revision
        await other.close()

    play(path, scenario, poll_s=60.0)


def test_a_watch_sees_at_once_what_others_did_before_it_began(path):
    async def scenario(store):
        other = await SqliteStore.open(path)
        for revision in (1, 2):
            await put_one(other)
            async with aclosing(store.watch("/", revision)) as watch:
                assert (await anext(watch)).revision == revision
        await other.close()

    play(path, scenario, poll_s=60.0)


def test_watches_leave_no_descriptor_and_no_thread_behind(path):
    async def scenario(store):
        await put_one(store)
        for _ in range(3):
            async with aclosing(store.watch("/", 1)) as watch:
                await anext(watch)

    before = len(list(Path("/proc/self/fd").iterdir()))
    play(path, scenario)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store") and thread.is_alive()]


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(sqlite, "_TRIM_EVERY", 8)
    monkeypatch.setattr(sqlite_sql, "STEP", 16)


def test_history_is_bounded_by_the_way(path, small_steps):
    async def scenario(store):
        for number in range(400):
            await store.commit([], [Put("/a", b"%d" % number)])
        status = await store.status()
        assert status.revision - 50 - 8 <= status.compacted <= status.revision - 50

    play(path, scenario, history=50)
    (rows,) = sql(path, "SELECT count(*) FROM log")
    assert 50 <= rows <= 58


def test_history_is_kept_for_a_watch_that_lags(path, small_steps):
    async def scenario(store):
        await put_one(store)
        async with aclosing(store.watch("/", 1)) as watch:
            await anext(watch)
            for number in range(200):
                await store.commit([], [Put("/a", b"%d" % number)])
            seen = []
            while len(seen) < 200:
                seen += [event.revision for event in (await anext(watch)).events]
            assert seen == list(range(2, 202))
            for number in range(200):
                await store.commit([], [Put("/a", b"%d" % number)])
        with pytest.raises(Compacted):
            async with aclosing(store.watch("/", 1)) as watch:
                await anext(watch)

    play(path, scenario, history=25)


def test_a_watch_that_never_reads_cannot_fill_the_disk(path, small_steps):
    async def scenario(store):
        await put_one(store)
        async with aclosing(store.watch("/", 1)) as watch:
            await anext(watch)
            for number in range(300):
                await store.commit([], [Put("/a", b"%d" % number)])
            assert (await store.status()).compacted >= 301 - 10 * 10 - 8
            with pytest.raises(Compacted):
                await anext(watch)

    play(path, scenario, history=10)


def test_forgotten_history_gives_its_room_back_to_the_file(path, small_steps):
    async def scenario(store):
        for _ in range(400):
            await store.commit([], [Put("/a", os.urandom(4000))])

    play(path, scenario, history=20)
    assert path.stat().st_size < 50 * 8192  # the file after its last user closed it; all of the history were 1.6 MB


def test_a_full_disk_is_refused_and_names_the_path(path):
    """A file system of 400 KiB, in a mount namespace of its own that is gone with the process."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare(1)")
    path.parent.mkdir()
    script = f'mount -t tmpfs -o size=400k oct-full {path.parent} && exec {sys.executable} -c "$PROGRAM"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={"PROGRAM": FILL.format(path=path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"Refused: store {path}: the disk is full (make room under {path.parent})" in done.stdout, done
    assert done.stdout.splitlines()[1:] == ["still readable: True", "goes on: True", "nothing lost: True"]


FILL = """
import asyncio, pathlib
from contextlib import aclosing
from ocicat.errors import Refused
from ocicat.store.base import Put
from ocicat.store.sqlite import SqliteStore

async def main():
    ballast = pathlib.Path("{path}.ballast")
    ballast.write_bytes(bytes(100_000))
    store = await SqliteStore.open(pathlib.Path("{path}"))
    number = 0
    try:
        while number < 10000:
            await store.commit([], [Put("/%d" % number, b"x" * 5000)])
            number += 1
    except Refused as error:
        print("Refused:", error)
    print("still readable:", len((await store.range("/")).items) == number)
    ballast.unlink()
    print("goes on:", await store.commit([], [Put("/more", b"")]) == number + 1)
    seen = []
    async with aclosing(store.watch("/", 1)) as watch:
        while not seen or seen[-1] <= number:
            seen += [event.revision for event in (await anext(watch)).events]
    print("nothing lost:", seen == list(range(1, number + 2)))
    await store.close()

asyncio.run(main())
"""


def test_an_opening_that_was_given_up_leaves_no_thread_and_no_connection(path):
    play(path, put_one)

    async def give_up():
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await SqliteStore.open(path, busy_s=0.2)

    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(give_up())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store")]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_store_that_is_closed_answers_those_who_come_too_late(path):
    async def scenario(store):
        closing_down = asyncio.ensure_future(store.close())
        late = [asyncio.ensure_future(store.get("/a")) for _ in range(3)]
        await closing_down
        for call in (*late, store.get("/a"), put_one(store)):
            with pytest.raises(Unavailable, match="is closed"):
                await call

    play(path, scenario)
