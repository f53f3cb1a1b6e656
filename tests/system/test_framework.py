"""The framework and the operator client against the real Mesos: one master and one agent in a namespace of their own.

The tests run inside that namespace, so that nothing of the machine's own network is touched.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from pathlib import Path

import pytest

from ocicat.errors import Refused
from ocicat.lab.mesos.cleanup import cleanup
from ocicat.lab.mesos.options import AgentOptions, MasterOptions
from ocicat.mesos.framework import Framework, Timing
from ocicat.mesos.operator import AgentClient, MasterClient
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState
from ocicat.netlink.namespace import inside, named, opened

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/cni/ptp").exists(), reason="needs Debian's containernetworking-plugins"),
]

NAME = "oct-fw"
NET = "oct-fw-net"
IP = "10.78.0.1"
MASTER = f"{IP}:5050"
PATIENCE_S = 30.0
RUNNING = TaskState.RUNNING
SLEEP = TaskSpec("sleep", ("sleep", "600"), network=NetworkRequest(NET, groups=("a",), labels={"app": "x"}))
NETWORK = {
    "cniVersion": "0.2.0",
    "name": NET,
    "type": "ptp",
    "ipam": {"type": "host-local", "subnet": "10.79.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
}


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def remove_all(base):
    """Ours, also of a run that was killed: processes in the namespace, containers, mounts, cgroups, files."""
    found = subprocess.run(["ip", "netns", "pids", NAME], check=False, capture_output=True, text=True)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    cleanup(NAME, base / "work", base / "run")
    subprocess.run(["ip", "netns", "del", NAME], check=False, capture_output=True)
    for directory in (base, Path("/var/lib/cni/networks") / NET):
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def inside_a_namespace():
    """A fresh one with the address `IP`; this thread is in it meanwhile."""
    run("ip", "netns", "add", NAME)
    with opened(named(NAME)) as descriptor, inside(descriptor):
        run("ip", "link", "set", "lo", "up")
        run("ip", "addr", "add", f"{IP}/32", "dev", "lo")
        yield


@contextmanager
def running(options, log):
    """A master or an agent that is ready; killed at the end."""
    with log.open("w") as out:
        process = subprocess.Popen(options.argv(), stdout=subprocess.PIPE, stderr=out, text=True)
    try:
        assert process.stdout.readline().startswith("ready"), log.read_text()[-3000:]
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def agent_options(base):
    return AgentOptions(
        ip=IP,
        master=MASTER,
        work_dir=str(base / "work"),
        runtime_dir=str(base / "run"),
        launcher_dir=str(base / "libexec"),
        cgroups_root=NAME,
        cni_plugins_dir="/usr/lib/cni",
        cni_config_dir=str(base / "cni"),
        hostname="h1",
        resources="cpus:4;mem:1024;disk:1000",
    )


@pytest.fixture(scope="module", autouse=True)
def cluster():
    base = Path("/run") / NAME  # always the same, so that what a killed run left mounted there is found
    remove_all(base)
    (base / "cni").mkdir(parents=True)
    (base / "cni" / "net.conf").write_text(json.dumps(NETWORK))
    master = MasterOptions(ip=IP, work_dir=str(base / "master"))
    try:
        with (
            inside_a_namespace(),
            running(master, base / "master.log"),
            running(agent_options(base), base / "agent.log"),
        ):
            yield
    finally:
        remove_all(base)


def scenario(test):
    @wraps(test)
    def bounded():
        asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_S))

    return bounded


@asynccontextmanager
async def relay():
    """A TCP relay in front of the master; yields its address and a function that cuts every connection through it."""
    writers: dict[asyncio.Task, list[asyncio.StreamWriter]] = {}

    async def pump(reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        there = await asyncio.open_connection(IP, 5050)
        writers[asyncio.current_task()] = [writer, there[1]]
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    def cut():
        for pair in writers.values():
            for writer in pair:
                writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        server.close()
        cut()
        await asyncio.gather(*writers)
        await server.wait_closed()


@scenario
async def test_three_tasks_get_an_address_each_and_die_when_told():
    async with Framework.connect(MASTER) as framework:
        tasks = [await framework.launch(SLEEP) for _ in range(3)]
        statuses = [await task.wait(RUNNING, timeout_s=PATIENCE_S) for task in tasks]
        assert len({status.ip_addresses for status in statuses}) == 3
        assert all(status.ip_addresses[0].startswith("10.79.0.") for status in statuses)
        assert (statuses[0].networks[0].groups, statuses[0].networks[0].labels) == (("a",), {"app": "x"})
        assert {task.hostname for task in tasks} == {"h1"}
        for task in tasks:
            await task.kill()
        ends = [await task.wait_ended(timeout_s=PATIENCE_S) for task in tasks]
        assert {status.state for status in ends} == {TaskState.KILLED}


@scenario
async def test_a_task_without_network_has_the_address_of_its_host():
    async with Framework.connect(MASTER) as framework:
        task = await framework.launch(TaskSpec("host", "sleep 600"))
        assert (await task.wait(RUNNING, timeout_s=PATIENCE_S)).ip_addresses == (IP,)


@scenario
async def test_a_command_ends_by_itself_with_its_environment_and_status():
    async with Framework.connect(MASTER) as framework:
        good = await framework.launch(TaskSpec("good", 'test "$A" = 1', environment={"A": "1"}))
        bad = await framework.launch(TaskSpec("bad", ("sh", "-c", "exit 3")))
        assert (await good.wait_ended(timeout_s=PATIENCE_S)).state is TaskState.FINISHED
        end = await bad.wait_ended(timeout_s=PATIENCE_S)
        assert end.state is TaskState.FAILED
        assert "3" in end.message


@scenario
async def test_a_network_that_does_not_exist_fails_the_task_with_mesoss_words():
    async with Framework.connect(MASTER) as framework:
        task = await framework.launch(TaskSpec("lost", "true", network=NetworkRequest("nowhere")))
        with pytest.raises(Refused, match="nowhere"):
            await task.wait(RUNNING, timeout_s=PATIENCE_S)


@scenario
async def test_a_cut_connection_loses_no_task_and_no_update():
    async with relay() as (address, cut), Framework.connect(address, timing=Timing(backoff_first_s=0.05)) as framework:
        task, brief = await framework.launch(SLEEP), await framework.launch(TaskSpec("brief", "sleep 1"))
        await task.wait(RUNNING, timeout_s=PATIENCE_S)
        await brief.wait(RUNNING, timeout_s=PATIENCE_S)
        before = framework.id
        cut()
        assert (await brief.wait_ended(timeout_s=PATIENCE_S)).state is TaskState.FINISHED
        late = await framework.launch(SLEEP)
        await late.wait(RUNNING, timeout_s=PATIENCE_S)
        assert framework.id == before
        await task.kill()
        assert (await task.wait_ended(timeout_s=PATIENCE_S)).state is TaskState.KILLED


@scenario
async def test_what_fits_nowhere_says_why():
    async with Framework.connect(MASTER, timing=Timing(placement_s=2)) as framework:
        big = await framework.launch(TaskSpec("big", "true", cpus=64))
        away = await framework.launch(TaskSpec("away", "true", hostname="h9"))
        ends = [await task.wait_ended(timeout_s=PATIENCE_S) for task in (big, away)]
        assert "needs 64 cpus and 32 MB of memory, but h1 had 4 cpus" in ends[0].message
        assert "no offer came from host 'h9', only from h1" in ends[1].message


@scenario
async def test_master_and_agent_tell_what_runs():
    async with Framework.connect(MASTER, name="told") as framework:
        task = await framework.launch(TaskSpec("web", "sleep 600", network=NetworkRequest(NET), labels={"tier": "db"}))
        status = await task.wait(RUNNING, timeout_s=PATIENCE_S)
        state = await MasterClient(MASTER).state()
        (agent,) = state.agents.values()
        assert (agent.hostname, agent.address, agent.port, agent.active) == ("h1", IP, 5051, True)
        told = state.tasks[framework.id, task.task_id]
        assert (told.state, told.labels, told.framework, told.host) == (RUNNING, {"tier": "db"}, "told", "h1")
        assert told.ip_addresses == status.ip_addresses
        containers = {one.container_id: one for one in await AgentClient(IP).containers()}
        container = containers[status.container_id]
        assert (container.executor_id, container.framework_id) == (task.task_id, framework.id)
        assert container.networks[0].ip_addresses == status.ip_addresses
        assert (framework.id, task.task_id) in (await AgentClient(IP).state()).tasks


@scenario
async def test_tasks_left_running_are_there_until_the_failover_timeout_and_then_gone():
    async with Framework.connect(MASTER, timing=Timing(failover_s=2), leave_running=True) as framework:
        task = await framework.launch(SLEEP)
        await task.wait(RUNNING, timeout_s=PATIENCE_S)
    client = MasterClient(MASTER)
    assert task.task_id in {one.id for one in await client.tasks()}
    async with asyncio.timeout(PATIENCE_S):
        while task.task_id in {one.id for one in await client.tasks()}:  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.1)
