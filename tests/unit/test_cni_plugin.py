"""The plugin itself, in C and in Python: one set of tests, because nobody must be able to tell them apart."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from plugin_bed import GONE, Agent, read_to_end

from ocicat.agent.status import PATIENCE_S
from ocicat.cni import install, relay
from ocicat.cni.spec import VERSIONS

CC = shutil.which("cc")
LONG_MS, SHORT_MS = 20_000, 150
ADD = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/ns", "CNI_IFNAME": "eth0", "CNI_PATH": "/bin"}
LARGE = b"x" * ((1 << 20) - 200)


@pytest.fixture
def directory():
    """Short: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="oct-") as path:
        yield Path(path)


@pytest.fixture(params=["shim", "fallback"])
def put(request, directory):
    """Puts the plugin into the directory, beside a link to `agent.sock` there, with the patience given."""
    if request.param == "shim" and CC is None:
        pytest.skip("no C compiler")

    def place(patience_ms=LONG_MS, link=directory / "agent.sock"):
        if request.param == "shim":
            content = install.compiled(CC, f"PATIENCE_MS={patience_ms}")
        else:
            text = install.FALLBACK.read_text()
            assert text.count("PATIENCE_MS = 45000") == 1
            content = text.replace("PATIENCE_MS = 45000", f"PATIENCE_MS = {patience_ms}").encode()
        plugin = directory / "ocicat"
        plugin.write_bytes(content)
        plugin.chmod(0o755)
        if link:
            (directory / "ocicat.sock").symlink_to(link)
        return plugin

    return place


def run(plugin, environment=ADD, stdin=b"{}", extra=()):
    return subprocess.run([plugin, *extra], env=environment, input=stdin, capture_output=True, timeout=30, check=False)


def shown(result):
    assert (result.returncode, result.stderr) == (1, b"")
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "stdin", [b"", b'{"name": "n"}\n', b"\0\xff\0\0", LARGE], ids=["none", "json", "bytes", "large"]
)
def test_all_of_it_arrives_and_only_the_cni_variables(put, directory, stdin):
    plugin = put()
    with Agent(directory / "agent.sock", [b"0{}"]) as agent:
        result = run(plugin, {"HOME": "/x", "CNICE": "1", **ADD, "CNI_ARGS": "A=B;C=", "PATH": "/bin"}, stdin)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"{}", b"")
    environment, document = relay.parse(agent.requests[0])
    assert (environment, document) == ({**ADD, "CNI_ARGS": "A=B;C="}, stdin)


def test_without_any_variable_the_agent_is_asked_all_the_same(put, directory):
    plugin = put()
    with Agent(directory / "agent.sock", [b"1no"]) as agent:
        result = run(plugin, {})
    assert (result.returncode, result.stdout) == (1, b"no")
    assert agent.requests == [b"\0\0{}"]


def test_a_variable_that_is_no_text(put, directory):
    plugin = put()
    with Agent(directory / "agent.sock", [b"0"]) as agent:
        run(plugin, {b"CNI_IFNAME": b"\xff\xfe"}, b"")
    assert agent.requests == [b"CNI_IFNAME=\xff\xfe\0\0"]


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [(b"0", 0, b""), (b"1{}", 1, b"{}"), (b"0" + b"y" * 500_000, 0, b"y" * 500_000), (b"0\0\xff", 0, b"\0\xff")],
    ids=["empty", "error", "large", "bytes"],
)
def test_the_reply_is_the_output_and_the_exit_status(put, directory, answer, status, output):
    plugin = put()
    with Agent(directory / "agent.sock", [answer]):
        result = run(plugin)
    assert (result.returncode, result.stdout, result.stderr) == (status, output, b"")


def test_an_agent_that_dies_in_the_middle_is_asked_again(put, directory):
    plugin = put()
    with Agent(directory / "agent.sock", [GONE, GONE, b"0done"]) as agent:
        result = run(plugin)
    assert (result.returncode, result.stdout) == (0, b"done")
    assert len(set(agent.requests)) == 1


def test_an_agent_that_starts_late_is_waited_for(put, directory):
    plugin = put()
    path = directory / "agent.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # what an agent that was killed leaves: nobody listens
    with subprocess.Popen([plugin], env=ADD, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.12)
        path.unlink()
        with Agent(path, [b"0late"]):
            assert process.communicate(timeout=20)[0] == b"late"


def test_no_agent_is_code_11_when_the_patience_is_over(put, directory):
    plugin = put(SHORT_MS)
    start = time.monotonic()
    error = shown(run(plugin))
    assert time.monotonic() - start > SHORT_MS / 1000
    assert (error["code"], error["cniVersion"]) == (11, "0.2.0")
    assert error["msg"] == f"the ocicat agent at {directory}/agent.sock: No such file or directory"


def test_a_del_without_an_agent_succeeds_when_the_patience_is_over(put, directory):
    plugin = put(SHORT_MS)
    start = time.monotonic()
    result = run(plugin, {**ADD, "CNI_COMMAND": "DEL"})
    assert time.monotonic() - start > SHORT_MS / 1000
    assert (result.returncode, result.stdout) == (0, b"")
    assert result.stderr.decode().endswith("agent.sock does not answer: it will tidy up when it is back\n")


def test_an_agent_that_always_dies_is_code_11(put, directory):
    """What it says is how it ended the last time: without an answer in time, if just then this process was slow to hang up."""
    plugin = put(SHORT_MS)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "agent.sock"))
        listening.listen(0)
        reasons = (asked_in_vain(plugin, listening) for _ in range(10))
        said = next((reason for reason in reasons if reason != "no answer in time"), "no answer in time")
    assert said in ("it closed the connection", "Connection reset by peer")


def asked_in_vain(plugin, listening):
    with subprocess.Popen([plugin], env=ADD, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            hang_up(listening)
        error = json.loads(process.stdout.read())
    assert error["code"] == 11
    return error["msg"].rpartition(": ")[2]


def hang_up(listening):
    listening.settimeout(0.1)
    try:
        connection, _ = listening.accept()
    except TimeoutError:
        return
    with connection:
        connection.settimeout(None)
        read_to_end(connection)


@pytest.mark.parametrize("accepting", [True, False])
def test_an_agent_that_hangs_is_code_11(put, directory, accepting):
    plugin = put(SHORT_MS)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as other:
        listening.bind(str(directory / "agent.sock"))
        listening.listen(0)
        if not accepting:
            other.connect(str(directory / "agent.sock"))  # now the queue is full
        error = shown(run(plugin))
    assert error["code"] == 11
    assert error["msg"].endswith("no answer in time")


def test_a_refusal_before_the_request_was_read_is_heard(put, directory):
    """The agent refuses what is too large without reading it to the end."""
    plugin = put()

    def refuse():
        connection, _ = listening.accept()
        with connection:
            connection.recv(10)
            connection.sendall(b"1no")

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "agent.sock"))
        listening.listen()
        thread = threading.Thread(target=refuse)
        thread.start()
        result = run(plugin, stdin=LARGE)
        thread.join()
    assert (result.returncode, result.stdout) == (1, b"no")


def test_the_link_counts_also_while_it_leads_nowhere(put):
    """Another agent on the same machine must never be asked instead."""
    error = shown(run(put(SHORT_MS, link="/nowhere/of/ours.sock")))
    assert error["msg"] == "the ocicat agent at /nowhere/of/ours.sock: No such file or directory"


def test_without_a_link_it_is_the_default_socket(put):
    if relay.DEFAULT_SOCKET.exists():
        pytest.skip("an agent serves the default socket on this machine")
    error = shown(run(put(SHORT_MS, link=None)))
    assert str(relay.DEFAULT_SOCKET) in error["msg"]


def test_a_path_with_quotes_gives_readable_json(put):
    error = shown(run(put(SHORT_MS, link='/no"wh\\ere\n')))
    assert "/no?wh?ere?" in error["msg"]


@pytest.mark.parametrize("what", ["a file", "a long link"])
def test_what_is_no_good_link_is_code_5(put, directory, what):
    plugin = put(SHORT_MS, link=None if what == "a file" else "/" + "x" * 200)
    if what == "a file":
        (directory / "ocicat.sock").touch()
    error = shown(run(plugin))
    assert (error["code"], error["details"]) == (5, "install it again")


def test_too_much_input_is_code_6(put):
    error = shown(run(put(), stdin=b"x" * ((1 << 20) + 1)))
    assert (error["code"], error["msg"]) == (6, "the plugin's input: it is larger than 1 MiB")


def test_input_that_cannot_be_read_is_code_5(put):
    error = shown(run("/bin/sh", extra=["-c", 'exec "$0" <&-', put()]))
    assert (error["code"], error["msg"]) == (5, "the plugin's standard input: Bad file descriptor")


def test_without_an_agent_a_status_is_code_50_and_soon(put):
    began = time.monotonic()
    error = shown(run(put(LONG_MS), {"CNI_COMMAND": "STATUS"}))
    assert (error["code"], error["msg"].rpartition(": ")[2]) == (50, "No such file or directory")
    assert time.monotonic() - began < LONG_MS / 2000


def test_a_status_waits_longer_for_the_reason_than_the_agent_for_its_datastore():
    for text in (install.SHIM.read_text(), install.FALLBACK.read_text()):
        patience_ms = int(re.search(r"PATIENCE_OF_STATUS_MS(?: =)? (\d+)$", text, re.MULTILINE)[1])
        assert PATIENCE_S * 1000 < patience_ms < LONG_MS / 2


def test_version_needs_no_agent(put):
    result = run(put(link=None), {"CNI_COMMAND": "VERSION"}, b'{"cniVersion":"1.0.0"}')
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout) == {"cniVersion": VERSIONS[-1], "supportedVersions": list(VERSIONS)}


def test_both_are_written_with_the_agents_numbers():
    for text in (install.SHIM.read_text(), install.FALLBACK.read_text()):
        assert f'"{relay.DEFAULT_SOCKET}"' in text
        assert f'"{relay.LINK}"' in text or f'{relay.LINK}"' in text
        assert "1 << 20" in text
    assert relay.LIMIT_BYTES == 1 << 20
