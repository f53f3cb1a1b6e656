"""A lab for benchmarks: room for many tasks on every host, and a framework in the master's namespace."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from ocicat.lab.lab import Lab
from ocicat.lab.spec import LabSpec
from ocicat.mesos.framework import Framework, Timing
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import TaskState
from ocicat.netlink import namespace

T = TypeVar("T")

PATIENCE_S = 600.0
TIMING = Timing(connect_s=60.0, placement_s=PATIENCE_S, failover_s=PATIENCE_S)
_FLAGS = {
    "resources": "cpus:64;mem:65536;disk:100000",
    "executor_registration_timeout": "10mins",  # on a busy machine hundreds of executors take longer than Mesos's minute
}
_TICKS = os.sysconf("SC_CLK_TCK")
_began = time.monotonic()


def say(line: str) -> None:
    sys.stderr.write(f"[{time.monotonic() - _began:6.1f} s] {line}\n")


@contextmanager
def cluster(name: str, **settings: int) -> Iterator[Lab]:
    """Gone afterwards, whatever happened."""
    with Lab.up(LabSpec(name=name, agent_flags=_FLAGS, **settings), say) as lab:
        yield lab


def in_cluster(lab: Lab, work: Coroutine[None, None, T]) -> T:
    """Where the masters are reached."""
    with namespace.opened(lab.namespace("master")) as there, namespace.inside(there):
        return asyncio.run(work)


def processor_s(lab: Lab) -> float:
    """What the lab's processes and those that they have seen end have used since their beginning. Not the kernel's own threads."""
    mark = str(lab.spec.root).encode()
    return sum(_used_s(process, mark) for process in Path("/proc").iterdir() if process.name.isdigit())


def _used_s(process: Path, mark: bytes) -> float:
    with suppress(OSError):
        if mark in (process / "cmdline").read_bytes():
            return sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15])) / _TICKS
    return 0.0


def percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


async def end_all(framework: Framework) -> None:
    tasks = framework.tasks
    await asyncio.gather(*(task.kill() for task in tasks))
    await asyncio.gather(*(task.wait_ended(timeout_s=PATIENCE_S) for task in tasks))


async def until_running(task: TaskHandle, since: float) -> float:
    """Seconds from `since` (monotonic)."""
    await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
    return time.monotonic() - since
