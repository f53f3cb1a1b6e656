"""The form of what the datastore holds: who may work with it, and the way to another one and back, cut off wherever it may be."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from cli_bed import Shell

from ocicat.agent.config import AgentConfig
from ocicat.agent.feed import Feed
from ocicat.agent.node import register
from ocicat.agent.presence import AGENTS, Presence, present
from ocicat.calc.graph import Graph
from ocicat.clock import ManualClock
from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.store.base import Delete, Put
from ocicat.store.memory import MemoryStore
from ocicat.store.schema import mark
from ocicat.store.schema.mark import KEY, Version
from ocicat.store.schema.migrate import ensure_marked, migrate, plan
from ocicat.store.schema.steps import CURRENT, STEPS, Step
from ocicat.store.syncer import Update, Updates
from ocicat.store.transfer.lock import is_locked

NOW = "2026-01-31T12:00:00Z"
NODE, POOL = keys.node("h1"), keys.pool("p")
BARE = b'{"kind":"Node","metadata":{"name":"h1"},"spec":{"x":1}}'
READY = b'{"kind":"ClusterInformation","metadata":{"name":"default","uid":"u"},"spec":{"datastoreReady":true}}'
LOCKED = READY.replace(b"true", b"false")


def holding(**values):
    """A store with these keys (`__` stands for a slash)."""
    store = MemoryStore()
    puts = [Put("/" + key.replace("__", "/"), value) for key, value in values.items()]
    asyncio.run(store.commit([], puts)) if puts else None
    return store


def with_keys(values):
    store = MemoryStore()
    asyncio.run(store.commit([], [Put(key, value) for key, value in values.items()]))
    return store


def content(store):
    return {item.key: item.value for item in asyncio.run(store.range("/")).items}


def version_of(store):
    return str(mark.read(content(store).get(KEY)).version)


def to(store, text, steps=STEPS):
    return asyncio.run(migrate(store, mark.parse(text), now=lambda: NOW, steps=steps))


# --- made-up steps: what a step may do, done by the machinery that the real one uses -----------------------------------


def _renamed(before, after):
    def change(items, _):
        for item in items:
            if item.key.startswith(before):
                yield Put(after + item.key.removeprefix(before), item.value)
                yield Delete(item.key)

    return change


def _nothing(items, _):
    return iter(())


MADE_UP = (
    Step(to=Version(1, 1), about="a becomes b", forward=_renamed("/a/", "/b/"), back=_renamed("/b/", "/a/")),
    Step(to=Version(2, 0), about="b becomes c", forward=_renamed("/b/", "/c/"), back=_renamed("/c/", "/b/")),
    Step(to=Version(2, 1), about="nothing to do", forward=_nothing, back=_nothing),
)
MANY = {f"/a/{number}": b"%d" % number for number in range(2500)}  # three commits each


def named(letter, values=MANY):
    return {f"/{letter}/{key.rpartition('/')[2]}": value for key, value in values.items()}


def data(store):
    return {key: value for key, value in content(store).items() if key not in (KEY, keys.CLUSTER_INFORMATION)}


@pytest.mark.parametrize("information", [READY, LOCKED])
def test_all_steps_forward_and_all_back_leave_what_was_there(information):
    store = with_keys(MANY | {keys.CLUSTER_INFORMATION: information})
    done = to(store, "2.1", MADE_UP)
    assert (str(done.before), str(done.after), done.back) == ("1.0", "2.1", False)
    assert (data(store), version_of(store)) == (named("c"), "2.1")
    assert content(store)[keys.CLUSTER_INFORMATION] == information
    assert to(store, "2.1", MADE_UP).nothing
    assert to(store, "1.1", MADE_UP).back
    assert (data(store), version_of(store)) == (named("b"), "1.1")
    to(store, "1.0", MADE_UP)
    assert (data(store), version_of(store)) == (MANY, "1.0")
    assert content(store)[keys.CLUSTER_INFORMATION] == information


class Cut(MemoryStore):
    """Ends its user at a commit: before it, or right after it."""

    def __init__(self):
        super().__init__()
        self.left = None
        self.after = False

    async def commit(self, conditions, operations):
        if self.left is None:
            return await super().commit(conditions, operations)
        self.left -= 1
        if self.left < 0:
            if self.after:
                await super().commit(conditions, operations)
            raise KeyboardInterrupt
        return await super().commit(conditions, operations)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("turns_back", [False, True])
def test_cut_off_at_any_commit_it_goes_on_or_back(after, turns_back):
    for at in range(100):
        store = Cut()
        values = {key: MANY[key] for key in list(MANY)[:1200]} | {keys.CLUSTER_INFORMATION: READY}
        asyncio.run(store.commit([], [Put(key, value) for key, value in values.items()]))
        store.left, store.after = at, after
        try:
            to(store, "2.0", MADE_UP)
        except KeyboardInterrupt:
            store.left = None
            with_mark = content(store).get(KEY)
            if with_mark is not None and mark.read(with_mark).towards:
                assert is_locked(content(store)[keys.CLUSTER_INFORMATION])
                with pytest.raises(Refused, match=r"on its way from schema 1\.0 to 2\.0"):
                    mark.check(with_mark, Version(2, 0))
            store.left = at % 4  # and once more, on the way that was chosen then
            with suppress(KeyboardInterrupt):
                to(store, "1.0" if turns_back else "2.0", MADE_UP)
            store.left = None
            to(store, "1.0" if turns_back else "2.0", MADE_UP)
        else:
            assert at > 5
            return
        moved = {key: value for key, value in values.items() if key.startswith("/a/")}
        assert data(store) == (moved if turns_back else named("c", moved))
        assert version_of(store) == ("1.0" if turns_back else "2.0")
        assert content(store)[keys.CLUSTER_INFORMATION] == READY
    pytest.fail("it never came to its end")


class Busy(MemoryStore):
    """Somebody else writes before each commit."""

    def __init__(self, writes):
        super().__init__()
        self.writes = writes

    async def commit(self, conditions, operations):
        if conditions and self.writes:
            await super().commit([], [self.writes.pop(0)])
        return await super().commit(conditions, operations)


def test_what_others_write_meanwhile_is_brought_along():
    store = Busy([Put("/x", b""), Put("/a/1", b"new"), Put("/a/late", b"2"), Put("/a/latest", b"3")])
    asyncio.run(store.commit([], [Put("/a/1", b"old")]))
    to(store, "2.0", MADE_UP)
    assert data(store) == {"/x": b"", "/c/1": b"new", "/c/late": b"2", "/c/latest": b"3"}


def test_of_two_that_migrate_at_once_one_goes_on():
    other = mark.written(Version(1, 0), Version(2, 0))
    store = Busy([Put("/x", b""), Put(KEY, other)])
    asyncio.run(store.commit([], [Put("/a/1", b"1")]))
    with pytest.raises(Conflict, match="somebody else migrates"):
        to(store, "2.0", MADE_UP)
    assert content(store)[KEY] == other
    assert data(store)["/a/1"] == b"1"
    to(store, "2.0", MADE_UP)
    assert data(store) == {"/x": b"", "/c/1": b"1"}


def test_where_others_never_stop_it_says_so():
    store = Busy([Put("/a/1", b"%d" % number) for number in range(200)])
    asyncio.run(store.commit([], [Put("/a/1", b"")]))
    with pytest.raises(Unavailable, match="run the same command again"):
        to(store, "2.0", MADE_UP)
    store.writes.clear()
    to(store, "2.0", MADE_UP)
    assert list(data(store)) == ["/c/1"]


def test_what_is_not_known_is_refused():
    store = with_keys({KEY: mark.written(Version(3, 0))})
    with pytest.raises(Refused, match=r"has schema 3\.0, this ocicat knows 2\.1"):
        to(store, "2.0", MADE_UP)
    with pytest.raises(UserError, match=r"schema 9\.9 is none"):
        to(store, "9.9", MADE_UP)
    filling = b'{"source":"a","mode":"copy","worker":"w","started":"2026-01-01T00:00:00Z"}'
    with pytest.raises(Refused, match="the store is incomplete"):
        to(with_keys({"/ocicat/v1/copy": filling}), "2.0", MADE_UP)


@pytest.mark.parametrize("text", ["", "1", "1.x", "1.0.0", "-1.0", "1.0 "])
def test_what_is_no_version_is_told(text):
    with pytest.raises(UserError, match="is no version"):
        mark.parse(text)


# --- the real step ----------------------------------------------------------------------------------------------------


def metadata(store, key):
    return json.loads(content(store)[key])["metadata"]


def test_objects_without_a_uid_get_one_and_lose_it_again():
    timed = b'{"kind":"IPPool","metadata":{"name":"p","creationTimestamp":"2020-01-01T00:00:00Z"},"spec":{}}'
    stamped = b'{"kind":"Node","metadata":{"name":"h2","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z"}}'
    values = {NODE: BARE, POOL: timed, keys.node("h2"): stamped, keys.node("bad"): b"{", "/calico/ipam/x": BARE}
    store = with_keys(values)
    done = to(store, "1.1")
    assert {one.key for part in done.parts for one in part.operations} == {NODE, POOL}
    assert metadata(store, NODE)["creationTimestamp"] == NOW
    assert metadata(store, POOL)["creationTimestamp"] == "2020-01-01T00:00:00Z"
    assert metadata(store, NODE)["uid"] != metadata(store, POOL)["uid"]
    assert json.loads(content(store)[NODE])["spec"] == {"x": 1}
    assert {key: content(store)[key] for key in values if key not in (NODE, POOL)} == {
        key: value for key, value in values.items() if key not in (NODE, POOL)
    }
    assert to(store, "1.1").nothing
    to(store, "1.0")
    assert {key: json.loads(content(store)[key]) for key in (NODE, POOL)} == {
        NODE: json.loads(BARE),
        POOL: json.loads(timed),
    }
    assert version_of(store) == "1.0"


def test_a_minor_step_locks_nobody_out_and_brings_up_what_an_earlier_version_writes_later():
    store = with_keys({NODE: BARE, keys.CLUSTER_INFORMATION: READY})
    before = asyncio.run(store.get(keys.CLUSTER_INFORMATION)).modified
    to(store, "1.1")
    assert asyncio.run(store.get(keys.CLUSTER_INFORMATION)).modified == before
    asyncio.run(store.commit([], [Put(keys.node("late"), BARE)]))
    assert not to(store, "1.1").nothing
    assert "uid" in metadata(store, keys.node("late"))


# --- who writes the mark, and who minds it ------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "version"), [({}, "1.1"), ({"/else": b""}, "1.1"), ({NODE: BARE}, "1.0")])
def test_a_store_that_says_nothing_is_marked_as_what_it_holds(values, version):
    store = with_keys(values) if values else MemoryStore()
    assert str(asyncio.run(ensure_marked(store, now=NOW))) == version
    assert version_of(store) == version
    assert asyncio.run(ensure_marked(store, now=NOW)) is None


def test_an_agent_marks_the_store_and_refuses_one_that_it_does_not_know():
    config = AgentConfig(host="h1", address="10.0.0.11/24")
    store = MemoryStore()
    asyncio.run(register(store, config))
    assert version_of(store) == str(CURRENT)
    newer = Version(CURRENT.major + 1, 0)
    store = with_keys({KEY: mark.written(newer)})
    with pytest.raises(Refused, match=rf"has schema {newer}, as ocicat .* left it; this ocicat"):
        asyncio.run(register(store, config))
    assert NODE not in content(store)
    store = with_keys({KEY: mark.written(Version(CURRENT.major, CURRENT.minor + 1))})
    asyncio.run(register(store, config))
    assert NODE in content(store)


def test_a_running_agent_follows_nothing_of_a_store_that_becomes_another():
    feed = Feed(Graph("h1"), None, None, None)
    newer = mark.written(Version(CURRENT.major + 1, 0))
    updates = (Update(NODE, BARE, 1), Update(KEY, newer, 2))
    with pytest.raises(Refused, match="has schema"):
        feed.updates(Updates(updates=updates, revision=2, in_sync=True))


def test_an_agent_tells_which_schema_it_knows():
    assert present("h1", ManualClock()).schema == CURRENT.major
    old = b'{"host":"h1","version":"0.1.0","pid":1,"started":""}'
    assert encode_json(Presence(host="h1", version="0.1.0", pid=1, started="")).startswith(old[:-1])


# --- the command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def test_commands_refuse_a_store_that_they_do_not_know_and_status_tells(shell):
    shell.ok("store", "init")
    newer = Version(CURRENT.major + 1, 0)
    shell.write(Put(KEY, mark.written(newer)))
    for words in (("get", "tiers"), ("store", "init"), ("store", "lock"), ("pool", "list"), ("store", "migrate")):
        ended = shell(*words)
        assert (ended.code, ended.out) == (1, "")
        assert f"has schema {newer}" in ended.err
    assert f"SCHEMA     {newer}, newer than this ocicat, which knows {CURRENT}" in shell.ok("store", "status").out
    shell.ok("store", "export", "/dev/stdout")
    shell.write(Put(KEY, mark.written(Version(CURRENT.major, CURRENT.minor + 1))))
    shell.ok("get", "tiers")


def test_migrate_shows_what_it_would_do_and_does_it_and_back(shell):
    shell.write(Put(NODE, BARE))
    assert "SCHEMA     1.0, `ocicat store migrate` makes it 1.1" in shell.ok("store", "status").out
    dry = shell.ok("store", "migrate", "--dry-run")
    assert dry.out.splitlines() == ["# 1.1: every object has a uid and a time of creation", f"~ {NODE}"]
    assert dry.err == "ocicat: schema 1.0 would become 1.1: 1 object would change; nothing was written\n"
    assert (shell.read(NODE), shell.read(KEY)) == (BARE, None)
    assert (
        shell.ok("store", "migrate").err == "ocicat: schema 1.0 to 1.1: 1 object changed; everything was read again\n"
    )
    assert "uid" in json.loads(shell.read(NODE))["metadata"]
    assert shell.ok("store", "migrate").err == "ocicat: nothing to do: the datastore has schema 1.1\n"
    assert "SCHEMA     1.1\n" in shell.ok("store", "status").out
    back = shell.ok("store", "migrate", "--to", "1.0", "--dry-run")
    assert back.out.splitlines()[0] == "# back from 1.1: every object has a uid and a time of creation"
    shell.ok("store", "migrate", "--to", "1.0")
    assert json.loads(shell.read(NODE)) == json.loads(BARE)
    assert shell("store", "migrate", "--to", "7.0").code == 2


def test_agents_that_do_not_know_a_schema_are_upgraded_first(shell, monkeypatch):
    from ocicat.cli.commands import store_migrate

    steps = (*STEPS, Step(to=Version(2, 0), about="another form", forward=_nothing, back=_nothing))

    async def planned(store, target, *, now):
        return await plan(store, target, now=now, steps=steps)

    monkeypatch.setattr(store_migrate, "plan", planned)
    old = Presence(host="h1", version="0.1.0", pid=1, started="", schema=1)
    shell.write(Put(AGENTS + "h1", encode_json(old)))
    ended = shell("store", "migrate", "--to", "2.0")
    assert ended.code == 1
    assert "the agents on h1 do not know schema 2.0" in ended.err


def test_a_migration_that_was_cut_off_is_told(shell):
    shell.write(Put(KEY, mark.written(Version(1, 0), Version(1, 1))))
    assert "1.0, on its way to 1.1: `ocicat store migrate --to 1.1` goes on" in shell.ok("store", "status").out
    shell.ok("get", "nodes")  # a minor step keeps nobody from work
    shell.ok("store", "migrate")
    assert mark.read(shell.read(KEY)).towards is None
