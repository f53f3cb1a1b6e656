"""The resident framework against a scripted master and a store in memory: what it starts, ends, writes, and takes over."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing, suppress
from functools import wraps
from itertools import count

import pytest
from mesos_fake_master import FakeMaster

from ocicat.errors import NotFound, Refused
from ocicat.mesos.apps import wishes
from ocicat.mesos.apps.book import read_all
from ocicat.mesos.apps.leader import leading
from ocicat.mesos.apps.records import Keys, Leader, TaskRecord
from ocicat.mesos.apps.serve import Options, serve
from ocicat.mesos.frameworks.application import Application, Backoff, Check, Upgrade
from ocicat.mesos.types import HealthCheck, HostPort, TaskSpec, TaskState
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.store.base import Delete, Put
from ocicat.store.memory import MemoryStore

KEYS = Keys("test")
PATIENCE_S = 20.0
SPEC = TaskSpec("web", "sleep 1", cpus=0.1, mem_mb=10.0, kin="/web")
WEB = Application(id="/web", spec=SPEC, instances=2, upgrade=Upgrade(1, 0), backoff=Backoff(0.05, 2, 1))


def scenario(test):
    @wraps(test)
    def run(*args, **named):
        asyncio.run(asyncio.wait_for(test(*args, **named), 60))

    return run


class Bed:
    """A store, a master, and residents that come and go. `agents`: hosts that offer."""

    def __init__(self, master, store):
        self.master = master
        self.store = store
        self.said = []
        self._residents = []
        self._uuids = count()

    @property
    def options(self):
        return Options(master=self.master.address, name="test", ttl_s=1)

    def start(self):
        task = asyncio.create_task(serve(self.store, self.options, self.said.append))
        self._residents.append(task)
        return task

    async def stop(self, task):
        task.cancel()
        with suppress(asyncio.CancelledError, Refused):
            await task

    async def stop_all(self):
        for task in self._residents:
            await self.stop(task)

    async def define(self, *apps):
        return await wishes.define(self.store, KEYS, apps, dry_run=False, report=self.said.append)

    async def contents(self):
        return await read_all(self.store, KEYS, self.said.append)

    async def until(self, holds):
        found = await self.contents()
        async with asyncio.timeout(PATIENCE_S):
            while not holds(found):
                await self.moment()
                found = await self.contents()
        return found

    @staticmethod
    async def moment():
        await asyncio.sleep(0.005)

    async def tasks(self, number):
        found = await self.until(lambda found: len(found.tasks) == number)
        return sorted(found.tasks)

    async def run(self, number):
        """All instances that there are to be found a place and run."""
        await self.until(lambda found: len(found.tasks) == number)
        while len(self.launched()) < number:
            await self.offered()
        return await self.running(number)

    async def offered(self):
        accepts = len(self.master.all("ACCEPT"))
        await self.master.offer("h1", "h2", "h3")
        await self.master.call("ACCEPT", accepts + 1)

    async def running(self, number):
        for task_id in self.launched():
            if task_id in (await self.contents()).tasks:
                await self.update(task_id, "RUNNING")
        found = await self.until(
            lambda found: [one.state for one in found.tasks.values()].count(TaskState.RUNNING) == number
        )
        return sorted(found.tasks)

    async def update(self, task_id, state, **more):
        await self.master.update(task_id, state, uuid=f"u{next(self._uuids)}", **more)

    def launched(self):
        operations = (one for call in self.master.all("ACCEPT") for one in call.accept.operations)
        return [info.task_id.value for one in operations for info in one.task_infos]

    def killed(self):
        return {call.kill.task_id.value for call in self.master.all("KILL")}

    async def kills(self, number):
        async with asyncio.timeout(PATIENCE_S):
            while len(self.killed()) < number:
                await self.moment()
        return self.killed()


@asynccontextmanager
async def bed():
    async with FakeMaster() as master:
        made = Bed(master, MemoryStore())
        try:
            yield made
        finally:
            await made.stop_all()


@scenario
async def test_what_is_defined_is_started_and_written_before_mesos_hears_of_it():
    async with bed() as here:
        seen = []

        async def look():
            seen.append(set((await here.contents()).tasks))

        here.master.before["ACCEPT"] = look
        here.start()
        await here.define(WEB)
        running = await here.run(2)
        assert set(here.launched()) == set(running) <= set.union(*seen)
        found = await here.until(lambda found: found.statuses["/web"].ready == 2)
        assert found.framework_id == "F-1"
        assert {one.place["hostname"] for one in found.tasks.values()} == {"h1"}
        assert set(found.versions) == {("/web", WEB.version)}


@scenario
async def test_an_instance_that_ends_is_replaced_later_and_later():
    async with bed() as here:
        here.start()
        await here.define(replace(WEB, instances=1))
        (first,) = await here.run(1)
        await here.update(first, "FAILED", message="exit 3")
        found = await here.until(lambda found: found.tasks and first not in found.tasks)
        assert found.statuses["/web"].last_failure == "failed: exit 3"
        assert any("the next starts in 0.05 s" in said for said in here.said)
        await here.offered()
        (second,) = await here.running(1)
        await here.update(second, "FAILED")
        await here.until(lambda found: found.tasks and second not in found.tasks)
        assert any("the next starts in 0.1 s" in said for said in here.said)


@scenario
async def test_scaling_changes_only_the_number():
    async with bed() as here:
        here.start()
        await here.define(WEB)
        before = await here.run(2)
        (found,) = await here.define(replace(WEB, instances=4))
        assert (found.change, found.before, found.instances) == ("scaled", 2, 4)
        after = await here.run(4)
        assert set(before) < set(after)
        await wishes.scale(here.store, KEYS, "/web", 1)
        for task_id in await here.kills(3):
            await here.update(task_id, "KILLED")
        (left,) = await here.tasks(1)
        assert left in after
        assert len(here.launched()) == 4


@scenario
async def test_a_new_version_takes_over_one_by_one():
    async with bed() as here:
        here.start()
        await here.define(WEB)
        old = await here.run(2)
        (found,) = await here.define(replace(WEB, spec=replace(SPEC, command="sleep 2")))
        assert (found.change, found.fields) == ("replaced", ("command",))
        await here.tasks(3)  # both old ones must stay until the new one runs
        assert here.killed() == set()
        await here.offered()
        await here.running(3)
        for gone in (1, 2):
            await here.kills(gone)
            for task_id in here.killed() - set(here.said):
                await here.update(task_id, "KILLED")
                here.said.append(task_id)
            if gone == 1:
                await here.until(lambda found: len(set(found.tasks) - set(old)) == 2)
                await here.offered()
                await here.running(3)
        found = await here.until(lambda found: set(found.tasks).isdisjoint(old) and len(found.tasks) == 2)
        await here.until(lambda found: len(found.versions) == 1)


@scenario
async def test_the_next_leader_takes_over_every_instance_as_it_is():
    async with bed() as here:
        first = here.start()
        await here.define(WEB)
        tasks = await here.run(2)
        await here.stop(first)
        here.start()
        subscribe = await here.master.call("SUBSCRIBE", 2)
        assert subscribe.framework_id.value == "F-1"
        await here.master.call("RECONCILE", 3)
        asked = {one.task_id.value for call in here.master.all("RECONCILE") for one in call.reconcile.tasks}
        assert asked == set(tasks)
        for task_id in tasks:
            await here.master.update(task_id, "RUNNING")
        await here.until(lambda found: found.statuses["/web"].ready == 2)
        assert sorted(here.launched()) == tasks
        assert here.killed() == set()


@scenario
async def test_a_task_that_the_master_does_not_know_is_started_anew_and_one_that_we_do_not_know_ends():
    async with bed() as here:
        first = here.start()
        await here.define(WEB)
        lost, kept = await here.run(2)
        await here.stop(first)
        here.start()
        await here.master.call("RECONCILE", 2)
        await here.master.update(kept, "RUNNING")
        await here.master.update("stranger", "RUNNING")
        await here.master.update(lost, "UNKNOWN", reason="REASON_RECONCILIATION")
        await here.until(lambda found: lost not in found.tasks and len(found.tasks) == 2)
        assert await here.kills(1) == {"stranger"}


@scenario
async def test_who_waits_takes_over_when_the_leader_goes_and_a_leader_that_lost_the_lead_writes_nothing():
    async with bed() as here:
        here.start()
        await here.define(WEB)
        tasks = await here.run(2)
        here.start()
        await here.until(lambda _: any("waiting to take over" in said for said in here.said))
        await here.store.commit([], [Delete(KEYS.leader)])  # as when its lease has expired
        await here.master.call("SUBSCRIBE", 2)
        await here.update(tasks[0], "FAILED")  # both hear of it; only the leader may write
        await here.until(lambda found: tasks[0] not in found.tasks)


@scenario
async def test_an_instance_is_ended_on_demand_and_one_that_is_not_there_is_named():
    async with bed() as here:
        here.start()
        await here.define(WEB)
        tasks = await here.run(2)
        await wishes.kill(here.store, KEYS, tasks[0])
        assert await here.kills(1) == {tasks[0]}
        await here.update(tasks[0], "KILLED")
        found = await here.until(lambda found: tasks[0] not in found.tasks and len(found.tasks) == 2)
        await here.until(lambda found: not found.kills)
        assert found.statuses["/web"].last_failure == ""
        with pytest.raises(NotFound, match="there is no instance 'x'"):
            await wishes.kill(here.store, KEYS, "x")
        with pytest.raises(NotFound, match="there is no application '/x'"):
            await wishes.scale(here.store, KEYS, "/x", 1)


@scenario
async def test_what_is_removed_ends_and_leaves_nothing():
    async with bed() as here:
        here.start()
        await here.define(WEB)
        for task_id in await here.run(2):
            await wishes.remove(here.store, KEYS, "/web") if (await here.contents()).wanted else None
            await here.kills(2)
            await here.update(task_id, "KILLED")
        found = await here.until(lambda found: not found.tasks and not found.versions and not found.statuses)
        assert found.wanted == {}


@scenario
async def test_an_application_waits_for_those_it_depends_on():
    async with bed() as here:
        here.start()
        base = replace(WEB, id="/db", spec=replace(SPEC, name="db", kin="/db"), instances=1)
        await here.define(replace(WEB, dependencies=("/db",)), base)
        found = await here.until(lambda found: len(found.tasks) == 1 and "/web" in found.statuses)
        assert found.statuses["/web"].waits == "waits for /db"
        await here.run(1)
        await here.tasks(3)


@scenario
async def test_an_instance_whose_executor_finds_it_unhealthy_is_not_ready():
    async with bed() as here:
        here.start()
        check = HealthCheck(kind="COMMAND", command="true")
        await here.define(replace(WEB, instances=1, spec=replace(SPEC, health_check=check)))
        (task,) = await here.run(1)
        assert (await here.contents()).statuses["/web"].ready == 0
        await here.update(task, "RUNNING", healthy=True)
        await here.until(lambda found: found.statuses["/web"].ready == 1)
        await here.update(task, "RUNNING", healthy=False)
        await here.until(lambda found: found.tasks[task].healthy is False)


@scenario
async def test_an_instance_that_fails_its_check_is_ended_and_replaced():
    async with bed() as here:
        closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = closed.sockets[0].getsockname()[1]
        closed.close()
        await closed.wait_closed()
        here.start()
        check = Check(protocol="TCP", port=port, grace_s=0, interval_s=0.01, timeout_s=1, failures=2)
        await here.define(replace(WEB, instances=1, checks=(check,)))
        (task,) = await here.tasks(1)
        await here.offered()
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "127.0.0.1"}]}]}
        await here.update(task, "RUNNING", container_status=addresses)
        assert await here.kills(1) == {task}
        await here.update(task, "KILLED")
        found = await here.until(lambda found: found.tasks and task not in found.tasks)
        assert "Connection refused" in found.statuses["/web"].last_failure


@scenario
async def test_an_update_waits_until_the_new_one_is_ready_and_readiness_is_asked_no_more_by_any_leader():
    asked, status = [], [503]

    async def serve(reader, writer):
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 %d x\r\n\r\n" % status[0])
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening, bed() as here:
        port = listening.sockets[0].getsockname()[1]
        first = here.start()
        await here.define(replace(WEB, instances=1))
        (old,) = await here.run(1)
        ready = Check(port=port, grace_s=0, interval_s=0.01, timeout_s=5, failures=0, statuses=(200,), once=True)
        await here.define(replace(WEB, instances=1, checks=(ready,)))
        await here.tasks(2)
        await here.offered()
        (new,) = set(here.launched()) - {old}
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "127.0.0.1"}]}]}
        await here.update(new, "RUNNING", container_status=addresses)
        await here.until(lambda _: len(asked) >= 5)
        assert here.killed() == set()  # neither the old one, nor the one that is not ready after five failures
        assert (await here.contents()).statuses["/web"].ready == 0
        status[0] = 200
        assert await here.kills(1) == {old}
        await here.update(old, "KILLED")
        await here.until(lambda found: found.tasks.keys() == {new} and found.statuses["/web"].ready == 1)
        status[0], count = 503, len(asked)
        await here.stop(first)
        here.start()
        await here.master.call("SUBSCRIBE", 2)
        await here.master.call("RECONCILE", 3)
        await here.update(new, "RUNNING", container_status=addresses)
        await here.until(lambda found: found.statuses["/web"].ready == 1 and found.tasks[new].healthy)
        await here.update(new, "RUNNING", container_status=addresses)
        for _ in range(10):
            await here.moment()
        assert len(asked) == count


@scenario
async def test_readiness_is_remembered_by_the_next_leader_though_the_instance_is_ill_meanwhile():
    asked, good = [], {"/ready": True, "/health": True}

    async def serve(reader, writer):
        with closing(writer):
            if not (line := await reader.readline()):
                return  # whoever asked has stopped meanwhile
            path = line.split()[1].decode()
            asked.append(path)
            writer.write(b"HTTP/1.1 %d x\r\n\r\n" % (200 if good[path] else 503))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening, bed() as here:
        port = listening.sockets[0].getsockname()[1]
        health = Check(path="/health", port=port, grace_s=0, interval_s=0.01, timeout_s=5, failures=0)
        first = here.start()
        await here.define(replace(WEB, instances=1, checks=(replace(health, path="/ready", once=True), health)))
        (task,) = await here.run(1)
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "127.0.0.1"}]}]}
        await here.update(task, "RUNNING", container_status=addresses)
        await here.until(lambda found: found.statuses["/web"].ready == 1 and found.tasks[task].was_ready)
        good.update({"/ready": False, "/health": False})
        await here.until(lambda found: found.tasks[task].healthy is False)
        await here.stop(first)
        assert asked.count("/ready") == 1
        here.start()
        await here.master.call("SUBSCRIBE", 2)
        await here.master.call("RECONCILE", 3)
        good["/health"] = True
        await here.update(task, "RUNNING", container_status=addresses)
        await here.until(lambda found: found.statuses["/web"].ready == 1)
        assert asked.count("/ready") == 1


@scenario
async def test_an_instance_with_ipv6_only_can_become_ready():
    async def serve(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 x\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "::1", 0)
    async with listening, bed() as here:
        port = listening.sockets[0].getsockname()[1]
        ready = Check(port=port, grace_s=0, interval_s=0.01, timeout_s=5, failures=0, statuses=(200,), once=True)
        here.start()
        await here.define(replace(WEB, instances=1, checks=(ready,)))
        (task,) = await here.run(1)
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "::1"}]}]}
        await here.update(task, "RUNNING", container_status=addresses)
        await here.until(lambda found: found.statuses["/web"].ready == 1)


@scenario
async def test_one_that_is_out_of_reach_is_replaced_and_ended_when_it_comes_back():
    async with bed() as here:
        here.start()
        await here.define(replace(WEB, instances=1, inactive_after_s=0.0))
        (task,) = await here.run(1)
        await here.update(task, "UNREACHABLE")
        await here.tasks(2)
        await here.offered()
        other = next(one for one in here.launched() if one != task)
        await here.update(other, "RUNNING")
        await here.update(task, "RUNNING")
        assert len(await here.kills(1)) == 1


@scenario
async def test_a_framework_that_mesos_has_given_up_begins_anew():
    async with bed() as here:
        first = here.start()
        await here.define(WEB)
        old = await here.run(2)
        await here.stop(first)
        here.start()
        await here.master.call("RECONCILE", 2)
        await here.master.say("ERROR", error={"message": "Framework has been removed"})
        await here.master.call("SUBSCRIBE", 3)
        assert here.master.all("SUBSCRIBE")[2].framework_id is None
        await here.until(lambda found: len(found.tasks) == 2 and set(found.tasks).isdisjoint(old))


@scenario
async def test_a_master_that_refuses_us_ends_it_with_its_words():
    async with bed() as here:
        resident = here.start()
        await here.master.call("SUBSCRIBE")
        await here.until(lambda found: found.framework_id)
        await here.master.say("ERROR", error={"message": "Role '*' is not allowed"})
        with pytest.raises(Refused, match="Role '\\*' is not allowed"):
            await asyncio.wait_for(resident, PATIENCE_S)


@scenario
async def test_a_record_that_cannot_be_read_is_told_and_hides_nothing():
    async with bed() as here:
        await here.store.commit([], [Put(KEYS.app("/bad"), b"{")])
        here.start()
        await here.define(replace(WEB, instances=1))
        await here.run(1)
        assert any(said.startswith("left out: /ocicat/v1/apps/test/wanted/bad") for said in here.said)


@scenario
async def test_an_application_that_cannot_be_read_is_left_as_it_is_until_it_can_again():
    async with bed() as here:
        first = here.start()
        await here.define(WEB)
        tasks = await here.run(2)
        await here.stop(first)
        await here.store.commit([], [Put(KEYS.app("/web"), b'{"id": "/web", "spec": 1}')])
        here.start()
        await here.master.call("RECONCILE", 3)
        for task_id in tasks:
            await here.master.update(task_id, "RUNNING")
        await here.define(replace(WEB, id="/other", spec=replace(SPEC, name="other", kin="/other"), instances=1))
        await here.tasks(3)
        await here.master.call("REVIVE", 2)
        await here.offered()  # calls reach the master in their order: a KILL would be there by now
        assert here.killed() == set()
        found = await here.contents()
        assert set(tasks) < set(found.tasks)
        assert "/web" in found.statuses
        assert any(said.startswith("/web: cannot be read; its instances are left as they are") for said in here.said)
        await here.define(replace(WEB, instances=1))
        assert len(await here.kills(1)) == 1


@scenario
async def test_a_version_is_known_by_the_name_that_its_instances_have_for_it():
    store = MemoryStore()
    await store.commit([], [Put(KEYS.version("/web", "ofold"), encode_json(WEB))])
    found = await read_all(store, KEYS, pytest.fail)
    assert found.versions == {("/web", "ofold"): WEB}


@pytest.mark.parametrize("key", [KEYS.framework, KEYS.task("web.1")])
@scenario
async def test_who_cannot_read_the_framework_or_an_instance_does_not_lead(key):
    async with bed() as here:
        await here.store.commit([], [Put(key, b'{"id": 1, "task_id": 1}')])
        with pytest.raises(Refused, match=f"does not lead test: {key}: .*expected `str`"):
            await asyncio.wait_for(here.start(), PATIENCE_S)
        assert here.master.calls == []


@scenario
async def test_the_place_of_an_instance_and_its_ports_are_written_before_mesos_hears_of_it():
    async with bed() as here:
        seen = []

        async def look():
            seen.extend((await here.contents()).tasks.values())

        here.master.before["ACCEPT"] = look
        first = here.start()
        check = Check(protocol="TCP", port_index=0, interval_s=0.01, timeout_s=1)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        spec = replace(SPEC, host_ports=(HostPort(),))
        await here.define(replace(WEB, instances=1, spec=spec, checks=(check,)))
        (task,) = await here.tasks(1)
        await here.master.call("REVIVE")
        await here.master.offer("h1", port=port)
        await here.master.call("ACCEPT")
        assert [(one.agent_id, one.place, one.ports) for one in seen] == [("s-h1", {"hostname": "h1"}, (port,))]
        await here.stop(first)  # before anything was heard of it
        here.start()
        await here.master.call("SUBSCRIBE", 2)
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "127.0.0.1"}]}]}
        await here.master.update(task, "RUNNING", container_status=addresses)
        await here.until(lambda found: found.statuses["/web"].ready == 1)
        server.close()
        await server.wait_closed()


@scenario
async def test_a_check_whose_port_nobody_knows_says_so():
    async with bed() as here:
        check = Check(protocol="TCP", port_index=0, grace_s=0, interval_s=0.01, failures=2)
        app = replace(WEB, instances=1, checks=(check,))
        record = TaskRecord(task_id="web.1", app="/web", version=app.version, started=0.0, agent_id="s-h1")
        await here.store.commit([], [Put(KEYS.task("web.1"), encode_json(record))])
        await here.define(app)
        here.start()
        await here.master.call("RECONCILE", 2)
        addresses = {"network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "127.0.0.1"}]}]}
        await here.master.update("web.1", "RUNNING", container_status=addresses)
        await here.kills(1)
        await here.until(
            lambda found: found.statuses["/web"].last_failure == "TCP: port 0 of the instance is not known"
        )


@scenario
async def test_who_lost_the_lead_launches_nothing_more(monkeypatch):
    monkeypatch.setattr("ocicat.mesos.apps.serve._PAUSE_S", 0.01)
    async with bed() as here:
        here.start()
        await here.define(replace(WEB, instances=1))
        await here.tasks(1)
        await here.master.call("REVIVE")
        await here.store.commit([], [Put(KEYS.leader, b"another")])
        await here.master.offer("h1")
        await here.until(lambda _: any("waiting to take over" in said for said in here.said))
        assert here.launched() == []


@scenario
async def test_a_framework_taken_for_a_moment_goes_on_and_one_taken_again_and_again_ends(monkeypatch):
    monkeypatch.setattr("ocicat.mesos.apps.serve._PAUSE_S", 0.01)
    async with bed() as here:
        resident = here.start()
        for number in (1, 2, 3):
            subscribe = await here.master.call("SUBSCRIBE", number)
            assert (subscribe.framework_id.value if subscribe.framework_id else "") == ("" if number == 1 else "F-1")
            await here.until(lambda found: found.framework_id and found.leader)
            await here.master.say("ERROR", error={"message": "Framework failed over"})
        with pytest.raises(Refused, match="Framework failed over"):
            await asyncio.wait_for(resident, PATIENCE_S)
        assert [said.startswith("begins again") for said in here.said].count(True) == 2


@scenario
async def test_a_lead_is_one_at_a_time():
    store, told = MemoryStore(), []
    me = Leader("h1", 1, 0.0)
    async with leading(store, KEYS, me, told.append, 1) as first:
        assert (await store.get(KEYS.leader)).value == encode_json(me)
        waiting = asyncio.create_task(_lead_once(store, told))
        while not told:
            await Bed.moment()
        assert told == ["process 1 on h1 is the framework test now; waiting to take over from it"]
        assert not waiting.done()
        assert first.mine.key == KEYS.leader
    assert await asyncio.wait_for(waiting, PATIENCE_S) == encode_json(Leader("h2", 2, 0.0))


async def _lead_once(store, told):
    async with leading(store, KEYS, Leader("h2", 2, 0.0), told.append, 1):
        return (await store.get(KEYS.leader)).value
