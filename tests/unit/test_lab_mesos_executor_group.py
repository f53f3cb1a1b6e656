"""The default executor's state machine: groups that live and die as one, with no containers and no agent."""

from __future__ import annotations

import json
import signal
from itertools import count

import pytest

from ocicat.lab.mesos.executor.core import Leave, Send
from ocicat.lab.mesos.executor.group import GroupExecutor, KillChild, LaunchChild
from ocicat.lab.mesos.executor.messages import (
    Acknowledged,
    Command,
    Identity,
    Kill,
    Launch,
    LaunchGroup,
    Shutdown,
    Subscribed,
    Task,
)

OWN = {"value": "parent"}


def task(task_id, problem=""):
    return Task(task_id, Command("/bin/sh", ("sh",), {}), 3.0, problem, {"task_id": {"value": task_id}})


def path(container):
    return {"value": container, "parent": OWN}


@pytest.fixture
def executor():
    uuids, containers = count(), count()
    made = GroupExecutor(
        Identity("f", "e"), 4.0, lambda: f"u{next(uuids)}", lambda: f"c{next(containers)}", lambda: 0.0
    )
    made.handle(Subscribed(False, OWN))
    return made


@pytest.fixture
def running(executor):
    """A group of `a` in c0 and `b` in c1; and one of `z` alone, in c2."""
    executor.handle(LaunchGroup((task("a"), task("b"))))
    executor.handle(LaunchGroup((task("z"),)))
    for container in ("c0", "c1", "c2"):
        executor.launched(container)
    return executor


def said(effects):
    return [(each.update.task_id, each.update.state) for each in effects if isinstance(each, Send)]


def rest(effects):
    return [each for each in effects if not isinstance(each, Send)]


def acknowledge_all(executor):
    for uuid in list(executor._unacknowledged):
        executor.handle(Acknowledged(uuid))


def test_a_group_is_launched_task_by_task_within_the_executors_container(executor):
    a, b = task("a"), task("b")
    effects = executor.handle(LaunchGroup((a, b)))
    assert said(effects) == [("a", "TASK_STARTING"), ("b", "TASK_STARTING")]
    assert rest(effects) == [LaunchChild("c0", path("c0"), a), LaunchChild("c1", path("c1"), b)]
    (send,) = executor.launched("c1")
    assert (send.update.task_id, send.update.state, send.update.container) == ("b", "TASK_RUNNING", path("c1"))


def test_done_when_all_have_ended_and_all_is_acknowledged(running):
    for container in ("c0", "c1", "c2"):
        assert not running.done
        effects = running.exited(container, 0)
        assert [state for _, state in said(effects)] == ["TASK_FINISHED"]
        assert rest(effects) == []
    assert not running.done
    acknowledge_all(running)
    assert running.done


@pytest.mark.parametrize("status", [3 << 8, signal.SIGKILL, None])
def test_a_task_that_fails_takes_its_group_along_and_no_other(running, status):
    effects = running.exited("c0", status)
    assert said(effects) == [("a", "TASK_FAILED")]
    assert rest(effects) == [KillChild("c1", path("c1"), signal.SIGTERM, 3.0)]
    assert said(running.exited("c1", signal.SIGTERM)) == [("b", "TASK_KILLED")]
    assert [child.task.task_id for child in running.alive] == ["z"]


def test_a_kill_ends_the_group_and_after_its_grace_for_good(running):
    assert rest(running.handle(Kill("b", 1.0))) == [KillChild("c1", path("c1"), signal.SIGTERM, 1.0)]
    assert rest(running.grace_over("c1")) == [KillChild("c1", path("c1"), signal.SIGKILL)]
    effects = running.exited("c1", signal.SIGKILL)
    assert said(effects) == [("b", "TASK_KILLED")]
    assert rest(effects) == [KillChild("c0", path("c0"), signal.SIGTERM, 3.0)]
    assert running.grace_over("c1") == []


def test_a_kill_of_what_is_just_being_launched_waits_for_it(executor):
    executor.handle(LaunchGroup((task("a"),)))
    assert executor.handle(Kill("a", None)) == []
    effects = executor.launched("c0")
    assert rest(effects) == [KillChild("c0", path("c0"), signal.SIGKILL)]
    assert said(executor.exited("c0", signal.SIGKILL)) == [("a", "TASK_KILLED")]


def test_a_container_that_is_not_made_fails_its_task_with_the_cause(executor):
    executor.handle(LaunchGroup((task("a"),)))
    (send,) = executor.not_launched("c0", "the agent answered no")
    assert (send.update.state, send.update.message) == ("TASK_FAILED", "the agent answered no")


def test_of_a_group_with_a_problem_nothing_runs(executor):
    effects = executor.handle(LaunchGroup((task("a"), task("b", "no such thing"))))
    assert said(effects)[2:] == [("a", "TASK_FAILED"), ("b", "TASK_FAILED")]
    assert rest(effects) == []
    acknowledge_all(executor)
    assert executor.done


def test_a_single_task_is_refused(executor):
    effects = executor.handle(Launch(task("a")))
    assert said(effects)[-1] == ("a", "TASK_FAILED")


def test_a_shutdown_ends_all_and_then_leaves(running):
    assert [each.container for each in running.handle(Shutdown())] == ["c0", "c1", "c2"]
    assert rest(running.exited("c0", 15)) != [Leave(0.5)]
    running.exited("c1", 15)
    assert Leave(0.5) in running.exited("c2", 15)


def test_a_new_subscription_says_what_was_not_acknowledged(running):
    call = json.loads(running.subscription())["subscribe"]
    assert [each["task_id"]["value"] for each in call["unacknowledged_tasks"]] == ["a", "b", "z"]
    states = [each["status"]["state"] for each in call["unacknowledged_updates"]]
    assert states == ["TASK_STARTING"] * 3 + ["TASK_RUNNING"] * 3
    acknowledge_all(running)
    call = json.loads(running.subscription())["subscribe"]
    assert (call["unacknowledged_tasks"], call["unacknowledged_updates"]) == ([], [])
