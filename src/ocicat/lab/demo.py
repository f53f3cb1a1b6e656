"""The main job, shown: three hosts, real Mesos, tasks with addresses of their own, and who can reach whom, measured.

Exits 0 only when every task got its address, Mesos, the datastore and the kernel agree on it, the measured connectivity is the
expected one, and nothing is left when all tasks have been killed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ocicat.errors import OcicatError, Refused
from ocicat.lab import demo_checks as checks
from ocicat.lab.demo_checks import Reach, Running
from ocicat.lab.lab import Lab
from ocicat.lab.progress import Progress
from ocicat.lab.spec import LabSpec
from ocicat.mesos.framework import Framework, Timing
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState
from ocicat.netlink import namespace

PORT = 8080
# The smallest server there is: accepts, and closes. Started by every task, so that reaching it says something.
SERVER = (
    "exec /usr/bin/python3 -ISEc 'import _socket as s;l=s.socket(s.AF_INET,s.SOCK_STREAM);"
    f'l.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1);l.bind(("0.0.0.0",{PORT}));l.listen(64)\n'
    "while 1: s.close(l._accept()[0])'"
)
RUNNING_TIMEOUT_S = 60.0
KEPT_FOR_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One task of the demo. `network` False: it opts out and stays on the host's network."""

    name: str
    host: str
    groups: tuple[str, ...] = ()
    network: bool = True


TASKS = (
    Wanted("a1", "h1", ("a",)),
    Wanted("a2", "h1", ("a",)),
    Wanted("a3", "h2", ("a",)),
    Wanted("b1", "h1", ("b",)),
    Wanted("b2", "h3", ("b",)),
    Wanted("ab", "h2", ("a", "b")),
    Wanted("pub", "h3", ("public",)),
    Wanted("none1", "h1"),
    Wanted("none2", "h2"),
    Wanted("host", "h3", network=False),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running and say what to try")
    parser.add_argument("--name", default=LabSpec().name, help="of the lab: two of one name cannot be at the same time")
    given = parser.parse_args()
    talk = Progress()
    _end_on_signals()
    try:
        demo(given.name, keep=given.keep, talk=talk)
    except OcicatError as error:
        talk(f"FAILED: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        talk("interrupted")
        sys.exit(130)


def _end_on_signals() -> None:
    """The lab goes then too: also where the terminal is closed, and where a script has started us in its background, which has
    SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def demo(name: str, *, keep: bool, talk: Progress) -> None:
    """Raises `Refused` when anything is not as it must be; the lab goes in any case but a successful `keep`."""
    lab = Lab.up(LabSpec(name=name, hosts=3), talk)
    kept = False
    try:
        with namespace.opened(lab.namespace("master")) as master, namespace.inside(master):
            asyncio.run(_run(lab, keep=keep, talk=talk))
        kept = keep
    finally:
        if kept:
            _say_what_to_try(lab)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is impatient would be left with half of it
            talk("taking the lab down")
            lab.down()
    talk(f"done{'; the lab is still up' if kept else ', nothing left'}")


async def _run(lab: Lab, *, keep: bool, talk: Progress) -> None:
    timing = Timing(failover_s=KEPT_FOR_S) if keep else Timing()
    async with Framework.connect(lab.master, name="demo", timing=timing, leave_running=keep) as framework:
        talk(f"launching {len(TASKS)} tasks")
        running = await _launch(framework, lab)
        sys.stdout.write(checks.task_table(running) + "\n\n")
        median = statistics.median(task.started_s for task in running)
        talk(
            f"all running; from launch to TASK_RUNNING: median {median:.2f} s, worst {max(t.started_s for t in running):.2f} s"
        )

        _require(await checks.disagreements(lab, running), "Mesos, datastore and kernel disagree")
        talk("statuses, datastore and kernel agree on every address")

        talk("measuring who reaches whom: TCP and ping, from each task to each other")
        expected = {(a.name, b.name): checks.expected(a, b) for a in running for b in running if a is not b}
        measured = await checks.measure(lab, running, PORT)
        sys.stdout.write(checks.matrices(running, measured, expected) + "\n")
        sys.stdout.flush()
        _require(_mismatches(measured, expected), "connectivity is not as policy says")
        talk(f"{len(expected)} pairs, {2 * len(expected)} probes: all as expected")
        if keep:
            return
        talk("killing all tasks")
        await asyncio.gather(*(task.kill() for task in framework.tasks))
        await asyncio.gather(*(task.wait_ended(timeout_s=RUNNING_TIMEOUT_S) for task in framework.tasks))
        _require(await checks.leftovers(lab), "something was left behind")
        talk("no address, endpoint, route, interface or set element left")


async def _launch(framework: Framework, lab: Lab) -> list[Running]:
    async def one(wanted: Wanted) -> Running:
        network = NetworkRequest(name=lab.network, groups=wanted.groups) if wanted.network else None
        started = time.monotonic()
        task = await framework.launch(
            TaskSpec(name=wanted.name, command=SERVER, network=network, hostname=wanted.host, mem_mb=32, cpus=0.1)
        )
        await task.wait(TaskState.RUNNING, timeout_s=RUNNING_TIMEOUT_S)
        return checks.as_running(task, time.monotonic() - started)

    return await asyncio.gather(*map(one, TASKS))


def _mismatches(measured: dict[tuple[str, str], Reach], expected: dict[tuple[str, str], Reach]) -> list[str]:
    return [
        f"{source} -> {target}: expected {expected[source, target]}, measured {reach}"
        for (source, target), reach in measured.items()
        if reach != expected[source, target]
    ]


def _require(problems: Sequence[str], what: str) -> None:
    if problems:
        raise Refused(f"{what}: {'; '.join(problems)}")


def _say_what_to_try(lab: Lab) -> None:
    ocicat = f"{sys.executable.removesuffix('python')}ocicat"
    named = "" if lab.spec.name == LabSpec().name else f" --name {lab.spec.name}"
    sys.stdout.write(
        f"""
The lab is up. Try:
  {ocicat} lab status{named}
  {ocicat} endpoints --store {lab.store}
  {ocicat} lab exec{named} h1 -- ip route
  {ocicat} lab exec{named} h1 -- nft list table inet ocicat
  {ocicat} lab exec{named} master -- {ocicat} run --master {lab.master} --network {lab.network} --group a -- 'sleep 60'
  {ocicat} lab restart{named} agent-h1 --kill
and when you have seen enough:
  {ocicat} lab down{named}
"""
    )


if __name__ == "__main__":
    main()
