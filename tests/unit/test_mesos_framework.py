"""The framework against a scripted master: what it says, survives, and tells its user."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import wraps

import pytest
from mesos_fake_master import Canned, FakeMaster

from ocicat.errors import Refused, Unavailable, UserError
from ocicat.mesos.framework import Framework, Timing
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState

QUICK = Timing(connect_s=3, call_s=2, placement_s=5, backoff_first_s=0.01, backoff_max_s=0.05)
SPEC = TaskSpec("web", "sleep 1", network=NetworkRequest("ocicat", groups=("a",)))
RUNNING = TaskState.RUNNING


def scenario(test):
    """Run a coroutine as a test, in bounded time."""

    @wraps(test)
    def run(*args, **named):
        asyncio.run(asyncio.wait_for(test(*args, **named), 10))

    return run


@asynccontextmanager
async def connected(timing=QUICK, heartbeat_s=60.0, **more):
    async with FakeMaster(heartbeat_s) as master, Framework.connect(master.address, timing=timing, **more) as framework:
        yield master, framework


async def running(master, framework):
    """A task that the master has reported as running."""
    task = await framework.launch(SPEC)
    await master.call("REVIVE", len(master.all("REVIVE")) or 1)
    await master.offer("h1")
    await master.update(task.task_id, "RUNNING", uuid="u1")
    await task.wait(RUNNING, timeout_s=2)
    await master.call("ACKNOWLEDGE")
    return task


@scenario
async def test_it_subscribes_as_itself_and_tears_down_at_the_end():
    async with FakeMaster() as master:
        async with Framework.connect(master.address, name="demo", role="web", timing=QUICK) as framework:
            assert framework.id == "F-1"
        info = master.calls[0].subscribe.framework_info
        assert (info.name, info.roles, info.checkpoint, info.failover_timeout) == ("demo", ("web",), True, 60.0)
        assert {"MULTI_ROLE", "PARTITION_AWARE"} <= {capability.type for capability in info.capabilities}
        assert master.calls[-1].type == "TEARDOWN"
        assert master.stream_ids[-1] == "stream-0"


@scenario
async def test_a_master_may_close_the_stream_before_it_answers_the_teardown():
    told = []
    async with FakeMaster() as master:
        master.before["TEARDOWN"] = master.end
        async with Framework.connect(master.address, timing=QUICK, report=told.append):
            pass
        assert [call.type for call in master.calls] == ["SUBSCRIBE", "TEARDOWN"]
    assert len(told) == 1


@pytest.mark.parametrize(("last_words", "cause"), [(b"", "closed the event stream"), (b"9\n{", "middle of an event")])
@scenario
async def test_a_stream_that_ends_is_opened_again(last_words, cause):
    told = []
    async with connected(report=told.append) as (master, _):
        await master.write(last_words)
        await master.end()
        await master.call("SUBSCRIBE", 2)
    assert cause in told[1]


@scenario
async def test_tasks_may_be_left_running():
    async with FakeMaster() as master:
        async with Framework.connect(master.address, timing=QUICK, leave_running=True) as framework:
            await running(master, framework)
        assert master.all("TEARDOWN") == []
        assert len(master.all("ACKNOWLEDGE")) == 1


@scenario
async def test_who_leaves_its_tasks_for_an_error_says_nothing_more():
    away = asyncio.Event()

    def hear(said):
        if said.startswith("not connected"):
            away.set()

    async def torn_away(master):
        patient = Timing(backoff_first_s=1.0)
        async with Framework.connect(master.address, timing=patient, leave_running=True, report=hear):
            master.cut()
            await away.wait()
            raise ZeroDivisionError

    async with FakeMaster() as master:
        with pytest.raises(ZeroDivisionError):
            await torn_away(master)
        assert len(master.all("SUBSCRIBE")) == 1


@scenario
async def test_what_fails_before_a_launch_ends_the_framework_and_launches_nothing():
    async def refuse(tasks):
        raise Unavailable(f"{[task.ports for task in tasks]}: not written")

    async def unprepared(master):
        async with Framework.connect(master.address, timing=QUICK, report=told.append) as framework:
            framework.before_launch = refuse
            task = await framework.launch(SPEC)
            await master.call("REVIVE")
            await master.offer("h1")
            await task.wait(RUNNING, timeout_s=2)

    told = []
    async with FakeMaster() as master:
        with pytest.raises(Unavailable, match=r"^\[\(\)\]: not written"):
            await unprepared(master)
        assert master.all("ACCEPT") == []
        assert len(told) == 1


@scenario
async def test_a_task_is_launched_with_its_network_and_its_updates_are_told_and_acknowledged():
    async with connected() as (master, framework):
        task = await framework.launch(SPEC)
        await master.call("REVIVE")
        await master.offer("h1")
        accept = (await master.call("ACCEPT")).accept
        info = accept.operations[0].launch.task_infos[0]
        assert info.container.network_infos[0].name == "ocicat"
        network = {"name": "ocicat", "ip_addresses": [{"ip_address": "10.1.0.7"}]}
        await master.update(task.task_id, "STARTING", uuid="u1")
        await master.update(task.task_id, "RUNNING", uuid="u2", container_status={"network_infos": [network]})
        status = await task.wait(RUNNING, timeout_s=2)
        assert (status.ip_addresses, task.hostname) == (("10.1.0.7",), "h1")
        await master.update(task.task_id, "FINISHED", uuid="u3", message="exited with status 0")
        states = [status.state.short async for status in task.updates()]
        assert states == ["starting", "running", "finished"]
        await master.call("ACKNOWLEDGE", 3)
        assert [call.acknowledge.uuid for call in master.all("ACKNOWLEDGE")] == ["u1", "u2", "u3"]
        assert framework.tasks == ()


@scenario
async def test_waiting_for_what_cannot_come_any_more_says_why():
    async with connected() as (master, framework):
        task = await framework.launch(SPEC)
        await master.call("REVIVE")
        await master.offer("h1")
        await master.update(task.task_id, "FAILED", uuid="u1", message="pool is full", reason="REASON_X")
        with pytest.raises(Refused, match=r"task web never was running: failed \(pool is full, REASON_X\)"):
            await task.wait(RUNNING, timeout_s=2)
        assert (await task.wait_ended()).message == "pool is full"


@scenario
async def test_waiting_too_long_says_how_things_are():
    async with connected() as (_, framework):
        task = await framework.launch(SPEC)
        with pytest.raises(Unavailable, match=r"not running after 0.05 s: no agent offered anything"):
            await task.wait(RUNNING, timeout_s=0.05)


@scenario
async def test_a_task_that_fits_nowhere_ends_with_the_reason():
    async with connected(Timing(placement_s=0.2)) as (master, framework):
        task = await framework.launch(TaskSpec("big", "true", hostname="h9"))
        await master.call("REVIVE")
        await master.offer("h1")
        with pytest.raises(Refused, match=r"found no place in 0.2 s: no offer came from host 'h9', only from h1"):
            await task.wait(RUNNING, timeout_s=2)


@scenario
async def test_a_kill_reaches_the_master():
    async with connected() as (master, framework):
        task = await running(master, framework)
        await task.kill()
        kill = (await master.call("KILL")).kill
        assert (kill.task_id.value, kill.agent_id.value) == (task.task_id, "s-h1")
        await master.update(task.task_id, "KILLED", uuid="u2")
        assert (await task.wait_ended(timeout_s=2)).state is TaskState.KILLED


@scenario
async def test_a_task_killed_before_its_launch_never_reaches_the_master():
    async with connected() as (master, framework):
        task = await framework.launch(SPEC)
        await task.kill()
        assert (await task.wait_ended(timeout_s=2)).message == "killed before it was launched"
        await master.offer("h1")
        await master.call("DECLINE")
        assert master.all("ACCEPT") == []


@pytest.mark.parametrize("last_words", [b"", b"400\n{"])
@scenario
async def test_a_cut_stream_is_a_pause_of_the_same_framework(last_words):
    async with connected() as (master, framework):
        task = await running(master, framework)
        await master.write(last_words)
        master.cut()
        again = await master.call("SUBSCRIBE", 2)
        assert again.framework_id.value == again.subscribe.framework_info.id.value == "F-1"
        reconcile = (await master.call("RECONCILE")).reconcile
        assert [known.task_id.value for known in reconcile.tasks] == [task.task_id]
        await master.update(task.task_id, "FINISHED", uuid="u2")
        assert (await task.wait_ended(timeout_s=2)).state is TaskState.FINISHED
        await master.call("ACKNOWLEDGE", 2)
        assert master.stream_ids[-1] == "stream-1"


@scenario
async def test_a_silent_master_is_left_after_missed_heartbeats():
    told = []
    async with connected(heartbeat_s=0.05, report=told.append) as (master, _):
        await master.call("SUBSCRIBE", 2)
    assert any("no answer in 0.15 s" in line for line in told)


@scenario
async def test_heartbeats_keep_a_session_alive():
    async with connected(heartbeat_s=0.1) as (master, _):
        for _ in range(8):
            await asyncio.sleep(0.05)  # that time passes is the point
            await master.say("HEARTBEAT")
        assert len(master.all("SUBSCRIBE")) == 1


@pytest.mark.parametrize(
    ("canned", "told"),
    [
        (Canned("503 Service Unavailable", body=b"No leading master"), "503: No leading master"),
        (Canned("404 Not Found"), "404: Not Found"),
    ],
)
@scenario
async def test_a_master_that_is_not_ready_is_tried_again(canned, told):
    heard = []
    async with FakeMaster() as master:
        master.instead += [canned, canned]
        async with Framework.connect(master.address, timing=QUICK, report=heard.append):
            pass
    assert [told in line for line in heard] == [True, False]  # once, and then of the subscription


@pytest.mark.parametrize("form", ["//{}/api/v1/scheduler", "http://{}/api/v1/scheduler", "//{}"])
@scenario
async def test_the_leading_master_is_followed_and_gets_the_calls(form):
    async with FakeMaster() as follower, FakeMaster() as leader:
        follower.instead.append(Canned("307 Temporary Redirect", {"Location": form.format(leader.address)}))
        async with Framework.connect(follower.address, timing=QUICK):
            pass
        assert [call.type for call in leader.calls] == ["SUBSCRIBE", "TEARDOWN"]
        assert follower.calls[1:] == []


@scenario
async def test_masters_are_tried_in_turn():
    async with FakeMaster() as master, Framework.connect(f"127.0.0.1:1,{master.address}", timing=QUICK) as framework:
        assert framework.id == "F-1"


@scenario
async def test_a_refused_subscription_is_final_and_told_in_the_words_of_the_master():
    async with FakeMaster() as master:
        master.instead.append(Canned("403 Forbidden", body=b"Framework principal is not allowed"))
        with pytest.raises(Refused, match="403: Framework principal is not allowed"):
            async with Framework.connect(master.address, timing=QUICK):
                pass


@scenario
async def test_no_master_is_told_with_the_cause():
    with pytest.raises(Unavailable, match=r"127.0.0.1:1: no subscription in 0.2 s: .*refused.*is the master running"):
        async with Framework.connect("127.0.0.1:1", timing=Timing(connect_s=0.2, backoff_max_s=0.05)):
            pass


@scenario
async def test_an_error_event_ends_every_wait():
    async def given_up():
        async with connected() as (master, framework):
            task = await running(master, framework)
            await master.say("ERROR", error={"message": "Framework failed over"})
            await task.wait_ended(timeout_s=2)

    with pytest.raises(Refused, match="gave it up: Framework failed over"):
        await given_up()


@scenario
async def test_a_stream_that_is_no_recordio_ends_every_wait():
    async def garbled():
        async with connected() as (master, framework):
            task = await framework.launch(SPEC)
            await master.write(b"<html>")
            await task.wait_ended(timeout_s=2)

    with pytest.raises(Refused, match="where the length of a record should be"):
        await garbled()


@scenario
async def test_a_refused_launch_fails_its_tasks_with_the_words_of_the_master():
    async with connected() as (master, framework):
        master.refuse["ACCEPT"] = Canned("400 Bad Request", body=b"Failed to validate")
        task = await framework.launch(SPEC)
        await master.call("REVIVE")
        await master.offer("h1")
        assert "400: Failed to validate" in (await task.wait_ended(timeout_s=2)).message


@scenario
async def test_a_call_of_a_forgotten_subscription_brings_a_new_one():
    async with connected() as (master, framework):
        master.instead.append(Canned("403 Forbidden", body=b"Framework is not subscribed"))
        task = await framework.launch(SPEC)
        await master.call("SUBSCRIBE", 2)
        await master.call("REVIVE", 2)
        await master.offer("h1")
        await master.update(task.task_id, "RUNNING", uuid="u1")
        await task.wait(RUNNING, timeout_s=2)


@scenario
async def test_a_wrong_spec_is_refused_at_once():
    async with connected() as (_, framework):
        with pytest.raises(UserError, match="task 'web': the command is empty"):
            await framework.launch(TaskSpec("web", ""))


@scenario
async def test_a_master_that_goes_away_at_the_end_is_told_of():
    async def deserted():
        async with connected(Timing(call_s=0.2, backoff_max_s=0.05)) as (master, _):
            await master.__aexit__()

    with pytest.raises(Unavailable, match=r"did not hear its last words.*tasks end by themselves in 60 s"):
        await deserted()


@scenario
async def test_an_error_of_the_user_is_not_replaced_by_one_of_the_end():
    async def mistaken():
        async with connected(Timing(call_s=0.2, backoff_max_s=0.05)) as (master, _):
            await master.__aexit__()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mistaken()


@scenario
async def test_after_the_end_waits_end():
    async with connected() as (_, framework):
        task = await framework.launch(SPEC)
    with pytest.raises(Refused, match="has been left"):
        await task.wait(RUNNING, timeout_s=2)


@scenario
async def test_many_tasks_share_offers_and_calls():
    async with connected() as (master, framework):
        tasks = [await framework.launch(SPEC) for _ in range(50)]
        await master.call("REVIVE")
        await master.offer("h1", "h2", cpus=2.5)
        await master.call("ACCEPT", 2)
        for task in tasks:
            await master.update(task.task_id, "RUNNING", uuid=task.task_id)
        await asyncio.gather(*(task.wait(RUNNING, timeout_s=5) for task in tasks))
        await master.call("ACKNOWLEDGE", 50)
        assert len({call.acknowledge.uuid for call in master.all("ACKNOWLEDGE")}) == 50
