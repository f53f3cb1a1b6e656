"""Tasks that come and go while everything under them fails: `python bench/churn.py [--tasks N] [--at-once N]`, as root.

2,000 tasks go through three lab hosts with three Mesos masters. Each lives for about two seconds and connects to a task on another
host all that time; a connection that fails ends it as failed. Three residents, one on each host, ping each other from the beginning
to the end. Meanwhile, one after the other and again: an ocicat agent is killed, another one is stopped for some seconds (SIGSTOP:
every plugin call on that host hangs) and goes on, and the leading master is killed.

It passes (0) when every task finished, no ping was lost, and nothing of the tasks is left: endpoints, addresses, handles,
interfaces, routes, members of sets, network namespaces.

What may spoil a run: the lab's three Mesos agents share one table of mounts, and Mesos 1.11 aborts when that changes while it is
read ("Cycle found in mount table hierarchy"; seen once in 12 minutes at a load of 40). It is told at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle

from _cluster import PATIENCE_S, TIMING, cluster, end_all, in_cluster, percentile, say
from _command import Option, main
from ocicat.errors import Refused
from ocicat.lab.demo import PORT, SERVER
from ocicat.lab.demo_checks import as_running, leftovers, task_namespace
from ocicat.lab.lab import Lab
from ocicat.mesos.framework import Framework
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState, TaskStatus

PAUSE_S = 12.0  # between two disturbances
HANG_S = 5.0
CONNECTS = 8  # of a task, in its life
PING_S = 0.05
GROUP = "churn"


@dataclass(slots=True)
class Outcome:
    """`failed`: by Mesos's reason and message. `times`: launch to running, in seconds."""

    ended: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    disturbed: Counter[str] = field(default_factory=Counter)
    pings: list[tuple[int, int]] = field(default_factory=list)  # sent, received
    aborted: int = 0  # Mesos agents, by themselves


def client(address: str) -> str:
    once = f"exec 3<>/dev/tcp/{address}/{PORT} || exit 7; exec 3>&-; sleep 0.25;"
    return f"exec bash -c '{once * CONNECTS}'"


def spec(lab: Lab, name: str, command: str, host: str) -> TaskSpec:
    network = NetworkRequest(lab.network, groups=(GROUP,))
    return TaskSpec(name, command, cpus=0.05, mem_mb=16, hostname=host, network=network)


async def resident(framework: Framework, lab: Lab, host: str) -> TaskHandle:
    task = await framework.launch(spec(lab, f"resident-{host}", SERVER, host))
    await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
    return task


def address_of(task: TaskHandle) -> str:
    return as_running(task).addresses[0]


# --- what must not notice anything --------------------------------------------------------------------------------


@contextmanager
def pinging(lab: Lab, tasks: list[TaskHandle], outcome: Outcome) -> Iterator[None]:
    """Each of the tasks pings the next one meanwhile."""
    pairs = zip(tasks, tasks[1:] + tasks[:1], strict=True)
    running = [_ping(lab, source, target) for source, target in pairs]
    try:
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            said = process.communicate()[0]
            found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
            outcome.pings.append((int(found[1]), int(found[2])) if found else (1, 0))


def _ping(lab: Lab, source: TaskHandle, target: TaskHandle) -> subprocess.Popen[str]:
    place = task_namespace(lab, as_running(source))
    line = ["nsenter", f"--net={place}", "ping", "-q", "-i", str(PING_S), address_of(target)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True)


# --- what happens meanwhile ---------------------------------------------------------------------------------------


async def disturb(lab: Lab, outcome: Outcome) -> None:
    """Until cancelled."""
    hosts = cycle([host.name for host in lab.hosts])
    for kind in cycle(("agent killed", "agent stopped", "master killed")):
        await asyncio.sleep(PAUSE_S)
        name = await asyncio.to_thread(lab.leader) if kind == "master killed" else f"agent-{next(hosts)}"
        pid = next((process.pid for process in lab.status().processes if process.name == name), 0)
        if not pid:
            continue  # not up again since the last time
        outcome.disturbed[kind] += 1
        say(f"{kind}: {name}; {outcome.ended} tasks have ended")
        if kind == "agent stopped":
            await _hung(pid)
        else:
            os.kill(pid, signal.SIGKILL)


async def _hung(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(HANG_S)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# --- the tasks ----------------------------------------------------------------------------------------------------


async def churn(lab: Lab, count: int, at_once: int) -> Outcome:
    outcome = Outcome()
    async with Framework.connect(lab.master, name="churn", timing=TIMING, report=say) as framework:
        residents = list(await asyncio.gather(*(resident(framework, lab, host.name) for host in lab.hosts)))
        with pinging(lab, residents, outcome):
            disturbing = asyncio.create_task(disturb(lab, outcome))
            try:
                await _through(framework, lab, [address_of(task) for task in residents], outcome, count, at_once)
            finally:
                disturbing.cancel()
                await asyncio.gather(disturbing, return_exceptions=True)
        await end_all(framework)
    outcome.aborted = sum(each.restarts for each in lab.status().processes if each.name.startswith("mesos-"))
    if found := await leftovers(lab):
        raise Refused(f"left behind: {len(found)}: {', '.join(found[:10])}")
    return outcome


async def _through(
    framework: Framework, lab: Lab, servers: list[str], outcome: Outcome, count: int, at_once: int
) -> None:
    room = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        host, server = lab.hosts[number % len(lab.hosts)].name, servers[(number + 1) % len(servers)]
        async with room:
            _note(outcome, await _life(framework, spec(lab, f"c{number}", client(server), host), outcome.times))

    await asyncio.gather(*map(one, range(count)))


async def _life(framework: Framework, wanted: TaskSpec, times: list[float]) -> TaskStatus:
    since = time.monotonic()
    task = await framework.launch(wanted)
    with suppress(Refused):  # it ended before it ran: its last status says why
        await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
        times.append(time.monotonic() - since)
    return await task.wait_ended(timeout_s=PATIENCE_S)


def _note(outcome: Outcome, status: TaskStatus) -> None:
    outcome.ended += 1
    if status.state != TaskState.FINISHED:
        outcome.failed[f"{status.state.short}: {status.reason}: {status.message[:300]}"] += 1
        say(f"{status.task_id} {status.state.short}: {status.reason}: {status.message[:300]}")


def report(outcome: Outcome, elapsed_s: float) -> bool:
    """Whether nobody noticed anything."""
    lost = sum(max(0, sent - received - 1) for sent, received in outcome.pings)  # the last one may have been under way
    times = outcome.times
    print(
        f"{outcome.ended} tasks in {elapsed_s:.0f} s, {outcome.ended / elapsed_s:.1f}/s; {outcome.failed.total()} did not finish"
    )
    print(
        f"launch to running: p50 {percentile(times, 50):.2f} s, p99 {percentile(times, 99):.2f} s, worst {max(times):.2f} s"
    )
    print("meanwhile: " + ", ".join(f"{kind} {n} times" for kind, n in outcome.disturbed.items()))
    print(f"pings between residents: {sum(sent for sent, _ in outcome.pings)} sent, {lost} lost")
    print("left behind: nothing")
    if outcome.aborted:
        print(
            f"Mesos agents that ended by themselves: {outcome.aborted}; see their logs. Tasks that were starting then have failed."
        )
    for reason, n in outcome.failed.most_common():
        print(f"  {n} x {reason}")
    return not outcome.failed and not lost


def bench(arguments: argparse.Namespace) -> bool:
    with cluster("b-churn", masters=3) as lab:
        began = time.monotonic()
        outcome = in_cluster(lab, churn(lab, arguments.tasks, arguments.at_once))
    return report(outcome, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench, {"tasks": Option(2000), "at-once": Option(24)}))
