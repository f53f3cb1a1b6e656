"""Ten rounds of twenty tasks on three hosts: all come, all go, nothing stays; in half of them an agent is killed."""

from __future__ import annotations

import asyncio
import time

import pytest
from lab_bed import MARKS, PATIENCE_S, as_running, framework, mismatches, scenario, server, sh, until, untouched

from ocicat.lab.demo_checks import disagreements
from ocicat.mesos.types import TaskState

pytestmark = MARKS
LAB = "t-rounds"
TASKS = 20
GROUPS = (("a",), ("b",), ("a", "b"), ("public",), ())
KILLED_AT_LAUNCH = {
    3: ("h1", 1),
    5: ("h2", 4),
    7: ("h3", 8),
    9: ("h1", 12),
}  # round: host, and how many tasks ran by then
KILLED_AT_END = {8: ("h2", 4)}  # round: host, and how many tasks had ended by then


def specs(lab, number):
    """The tasks of a round: every host has every kind of group."""
    return [server(lab, f"r{number}-{n}", f"h{n % 3 + 1}", GROUPS[n % len(GROUPS)]) for n in range(TASKS)]


def count(tasks, holds):
    return sum(task.status is not None and holds(task.status.state) for task in tasks)


async def launch(lab, connected, number):
    tasks = [await connected.launch(spec) for spec in specs(lab, number)]
    if number in KILLED_AT_LAUNCH:
        host, ran = KILLED_AT_LAUNCH[number]
        await until(lambda: count(tasks, lambda state: state is TaskState.RUNNING) >= ran)
        assert count(tasks, lambda state: state is TaskState.RUNNING) < TASKS, "the agent was killed too late"
        await asyncio.to_thread(lab.restart, f"agent-{host}", kill=True)
    await asyncio.gather(*(task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S) for task in tasks))
    return tasks


async def kill(lab, tasks, number):
    for task in tasks:
        await task.kill()
    if number in KILLED_AT_END:
        host, ended = KILLED_AT_END[number]
        await until(lambda: count(tasks, lambda state: state.terminal) >= ended)
        assert count(tasks, lambda state: state.terminal) < TASKS, "the agent was killed too late"
        await asyncio.to_thread(lab.restart, f"agent-{host}", kill=True)
    return await asyncio.gather(*(task.wait_ended(timeout_s=PATIENCE_S) for task in tasks))


@pytest.mark.parametrize("number", range(1, 8))
@scenario
async def test_twenty_tasks_come_and_go_and_leave_nothing(lab, number, rulesets):
    times = [time.monotonic()]
    async with framework(lab) as connected:
        tasks = await launch(lab, connected, number)
        times.append(time.monotonic())
        running = [as_running(task) for task in tasks]
        assert len({task.addresses for task in running}) == TASKS
        assert await disagreements(lab, running) == []
        assert await mismatches(lab, running[number % 7 :: 3]) == []
        times.append(time.monotonic())
        assert {status.state for status in await kill(lab, tasks, number)} == {TaskState.KILLED}
        times.append(time.monotonic())
        assert await untouched(lab) == []
        times.append(time.monotonic())
    # The last guard goes behind its interface.
    await until(lambda: {host.name: ruleset(lab, host.name) for host in lab.hosts} == rulesets)
    steps = zip(("launched", "checked", "killed", "clean"), times, times[1:], strict=False)
    print(f"round {number}: " + ", ".join(f"{what} {end - begin:.2f} s" for what, begin, end in steps))


@pytest.fixture(scope="module")
def rulesets(lab):
    """Each host's rules before the first task."""
    return {host.name: ruleset(lab, host.name) for host in lab.hosts}


def ruleset(lab, host):
    return sh(lab, host, "nft -s list ruleset")
