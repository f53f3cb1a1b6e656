"""What every back end promises about keys, commits and revisions (store/base.py, promises 1, 2, 4 and 5)."""

from __future__ import annotations

import asyncio

import pytest

from ocicat.errors import Bug, Conflict, Unavailable, UserError
from ocicat.store.base import Compare, Delete, KeyValue, Put, Unchanged


def test_a_missing_key_is_none(on_store):
    @on_store
    async def _(store):
        assert await store.get("/a") is None


def test_a_commit_that_changes_something_raises_the_revision_by_one(on_store):
    @on_store
    async def _(store):
        before = (await store.status()).revision
        assert await store.commit([], [Put("/a", b"1"), Put("/b", b"2")]) == before + 1
        assert await store.commit([], [Delete("/a")]) == before + 2
        assert (await store.status()).revision == before + 2


def test_a_commit_that_changes_nothing_returns_the_present_revision(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        assert await store.commit([], []) == revision
        assert await store.commit([], [Delete("/b")]) == revision
        assert await store.commit([Compare("/a", revision)], []) == revision


def test_writing_the_same_value_again_is_a_change(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        assert await store.commit([], [Put("/a", b"1")]) == revision + 1


def test_a_value_carries_the_revisions_that_made_and_changed_it(on_store):
    @on_store
    async def _(store):
        made = await store.commit([], [Put("/a", b"1")])
        assert await store.get("/a") == KeyValue("/a", b"1", made, made)
        changed = await store.commit([], [Put("/a", b"2")])
        assert await store.get("/a") == KeyValue("/a", b"2", made, changed)


def test_a_key_deleted_and_made_again_is_a_new_one(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a", b"1")])
        await store.commit([], [Delete("/a")])
        assert await store.get("/a") is None
        made = await store.commit([], [Put("/a", b"2")])
        assert await store.get("/a") == KeyValue("/a", b"2", made, made)


def test_an_empty_value_is_a_value(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a", b"")])
        assert (await store.get("/a")).value == b""


def test_a_compare_holds_at_the_revision_of_the_last_change(on_store):
    @on_store
    async def _(store):
        first = await store.commit([Compare("/a", 0)], [Put("/a", b"1")])
        second = await store.commit([Compare("/a", first)], [Put("/a", b"2")])
        assert await store.commit([Compare("/a", second)], [Delete("/a")]) == second + 1
        await store.commit([Compare("/a", 0)], [Put("/a", b"3")])


@pytest.mark.parametrize(("modified", "text"), [(0, "exists already"), (10_000_000, "was read at revision 10000000")])
def test_a_compare_that_fails_is_a_conflict_that_names_the_key(on_store, modified, text):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a", b"1")])
        with pytest.raises(Conflict, match=f"key /a: {text}"):
            await store.commit([Compare("/a", modified)], [Put("/a", b"2")])


def test_a_compare_with_a_key_that_is_gone_is_a_conflict(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        await store.commit([], [Delete("/a")])
        with pytest.raises(Conflict, match=r"key /a: .* no longer exists"):
            await store.commit([Compare("/a", revision)], [Put("/a", b"2")])


def test_the_first_key_whose_compare_failed_is_named(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1"), Put("/b", b"1"), Put("/c", b"1")])
        with pytest.raises(Conflict, match="key /b:"):
            await store.commit([Compare("/a", revision), Compare("/b", 0), Compare("/c", 0)], [])


def test_a_commit_with_one_failed_compare_does_nothing(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1"), Put("/b", b"1")])
        before = await store.range("")
        with pytest.raises(Conflict):
            await store.commit(
                [Compare("/a", revision), Compare("/b", 0)], [Put("/a", b"2"), Delete("/b"), Put("/c", b"2")]
            )
        assert await store.range("") == before


def test_a_prefix_is_unchanged_while_no_key_under_it_was_made_or_modified(on_store):
    @on_store
    async def _(store):
        read = await store.commit([], [Put("/a/1", b"1"), Put("/a/2", b"1")])
        await store.commit([], [Put("/a", b""), Put("/a0", b""), Put("/b", b"")])
        await store.commit([Unchanged("/a/", read)], [])
        await store.commit([Unchanged("/a/", read), Unchanged("/none/", 0)], [Put("/a/2", b"2")])
        assert (await store.get("/a/2")).value == b"2"


@pytest.mark.parametrize("operation", [Put("/a/2", b"2"), Put("/a/3", b"made")])
def test_a_changed_prefix_is_a_conflict_that_names_it_and_the_key(on_store, operation):
    @on_store
    async def _(store):
        read = await store.commit([], [Put("/a/1", b"1"), Put("/a/2", b"1")])
        later = await store.commit([], [operation])
        text = f"prefix /a/: was read at revision {read}, key {operation.key} is at {later}"
        with pytest.raises(Conflict, match=text):
            await store.commit([Unchanged("/a/", read)], [Put("/c", b"")])
        assert await store.get("/c") is None
        await store.commit([Unchanged("/a/", later)], [Put("/c", b"")])


@pytest.mark.parametrize("revision", [0, -1])
def test_a_prefix_unchanged_since_ever_is_an_empty_one(on_store, revision):
    @on_store
    async def _(store):
        await store.commit([Unchanged("/a/", revision)], [Put("/a/1", b"")])
        with pytest.raises(Conflict, match="key /a/1"):
            await store.commit([Unchanged("/a/", revision)], [Put("/a/2", b"")])
        with pytest.raises(Conflict, match="key /a/1"):
            await store.commit([Unchanged("", revision)], [])


def test_a_deletion_under_a_prefix_is_not_seen(on_store):
    @on_store
    async def _(store):
        read = await store.commit([], [Put("/a/1", b"1"), Put("/a/2", b"1")])
        await store.commit([], [Delete("/a/1")])
        await store.commit([], [Put("/a/3", b"")])
        await store.commit([], [Delete("/a/3")])
        await store.commit([Unchanged("/a/", read)], [Put("/c", b"")])


def test_a_prefix_unchanged_up_to_a_revision_that_never_was_holds(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a/1", b"1")])
        await store.commit([Unchanged("/a/", 2**70), Unchanged("/a/", 2**63 - 1)], [Put("/c", b"")])


def test_the_first_condition_that_failed_is_named_whatever_its_kind(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a/1", b"1"), Put("/b", b"1")])
        with pytest.raises(Conflict, match="prefix /a/:"):
            await store.commit([Compare("/b", revision), Unchanged("/a/", revision - 1), Compare("/b", 0)], [])
        with pytest.raises(Conflict, match="key /b:"):
            await store.commit([Unchanged("/a/", revision), Compare("/b", 0), Unchanged("/a/", 0)], [])


def test_of_those_who_found_a_prefix_unchanged_exactly_one_wins(on_store):
    @on_store
    async def _(store):
        read = (await store.range("/a/")).revision
        results = await asyncio.gather(
            *(store.commit([Unchanged("/a/", read)], [Put(f"/a/{number}", b"")]) for number in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 19


def test_one_condition_guards_more_keys_than_a_transaction_may_compare(on_store):
    @on_store
    async def _(store):
        keys = [f"/a/{number:04}" for number in range(1000)]
        read = await store.commit([], [Put(key, b"1") for key in keys])
        later = await store.commit([Unchanged("/a/", read)], [Put(key, b"2") for key in keys])
        with pytest.raises(Conflict, match="key /a/0000"):
            await store.commit([Unchanged("/a/", read)], [Put(key, b"3") for key in keys])
        assert {(item.value, item.modified) for item in (await store.range("/a/")).items} == {(b"2", later)}


def test_one_key_twice_in_a_commit_is_a_bug_of_the_caller(on_store):
    @on_store
    async def _(store):
        with pytest.raises(Bug, match="/a"):
            await store.commit([], [Put("/a", b"1"), Delete("/a")])
        assert await store.get("/a") is None


@pytest.mark.parametrize("key", ["", "/\udcff"])
def test_a_key_that_cannot_be_is_refused(on_store, key):
    @on_store
    async def _(store):
        for call in (store.get(key), store.commit([], [Put(key, b"")]), store.commit([Compare(key, 0)], [])):
            with pytest.raises(UserError, match="key"):
                await call


def test_a_range_is_what_starts_with_the_prefix_in_key_order(on_store):
    @on_store
    async def _(store):
        keys = ["/a/2", "/a/1", "/a", "/a/10", "/b/1", "/a0", "/"]
        revision = await store.commit([], [Put(key, key.encode()) for key in keys])
        snapshot = await store.range("/a/")
        assert [item.key for item in snapshot.items] == ["/a/1", "/a/10", "/a/2"]
        assert snapshot.revision == revision
        assert [item.key for item in (await store.range("")).items] == sorted(keys)


def test_an_empty_range_has_the_revision_of_the_store(on_store):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        assert await store.range("/b") == type(await store.range("/b"))(revision, ())


def test_keys_are_ordered_by_their_utf8_bytes(on_store):
    keys = ["/é", "/z", "/ｚ", "/\U0001f408", "/\uffff", "/e", "/%", "/_", "/\x01", "/a\x00b", "/A", "/\U0010ffff"]

    @on_store
    async def _(store):
        await store.commit([], [Put(key, key.encode()) for key in keys])
        found = [item.key for item in (await store.range("/")).items]
        assert found == sorted(keys, key=str.encode)
        for key in keys:
            assert (await store.get(key)).value == key.encode()
            assert [item.key for item in (await store.range(key)).items] == [key]


def test_a_prefix_is_taken_literally(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a%b", b""), Put("/axb", b""), Put("/a_b", b""), Put("/A_b", b"")])
        assert [item.key for item in (await store.range("/a_")).items] == ["/a_b"]
        assert [item.key for item in (await store.range("/a%")).items] == ["/a%b"]


def test_the_highest_character_ends_no_range_early(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a\U0010ffff\U0010ffff", b""), Put("/b", b"")])
        assert len((await store.range("/a")).items) == 1
        assert len((await store.range("/a\U0010ffff")).items) == 1


def test_a_value_of_a_mebibyte_comes_back_as_it_was(on_store):
    value = bytes(range(256)) * 4096

    @on_store
    async def _(store):
        await store.commit([], [Put("/a", value)])
        assert (await store.get("/a")).value == value
        assert (await store.range("/")).items[0].value == value


def test_a_range_larger_than_any_page_is_of_one_moment(on_store):
    """A writer raises all keys together: a range that mixed two moments would show two values."""
    keys = [f"/k/{number:05}" for number in range(2500)]

    async def raise_all(store, number):
        await store.commit([], [Put(key, b"%d" % number) for key in keys])

    @on_store
    async def _(store):
        await raise_all(store, 0)
        writes = asyncio.ensure_future(raise_all(store, 1))
        while not writes.done():
            snapshot = await store.range("/k/")
            assert [item.key for item in snapshot.items] == keys
            assert len({(item.value, item.modified) for item in snapshot.items}) == 1
            await asyncio.sleep(0)
        await writes


@pytest.mark.parametrize("prefix", ["/k/", "/nothing/"])
def test_pages_are_the_range_in_pieces(on_store, prefix):
    @on_store
    async def _(store):
        await store.commit([], [Put(f"/k/{number:03}", b"%d" % number) for number in range(100)])
        pages = [page async for page in store.pages(prefix)]
        whole = await store.range(prefix)
        assert tuple(item for page in pages for item in page.items) == whole.items
        assert {page.revision for page in pages} == {whole.revision}


def test_one_who_wrote_reads_what_he_wrote(on_store):
    @on_store
    async def _(store):
        for number in range(50):
            revision = await store.commit([], [Put("/a", b"%d" % number)])
            assert (await store.get("/a")).modified == revision


def test_concurrent_swaps_of_one_key_let_exactly_one_win(on_store):
    @on_store
    async def _(store):
        results = await asyncio.gather(
            *(store.commit([Compare("/a", 0)], [Put("/a", b"%d" % number)]) for number in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 19


def test_status_tells_how_far_and_how_much(on_store, url):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"x" * 1000), Put("/b", b"x")])
        status = await store.status()
        assert (status.url, status.revision, status.keys) == (url, revision, 2)
        assert status.size_bytes > 1000


def test_status_tells_who_serves_the_store(on_store):
    @on_store
    async def _(store):
        await store.commit([], [Put("/a", b"x" * 1000)])
        status = await store.status()
        assert [member.problem for member in status.members if member.problem] == []
        assert sum(member.is_leader for member in status.members) == 1
        assert max(member.size_bytes for member in status.members) == status.size_bytes
        assert all(0 <= member.latency_ms < 5000 for member in status.members)
        assert [member.endpoint for member in status.members] == sorted({one.endpoint for one in status.members})


def test_a_compaction_forgets_no_present_value(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"1")])
        await store.commit([], [Put("/b", b"1")])
        before = await store.range("")
        await store.compact(first)
        assert await store.range("") == before
        assert (await store.status()).compacted == first


@pytest.mark.parametrize("ahead", [0, 1, 2**70])
def test_the_present_cannot_be_compacted(on_store, ahead):
    @on_store
    async def _(store):
        revision = await store.commit([], [Put("/a", b"1")])
        with pytest.raises(UserError, match="is not older than the present"):
            await store.compact(revision + ahead)


def test_compacting_what_is_forgotten_already_is_no_error(on_store):
    @on_store
    async def _(store):
        first = await store.commit([], [Put("/a", b"1")])
        second = await store.commit([], [Put("/a", b"2")])
        await store.commit([], [Put("/a", b"3")])
        await store.compact(second)
        await store.compact(first)
        assert (await store.status()).compacted == second


def test_a_closed_store_is_unavailable(on_store):
    @on_store
    async def _(store):
        await store.close()
        await store.close()
        for call in (
            store.get("/a"),
            store.range("/"),
            store.commit([], [Put("/a", b"")]),
            store.compact(0),
            store.status(),
        ):
            with pytest.raises(Unavailable, match="closed"):
                await call
