"""Names of tasks on the real Mesos: found by one another's own resolvers, hidden where policy says, and what Mesos-DNS reads.

The agents serve `--dns-only reachable`: tasks of one group see each other, others do not.
"""

from __future__ import annotations

import json
import shlex
import urllib.request
from pathlib import Path

import pytest
from lab_bed import MARKS, PATIENCE_S, end_all, framework, on, run, running_lab, scenario, server, until, untouched

from ocicat.dns.client import ask
from ocicat.dns.names import wire
from ocicat.dns.text import data_text
from ocicat.dns.wire import Question, Rcode, Type
from ocicat.lab.demo import PORT
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.types import Discovery, DiscoveryPort, HostPort, NetworkRequest, TaskSpec, TaskState
from ocicat.model.base import replace

pytestmark = MARKS
LAB = "t-names"
NETWORK = "named"
SOON_S = 3.0  # from a status update to the name: some milliseconds, also on a loaded machine; the aim is a second


@pytest.fixture(scope="module")
def lab():
    with running_lab(LAB, hosts=2, dns=("--dns-only", "reachable", "--dns-ttl", "1")) as running:
        for host in running.hosts:
            resolver = {"nameservers": [host.ip], "search": [f"{LAB}.mesos"]}
            configuration = {"cniVersion": "0.2.0", "name": NETWORK, "type": "ocicat", "dns": resolver}
            Path(host.cni_config_dir, f"{NETWORK}.conf").write_text(json.dumps(configuration))
        yield running


CLIENT = """
import json, socket, subprocess, sys
def getent(*words):
    done = subprocess.run(["getent", *words], capture_output=True, text=True)
    return done.returncode, sorted({line.split()[0] for line in done.stdout.splitlines()}), done.stdout.split()[-1:]
def known(name):
    try:
        return sorted({each[4][0] for each in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)})
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
def reached(name):
    with socket.create_connection((name, port), 5):
        return True
port, peer, *names = int(sys.argv[1]), *sys.argv[2:]
there = isinstance(known(peer), list)
print(json.dumps({
    "resolv.conf": open("/etc/resolv.conf").read().split(),
    "getent": getent("ahostsv4", peer)[:2],
    "known": {name: known(name) for name in names},
    "reverse": there and getent("hosts", known(peer)[0])[2],
    "reached": there and reached(peer),
}), flush=True)
"""


def web(lab, name, host, group, **fields):
    """A server on the network whose containers ask their host for names."""
    discovery = Discovery("CLUSTER", name, ports=(DiscoveryPort(PORT, "http", "tcp"),))
    return replace(server(lab, name, host, (group,), network=NETWORK), discovery=discovery, **fields)


def client(host, group, *words):
    line = f"exec /usr/bin/python3 -ISc {shlex.quote(CLIENT)} {PORT} {' '.join(words)}"
    return TaskSpec("client", line, hostname=host, network=NetworkRequest(NETWORK, (group,)), cpus=0.05, mem_mb=32)


async def seen_by(lab, connected, host, group, *words):
    """What a task of that host and group finds by its own resolver."""
    task = await connected.launch(client(host, group, *words))
    ended = await task.wait_ended(timeout_s=PATIENCE_S)
    assert ended.state == TaskState.FINISHED, ended.message
    return json.loads(written(lab, task).splitlines()[-1])


def written(lab, task):
    """By the task, to its standard output."""
    container = task.status_of(TaskState.RUNNING).container_id
    (output,) = Path(lab.host(task.hostname).mesos_dir).glob(f"**/runs/{container}/stdout")
    return output.read_text()


def asked(lab, host, name, type_=Type.A):
    """Of that host's agent, by a process of the host."""
    with on(lab, host):
        said = ask(Endpoint(lab.host(host).ip, 53), Question(wire(name), type_))
    return said.rcode, sorted(data_text(one.type, one.data) for one in said.answers)


def address_of(task):
    return task.status_of(TaskState.RUNNING).ip_addresses[0]


@scenario
async def test_tasks_find_one_another_by_name_as_far_as_policy_lets_them_reach(lab):
    async with framework(lab) as connected:
        tasks = [await run(connected, web(lab, name, host, "shop")) for name, host in (("web", "h1"), ("db", "h2"))]
        both = {task.spec.name: address_of(task) for task in tasks}
        for name, host in (("web", "h1"), ("db", "h2")):
            assert await until(lambda n=name, h=host: asked(lab, h, f"{n}.{LAB}.mesos") == (0, [both[n]])) < SOON_S
        assert asked(lab, "h1", f"db.{LAB}.mesos")[0] == Rcode.NXDOMAIN  # policy keeps the other host out

        names = ("web", "db", f"db.{LAB}.mesos", f"nosuch.{LAB}.mesos", "leader.mesos")
        seen = await seen_by(lab, connected, "h1", "shop", "db", *names)
        assert seen["resolv.conf"] == ["search", f"{LAB}.mesos", "nameserver", lab.host("h1").ip]
        assert seen["getent"] == [0, [both["db"]]]
        assert seen["reverse"] == [f"db.{LAB}.mesos"]
        assert seen["reached"] is True
        assert seen["known"] == {
            "web": [both["web"]],
            "db": [both["db"]],
            f"db.{LAB}.mesos": [both["db"]],
            f"nosuch.{LAB}.mesos": True,
            "leader.mesos": [lab.spec.master.ip],
        }

        seen = await seen_by(lab, connected, "h2", "stranger", "db", *names)
        assert seen["getent"] == [2, []]
        assert [seen["known"][name] for name in ("web", "db", f"db.{LAB}.mesos")] == [True, True, True]
        assert seen["known"]["leader.mesos"] == [lab.spec.master.ip]

        lab.restart("agent-h1")
        assert await until(lambda: asked(lab, "h1", f"web.{LAB}.mesos") == (0, [both["web"]])) < PATIENCE_S
        await end_all(tasks)
        assert await until(lambda: asked(lab, "h2", f"db.{LAB}.mesos")[0] == Rcode.NXDOMAIN) < SOON_S
    assert await untouched(lab) == []


# --- Mesos-DNS ------------------------------------------------------------------------------------------------------


def state(lab):
    """Where Mesos-DNS looks."""
    with urllib.request.urlopen(f"http://{lab.spec.master.ip}:5050/master/state", timeout=10) as answer:
        return json.load(answer)


def as_mesos_dns_reads(found):
    """(name, address or service) of each task by the rules of Mesos-DNS: the sources of addresses are netinfo, then host."""
    hosts = {slave["id"]: slave["pid"].rpartition("@")[2].rpartition(":")[0] for slave in found["slaves"]}
    records = set()
    for one in found["frameworks"]:
        for task in one["tasks"]:
            if task["state"] == "TASK_RUNNING":
                records |= set(_records(one["name"], task, hosts[task["slave_id"]]))
    return records


def _records(framework_name, task, host):
    running = [status for status in task["statuses"] if status["state"] == "TASK_RUNNING"]
    status = max(running, key=lambda each: each["timestamp"])
    infos = status["container_status"]["network_infos"]
    own = [each["ip_address"] for info in infos for each in info.get("ip_addresses", ())] or [host]
    told = task.get("discovery", {})
    name = told.get("name") or task["name"]
    for address in own:
        yield f"{name}.{framework_name}.mesos", address
    yield f"{name}.{framework_name}.slave.mesos", host
    for port in told.get("ports", {}).get("ports", ()):
        yield f"_{port['name']}._{name}._{port['protocol']}.{framework_name}.mesos", port["number"]
    for first, last in (
        each.split("-") for each in task["resources"].get("ports", "[]").strip("[]").split(", ") if each
    ):
        for number in range(int(first), int(last) + 1):
            yield f"_{name}._tcp.{framework_name}.slave.mesos", number


@scenario
async def test_mesos_dns_reads_from_the_masters_state_what_we_answer(lab):
    async with framework(lab) as connected:
        own = web(lab, "own", "h1", "public", labels={"tier": "front"}, host_ports=(HostPort(),))
        shared = replace(server(lab, "shared", "h2", networked=False), host_ports=(HostPort(), HostPort()))
        tasks = [await run(connected, spec) for spec in (own, shared)]
        wanted = as_mesos_dns_reads(state(lab))
        names = {name for name, _ in wanted}
        assert {f"own.{LAB}.mesos", f"_http._own._tcp.{LAB}.mesos", f"shared.{LAB}.slave.mesos"} <= names
        assert (f"own.{LAB}.mesos", address_of(tasks[0])) in wanted
        assert (f"shared.{LAB}.mesos", lab.host("h2").ip) in wanted
        assert len(wanted) == 8

        def answered():
            found = set()
            for name in names:
                type_ = Type.SRV if name.startswith("_") else Type.A
                found |= {
                    (name, int(data.split()[2]) if type_ == Type.SRV else data)
                    for data in asked(lab, "h1", name, type_)[1]
                }
            return found

        await until(lambda: answered() == wanted)
        assert asked(lab, "h2", "front.tier.label.mesos") == (0, [address_of(tasks[0])])
        (service,) = asked(lab, "h2", "_http._tcp.front.tier.label.mesos", Type.SRV)[1]
        assert asked(lab, "h2", service.split()[3]) == (0, [address_of(tasks[0])])
        ended = [process.name for process in lab.status().processes if process.restarts and process.name != "agent-h1"]
        assert ended == []  # no agent ended by itself; that of h1 was restarted above
        slaves = {lab.host(host).ip for host in ("h1", "h2")}
        assert set(asked(lab, "h1", "slave.mesos")[1]) == slaves
        await end_all(tasks)
    assert await untouched(lab) == []
