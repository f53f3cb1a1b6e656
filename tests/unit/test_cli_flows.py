"""`ocicat flows`: which flows of a file are shown, and how."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from cli_bed import Shell

from ocicat.agent.flowlog.file import Tail, append
from ocicat.agent.flowlog.record import FlowRecord, Hit, LostRecord, Trace, line
from ocicat.cli.commands import flows
from ocicat.cli.commands.flows import keep_showing

WEB = Hit("NetworkPolicy", "shop", "web", "default", "allow", 0, 2)
TRY = Hit("StagedGlobalNetworkPolicy", "-", "try", "default", "deny", 0, 0)
NOBODY = Hit("Profile", "-", "__NO_MATCH__", "__PROFILE__", "deny", 0, -1)
TIME = "2026-11-23T03:02:00.000Z"
END = Hit("EndOfTier", "-", "", "sec", "deny", 0, -1)


def flow(**fields):
    usual = {
        "start_time": "2026-11-23T03:00:00.000Z",
        "end_time": "2026-11-23T03:05:00.000Z",
        "host": "h1",
        "source_type": "wep",
        "source_namespace": "shop",
        "source_name": "h1-mesos-a-eth0",
        "source_labels": ("app=shop", "zone=a"),
        "source_ips": ("10.65.0.2",),
        "dest_type": "net",
        "dest_namespace": "-",
        "dest_name": "pub",
        "dest_labels": (),
        "dest_ips": ("8.8.8.8", "9.9.9.9"),
        "dest_port": 80,
        "proto": "tcp",
        "action": "allow",
        "reporter": "src",
        "policies": Trace((WEB,), (TRY,)),
        "num_flows_started": 1,
        "packets": 2,
        "bytes": 120,
        "first_seen": "2026-11-23T03:01:00.000Z",
        "last_seen": TIME,
    }
    return FlowRecord(**usual | fields)


DENIED = flow(action="deny", policies=Trace((NOBODY,), (NOBODY,)), source_name="h1-mesos-b-eth0", source_labels=())
TO_US = flow(
    source_type="net", source_namespace="-", source_name="pvt", source_ips=("10.0.0.9",), source_labels=(),
    dest_type="wep", dest_namespace="shop", dest_name="h1-mesos-a-eth0", dest_labels=("app=shop",),
    dest_ips=("10.65.0.2",), reporter="dst", proto="icmp", dest_port=0, policies=Trace((END,), (END,)), action="deny",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "flows.log"
    append(path, map(line, (flow(), DENIED, TO_US)))
    return path


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys, path):
    shell = Shell(tmp_path, monkeypatch, capsys)
    return lambda *words: shell("flows", "--file", str(path), *words)


def test_a_table(shell):
    head, *rows = shell().out.splitlines()
    assert head.split() == ["TIME", "SOURCE", "DESTINATION", "PROTO", "PORT", "ACTION", "BY", "FLOWS", "RULE"]
    assert [re.split("  +", row) for row in rows] == [
        [TIME, "shop/h1-mesos-a-eth0", "pub 8.8.8.8...", "tcp", "80", "allow", "src", "1", "NetworkPolicy shop/web[2]"],
        [TIME, "shop/h1-mesos-b-eth0", "pub 8.8.8.8...", "tcp", "80", "deny", "src", "1", "no profile"],
        [TIME, "pvt 10.0.0.9", "shop/h1-mesos-a-eth0", "icmp", "-", "deny", "dst", "1", "end of tier sec"],
    ]


def test_a_wide_table_tells_what_staged_policies_would_do(shell):
    head, first, *_ = shell("-o", "wide").out.splitlines()
    assert head.split()[-4:] == ["PENDING", "PACKETS", "BYTES", "HOST"]
    assert first.endswith("deny StagedGlobalNetworkPolicy try[0]  2        120    h1")


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ([], [0, 1, 2]),
        (["--denied"], [1, 2]),
        (["--from", "h1-mesos-a-eth0"], [0]),
        (["--from", "shop/h1-mesos-?-eth0"], [0, 1]),
        (["--from", "app=shop"], [0]),
        (["--from", "10.0.0.9"], [2]),
        (["--to", "app=*"], [2]),
        (["--to", "9.9.9.9", "--denied"], [1]),
        (["--from", "shop"], []),
    ],
)
def test_which_are_shown(shell, words, places):
    found = [json.loads(text) for text in shell("-o", "json", *words).out.splitlines()]
    assert found == [json.loads(line((flow(), DENIED, TO_US)[place])) for place in places]


def test_losses_and_broken_lines_are_talk(shell, path):
    append(path, [line(LostRecord(start_time="S", end_time="E", host="h1", unread=7, uncounted=8)), b'{"type":"fl\n'])
    ended = shell("-o", "json")
    assert (ended.code, len(ended.out.splitlines())) == (0, 3)
    assert "h1, S to E: 7 packets came too fast to be read, 8 were of too many different flows" in ended.err
    assert "left out: flow log: " in ended.err


def test_what_others_have_named_cannot_steer_the_terminal(shell, path):
    append(path, [line(flow(source_name="a\x1b[2J\n"))])
    assert shell().out.splitlines()[-1].count("a\\x1b[2J\\n") == 1


def test_without_a_file_there_is_one_clear_error(shell, path):
    path.unlink()
    ended = shell()
    assert (ended.code, ended.out) == (5, "")
    assert f"there is no flow log {path}" in ended.err
    assert "flowLogsLocalReporter: Enabled" in ended.err


@pytest.mark.parametrize("style", ["table", "json"])
def test_what_comes_later_is_shown_too(path, style, monkeypatch, capsys):
    """Without waiting: each pause of the follower is where something comes."""
    coming = [[flow(dest_port=81)], [], [flow(dest_port=82), DENIED]]

    async def pause(_):
        if not coming:
            raise asyncio.CancelledError
        append(path, map(line, coming.pop(0)))

    monkeypatch.setattr(flows.asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_showing(Tail(path), lambda one: one.action == "allow", style))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (4 if style == "table" else 3)
    assert [port for port in ("80", "81", "82") if any(port in one for one in lines)] == ["80", "81", "82"]
