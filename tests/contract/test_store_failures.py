"""What back ends that several processes share promise when processes compete, or die."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from ocicat.store.base import Put

ROUNDS = 3


def finish(process, seconds=60):
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0
    return output


def test_two_processes_lose_no_update(on_shared_store, other_process):
    writers = [other_process("increment", "500") for _ in range(2)]
    for writer in writers:
        finish(writer)

    @on_shared_store
    async def _(store):
        assert (await store.get("/counter")).value == b"1000"
        assert (await store.status()).revision >= 1000


def test_processes_that_make_the_store_at_the_same_time_share_it(on_shared_store, other_process):
    for writer in [other_process("put", f"/{number}", "x") for number in range(6)]:
        finish(writer)

    @on_shared_store
    async def _(store):
        assert len((await store.range("/")).items) == 6


@pytest.mark.parametrize("killed_after", [1, 40, 150])
def test_a_writer_killed_midway_loses_nothing_that_was_acknowledged(on_shared_store, other_process, killed_after):
    for _ in range(ROUNDS):
        writer = other_process("write")
        for _ in range(killed_after):
            told = writer.stdout.readline()
        writer.kill()
        told = (told + writer.stdout.read()).split("\n")
        acknowledged = int([line for line in told if line][-1])

        @on_shared_store
        async def _(store, acknowledged=acknowledged):
            a, b = await store.range("/a/"), await store.range("/b/")
            assert len(a.items) == len(b.items) >= acknowledged
            assert [item.key[2:] for item in a.items] == [item.key[2:] for item in b.items]


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
            for number in range(3):
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
