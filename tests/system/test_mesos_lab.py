"""The lab's own Mesos: a master on one host and an agent on another, a bridge between them, killed and cleaned in every way.

What a framework sees of it is tested in `test_framework`; here it is what the lab promises: containers run as any user, an agent
that is killed finds its tasks again, and `cleanup` leaves nothing of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from pathlib import Path

import pytest

from ocicat.lab.mesos.cleanup import cleanup, mounts_below
from ocicat.lab.mesos.options import AgentOptions, MasterOptions
from ocicat.mesos.framework import Framework
from ocicat.mesos.types import NetworkRequest, TaskSpec, TaskState
from ocicat.netlink.namespace import inside, named, opened

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/cni/ptp").exists(), reason="needs Debian's containernetworking-plugins"),
]

NAME = "oct-ml"  # of the cgroup, and the beginning of every other name
FABRIC, MASTER_HOST, AGENT_HOST = f"{NAME}-f", f"{NAME}-1", f"{NAME}-2"
MASTER_IP, AGENT_IP = "10.81.0.1", "10.81.0.2"
BASE = Path("/var/tmp") / NAME  # fixed, so that what a killed run left behind is found
PATIENCE_S = 30.0
NETWORK = {
    "cniVersion": "0.2.0",
    "name": "net1",
    "type": "ptp",
    "ipam": {
        "type": "host-local",
        "dataDir": str(BASE / "ipam"),
        "subnet": "10.82.0.0/24",
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}


def ip(command):
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def make_hosts():
    for name in (FABRIC, MASTER_HOST, AGENT_HOST):
        ip(f"netns add {name}")
        ip(f"-n {name} link set lo up")
    ip(f"-n {FABRIC} link add fabric type bridge")
    ip(f"-n {FABRIC} link set fabric up")
    for host, address in ((MASTER_HOST, MASTER_IP), (AGENT_HOST, AGENT_IP)):
        ip(f"-n {host} link add eth0 type veth peer name {host} netns {FABRIC}")
        ip(f"-n {FABRIC} link set {host} master fabric up")
        ip(f"-n {host} addr add {address}/24 dev eth0")
        ip(f"-n {host} link set eth0 up")
        ip(f"-n {host} route add default dev eth0")  # a name server that never answers, as in a real lab


def remove_all():
    cleanup(NAME, BASE / "work", BASE / "run")
    for name in (AGENT_HOST, MASTER_HOST, FABRIC):
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    shutil.rmtree(BASE, ignore_errors=True)


def start(host, options):
    """A process that dies with this one, in the namespace of a host."""
    Path(options.ready_file).unlink(missing_ok=True)
    enter = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={named(host)}", "--"]
    with (BASE / f"{host}.log").open("a") as log:
        process = subprocess.Popen([*enter, *options.argv()], stdout=log, stderr=log)
    ready = Path(options.ready_file)
    try:
        until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, (BASE / f"{host}.log").read_text()[-3000:]
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def until(holds):
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.01)


def start_agent(**more):
    options = AgentOptions(
        ip=AGENT_IP,
        master=f"{MASTER_IP}:5050",
        work_dir=str(BASE / "work"),
        runtime_dir=str(BASE / "run"),
        launcher_dir=str(BASE / "libexec"),
        cgroups_root=NAME,
        cni_plugins_dir="/usr/lib/cni",
        cni_config_dir=str(BASE / "cni"),
        hostname="h2",
        ready_file=str(BASE / "agent.ready"),
        **more,
    )
    return start(AGENT_HOST, options)


def end(process, number=signal.SIGKILL):
    process.send_signal(number)
    return process.wait(PATIENCE_S)


@pytest.fixture(scope="module", autouse=True)
def hosts():
    """Two hosts on a bridge, a master on the first; this thread is on the first meanwhile."""
    BASE.parent.mkdir(exist_ok=True)
    with BASE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_all()
        (BASE / "cni").mkdir(parents=True)
        (BASE / "cni" / "net1.conf").write_text(json.dumps(NETWORK))
        try:
            make_hosts()
            master = start(
                MASTER_HOST,
                MasterOptions(ip=MASTER_IP, work_dir=str(BASE / "master"), ready_file=str(BASE / "master.ready")),
            )
            with opened(named(MASTER_HOST)) as descriptor, inside(descriptor):
                yield
            assert end(master, signal.SIGTERM) == -signal.SIGTERM
        finally:
            remove_all()
            Path(lock.name).unlink()


@contextmanager
def agent(**more):
    process = start_agent(**more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def fresh():
    """After the test nothing of the agent is left, and the next one is another."""
    yield
    cleanup(NAME, BASE / "work", BASE / "run")
    shutil.rmtree(BASE / "work", ignore_errors=True)
    shutil.rmtree(BASE / "run", ignore_errors=True)


def scenario(test):
    @wraps(test)
    def bounded(fresh):
        asyncio.run(asyncio.wait_for(test(), 4 * PATIENCE_S))

    del bounded.__wrapped__  # pytest would look for the fixtures of the coroutine function
    return bounded


@asynccontextmanager
async def framework():
    async with Framework.connect(f"{MASTER_IP}:5050", name="lab test") as connected:
        yield connected


async def output(spec):
    """The last status of a task, and what it wrote to its sandbox."""
    async with framework() as connected:
        task = await connected.launch(spec)
        status = await task.wait_ended(timeout_s=PATIENCE_S)
        (sandbox,) = (BASE / "work").glob(f"agents/0/work/slaves/*/frameworks/*/executors/{task.task_id}/runs/latest")
        return status, (sandbox / "stdout").read_text(), (sandbox / "stderr").read_text()


def mounts_left():
    return [
        mount
        for directory in ("work", "run")
        for mount in mounts_below(Path("/proc/self/mountinfo").read_text(), BASE / directory)
    ]


def cgroups_left():
    return list(Path("/sys/fs/cgroup").glob(f"*/{NAME}"))


def process_of(marker):
    """The pid of the one process that runs `sleep MARKER`."""
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (directory / "cmdline").read_bytes() == b"sleep\0%d\0" % marker:
                return int(directory.name)
    return None


@scenario
async def test_what_a_task_writes_is_in_its_sandbox():
    with agent():
        status, out, err = await output(TaskSpec("talk", "echo here; echo there >&2"))
        assert (status.state, status.message) == (TaskState.FINISHED, "Command exited with status 0")
        assert (out, err) == ("here\n", "there\n")


@scenario
async def test_a_task_runs_as_any_user_with_a_plain_environment_for_signals():
    with agent():
        ignored = "sed -n 's/SigIgn:/0x/p' /proc/self/status"
        status, out, err = await output(TaskSpec("who", f"id -un; {ignored}", user="nobody"))
        assert (status.state, err) == (TaskState.FINISHED, "")
        user, mask = out.replace("\t", "").split()
        assert user == "nobody"
        assert not int(mask, 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


@scenario
async def test_arguments_are_passed_as_they_are():
    with agent():
        status, out, _ = await output(TaskSpec("argv", ("printf", "<%s>", "a b", "$HOME"), environment={"HOME": "/x"}))
        assert (status.state, out) == (TaskState.FINISHED, "<a b><$HOME>")


@scenario
async def test_a_program_that_does_not_exist_fails_with_its_name():
    with agent():
        status, _, _ = await output(TaskSpec("lost", ("/no/such/program",)))
        assert (status.state, status.message) == (TaskState.FAILED, "/no/such/program: No such file or directory")


@scenario
async def test_the_status_carries_the_address_that_the_container_has():
    with agent():
        status, out, _ = await output(TaskSpec("ip", "ip -o -4 addr show eth0", network=NetworkRequest("net1")))
        assert status.state is TaskState.FINISHED
        assert f"inet {status.ip_addresses[0]}/24" in out


@scenario
async def test_a_task_that_ignores_the_request_to_end_is_killed_with_all_its_children():
    with agent():
        async with framework() as connected:
            task = await connected.launch(TaskSpec("stubborn", "trap '' TERM; sleep 98701; true"))
            await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
            until(lambda: process_of(98701))
            await task.kill()
            status = await task.wait_ended(timeout_s=PATIENCE_S)
            assert (status.state, status.message) == (TaskState.KILLED, "Command terminated with signal Killed")
            until(lambda: process_of(98701) is None)  # the leader is reaped first


@scenario
async def test_a_task_outlives_its_agent_and_is_taken_over():
    async with framework() as connected:
        with agent() as first:
            task = await connected.launch(TaskSpec("old", ("sleep", "98702"), network=NetworkRequest("net1")))
            before = await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
            pid = process_of(98702)
            end(first)
        assert process_of(98702) == pid
        with agent():
            assert process_of(98702) == pid
            await task.kill()
            status = await task.wait_ended(timeout_s=PATIENCE_S)
            assert (status.state, status.ip_addresses) == (TaskState.KILLED, before.ip_addresses)


@scenario
async def test_a_task_that_ends_while_there_is_no_agent_is_reported_by_the_next():
    async with framework() as connected:
        with agent() as first:
            task = await connected.launch(TaskSpec("meanwhile", "exec sleep 98703"))
            await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
            until(lambda: process_of(98703))  # the shell becomes it in a moment
            end(first)
        os.kill(process_of(98703), signal.SIGINT)
        with agent():
            status = await task.wait_ended(timeout_s=PATIENCE_S)
            assert (status.state, status.message) == (TaskState.FAILED, "Command terminated with signal Interrupt")


@scenario
async def test_cleanup_after_a_kill_leaves_no_process_no_mount_and_no_cgroup():
    async with framework() as connected:
        with agent() as killed:
            task = await connected.launch(TaskSpec("left", ("sleep", "98704"), network=NetworkRequest("net1")))
            await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
            until(lambda: process_of(98704))  # the executor's child becomes it in a moment
            end(killed)
        assert process_of(98704)
        assert mounts_left()
        assert cgroups_left()
        cleaned = cleanup(NAME, BASE / "work", BASE / "run")
        assert (process_of(98704), mounts_left(), cgroups_left()) == (None, [], [])
        assert cleaned.killed >= 2
        again = cleanup(NAME, BASE / "work", BASE / "run")
        assert (again.killed, again.unmounted, again.cgroups) == (0, 0, 0)


@scenario
async def test_an_agent_told_to_shut_down_ends_its_tasks_and_itself():
    async with framework() as connected:
        with agent() as process:
            task = await connected.launch(TaskSpec("served", ("sleep", "98705")))
            await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
            assert end(process, signal.SIGUSR1) == 0
        assert process_of(98705) is None


def test_an_agent_ends_by_the_signal_it_gets(fresh):
    with agent() as process:
        assert end(process, signal.SIGTERM) == -signal.SIGTERM


def test_a_wrong_flag_ends_the_agent_with_the_name_of_the_flag(fresh):
    with pytest.raises(AssertionError, match="nonsense"), agent(flags={"isolation": "nonsense/none"}):
        pass
