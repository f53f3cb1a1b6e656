"""What a host asks its peers and its own agent: with few descriptors, of masters that are silent, of a file in another place."""

import asyncio
import errno
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from ocicat.changes.files import Tree
from ocicat.errors import Refused
from ocicat.host.facts import agents, reach
from ocicat.host.facts.processes import Process
from ocicat.mesos.masters import Endpoint

MANY = """
import asyncio, resource, sys
from ocicat.host.facts.reach import try_all
from ocicat.host.ports import Opening
from ocicat.host.roles import parse_peers
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
(peer,) = parse_peers(["127.0.0.1"], ["agent"])
tried = asyncio.run(try_all([(peer, "127.0.0.1", Opening("tcp", int(sys.argv[1])))] * 200))
print(*{one.outcome for one in tried})
"""


def test_there_are_more_ports_than_descriptors():
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        words = [sys.executable, "-c", MANY, str(server.getsockname()[1])]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "open\n"


@pytest.mark.parametrize(
    ("number", "rejected", "wanted"),
    [
        (errno.ECONNREFUSED, False, "refused"),
        (errno.ECONNRESET, False, "refused"),
        (errno.ECONNREFUSED, True, "rejected"),
        (errno.EHOSTUNREACH, False, "unreachable"),
        (errno.EADDRNOTAVAIL, False, "unreachable"),
        (errno.EPERM, False, "unreachable"),
    ],
)
def test_what_an_error_says_of_a_peer(number, rejected, wanted):
    assert reach._outcome(OSError(number, "x"), rejected=rejected) == wanted


def test_an_error_of_this_host_says_nothing_of_a_peer():
    with pytest.raises(Refused, match="Too many"):
        reach._outcome(OSError(errno.EMFILE, "Too many open files"), rejected=False)


class Telling(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"slaves": [{"hostname": "h9", "pid": "slave(1)@10.0.0.9:5051"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def telling():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Telling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Endpoint("127.0.0.1", server.server_port)
        server.shutdown()


def look(tmp_path, *processes, masters=()):
    return asyncio.run(agents.look(Tree(tmp_path, "host check"), processes, masters))


def test_silent_masters_are_waited_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr(agents, "PATIENCE_S", 1.0)
    silent = [socket.create_server(("127.0.0.1", 0)) for _ in range(10)]
    try:
        with telling() as last:
            masters = [*(Endpoint("127.0.0.1", one.getsockname()[1]) for one in silent), last]
            began = time.monotonic()
            found = look(tmp_path, masters=masters)
            took_s = time.monotonic() - began
    finally:
        for one in silent:
            one.close()
    assert [(one.hostname, one.addresses) for one in found.known] == [("h9", ("10.0.0.9",))]
    assert took_s < 6


@contextmanager
def agent(directory, *options):
    """What an agent's process looks like: its words, and its directory."""
    words = ("-c", "import sys; print(flush=True); sys.stdin.read()", "ocicat", "agent", *options)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *words], cwd=directory, **pipes) as process:
        process.stdout.readline()
        try:
            yield Process(process.pid, "python3", (sys.executable, *words))
        finally:
            process.stdin.close()


def test_the_agent_s_file_is_the_one_that_the_agent_sees(tmp_path):
    (tmp_path / "o.toml").write_text('[host]\nname = "another"\n[agent]\nmtu = 1400\n')
    with agent(tmp_path, "--config", "o.toml") as process:
        assert look(tmp_path, process).own == agents.Own("another", 1400)


def test_a_file_of_the_agent_that_cannot_be_read_is_told(tmp_path):
    with agent(tmp_path, "--config", "o.toml", "--host", "h1") as process:
        found = look(tmp_path, process).own
    assert (found.name, found.mtu) == ("h1", 0)
    assert f"{tmp_path}/o.toml" in found.unread
