"""What back ends that several processes share promise when processes compete, or die."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from ocicat.store.base import Put
from ocicat.store.open import open_store


def finish(process, seconds=60):
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0
    return output


def test_two_processes_lose_no_update(on_shared_store, other_process):
    writers = [other_process("increment", "150") for _ in range(2)]
    for writer in writers:
        finish(writer)

    @on_shared_store
    async def _(store):
        assert (await store.get("/counter")).value == b"300"
        assert (await store.status()).revision >= 300


def test_processes_that_make_the_store_at_the_same_time_share_it(on_shared_store, other_process):
    for writer in [other_process("put", f"/{number}", "x") for number in range(4)]:
        finish(writer)

    @on_shared_store
    async def _(store):
        assert len((await store.range("/")).items) == 4


def test_a_writer_killed_midway_loses_nothing_that_was_acknowledged(on_shared_store, shared_url, other_process):
    async def check_history(store, start, last):
        """No revision is missing, none is told twice, and each is a whole commit."""
        seen = []
        async with aclosing(store.watch("/", start)) as watch:
            while not seen or seen[-1][0] < last:
                seen += [(event.revision, event.key) for event in (await anext(watch)).events]
        assert [revision for revision, _ in seen] == [start + number // 2 for number in range(len(seen))]
        assert [key[:3] for _, key in seen] == ["/a/", "/b/"] * (len(seen) // 2)
        assert [key[3:] for _, key in seen[::2]] == [key[3:] for _, key in seen[1::2]]

    async def present():
        store = await open_store(shared_url)
        try:
            return (await store.status()).revision
        finally:
            await store.close()

    for killed_after in (1, 40, 150):
        start = asyncio.run(present()) + 1
        writer = other_process("write")
        for _ in range(killed_after):
            told = writer.stdout.readline()
        writer.kill()
        told = (told + writer.stdout.read()).split("\n")
        acknowledged = int([line for line in told if line][-1])

        @on_shared_store
        async def _(store, acknowledged=acknowledged, start=start):
            a, b = await store.range("/a/"), await store.range("/b/")
            assert len(a.items) == len(b.items) >= acknowledged
            assert [item.key[2:] for item in a.items] == [item.key[2:] for item in b.items]
            await check_history(store, start, a.revision)


def test_the_store_is_free_at_once_after_its_user_was_killed(on_shared_store, other_process):
    writer = other_process("write")
    writer.stdout.readline()
    writer.kill()
    writer.wait()

    @on_shared_store
    async def _(store):
        started = time.monotonic()
        await store.commit([], [Put("/after", b"")])
        assert time.monotonic() - started < 2


def test_a_watch_sees_the_commits_of_another_process(on_shared_store, other_process):
    @on_shared_store
    async def _(store):
        base = (await store.status()).revision
        async with aclosing(store.watch("/", base + 1)) as watch:
            for number in range(2):
                finish(other_process("put", f"/{number}", "x"))
                async with asyncio.timeout(10):
                    batch = await anext(watch)
                assert [event.key for event in batch.events] == [f"/{number}"]


def test_a_watch_has_no_gap_while_two_processes_write(on_shared_store, other_process):
    @on_shared_store
    async def _(store):
        base = (await store.status()).revision
        writers = [other_process("increment", "100") for _ in range(2)]
        seen = []
        async with aclosing(store.watch("/counter", base + 1)) as watch:
            while len(seen) < 200:
                seen += [(event.revision, int(event.value)) for event in (await anext(watch)).events]
        assert seen == [(base + number, number) for number in range(1, 201)]
        for writer in writers:
            finish(writer)


def test_a_commit_is_heard_in_another_process_long_before_the_next_poll(on_shared_store, other_process):
    @on_shared_store
    async def _(store):
        base = (await store.status()).revision
        watcher = other_process("watch", str(base + 1), "20")
        loop = asyncio.get_running_loop()
        hear = lambda: loop.run_in_executor(None, watcher.stdout.readline)  # noqa: E731 - said eleven times below
        assert await hear() == "ready\n"
        delays = []
        for _ in range(20):
            started = time.monotonic()
            await store.commit([], [Put("/a", b"")])
            await hear()
            delays.append(time.monotonic() - started)
        assert sorted(delays)[10] < 0.1
