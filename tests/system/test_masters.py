"""Three masters that elect their leader in a ZooKeeper of three: leaders and servers die, tasks and their networks go on.

Every test leaves the lab whole: who was killed is back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from lab_bed import (
    MARKS,
    PATIENCE_S,
    as_running,
    end_all,
    framework,
    mismatches,
    run,
    run_all,
    running_lab,
    scenario,
    server,
    until,
    untouched,
)

from ocicat.lab import lab as labs
from ocicat.lab import sweep
from ocicat.lab.demo_checks import task_namespace
from ocicat.lab.sweep import Traces
from ocicat.mesos.types import TaskState
from ocicat.supervise import proc

pytestmark = MARKS

UP = {TaskState.STAGING, TaskState.STARTING, TaskState.RUNNING}
ZK = "zk://172.30.77.10:2181,172.30.77.9:2181,172.30.77.8:2181/mesos"


@pytest.fixture(scope="module")
def lab():
    """At its end it is removed as after a crash: nobody supervises it, and nobody remembers what it is made of."""
    with running_lab("t-masters", hosts=2, masters=3, zookeepers=3) as lab:
        yield lab
        pids = {process.name: process.pid for process in lab.status().processes}
        os.kill(pids["supervisor"], signal.SIGKILL)
        lab.spec.state_file.unlink()
        labs.down(lab.spec.name, lab.directory)
        assert [name for name, pid in pids.items() if proc.identity(pid)] == []
        assert sweep.traces(lab.spec.name, lab.directory) == Traces()


@contextmanager
def pinging(lab, source, target):
    """Fifty packets a second from one task to another; at the end all of them must have come back."""
    ping = ["ping", "-q", "-i", "0.02", as_running(target).addresses[0]]
    line = ["nsenter", f"--net={task_namespace(lab, as_running(source))}", *ping]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
    assert sent - 1 <= received <= sent, said  # the last one may have been under way
    assert received > 50


def ocicat(lab, *arguments):
    line = [*lab.enter("master"), sys.executable, "-m", "ocicat", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


async def killed(lab, name):
    """SIGKILL; the supervisor starts it again."""
    pid = next(process.pid for process in lab.status().processes if process.name == name)
    os.kill(pid, signal.SIGKILL)


def is_up(lab):
    return lab.status().up


@scenario
async def test_tasks_outlive_the_leader_and_the_next_one_gives_out_new_ones(lab):
    told = []
    async with framework(lab, report=told.append) as connected:
        first, second = await run_all(
            connected, [server(lab, name, host, ("g",)) for name, host in (("t1", "h1"), ("t2", "h2"))]
        )
        leader, identity = await asyncio.to_thread(lab.leader), connected.id
        with pinging(lab, second, first):
            await killed(lab, leader)
            await until(lambda: len(_subscriptions(told)) == 2)
            third = await run(connected, server(lab, "t3", "h1", ("g",)))
            fourth = await run(connected, server(lab, "t4", "h2", ("other",)))
        before, after = _subscriptions(told)
        assert (before[1], after[1]) == (identity, identity)
        assert before[0] != after[0]
        tasks = [first, second, third, fourth]
        assert {status.state for task in tasks for status in task.task.history} <= UP
        assert {task.status.state for task in tasks} == {TaskState.RUNNING}
        assert await mismatches(lab, [as_running(task) for task in tasks]) == []
        await end_all(tasks)
    await until(lambda: is_up(lab))
    assert await untouched(lab) == []


def _subscriptions(told):
    """(master, framework id)"""
    found = (re.match(r"subscribed to the master at (\S+) as (\S+)", line) for line in told)
    return [match.groups() for match in found if match]


@scenario
async def test_tasks_are_started_while_a_zookeeper_server_is_away(lab):
    await asyncio.to_thread(lab.stop, "zk2")
    try:
        async with framework(lab) as connected:
            await end_all([await run(connected, server(lab, "t", "h1", ("g",)))])
    finally:
        await asyncio.to_thread(lab.start, "zk2")
    assert await untouched(lab) == []


def test_status_names_the_leader(lab):
    done = ocicat(lab, "lab", "status", "--name", lab.spec.name, "--dir", str(lab.directory), "-o", "json")
    found = json.loads(done.stdout)
    assert found["leader"] in ("master", "master2", "master3")
    assert [p["name"] for p in found["processes"]][:7] == [
        "supervisor",
        "zk1",
        "zk2",
        "zk3",
        "master",
        "master2",
        "master3",
    ]


def test_a_command_finds_the_leader_by_itself(lab):
    assert lab.master == ZK
    assert lab.environment()["OCICAT_MASTER"] == ZK
    done = ocicat(lab, "run", "--master", ZK, "--network", lab.network, "--", "sleep 0")
    assert done.returncode == 0, done.stderr
    assert "subscribed to the master at 172.30.77." in done.stderr
