"""What the tests of the whole system share: a lab of their own, tasks in it, and looks at it from several sides.

Every test with `@scenario` runs in the master's namespace, from where a framework reaches the cluster, and ends within a bound.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import subprocess
import time
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path

import pytest

from ocicat.lab import lab as labs
from ocicat.lab.demo import PORT, SERVER
from ocicat.lab.demo_checks import as_running as as_running
from ocicat.lab.demo_checks import expected, leftovers, measure, opened
from ocicat.lab.lab import Lab
from ocicat.lab.requirements import may_execute
from ocicat.lab.spec import LabSpec
from ocicat.mesos.framework import Framework
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import WorkloadEndpoint
from ocicat.netlink import namespace

MARKS = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
PATIENCE_S = 60.0
BOUND_S = 240.0
ADDRESS = re.compile(r"10\.77\.\d+\.\d+")


@contextmanager
def running_lab(name, **settings):
    """A lab that nobody else has: a second run of the same test waits, and what a killed run left goes first."""
    parent = Path("/run" if may_execute(Path("/run")) else "/var/lib") / "ocicat-test"
    parent.mkdir(exist_ok=True)
    spec = LabSpec(name=name, directory=str(parent / name), **settings)
    with (parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        labs.down(spec.name, spec.root)
        with Lab.up(spec) as lab:
            yield lab


@contextmanager
def on(lab, host):
    """This thread is on that host meanwhile."""
    with within(lab.namespace(host)):
        yield


@contextmanager
def within(path):
    """This thread is in that network namespace meanwhile; sockets made there stay there."""
    with namespace.opened(path) as descriptor, namespace.inside(descriptor):
        yield


def scenario(test):
    """Runs the coroutine on the master's host, in a loop of its own."""

    @wraps(test)
    def bounded(lab, **fixtures):
        with on(lab, "master"):
            asyncio.run(asyncio.wait_for(test(lab, **fixtures), BOUND_S))

    return bounded


# --- tasks ------------------------------------------------------------------------------------------------------


def framework(lab, **options):
    return Framework.connect(lab.master, name=lab.spec.name, **options)


def server(lab, name, host, groups=(), *, networked=True, network="", labels=None, addresses=()):
    """A task that answers on `PORT`."""
    wanted = NetworkRequest(network or lab.network, tuple(groups), labels or {}, tuple(addresses))
    return TaskSpec(name, SERVER, hostname=host, network=wanted if networked else None, cpus=0.05, mem_mb=16)


async def run(connected, spec):
    """The handle of a task that runs."""
    task = await connected.launch(spec)
    await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
    return task


async def run_all(connected, specs):
    return await asyncio.gather(*(run(connected, spec) for spec in specs))


async def end_all(tasks):
    for task in tasks:
        await task.kill()
    return await asyncio.gather(*(task.wait_ended(timeout_s=PATIENCE_S) for task in tasks))


# --- looks ------------------------------------------------------------------------------------------------------


async def mismatches(lab, running):
    """Where the measured connectivity of these tasks is not what their groups say."""
    measured = await measure(lab, running, PORT)
    by_name = {task.name: task for task in running}
    assert len(measured) == len(running) * (len(running) - 1)
    return [
        f"{source} -> {target}: {reach}, not {wanted}"
        for (source, target), reach in measured.items()
        if reach != (wanted := expected(by_name[source], by_name[target]))
    ]


async def endpoints(lab):
    """Of the datastore, by container."""
    async with opened(lab) as store:
        items = (await store.range(keys.WORKLOADS)).items
    found = [decode_json(WorkloadEndpoint, item.value, what=item.key) for item in items]
    return {endpoint.spec.container_id: endpoint for endpoint in found}


async def until(holds, *, within_s=PATIENCE_S):
    """Seconds until `holds()` is true (it may be a coroutine function); fails when it takes too long."""
    began = time.monotonic()
    while True:
        held = holds()
        if asyncio.iscoroutine(held):
            held = await held
        if held:
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, "waited in vain"
        await asyncio.sleep(0.02)


def log_size(lab, process):
    return lab.log(process).stat().st_size


def log_since(lab, process, size):
    return lab.log(process).read_bytes()[size:].decode()


def sh(lab, host, command):
    """The output of a command line on a host."""
    done = subprocess.run([*lab.enter(host), *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{host}: {command}: {done.stderr}"
    return done.stdout


async def untouched(lab):
    """Nothing of any task is left, in the datastore, the kernels and the folders."""
    return await leftovers(lab) + mounted_namespaces(lab) + held_namespaces(lab)


def mounted_namespaces(lab):
    """Handles that Mesos's isolator would keep of containers' namespaces."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [mount for mount in mounts if f" {lab.directory}/" in mount and "/isolators/network/cni/" in mount]


def held_namespaces(lab):
    """Descriptors of other namespaces than its own that an agent of ours holds on to."""
    pids = {process.name: process.pid for process in lab.status().processes if process.name.startswith("agent-")}
    return [
        f"{name} holds {link}"
        for name, pid in pids.items()
        for link in links(Path(f"/proc/{pid}/fd"))
        if link.startswith("net:") and link != str(Path(f"/proc/{pid}/ns/net").readlink())
    ]


def links(folder):
    """What the links of a folder lead to; those that go away meanwhile are gone."""
    found = []
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return found
