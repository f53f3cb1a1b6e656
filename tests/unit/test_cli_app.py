"""`ocicat run -f` and `ocicat app`: what is read, said and written, without a master."""

from __future__ import annotations

import json

import pytest
from cli_bed import Shell

from ocicat.mesos.apps.records import Keys, Leader, StatusRecord, TaskRecord
from ocicat.mesos.frameworks.application import Application
from ocicat.mesos.types import TaskState
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Put

KEYS = Keys("ocicat")
WEB = {"id": "/web", "cmd": "sleep 1", "instances": 2, "portDefinitions": []}


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.ok("store", "init")
    return shell


def run(shell, definition, *words):
    return shell("run", "-f", "-", *words, stdin=definition if isinstance(definition, str) else json.dumps(definition))


def stored(shell, app_id):
    found = shell.read(KEYS.app(app_id))
    return decode_json(Application, found) if found else None


def test_a_dry_run_writes_nothing(shell):
    ended = run(shell, WEB, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1].split() == ["/web", "new", "2", "-"]
    assert stored(shell, "/web") is None


def test_definitions_are_written_and_what_changes_is_said(shell):
    run(shell, WEB, "--detach")
    assert stored(shell, "/web").spec.command == "sleep 1"
    ended = run(
        shell, WEB | {"instances": 5, "upgradeStrategy": {"minimumHealthCapacity": 0.5}}, "--detach", "-o", "json"
    )
    (found,) = json.loads(ended.out)
    assert (found["change"], found["before"], found["instances"]) == ("scaled", 2, 5)
    assert found["fields"] == ["instances", "upgrade"]
    assert run(shell, WEB | {"instances": 5}, "--detach").out.splitlines()[1].split()[1] == "changed"
    assert run(shell, WEB | {"instances": 5}, "--detach").out.splitlines()[1].split()[1] == "unchanged"
    ended = run(shell, WEB | {"cmd": "sleep 2", "mem": 9}, "--dry-run")
    assert "replaced" in ended.out
    assert "5 -> 2" in ended.out
    assert "command, mem_mb" in ended.out


def test_yaml_with_several_documents_and_a_group(shell):
    text = "id: /a\ncmd: 'true'\n---\nid: /g\napps:\n- {id: b, args: [sleep, '1']}\n"
    assert run(shell, text, "--detach", "-o", "name").out.split() == ["/a", "/g/b"]
    assert stored(shell, "/g/b").spec.command == ("sleep", "1")


def test_a_network_without_a_name_gets_the_one_given(shell):
    definition = WEB | {"ipAddress": {"groups": ["a"]}}
    del definition["portDefinitions"]
    assert "the network has no name" in run(shell, definition, "--detach").err
    assert run(shell, definition, "--detach", "--default-network-name", "n").code == 0
    assert stored(shell, "/web").spec.network.name == "n"


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("", "standard input: defines no application"),
        ("[]", "defines no application"),
        ('"text"', "standard input:1:1: is no resource"),
        ('{"id": "/a", "cmd": ', "standard input:1"),
        ([WEB, WEB], "/web is defined twice"),
        (WEB | {"color": 1}, "standard input:1: /web: color: there is no such field"),
    ],
)
def test_bad_definitions_are_named_and_nothing_is_written(shell, definition, said):
    ended = run(shell, definition, "--detach")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert stored(shell, "/web") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "Missing argument '-- COMMAND...', or -f FILE."),
        (("run", "-f", "x", "--cpus", "1"), "--cpus is not for -f"),
        (("run", "-f", "x", "--", "true"), "COMMAND is not for -f"),
        (("run", "--dry-run", "--", "true"), "--dry-run is for -f"),
        (("run", "-f", "/nowhere", "--detach"), "'/nowhere' cannot be read"),
        (("run", "-f", "x", "--framework", "a/b"), "--framework 'a/b': a name without slashes"),
        (("app", "scale", "--", "/web", "-1"), "-1 is not in the range"),
        (("app", "scale", "Web", "1"), "'Web' is no id of an application"),
        (("app", "list", "--framework", ""), "--framework ''"),
    ],
)
def test_bad_words_are_named(shell, words, said):
    ended = shell(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    "words", [("scale", "/no", "1"), ("restart", "/no"), ("remove", "/no"), ("show", "/no"), ("kill", "x")]
)
def test_what_is_not_there_is_named(shell, words):
    ended = shell("app", *words)
    assert ended.code == 5
    assert "there is no " in ended.err


def test_wishes_are_written(shell):
    run(shell, WEB, "--detach")
    version = stored(shell, "/web").version
    assert shell.ok("app", "scale", "web", "7").out == "/web: 7 instances are wanted\n"
    assert stored(shell, "/web").instances == 7
    assert stored(shell, "/web").version == version
    restarted = shell.ok("app", "restart", "/web").out
    assert stored(shell, "/web").version in restarted
    assert stored(shell, "/web").version != version
    run(shell, WEB, "--detach")
    assert stored(shell, "/web").restarts == 1
    shell.ok("app", "remove", "/web")
    assert stored(shell, "/web") is None


def test_instances_are_shown_and_ended(shell):
    run(shell, WEB, "--detach")
    version = stored(shell, "/web").version
    task = TaskRecord(
        task_id="web.1",
        app="/web",
        version=version,
        started=1.0,
        state=TaskState.RUNNING,
        healthy=False,
        place={"hostname": "h1"},
        addresses=("10.0.0.7",),
    )
    status = StatusRecord(
        app="/web", version=version, wanted=2, instances=1, waits="for a place", last_failure="failed: exit 3"
    )
    shell.write(
        Put(KEYS.task("web.1"), encode_json(task)),
        Put(KEYS.status("/web"), encode_json(status)),
        Put(KEYS.leader, encode_json(Leader("h1", 7, 0.0))),
    )
    listed = shell.ok("app", "list")
    assert listed.out.splitlines()[1].split() == ["/web", version, "0", "2", "0", "for", "a", "place"]
    assert listed.err == ""
    shown = shell.ok("app", "show", "/web")
    assert shown.out.splitlines()[1].split() == ["web.1", version, "running", "no", "h1", "10.0.0.7"]
    assert shown.err == "ocicat: /web: last failure: failed: exit 3\n"
    assert shell.ok("app", "kill", "web.1").out == "web.1: is asked to end\n"
    assert shell.read(KEYS.kill("web.1"))


def test_that_nobody_keeps_them_running_is_said(shell):
    run(shell, WEB, "--detach")
    ended = shell.ok("app", "list")
    assert "nobody keeps them running now" in ended.err
    assert ended.out.splitlines()[1].split()[:5] == ["/web", stored(shell, "/web").version, "0", "2", "0"]
