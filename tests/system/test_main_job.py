"""The main job, seen from outside: each task's own address, policy between groups, and a host that keeps what is its own."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from lab_bed import (
    ADDRESS,
    MARKS,
    PATIENCE_S,
    as_running,
    end_all,
    endpoints,
    framework,
    mismatches,
    on,
    run,
    run_all,
    scenario,
    server,
    sh,
    until,
    within,
)

from ocicat.lab.demo import PORT
from ocicat.lab.demo_checks import ALL, NOTHING, PROBE, disagreements, measure, opened, task_namespace
from ocicat.lab.spec import AGENT_PORT
from ocicat.mesos.framework import Timing
from ocicat.mesos.types import TaskState
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import EntityRule, Profile, Rule
from ocicat.store.base import Compare, Put

pytestmark = MARKS
LAB = "t-main"
CAST = (
    ("a1", "h1", ("a",)),
    ("a2", "h1", ("a",)),
    ("a3", "h2", ("a",)),
    ("b1", "h1", ("b",)),
    ("b2", "h3", ("b",)),
    ("ab", "h2", ("a", "b")),
    ("pub", "h3", ("public",)),
    ("none1", "h1", ()),
    ("none2", "h2", ()),
)
HOST_TASK = ("host", "h3")


@pytest.fixture(scope="module")
def cast(lab):
    """Tasks in every kind of group that run for as long as the module does, by name; and their handles."""

    async def launch():
        timing = Timing(failover_s=600)
        async with framework(lab, timing=timing, leave_running=True) as connected:
            specs = [server(lab, *one) for one in CAST] + [server(lab, *HOST_TASK, networked=False)]
            return await run_all(connected, specs)

    with on(lab, "master"):
        handles = asyncio.run(asyncio.wait_for(launch(), PATIENCE_S))
    return SimpleNamespace(
        handles={task.spec.name: task for task in handles},
        tasks={task.spec.name: as_running(task) for task in handles},
    )


# --- addresses --------------------------------------------------------------------------------------------------


def test_starting_and_running_both_carry_the_one_address_of_the_task(cast):
    for name, _, groups in CAST:
        told = [cast.handles[name].status_of(state) for state in (TaskState.STARTING, TaskState.RUNNING)]
        assert [status.ip_addresses for status in told] == [cast.tasks[name].addresses] * 2
        assert ADDRESS.fullmatch(*told[0].ip_addresses)
        assert [status.networks[0].groups for status in told] == [groups] * 2


def test_no_two_tasks_have_the_same_address(cast):
    assert len({task.addresses for task in cast.tasks.values()}) == len(cast.tasks)


@scenario
async def test_mesos_the_datastore_and_the_kernel_agree_on_every_address(lab, cast):
    assert await disagreements(lab, list(cast.tasks.values())) == []


@scenario
async def test_a_task_without_network_is_on_its_hosts_network_and_has_no_endpoint(lab, cast):
    task = cast.tasks["host"]
    assert pids_of(task)
    assert all(lab.namespace(task.host).samefile(f"/proc/{pid}/ns/net") for pid in pids_of(task))
    assert task.addresses == (next(host.ip for host in lab.hosts if host.name == task.host),)
    assert task.container_id not in await endpoints(lab)


def pids_of(task):
    """The processes of the task's container, as its cgroup names them."""
    (group,) = Path("/sys/fs/cgroup/freezer").glob(f"*/{task.container_id}")
    return (group / "cgroup.procs").read_text().split()


@scenario
async def test_labels_of_the_network_info_arrive_on_the_endpoint(lab):
    labels = {"app": "shop", "team name": "a/b c", "example.com/tier": "db"}
    async with framework(lab) as connected:
        task = await run(connected, server(lab, "labelled", "h1", ("a",), labels=labels))
        stored = (await endpoints(lab))[as_running(task).container_id].metadata.labels
        told = task.status_of(TaskState.RUNNING).networks[0].labels
    assert told == labels
    assert {"app": "shop", "team-name": "a.b-c", "example.com/tier": "db"}.items() <= stored.items()


# --- policy -----------------------------------------------------------------------------------------------------


@scenario
async def test_who_reaches_whom_is_what_the_groups_say(lab, cast):
    assert await mismatches(lab, list(cast.tasks.values())) == []


@scenario
async def test_an_edited_profile_is_in_force_within_two_seconds_and_no_task_restarts(lab, cast):
    inside, target = task_namespace(lab, cast.tasks["a1"]), f"tcp:{cast.tasks['b2'].addresses[0]}:{PORT}"
    pair = [cast.tasks["a1"], cast.tasks["b2"]]
    assert (await measure(lab, pair, PORT))["a1", "b2"] == NOTHING
    async with edited_profile(lab, "b", Rule(action="Allow", source=EntityRule(selector="has(mesos-group/a)"))):
        await until(lambda: probe(inside, target, timeout_s=0.1) == ["yes"], within_s=2)
        assert await measure(lab, pair, PORT) == {("a1", "b2"): ALL, ("b2", "a1"): NOTHING}
    await until(lambda: probe(inside, target, timeout_s=0.1) == ["no"], within_s=2)
    assert await disagreements(lab, list(cast.tasks.values())) == []


@asynccontextmanager
async def edited_profile(lab, name, rule):
    """The profile has one more ingress rule meanwhile."""
    before = await edit(lab, name, lambda spec: replace(spec, ingress=(*spec.ingress, rule)))
    try:
        yield
    finally:
        await edit(lab, name, lambda _: before)


async def edit(lab, name, change):
    """Writes the profile with what `change` makes of its spec; gives back the spec it had."""
    key = keys.profile(name)
    async with opened(lab) as store:
        found = await store.get(key)
        profile = decode_json(Profile, found.value, what=key)
        changed = replace(profile, spec=change(profile.spec))
        await store.commit([Compare(key, found.modified)], [Put(key, encode_json(changed))])
    return profile.spec


@scenario
async def test_a_task_reaches_its_own_agent_and_nothing_else_of_its_host(lab, cast):
    task = cast.tasks["a1"]
    host = next(host for host in lab.hosts if host.name == task.host)
    with listener(lab, host) as port:
        targets = [f"tcp:{host.ip}:{AGENT_PORT}", f"tcp:{host.ip}:{port}", f"icmp:{host.ip}"]
        assert probe(task_namespace(lab, task), *targets) == ["yes", "no", "no"]
        assert probe(lab.namespace("h2"), targets[1]) == ["yes"]  # the listener is one


@scenario
async def test_a_host_reaches_the_tasks_it_runs(lab, cast):
    target = f"tcp:{cast.tasks['b1'].addresses[0]}:{PORT}"
    assert probe(lab.namespace("h1"), target) == ["yes"]
    assert probe(lab.namespace("h2"), target) == ["no"]


@contextmanager
def listener(lab, host):
    with on(lab, host.name), socket.create_server((host.ip, 0)) as listening:
        yield listening.getsockname()[1]


def probe(path, *targets, timeout_s=1.0):
    """In the namespace at `path`: "yes" or "no" for each target."""
    line = ["nsenter", f"--net={path}", "--", sys.executable, "-ISE", str(PROBE), str(timeout_s), *targets]
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return [dict(row.split() for row in told.splitlines())[target] for target in targets]


@pytest.mark.parametrize(
    "kernel", ["1", "0"], ids=["by the kernel's check of the way back or by ours", "by ours alone"]
)
@scenario
async def test_a_forged_source_address_is_dropped(lab, cast, kernel):
    forger, target = cast.tasks["a1"], cast.tasks["pub"]
    own, forged = forger.addresses[0], forgeries(lab, cast)
    with ExitStack() as stack:
        stack.enter_context(reverse_path_filter(lab, forger.host, kernel))
        with within(task_namespace(lab, target)):
            heard = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            heard.bind(("0.0.0.0", 9))
            heard.settimeout(5)
        with within(task_namespace(lab, forger)):
            raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
        for source in (own, *forged, own):
            raw.sendto(datagram(source, target.addresses[0], 9, source.encode()), (target.addresses[0], 0))
        assert [heard.recvfrom(100)[0].decode() for _ in range(2)] == [own, own]


@contextmanager
def reverse_path_filter(lab, host, value):
    """The kernel's own check of source addresses, on all the workloads' interfaces of that host."""
    with on(lab, host):
        files = list(Path("/proc/sys/net/ipv4/conf").glob("oci*/rp_filter"))
        set_all(files, value)
    try:
        yield
    finally:
        with on(lab, host):
            set_all(files, "0")


def set_all(files, value):
    assert files
    for file in files:
        file.write_text(value)


def forgeries(lab, cast):
    """Nobody's address of the pool, those of neighbours here and there, of hosts, the gateway, and one of the wide world."""
    others = [cast.tasks[name].addresses[0] for name in ("a2", "b1", "a3", "pub")]
    return ["10.77.255.254", *others, lab.hosts[0].ip, lab.hosts[1].ip, "169.254.1.1", "127.0.0.1", "192.0.2.1"]


def datagram(source, target, port, payload):
    """An IPv4 packet with a UDP datagram in it; the kernel fills in the header's checksum."""
    udp = struct.pack("!HHHH", 1234, port, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp


# --- the command line -------------------------------------------------------------------------------------------


def ocicat(lab, *arguments):
    line = [*lab.enter("master"), sys.executable, "-m", "ocicat", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def ocicat_run(lab, *arguments):
    return ocicat(lab, "run", "--master", lab.master, *arguments)


def test_run_prints_the_address_and_nothing_else_on_standard_output(lab):
    done = ocicat_run(lab, "--network", lab.network, "--group", "a", "--label", "app=x", "--", "true")
    assert done.returncode == 0, done.stderr
    assert ADDRESS.fullmatch(done.stdout.removesuffix("\n"))
    assert "finished" in done.stderr


def test_run_fails_when_the_task_fails(lab):
    done = ocicat_run(lab, "--network", lab.network, "--", "exit 3")
    assert done.returncode == 1
    assert "status 3" in done.stderr.splitlines()[-1]


def test_run_without_a_network_prints_the_hosts_address(lab):
    done = ocicat_run(lab, "--host", "h2", "--", "true")
    assert (done.returncode, done.stdout) == (0, f"{lab.hosts[1].ip}\n")


def test_run_on_an_unknown_network_says_where_networks_are_configured(lab):
    done = ocicat_run(lab, "--network", "nowhere", "--", "true")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere" in done.stderr
    assert "--network_cni_config_dir" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--network", "ocicat", "--label", "nonsense"), "KEY=VALUE"),
        (("--label", "app=x"), "--network"),
        (("--nonsense",), "nonsense"),
        (("--cpus", "many"), "many"),
    ],
)
def test_run_refuses_wrong_usage_with_two(lab, arguments, word):
    done = ocicat_run(lab, *arguments, "--", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_endpoints_lists_what_mesos_reports(lab, cast):
    listed = ocicat(lab, "endpoints", "--store", lab.store).stdout
    for task in cast.tasks.values():
        rows = [line.split() for line in listed.splitlines() if task.container_id in line]
        profiles = ",".join(task.groups) or lab.network
        row = [task.host, task.container_id, "eth0", task.addresses[0], profiles, lab.spec.name, task.name]
        assert rows == ([row] if task.networked else [])


# --- a host of somebody ------------------------------------------------------------------------------------------

GUARD = """table inet guard {
\tset friends {
\t\ttype ipv4_addr
\t\telements = { 192.0.2.7, 192.0.2.9 }
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr @friends tcp dport 22 accept
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tip saddr 192.0.2.66 drop
\t}
}
"""
ROUTES = ("198.51.100.0/24 via 172.30.77.12 dev eth0", "unreachable 203.0.113.0/24", "203.0.113.7 dev eth0")


@scenario
async def test_what_a_host_had_of_its_own_stays_as_it_is(lab, cast):
    await asyncio.to_thread(lab.stop, "agent-h1")
    furnish(lab, "h1")
    before = furniture(lab, "h1")
    try:
        await asyncio.to_thread(lab.start, "agent-h1")
        assert furniture(lab, "h1") ^ before == set()
        async with framework(lab) as connected:
            tasks = await run_all(connected, [server(lab, f"t{n}", "h1", ("a",)) for n in range(4)])
            assert furniture(lab, "h1") ^ before == set()
            await asyncio.to_thread(lab.restart, "agent-h1", kill=True)
            assert await mismatches(lab, [*map(as_running, tasks), cast.tasks["a3"], cast.tasks["b1"]]) == []
            await end_all(tasks)
        await asyncio.to_thread(lab.restart, "agent-h1")
        assert furniture(lab, "h1") ^ before == set()
    finally:
        clear(lab, "h1")


# Routes to workloads and blocks, and the kernel's own to our interfaces. "if8" is what `ip` calls one that goes while it looks.
OURS = re.compile(r"10\.77\.| dev (oci\w+|if\d+) ")


def furnish(lab, host):
    subprocess.run([*lab.enter(host), "nft", "-f", "-"], input=GUARD, text=True, check=True)
    for route in ROUTES:
        sh(lab, host, f"ip route add {route}")
    sh(lab, host, "ip rule add from 192.0.2.128/25 lookup 77 priority 1077")
    sh(lab, host, "ip route add 192.0.2.0/24 dev eth0 table 77")
    sh(lab, host, "ip link add mine0 type bridge")
    sh(lab, host, "ip addr add 192.0.2.1/32 dev mine0")
    sh(lab, host, "ip neigh add 172.30.77.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent")


def furniture(lab, host):
    """Everything of the host that is not ocicat's, as its tools print it: a set of lines."""
    tables = {line for line in sh(lab, host, "nft list tables").splitlines() if not line.endswith(" ocicat")}
    routes = sh(lab, host, "ip route show table all").splitlines()
    others = (
        "nft -s list table inet guard",
        "ip rule",
        "ip -o addr show dev mine0",
        "ip -o addr show dev eth0",
        "ip neigh show dev eth0 nud permanent",
    )
    lines = {line for command in others for line in sh(lab, host, command).splitlines()}
    return tables | {route for route in routes if not OURS.search(route)} | lines


def clear(lab, host):
    sh(lab, host, "nft delete table inet guard")
    for route in ROUTES:
        sh(lab, host, f"ip route del {route}")
    sh(lab, host, "ip rule del priority 1077")
    sh(lab, host, "ip link del mine0")


def test_starting_the_agent_again_interrupts_no_connection(lab, cast):
    """A stream between two hosts goes on, byte by byte, while both agents are killed and come back."""
    with ExitStack() as stack:
        client, served = stream(lab, stack, cast.tasks["a1"], cast.tasks["a3"])
        for process in ("agent-h1", "agent-h2"):
            lab.restart(process, kill=True)
            began = time.monotonic()
            client.sendall(b"x")
            assert served.recv(1) == b"x"
            assert time.monotonic() - began < 1


def stream(lab, stack, source, target):
    """Both ends of a connection from one task to another, with a time limit on each."""
    with within(task_namespace(lab, target)):
        listening = stack.enter_context(socket.create_server((target.addresses[0], 0)))
    with within(task_namespace(lab, source)):
        client = stack.enter_context(socket.create_connection(listening.getsockname(), timeout=5))
    listening.settimeout(5)
    served = stack.enter_context(listening.accept()[0])
    served.settimeout(5)
    return client, served


def test_the_cast_is_as_it_was_at_the_end(lab, cast):
    with on(lab, "master"):
        tasks = list(cast.tasks.values())
        assert asyncio.run(mismatches(lab, tasks)) == []
        assert asyncio.run(disagreements(lab, tasks)) == []
