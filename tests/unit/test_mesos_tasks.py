"""What is known of a cluster's tasks after which events."""

from __future__ import annotations

import random

import pytest
from mesos_fake_operator import raw_agent, raw_framework, raw_status, raw_task, wrapped

from ocicat.mesos.operator_wire import RawEvent
from ocicat.mesos.tasks import (
    AgentGone,
    AgentSummary,
    Change,
    Cluster,
    FrameworkGone,
    FrameworkSummary,
    Report,
    Snapshot,
    Task,
    TaskUpdated,
)
from ocicat.mesos.types import NetworkStatus, TaskState
from ocicat.model.base import replace
from ocicat.model.codec import convert

RUNNING = TaskState.RUNNING
AGENT = AgentSummary("S0", "h1", "10.0.0.1", 5051, active=True, version="1.11.0")
FRAMEWORK = FrameworkSummary("F0", "demo", active=True, connected=True, roles=("web",))
TASK = Task(id="t", name="t", framework_id="F0", executor_id="t", agent_id="S0", state=TaskState.STAGING)
KNOWN = replace(TASK, framework="demo", role="web", host="h1", host_address="10.0.0.1")
NETWORKS = (NetworkStatus("ocicat", ip_addresses=("10.77.0.1",)),)
RAN = TaskUpdated(TASK.key, RUNNING, Report("C0", NETWORKS))


def cluster(*events):
    made = Cluster()
    made.apply(events)
    return made


def test_a_snapshot_is_all_there_is():
    known = cluster(Snapshot(tasks=(replace(TASK, id="old"),)))
    change = known.apply([Snapshot((AGENT,), (FRAMEWORK,), (TASK,))])
    assert known.tasks == {TASK.key: KNOWN}
    assert change == Change(True, frozenset({TASK.key, ("F0", "old")}), agents=True, frameworks=True)


def test_events_in_any_order_give_the_same():
    events = [AGENT, FRAMEWORK, TASK]
    for seed in range(6):
        random.Random(seed).shuffle(events)
        assert cluster(Snapshot(), *events).tasks == {TASK.key: KNOWN}


def test_a_status_brings_container_and_addresses():
    known = cluster(AGENT, FRAMEWORK, TASK)
    assert known.apply([RAN]) == Change(tasks=frozenset({TASK.key}))
    task = known.tasks[TASK.key]
    assert (task.state, task.running, task.container_id, task.ip_addresses) == (RUNNING, True, "C0", ("10.77.0.1",))


def test_what_a_status_does_not_say_is_as_it_was():
    known = cluster(TASK, RAN, TaskUpdated(TASK.key, RUNNING, Report(healthy=True, labels={"a": "b"})))
    known.apply([TaskUpdated(TASK.key, TaskState.UNREACHABLE, Report())])
    task = known.tasks[TASK.key]
    assert not task.running
    assert (task.container_id, task.networks, task.healthy, task.status_labels) == ("C0", NETWORKS, True, {"a": "b"})


def test_the_same_once_more_is_no_change():
    known = cluster(AGENT, FRAMEWORK, TASK, RAN)
    assert known.apply([RAN]) == Change()


def test_a_task_that_came_and_went_between_two_looks_is_no_change():
    assert cluster().apply([TASK, TaskUpdated(TASK.key, TaskState.FAILED, Report())]) == Change()


@pytest.mark.parametrize("state", [TaskState.FINISHED, TaskState.LOST, TaskState.GONE])
def test_a_task_that_ended_is_gone(state):
    known = cluster(TASK)
    assert known.apply([TaskUpdated(TASK.key, state, Report())]) == Change(tasks=frozenset({TASK.key}))
    assert known.tasks == {}


def test_a_status_of_a_task_nobody_told_of_is_nothing():
    assert cluster().apply([RAN]) == Change()


def test_a_framework_takes_its_tasks_with_it():
    other = replace(TASK, framework_id="F1")
    known = cluster(FRAMEWORK, TASK, other)
    assert known.apply([FrameworkGone("F0")]) == Change(tasks=frozenset({TASK.key}), frameworks=True)
    assert set(known.tasks) == {other.key}


def test_a_framework_of_a_new_name_renames_its_tasks():
    known = cluster(FRAMEWORK, TASK)
    known.apply([replace(FRAMEWORK, name="other")])
    assert known.tasks[TASK.key].framework == "other"


def test_the_role_is_that_of_the_resources_where_it_is_known():
    many = replace(FRAMEWORK, roles=("a", "b"))
    assert cluster(many, TASK).tasks[TASK.key].role == ""
    assert cluster(many, replace(TASK, role="b")).tasks[TASK.key].role == "b"


# --- a new master ------------------------------------------------------------------------------------------------


def failed_over(*events):
    """A master that waits for its agent S0, and what comes then."""
    known = cluster(AGENT, FRAMEWORK, TASK, RAN)
    assert known.apply([Snapshot(recovered=frozenset({"S0"}))]).tasks == frozenset()
    return known, known.apply(events)


def test_tasks_on_agents_that_a_new_master_waits_for_stay_as_they_were():
    known, change = failed_over()
    assert change == Change()
    assert known.tasks == {TASK.key: replace(KNOWN, state=RUNNING, container_id="C0", networks=NETWORKS)}
    assert known.frameworks == {"F0": FRAMEWORK}
    assert known.agents == {"S0": replace(AGENT, active=False)}


def test_an_agent_that_comes_back_with_its_task_keeps_it():
    back = replace(TASK, state=RUNNING, container_id="C0", networks=NETWORKS)  # it comes before its agent
    known, _ = failed_over(back)
    assert known.tasks[TASK.key].host == "h1"
    known, change = failed_over(back, FRAMEWORK, AGENT)
    assert change.tasks == frozenset()
    assert (set(known.tasks), known.agents) == ({TASK.key}, {"S0": AGENT})


def test_an_agent_that_comes_back_without_its_task_has_lost_it():
    known, change = failed_over(AGENT)
    assert (known.tasks, change.tasks) == ({}, frozenset({TASK.key}))


def test_an_agent_that_is_given_up_takes_its_tasks_along():
    known, change = failed_over(AgentGone("S0"))
    assert (known.tasks, known.agents, change.tasks) == ({}, {}, frozenset({TASK.key}))


def test_a_second_new_master_is_like_the_first():
    known, _ = failed_over(Snapshot(recovered=frozenset({"S0"})))
    assert set(known.tasks) == {TASK.key}
    assert known.apply([Snapshot()]).tasks == frozenset({TASK.key})
    assert (known.tasks, known.frameworks, known._kept) == ({}, {}, set())


def test_an_agent_that_leaves_in_normal_times_leaves_its_tasks_to_their_statuses():
    known = cluster(AGENT, TASK)
    assert known.apply([AgentGone("S0")]) == Change(agents=True)
    assert set(known.tasks) == {TASK.key}


# --- from the wire -----------------------------------------------------------------------------------------------


def event(kind, **members):
    return convert(RawEvent, {"type": kind, **members}).event()


def test_every_event_of_a_master_is_understood():
    state = {
        "get_tasks": {"tasks": [raw_task("t"), raw_task("old", state="TASK_FAILED")]},
        "get_agents": {"agents": [raw_agent()], "recovered_agents": [{"id": wrapped("S9"), "hostname": "h9"}]},
        "get_frameworks": {"frameworks": [raw_framework()]},
    }
    snapshot = event("SUBSCRIBED", subscribed={"get_state": state, "heartbeat_interval_seconds": 15.0})
    assert snapshot.recovered == {"S9"}
    assert [task.id for task in snapshot.tasks] == ["t"]
    assert snapshot.agents == (replace(AGENT, version=""),)
    assert event("TASK_ADDED", task_added={"task": raw_task("t", address="10.77.0.1")}).networks == NETWORKS
    assert event("AGENT_ADDED", agent_added={"agent": raw_agent()}) == replace(AGENT, version="")
    assert event("AGENT_REMOVED", agent_removed={"agent_id": wrapped("S0")}) == AgentGone("S0")
    for kind in ("framework_added", "framework_updated"):
        told = event(kind.upper(), **{kind: {"framework": {**raw_framework(), "connected": True}}})
        assert told == FRAMEWORK
    assert event("FRAMEWORK_REMOVED", framework_removed=raw_framework()) == FrameworkGone("F0")
    assert event("HEARTBEAT") is None
    assert event("OF_A_LATER_MESOS", of_a_later_mesos={}) is None


def test_the_state_of_an_update_is_the_tasks_and_not_that_of_an_older_status():
    status = raw_status("t", "TASK_STARTING", "10.77.0.1")
    told = event(
        "TASK_UPDATED", task_updated={"framework_id": wrapped("F0"), "status": status, "state": "TASK_RUNNING"}
    )
    assert told == RAN


def test_a_status_without_a_container_says_nothing_of_networks():
    status = {"task_id": wrapped("t"), "state": "TASK_UNREACHABLE", "reason": "REASON_AGENT_REMOVED"}
    update = {"framework_id": wrapped("F0"), "status": status, "state": "TASK_UNREACHABLE"}
    assert event("TASK_UPDATED", task_updated=update).report == Report()


def test_a_nested_container_is_named_with_its_parent():
    status = raw_status("t", "TASK_RUNNING", "10.77.0.1", container="child")
    status["container_status"]["container_id"]["parent"] = wrapped("root")
    update = {"framework_id": wrapped("F0"), "status": status, "state": "TASK_RUNNING"}
    assert event("TASK_UPDATED", task_updated=update).report.container_id == "root.child"
