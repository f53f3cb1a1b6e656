"""`ocicat get --watch`: every change once, also those that happened during an outage; and its two ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import aclosing, contextmanager

import pytest
import yaml
from cli_bed import Shell

from ocicat.cli import watching
from ocicat.cli.watching import _Follower
from ocicat.errors import Compacted, Unavailable
from ocicat.model.codec import encode_json
from ocicat.model.v3.kinds import KINDS
from ocicat.store.base import Delete, Put
from ocicat.store.memory import MemoryStore

TIER = KINDS["Tier"]
LIMIT_S = 20


def put(name, order, **labels):
    metadata = {"name": name, "labels": labels}
    raw = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": metadata, "spec": {"order": order}}
    return Put(TIER.key(name), encode_json(raw))


# --- what is told -----------------------------------------------------------------------------------------------


class Breaking:
    """A datastore whose watch ends and whose listing fails when they are told to. `meanwhile`: what is written by then."""

    def __init__(self, store):
        self.store = store
        self.failures = []
        self.listings_that_fail = 0
        self.meanwhile = []

    async def range(self, prefix):
        if self.listings_that_fail:
            self.listings_that_fail -= 1
            raise Unavailable("nobody answers")
        return await self.store.range(prefix)

    async def watch(self, prefix, revision):
        if not self.failures:
            async with aclosing(self.store.watch(prefix, revision)) as batches:
                async for batch in batches:
                    yield batch
        await self.store.commit([], self.meanwhile)
        raise self.failures.pop()


def told(prepared, actions, *, count, names=(), selector="", breaking=None):
    """(event, name, order) of the first listing and of `count` changes, while `actions` are committed one after the other."""

    async def run():
        store = MemoryStore()
        await store.commit([], prepared)
        seen_through = Breaking(store)
        if breaking:
            breaking(seen_through)
        follower = _Follower(seen_through, TIER, "", set(names), selector)
        found = await follower.list_anew()
        if breaking:
            seen_through.listings_that_fail = 2
        left = list(actions)
        async with aclosing(follower.changes()) as changes:
            while len(found) < count:
                if left:
                    await store.commit([], [left.pop(0)])
                found.append(await asyncio.wait_for(anext(changes), LIMIT_S))
        await store.close()
        return [(one.event, one.item.name, one.item.resource.spec.order) for one in found]

    return asyncio.run(run())


def test_what_is_there_and_what_becomes_of_it():
    changes = [put("b", 1), put("a", 2), Delete(TIER.key("b")), put("b", 3)]
    assert told([put("a", 1)], changes, count=5) == [
        ("ADDED", "a", 1),
        ("ADDED", "b", 1),
        ("MODIFIED", "a", 2),
        ("DELETED", "b", 1),
        ("ADDED", "b", 3),
    ]


def test_an_object_that_no_longer_matches_is_gone():
    changes = [put("b", 1, x="2"), put("a", 2, x="2"), put("b", 3, x="1")]
    found = told([put("a", 1, x="1")], [put("b", 1, x="1"), *changes[1:]], count=4, selector="x == '1'")
    assert found == [("ADDED", "a", 1), ("ADDED", "b", 1), ("DELETED", "a", 1), ("MODIFIED", "b", 3)]


def test_only_the_names_that_were_asked_for():
    assert told([put("a", 1), put("b", 1)], [put("b", 2)], count=2, names=["b"]) == [
        ("ADDED", "b", 1),
        ("MODIFIED", "b", 2),
    ]


@pytest.mark.parametrize("failure", [Unavailable("the member is gone"), Compacted("revision 5 is no longer kept")])
def test_what_changed_during_an_outage_is_told_once(failure, monkeypatch, capsys):
    monkeypatch.setattr(watching, "RETRY_S", 0)

    def breaking(store):
        store.failures = [failure]
        store.meanwhile = [put("b", 2), Delete(TIER.key("c")), put("d", 1)]

    found = told([put("a", 1), put("b", 1), put("c", 1)], [], count=6, breaking=breaking)
    assert found == [
        ("ADDED", "a", 1),
        ("ADDED", "b", 1),
        ("ADDED", "c", 1),
        ("MODIFIED", "b", 2),
        ("ADDED", "d", 1),
        ("DELETED", "c", 1),
    ]
    assert capsys.readouterr().err == f"ocicat: {failure}; trying again\n"


def test_an_object_that_cannot_be_read_is_told_and_gone(capsys):
    found = told([put("a", 1)], [Put(TIER.key("a"), b"{")], count=2)
    assert found == [("ADDED", "a", 1), ("DELETED", "a", 1)]
    assert "left out: Tier a" in capsys.readouterr().err


# --- how it is printed, and how it ends -------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.write(put("a", 1), put("long-name", 2))
    return shell


@contextmanager
def watch(shell, *words):
    """The command as a process: standard output is a pipe."""
    environment = {**os.environ, "OCICAT_STORE": shell.url}
    command = [sys.executable, "-m", "ocicat", "get", "tiers", "--watch", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    limit = threading.Timer(LIMIT_S, process.kill)  # or a line that never comes would be waited for
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


def lines(process, count):
    return [process.stdout.readline() for _ in range(count)]


def test_rows_appear_as_they_happen_and_an_interrupt_is_130(shell):
    with watch(shell) as process:
        assert lines(process, 3) == [
            "EVENT     NAME       ORDER\n",
            "ADDED     a          1\n",
            "ADDED     long-name  2\n",
        ]
        shell.write(put("a", 7))
        assert lines(process, 1) == ["MODIFIED  a          7\n"]
        shell.write(Delete(TIER.key("long-name")), put("a-much-longer-name", 3))
        assert sorted(lines(process, 2)) == ["ADDED     a-much-longer-name  3\n", "DELETED   long-name  2\n"]
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, rest, said.strip()) == (130, "", "interrupted")


def test_json_is_a_line_for_each_change_and_a_reader_that_goes_away_ends_it(shell):
    with watch(shell, "-o", "json") as process:
        first = [json.loads(line) for line in lines(process, 2)]
        assert [(one["type"], one["object"]["metadata"]["name"]) for one in first] == [
            ("ADDED", "a"),
            ("ADDED", "long-name"),
        ]
        process.stdout.close()
        assert process.wait(timeout=LIMIT_S) == 1  # nothing was written meanwhile
        assert process.stderr.read() == ""


def test_yaml_is_a_document_for_each_change(shell):
    with watch(shell, "-o", "yaml", "-l", "!has(x)") as process:
        text = "".join(lines(process, 20))
        process.send_signal(signal.SIGINT)
        text += process.communicate(timeout=LIMIT_S)[0]
    found = list(yaml.safe_load_all(text))
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in found] == [
        ("ADDED", "a"),
        ("ADDED", "long-name"),
    ]


@pytest.mark.parametrize("words", [["tiers,nodes"], ["np/a/x", "np/b/x"], ["tier/a", "node/b"], ["all"]])
def test_a_watch_shows_one_kind(shell, words):
    ended = shell("get", *words, "-w")
    assert (ended.code, ended.out) == (2, "")
    assert "a watch shows objects of one kind" in ended.err
