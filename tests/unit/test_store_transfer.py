"""A store is carried whole, whatever cuts the transfer off, and nobody's lock or data is lost on the way."""

from __future__ import annotations

import asyncio
import json

import pytest

from ocicat.errors import Conflict, OcicatError, Refused, Unavailable
from ocicat.model import keys
from ocicat.store.base import Compare, Delete, KeyValue, Put
from ocicat.store.memory import MemoryStore
from ocicat.store.schema import mark
from ocicat.store.transfer import content as contents
from ocicat.store.transfer.content import batches, content_of, differences, read_content
from ocicat.store.transfer.engine import plan, transfer
from ocicat.store.transfer.export import Export, Header
from ocicat.store.transfer.lock import is_locked, set_ready
from ocicat.store.transfer.record import RECORD
from ocicat.store.transfer.sources import ExportSource, StoreSource

LOCK = keys.CLUSTER_INFORMATION
READY = (
    b'{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default","x":[1]},'
    b'"spec":{"datastoreReady":true,"y":1}}'
)
LOCKED = READY.replace(b"true", b"false")
UNSAID = READY.replace(b'"datastoreReady":true,', b"")
VALUES = {f"/calico/ipam/v2/handle/{number}": b"value %d" % number for number in range(20)} | {
    "/ocicat/v1/x": b"\xff\0"
}


class Killed(BaseException):
    """The process died."""


class Mortal:
    """A store as seen by a process that is killed at its `last` commit: before it is done, or just after it."""

    def __init__(self, store, life, *, after):
        self._store, self._life, self._after = store, life, after

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, conditions, operations):
        if self._life[0] < 0:
            raise Killed
        self._life[0] -= 1
        if self._life[0] >= 0:
            return await self._store.commit(conditions, operations)
        if self._after:
            await self._store.commit(conditions, operations)
        raise Killed


async def filled(values=VALUES, information=READY):
    store = MemoryStore()
    lock = [Put(LOCK, information)] if information else []
    await store.commit([], [*lock, *(Put(key, value) for key, value in values.items())])
    return store


async def held(store):
    """Everything in it."""
    return {item.key: item.value for item in (await store.range("")).items}


async def copied(source, destination, **options):
    found = StoreSource(source, "the source")
    return await transfer(found, destination, "copy", started="now", progress=lambda _done, _all: None, **options)


def export_of(values, prefixes=("/calico/", "/ocicat/"), sha256="abc"):
    items = [KeyValue(key, value, 0, 0) for key, value in sorted(values.items())]
    header = Header(source="s", taken="now", revision=7, prefixes=prefixes, keys=len(items))
    return ExportSource(Export(header, sha256, content_of(7, items)))


async def imported(source, destination, mode="import"):
    return await transfer(source, destination, mode, started="now", progress=lambda _done, _all: None)


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 30))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(contents, "_BATCH_KEYS", 4)


# --- a copy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("information", [READY, LOCKED, UNSAID, None], ids=["ready", "locked", "unsaid", "none"])
def test_the_destination_is_equal_and_both_locks_are_what_they_were(information):
    async def scenario():
        source, destination = await filled(information=information), MemoryStore()
        before = await held(source)
        done = await copied(source, destination)
        assert await held(source) == await held(destination) == before
        assert (done.keys, done.written, done.deleted, done.resumed) == (len(before), len(before), 0, False)
        assert done.locked is (information == LOCKED)

    run(scenario)


def test_both_are_locked_while_it_runs():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        seen = []

        async def look():
            revision = 1
            async for _ in destination.watch("/calico/ipam/", revision):
                found = [await store.get(LOCK) for store in (source, destination)]
                seen.append([is_locked(each.value) for each in found])

        class Slow(Mortal):
            async def commit(self, *arguments):
                await asyncio.sleep(0)
                return await self._store.commit(*arguments)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(look())
            await copied(source, Slow(destination, [0], after=False))
            await asyncio.sleep(0)
            watching.cancel()
        assert seen
        assert all(both == [True, True] for both in seen[:-1])

    run(scenario)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-commit", "after-the-commit"])
@pytest.mark.parametrize("information", [READY, LOCKED, UNSAID, None], ids=["ready", "locked", "unsaid", "none"])
def test_killed_at_any_commit_the_next_run_goes_on_to_the_same_end(information, after):
    async def scenario():
        cut = 0
        while True:
            source, destination = await filled(information=information), MemoryStore()
            before, life = await held(source), [cut]
            mortal = (Mortal(store, life, after=after) for store in (source, destination))
            try:
                await copied(*mortal)
            except Killed:
                cut += 1
            else:
                break
            if (await held(destination)).keys() >= {RECORD}:
                assert is_locked((await destination.get(LOCK)).value)
            await copied(source, destination)
            assert await held(source) == await held(destination) == before, cut
        assert cut >= 9  # the note, six batches, the end; and the source's one or two

    run(scenario)


def test_what_a_killed_run_wrote_is_not_written_again():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        with pytest.raises(Killed):
            await copied(source, Mortal(destination, [3], after=True))
        done = await copied(source, destination)
        assert done.resumed
        assert done.written == 22 - 3 * 4

    run(scenario)


def test_killed_after_the_source_was_given_back_the_next_run_carries_what_changed_there_since():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        with pytest.raises(Killed):
            await copied(source, Mortal(destination, [7], after=False))  # the note, six batches, the end
        assert (await source.get(LOCK)).value == READY
        await source.commit([], [Put("/calico/later", b"")])
        done = await copied(source, destination)
        assert (done.resumed, done.written) == (True, 2)  # it, and the cluster information
        assert await held(destination) == await held(source)
        assert (await source.get(LOCK)).value == READY

    run(scenario)


@pytest.mark.parametrize("keep_locked", [False, True])
def test_what_is_put_into_the_source_while_the_destination_is_compared_is_carried_too(keep_locked):
    async def scenario():
        source, read = await filled(), []

        class Late(MemoryStore):
            async def range(self, prefix):
                read.append(await super().range(prefix))
                if len(read) == 4:  # for the plan, at the beginning, in the first round, in the second one
                    await source.commit([], [Put("/calico/late", b"1")])
                return read[-1]

        destination = Late()
        await copied(source, destination, keep_locked=keep_locked)
        assert (await destination.get("/calico/late")).value == b"1"
        assert is_locked((await source.get(LOCK)).value) is keep_locked

    run(scenario)


@pytest.mark.parametrize("error", [Unavailable("no answer"), asyncio.CancelledError()], ids=["no-answer", "cancelled"])
def test_a_lock_of_which_nobody_knows_whether_it_was_set_is_given_back(error):
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Lossy(Mortal):
            async def commit(self, conditions, operations):
                revision = await self._store.commit(conditions, operations)
                if not self._life[0]:
                    self._life[0] = revision
                    raise error
                return revision

        with pytest.raises(type(error)):
            await copied(Lossy(source, [0], after=False), destination)
        assert (await source.get(LOCK)).value == READY

    run(scenario)


def test_a_run_that_fails_gives_the_sources_lock_back_and_can_go_on():
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Full(Mortal):
            async def commit(self, conditions, operations):
                if len(operations) > 2:
                    raise Refused("the disk is full")
                return await self._store.commit(conditions, operations)

        with pytest.raises(Refused, match="disk is full"):
            await copied(source, Full(destination, [0], after=False))
        assert (await source.get(LOCK)).value == READY
        assert is_locked((await destination.get(LOCK)).value)
        await copied(source, destination)
        assert await held(destination) == await held(source)

    run(scenario)


def test_a_value_that_the_destination_refuses_is_named():
    async def scenario():
        class Small(Mortal):
            async def commit(self, conditions, operations):
                if any(isinstance(one, Put) and len(one.value) > 1000 for one in operations):
                    raise Refused("request is too large", hint="larger limits")
                return await self._store.commit(conditions, operations)

        source = await filled({"/calico/big": b"x" * contents._BATCH_BYTES, "/calico/small": b"y"})
        with pytest.raises(Refused, match="key /calico/big: request is too large") as caught:
            await copied(source, Small(MemoryStore(), [0], after=False))
        assert caught.value.hint == "larger limits"

    run(scenario)


def test_a_batch_whose_outcome_is_unknown_is_sent_again():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        lost = [0]

        class Lossy(Mortal):
            async def commit(self, conditions, operations):
                revision = await self._store.commit(conditions, operations)
                if len(operations) > 2 and lost[0] < 2:
                    lost[0] += 1
                    raise Unavailable("no answer")
                return revision

        await copied(source, Lossy(destination, [0], after=False))
        assert lost == [2]
        assert await held(destination) == await held(source)

    run(scenario)


def test_what_changes_in_the_source_meanwhile_is_carried_too():
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Late(Mortal):
            async def commit(self, conditions, operations):
                if self._life[0] == 5:
                    await source.commit([], [Put("/calico/late", b"1"), Delete("/ocicat/v1/x")])
                self._life[0] += 1
                return await self._store.commit(conditions, operations)

        await copied(source, Late(destination, [0], after=False))
        assert await held(destination) == await held(source)
        assert "/calico/late" in await held(destination)
        assert "/ocicat/v1/x" not in await held(destination)

    run(scenario)


def test_a_source_that_never_stands_still_is_told_and_unlocked():
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Busy(Mortal):
            async def range(self, prefix):
                self._life[0] += 1
                await self._store.commit([], [Put("/calico/busy", b"%d" % self._life[0])])
                return await self._store.range(prefix)

        with pytest.raises(Conflict, match="/calico/busy changed again and again"):
            await copied(Busy(source, [0], after=False), destination)
        assert (await source.get(LOCK)).value == READY
        assert RECORD in await held(destination)

    run(scenario)


def test_who_unlocks_the_source_meanwhile_is_overruled_and_his_other_changes_are_kept():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        changed = READY.replace(b'"y":1', b'"y":2')

        class Late(Mortal):
            async def commit(self, conditions, operations):
                if self._life[0] == 3:
                    await source.commit([], [Put(LOCK, changed)])
                self._life[0] += 1
                return await self._store.commit(conditions, operations)

        await copied(source, Late(destination, [0], after=False))
        assert (await source.get(LOCK)).value == (await destination.get(LOCK)).value == changed

    run(scenario)


def test_the_source_can_stay_locked():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        await copied(source, destination, keep_locked=True)
        assert is_locked((await source.get(LOCK)).value)
        assert (await destination.get(LOCK)).value == READY
        assert (await copied(source, destination, keep_locked=True)).nothing

    run(scenario)


def test_a_second_copy_of_the_same_finds_nothing_to_do_and_writes_nothing():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        await copied(source, destination)
        revisions = [(await store.status()).revision for store in (source, destination)]
        assert (await copied(source, destination)).nothing
        assert [(await store.status()).revision for store in (source, destination)] == revisions

    run(scenario)


def test_of_two_processes_the_later_one_goes_on_and_the_earlier_one_stops():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        other = []

        class First(Mortal):
            async def commit(self, conditions, operations):
                if len(operations) == 4 and not other:
                    other.append(await copied(source, destination))
                return await self._store.commit(conditions, operations)

        with pytest.raises(Conflict, match="another process"):
            await copied(source, First(destination, [0], after=False))
        assert other[0].resumed
        assert await held(source) == await held(destination)

    run(scenario)


def test_what_somebody_writes_into_the_destination_meanwhile_is_put_right():
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Late(Mortal):
            async def commit(self, conditions, operations):
                if self._life[0] == 6:
                    await destination.commit([], [Put("/calico/alien", b"1"), Put("/ocicat/v1/x", b"other")])
                self._life[0] += 1
                return await self._store.commit(conditions, operations)

        done = await copied(source, Late(destination, [0], after=False))
        assert await held(source) == await held(destination)
        assert done.deleted == 1

    run(scenario)


def test_what_is_not_ours_and_what_vanishes_with_its_holder_stays_behind():
    async def scenario():
        source, destination = await filled(), MemoryStore()
        lease = await source.grant(60)
        await source.commit([], [Put("/ocicat/v1/agents/h1", b"{}", lease=lease.id), Put("/registry/pods/a", b"k8s")])
        await destination.commit([], [Put("/registry/pods/b", b"k8s")])
        await copied(source, destination)
        assert (await held(destination)).keys() == {*VALUES, LOCK, "/registry/pods/b"}

    run(scenario)


# --- what is refused --------------------------------------------------------------------------------------------


def test_a_destination_that_holds_something_is_refused_and_nothing_is_touched():
    async def scenario():
        source = await filled()
        for value in ({"/calico/x": b"1"}, {"/ocicat/v1/y": b"1"}, {LOCK: READY}):
            destination = await filled(value, None)
            before = [await held(store) for store in (source, destination)]
            with pytest.raises(Refused, match="not empty: it holds 1 keys, the first one is /"):
                await copied(source, destination)
            assert [await held(store) for store in (source, destination)] == before

    run(scenario)


def test_what_came_in_between_looking_and_beginning_is_noticed():
    async def scenario():
        source, destination = await filled(), MemoryStore()

        class Late(Mortal):
            async def commit(self, conditions, operations):
                await self._store.commit([], [Put("/calico/x", b"1")])
                return await self._store.commit(conditions, operations)

        with pytest.raises(Conflict, match="/calico/"):
            await copied(source, Late(destination, [0], after=False))
        assert (await held(destination)).keys() == {"/calico/x"}
        assert (await source.get(LOCK)).value == READY

    run(scenario)


def test_an_empty_source_is_refused():
    async def scenario():
        with pytest.raises(Refused, match="holds nothing to copy"):
            await copied(MemoryStore(), MemoryStore())

    run(scenario)


async def cut_off(source=None):
    destination = MemoryStore()
    with pytest.raises(Killed):
        await copied(source or await filled(), Mortal(destination, [3], after=True))
    return destination


def test_an_unfinished_copy_of_something_else_is_refused_with_its_name():
    async def scenario():
        destination = await cut_off()
        for attempt in (
            transfer(StoreSource(await filled(), "other"), destination, "copy", started="", progress=print),
            imported(export_of(VALUES), destination),
            plan(StoreSource(await filled(), "other"), destination, "copy"),
        ):
            with pytest.raises(Refused, match="being filled from the source since now") as caught:
                await attempt
            assert "ocicat store copy the source DESTINATION" in caught.value.hint

    run(scenario)


def test_an_unfinished_copy_is_no_source_and_cannot_be_unlocked_by_hand():
    async def scenario():
        incomplete = await cut_off()
        with pytest.raises(Refused, match="incomplete"):
            await copied(incomplete, MemoryStore())
        with pytest.raises(Refused, match="incomplete"):
            await set_ready(incomplete, ready=True)
        assert await set_ready(incomplete, ready=False) is False

    run(scenario)


def test_a_note_that_cannot_be_read_is_told():
    async def scenario():
        destination = await filled({RECORD: b"{}"}, None)
        with pytest.raises(OcicatError, match=RECORD):
            await copied(await filled(), destination)

    run(scenario)


# --- imports ----------------------------------------------------------------------------------------------------


def test_an_import_fills_an_empty_store_and_refuses_another():
    async def scenario():
        destination = MemoryStore()
        await imported(export_of({**VALUES, LOCK: LOCKED}), destination)
        assert await held(destination) == {**VALUES, LOCK: LOCKED}
        assert (await imported(export_of({**VALUES, LOCK: LOCKED}), destination)).nothing
        with pytest.raises(Refused, match="not empty"):
            await imported(export_of({**VALUES, LOCK: READY, "/calico/more": b""}), destination)

    run(scenario)


def test_replace_deletes_what_the_export_does_not_have_and_merge_keeps_it():
    async def scenario():
        for mode, kept in (("replace", {}), ("merge", {"/calico/old": b"1"})):
            destination = await filled({"/calico/old": b"1", "/calico/both": b"1"}, None)
            await imported(export_of({**VALUES, "/calico/both": b"2", LOCK: READY}), destination, mode)
            assert await held(destination) == {**VALUES, **kept, "/calico/both": b"2", LOCK: READY}

    run(scenario)


def test_what_is_of_another_form_is_not_merged_but_may_replace():
    async def scenario():
        other = mark.written(mark.Version(2, 0))
        destination = await filled({"/calico/old": b"1"})
        with pytest.raises(Refused, match=r"has schema 1\.0, what would be merged into it 2\.0"):
            await imported(export_of({**VALUES, mark.KEY: other}), destination, "merge")
        assert "/calico/old" in await held(destination)
        await imported(export_of({**VALUES, mark.KEY: other}), destination, "replace")
        assert (await held(destination))[mark.KEY] == other

    run(scenario)


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_a_part_of_a_store_changes_only_that_part_and_the_lock_is_what_it_was(mode):
    async def scenario():
        destination = await filled({"/calico/ipam/v2/config": b"1", "/calico/other": b"1"})
        part = {"/calico/ipam/v2/handle/a": b"2"}
        await imported(export_of(part, ("/calico/ipam/",)), destination, mode)
        kept = {"/calico/other": b"1"} if mode == "replace" else {"/calico/other": b"1", "/calico/ipam/v2/config": b"1"}
        assert await held(destination) == {**part, **kept, LOCK: READY}

    run(scenario)


@pytest.mark.parametrize("mode", ["import", "replace", "merge"])
@pytest.mark.parametrize("own", [LOCKED, None], ids=["own-lock", "no-lock"])
def test_an_import_that_is_killed_at_any_commit_goes_on_to_the_same_end(mode, own):
    async def scenario():
        cut, ends = 0, []
        export = {**VALUES, LOCK: own} if own else VALUES
        while True:
            destination = MemoryStore() if mode == "import" else await filled({"/calico/old": b"1"})
            mortal = Mortal(destination, [cut], after=cut % 2 == 0)
            try:
                await imported(export_of(export), mortal, mode)
            except Killed:
                await imported(export_of(export), destination, mode)
                ends.append(await held(destination))
                cut += 1
            else:
                break
        assert ends == [await held(destination)] * cut
        assert cut >= 8

    run(scenario)


def test_an_import_brings_the_lock_of_the_export_even_if_nothing_else_differs():
    async def scenario():
        destination = await filled(information=LOCKED)
        assert not (await imported(export_of({**VALUES, LOCK: READY}), destination, "merge")).nothing
        assert await held(destination) == {**VALUES, LOCK: READY}

    run(scenario)


# --- a dry run --------------------------------------------------------------------------------------------------


def test_a_plan_tells_what_would_be_done_and_writes_nothing():
    async def scenario():
        source, destination = await filled(), await cut_off()
        before = [await held(store) for store in (source, destination)]
        planned = await plan(StoreSource(source, "the source"), destination, "copy")
        assert (planned.keys, planned.written, planned.deleted, planned.resumed) == (22, 10, 0, True)
        assert (await plan(StoreSource(source, "the source"), None, "copy")).written == 22
        replacing = await plan(export_of({"/calico/one": b""}), source, "replace")
        assert (replacing.written, replacing.deleted) == (1, 21)
        assert [await held(store) for store in (source, destination)] == before

    run(scenario)


# --- the parts --------------------------------------------------------------------------------------------------


def test_batches_are_bounded_by_keys_and_by_bytes(monkeypatch):
    monkeypatch.setattr(contents, "_BATCH_BYTES", 100)
    small = [Put(f"/{number}", b"") for number in range(9)]
    assert [len(batch) for batch in batches(small)] == [4, 4, 1]
    large = [Put("/a", b"x" * 60), Put("/b", b"x" * 60), Put("/c", b"x" * 500), Delete("/d" * 40), Put("/e", b"")]
    assert [[one.key[:2] for one in batch] for batch in batches(large)] == [["/a"], ["/b"], ["/c"], ["/d", "/e"]]
    assert list(batches([])) == []


def test_keys_that_are_no_text_are_left_out_and_named():
    stray = "/calico/\udcff"
    found = content_of(3, [KeyValue("/calico/a", b"", 1, 1), KeyValue(stray, b"", 1, 1)])
    assert (found.count(), found.left_out) == (1, (stray,))


def test_equal_contents_do_not_differ_whatever_their_revisions():
    have = content_of(3, [KeyValue("/calico/a", b"1", 1, 1)])
    want = content_of(9, [KeyValue("/calico/a", b"1", 8, 9)])
    assert differences(have, want, deleting=True) == []


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (("/calico/", "/ocicat/"), ["/calico/a", "/ocicat/b"]),
        (("/calico/",), ["/calico/a"]),
        (("/ocicat/b",), ["/ocicat/b"]),
    ],
)
def test_a_scope_is_read_at_one_revision(scope, expected):
    async def scenario():
        store = await filled({"/calico/a": b"", "/ocicat/b": b"", "/other/c": b""}, None)
        assert [item.key for item in (await read_content(store, scope)).items] == expected

    run(scenario)


# --- the lock ---------------------------------------------------------------------------------------------------


def test_setting_the_lock_says_whether_it_was_so_already_and_keeps_what_others_wrote():
    async def scenario():
        store = await filled({}, READY)
        assert [await set_ready(store, ready=ready) for ready in (True, False, False, True)] == [
            False,
            True,
            False,
            True,
        ]
        assert json.loads((await store.get(LOCK)).value) == json.loads(READY)
        empty = MemoryStore()
        assert await set_ready(empty, ready=True) is False
        assert await set_ready(empty, ready=False) is True
        assert is_locked((await empty.get(LOCK)).value)

    run(scenario)


def test_the_lock_is_set_even_if_somebody_else_writes_at_the_same_time():
    async def scenario():
        store = await filled({}, READY)

        class Busy(Mortal):
            async def commit(self, conditions, operations):
                if self._life[0]:
                    self._life[0] -= 1
                    raise Conflict("somebody was first")
                return await self._store.commit(conditions, operations)

        assert await set_ready(Busy(store, [4], after=False), ready=False)
        with pytest.raises(Unavailable, match="being changed by somebody else"):
            await set_ready(Busy(store, [9], after=False), ready=True)
        assert await store.commit([Compare("/nothing", 0)], [])

    run(scenario)
