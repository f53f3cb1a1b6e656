"""What names cost. `python bench/dns.py [TASKS]` (10,000)

at once        processor time of one answer, without sockets: an address, a service, a name that is not there; and with
               `--dns-only reachable`, first and again
served         by UDP over loopback, the server in a process of its own: questions a second with 64 under way, the processor
               time that each takes of the server, and the time of one after another; beside dnsmasq with the same names, if
               it is installed
changes        processor time from a task's update to the zone; of the first snapshot; of making policy ready after a change
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ocicat.agent.discovery.names import Names
from ocicat.dns.answer import Book
from ocicat.dns.client import ask
from ocicat.dns.names import wire
from ocicat.dns.reach import Known, view
from ocicat.dns.records import Naming
from ocicat.dns.server import Resolver, Server, bound
from ocicat.dns.wire import Edns, Query, Question, Type, encode_query
from ocicat.errors import Unavailable
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import AgentSummary, Change, Cluster, Task
from ocicat.mesos.types import Discovery, DiscoveryPort, NetworkStatus, TaskState
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr

SERVER = Endpoint("127.0.0.3", 15353)
PEER = Endpoint("127.0.0.4", 15353)
WINDOW, ROUND_S, ROUNDS = 64, 1.0, 3
SINGLES = 3000
PATIENCE_S = 120.0
TASKS_OF_ONE_NAME = 10


def address(number: int) -> str:
    return str(Addr(4, (10 << 24) + (77 << 16) + number + 1))


def task(number: int) -> Task:
    """Ten tasks share a name."""
    name = f"app-{number // TASKS_OF_ONE_NAME}"
    return Task(
        id=f"{name}.{number}",
        name=name,
        framework_id="F",
        framework="marathon",
        agent_id=f"0123-S{number % 100}",
        host=f"h{number % 100}",
        host_address=f"172.30.0.{number % 100 + 1}",
        state=TaskState.RUNNING,
        labels={"app": name},
        discovery=Discovery("CLUSTER", name, ports=(DiscoveryPort(80, "http", "tcp"),)),
        networks=(NetworkStatus("ocicat", (), {}, (address(number),)),),
    )


def cluster(count: int) -> Cluster:
    made = Cluster(leader=Endpoint("10.0.0.1", 5050))
    made.tasks = {one.key: one for one in map(task, range(count))}
    agents = (
        AgentSummary(f"0123-S{n}", f"h{n}", f"172.30.0.{n + 1}", 5051, active=True, version="1") for n in range(100)
    )
    made.agents = {one.id: one for one in agents}
    return made


def book(count: int) -> Book:
    made = Book(Naming(), 5)
    Names(made).hear(cluster(count), Change(complete=True, agents=True, frameworks=True), 1.0)
    return made


def question(name: str, type_: Type = Type.A) -> bytes:
    return encode_query(Query(random.randrange(65536), Question(wire(name), type_), edns=Edns()))


def each_us(call: Callable[[], object], times: int = 2000) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


# --- at once ------------------------------------------------------------------------------------------------------


def at_once(count: int) -> None:
    served = book(count)
    resolver = Resolver(served)
    print(f"\nat once, {count} tasks: microseconds of processor time for each answer")
    for title, data in {
        f"{TASKS_OF_ONE_NAME} addresses": question("app-7.marathon.mesos"),
        f"{TASKS_OF_ONE_NAME} services with their addresses": question("_http._app-7._tcp.marathon.mesos", Type.SRV),
        "no such name": question("nosuch.marathon.mesos"),
        "not ours": question("www.example.com"),
        "broken": question("app-7.marathon.mesos")[:20],
    }.items():
        print(f"  {title:40} {each_us(lambda d=data: resolver.at_once(d, '10.77.0.1', by_tcp=False)):8.1f}")


def reachable(count: int) -> None:
    """With one policy for each hundred names."""
    known, stored = Known(), list(datastore(count))
    read_us = each_us(lambda: [known.observe(*one) for one in stored], 1)
    began = time.process_time()
    seen = view(known.documents())
    ready_s = time.process_time() - began
    print(f"\npolicy of {count} endpoints: read in {read_us / 1e6:.2f} s, made ready in {ready_s:.2f} s")
    asker = Addr.parse(address(0))
    resolver = Resolver(book(count), visible=lambda _: lambda e: e.goal is None or seen.reaches(asker, e.goal))
    data = [question(f"app-{n}.marathon.mesos") for n in range(1, 200)]
    for title in ("first", "again"):
        times = [each_us(lambda d=d: resolver.at_once(d, address(0), by_tcp=False), 1) for d in data]
        print(
            f"  {TASKS_OF_ONE_NAME} addresses, {title:7} {statistics.median(times):8.1f} us, slowest {max(times):8.1f} us"
        )


def datastore(count: int) -> Iterator[tuple[str, bytes]]:
    head = {"apiVersion": "projectcalico.org/v3"}
    yield (
        keys.pool("p"),
        encode_json({**head, "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": "10.77.0.0/16"}}),
    )
    for number in range(100):
        spec = {"bgp": {"ipv4Address": f"172.30.0.{number + 1}/16"}}
        yield (
            keys.node(f"h{number}"),
            encode_json({**head, "kind": "Node", "metadata": {"name": f"h{number}"}, "spec": spec}),
        )
    for number in range(count):
        app = f"app-{number // TASKS_OF_ONE_NAME}"
        endpoint = {
            "orchestrator": "mesos",
            "node": f"h{number % 100}",
            "containerID": str(number),
            "endpoint": "eth0",
            "interfaceName": f"oci{number}",
            "ipNetworks": [f"{address(number)}/32"],
            "profiles": ["p"],
        }
        metadata = {"name": f"w{number}", "namespace": "default", "labels": {"app": app}}
        yield (
            keys.workload("default", f"w{number}"),
            encode_json({**head, "kind": "WorkloadEndpoint", "metadata": metadata, "spec": endpoint}),
        )
    prefix = keys.RESOURCES + "globalnetworkpolicies/default."
    for number in range(0, count // TASKS_OF_ONE_NAME, 100):
        rules = [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80, 443]}}]
        spec = {"selector": f"app == 'app-{number}'", "types": ["Ingress"], "ingress": rules}
        metadata = {"name": f"default.p{number}"}
        yield (
            prefix + f"p{number}",
            encode_json({**head, "kind": "GlobalNetworkPolicy", "metadata": metadata, "spec": spec}),
        )
    rules = {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
    yield keys.profile("p"), encode_json({**head, "kind": "Profile", "metadata": {"name": "p"}, "spec": rules})


# --- served -------------------------------------------------------------------------------------------------------


def serve(count: int) -> None:
    """What the child process does, until it is ended."""

    async def forever() -> None:
        server = Server(Resolver(book(count)), [bound(SERVER)])
        await server.start()
        await asyncio.Event().wait()

    asyncio.run(forever())


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(line: list[str], at: Endpoint) -> Iterator[int]:
    """The server's process, once it answers."""
    child = subprocess.Popen(line)
    try:
        began = time.monotonic()
        while not answers(at):
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(f"{line[0]} does not answer")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        child.wait()


def answers(at: Endpoint) -> bool:
    try:
        return bool(ask(at, Question(wire("app-0.marathon.mesos"), Type.A), timeout_s=0.2).answers)
    except Unavailable:
        return False


def rate(at: Endpoint, pid: int, queries: list[bytes]) -> tuple[float, float]:
    """Answers a second with `WINDOW` under way, and microseconds of the server's processor for each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((at.host, at.port))
        sock.settimeout(5.0)
        for data in queries[:WINDOW]:
            sock.send(data)
        got, sent, used_s, began = 0, WINDOW, processor_s(pid), time.perf_counter()
        while (now := time.perf_counter()) - began < ROUND_S:
            sock.recv(4096)
            got += 1
            sock.send(queries[sent % len(queries)])
            sent += 1
        return got / (now - began), (processor_s(pid) - used_s) / got * 1e6


def singles_us(at: Endpoint, queries: list[bytes]) -> list[float]:
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((at.host, at.port))
        for number in range(SINGLES):
            began = time.perf_counter()
            sock.send(queries[number % len(queries)])
            sock.recv(4096)
            times.append((time.perf_counter() - began) * 1e6)
    return sorted(times)


def hosts_file(count: int, directory: str) -> Path:
    path = Path(directory, "hosts")
    lines = (f"{address(n)} app-{n // TASKS_OF_ONE_NAME}.marathon.mesos" for n in range(count))
    path.write_text("\n".join(lines) + "\n")
    return path


def servers(count: int, directory: str) -> dict[str, tuple[list[str], Endpoint]]:
    found = {"ocicat": ([sys.executable, __file__, "--serve", str(count)], SERVER)}
    if dnsmasq := shutil.which("dnsmasq", path="/usr/sbin:/usr/bin"):
        options = ["--no-resolv", "--no-hosts", "--bind-interfaces", "--cache-size=0", "--user=root", "--local=/mesos/"]
        where = [f"--listen-address={PEER.host}", f"--port={PEER.port}", f"--addn-hosts={hosts_file(count, directory)}"]
        found["dnsmasq"] = ([dnsmasq, "--keep-in-foreground", "--pid-file", *options, *where], PEER)
    return found


def served(count: int) -> None:
    queries = [question(f"app-{n}.marathon.mesos") for n in random.choices(range(count // TASKS_OF_ONE_NAME), k=500)]
    print(f"\nserved by UDP, {TASKS_OF_ONE_NAME} addresses in each answer: medians of {ROUNDS} rounds, in turn")
    found: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(ROUNDS):
            for name, (line, at) in servers(count, directory).items():
                with running(line, at) as pid:
                    times = singles_us(at, queries)
                    round_ = (*rate(at, pid, queries), times[SINGLES // 2], times[SINGLES * 99 // 100])
                    found.setdefault(name, []).append(round_)
    for name, rounds in found.items():
        many, each, middle, slow = (statistics.median(one) for one in zip(*rounds, strict=True))
        print(f"  {name:8} {many:7.0f} a second with {WINDOW} under way, {each:.0f} us of processor each;", end=" ")
        print(f"one at a time p50 {middle:.0f} us, p99 {slow:.0f} us")


# --- changes ------------------------------------------------------------------------------------------------------


def changes(count: int) -> None:
    known, kept = cluster(count), Names(Book(Naming(), 5))
    everything = Change(complete=True, agents=True, frameworks=True)
    first_us, again_us = (each_us(lambda: kept.hear(known, everything, 1.0), 1) for _ in range(2))
    times = []
    for one in random.sample(list(known.tasks.values()), 500):
        change = Change(tasks=frozenset({one.key}))
        for state in (TaskState.KILLING, TaskState.RUNNING):
            known.tasks[one.key] = replace(one, state=state)
            times.append(each_us(lambda told=change: kept.hear(known, told, 2.0), 1))
    print(
        f"\nchanges: snapshot of {count} tasks {first_us / 1e6:.2f} s, the same again {again_us / 1e3:.0f} ms;", end=" "
    )
    print(f"one task p50 {statistics.median(times):.0f} us, slowest {max(times):.0f} us")


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    at_once(count)
    served(count)
    changes(count)
    reachable(count)


if __name__ == "__main__":
    main()
