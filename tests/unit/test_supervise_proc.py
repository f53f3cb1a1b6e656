"""Processes known by number and start time: never a wrong one signalled."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocicat.model.base import replace
from ocicat.supervise import proc
from ocicat.supervise.proc import Identity


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def known(process: subprocess.Popen[bytes]) -> Identity:
    found = proc.identity(process.pid)
    assert found is not None
    return found


def test_a_process_has_an_identity_while_it_lives(sleeper: subprocess.Popen[bytes]) -> None:
    who = known(sleeper)
    assert proc.alive(who)
    sleeper.kill()
    sleeper.wait()
    assert not proc.alive(who)


def test_a_zombie_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    who = known(sleeper)
    sleeper.kill()
    assert proc.wait_gone([who], timeout_s=5)
    assert not proc.alive(who)  # not reaped yet, and still in /proc


def test_a_number_that_was_given_out_again_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    former = replace(known(sleeper), started=1)
    assert not proc.send(former, signal.SIGKILL)
    assert proc.end([former], grace_s=0) == 0
    assert sleeper.poll() is None


def test_a_command_name_may_hold_anything(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        assert known(process).pid == process.pid
        process.kill()


def test_nobody_has_the_number_of_nobody() -> None:
    assert proc.identity(2**22 + 1) is None
    assert not proc.send(Identity(2**22 + 1, 1), signal.SIGTERM)


def test_ending_asks_first(sleeper: subprocess.Popen[bytes]) -> None:
    assert proc.end([known(sleeper)], grace_s=5) == 1
    assert sleeper.wait() == -signal.SIGTERM


def test_who_does_not_listen_is_killed() -> None:
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        assert proc.end([known(deaf)], grace_s=0.05) == 1
        assert deaf.wait() == -signal.SIGKILL
        os.killpg(deaf.pid, signal.SIGKILL)  # its last sleep


def test_waiting_for_a_living_process_ends_in_time(sleeper: subprocess.Popen[bytes]) -> None:
    assert not proc.wait_gone([known(sleeper)], timeout_s=0.01)


def test_this_process_and_its_ancestors_are_never_found() -> None:
    here = Path("/proc/self/ns/net")
    found = {who.pid for who in proc.inside([here])}
    assert os.getpid() not in found
    assert os.getppid() not in found


def test_a_namespace_that_is_gone_holds_nobody(tmp_path: Path) -> None:
    assert proc.inside([tmp_path / "nothing"]) == []
