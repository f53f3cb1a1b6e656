"""What a cluster and a network do to etcd's clients: members that die, connections that are cut, users, certificates."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import aclosing, suppress

import pytest
from conftest import play
from etcd_cluster import CLUSTER, Certificates, Relay
from etcd_server import FRESH, MISSING, EtcdProcess, free_port, installed, wait_until_up

from ocicat.errors import Compacted, Conflict, Refused, Unavailable, UserError
from ocicat.store.base import Compare, Put
from ocicat.store.etcd import client, kv
from ocicat.store.etcd.client import Client
from ocicat.store.lease import held
from ocicat.store.open import open_store

pytestmark = pytest.mark.skipif(not installed(), reason=MISSING)


@pytest.fixture
def cluster(tmp_path):
    """Whole again after the test."""
    shared = CLUSTER.cluster(tmp_path)
    yield shared
    shared.revive()
    shared.wait_until_up()


@pytest.fixture
def single(tmp_path):
    """One member of our own, empty."""
    FRESH.url(tmp_path)
    return FRESH.present


def open_fails(url, error, match):
    with pytest.raises(error, match=match):
        asyncio.run(open_store(url))


async def seen_up_to(store, prefix, start, last):
    """The revision and value of every event from `start` on, until that of revision `last` is there."""
    seen = []
    async with aclosing(store.watch(prefix, start)) as watch:
        async for batch in watch:
            seen += [(event.revision, event.value) for event in batch.events]
            if batch.revision >= last:
                break
    return seen


async def insistently(store, key, value):
    """Writes once, whatever happens: reads again when the outcome is unknown."""
    while True:
        with suppress(Unavailable):
            item = await store.get(key)
            if item and item.value == value:
                return
            with suppress(Conflict):
                await store.commit([Compare(key, item.modified if item else 0)], [Put(key, value)])


async def write_all(store, numbers, *, key="/n"):
    for number in numbers:
        await insistently(store, key, b"%d" % number)


async def values_seen(store, prefix, start, last):
    """The values of the events, until `last` came."""
    seen = []
    async with aclosing(store.watch(prefix, start)) as watch:
        async for batch in watch:
            seen += [event.value for event in batch.events]
            if last in seen:
                break
    return seen


# A cluster of three with TLS and users


def test_the_death_of_any_one_member_is_survived_by_writes_and_watches(cluster):
    async def scenario(store):
        start = (await store.status()).revision + 1
        watching = asyncio.ensure_future(values_seen(store, "/n", start, b"29"))
        for turn, member in enumerate(cluster.members):
            member.kill()
            await write_all(store, range(turn * 10, turn * 10 + 10))
            cluster.revive()
            await asyncio.to_thread(cluster.wait_until_up)
        assert await watching == [b"%d" % number for number in range(30)]

    play(cluster.url(), scenario)


def test_the_death_of_the_leader_is_survived_while_writing(cluster):
    async def scenario(store):
        start = (await store.status()).revision + 1
        watching = asyncio.ensure_future(values_seen(store, "/l", start, b"299"))
        writing = asyncio.ensure_future(write_all(store, range(300), key="/l"))
        await values_seen(store, "/l", start, b"50")
        (await asyncio.to_thread(cluster.leader)).kill()
        await writing
        assert await watching == [b"%d" % number for number in range(300)]

    play(cluster.url(), scenario)


def test_a_member_that_is_frozen_is_left(cluster):
    async def scenario(store):
        await store.commit([], [Put("/frozen", b"1")])
        for member in cluster.members[:2]:
            member.process.send_signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                assert (await asyncio.wait_for(insistent_get(store, "/frozen"), 10)).value == b"1"
                assert time.monotonic() - started < 8
            finally:
                member.process.send_signal(signal.SIGCONT)

    async def insistent_get(store, key):
        while True:
            with suppress(Unavailable):
                return await store.get(key)

    play(cluster.url(timeout_s=1), scenario)


def test_a_watch_on_a_member_that_is_frozen_goes_on_at_another(cluster, monkeypatch):
    """Nothing but the pings of the connection can tell."""
    sooner = [(name, 1000 if value in (5_000, 10_000) else value) for name, value in client._OPTIONS]
    monkeypatch.setattr(client, "_OPTIONS", sooner)

    async def scenario(store):
        revision = await store.commit([], [Put("/w", b"0")])
        async with aclosing(store.watch("/w", revision)) as watch:
            await anext(watch)
            endpoint = store._client._members[store._client._at].endpoint
            frozen = next(member for member in cluster.members if member.endpoint == endpoint)
            frozen.process.send_signal(signal.SIGSTOP)
            try:
                others = [member for member in cluster.members if member is not frozen]
                other = await open_store(cluster.url(*others))
                await insistently(other, "/w", b"1")
                await other.close()
                batch = await asyncio.wait_for(anext(watch), 15)
                assert [event.value for event in batch.events] == [b"1"]
            finally:
                frozen.process.send_signal(signal.SIGCONT)

    play(cluster.url(), scenario)


def test_without_a_majority_the_error_says_so(cluster):
    async def scenario(store):
        for member in cluster.members[:2]:
            member.kill()
        with pytest.raises(Unavailable, match=r"no leader|no member of etcd answers|did not acknowledge"):
            await store.commit([], [Put("/minority", b"1")])
        with pytest.raises(Unavailable, match=r"127.*: (no leader|has no leader|no answer)"):
            await store.get("/minority")

    play(cluster.url(timeout_s=1), scenario)


def test_status_tells_of_members_that_the_address_does_not_name_and_of_those_that_are_dead(cluster):
    first, second, third = cluster.members

    async def scenario(store):
        found = (await store.status()).members
        assert {(one.endpoint, one.name) for one in found} == {(one.endpoint, one.name) for one in cluster.members}
        assert all(one.version and one.latency_ms > 0 and one.size_bytes > 0 for one in found)
        assert [one.name for one in found if one.is_leader] == [(await asyncio.to_thread(cluster.leader)).name]
        third.kill()
        assert await problems(store) == {first.name: "", second.name: "", third.name: "connection refused"}

    async def problems(store):
        """As soon as there is a leader again."""
        while True:
            with suppress(Unavailable):
                found = (await store.status()).members
                if any(one.is_leader for one in found):
                    return {one.name: one.problem for one in found}

    play(cluster.url(first, second), scenario)


def test_status_tells_of_a_member_that_has_not_started(cluster):
    async def scenario(store):
        found = (await store.status()).members
        assert [one.problem for one in found if one.name not in known] == ["has not started yet"]
        assert len(found) == len(known) + 1

    known = {member.name for member in cluster.members}
    with cluster.unstarted():
        play(cluster.url(), scenario)


def test_a_login_that_one_member_does_not_answer_is_taken_by_the_next(cluster, monkeypatch):
    """It stands still after it was found to be of use."""
    found, leader = Client._member, cluster.leader()
    others = [member for member in cluster.members if member is not leader]

    async def scenario():
        stopped = []

        async def stop_the_first(self):
            member = await found(self)
            if not stopped:
                stopped.extend(one for one in others if one.endpoint == member.endpoint)
                stopped[0].process.send_signal(signal.SIGSTOP)
            return member

        monkeypatch.setattr(Client, "_member", stop_the_first)
        try:
            store = await open_store(cluster.url(*others, timeout_s=3))
            await store.close()
        finally:
            stopped[0].process.send_signal(signal.SIGCONT)

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_token_that_is_no_longer_known_is_renewed(cluster):
    async def scenario(store):
        revision = await store.commit([], [Put("/t", b"1")])
        await asyncio.to_thread(cluster.forget_tokens)
        got = await asyncio.gather(*(store.get("/t") for _ in range(8)))
        assert {item.value for item in got} == {b"1"}
        await asyncio.to_thread(cluster.forget_tokens)
        assert await seen_up_to(store, "/t", revision, revision) == [(revision, b"1")]
        await asyncio.to_thread(cluster.forget_tokens)
        assert await store.commit([], [Put("/t", b"2")]) > revision

    play(cluster.url(), scenario)


def test_what_the_user_may_not_is_refused(cluster):
    async def scenario(store):
        for call in (store.get("other"), store.commit([], [Put("other", b"")]), anext(store.watch("other", 0))):
            with pytest.raises(Refused, match=r"permission denied \(give a role"):
                await call

    play(cluster.url(), scenario)


def test_a_user_compacts_or_is_told_who_may(cluster):
    """Before etcd 3.6 everybody may."""

    async def scenario(store):
        first = await store.commit([], [Put("/c", b"1")])
        await store.commit([], [Put("/c", b"2")])
        refusal = ""
        try:
            await store.compact(first)
        except Refused as error:
            refusal = str(error)
        compacted = (await store.status()).compacted
        assert compacted == first if not refusal else "permission denied (from etcd 3.6 on only" in refusal

    play(cluster.url(), scenario)


def test_a_wrong_password_is_refused(cluster, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    url = cluster.url().replace(str(cluster.password), str(wrong))
    open_fails(url, Refused, r"invalid user ID or password \(see user and password-file")


def test_a_cluster_with_users_asks_for_one(cluster):
    async def scenario(store):
        with pytest.raises(Refused, match=r"permission denied .* user and password-file"):
            await store.get("/a")

    play(cluster.url(user=""), scenario)


def test_a_certificate_of_another_authority_is_not_trusted(cluster, tmp_path):
    other = Certificates(tmp_path)
    url = cluster.url().replace(f"ca={cluster.certificates.ca}", f"ca={other.ca}")
    open_fails(url, Unavailable, "its certificate is not signed by the given ca")


def test_tls_and_plain_text_do_not_meet(cluster, single, tmp_path):
    open_fails(f"etcd://{cluster.members[0].endpoint}?timeout=2", Unavailable, "no member of etcd answers")
    open_fails(f"etcd://{single.endpoint}?ca={Certificates(tmp_path).ca}&timeout=2", Unavailable, "does it speak TLS")


def test_a_lease_survives_the_death_of_the_leader_and_of_a_token(cluster):
    async def scenario(store):
        async with held(store, 3) as lease:
            revision = await store.commit([], [Put("/lease", b"1", lease.id)])
            lost = asyncio.ensure_future(lease.lost())
            (await asyncio.to_thread(cluster.leader)).kill()
            await write_all(store, range(3))
            cluster.revive()
            await asyncio.to_thread(cluster.wait_until_up)
            await asyncio.to_thread(cluster.forget_tokens)
            done, _ = await asyncio.wait({lost}, timeout=4)
            assert not done
            item = await store.get("/lease")
            assert (item.created, item.modified) == (revision, revision)
        with pytest.raises(asyncio.CancelledError):
            await lost

    play(cluster.url(), scenario)


# One member


def test_no_endpoint_up_is_one_error_that_names_each():
    ends = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    match = f"(?s)(?=.*{ends[0]}: connection refused)(?=.*{ends[1]}: connection refused)"
    open_fails(f"etcd://{','.join(ends)}", Unavailable, match)


def test_a_range_larger_than_four_mebibytes_comes_whole(single):
    async def scenario(store):
        for part in range(8):
            await store.commit([], [Put(f"/big/{part}/{number}", bytes(100_000)) for number in range(10)])
        items = (await store.range("/big/")).items
        assert sum(len(item.value) for item in items) == 8_000_000

    play(f"etcd://{single.endpoint}", scenario)


def test_a_range_read_in_pages_is_of_one_moment_though_it_is_compacted_meanwhile(single, monkeypatch):
    monkeypatch.setattr(kv, "_PAGE", 7)
    keys = [f"/p/{number:03}" for number in range(50)]

    async def disturb(store):
        for number in range(1, 20):
            revision = await store.commit([], [Put(key, b"%d" % number) for key in keys])
            if number % 5 == 0:
                await store.compact(revision - 1)

    async def scenario(store):
        await store.commit([], [Put(key, b"0") for key in keys])
        disturbing = asyncio.ensure_future(disturb(store))
        while not disturbing.done():
            snapshot = await store.range("/p/")
            assert [item.key for item in snapshot.items] == keys
            assert len({item.value for item in snapshot.items}) == 1
        await disturbing

    play(f"etcd://{single.endpoint}", scenario)


def test_pages_are_of_one_moment_and_one_that_is_compacted_away_says_so(single, monkeypatch):
    monkeypatch.setattr(kv, "_PAGE", 7)
    keys = [f"/pages/{number:03}" for number in range(50)]

    async def write(store, value):
        return await store.commit([], [Put(key, value) for key in keys])

    async def scenario(store):
        before = await write(store, b"0")
        async with aclosing(store.pages("/pages/")) as pages:
            read = [await anext(pages)]
            await write(store, b"1")
            read += [page async for page in pages]
        assert [len(page.items) for page in read] == [7] * 7 + [1]
        assert {(page.revision, item.value) for page in read for item in page.items} == {(before, b"0")}
        with pytest.raises(Compacted):
            await compact_away(store)

    async def compact_away(store):
        async with aclosing(store.pages("/pages/")) as pages:
            async for _ in pages:
                await store.compact(await write(store, b"2") - 1)

    play(f"etcd://{single.endpoint}", scenario)


def test_pages_that_nobody_reads_on_are_given_up(single, monkeypatch):
    monkeypatch.setattr(kv, "_PAGE", 7)

    async def scenario(store):
        await store.commit([], [Put(f"/given-up/{number:03}", b"") for number in range(50)])
        async with aclosing(store.pages("/given-up/")) as pages:
            await anext(pages)
            assert any(task.get_name() == "next page" for task in asyncio.all_tasks())
        assert not any(task.get_name() == "next page" for task in asyncio.all_tasks())

    play(f"etcd://{single.endpoint}", scenario)


def test_a_watch_survives_restarts_of_etcd_with_nothing_lost_and_nothing_twice(single):
    url = f"etcd://{single.endpoint}"

    async def scenario(store):
        start = (await store.status()).revision + 1
        watching = asyncio.ensure_future(values_seen(store, "/n", start, b"39"))
        for turn in range(4):
            await write_all(store, range(turn * 10, turn * 10 + 10))
            single.kill()
            single.start()
            await asyncio.to_thread(wait_until_up, url, single)
        assert await watching == [b"%d" % number for number in range(40)]

    play(url, scenario)


def test_a_replay_of_ten_thousand_events_survives_cuts(single):
    """Four keys a commit: a revision that was split, lost or told twice would show."""

    async def scenario(direct):
        commits = [[Put(f"/r/{part}", b"%020d" % number) for part in range(4)] for number in range(2500)]
        first = await direct.commit([], commits[0])
        for at in range(1, 2500, 100):
            await asyncio.gather(*(direct.commit([], commit) for commit in commits[at : at + 100]))
        async with Relay(single.endpoint) as relay:
            relay.limit = 200_000  # a little more than the thousand revisions that etcd sends at a time
            store = await open_store(f"etcd://{relay.endpoint}")
            try:
                seen = await seen_up_to(store, "/r/", first, first + 2499)
            finally:
                await store.close()
        assert [revision for revision, _ in seen] == [first + number // 4 for number in range(10_000)]
        assert relay.cuts > 1

    play(f"etcd://{single.endpoint}", scenario)


def test_a_compaction_while_a_watch_is_cut_off_is_told(single):
    async def scenario(direct):
        base = (await direct.status()).revision
        async with Relay(single.endpoint) as relay:
            store = await open_store(f"etcd://{relay.endpoint}")
            async with aclosing(store.watch("/", base + 1)) as watch:
                await direct.commit([], [Put("/a", b"1")])
                assert (await anext(watch)).revision == base + 1
                relay.limit = 0
                relay.cut()
                for number in range(5):
                    last = await direct.commit([], [Put("/a", b"%d" % number)])
                await direct.compact(last - 1)
                relay.limit = None
                with pytest.raises(Compacted, match=f"watch from revision {base + 2}: history is kept from {last} on"):
                    await anext(watch)
            await store.close()

    play(f"etcd://{single.endpoint}", scenario)


def test_a_commit_whose_acknowledgement_is_lost_says_so_and_is_not_repeated(single):
    async def scenario(direct):
        before = await direct.commit([], [Put("/once", b"0")])
        async with Relay(single.endpoint) as relay:
            store = await open_store(f"etcd://{relay.endpoint}?timeout=2")
            relay.mute = True
            writing = asyncio.ensure_future(store.commit([], [Put("/once", b"1")]))
            assert await seen_up_to(direct, "/once", before + 1, before + 1) == [(before + 1, b"1")]
            relay.mute = False
            relay.cut()
            with pytest.raises(Unavailable, match="its outcome is unknown"):
                await writing
            assert (await store.get("/once")).modified == before + 1
            await store.close()

    play(f"etcd://{single.endpoint}", scenario)


def test_a_read_whose_answer_is_lost_is_repeated(single):
    async def scenario(direct):
        await direct.commit([], [Put("/a", b"1")])
        async with Relay(single.endpoint) as relay:
            store = await open_store(f"etcd://{relay.endpoint}")
            relay.mute = True
            reading = asyncio.ensure_future(store.get("/a"))
            await direct.get("/a")
            relay.mute = False
            relay.cut()
            assert (await reading).value == b"1"
            await store.close()

    play(f"etcd://{single.endpoint}", scenario)


def test_more_compares_than_etcd_takes_are_refused_with_the_remedy(single):
    async def scenario(store):
        with pytest.raises(Refused, match="--max-txn-ops"):
            await store.commit([Compare(f"/{number}", 0) for number in range(129)], [Put("/a", b"")])
        with pytest.raises(Refused, match="--max-request-bytes"):
            await store.commit([], [Put("/a", bytes(1_600_000))])
        assert await store.get("/a") is None

    play(f"etcd://{single.endpoint}", scenario)


def test_a_hundred_compares_guard_four_hundred_operations(single):
    async def scenario(store):
        compares = [Compare(f"/{number}", 0) for number in range(100)]
        revision = await store.commit(compares, [Put(f"/{number}", b"") for number in range(400)])
        assert {item.modified for item in (await store.range("/")).items} == {revision}
        with pytest.raises(Conflict, match="key /0:"):
            await store.commit(compares, [Put(f"/{number}", b"x") for number in range(400)])

    play(f"etcd://{single.endpoint}", scenario)


def test_a_lease_is_lost_when_etcd_does_not_answer_for_so_long(single):
    async def scenario(store):
        async with held(store, 1) as lease:
            single.kill()
            assert re.search(r"was not renewed for 1\.\d s: .*connection refused", await lease.lost())

    play(f"etcd://{single.endpoint}?timeout=0.3", scenario)
    single.start()
    wait_until_up(f"etcd://{single.endpoint}", single)


def test_an_etcd_that_is_full_refuses_and_its_status_says_why(tmp_path):
    full = EtcdProcess(options=("--quota-backend-bytes=1000000",))
    full.start()
    url = f"etcd://{full.endpoint}"

    async def fill(store):
        for number in range(50):
            await store.commit([], [Put(f"/{number}", bytes(200_000))])

    async def scenario(store):
        with pytest.raises(Refused, match=r"database space exceeded \(compact and defragment"):
            await fill(store)
        (member,) = (await store.status()).members
        assert "NOSPACE" in member.problem

    try:
        wait_until_up(url, full)
        play(url, scenario)
    finally:
        full.remove()


def test_a_store_that_is_gone_ends_a_watch_with_the_reason(single):
    async def scenario(store):
        watching = asyncio.ensure_future(anext(store.watch("/", (await store.status()).revision + 1)))
        single.kill()
        with pytest.raises(Unavailable, match="connection refused"):
            await watching

    play(f"etcd://{single.endpoint}?timeout=0.3", scenario)
    single.start()
    wait_until_up(f"etcd://{single.endpoint}", single)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ocicat.store.etcd.kv", None)
    with pytest.raises(UserError, match=r"pip install 'ocicat\[etcd\]'"):
        asyncio.run(open_store("etcd://127.0.0.1"))
