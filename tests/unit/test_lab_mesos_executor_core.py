"""The executor's state machine: what it does for which event, with no process and no agent."""

from __future__ import annotations

import json
from itertools import count

import pytest

from ocicat.lab.mesos.executor.core import Destroy, Executor, Leave, Send, Start, Terminate
from ocicat.lab.mesos.executor.messages import (
    Acknowledged,
    Command,
    Error,
    Identity,
    Kill,
    Launch,
    LaunchGroup,
    Shutdown,
    Subscribed,
    Task,
)

COMMAND = Command("/bin/sh", ("sh", "-c", "true"), {})
RAW = {"task_id": {"value": "t1"}}


def task(task_id="t1", problem=""):
    return Task(task_id, COMMAND, 3.0, problem, RAW)


@pytest.fixture
def executor():
    numbers = count()
    return Executor(Identity("f", "e"), 4.0, lambda: f"u{next(numbers)}", lambda: 0.0)


@pytest.fixture
def running(executor):
    """One whose task runs; u0 is TASK_STARTING, u1 TASK_RUNNING."""
    executor.handle(Subscribed(False))
    executor.handle(Launch(task()))
    executor.started()
    return executor


def states(effects):
    return [effect.update.state for effect in effects if isinstance(effect, Send)]


def rest(effects):
    return [effect for effect in effects if not isinstance(effect, Send)]


def acknowledge(executor, *uuids):
    for uuid in uuids:
        executor.handle(Acknowledged(uuid))


def test_a_launch_starts_the_task_and_says_so(executor):
    effects = executor.handle(Launch(task()))
    assert (states(effects), rest(effects)) == (["TASK_STARTING"], [Start(COMMAND)])
    assert states(executor.started()) == ["TASK_RUNNING"]


@pytest.mark.parametrize(("success", "state"), [(True, "TASK_FINISHED"), (False, "TASK_FAILED")])
def test_the_end_of_the_task_is_reported_in_words(running, success, state):
    (send,) = running.exited(success, "how it ended")
    assert (send.update.state, send.update.message) == (state, "how it ended")


def test_it_is_done_only_when_everything_is_acknowledged(running):
    running.exited(True, "")
    acknowledge(running, "u0", "u1")
    assert not running.done
    acknowledge(running, "u2")
    assert running.done


def test_an_acknowledgement_before_the_end_does_not_end_it(running):
    acknowledge(running, "u0", "u1")
    assert not running.done


def test_a_task_that_cannot_start_fails_with_the_cause(executor):
    executor.handle(Launch(task()))
    (send,) = executor.not_started("sh: No such file")
    assert (send.update.state, send.update.message) == ("TASK_FAILED", "sh: No such file")


def test_a_task_with_a_problem_is_not_started(executor):
    (send,) = executor.handle(Launch(task(problem="no such thing")))
    assert (send.update.state, send.update.reason) == ("TASK_FAILED", "REASON_TASK_INVALID")
    acknowledge(executor, "u0")
    assert executor.done


def test_a_kill_asks_first_and_destroys_when_the_grace_is_over(running):
    assert running.handle(Kill("t1", None)) == [Terminate(3.0)]
    assert running.grace_over() == [Destroy()]
    assert states(running.exited(False, "killed")) == ["TASK_KILLED"]


def test_a_kill_brings_its_own_grace(running):
    assert running.handle(Kill("t1", 0.5)) == [Terminate(0.5)]


def test_a_task_that_was_told_to_end_is_killed_even_if_it_succeeds(running):
    running.handle(Kill("t1", None))
    assert states(running.exited(True, "")) == ["TASK_KILLED"]


def test_killing_is_said_once_and_only_to_who_wants_to_hear_it(running):
    running.handle(Subscribed(True))
    assert states(running.handle(Kill("t1", None))) == ["TASK_KILLING"]
    assert states(running.handle(Kill("t1", None))) == []


def test_a_kill_for_somebody_else_or_too_late_does_nothing(running):
    assert running.handle(Kill("t2", None)) == []
    running.exited(True, "")
    assert running.handle(Kill("t1", None)) == []
    assert running.grace_over() == []


def test_a_second_task_is_refused_and_the_first_runs_on(running):
    (send,) = running.handle(Launch(task("t2")))
    assert (send.update.task_id, send.update.state) == ("t2", "TASK_FAILED")
    acknowledge(running, "u0", "u1", "u2")
    assert not running.done


def test_a_group_is_refused_task_by_task(executor):
    effects = executor.handle(LaunchGroup((task("a"), task("b"))))
    assert [(effect.update.task_id, effect.update.state) for effect in effects] == [
        ("a", "TASK_FAILED"),
        ("b", "TASK_FAILED"),
    ]
    acknowledge(executor, "u0", "u1")
    assert executor.done


def test_a_shutdown_ends_the_task_and_then_leaves_without_waiting_for_long(running):
    assert running.handle(Shutdown()) == [Terminate(4.0)]
    effects = running.exited(False, "")
    assert (states(effects), [type(effect) for effect in rest(effects)]) == (["TASK_KILLED"], [Leave])


@pytest.mark.parametrize("event", [Shutdown(), Error("go away")])
def test_a_shutdown_without_a_task_is_the_end(executor, event):
    executor.handle(event)
    assert executor.done


def test_a_new_subscription_carries_what_is_not_acknowledged(running):
    call = json.loads(running.subscription())["subscribe"]
    assert call["unacknowledged_tasks"] == [RAW]
    assert [update["status"]["state"] for update in call["unacknowledged_updates"]] == ["TASK_STARTING", "TASK_RUNNING"]


def test_a_new_subscription_carries_nothing_that_is_acknowledged(running):
    acknowledge(running, "u0", "u1")
    call = json.loads(running.subscription())["subscribe"]
    assert (call["unacknowledged_tasks"], call["unacknowledged_updates"]) == ([], [])
