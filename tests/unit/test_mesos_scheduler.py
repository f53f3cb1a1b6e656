"""The scheduler without a connection: what it answers to what it hears."""

from __future__ import annotations

import json

import pytest

from ocicat.clock import ManualClock
from ocicat.errors import Refused
from ocicat.mesos.scheduler import RETRY_S, Scheduler, Task
from ocicat.mesos.types import Constraint, TaskSpec, TaskState
from ocicat.mesos.wire import Event, FrameworkInfo
from ocicat.model.codec import decode_json


class Told:
    """A scheduler, a clock in the hand, and short words for what a master says."""

    def __init__(self, *, subscribed=True):
        self.clock = ManualClock()
        info = FrameworkInfo("root", "test", ("*",), 60.0, checkpoint=True, capabilities=())
        self.core = Scheduler(info, self.clock, placement_s=30.0)
        if subscribed:
            self.subscribed()

    def event(self, kind, **members):
        self.core.receive(decode_json(Event, json.dumps({"type": kind, **members})))

    def subscribed(self):
        self.event("SUBSCRIBED", subscribed={"framework_id": {"value": "F"}})

    def offer(self, *hosts, cpus=4):
        def raw(host):
            resources = [
                {"name": name, "type": "SCALAR", "scalar": {"value": v}} for name, v in (("cpus", cpus), ("mem", 999))
            ]
            ids = {"id": {"value": f"o-{host}"}, "agent_id": {"value": f"s-{host}"}}
            return {**ids, "hostname": host, "resources": resources}

        self.event("OFFERS", offers={"offers": [raw(host) for host in hosts]})

    def update(self, task, state, *, uuid="", **more):
        ids = {"task_id": {"value": task.id}, "agent_id": {"value": "s-h1"}}
        self.event("UPDATE", update={"status": {**ids, "state": f"TASK_{state}", "uuid": uuid, **more}})

    def launch(self, task_id="t", **more):
        return self.core.launch(task_id, TaskSpec("t", "true", **more))

    def launched(self):
        task = self.launch()
        self.offer("h1")
        self.calls()
        return task

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.core.tick()

    def calls(self):
        return [call.type for call in self.said()]

    def said(self):
        self.last = self.core.take_calls()
        return self.last


@pytest.fixture
def told():
    return Told()


def test_the_first_subscription_has_no_id_and_wants_no_offers():
    call = Told(subscribed=False).core.subscribe_call()
    assert (call.framework_id, call.subscribe.framework_info.id) == (None, None)
    assert call.subscribe.suppressed_roles == ("*",)


def test_a_later_subscription_keeps_the_id(told):
    call = told.core.subscribe_call()
    assert call.framework_id.value == call.subscribe.framework_info.id.value == "F"


def test_a_subscription_with_waiting_tasks_wants_offers():
    told = Told(subscribed=False)
    told.launch()
    assert told.core.subscribe_call().subscribe.suppressed_roles == ()
    told.subscribed()
    assert told.calls() == ["REVIVE"]


def test_tasks_that_come_together_ask_for_offers_once(told):
    told.launch("a")
    told.launch("b")
    assert told.calls() == ["REVIVE"]


def test_a_task_after_an_offer_asks_again(told):
    told.launched()
    told.launch("b")
    assert told.calls() == ["REVIVE"]


def test_offers_are_taken_or_declined_at_once_and_then_not_wanted(told):
    task = told.launch()
    told.calls()
    told.offer("h1", "h2")
    accept, decline, suppress = told.said()
    assert accept.accept.operations[0].launch.task_infos[0].task_id.value == "t"
    assert [offer.value for offer in decline.decline.offer_ids] == ["o-h2"]
    assert suppress.type == "SUPPRESS"
    assert {call.framework_id.value for call in told.last} == {"F"}
    assert (task.hostname, task.agent_id) == ("h1", "s-h1")


def test_an_offer_too_small_is_declined_for_a_short_time_and_more_are_wanted(told):
    told.launch(cpus=8)
    told.calls()
    told.offer("h1")
    (decline,) = told.said()
    assert decline.decline.filters.refuse_seconds < 10


def test_every_update_is_acknowledged_each_time_and_is_news_once(told):
    task = told.launched()
    for _ in range(2):
        told.update(task, "RUNNING", uuid="u1")
    assert told.calls() == ["ACKNOWLEDGE", "ACKNOWLEDGE"]
    assert told.core.take_news() == [task]
    assert [status.state for status in task.history] == [TaskState.RUNNING]


def test_two_updates_of_one_state_are_two_news(told):
    task = told.launched()
    told.update(task, "RUNNING", uuid="u1")
    told.update(task, "RUNNING", uuid="u2", message="unhealthy")
    assert len(task.history) == 2


def test_an_update_of_an_unknown_task_is_acknowledged(told):
    task = told.launched()
    told.update(task, "FINISHED", uuid="u1")
    told.update(task, "FINISHED", uuid="u1")
    assert told.calls() == ["ACKNOWLEDGE", "ACKNOWLEDGE"]
    assert len(task.history) == 1


def test_an_update_without_uuid_is_not_acknowledged_and_news_only_if_it_changes_something(told):
    task = told.launched()
    told.update(task, "RUNNING", uuid="u1")
    told.calls()
    told.update(task, "RUNNING", reason="REASON_RECONCILIATION")
    assert told.calls() == []
    assert len(task.history) == 1
    told.update(task, "UNREACHABLE", reason="REASON_RECONCILIATION")
    assert task.status.state is TaskState.UNREACHABLE
    assert not task.ended


def test_an_ended_task_is_forgotten(told):
    told.update(told.launched(), "FAILED", uuid="u1")
    assert told.core.tasks == {}
    assert told.core.next_deadline() is None


def test_a_kill_is_said_once_and_again_when_nothing_comes(told):
    task = told.launched()
    told.core.kill(task)
    told.core.kill(task)
    assert told.calls() == ["KILL"]
    told.wait(RETRY_S - 1)
    assert told.calls() == []
    told.wait(1)
    assert told.calls() == ["RECONCILE", "KILL"]


def test_a_kill_before_the_launch_ends_the_task_at_once(told):
    task = told.launch()
    told.core.kill(task)
    assert task.status.state is TaskState.KILLED
    told.offer("h1")
    assert "ACCEPT" not in told.calls()


def test_a_kill_while_away_is_said_after_the_reconnection(told):
    task = told.launched()
    told.core.disconnected()
    told.core.kill(task)
    assert told.calls() == []
    told.subscribed()
    assert told.calls() == ["RECONCILE", "KILL"]


def test_a_reconnection_asks_for_the_state_of_launched_tasks_only(told):
    told.launched()
    told.launch("waiting")
    told.core.disconnected()
    told.subscribed()
    reconcile, revive = told.said()
    assert [(t.task_id.value, t.agent_id.value) for t in reconcile.reconcile.tasks] == [("t", "s-h1")]
    assert revive.type == "REVIVE"


def test_a_reconnection_without_tasks_asks_nothing(told):
    told.core.disconnected()
    told.subscribed()
    assert told.calls() == []


def test_what_was_not_sent_before_a_cut_is_not_sent_after(told):
    told.launch()
    told.core.disconnected()
    assert told.calls() == []


@pytest.mark.parametrize(("state", "reason"), [("GONE", "REASON_RECONCILIATION"), ("DROPPED", "REASON_INVALID_OFFERS")])
def test_a_launch_the_master_never_got_is_made_again(told, state, reason):
    task = told.launched()
    told.update(task, state, reason=reason)
    assert told.calls() == ["REVIVE"]
    told.offer("h2")
    assert told.calls() == ["ACCEPT", "SUPPRESS"]
    assert (task.hostname, task.history) == ("h2", [])


def test_a_launch_the_master_never_got_is_not_made_again_for_a_task_to_be_killed(told):
    task = told.launched()
    told.core.kill(task)
    told.update(task, "GONE", reason="REASON_RECONCILIATION")
    assert task.status.state is TaskState.KILLED


def test_a_task_that_ran_and_is_gone_has_ended(told):
    task = told.launched()
    told.update(task, "RUNNING", uuid="u1")
    told.update(task, "GONE", reason="REASON_RECONCILIATION")
    assert task.ended


def test_silence_about_a_launch_is_asked_about(told):
    told.launched()
    assert told.core.next_deadline() == told.clock.monotonic() + RETRY_S
    told.wait(RETRY_S)
    assert told.calls() == ["RECONCILE"]


def test_a_running_task_needs_no_attention(told):
    told.update(told.launched(), "RUNNING", uuid="u1")
    assert told.core.next_deadline() is None


def test_a_task_without_a_place_says_why_in_bounded_time(told):
    task = told.launch(cpus=8)
    told.offer("h1")
    assert told.core.next_deadline() == told.clock.monotonic() + 30
    told.wait(30)
    assert (task.status.state, task.status.reason) == (TaskState.ERROR, "REASON_NOT_PLACED")
    assert task.status.message == ("task t found no place in 30 s: needs 8 cpus and 32 MB of memory, but h1 had 4 cpus")


def test_time_without_a_master_does_not_count(told):
    task = told.launch()
    told.core.disconnected()
    told.wait(100)
    told.subscribed()
    told.wait(29)
    assert not task.ended
    told.wait(1)
    assert task.ended


def test_a_refused_launch_ends_with_the_words_of_the_master(told):
    task = told.launch()
    told.calls()
    told.offer("h1")
    accept = told.said()[0]
    told.core.rejected(accept, "no such role")
    assert (task.status.state, task.status.message) == (TaskState.ERROR, "no such role")


def test_a_refused_kill_ends_nothing(told):
    task = told.launched()
    told.core.kill(task)
    told.core.rejected(told.said()[0], "what?")
    assert not task.ended


def test_an_error_of_the_master_is_the_end(told):
    with pytest.raises(Refused, match="Framework failed over"):
        told.event("ERROR", error={"message": "Framework failed over"})


def test_other_events_change_nothing(told):
    for kind in ("HEARTBEAT", "RESCIND", "FAILURE", "MESSAGE", "SOMETHING_NEW"):
        told.event(kind)
    assert told.calls() == []


def test_a_teardown_is_repeated_after_a_reconnection(told):
    told.launched()
    told.core.teardown()
    told.core.disconnected()
    told.subscribed()
    assert told.calls() == ["TEARDOWN"]


# --- an earlier life -------------------------------------------------------------------------------------------------


def adopting(**more):
    """A scheduler that continues, before its first subscription."""
    told = Told(subscribed=False)
    told.core.framework_id, told.core.exclusive = "F", more.pop("exclusive", False)
    task = told.core.adopt("old", TaskSpec("old", "true"), more.pop("agent_id", ""), more.pop("place", {}))
    return told, task


def test_an_adopted_task_is_asked_about_and_never_launched():
    told, task = adopting()
    assert told.core.subscribe_call().framework_id.value == "F"
    told.subscribed()
    (reconcile,) = told.said()
    assert [one.task_id.value for one in reconcile.reconcile.tasks] == ["old"]
    assert reconcile.reconcile.tasks[0].agent_id is None
    told.offer("h1")
    assert told.calls() == ["DECLINE", "SUPPRESS"]
    told.update(task, "GONE", reason="REASON_RECONCILIATION")
    assert task.ended


def test_a_status_and_an_offer_tell_where_an_adopted_task_is():
    told, task = adopting()
    told.subscribed()
    told.update(task, "RUNNING")
    assert task.agent_id == "s-h1"
    told.offer("h1")
    assert (task.hostname, task.place) == ("h1", {"hostname": "h1"})


def test_an_adopted_task_can_be_killed_and_counts_as_kin():
    told, task = adopting(agent_id="s-h1", place={"hostname": "h1"})
    told.subscribed()
    told.core.kill(task)
    assert told.said()[-1].kill.agent_id.value == "s-h1"
    task.spec = TaskSpec("old", "true", kin="/web")
    only = (Constraint("hostname", "UNIQUE"),)
    new = told.core.launch("new", TaskSpec("new", "true", constraints=only, kin="/web"))
    told.offer("h1")
    assert new.missed == {"h1": "breaks hostname UNIQUE"}
    told.offer("h2")
    assert new.hostname == "h2"


def test_with_exclusive_all_tasks_are_asked_for_and_strangers_end():
    told, _ = adopting(exclusive=True)
    told.subscribed()
    everything, known = told.said()
    assert (everything.type, everything.reconcile.tasks) == ("RECONCILE", ())
    assert len(known.reconcile.tasks) == 1
    stranger = Task("stranger", TaskSpec("x", "true"), 0.0)
    told.update(stranger, "RUNNING")
    (kill,) = told.said()
    assert (kill.type, kill.kill.task_id.value) == ("KILL", "stranger")
    for state in ("FINISHED", "UNREACHABLE"):
        told.update(stranger, state)
        assert told.calls() == []


def test_without_a_limit_a_task_waits_for_a_place_for_ever(told):
    told.core.placement_s = None
    told.launch()
    assert told.core.next_deadline() is None
    told.wait(1e6)
    assert told.core.tasks


def test_a_forgotten_task_is_no_news(told):
    task = told.launched()
    told.core.forget(task)
    told.update(task, "RUNNING")
    assert (told.core.take_news(), task.history) == ([], [])


def test_a_change_of_health_without_a_uuid_is_news(told):
    task = told.launched()
    told.update(task, "RUNNING", healthy=True)
    told.update(task, "RUNNING", healthy=True)
    told.update(task, "RUNNING", healthy=False)
    assert [status.healthy for status in task.history] == [True, False]
