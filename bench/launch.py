"""Many tasks at once on the real Mesos: `python bench/launch.py [--tasks N] [--rounds N]`, as root.

200 tasks are launched at once over three lab hosts: on ocicat's network, on Debian's `ptp` with `host-local`, and without a network
of their own; turn by turn, in one lab. Times are from the launch of all to TASK_RUNNING of each, as the framework hears of it. Much
of them is Mesos and the tasks' executors on the machine's processors, the same for all three: what counts are the ratios. Processor
time of all of the lab, from launch to end, holds on a busy machine too. After each launch nothing may be left of the tasks.

A round of 200 tasks takes about two minutes on a quiet machine of two processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from _cluster import TIMING, cluster, end_all, in_cluster, percentile, processor_s, say, until_running
from _command import Option, main
from ocicat.errors import Refused
from ocicat.lab.demo_checks import leftovers
from ocicat.lab.lab import Lab
from ocicat.mesos.framework import Framework
from ocicat.mesos.types import NetworkRequest, TaskSpec

PLUGINS = Path("/usr/lib/cni")
PTP = "ptp"
NONE = "no network"
TASK = ("sleep", "3600")

Times = dict[str, list[list[float]]]  # kind of network -> round -> seconds of each task
Used = dict[str, list[float]]  # kind of network -> round -> processor's seconds for one task


def add_ptp(lab: Lab) -> None:
    """A second network on every host. Mesos reads configurations again when it is asked for a network that it does not know."""
    for number, host in enumerate(lab.hosts):
        routes = [{"dst": "0.0.0.0/0"}]
        subnet = f"10.200.{number}.0/24"
        ipam = {"type": "host-local", "subnet": subnet, "routes": routes, "dataDir": f"{host.directory}/ptp"}
        configuration = {"cniVersion": "0.2.0", "name": PTP, "type": "ptp", "ipam": ipam}
        Path(host.cni_config_dir, f"{PTP}.conf").write_text(json.dumps(configuration))
        for name in ("ptp", "host-local"):
            Path(host.plugin_dir, name).symlink_to(PLUGINS / name)


async def launch(framework: Framework, lab: Lab, network: str, count: int) -> list[float]:
    """How long each took, from the first launch; they have ended on return."""
    wanted = None if network == NONE else NetworkRequest(network, groups=("bench",) if network == lab.network else ())
    since = time.monotonic()
    tasks = [
        await framework.launch(
            TaskSpec(f"t{n}", TASK, cpus=0.05, mem_mb=16, hostname=lab.hosts[n % len(lab.hosts)].name, network=wanted)
        )
        for n in range(count)
    ]
    times = await asyncio.gather(*(until_running(task, since) for task in tasks))
    await end_all(framework)
    if found := await leftovers(lab):
        raise Refused(f"something is left of the tasks on {network}: {', '.join(found[:5])}")
    return times


async def launched(lab: Lab, count: int, rounds: int) -> tuple[Times, Used]:
    kinds, times, used = [lab.network, PTP, NONE], defaultdict(list), defaultdict(list)
    async with Framework.connect(lab.master, name="bench", timing=TIMING) as framework:
        for network in kinds:  # to warm up
            await launch(framework, lab, network, len(lab.hosts))
        for number in range(rounds):
            for network in kinds:
                before = processor_s(lab)
                times[network].append(await launch(framework, lab, network, count))
                used[network].append((processor_s(lab) - before) / count)
                took, cost = median(times[network][-1]), used[network][-1]
                say(f"round {number + 1}, {network}: median {took:.2f} s, {1000 * cost:.0f} ms of processor a task")
            kinds.reverse()
    return times, used


def report(times: Times, used: Used, network: str) -> None:
    """Medians over the rounds; ratios are of the same round."""
    print(f"{'':12}{'p50':>8}{'p99':>8}{'last':>8}  (s){'processor':>12}  (ms a task)")
    for kind in (network, PTP, NONE):
        columns = [[percentile(each, 50), percentile(each, 99), max(each)] for each in times[kind]]
        figures = "".join(f"{median(column):8.2f}" for column in zip(*columns, strict=True))
        print(f"{kind:12}{figures}{'':5}{1000 * median(used[kind]):12.0f}")
    for other in (PTP, NONE):
        for percent in (50, 99):
            pairs = zip(times[network], times[other], strict=True)
            ratios = [percentile(ours, percent) / percentile(theirs, percent) for ours, theirs in pairs]
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
            print(f"{network} to {other}, p{percent}: {median(ratios):.2f} ({spread})")
        costs = [ours / theirs for ours, theirs in zip(used[network], used[other], strict=True)]
        print(f"{network} to {other}, processor: {median(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})")


def bench(arguments: argparse.Namespace) -> None:
    with cluster("b-launch") as lab:
        add_ptp(lab)
        times, used = in_cluster(lab, launched(lab, arguments.tasks, arguments.rounds))
    print(f"{arguments.tasks} tasks at once over 3 hosts, {arguments.rounds} rounds; nothing left of them")
    report(times, used, lab.network)


if __name__ == "__main__":
    programs = {PLUGINS / PTP: "containernetworking-plugins"}
    sys.exit(main(__doc__, bench, {"tasks": Option(200), "rounds": Option(3)}, programs=programs))
