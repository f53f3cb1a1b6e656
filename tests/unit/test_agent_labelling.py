"""Labels of Mesos on the endpoints of an agent: who asks, how often, and what becomes of what others do meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from agent_bed import LOOK_S, LOOKS, scenario, until

from ocicat.agent.labelling import Labelling, Timing
from ocicat.agent.mesoslabels import MOST
from ocicat.cni.request import parse
from ocicat.errors import Conflict, Refused, Unavailable
from ocicat.mesos.labels import TASK
from ocicat.mesos.operator_wire import ContainerSummary
from ocicat.mesos.tasks import Cluster, FrameworkSummary, Snapshot, Task
from ocicat.mesos.types import TaskState
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.store.base import Put

FAST = Timing(
    missing_s=0.001, changing_s=0.01, unknown_s=0.02, settled_s=3600.0, failed_s=0.001, failed_max_s=0.002, gap_s=0.0
)
FRAMEWORK = FrameworkSummary("F", "marathon", active=True, connected=True, roles=("web",))


class Mesos:
    """An agent that runs what a test says."""

    def __init__(self):
        self.asked = []
        self.failure = None
        self.executors = {}  # container -> (executor, name)
        self.tasks = {}
        self.answers, self.making = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.making.set()  # when not: containers are being made

    def run(self, container, task, name="Command Executor (x)", executor="", **more):
        """A task in a container, as soon as the container is made."""
        self.executors[container] = executor or task, name
        self.tasks[task] = Task(
            id=task,
            name=task,
            framework_id="F",
            executor_id=executor or task,
            command=not executor,
            state=TaskState.RUNNING,
            **more,
        )

    async def containers(self):
        await self._answer("containers")
        await self.making.wait()
        return tuple(
            ContainerSummary(one, "F", executor, name, 0, ()) for one, (executor, name) in self.executors.items()
        )

    async def state(self):
        await self._answer("state")
        cluster = Cluster()
        cluster.apply([Snapshot(frameworks=(FRAMEWORK,), tasks=tuple(self.tasks.values()))])
        return cluster

    async def _answer(self, kind):
        self.asked.append(kind)
        await self.answers.wait()
        if self.failure:
            raise self.failure


@asynccontextmanager
async def labelling(one, mesos, timing=FAST):
    labels = one.feed.labelling = Labelling(one.store, one.local, mesos, timing)
    task = asyncio.create_task(labels.run())
    try:
        yield labels
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def labels_of(one, container):
    """In the datastore, without those that every endpoint has."""
    found = [each for each in (await one.stored()).values() if each.spec.container_id == container]
    return {
        key: value
        for endpoint in found
        for key, value in endpoint.metadata.labels.items()
        if not key.startswith("projectcalico.org/")
    }


async def become(one, container, wanted):
    for _ in range(LOOKS):
        if await labels_of(one, container) == wanted:
            return
        await asyncio.sleep(LOOK_S)
    assert await labels_of(one, container) == wanted


def told(task, executor="", **more):
    return {
        "mesos/framework": "marathon",
        "mesos/role": "web",
        "mesos/executor": executor or task,
        **({"mesos/task": task} if task else {}),
        **more,
    }


async def edit(one, container, change):
    """As an operator does."""
    for key, endpoint in (await one.stored()).items():
        if endpoint.spec.container_id == container:
            labels = change(dict(endpoint.metadata.labels))
            changed = replace(endpoint, metadata=replace(endpoint.metadata, labels=labels))
            await one.store.write(Put(key, encode_json(changed)))


@scenario()
async def test_an_endpoint_gets_its_labels_beside_those_of_networkinfo(one):
    mesos = Mesos()
    mesos.run("c1", "shop", labels={"tier": "db", "app": "task"})
    async with labelling(one, mesos):
        await one.add(container="c1", labels={"app": "info"})
        await become(one, "c1", told("shop", tier="db", app="info"))


@scenario()
async def test_a_container_of_docker_is_told_by_the_name_that_mesos_gave_it(one):
    mesos = Mesos()
    mesos.run("c1", "shop")
    async with labelling(one, mesos):
        for name in ("mesos-c1", "c1"):
            spec = WorkloadEndpointSpec(orchestrator="libnetwork", node="h1", container_id=name, endpoint=name)
            metadata = Metadata(name=f"h1-libnetwork-libnetwork-{name}", labels={"docker/container": name})
            stored = WorkloadEndpoint(metadata=replace(metadata, namespace="default"), spec=spec)
            await one.store.write(Put(keys.workload("default", metadata.name), encode_json(stored)))
        await become(one, "mesos-c1", {"docker/container": "mesos-c1", **told("shop")})
        assert await labels_of(one, "c1") == {"docker/container": "c1"}


@scenario()
async def test_an_add_does_not_wait_for_it(one):
    mesos = Mesos()
    mesos.answers.clear()
    async with labelling(one, mesos):
        await one.add(container="c1", labels={"app": "info"})
        await until(lambda: mesos.asked)
        assert await labels_of(one, "c1") == {"app": "info"}
        mesos.run("c1", "shop")
        mesos.answers.set()
        await become(one, "c1", told("shop", app="info"))


@scenario()
async def test_a_hundred_tasks_at_once_are_few_questions_and_few_commits(one):
    mesos, commits = Mesos(), []
    for number in range(100):
        mesos.run(f"c{number}", f"t{number}")
    for number in range(100):
        await one.add(container=f"c{number}")
    one.script.refuse_commit = lambda *commit: commits.append(commit)
    async with labelling(one, mesos) as labels:
        await become(one, "c99", told("t99"))
        await become(one, "c0", told("t0"))
        await until(lambda: all(TASK in each.metadata.labels for each in one.local.endpoints.values()))
        assert not labels._new.is_set()  # what it wrote itself is no news
    assert mesos.asked == ["state", "containers"]
    assert len(commits) == 4
    assert {conditions[0].key for conditions, _ in commits} == {keys.CLUSTER_INFORMATION}


@scenario()
async def test_what_comes_while_mesos_is_asked_is_asked_about_next(one):
    mesos = Mesos()
    mesos.answers.clear()
    async with labelling(one, mesos):
        await one.add(container="c1")
        await until(lambda: mesos.asked)
        await one.add(container="c2")
        mesos.run("c1", "a")
        mesos.run("c2", "b")
        mesos.answers.set()
        await become(one, "c1", told("a"))
        await become(one, "c2", told("b"))


def of_another_runtime():
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "pod", "CNI_IFNAME": "eth0", "CNI_NETNS": "/x"}
    return parse(environment, b'{"name": "ocicat", "type": "ocicat"}')


@scenario()
async def test_nobody_is_asked_about_containers_of_other_runtimes(one):
    mesos = Mesos()
    mesos.run("c1", "shop", container_id="c1")
    async with labelling(one, mesos) as labels:
        await one.workloads.add(of_another_runtime())
        assert await labels.look() is None
        assert mesos.asked == []
        await one.add(container="c1")
        await become(one, "c1", told("shop"))
        assert await labels_of(one, "pod") == {}


@scenario()
async def test_a_second_look_reads_and_writes_nothing(one):
    mesos, read = Mesos(), []
    mesos.run("c1", "shop")
    await one.add(container="c1")
    labels = Labelling(one.store, one.local, mesos, FAST)
    await labels.look()
    await until(lambda: all(TASK in each.metadata.labels for each in one.local.endpoints.values()))
    get, one.store.get = one.store.get, lambda key: read.append(key) or get(key)
    one.script.refuse_commit = Conflict("nothing is to be written")
    await labels.look()
    assert read == []


@scenario()
async def test_a_container_that_mesos_does_not_know_yet_is_asked_about_again(one):
    mesos = Mesos()
    async with labelling(one, mesos):
        await one.add(container="c1")
        await until(lambda: mesos.asked.count("containers") > 2)
        mesos.run("c1", "shop")
        await become(one, "c1", told("shop"))


@scenario()
async def test_while_containers_are_being_made_statuses_tell(one):
    mesos = Mesos()
    mesos.run("c1", "a", container_id="c1")
    mesos.run("c2", "b")
    mesos.making.clear()
    async with labelling(one, mesos):
        await one.add(container="c1")
        await one.add(container="c2")
        await become(one, "c1", told("a"))
        assert await labels_of(one, "c2") == {}
        mesos.making.set()
        await become(one, "c2", told("b"))
        assert mesos.asked.count("containers") == 1


@scenario()
async def test_what_mesos_tells_late_is_taken_at_once(one):
    mesos = Mesos()
    mesos.run("c1", "a")
    mesos.making.clear()
    patient = replace(FAST, missing_s=3600.0, changing_s=3600.0, containers_s=0.001)
    async with labelling(one, mesos, patient) as labels:
        await one.add(container="c1")
        await until(lambda: labels._misses)
        assert mesos.asked == ["state", "containers"]
        mesos.making.set()
        await become(one, "c1", told("a"))


@scenario()
async def test_a_new_endpoint_is_asked_about_soon_whatever_is_missing_already(one):
    labels = one.feed.labelling = Labelling(one.store, one.local, Mesos(), FAST)
    await one.add(container="c1")
    assert [await labels.look() for _ in range(22)][-1] == FAST.unknown_s
    await one.add(container="c2")
    assert await labels.look() == 2 * FAST.missing_s


@scenario()
async def test_executors_without_an_endpoint_here_do_not_count(one):
    mesos = Mesos()
    mesos.run("c1", "a", container_id="c1")
    mesos.run("elsewhere", "b", "my own", executor="e", container_id="elsewhere")
    await one.add(container="c1")
    assert await Labelling(one.store, one.local, mesos, FAST).look() == FAST.settled_s


@scenario()
async def test_an_idle_executor_is_looked_at_as_often_as_a_busy_one(one):
    mesos = Mesos()
    mesos.run("c1", "t", "my own", executor="e")
    mesos.tasks.clear()
    await one.add(container="c1")
    labels = Labelling(one.store, one.local, mesos, FAST)
    assert [await labels.look() for _ in range(30)][-1] == FAST.changing_s


@scenario()
async def test_an_executor_that_gets_another_task_gets_its_labels(one):
    mesos = Mesos()
    mesos.run("c1", "first", "my own", executor="e", container_id="c1", labels={"a": "1", "b": "2"})
    async with labelling(one, mesos):
        await one.add(container="c1", labels={"net": "info"})
        await become(one, "c1", told("first", "e", a="1", b="2", net="info"))
        mesos.run("c1", "second", "my own", executor="e", container_id="c1", labels={"a": "1", "b": "3"})
        await become(one, "c1", told("", "e", a="1", net="info"))
        del mesos.tasks["first"]
        await become(one, "c1", told("second", "e", a="1", b="3", net="info"))
        mesos.tasks.clear()
        await become(one, "c1", told("", "e", net="info"))
        assert mesos.asked.count("containers") == 1


@scenario()
async def test_a_command_task_that_has_ended_leaves_no_write_behind(one):
    mesos = Mesos()
    mesos.run("c1", "shop")
    async with labelling(one, mesos) as labels:
        await one.add(container="c1")
        await become(one, "c1", told("shop"))
        mesos.tasks.clear()
        assert await labels.look() == FAST.settled_s
        assert await labels_of(one, "c1") == told("shop")


@scenario()
async def test_what_an_operator_does_stays(one):
    mesos = Mesos()
    mesos.run("c1", "shop", labels={"a": "1", "b": "1"})
    async with labelling(one, mesos) as labels:
        await one.add(container="c1")
        await become(one, "c1", told("shop", a="1", b="1"))
        await edit(
            one, "c1", lambda old: {key: "mine" if key == "a" else value for key, value in old.items() if key != "b"}
        )
        mesos.run("c1", "shop", labels={"a": "2", "b": "2", "c": "2"})
        await until(lambda: [e.metadata.labels.get("a") for e in one.local.endpoints.values()] == ["mine"])
        await labels.look()
        await become(one, "c1", told("shop", a="mine", c="2"))


@scenario()
async def test_an_endpoint_that_is_changed_meanwhile_is_read_again(one):
    mesos, conflicts = Mesos(), [Conflict("first"), Conflict("and alone")]
    mesos.run("c1", "a")
    mesos.run("c2", "b")
    await one.add(container="c1")
    await one.add(container="c2")
    one.script.refuse_commit = lambda *_: conflicts.pop(0) if conflicts else None
    async with labelling(one, mesos):
        await become(one, "c1", told("a"))
        await become(one, "c2", told("b"))
    assert conflicts == []


@scenario()
async def test_what_somebody_writes_between_reading_and_writing_is_not_lost(one):
    mesos = Mesos()
    mesos.run("c1", "a")
    await one.add(container="c1")
    get, edits = one.store.get, [{"mine": "x"}]

    async def then_edited(key):
        found = await get(key)
        if key.startswith(keys.WORKLOADS) and edits:
            await edit(one, "c1", lambda old: old | edits.pop())
        return found

    one.store.get = then_edited
    async with labelling(one, mesos):
        await become(one, "c1", told("a", mine="x"))


@scenario()
async def test_an_endpoint_that_is_always_being_changed_keeps_no_other_waiting(one):
    mesos = Mesos()
    mesos.run("c1", "a")
    mesos.run("c2", "b")
    await one.add(container="c1")
    await one.add(container="c2")
    one.script.refuse_commit = lambda _, operations: (
        Conflict("busy") if any("-c1-" in operation.key for operation in operations) else None
    )
    async with labelling(one, mesos):
        await become(one, "c2", told("b"))
        assert await labels_of(one, "c1") == {}


@scenario()
async def test_an_endpoint_whose_labels_are_refused_keeps_no_other_from_its_own(one, caplog):
    mesos = Mesos()
    mesos.run("c1", "a")
    mesos.run("c2", "b")
    await one.add(container="c1")
    await one.add(container="c2")
    one.script.refuse_commit = lambda _, operations: (
        Refused("request is too large") if any("-c1-" in operation.key for operation in operations) else None
    )
    labels = Labelling(one.store, one.local, mesos, FAST)
    assert await labels.look() == FAST.settled_s
    assert (await labels_of(one, "c1"), await labels_of(one, "c2")) == ({}, told("b"))
    await labels.look()
    (line,) = (record.getMessage() for record in caplog.records)
    assert "-c1-" in line
    assert "request is too large" in line
    one.script.refuse_commit = None
    await labels.look()
    assert await labels_of(one, "c1") == told("a")


@scenario()
async def test_a_datastore_that_does_not_answer_is_asked_no_more_in_that_look(one):
    mesos, asked = Mesos(), []
    for container in ("c1", "c2"):
        mesos.run(container, container)
        await one.add(container=container)
    one.script.refuse_commit = lambda *commit: asked.append(commit) or Unavailable("no answer")
    with pytest.raises(Unavailable, match="no answer"):
        await Labelling(one.store, one.local, mesos, FAST).look()
    assert len(asked) == 1


@scenario()
async def test_labels_for_which_there_is_no_room_are_told(one, caplog):
    mesos = Mesos()
    mesos.run("c1", "a", labels={f"l{number}": "x" for number in range(MOST + 3)})
    await one.add(container="c1")
    await Labelling(one.store, one.local, mesos, FAST).look()
    assert len(await labels_of(one, "c1")) == MOST + len(told("a"))
    assert "container c1: 3 labels of its task are left out" in caplog.text


@scenario()
async def test_a_status_cannot_make_another_s_container_its_own(one):
    """A custom executor, or a command task, names the container of a task that has said nothing yet."""
    mesos = Mesos()
    for task, executor in (("custom", "evil"), ("command", "")):
        mesos.run(f"of-{task}", task, "my own" if executor else "Command Executor (x)", executor, container_id="victim")
    mesos.run("victim", "shop")
    await one.add(container="victim")
    await Labelling(one.store, one.local, mesos, FAST).look()
    assert await labels_of(one, "victim") == told("shop")


@scenario()
async def test_mesos_own_word_goes_before_a_status_also_when_it_comes_later(one):
    mesos = Mesos()
    mesos.run("own", "forger", container_id="c1", labels={"tier": "db"})
    mesos.run("c1", "shop")
    mesos.making.clear()
    await one.add(container="c1")
    async with labelling(one, mesos, replace(FAST, containers_s=0.001)):
        await become(one, "c1", told("forger", tier="db"))
        mesos.making.set()
        await become(one, "c1", told("shop"))


@scenario()
async def test_what_is_gone_is_forgotten(one):
    mesos = Mesos()
    mesos.run("c1", "a")
    mesos.run("c2", "b")
    labels = Labelling(one.store, one.local, mesos, FAST)
    for container in ("c1", "c2"):
        await one.add(container=container)
    await labels.look()
    assert set(labels._owners) == {"c1", "c2"}
    await one.delete(container="c1")
    await labels.look()
    assert set(labels._owners) == {"c2"}
    await one.delete(container="c2")
    assert await labels.look() is None
    assert labels._owners == {}


@scenario()
async def test_an_endpoint_that_goes_meanwhile_does_not_come_back(one):
    mesos = Mesos()
    mesos.run("c1", "shop")
    await one.add(container="c1")
    async with labelling(one, mesos) as labels:
        mesos.answers.clear()
        looking = asyncio.create_task(labels.look())
        await until(lambda: mesos.asked)
        await one.delete(container="c1")
        mesos.answers.set()
        await looking
    await one.nothing_left()


@scenario()
async def test_what_stands_in_the_way_is_told_once_and_tried_until_it_is_gone(one, caplog):
    caplog.set_level("INFO", "ocicat.agent.labelling")
    mesos = Mesos()
    mesos.failure = Unavailable("10.0.0.11:5051: Connection refused")
    mesos.run("c1", "shop")
    async with labelling(one, mesos):
        await one.add(container="c1")
        await until(lambda: len(mesos.asked) > 5)
        await one.lock()
        mesos.failure = None
        await until(lambda: "locked" in caplog.text)
        await one.lock(False)
        await become(one, "c1", told("shop"))
        await until(lambda: "again" in caplog.text)
    lines = [record.getMessage() for record in caplog.records]
    assert ["refused" in lines[0], "locked" in lines[1], "tell again" in lines[2], len(lines)] == [True] * 3 + [3]


@scenario()
async def test_an_agent_that_starts_labels_what_is_there(one):
    mesos = Mesos()
    mesos.run("c1", "shop")
    await one.add(container="c1")
    async with labelling(one, mesos):
        await become(one, "c1", told("shop"))
    async with labelling(one, mesos) as again:
        assert await again.look() == FAST.settled_s
        assert await labels_of(one, "c1") == told("shop")


@pytest.mark.parametrize(
    ("name", "tasks", "pause_s"),
    [
        ("Command Executor (x)", True, FAST.settled_s),
        ("my own", True, FAST.changing_s),
        ("my own", False, FAST.missing_s),
    ],
)
def test_how_soon_is_looked_again(name, tasks, pause_s):
    @scenario()
    async def look(one):
        mesos = Mesos()
        mesos.run("c1", "t", name, executor="" if name.startswith("Command") else "e", container_id="c1")
        if not tasks:
            mesos.tasks.clear()
        await one.add(container="c1")
        labels = Labelling(one.store, one.local, mesos, FAST)
        assert await labels.look() == pause_s

    look()


@scenario()
async def test_an_unknown_container_is_asked_about_ever_more_seldom(one):
    await one.add(container="c1")
    labels = Labelling(one.store, one.local, Mesos(), FAST)
    pauses = [await labels.look() for _ in range(22)]
    assert (pauses[:4], pauses[4:19], pauses[20:]) == ([0.002, 0.004, 0.008, 0.01], [0.01] * 15, [0.02] * 2)


@scenario()
async def test_an_endpoint_nobody_can_read_hinders_no_other(one):
    mesos = Mesos()
    mesos.run("c1", "a")
    mesos.run("c2", "b")
    await one.add(container="c1")
    await one.add(container="c2")
    key = next(key for key, each in (await one.stored()).items() if each.spec.container_id == "c1")
    broken = (await one.store.get(key)).value.replace(b'"labels":{', b'"labels":[],"x":{')
    get = one.store.get

    async def other(asked):
        found = await get(asked)
        return replace(found, value=broken) if asked == key else found

    one.store.get = other
    await Labelling(one.store, one.local, mesos, FAST).look()
    one.store.get = get
    assert await labels_of(one, "c2") == told("b")
    assert decode_json(WorkloadEndpoint, (await get(key)).value).metadata.annotations == {}


@pytest.mark.parametrize(("took_s", "rest_s"), [(0.0, 0.02), (0.001, 0.02), (0.1, 0.9), (5.0, 10.0)])
def test_looking_takes_a_tenth_of_the_time_and_never_ends(took_s, rest_s):
    assert Timing().rest_s(took_s) == pytest.approx(rest_s)
