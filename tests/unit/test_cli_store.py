"""`ocicat store`: data on standard output, talk on standard error, exit codes that mean something."""

from __future__ import annotations

import asyncio
import io
import json
import sys

import pytest
from cli_bed import Shell

from ocicat.agent.presence import AGENTS, Presence
from ocicat.cli import opening
from ocicat.cli.commands import store_progress, store_transfer
from ocicat.cli.commands.store_status import hosts_of, kind_of
from ocicat.clock import ManualClock
from ocicat.errors import Unavailable
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.store.base import MemberStatus, Put, Status
from ocicat.store.memory import MemoryStore
from ocicat.store.open import open_store
from ocicat.store.transfer.record import RECORD

READY = b'{"kind":"ClusterInformation","metadata":{"name":"default"},"spec":{"datastoreReady":true}}'
NOTE = b'{"source":"sqlite:///elsewhere","mode":"copy","worker":"w","started":"2026-01-01T00:00:00Z"}'


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def other(tmp_path):
    return f"sqlite://{tmp_path}/other.db"


def held(url):
    async def read():
        store = await open_store(url, create=False)
        found = {item.key: item.value for item in (await store.range("")).items}
        await store.close()
        return found

    return asyncio.run(read())


def status_of(shell):
    return json.loads(shell.ok("store", "status", "-o", "json").out)


# --- init -------------------------------------------------------------------------------------------------------


def test_init_makes_what_calicos_tools_expect_and_says_so(shell):
    ended = shell.ok("store", "init", "--pool", "default=10.65.0.0/16", "--pool", "six=fd00::/64")
    assert ended.out.splitlines() == [
        "clusterinformation/default created",
        "schema/1.1 created",
        "tier/default created",
        "tier/kube-admin created",
        "tier/kube-baseline created",
        "ippool/default created",
        "ippool/six created",
    ]
    information = json.loads(shell.read(keys.CLUSTER_INFORMATION))
    assert len(information["spec"].pop("clusterGUID")) == 32
    assert information["spec"] == {
        "clusterType": "mesos",
        "datastoreReady": True,
    }  # a version would keep calicoctl away
    tier = json.loads(shell.read(f"{keys.RESOURCES}tiers/kube-admin"))
    assert tier["spec"] == {"order": 1000.0, "defaultAction": "Pass"}
    assert json.loads(shell.read(keys.pool("default")))["spec"] == {"cidr": "10.65.0.0/16", "blockSize": 26}


def test_init_again_changes_nothing(shell):
    shell.ok("store", "init", "--pool", "default=10.65.0.0/16")
    before = held(shell.url)
    ended = shell.ok("store", "init", "--pool", "default=10.65.0.0/16")
    assert {line.split(" ", 1)[1] for line in ended.out.splitlines()} == {"was there"}
    assert held(shell.url) == before


def test_init_again_knows_a_pool_in_another_spelling(shell):
    words = ("store", "init", "--pool", "six=FD00:0::/64")
    shell.ok(*words)
    assert "ippool/six was there" in shell.ok(*words).out


def test_init_fills_in_what_is_missing_and_overwrites_nothing(shell):
    theirs = {
        "kind": "ClusterInformation",
        "metadata": {"name": "default"},
        "spec": {"calicoVersion": "v3.30", "x": [1]},
    }
    shell.write(Put(keys.CLUSTER_INFORMATION, json.dumps(theirs).encode()))
    assert shell.ok("store", "init").out.splitlines()[0] == "clusterinformation/default configured"
    found = json.loads(shell.read(keys.CLUSTER_INFORMATION))["spec"]
    assert len(found.pop("clusterGUID")) == 32
    assert found == {"calicoVersion": "v3.30", "x": [1], "clusterType": "mesos", "datastoreReady": True}


def test_a_dry_run_of_init_makes_nothing(shell, tmp_path):
    dry = shell.ok("store", "init", "--pool", "default=10.65.0.0/16", "--dry-run")
    assert dry.err == "nothing was written\n"
    assert list(tmp_path.iterdir()) == []
    assert shell.ok("store", "init", "--pool", "default=10.65.0.0/16").out == dry.out
    before = held(shell.url)
    assert "ippool/b created" in shell.ok("store", "init", "--pool", "b=10.66.0.0/16", "--dry-run").out
    assert held(shell.url) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("x",), 2, "--pool 'x': is not NAME=CIDR"),
        (("=10.0.0.0/8",), 2, "is not NAME=CIDR"),
        (("x=",), 2, "is not NAME=CIDR"),
        (("x=garbage",), 2, "garbage"),
        (("x=10.65.1.0/24",), 2, "overlaps"),
        (("default=10.66.0.0/16",), 3, "pool default holds 10.65.0.0/16 already, not 10.66.0.0/16"),
        (("y=10.70.0.0/16", "x=10.65.1.0/24"), 2, "overlaps"),
    ],
)
def test_init_refuses_pools_that_cannot_be_and_then_writes_nothing(shell, words, code, said):
    shell.ok("store", "init", "--pool", "default=10.65.0.0/16")
    before = held(shell.url)
    ended = shell("store", "init", *(word for pool in words for word in ("--pool", pool)))
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert held(shell.url) == before


def test_init_of_a_locked_store_says_so(shell):
    shell.write(Put(keys.CLUSTER_INFORMATION, READY.replace(b"true", b"false")))
    ended = shell("store", "init")
    assert ended.code == 1
    assert "locked" in ended.err


# --- status -----------------------------------------------------------------------------------------------------


def test_status_tells_what_is_kept_and_who_is_connected(shell):
    shell.ok("store", "init", "--pool", "default=10.65.0.0/16")
    agent = Presence(host="h1", version="0.1.0", pid=42, started="2026-01-31T12:00:00Z")
    shell.write(Put(AGENTS + "h1", encode_json(agent)), Put(f"{keys.HANDLES}a", b"{}"), Put("/else", b"\xff"))
    found = status_of(shell)
    assert {one["kind"]: one["keys"] for one in found["kinds"]} == {
        "clusterinformations": 1,
        "ippools": 1,
        "ipam handles": 1,
        "agents": 1,
        "schema": 1,
        "other": 1,
        "tiers": 3,
    }
    assert [(one["host"], one["version"], one["pid"]) for one in found["agents"]] == [("h1", "0.1.0", 42)]
    assert (found["url"], found["keys"], found["locked"], found["filled_from"]) == (shell.url, 9, False, "")
    (member,) = found["members"]
    assert (member["endpoint"], member["is_leader"], member["problem"]) == (
        shell.url.removeprefix("sqlite://"),
        True,
        "",
    )
    lines = shell.ok("store", "status").out.splitlines()
    assert lines[:2] == [f"URL        {shell.url}", "REVISION   4, history from 1"]
    assert "h1     0.1.0    42   2026-01-31T12:00:00Z" in lines
    assert shell.ok("store", "status", "-o", "name").out == f"{shell.url}\n"
    assert shell.ok("store", "status", "-o", "yaml").out.startswith("url: ")


def test_a_member_that_does_not_answer_is_told_and_hides_nothing(shell, monkeypatch):
    class Cluster(MemoryStore):
        async def status(self):
            members = (
                MemberStatus("h1:2379", "a", "3.5.1", is_leader=True, latency_ms=1.25, size_bytes=20 << 20),
                MemberStatus("h2:2379", problem="connection refused"),
                MemberStatus("h3:2379", "c", "3.5.1", latency_ms=0.5, size_bytes=2048, problem="alarm: NOSPACE"),
            )
            return Status("etcd://h1:2379", 7, 2, 0, 20 << 20, members)

    async def opened(url, *, create=True):
        return Cluster()

    monkeypatch.setattr(opening, "open_store", opened)
    assert shell.ok("store", "status").out.split("\n\n")[1].splitlines() == [
        "MEMBER   NAME  VERSION  LEADER  LATENCY  SIZE    PROBLEM",
        "h1:2379  a     3.5.1    yes     1.2 ms   20 MiB  -",
        "h2:2379  -     -        -       -        -       connection refused",
        "h3:2379  c     3.5.1    no      0.5 ms   2 KiB   alarm: NOSPACE",
    ]


def test_status_of_a_store_that_is_being_filled_says_from_where(shell):
    shell.write(Put(RECORD, NOTE), Put(keys.CLUSTER_INFORMATION, READY.replace(b"true", b"false")))
    assert status_of(shell)["filled_from"] == "sqlite:///elsewhere"
    assert "until it is filled from sqlite:///elsewhere" in shell.ok("store", "status").out


def test_what_cannot_be_read_is_told_and_hides_nothing(shell):
    shell.write(Put(keys.CLUSTER_INFORMATION, b"{"), Put(RECORD, b"{"), Put(f"{AGENTS}h1", b"{"))
    ended = shell.ok("store", "status")
    assert ended.err.count("left out: ") == 3
    assert "clusterinformations  1" in ended.out


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (keys.pool("a"), "ippools"),
        (keys.workload("default", "a"), "workloadendpoints"),
        (f"{keys.AFFINITIES}h/ipv4/block/10.0.0.0-26", "ipam affinities"),
        (f"{keys.BLOCKS}ipv4/block/10.0.0.0-26", "ipam blocks"),
        (keys.IPAM_CONFIG, "ipam configuration"),
        ("/calico/felix/v1/x", "other"),
        ("/calico/\udcff", "other"),
        ("/ocicat/v1/copy", "copy"),
    ],
)
def test_every_key_is_of_some_kind(key, kind):
    assert kind_of(key) == kind


# --- exit codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("status",), ("lock",), ("unlock",), ("export",), ("compact",)])
def test_5_when_there_is_no_store_and_looking_makes_none(shell, tmp_path, words):
    ended = shell("store", *words)
    assert (ended.code, ended.out) == (5, "")
    assert "there is no such file" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("status",), ("lock",), ("init",), ("export",), ("compact",), ("copy", "memory://", "etcd://h")]
)
def test_4_when_the_store_does_not_answer(shell, monkeypatch, words):
    async def held_by_another(url, *, create=True):
        raise Unavailable(f"store {url}: another process holds it", hint="try again")

    for module in (opening, store_transfer):
        monkeypatch.setattr(module, "open_store", held_by_another)
    ended = shell("store", *words)
    assert (ended.code, ended.out) == (4, "")
    assert "another process holds it" in ended.err


# --- the lock ---------------------------------------------------------------------------------------------------


def test_the_lock_says_what_it_changed_and_whom_it_concerns(shell):
    agents = [Presence(host=host, version="0", pid=1, started="") for host in ("h1", "h2")]
    shell.write(*(Put(AGENTS + one.host, encode_json(one)) for one in agents))
    said = [(command, shell.ok("store", command).err) for command in ("lock", "lock", "unlock", "unlock")]
    concerned = "no new container gets an address on h1, h2\n"
    assert said == [
        ("lock", f"the datastore is locked\n{concerned}"),
        ("lock", f"the datastore was locked already\n{concerned}"),
        ("unlock", "the datastore is unlocked\n"),
        ("unlock", "the datastore was not locked\n"),
    ]


def test_many_hosts_are_counted():
    agents = [Presence(host=f"h{number}", version="", pid=1, started="") for number in range(12)]
    assert hosts_of(agents[:2]) == "h0, h1"
    assert hosts_of(agents).endswith("h8, h9 and 2 more")


def test_the_lock_is_shown(shell):
    shell.write()
    for command, locked in (("lock", True), ("unlock", False)):
        shell.ok("store", command)
        assert status_of(shell)["locked"] is locked
        assert f"LOCKED     {'yes' if locked else 'no'}\n" in shell.ok("store", "status").out


def test_a_lock_of_an_empty_store_is_one_that_calicos_tools_can_lift(shell):
    """They change no object without these."""
    shell.write()
    shell.ok("store", "lock")
    metadata = json.loads(shell.read(keys.CLUSTER_INFORMATION))["metadata"]
    assert metadata.keys() == {"name", "uid", "creationTimestamp"}
    shell.ok("store", "unlock")
    assert "clusterinformation/default was there" in shell.ok("store", "init").out


def test_locking_keeps_what_other_tools_wrote(shell):
    theirs = {
        "kind": "ClusterInformation",
        "metadata": {"name": "default", "generation": 2},
        "spec": {"calicoVersion": "v3"},
    }
    shell.write(Put(keys.CLUSTER_INFORMATION, json.dumps(theirs).encode()))
    shell.ok("store", "lock")
    assert json.loads(shell.read(keys.CLUSTER_INFORMATION)) == {
        **theirs,
        "spec": {"calicoVersion": "v3", "datastoreReady": False},
    }


def test_what_is_not_filled_is_neither_unlocked_nor_exported_nor_copied(shell, other):
    shell.write(Put(RECORD, NOTE), Put(keys.CLUSTER_INFORMATION, READY.replace(b"true", b"false")))
    for words in (("unlock",), ("export",), ("copy", shell.url, other)):
        ended = shell("store", *words)
        assert (ended.code, ended.out) == (1, "")
        assert "the store is incomplete: it is being filled from sqlite:///elsewhere" in ended.err


# --- compact ----------------------------------------------------------------------------------------------------


def test_compact_tells_the_old_and_the_new(shell):
    for number in range(5):
        shell.write(Put("/a", b"%d" % number))
    assert shell.ok("store", "compact").err == "nothing to forget: history is kept from revision 1 to 5\n"
    assert shell.ok("store", "compact", "--keep", "2").err == "history is kept from revision 4 to 5; it was from 1\n"
    assert (
        shell.ok("store", "compact", "--revision", "2").err
        == "nothing to forget: history is kept from revision 4 to 5\n"
    )
    assert (
        shell.ok("store", "compact", "--revision", "4").err == "history is kept from revision 5 to 5; it was from 4\n"
    )
    assert shell.read("/a") == b"4"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--revision", "9"), "revision 9 is not older than the present one, 1"),
        (("--revision", "1", "--keep", "1"), "--keep and --revision: give one of them"),
        (("--keep", "0"), "0 is not in the range"),
        (("--keep", "x"), "'x' is not a valid integer"),
    ],
)
def test_compact_refuses_what_cannot_be(shell, words, said):
    shell.write(Put("/a", b""))
    ended = shell("store", "compact", *words)
    assert ended.code == 2
    assert said in ended.err


# --- export and import ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_an_export_comes_back(shell, other, tmp_path, name):
    shell.ok("store", "init", "--pool", "default=10.65.0.0/16")
    shell.write(Put("/ocicat/v1/x", b"\xff"))
    path = str(tmp_path / name)
    said = shell.ok("store", "export", path)
    assert (said.out, said.err) == ("", f"7 keys exported from {shell.url}, as of revision 4\n")
    done = shell.ok("store", "import", path, "--store", other)
    assert "(revision 4, 7 keys)" in done.err
    assert "7 keys written, 0 deleted; every key was read back and compared" in done.err
    assert held(other) == held(shell.url)
    assert "nothing to do" in shell.ok("store", "import", path, "--store", other).err


def test_through_standard_output_and_input(shell, other, monkeypatch):
    shell.write(Put("/calico/a", b"1"), Put("/calico/ipam/b", b"2"))
    written = shell.ok("store", "export", "--prefix", "/calico/ipam/").out
    assert [json.loads(line).get("key") for line in written.splitlines()] == [None, "/calico/ipam/b", None]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written.encode())))
    shell.ok("store", "import", "-", "--store", other)
    assert held(other) == {"/calico/ipam/b": b"2"}


def test_into_a_store_that_holds_something_only_when_it_is_said_how(shell, tmp_path):
    path = str(tmp_path / "e")
    shell.write(Put("/calico/a", b"1"), Put("/calico/b", b"1"))
    shell.ok("store", "export", path)
    shell.write(Put("/calico/b", b"2"), Put("/calico/c", b"1"))
    before = held(shell.url)
    refused = shell("store", "import", path)
    assert refused.code == 1
    assert "--replace or --merge says what becomes of them" in refused.err
    for how, counts in (
        ("--merge", "1 keys would be written and 0 deleted"),
        ("--replace", "1 keys would be written and 1 deleted"),
    ):
        assert counts in shell.ok("store", "import", path, how, "--dry-run").err
    assert held(shell.url) == before
    shell.ok("store", "import", path, "--merge")
    assert held(shell.url) == {"/calico/a": b"1", "/calico/b": b"1", "/calico/c": b"1"}
    shell.ok("store", "import", path, "--replace")
    assert held(shell.url) == {"/calico/a": b"1", "/calico/b": b"1"}


def test_of_replace_and_merge_only_one_can_be_meant(shell, tmp_path):
    shell.ok("store", "init")
    shell.ok("store", "export", str(tmp_path / "e"))
    ended = shell("store", "import", str(tmp_path / "e"), "--replace", "--merge")
    assert (ended.code, ended.err) == (2, "ocicat: --replace and --merge: give one of them\n")


def test_a_dry_run_of_an_import_makes_no_store(shell, tmp_path, other):
    shell.write(Put("/calico/a", b"1"))
    shell.ok("store", "export", str(tmp_path / "e"))
    assert (
        "1 keys would be written" in shell.ok("store", "import", str(tmp_path / "e"), "--store", other, "--dry-run").err
    )
    assert not (tmp_path / "other.db").exists()


def test_a_damaged_export_is_refused_before_a_store_is_made(shell, tmp_path, other):
    shell.write(Put("/calico/a", b"1"))
    path = tmp_path / "e"
    shell.ok("store", "export", str(path))
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole.replace(b'"json":1', b'"json":2'), b"", b"hello"):
        path.write_bytes(damaged)
        ended = shell("store", "import", str(path), "--store", other)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"ocicat: {path}")
    assert not (tmp_path / "other.db").exists()


def test_an_empty_prefix_is_refused(shell):
    shell.write()
    assert shell("store", "export", "--prefix", "").code == 2


# --- copy -------------------------------------------------------------------------------------------------------


def test_a_copy_says_what_it_did_and_what_is_to_be_done(shell, other):
    shell.ok("store", "init")
    agent = Presence(host="h1", version="0", pid=1, started="")

    async def connect():
        store = await open_store(shell.url)
        lease = await store.grant(60)
        await store.commit([], [Put(AGENTS + "h1", encode_json(agent), lease.id)])
        await store.close()

    asyncio.run(connect())
    said = shell.ok("store", "copy", shell.url, other)
    assert said.out == ""
    assert "5 keys written, 0 deleted; every key was read back and compared" in said.err
    assert f"the agents on h1 keep to {shell.url} until they are started again with --store {other}" in said.err
    assert "what changes there from now on is not in" in said.err
    assert held(other) == {key: value for key, value in held(shell.url).items() if key != AGENTS + "h1"}
    assert "nothing to do" in shell.ok("store", "copy", shell.url, other).err


def test_a_dry_run_of_a_copy_writes_nothing_anywhere(shell, other, tmp_path):
    shell.ok("store", "init")
    before = held(shell.url)
    assert "5 keys would be written" in shell.ok("store", "copy", shell.url, other, "--dry-run").err
    assert held(shell.url) == before
    assert not (tmp_path / "other.db").exists()


def test_the_source_stays_locked_when_it_is_asked_for(shell, other):
    shell.ok("store", "init")
    said = shell.ok("store", "copy", shell.url, other, "--keep-source-locked")
    assert f"{shell.url} stays locked" in said.err
    assert status_of(shell)["locked"] is True
    assert b'"datastoreReady":true' in held(other)[keys.CLUSTER_INFORMATION]


def test_a_copy_that_cannot_be_is_refused_and_touches_nothing(shell, other, tmp_path):
    shell.write(Put("/calico/a", b"1"))
    before = held(shell.url)
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    same = f"sqlite://{tmp_path}/link.db"
    for source, destination, code, said in (
        (shell.url, shell.url, 2, "are the same datastore"),
        (shell.url, same, 2, "are the same datastore"),
        (other, shell.url, 5, "there is no such file"),
        (shell.url, "nonsense", 2, "is no address of a store"),
    ):
        ended = shell("store", "copy", source, destination)
        assert (ended.code, ended.out) == (code, "")
        assert said in ended.err
    assert held(shell.url) == before
    asyncio.run(fill(other, Put("/calico/b", b"1")))
    ended = shell("store", "copy", shell.url, other)
    assert ended.code == 1
    assert "the destination is not empty: it holds 1 keys, the first one is /calico/b" in ended.err


async def fill(url, *operations):
    store = await open_store(url)
    await store.commit([], operations)
    await store.close()


def test_an_unfinished_copy_of_something_else_is_refused(shell, other):
    shell.write(Put("/calico/a", b"1"))
    asyncio.run(fill(other, Put(RECORD, NOTE)))
    ended = shell("store", "copy", shell.url, other)
    assert ended.code == 1
    assert "ocicat store copy sqlite:///elsewhere DESTINATION" in ended.err
    assert "not finished" not in ended.err


# --- progress ---------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "told"), [(Terminal, "\r10 of 30 keys\r20 of 30 keys\r30 of 30 keys\n"), (io.StringIO, "")]
)
def test_progress_on_a_terminal_and_elsewhere(monkeypatch, stream, told):
    monkeypatch.setattr(sys, "stderr", stream())
    clock = ManualClock()
    ticker = store_progress.Ticker(clock)
    for done in (10, 20, 30):
        clock.advance(1)
        ticker(done, 30)
    assert sys.stderr.getvalue() == told


def test_progress_elsewhere_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    clock = ManualClock()
    ticker = store_progress.Ticker(clock)
    for done in range(1, 31):
        clock.advance(1)
        ticker(done, 30)
    assert sys.stderr.getvalue() == "10 of 30 keys\n20 of 30 keys\n30 of 30 keys\n"


def test_what_is_done_at_once_is_not_told(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    store_progress.Ticker(ManualClock())(30, 30)
    assert sys.stderr.getvalue() == ""


def test_the_help_of_every_command_has_an_example(shell):
    for name in ("init", "status", "lock", "unlock", "export", "import", "copy", "compact"):
        assert f"ocicat store {name}" in shell.ok("store", name, "--help").out.partition("Example:")[2]
