"""What flow logs cost: new connections, their reader, and the dataplane meanwhile. `python bench/flowlog.py [ROUNDS]`

Two containers of one host; a profile of each decides, so every connection is told twice (egress and ingress).

    a new connection   rate of TCP connections, one after another, and the processor's time for each: flow logs off; on, and nobody
                       reads; on, with the reader. Slots of half a second in turn, medians.
    the reader         its thread's processor time while 5,000 connections a second (UDP, each from a port of its own) come
    the dataplane      from a batch (one endpoint that changes its profiles) to "applied": quiet, then under these connections, with
                       flow logs off and on. Medians and the 99th percentile.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

from _traffic import Pair, Sender
from _wiring import Host
from ocicat.agent.flowlog import file
from ocicat.agent.flowlog.parties import Parties
from ocicat.agent.flowlog.reader import Reader
from ocicat.clock import SystemClock
from ocicat.dataplane.ruleset.identity import parse_prefix
from ocicat.model import keys
from ocicat.model.net import Addr
from ocicat.model.wanted import (
    Endpoint,
    HostSettings,
    InSync,
    Message,
    ProfileRules,
    Revision,
    WantedRule,
)
from ocicat.netlink import namespace

A, B = "10.65.0.2", "10.65.0.3"
ALLOW = (WantedRule("Allow"),)
SLOT_MS = 500
RATE_PER_S = 5000
PACED_S = 10
BATCHES = 300

PACED = """
import socket, sys, time
address, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
begin = time.monotonic()
port = sent = 0
while (now := time.monotonic() - begin) < seconds:
    while sent < now * rate:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 10000 + port))
            sock.sendto(b"?", (address, 53))
        port, sent = (port + 1) % 50000, sent + 1
    time.sleep(0.002)
print(sent)
"""


class Bed:
    def __init__(self) -> None:
        self.host = Host()
        self._revision = 0
        self.endpoints = [endpoint("a", A), endpoint("b", B)]
        profiles = [ProfileRules(name, ALLOW, ALLOW) for name in ("p", "q")]
        self.send(*profiles, *self.endpoints, InSync())
        client, server = (self.host.attach(one.key, one.interface, str(one.addresses[0])) for one in self.endpoints)
        self.pair = Pair(client, server, B)
        self.host.plane.in_force(one.key for one in self.endpoints)

    def send(self, *messages: Message) -> float:
        """Seconds until it is in the kernel."""
        self._revision += 1
        return self.host.enforce((*messages, Revision(self._revision)), self._revision)

    def switch(self, *, on: bool) -> None:
        self.send(HostSettings(flow_logs=on))

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        with namespace.inside(self.host.fd):
            reader = Reader(path, "h1", SystemClock(), parse_prefix, lambda name: "", interval_s=1.0)
            for one in self.endpoints:
                reader.change(partial(named, one))
            reader.start()
        try:
            yield
        finally:
            reader.stop()

    @contextmanager
    def connecting(self) -> Iterator[list[int]]:
        """5,000 new connections a second meanwhile, or as long as they last; afterwards how many there were."""
        opened: list[int] = []
        command = ["nsenter", f"--net={self.pair.client}", sys.executable, "-c", PACED]
        with subprocess.Popen([*command, B, str(RATE_PER_S), str(PACED_S)], stdout=subprocess.PIPE) as sending:
            yield opened
            sent, _ = sending.communicate()
        opened.append(int(sent))
        print(f"    {opened[0] / PACED_S:,.0f} connections/s were opened")


def endpoint(name: str, address: str) -> Endpoint:
    return Endpoint(keys.workload("shop", name), f"oci{name}", (Addr.parse(address),), ("p",))


def named(one: Endpoint, parties: Parties) -> None:
    parties.set(one.key, {}, one.addresses)


def connections(bed: Bed, sender: Sender, rounds: int, folder: Path) -> None:
    rates: dict[str, list[float]] = {"off": [], "on, nobody reads": [], "on": []}
    costs: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(rounds):
        for name in rates:
            bed.switch(on=name != "off")
            if name == "on":
                with bed.reading(folder / "flows.log"):
                    slot = sender.slot("connect", bed.pair, SLOT_MS)
            else:
                slot = sender.slot("connect", bed.pair, SLOT_MS)
            rates[name].append(slot.rate_per_s)
            costs[name].append(slot.processor_us)
    for name in rates:
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        print(f"  {name:18} {rate:8,.0f} connections/s  {cost:6.1f} us of the processor each")


def reader(bed: Bed, folder: Path) -> None:
    bed.switch(on=True)
    with bed.reading(folder / "paced.log"):
        thread = next(one for one in threading.enumerate() if one.name == "ocicat-flow-log")
        clock = time.pthread_getcpuclockid(thread.ident or 0)
        before, begin = time.clock_gettime(clock), perf_counter()
        with bed.connecting() as opened:
            pass
        used, seconds = time.clock_gettime(clock) - before, perf_counter() - begin
    print(f"    {used / seconds:.1%} of a processor, {used / opened[0] / 2 * 1e6:.1f} us for each of two copies")
    records = [json.loads(line) for one in file.written(folder / "paced.log") for line in one.open("rb")]
    lost = sum(one["unread"] + one["uncounted"] for one in records if one["type"] == "lost")
    print(f"    {sum(one['packets'] for one in records if one['type'] == 'flow'):,} copies told, {lost:,} lost")


def dataplane(bed: Bed, folder: Path) -> None:
    batches(bed, "quiet")
    bed.switch(on=False)
    with bed.connecting():
        batches(bed, "connections, flow logs off")
    bed.switch(on=True)
    with bed.reading(folder / "plane.log"), bed.connecting():
        batches(bed, "connections, flow logs on")


def batches(bed: Bed, name: str) -> None:
    first = bed.endpoints[0]
    took = []
    for number in range(BATCHES):
        profiles = ("p", "q") if number % 2 else ("p",)
        changed = Endpoint(first.key, first.interface, first.addresses, profiles)
        took.append(bed.send(changed) * 1e3)
        time.sleep(0.01)
    took.sort()
    print(f"  {name:28} {statistics.median(took):6.2f} ms, p99 {took[int(len(took) * 0.99)]:6.2f} ms")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sender, bed = Sender.compiled(folder), Bed()
        try:
            print(f"a new connection ({rounds} rounds)")
            connections(bed, sender, rounds, folder)
            print("the reader")
            reader(bed, folder)
            print("the dataplane")
            dataplane(bed, folder)
        finally:
            bed.host.close()


if __name__ == "__main__":
    main()
