"""CNI on the real Mesos beyond the main job: both families, several networks, groups and executors, names, and what goes wrong.

The lab has IPv6, and its Mesos agents keep what CNI knows over a reboot.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from lab_bed import (
    ADDRESS,
    MARKS,
    PATIENCE_S,
    end_all,
    endpoints,
    framework,
    log_since,
    log_size,
    on,
    run,
    run_all,
    running_lab,
    scenario,
    server,
    sh,
    until,
    untouched,
)

from ocicat.cni import install
from ocicat.lab.demo import PORT
from ocicat.lab.mesos.cleanup import cleanup
from ocicat.mesos.types import ExecutorSpec, NetworkRequest, PortMapping, TaskSpec, TaskState
from ocicat.model.base import replace

pytestmark = MARKS

NETWORKS = {
    "six": {"assign_ipv4": False, "assign_ipv6": True},
    "other": {},
    "named": {
        "dns": {
            "nameservers": ["192.0.2.53", "2001:db8::53"],
            "domain": "example.test",
            "search": ["a.example.test", "b.example.test"],
            "options": ["ndots:2"],
        }
    },
}
EXECUTOR = Path(__file__).with_name("custom_executor.py")


@pytest.fixture(scope="module")
def lab():
    with running_lab(
        "t-cni", hosts=2, pool6="fd77::/64", agent_flags={"network_cni_root_dir_persist": "true"}
    ) as running:
        for host in running.hosts:
            for name, more in NETWORKS.items():
                configuration = {"cniVersion": "0.2.0", "name": name, "type": "ocicat", **more}
                Path(host.cni_config_dir, f"{name}.conf").write_text(json.dumps(configuration))
        yield running


# --- looks ------------------------------------------------------------------------------------------------------


def namespace_of(lab, task):
    """Of the container that Mesos's isolator attached; nested ones that attached nothing have their parent's."""
    host = lab.host(task.hostname)
    folders = (
        Path(host.work_dir, "agents/0/work/isolators/network/cni"),
        Path(host.runtime_dir, "isolators/network/cni"),
    )
    container = container_of(task)
    names = [container, container.rpartition(".")[2], container.partition(".")[0]]
    found = [folder / name / "ns" for name in names for folder in folders]
    return next(path for path in found if path.exists())


def container_of(task):
    return task.status_of(TaskState.RUNNING).container_id


def addresses(task, network=None):
    """Of the task's status; of one network, or of all."""
    networks = task.status_of(TaskState.RUNNING).networks
    return [text for each in networks if network in (None, each.name) for text in each.ip_addresses]


def inside(path, *command):
    """The output of a command in a namespace; None if it fails."""
    done = subprocess.run(["nsenter", f"--net={path}", *command], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def pings(path, target, *, timeout_s=5):
    return inside(path, "ping", "-c1", f"-W{timeout_s}", target) is not None


def sandbox(lab, task):
    """What the task has written to its standard output."""
    pattern = f"agents/0/work/slaves/*/frameworks/*/executors/*/runs/{container_of(task)}/stdout"
    return next(Path(lab.host(task.hostname).work_dir).glob(pattern)).read_text()


def sleeping(name, host="h1", *networks, **more):
    first, further = (networks[0], networks[1:]) if networks else (None, ())
    return TaskSpec(
        name, "sleep 600", cpus=0.05, mem_mb=16, hostname=host, network=first, further_networks=further, **more
    )


def network(name="ocicat", *ip_addresses, groups=("a",), **more):
    return NetworkRequest(name, groups, {}, ip_addresses, **more)


# --- addresses --------------------------------------------------------------------------------------------------


@scenario
async def test_both_families_between_hosts_and_policy_for_both(lab):
    async with framework(lab) as connected:
        one, two, stranger = await run_all(
            connected,
            [
                sleeping("one", "h1", network()),
                sleeping("two", "h2", network()),
                sleeping("stranger", "h1", network(groups=("b",))),
            ],
        )
        four, six = addresses(two)
        assert ADDRESS.fullmatch(four)
        assert "/" not in six  # or nobody who reads statuses would take it for an address
        assert (await endpoints(lab))[container_of(two)].spec.ip_networks == (f"{four}/32", f"{six}/128")
        for target in (four, six):
            assert pings(namespace_of(lab, one), target)
            assert not pings(namespace_of(lab, stranger), target, timeout_s=1)


@scenario
async def test_addresses_by_name_of_both_families_and_all_that_is_wrong_in_one_message(lab):
    wanted = ("10.77.9.9", "fd77::9")
    async with framework(lab) as connected:
        first = await run(connected, sleeping("first", "h1", network("ocicat", *wanted)))
        assert tuple(addresses(first)) == wanted
        second = await connected.launch(sleeping("second", "h1", network("ocicat", *wanted, "192.0.2.1")))
        ended = await second.wait_ended(timeout_s=PATIENCE_S)
        assert ended.state == TaskState.FAILED
        holder = f"{container_of(first)}:eth0"
        for words in (
            f"10.77.9.9 is in use by {holder}",
            f"fd77::9 is in use by {holder}",
            "192.0.2.1 lies in no pool",
        ):
            assert words in ended.message


@scenario
async def test_a_task_whose_executor_could_not_reach_its_agent_fails_at_once(lab):
    async with framework(lab) as connected:
        task = await connected.launch(sleeping("six", "h1", network("six")))
        ended = await task.wait_ended(timeout_s=PATIENCE_S)
        assert "the task's executor reaches its Mesos agent by IPv4 only" in ended.message


# --- several networks ---------------------------------------------------------------------------------------------


@scenario
async def test_three_networks_of_a_task_each_with_its_interface_endpoint_and_way_back(lab):
    networks = network(), network("other", groups=("b",)), network("six", groups=("c",))
    async with framework(lab) as connected:
        task, *others = await run_all(
            connected,
            [
                sleeping("many", "h1", *networks),
                sleeping("of a", "h2", network()),
                sleeping("of b", "h2", network("other", groups=("b",))),
            ],
        )
        names = ["ocicat", "other", "six"]
        assert [len(addresses(task, name)) for name in names] == [2, 1, 1]
        path = namespace_of(lab, task)
        devices = {each["ifname"] for each in json.loads(inside(path, "ip", "-j", "link"))}
        assert devices == {"lo", "eth0", "eth1", "eth2"}
        assert json.loads(inside(path, "ip", "-j", "route", "get", "192.0.2.1"))[0]["dev"] == "eth0"
        assert json.loads(inside(path, "ip", "-j", "route", "get", "2001:db8::1"))[0]["dev"] == "eth0"
        of_a, of_b = (namespace_of(lab, other) for other in others)
        assert pings(of_a, addresses(task, "ocicat")[0])
        assert pings(of_b, addresses(task, "other")[0])
        assert not pings(of_a, addresses(task, "other")[0], timeout_s=1)


# --- groups and executors -----------------------------------------------------------------------------------------


@scenario
async def test_a_task_group_shares_its_executors_network_and_a_nested_container_may_have_its_own(lab):
    async with framework(lab) as connected:
        specs = [
            server(lab, "one", "h1", networked=False),
            sleeping("two"),
            sleeping("own", "h1", network("six", groups=("a",))),
        ]
        tasks = await connected.launch_group(specs, ExecutorSpec(networks=(network(), network("other"))))
        other = await run(connected, sleeping("other", "h2", network()))
        for task in tasks:
            await task.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
        one, two, own = tasks
        assert addresses(one) == addresses(two)
        assert len(addresses(one)) == 3
        assert [network.name for network in own.status_of(TaskState.RUNNING).networks] == ["six"]
        executor = container_of(one).partition(".")[0]
        stored = await endpoints(lab)
        assert stored.keys() >= {executor, container_of(own), container_of(other)}
        assert stored.keys().isdisjoint({container_of(one), container_of(two)})
        (six,) = addresses(own)
        assert pings(namespace_of(lab, other), six)
        await until(lambda: connects(lab, "h1", addresses(one, "ocicat")[0]))
        assert {state.state for state in await end_all(tasks)} == {TaskState.KILLED}
        await until(lambda: gone(lab, executor))
    assert await untouched(lab) == []


async def gone(lab, container):
    return not [each for each in await endpoints(lab) if each.startswith(container)]


def connects(lab, host, address, port=PORT):
    with on(lab, host), suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True


@scenario
async def test_a_frameworks_own_executor(lab):
    executor = ExecutorSpec(command=f"exec {sys.executable} -ISE {EXECUTOR}", networks=(network(),))
    async with framework(lab) as connected:
        task = await run(connected, TaskSpec("custom", (), cpus=0.05, mem_mb=16, hostname="h1", executor=executor))
        other = await run(connected, sleeping("other", "h2", network()))
        four, six = addresses(task)
        assert pings(namespace_of(lab, other), four)
        assert pings(namespace_of(lab, other), six)


# --- names and ports ----------------------------------------------------------------------------------------------


@scenario
async def test_the_networks_resolver_settings_and_the_tasks_host_name_are_in_the_container(lab):
    command = "cat /etc/resolv.conf; hostname; cat /etc/hosts; exec sleep 600"
    spec = replace(sleeping("named", "h1", network("named")), command=command, container_hostname="web-1")
    async with framework(lab) as connected:
        task = await run(connected, spec)
        await until(lambda: "localhost" in sandbox(lab, task))
        assert sandbox(lab, task).splitlines() == [
            "domain example.test",
            "search a.example.test b.example.test",
            "options ndots:2",
            "nameserver 192.0.2.53",
            "nameserver 2001:db8::53",
            "web-1",
            "127.0.0.1 localhost",
            f"{addresses(task)[0]} web-1",
        ]


ECHO = (
    "exec /usr/bin/python3 -ISEc 'import socket as s\n"
    'u=s.socket(s.AF_INET,s.SOCK_DGRAM);u.bind(("",53));t=s.create_server(("",53))\n'
    "while 1: u.sendto(*u.recvfrom(99))'"
)


@scenario
async def test_ports_of_the_host_of_both_protocols_are_each_one_tasks(lab):
    both = (PortMapping(5353, 53, "tcp"), PortMapping(5353, 53, "udp"))
    udp_alone = network(groups=("public",), port_mappings=both[1:])
    async with framework(lab) as connected:
        spec = replace(sleeping("dns", "h1", network(groups=("public",), port_mappings=both)), command=ECHO)
        task = await run(connected, spec)
        address = lab.host("h1").ip
        await until(lambda: connects(lab, "h2", address, 5353))
        await until(lambda: echoes(lab, "h2", address, 5353))
        late = await connected.launch(sleeping("late", "h1", udp_alone))
        ended = await late.wait_ended(timeout_s=PATIENCE_S)
        assert "host port udp/5353 leads to endpoint" in ended.message
        assert container_of(task) in ended.message.replace("--", "-")
        await end_all([task])
        await end_all([await run(connected, sleeping("then", "h1", udp_alone))])


def echoes(lab, host, address, port):
    with on(lab, host):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock, suppress(OSError):
        sock.settimeout(1)
        sock.sendto(b"x", (address, port))
        return sock.recv(9) == b"x"


# --- what goes wrong ----------------------------------------------------------------------------------------------


@scenario
async def test_both_agents_restart_and_the_tasks_keep_their_networks(lab):
    async with framework(lab) as connected:
        group = await connected.launch_group(
            [sleeping("nested", "h1", network("six"))], ExecutorSpec(networks=(network(),))
        )
        (nested,) = group
        await nested.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
        one, two = await run_all(
            connected, [sleeping("one", "h1", network(), network("other")), sleeping("two", "h2", network())]
        )
        before = {container_of(nested).partition(".")[0], *map(container_of, (nested, one, two))}
        targets = [*addresses(one, "ocicat"), *addresses(nested)]
        path = namespace_of(lab, two)
        for process in ("agent-h1", "mesos-h1"):
            await asyncio.to_thread(lab.restart, process, kill=True)
            assert (await endpoints(lab)).keys() >= before
            assert all(pings(path, target) for target in targets)
        assert {status.state for status in await end_all([one, nested])} == {TaskState.KILLED}
        await until(lambda: only(lab, two))
        await end_all([two])
    assert await untouched(lab) == []


async def only(lab, task):
    return (await endpoints(lab)).keys() == {container_of(task)}


@scenario
async def test_after_a_reboot_what_the_containers_had_is_given_back_and_new_tasks_run(lab):
    async with framework(lab) as connected:
        lost = await run_all(
            connected, [sleeping("lost", "h1", network(), network("other")), sleeping("lost too", "h1", network())]
        )
        kept = await run(connected, sleeping("kept", "h2", network()))
        assert (await endpoints(lab)).keys() >= set(map(container_of, (*lost, kept)))
        size = log_size(lab, "mesos-h1")
        await asyncio.to_thread(reboot, lab, "h1")
        await until(lambda: only(lab, kept))
        told = log_since(
            lab, "mesos-h1", size
        )  # it removes what it finds on its disk, with DELs that name no namespace
        assert "Agent host rebooted" in told
        assert all(f"Removing unknown orphaned container {container_of(task)}" in told for task in lost)
        then = await run(connected, sleeping("then", "h1", network()))
        for target in addresses(then):
            assert pings(namespace_of(lab, kept), target)
        for task in lost:
            await task.kill()
        await end_all([then, kept])
    assert await untouched(lab) == []


def reboot(lab, name):
    """All of a host's kernel state and its runtime directory go, what is on its disk and in the datastore stays."""
    host = lab.host(name)
    for process in (f"mesos-{name}", f"agent-{name}"):
        lab.stop(process)
    cleanup(host.namespace, Path(host.work_dir), Path(host.runtime_dir))
    shutil.rmtree(host.runtime_dir)
    Path(host.socket).unlink(missing_ok=True)
    sh(lab, name, "nft flush ruleset")
    sh(lab, name, "ip route flush proto 84")
    sh(lab, name, "ip -6 route flush proto 84")
    (boot_id,) = Path(host.work_dir).glob("agents/0/work/meta/boot_id")
    boot_id.write_text("00000000-0000-4000-8000-000000000000")
    for process in (f"agent-{name}", f"mesos-{name}"):
        lab.start(process)


@scenario
async def test_a_task_fails_by_the_plugins_patience_when_the_agent_hangs_and_nothing_stays(lab):
    """In real life it is 45 s, shorter than the minute that Mesos gives an executor to register."""
    with impatient(lab, "h1", patience_ms=2000), hanging(lab, "agent-h1"):
        async with framework(lab) as connected:
            began = time.monotonic()
            task = await connected.launch(sleeping("hung", "h1", network()))
            ended = await task.wait_ended(timeout_s=PATIENCE_S)
            assert time.monotonic() - began < 30
            assert "no answer in time" in ended.message
            assert "is it running? its log says more" in ended.message
    async with framework(lab) as connected:
        await end_all([await run(connected, sleeping("then", "h1", network()))])
    assert await untouched(lab) == []


@contextmanager
def impatient(lab, host, *, patience_ms):
    """The plugin waits that long for the agent."""
    plugin = Path(lab.host(host).plugin_dir, "ocicat")
    content = plugin.read_bytes()
    install._replace(
        plugin, lambda path: install._write(path, install.compiled(shutil.which("cc"), f"PATIENCE_MS={patience_ms}"))
    )
    try:
        yield
    finally:
        install._replace(plugin, lambda path: install._write(path, content))


@contextmanager
def hanging(lab, process):
    """It takes connections, and does nothing."""
    (pid,) = [each.pid for each in lab.status().processes if each.name == process]
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        yield
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
