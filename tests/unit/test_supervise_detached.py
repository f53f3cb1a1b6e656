"""One process kept running beyond the end of who started it: real supervisors, of processes that do nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocicat.errors import Refused
from ocicat.supervise import detached, proc
from ocicat.supervise.detached import Job, Sight

PATIENCE_S = 30.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    detached.stop(tmp_path / "run", "job")


def job(place: Path, *argv: str) -> Job:
    return Job("job", argv or ("sleep", "600"), str(place.parent / "log" / "job.log"), grace_s=5.0)


def seen(place: Path, holds: Callable[[Sight], bool]) -> Sight:
    ends = time.monotonic() + PATIENCE_S
    while True:
        found = detached.look(place, "job")
        if found and holds(found):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.01)


def test_it_runs_and_is_gone_after_a_stop(place: Path) -> None:
    started = detached.start(job(place), place)
    running = seen(place, lambda sight: sight.run.identity is not None)
    assert running.supervisor == started.supervisor
    assert os.getsid(running.supervisor.pid) != os.getsid(0)
    assert detached.stop(place, "job")
    assert running.run.identity is not None
    assert not proc.alive(running.run.identity)
    assert not proc.alive(running.supervisor)
    assert list(place.iterdir()) == []
    assert not detached.stop(place, "job")


def test_what_is_killed_comes_back(place: Path) -> None:
    detached.start(job(place), place)
    first = seen(place, lambda sight: sight.run.identity is not None).run.identity
    assert first is not None
    assert proc.send(first, signal.SIGKILL)
    again = seen(place, lambda sight: sight.run.restarts == 1 and sight.run.identity is not None)
    assert again.run.identity != first
    assert again.run.last_exit == "ended by SIGKILL"


def test_nothing_runs_without_its_supervisor(place: Path) -> None:
    detached.start(job(place), place)
    found = seen(place, lambda sight: sight.run.identity is not None)
    assert proc.send(found.supervisor, signal.SIGKILL)
    assert found.run.identity is not None
    assert proc.wait_gone([found.supervisor, found.run.identity], timeout_s=PATIENCE_S)
    assert detached.look(place, "job") is None
    assert detached.start(job(place), place).supervisor != found.supervisor


def test_a_second_one_is_refused_and_the_lock_holds(place: Path) -> None:
    detached.start(job(place), place)
    with pytest.raises(Refused, match="job runs already"):
        detached.start(job(place), place)
    with pytest.raises(Refused, match="job has a supervisor already"):
        detached.claim(place, "job")


def test_it_says_why_it_could_not_be_started(place: Path) -> None:
    detached.start(job(place, "/no/such/program"), place)
    found = seen(place, lambda sight: sight.run.restarts >= 1)
    assert found.run.last_exit == "ended with status 127"
    assert "/no/such/program" in detached.last_lines(found.job.log)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_it_runs_as_its_user(place: Path) -> None:
    line = (sys.executable, "-c", "import os, time; print(os.getuid(), os.getgroups(), flush=True); time.sleep(600)")
    asked = Job("job", line, str(place.parent / "job.log"), user="nobody")
    detached.start(asked, place)
    ends = time.monotonic() + PATIENCE_S
    while "65534 [65534]" not in detached.last_lines(asked.log):
        assert time.monotonic() < ends, detached.last_lines(asked.log)
        time.sleep(0.01)
