"""`ocicat run` and `ocicat agent`: what is asked wrongly is said at once, before anybody is called."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from cli_bed import Shell

from ocicat.cli.commands import run
from ocicat.errors import OcicatError, Unavailable
from ocicat.mesos.types import NetworkRequest, NetworkStatus, PortMapping, TaskState, TaskStatus


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument '-- COMMAND...'"),
        (("--bogus", "--", "true"), "No such option '--bogus'"),
        (("--group", "a", "--", "true"), "name it: --network NAME"),
        (("--network", "n", "--label", "x", "--", "true"), "--label 'x' is not KEY=VALUE"),
        (("--network", "n", "--label", "=x", "--", "true"), "--label '=x' is not KEY=VALUE"),
        (("--publish", "80:80", "--", "true"), "name it: --network NAME"),
        *(
            (("--network", "n", "--publish", text, "--", "true"), f"--publish {text!r} is not HOST:CONTAINER")
            for text in ("80", "80:", ":80", "a:80", "80:80/", "80:80/icmp", "1.2.3.4:80:80", "80:80/TCP")
        ),
        (("--network", "n", "--publish", "0:80", "--", "true"), "port 0 is not between 1 and 65535"),
        (("--network", "n", "--publish", "80:70000", "--", "true"), "port 70000 is not between 1 and 65535"),
        (("--network", "", "--", "true"), "the network has no name"),
        (("--network", "n", "--ip", "zzz", "--", "true"), "'zzz' is not an IP address"),
        (("--cpus", "-1", "--", "true"), "cpus is -1"),
        (("--cpus", "x", "--", "true"), "'x' is not a valid float"),
        (("--mem", "0", "--", "true"), "mem_mb is 0"),
        (("--timeout", "0", "--", "true"), "0.0 is not in the range x>0"),
        (("--name", "", "--", "true"), "the task has no name"),
        (("--", ""), "the command is empty"),
        (("--master", "", "--", "true"), "no Mesos master is named"),
        (("--master", "127.0.0.1:99999", "--", "true"), "is not host:port"),
    ],
)
def test_bad_input_is_named_at_once(shell, words, said):
    ended = shell("run", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


class Task:
    """A task of a framework that never was."""

    task_id, hostname = "t1", "h1"

    def __init__(self, *, running=None, ended=None):
        self._running, self._ended = running, ended

    async def wait(self, state, timeout_s):
        if isinstance(self._running, Exception):
            raise self._running
        return self._running

    async def wait_ended(self):
        return self._ended


RUNNING = TaskStatus("t1", TaskState.RUNNING, networks=(NetworkStatus("n", ip_addresses=("10.65.0.7",)),))


@pytest.fixture
def framework(monkeypatch):
    """Gives the task that is launched, and keeps what was asked."""
    asked = SimpleNamespace(task=None, spec=None)

    async def launch(spec):
        asked.spec = spec
        return asked.task

    @asynccontextmanager
    async def connect(master, **_):
        await asyncio.sleep(0)
        yield SimpleNamespace(launch=launch)

    monkeypatch.setattr(run.Framework, "connect", connect)
    return asked


def test_its_address_is_the_only_data(shell, framework):
    framework.task = Task(running=RUNNING, ended=TaskStatus("t1", TaskState.FINISHED))
    words = ("--network", "n", "--group", "a", "--label", "k=v=w", "--publish", "80:8080", "--publish", "53:54/udp")
    ended = shell.ok("run", *words, "--", "sleep", "--help")
    assert ended.out == "10.65.0.7\n"
    assert ended.err == "t1 runs on h1\nt1 finished\n"
    assert framework.spec.command == ("sleep", "--help")
    assert framework.spec.network.labels == {"k": "v=w"}
    assert framework.spec.network.port_mappings == (PortMapping(80, 8080), PortMapping(53, 54, "udp"))


def test_several_networks_and_addresses(shell, framework):
    framework.task = Task(running=RUNNING, ended=TaskStatus("t1", TaskState.FINISHED))
    shell.ok(
        "run", "--network", "a", "--network", "b", "--ip", "10.0.0.7", "--ip", "fd00::7", "--group", "g", "--", "true"
    )
    first, second = framework.spec.networks
    assert (first.name, first.groups, first.ip_addresses) == ("a", ("g",), ("10.0.0.7", "fd00::7"))
    assert second == NetworkRequest("b")
    framework.task = Task(running=OcicatError("task t1: Unknown CNI network 'b'"))
    ended = shell("run", "--network", "a", "--network", "b", "--", "true")
    assert "the agent has no configuration named 'b'" in ended.err


def test_a_task_that_fails_is_1_with_mesoss_words(shell, framework):
    framework.task = Task(running=RUNNING, ended=TaskStatus("t1", TaskState.FAILED, message="exited with status 3"))
    ended = shell("run", "--", "exit 3")
    assert ended.code == 1
    assert "ocicat: task t1 ended as failed: exited with status 3" in ended.err


def test_an_unknown_network_says_where_networks_are_made(shell, framework):
    framework.task = Task(running=OcicatError("task t1: Unknown CNI network 'n'"))
    ended = shell("run", "--network", "n", "--", "true")
    assert ended.code == 1
    assert "Unknown CNI network 'n'\n  the agent has no configuration named 'n'" in ended.err


def test_a_task_that_does_not_start_in_time_is_4(shell, framework):
    framework.task = Task(running=Unavailable("task t1: not running in 1 s"))
    assert shell("run", "--timeout", "1", "--", "true").code == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "host.name: is not set"),
        (("--host", "H", "--address", "10.0.0.1/24"), "host name 'H' is not a DNS name"),
        (("--host", "h", "--address", "x"), "host address: 'x' is not an IP address"),
        (("--host", "h", "--address", "10.0.0.1/24", "--mtu", "-1"), "mtu -1 is not in 576 to 65535"),
        (("--host", "h", "--address", "10.0.0.1/24", "--agent-port", "0"), "Mesos agent port 0"),
        (("--host", "h", "--address", "10.0.0.1/24", "--socket", ""), "socket '' is not the absolute path"),
        (("--host", "h", "--address", "10.0.0.1/24", "--log-level", "loud"), "'loud' is not one of"),
    ],
)
def test_an_agent_that_is_set_up_wrongly_says_so_and_touches_nothing(shell, tmp_path, words, said):
    ended = shell("agent", *words)
    assert (ended.code, ended.out) == (78, "")
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []
