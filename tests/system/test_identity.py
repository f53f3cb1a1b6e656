"""Who a task is, on the real Mesos: labels of its endpoint that policy selects on, true from before its start until its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from lab_bed import (
    MARKS,
    PATIENCE_S,
    as_running,
    endpoints,
    framework,
    log_since,
    log_size,
    run,
    run_all,
    scenario,
    server,
    until,
    untouched,
)

from ocicat.lab.demo import PORT
from ocicat.lab.demo_checks import ALL, NOTHING, measure, opened
from ocicat.mesos import launching
from ocicat.mesos.types import ExecutorSpec, NetworkRequest, TaskSpec, TaskState
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json
from ocicat.model.resources import WorkloadEndpoint

pytestmark = MARKS
LAB, LAB_HOSTS = "t-identity", 2
EXECUTOR = Path(__file__).with_name("custom_executor.py")

POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: databases
spec:
  selector: tier == 'db'
  ingress:
  - action: Allow
    source:
      selector: mesos/framework == 't-identity' && mesos/task == 'web'
  egress:
  - action: Allow
"""


def labelled(lab, name, host, **labels):
    return replace(server(lab, name, host, ("public",), labels={"net": "info"}), labels=labels)


async def labels_of(lab, container):
    endpoint = (await endpoints(lab))[container]
    return {key: value for key, value in endpoint.metadata.labels.items() if "projectcalico" not in key}


async def labels_become(lab, container, wanted):
    async def are():
        return await labels_of(lab, container) == wanted

    return await until(are)


def told(task, **more):
    names = {"mesos/framework": LAB, "mesos/executor": task.task_id, "mesos/task": task.spec.name, "net": "info"}
    return names | more


def ocicat(lab, *words, text=""):
    command = [sys.executable, "-m", "ocicat", *words, "--store", lab.store]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)


@asynccontextmanager
async def policy(lab):
    ocicat(lab, "apply", "-f", "-", text=POLICY)
    try:
        yield
    finally:
        ocicat(lab, "delete", "globalnetworkpolicy", "databases")


@asynccontextmanager
async def labels_when_first_seen(lab):
    """By container: the loop's time at which its endpoint came, and at which it had labels of Mesos."""
    seen, loop = {}, asyncio.get_running_loop()

    async def watch(store, revision):
        async for batch in store.watch(keys.WORKLOADS, revision):
            for endpoint in (decode_json(WorkloadEndpoint, event.value) for event in batch.events if event.value):
                times = seen.setdefault(endpoint.spec.container_id, [loop.time()])
                if "mesos/task" in endpoint.metadata.labels and len(times) == 1:
                    times.append(loop.time())

    async with opened(lab) as store:
        watching = asyncio.create_task(watch(store, (await store.range(keys.WORKLOADS)).revision + 1))
        try:
            yield seen
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@scenario
async def test_policy_selects_on_who_a_task_is_from_its_start(lab):
    specs = [labelled(lab, "db", "h1", tier="db"), labelled(lab, "web", "h2"), labelled(lab, "other", "h2")]
    async with labels_when_first_seen(lab) as seen, framework(lab) as connected, policy(lab):
        tasks = await run_all(connected, specs)
        containers = {task.spec.name: task.status_of(TaskState.RUNNING).container_id for task in tasks}
        await until(lambda: all(len(seen.get(container, ())) == 2 for container in containers.values()))
        assert await labels_of(lab, containers["db"]) == told(tasks[0], tier="db")
        waited_s = [labelled - made for made, labelled in seen.values()]
        print("seconds from endpoint to labels:", *(f"{each:.3f}" for each in waited_s))
        assert max(waited_s) < 20  # on a quiet machine it is some hundredths

        async def as_policy_says():
            found = await measure(lab, [as_running(task) for task in tasks], PORT)
            refused = {pair for pair, reach in found.items() if reach != ALL}
            return refused == {("other", "db")} and found["other", "db"] == NOTHING

        await until(as_policy_says)
        lab.restart("agent-h1")
        assert await labels_of(lab, containers["db"]) == told(tasks[0], tier="db")
        ocicat(lab, "label", "workloadendpoint", (await endpoints(lab))[containers["other"]].metadata.name, "tier=x")
        assert await labels_of(lab, containers["other"]) == told(tasks[2], tier="x")
    assert await untouched(lab) == []


@scenario
async def test_an_executor_that_is_used_again_is_told_by_its_present_tasks(lab, monkeypatch):
    real = launching.executor_info
    monkeypatch.setattr(launching, "executor_info", lambda spec, _, *rest: real(spec, "shared", *rest))
    wanted = NetworkRequest(lab.network, labels={"net": "info"})
    executor = ExecutorSpec(command=f"exec {sys.executable} -ISE {EXECUTOR}", networks=(wanted,))
    spec = TaskSpec("first", (), cpus=0.05, mem_mb=16, hostname="h1", labels={"a": "1", "b": "1"}, executor=executor)
    names = {"mesos/framework": LAB, "mesos/executor": "shared", "net": "info"}
    async with framework(lab) as connected:
        first = await run(connected, spec)
        container = first.status_of(TaskState.RUNNING).container_id
        await labels_become(lab, container, names | {"mesos/task": "first", "a": "1", "b": "1"})
        second = await run(connected, replace(spec, name="second", labels={"a": "1", "b": "2"}))
        assert second.status_of(TaskState.RUNNING).container_id == container
        await labels_become(lab, container, names | {"a": "1"})
        await first.kill()
        await labels_become(lab, container, names | {"mesos/task": "second", "a": "1", "b": "2"})
    assert await untouched(lab) == []


@scenario
async def test_without_its_mesos_agent_labels_stay_and_that_is_told_once(lab):
    async with framework(lab) as connected:
        task = await run(connected, labelled(lab, "stays", "h1", a="1"))
        container = task.status_of(TaskState.RUNNING).container_id
        await labels_become(lab, container, told(task, a="1"))
        size = log_size(lab, "agent-h1")
        lab.stop("mesos-h1")
        lab.restart("agent-h1")
        await until(lambda: "cannot be told by labels" in log_since(lab, "agent-h1", size))
        assert await labels_of(lab, container) == told(task, a="1")
        lab.start("mesos-h1")
        await until(lambda: "labels tell again" in log_since(lab, "agent-h1", size))
        lines = log_since(lab, "agent-h1", size).splitlines()
        reasons = [why for line in lines for _, told_of, why in [line.partition("cannot be told by labels")] if told_of]
        assert len(reasons) == len(set(reasons)), reasons  # refused, not yet listening, not yet recovered: each once
        assert await labels_of(lab, container) == told(task, a="1")


@scenario
async def test_a_label_that_is_for_mesos_to_give_fails_the_task(lab):
    spec = server(lab, "claims", "h1", labels={"mesos/role": "root"})
    async with framework(lab) as connected:
        ended = await (await connected.launch(spec)).wait_ended(timeout_s=PATIENCE_S)
    assert ended.state == TaskState.FAILED
    assert "the label 'mesos/role' is for Mesos alone to give" in ended.message
