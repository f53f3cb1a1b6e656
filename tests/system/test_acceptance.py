"""The acceptance cases of Calico for Mesos: on the real Mesos through CNI, and through the protocol of net-modules, whose module is
played.

At every update of a task: one network, the addresses it asked for, in that number, and the same ones for its life. (Through CNI
Mesos reports the first of several; the datastore has them all.)
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from acceptance_cases import CASES, A
from lab_bed import (
    MARKS,
    PATIENCE_S,
    end_all,
    endpoints,
    framework,
    run,
    run_all,
    scenario,
    server,
    until,
    untouched,
)

from ocicat.cni.install import install_netmodules
from ocicat.lab.demo import PORT
from ocicat.mesos.types import ExecutorSpec, TaskState
from ocicat.model.base import replace

sys.path[:0] = [str(Path(__file__).parent.parent / "netns")]

from netmodules_bed import Container, Failed, Module  # noqa: E402
from netmodules_bed import Task as ModuleTask  # noqa: E402

pytestmark = MARKS
LAB, LAB_HOSTS = "t-accept", 2
EXECUTOR = Path(__file__).with_name("custom_executor.py")
PING = "ping -n -q -c 1 -W 1"
statics = (f"10.77.200.{number}" for number in itertools.count(1))


def pinging(can, cannot):
    """A command that ends well when it reaches all of the first, and none of the others. (A host hears of a new address, and a
    group of a new member, a moment after that address's own host.)"""
    asked = [eventually(f"{PING} {address}") for address in can]
    asked += [f"! {PING} {address} || exit 1" for address in cannot]
    return "; ".join(asked)


def connecting(addresses):
    """A command that ends well when each accepts a connection. (A task runs from when its command was started, and listens a moment
    later.)"""
    return "; ".join(eventually(f"busybox nc -w 5 {address} {PORT} </dev/null") for address in addresses)


def eventually(command):
    return f"n=0; until {command}; do n=$((n+1)); test $n -lt 50 || exit 1; sleep 0.1; done"


# --- through CNI, on the real Mesos ---------------------------------------------------------------------------------


def spec_of(lab, task, static=()):
    automatic = ("",) * task.automatic if task.addresses > 1 else ()
    host = f"h{task.host + 1}"
    return server(lab, task.name, host, task.groups, networked=task.networked, addresses=(*static, *automatic))


def customised(spec):
    """The same, run by an executor of the framework's own, whose container and network it is."""
    executor = ExecutorSpec(
        command=f"({spec.command}) & exec {sys.executable} -ISE {EXECUTOR}",
        networks=(spec.network,) if spec.network else (),
    )
    return replace(spec, command=(), network=None, executor=executor)


@pytest.mark.parametrize("case", CASES, ids=str)
@scenario
async def test_on_mesos(lab, case):
    static = {task.name: [next(statics) for _ in range(task.static)] for task in case.tasks}
    async with framework(lab) as connected:
        specs = [spec_of(lab, task, static[task.name]) for task in case.sleepers]
        sleepers = await run_all(connected, map(customised, specs) if case.executor == "custom" else specs)
        addresses = {handle.spec.name: await addresses_of(lab, handle) for handle in sleepers}
        for task in case.pingers:
            spec = replace(spec_of(lab, task, static[task.name]), command=_command(task, addresses))
            pinger = await connected.launch(spec)
            ended = await pinger.wait_ended(timeout_s=PATIENCE_S)
            assert ended.state is TaskState.FINISHED, f"{task.name}: {ended.message}"
            await _keeps_its_address(pinger, task, static[task.name])
        ended = await end_all(sleepers)
        assert [status.state for status in ended] == [TaskState.KILLED] * len(sleepers)
        for handle, task in zip(sleepers, case.sleepers, strict=True):
            await _keeps_its_address(handle, task, static[task.name])
            assert len(addresses[task.name]) == task.addresses
            assert {*static[task.name]} <= {*addresses[task.name]}
    await until(lambda: _nothing_left(lab))


async def addresses_of(lab, handle):
    """All that the datastore has of the task; of one without a network, its host's."""
    found = (await endpoints(lab)).get(handle.status.container_id)
    return [each.partition("/")[0] for each in found.spec.ip_networks] if found else handle.status.ip_addresses


def _command(task, addresses):
    if not task.networked:
        return connecting(addresses[name][0] for name in task.can)
    can, cannot = ([address for name in names for address in addresses[name]] for names in (task.can, task.cannot))
    return pinging(can, cannot)


async def _keeps_its_address(handle, task, static):
    told = [status.networks async for status in handle.updates() if status.networks]
    assert told
    assert all(networks == told[0] for networks in told)
    (network,) = told[0]
    assert len(network.ip_addresses) == 1
    assert network.groups == (task.groups if task.networked else ())
    assert {*static[:1]} <= {*network.ip_addresses}


async def _nothing_left(lab):
    return await untouched(lab) == []


@scenario
async def test_on_mesos_a_static_address_is_given_to_one_task(lab):
    """The twelfth case, which the original had commented out."""
    address = next(statics)
    async with framework(lab) as connected:
        first = await run(connected, server(lab, "first", "h1", A, addresses=[address]))
        assert first.status.ip_addresses == (address,)
        second = await connected.launch(server(lab, "second", "h2", A, addresses=[address]))
        ended = await second.wait_ended(timeout_s=PATIENCE_S)
        assert ended.state is TaskState.FAILED
        assert address in ended.message
        assert "in use" in ended.message
        await end_all([first])
        await until(lambda: _nothing_left(lab))
        third = await run(connected, server(lab, "third", "h2", A, addresses=[address]))
        assert third.status.ip_addresses == (address,)
        await end_all([third])
    await until(lambda: _nothing_left(lab))


# --- through the plugin for net-modules -----------------------------------------------------------------------------


class Cluster:
    """A Mesos agent with the module on each host of the lab, and the containers it launched."""

    def __init__(self, lab, directory):
        plugins = (install_netmodules(directory / host.name, Path(host.socket)) for host in lab.hosts)
        self.modules = [Module(plugin) for plugin in plugins]
        self.running = {}

    def run(self, name, host, wanted):
        """The addresses of a task that runs."""
        module, container_id = self.modules[host], f"acceptance-{name}"
        addresses = module.prepare(container_id, wanted)
        self.running[name] = module, container_id, (container := Container.launch())
        module.isolate(container_id, container.pid, wanted)
        return addresses

    def sh(self, name, command):
        """Whether it ends well in that task's network."""
        *_, container = self.running[name]
        line = ["nsenter", f"--net={container.netns}", "sh", "-c", command]
        return subprocess.run(line, check=False).returncode == 0

    def end(self, name):
        module, container_id, container = self.running.pop(name)
        container.kill()
        module.cleanup(container_id)


@pytest.fixture
def cluster(lab, tmp_path):
    with _ending(Cluster(lab, tmp_path)) as made:
        yield made


@contextmanager
def _ending(made):
    try:
        yield made
    finally:
        for name in [*made.running]:
            made.end(name)


@pytest.mark.parametrize("case", [case for case in CASES if all(task.networked for task in case.tasks)], ids=str)
def test_through_net_modules(case, cluster):
    """(Tasks that opt out are none of the plugin's business.)"""
    addresses = {}
    for task in (*case.sleepers, *case.pingers):
        static = tuple(next(statics) for _ in range(task.static))
        wanted = ModuleTask(task.groups, static=static, automatic=task.automatic)
        addresses[task.name] = cluster.run(task.name, task.host, wanted)
        assert len(addresses[task.name]) == task.addresses
        assert {*static} <= {*addresses[task.name]}
    assert len({each for found in addresses.values() for each in found}) == sum(map(len, addresses.values()))
    for task in case.pingers:
        assert cluster.sh(task.name, _command(task, addresses)), task


def test_through_net_modules_a_static_address_is_given_to_one_task(cluster):
    address = next(statics)
    wanted = ModuleTask(A, static=(address,), automatic=0)
    assert cluster.run("first", 0, wanted) == [address]
    with pytest.raises(Failed, match=f"IP '{address}' already in use."):
        cluster.run("second", 1, wanted)
    cluster.end("first")
    assert cluster.run("third", 1, wanted) == [address]
