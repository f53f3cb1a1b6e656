"""How a lab is: its state compared with what lives."""

from __future__ import annotations

import pytest

from ocicat.lab.spec import LabSpec
from ocicat.lab.state import State
from ocicat.lab.status import ProcessState, ProcessStatus, status
from ocicat.supervise.keeper import ProcessSpec, Run
from ocicat.supervise.proc import Identity

SUPERVISOR = Run("supervisor", identity=Identity(1, 1), since=50.0)
PROCESS = ProcessSpec("agent-h1", "h1", ("true",), "/logs/agent-h1.log", "/ready")


def judged(run: Run, *, living: set[int], ready: bool = True, supervisor: Run = SUPERVISOR) -> ProcessStatus:
    known = State(
        spec=LabSpec(hosts=1, directory="/run/lab"),
        since=50.0,
        processes=(PROCESS,),
        supervisor=supervisor,
        runs=(run,),
    )
    found = status(known, 60.0, lives=lambda who: who.pid in living, exists=lambda _path: ready)
    return found.processes[1]


LIVING = Run("agent-h1", identity=Identity(7, 7), since=58.0)


@pytest.mark.parametrize(
    ("run", "living", "ready", "expected"),
    [
        (LIVING, {1, 7}, True, "running"),
        (LIVING, {1, 7}, False, "starting"),
        (LIVING, {7}, True, "running"),  # without a supervisor it runs all the same
        (LIVING, {1}, True, "waiting"),
        (LIVING, set(), True, "dead"),
        (Run("agent-h1", last_exit="ended with status 1"), {1}, False, "waiting"),
        (Run("agent-h1", last_exit="ended with status 1"), set(), False, "dead"),
        (Run("agent-h1", wanted=False), {1}, False, "stopped"),
    ],
)
def test_the_state_of_a_process(run: Run, living: set[int], ready: bool, expected: ProcessState) -> None:
    assert judged(run, living=living, ready=ready).state == expected


def test_a_living_process_has_a_number_and_an_age() -> None:
    found = judged(LIVING, living={1, 7})
    assert (found.pid, found.uptime_s) == (7, 2.0)


def test_a_dead_one_has_neither_and_says_that_nobody_saw_it_end() -> None:
    found = judged(LIVING, living=set())
    assert (found.pid, found.uptime_s, found.last_exit) == (0, 0.0, "ended, and nobody saw how")


def test_a_lab_is_up_when_all_of_it_runs() -> None:
    known = State(
        spec=LabSpec(hosts=1, directory="/run/lab"),
        since=50.0,
        processes=(PROCESS,),
        supervisor=SUPERVISOR,
        runs=(LIVING,),
    )
    assert status(known, 60.0, lives=lambda _who: True, exists=lambda _path: True).up
    assert not status(known, 60.0, lives=lambda who: who.pid == 1, exists=lambda _path: True).up


def test_a_supervisor_that_has_not_come_yet_makes_the_lab_not_up() -> None:
    known = State(spec=LabSpec(hosts=1, directory="/run/lab"), since=50.0)
    assert not status(known, 60.0).up
