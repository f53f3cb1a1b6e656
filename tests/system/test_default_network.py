"""`ocicat mesos install --default-network` on the real Mesos: frameworks that never heard of networks get addresses from it.

The lab's Mesos agents run with the flag that the command writes for a host of Mesosphere's packages.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from lab_bed import (
    ADDRESS,
    MARKS,
    PATIENCE_S,
    endpoints,
    framework,
    on,
    run,
    running_lab,
    scenario,
    server,
    until,
    untouched,
)

from ocicat.lab.demo import PORT
from ocicat.mesos import launching, wire
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.setup import facts
from ocicat.mesos.types import TaskSpec, TaskState
from ocicat.model.base import replace

pytestmark = MARKS
HOST = "h1"


def flag_of_a_host(root):
    """What the command makes of a host, by the command."""
    directory = root / "etc/mesos-slave"
    directory.mkdir(parents=True)
    words = ["mesos", "install", "--root", root, "--mesos-version", "1.11.0", "--default-network", "ocicat"]
    subprocess.run([sys.executable, "-m", "ocicat", *words], check=True, capture_output=True)
    return (directory / "default_container_info").read_text().rstrip("\n")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    flag = flag_of_a_host(tmp_path_factory.mktemp("host"))
    with running_lab("t-dfl", hosts=1, agent_flags={"default_container_info": flag}) as lab:
        yield lab


@pytest.fixture
def on_the_hosts_network(monkeypatch):
    """Tasks have a container of their own that names no network, as a framework writes that wants the host's."""

    def task_info(*arguments, real=launching.task_info):
        return replace(real(*arguments), container=wire.ContainerInfo(type="MESOS"))

    monkeypatch.setattr(launching, "task_info", task_info)


def answers(lab, address):
    """To its own host. A task runs before its server listens."""
    with on(lab, HOST), suppress(ConnectionRefusedError), socket.create_connection((address, PORT), timeout=PATIENCE_S):
        return True


@scenario
async def test_a_task_without_network_info_gets_an_address_an_endpoint_and_a_name_in_its_status(lab):
    async with framework(lab) as connected:
        task = await run(connected, server(lab, "plain", HOST, networked=False))
        status = task.status_of(TaskState.RUNNING)
        (address,) = status.ip_addresses
        assert ADDRESS.fullmatch(address)
        assert [network.name for network in status.networks] == ["ocicat"]
        assert (await endpoints(lab))[status.container_id].spec.ip_networks == (f"{address}/32",)
        await until(lambda: answers(lab, address))
    assert await untouched(lab) == []


@scenario
async def test_a_task_that_names_its_network_gets_that_and_its_groups(lab):
    async with framework(lab) as connected:
        task = await run(connected, server(lab, "named", HOST, ["web"]))
        (network,) = task.status_of(TaskState.RUNNING).networks
        assert (network.name, network.groups) == ("ocicat", ("web",))
        assert ADDRESS.fullmatch(network.ip_addresses[0])
    assert await untouched(lab) == []


@scenario
async def test_a_task_that_asks_for_the_hosts_network_keeps_it(lab, on_the_hosts_network):
    async with framework(lab) as connected:
        task = await connected.launch(TaskSpec("host", "ip -o -4 addr show eth0; exec sleep 600", hostname=HOST))
        status = await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
        assert status.ip_addresses == (lab.host(HOST).ip,)
        assert status.container_id not in await endpoints(lab)


@scenario
async def test_the_running_agent_says_what_it_was_started_with(lab):
    said = await facts.ask(Endpoint(lab.host(HOST).ip, 5051))
    assert (said.version, said.hostname) == ("1.11.0", HOST)
    assert said.settings["network_cni_config_dir"] == lab.host(HOST).cni_config_dir
    assert 'name: "ocicat"' in said.settings["default_container_info"]
