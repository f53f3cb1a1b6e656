"""The command that the network isolator module runs, as its process; how it is installed, and how the module is told of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from cli_bed import Shell
from plugin_bed import GONE, Agent

from ocicat.cni import install, relay
from ocicat.mesos.netmodules import plugin as module
from ocicat.mesos.netmodules import protocol

ISOLATE = b'{"args":{"container_id":"c"},"command":"isolate"}'
RELEASE = b'{"args":{"ips":["10.0.0.1"]},"command":"release"}'
CLEANUP = b'{ "command" : "cleanup", "args":{"container_id":"c"}}'
LIKE_RELEASE = b'{"args":{"netgroups":["\\"command\\":\\"release\\""]},"command":"isolate"}'
LABELLED = [b'{"args":{"labels":{"command":"%s"}},"command":"isolate"}' % word for word in (b"release", b"cleanup")]
SHORT_S = 0.15


@pytest.fixture
def directory():
    """Short: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="oct-") as path:
        yield Path(path)


@pytest.fixture
def put(directory):
    """Installs the plugin for the agent at `agent.sock` there, with the patience given."""

    def place(**numbers):
        plugin = install.install_netmodules(directory, directory / "agent.sock")
        text = plugin.read_text()
        for name, value in numbers.items():
            text, found = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
            assert found == 1
        plugin.write_text(text)
        return plugin

    return place


def hasty(put):
    return put(PATIENCE_S=SHORT_S, PATIENCE_OF_LEAVING_S=SHORT_S)


def run(plugin, stdin=ISOLATE):
    return subprocess.run([plugin], env={}, input=stdin, capture_output=True, timeout=30, check=False)


def refused(result):
    """The text of its error."""
    assert (result.returncode, result.stderr) == (1, b"")
    (name, text), *others = json.loads(result.stdout).items()
    assert (name, others) == ("error", [])
    return text


@pytest.mark.parametrize("stdin", [ISOLATE, b"", b"\0\xff", b"x" * 1_000_000], ids=["json", "none", "bytes", "large"])
def test_the_request_arrives_as_it_is(put, directory, stdin):
    with Agent(directory / "agent.sock", [b'0{"error":null}']) as agent:
        result = run(put(), stdin)
    assert (result.returncode, result.stdout, result.stderr) == (0, b'{"error":null}', b"")
    environment, document = relay.parse(agent.requests[0])
    assert (environment, document) == ({relay.PROTOCOL: protocol.NAME}, stdin)


def test_the_reply_is_the_output_and_the_exit_status(put, directory):
    with Agent(directory / "agent.sock", [b'1{"error":"no"}']):
        assert refused(run(put())) == "no"


def test_an_agent_that_dies_in_the_middle_is_asked_again(put, directory):
    with Agent(directory / "agent.sock", [GONE, GONE, b"0{}"]) as agent:
        assert run(put()).stdout == b"{}"
    assert len(set(agent.requests)) == 1


@pytest.mark.parametrize("request_", [ISOLATE, LIKE_RELEASE, *LABELLED, b"", b"x"])
def test_without_an_agent_it_fails_when_the_patience_is_over(put, directory, request_):
    start = time.monotonic()
    text = refused(run(hasty(put), request_))
    assert (
        text
        == f"the ocicat agent at {directory}/agent.sock: No such file or directory (is it running? its log says more)"
    )
    assert time.monotonic() - start > SHORT_S


@pytest.mark.parametrize("request_", [RELEASE, CLEANUP])
def test_without_an_agent_what_takes_leave_succeeds(put, request_):
    """The module never repeats a release that failed, and does not go on to the cleanup."""
    start = time.monotonic()
    result = run(hasty(put), request_)
    assert (result.returncode, result.stdout) == (0, b'{"error":null}')
    assert result.stderr.endswith(b"No such file or directory; it will tidy up when it is back\n")
    assert time.monotonic() - start > SHORT_S


@pytest.mark.parametrize("accepting", [True, False])
def test_an_agent_that_hangs_does_not_keep_the_module_waiting(put, directory, accepting):
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as other:
        listening.bind(str(directory / "agent.sock"))
        listening.listen(0)
        if not accepting:
            other.connect(str(directory / "agent.sock"))  # now the queue is full
        assert "no answer in time" in refused(run(hasty(put)))


def test_whatever_happens_an_alarm_ends_it(put):
    """Here: standard input that never ends."""
    plugin = put(PATIENCE_S=-4)
    with subprocess.Popen([plugin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}) as process:
        assert process.wait(20) == -signal.SIGALRM
        assert process.stdout.read() == b""  # which the module takes for a failure


def test_input_that_is_no_good(put):
    plugin = put()
    assert refused(run(plugin, b"x" * ((1 << 20) + 1))) == "the request is larger than 1 MiB"
    closed = ["/bin/sh", "-c", 'exec "$0" <&-', plugin]
    assert "standard input: Bad file descriptor" in refused(
        subprocess.run(closed, env={}, capture_output=True, timeout=30, check=False)
    )


def test_a_path_with_quotes_gives_readable_json(put, directory):
    plugin = hasty(put)
    (directory / "ocicat.sock").unlink()
    (directory / "ocicat.sock").symlink_to('/no"wh\\ere\n')
    assert "/no?wh?ere?" in refused(run(plugin))


def test_a_link_that_is_none(put, directory):
    plugin = put()
    (directory / "ocicat.sock").unlink()
    (directory / "ocicat.sock").touch()
    assert "install it again" in refused(run(plugin))


def test_it_is_written_with_the_agents_words_and_numbers():
    assert str(relay.DEFAULT_SOCKET) == module.SOCKET
    assert f"{relay.PROTOCOL}={protocol.NAME}\0\0".encode() == module.HEAD
    assert relay.LIMIT_BYTES == module.LIMIT


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def test_install_and_modules_json(shell, tmp_path):
    plugin = shell.ok("mesos", "install-plugin", str(tmp_path / "bin"), "--socket", "/run/x.sock").out.strip()
    assert os.access(plugin, os.X_OK)
    assert str((tmp_path / "bin" / "ocicat.sock").readlink()) == "/run/x.sock"
    library = tmp_path / "lib.so"
    library.touch()
    ended = shell.ok("mesos", "modules-json", "--library", str(library), "--plugin", plugin)
    (found,) = json.loads(ended.out)["libraries"]
    isolator, hook = found["modules"]
    assert found["file"] == str(library)
    assert isolator["parameters"] == [
        {"key": "isolator_command", "value": plugin},
        {"key": "ipam_command", "value": plugin},
    ]
    assert (isolator["name"], hook) == (
        "com_mesosphere_mesos_NetworkIsolator",
        {"name": "com_mesosphere_mesos_NetworkHook"},
    )
    flags = "--isolation=com_mesosphere_mesos_NetworkIsolator and --hooks=com_mesosphere_mesos_NetworkHook"
    assert ended.err == f"ocicat: start mesos-slave with {flags}\n"


def test_modules_json_says_what_would_be_idle(shell):
    ended = shell.ok("mesos", "modules-json", "--library", "/no/such.so", "--plugin", "/no/such")
    assert ended.err.count("on this host: without it Mesos does not start") == 2


@pytest.mark.parametrize("plugin", ["/opt/ocicat --verbose", "ocicat-netmodules"])
def test_modules_json_refuses_what_the_module_would_not_find(shell, plugin):
    ended = shell("mesos", "modules-json", "--plugin", plugin)
    assert (ended.code, ended.out) == (2, "")
    assert "absolute path without blanks" in ended.err
