"""The demo's measuring instrument: what it calls reached answers, and nothing else."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocicat.lab import probe

pytestmark = pytest.mark.netns

# With the loopback alone there is no route to anywhere; 127.0.0.2 is forbidden by a rule.
RULES = "add table t; add chain t o {type filter hook output priority 0;}; add rule t o ip daddr 127.0.0.2 reject"
SETUP = f"ip link set lo up && nft '{RULES}' && exec \"$@\""


def probed(*targets, timeout_s=0.5):
    """In a network namespace of its own, which ends with the process."""
    line = ["unshare", "--net", "sh", "-c", SETUP, "sh", sys.executable, "-ISE", Path(probe.__file__), str(timeout_s)]
    done = subprocess.run([*map(str, line), *targets], capture_output=True, text=True, check=True, timeout=20)
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "target",
    ["tcp:192.0.2.1:80", "icmp:192.0.2.1", "tcp:127.0.0.1:9", "tcp:127.0.0.2:80", "icmp:127.0.0.2"],
    ids=["no route", "no route for ping", "nobody listens", "forbidden", "forbidden for ping"],
)
def test_what_does_not_answer_is_not_reached(target):
    assert probed(target) == {target: "no"}


def test_what_answers_is_reached():
    assert probed("icmp:127.0.0.1") == {"icmp:127.0.0.1": "yes"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        assert probe.probe([target], 5.0) == {target: True}


def test_a_server_that_is_still_starting_is_reached():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        late = threading.Timer(0.3, server.listen)
        late.start()
        assert probe.probe([target], 5.0) == {target: True}
        late.join()
