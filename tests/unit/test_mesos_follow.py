"""Following a master through everything that can happen to the connection."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from functools import wraps

import pytest
from mesos_fake_master import PATIENCE_S, Canned
from mesos_fake_operator import FakeOperator, raw_agent, raw_framework, raw_status, raw_task, wrapped

from ocicat.errors import UserError
from ocicat.mesos.credential import Credential
from ocicat.mesos.follow import Timing, follow
from ocicat.mesos.masters import parse_endpoint
from ocicat.mesos.recordio import encode
from ocicat.model.base import replace

FAST = Timing(connect_s=2.0, backoff_first_s=0.01, backoff_max_s=0.02)
STATE = {
    "get_tasks": {"tasks": [raw_task("t", address="10.77.0.1")]},
    "get_agents": {"agents": [raw_agent()]},
    "get_frameworks": {"frameworks": [raw_framework()]},
}


class Heard:
    """What was told, and the cluster as it is."""

    def __init__(self):
        self.changes = []
        self.cluster = None
        self._arrived = asyncio.Condition()
        self._notifying = set()

    def __call__(self, cluster, change):
        self.cluster = cluster
        self.changes.append((cluster.leader is not None, change))
        task = asyncio.create_task(self._notify())
        self._notifying.add(task)
        task.add_done_callback(self._notifying.discard)

    async def _notify(self):
        async with self._arrived:
            self._arrived.notify_all()

    async def until(self, holds):
        async with self._arrived, asyncio.timeout(PATIENCE_S):
            await self._arrived.wait_for(lambda: self.cluster is not None and holds(self.cluster))

    @property
    def snapshots(self):
        return sum(change.complete for _, change in self.changes)


@asynccontextmanager
async def following(address, timing=FAST, **options):
    heard = Heard()
    task = asyncio.create_task(follow(address, heard, timing=timing, **options))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def scenario(**settings):
    def decorated(test):
        @wraps(test)
        def bounded(**fixtures):
            async def run():
                async with asyncio.timeout(4 * PATIENCE_S), FakeOperator(**{**STATE, **settings}) as master:
                    await test(master, **fixtures)

            asyncio.run(run())

        _, *fixtures = inspect.signature(test).parameters.values()
        bounded.__signature__ = inspect.Signature(fixtures)  # what pytest is to give
        return bounded

    return decorated


def update(state, **more):
    status = raw_status("t", state, "10.77.0.2", **more)
    return {"framework_id": wrapped("F0"), "status": status, "state": state}


@scenario()
async def test_a_snapshot_and_what_changes_then(master):
    async with following(master.address) as heard:
        await heard.until(lambda cluster: ("F0", "t") in cluster.tasks)
        assert heard.cluster.tasks["F0", "t"].host == "h1"
        assert str(heard.cluster.leader) == master.address
        await master.say("HEARTBEAT")
        await master.say("TASK_UPDATED", task_updated=update("TASK_RUNNING"))
        await heard.until(lambda cluster: cluster.tasks["F0", "t"].ip_addresses == ("10.77.0.2",))
        await master.say("TASK_UPDATED", task_updated=update("TASK_FINISHED"))
        await heard.until(lambda cluster: not cluster.tasks)
        assert [change.tasks for _, change in heard.changes] == [frozenset({("F0", "t")})] * 3


@scenario()
async def test_a_cut_stream_is_taken_up_again_and_nothing_is_forgotten_meanwhile(master):
    async with following(master.address) as heard:
        await heard.until(lambda cluster: cluster.tasks)
        for number in (2, 3):
            master.cut()
            await heard.until(lambda _, number=number: heard.snapshots == number)
        assert {len(heard.cluster.tasks) for _ in heard.changes} == {1}
        assert [leads for leads, _ in heard.changes] == [True, False, True, False, True]


@scenario()
async def test_a_master_that_closes_in_good_order_is_asked_again(master):
    async with following(master.address) as heard:
        await heard.until(lambda cluster: cluster.tasks)
        await master.end()
        await heard.until(lambda _: heard.snapshots == 2)


@scenario(heartbeat_s=0.02)
async def test_silence_is_a_cut(master):
    async with following(master.address, replace(FAST, connect_s=3600.0)) as heard:
        await heard.until(lambda _: heard.snapshots == 2)


@scenario()
async def test_a_master_that_does_not_lead_sends_on(master):
    async with FakeOperator() as other:
        other.instead.append(Canned("307 Temporary Redirect", {"Location": f"//{master.address}/api/v1"}))
        async with following(other.address) as heard:
            await heard.until(lambda cluster: cluster.tasks)
            assert str(heard.cluster.leader) == master.address


@scenario()
async def test_what_is_wrong_is_told_once_for_each_reason_and_once_when_it_is_over(master, caplog):
    caplog.set_level("INFO")
    refusal, starting = Canned("401 Unauthorized", body=b"who are you"), Canned("503 Service Unavailable")
    master.instead.extend([refusal, refusal, starting, refusal, starting])
    async with following(f"127.0.0.1:1,{master.address}") as heard:
        await heard.until(lambda cluster: cluster.tasks)
        told = [record.getMessage() for record in caplog.records]
        wanted = ("refused", "401: who are you", "Service Unavailable", "again")
        assert [sum(text in line for line in told) for text in wanted] == [1] * 4
        assert len(told) == 4
        master.instead.extend([refusal, refusal])
        master.cut()
        await heard.until(lambda _: heard.snapshots == 2)
    told = [record.getMessage() for record in caplog.records]
    assert [sum(text in line for line in told) for text in wanted[1:]] == [2, 1, 2]


@scenario()
async def test_a_record_that_nobody_can_read_ends_the_stream_and_not_the_following(master):
    async with following(master.address) as heard:
        await heard.until(lambda cluster: cluster.tasks)
        await master.write(encode(b'{"type": "TASK_ADDED", "task_added": {"task": 1}}'))
        await heard.until(lambda _: heard.snapshots == 2)


@scenario()
async def test_a_credential_is_given_with_the_call(master):
    async with following(master.address, credential=Credential("me", "secret")) as heard:
        await heard.until(lambda cluster: cluster.tasks)
    assert master.authorizations == ["basic bwu6c2vjcmv0"]  # the fake lowers headers


@scenario()
async def test_a_master_that_leads_no_more_is_left_for_the_one_that_does(master, monkeypatch):
    """It may still answer: elected is who ZooKeeper says."""
    leads, moved = [master.address], asyncio.Event()

    class Elected:
        async def next(self):
            return parse_endpoint(leads[-1], 5050)

        async def moved(self):
            await moved.wait()
            moved.clear()

    @asynccontextmanager
    async def elected(text, **_):
        assert text == "zk://z/mesos"
        yield Elected()

    monkeypatch.setattr("ocicat.mesos.follow.discovered", elected)
    async with FakeOperator() as other, following("zk://z/mesos") as heard:
        await heard.until(lambda cluster: cluster.tasks)
        leads.append(other.address)
        moved.set()
        await heard.until(lambda cluster: cluster.leader and not cluster.tasks)
        assert str(heard.cluster.leader) == other.address


def test_a_wrong_address_is_said_at_once():
    with pytest.raises(UserError):
        asyncio.run(follow("http://x", lambda *_: None))
