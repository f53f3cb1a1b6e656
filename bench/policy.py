"""What policy costs a connection: `python bench/policy.py [--sizes 1,10,100,1000,10000] [--rounds N]`, as root.

Two containers of one host, wired and policed by the real graph and dataplane, talk to each other: under no policy, and under up to
10,000 policies that all apply to both, of which the last one allows it, in several shapes (`_shapes.py`). Beside them the same
wiring without our ruleset: plain routing with connection tracking, and 1,000 linear iptables rules.

Every variant has a host of its own, ready before the first slot. A round is one short slot of each, in an order of its own, so
what drifts hits all alike. Ratios are made within a round; the median of the rounds is what counts, beside the range from the 10th
to the 90th percentile. The most policies are compared with one in pairs of slots that are neighbours. New connections come from one
thread that plays both ends, requests from two (`_traffic.c`). Compare figures of one run only, and levels only on a machine that
does nothing else. Whether throughput keeps to its aim is for `forward.py` to say: the streams here, real iperf3 by the wall, vary
by a third on a shared machine. No namespace and no process outlives this one.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles

from _command import Option, main
from _shapes import CLIENT, HOST, SERVER, SHAPES, cluster, endpoint_key, no_policy
from _traffic import Pair, Sender, Slot, throughput_gbit_s
from _wiring import Host, Update, wanted
from ocicat.netlink import namespace

ROUTED, IPTABLES, NONE = "routed, conntrack", "1,000 iptables rules", "no policy"
INTERFACES = ("ociclient", "ociserver")
CONNECT_MS, REQUEST_MS, STREAM_S = 100, 80, 1
CONNECT_AIM = 0.95
QUIET_LOAD = 0.5
TRACKED = (
    "table inet bench { chain forward { type filter hook forward priority 0; ct state established,related accept; }; }"
)
_FORGET_SOON = "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1"  # the table stays small, however long it takes


@dataclass(slots=True)
class Variant:
    name: str
    host: Host
    pair: Pair
    load_s: float
    connects: list[Slot] = field(default_factory=list)
    requests: list[Slot] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)

    def inside(self, *command: str, text: str = "") -> None:
        with namespace.inside(self.host.fd):
            subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)


def policed(shape: str, policies: int) -> str:
    return f"{shape}, {policies:,}"


def make(stack: ExitStack, name: str, updates: Iterable[Update]) -> Variant:
    """The rules first, then the containers, as on a host that is in use."""
    batch = wanted(HOST, updates)
    host = Host()
    stack.callback(host.close)
    load_s = host.enforce(batch, 1)
    client, server = (
        host.attach(endpoint_key(of), interface, address)
        for of, interface, address in zip(("client", "server"), INTERFACES, (CLIENT, SERVER), strict=True)
    )
    host.plane.in_force(map(endpoint_key, ("client", "server")))
    host.stop()
    made = Variant(name, host, Pair(client, server, SERVER), load_s)
    made.inside("sysctl", "-q", _FORGET_SOON)
    return made


def bare(stack: ExitStack, name: str, *command: str, text: str) -> Variant:
    """The wiring stays; our ruleset makes place for another, and sources are checked as Linux does by itself."""
    made = make(stack, name, no_policy())
    made.inside("sysctl", "-q", *(f"net.ipv4.conf.{each}.accept_local=0" for each in INTERFACES))
    made.inside("nft", "-f", "-", text="delete table inet ocicat\ndelete table netdev ocicat\n")
    made.inside(*command, text=text)
    return made


def linear_rules(count: int) -> str:
    """Each for a peer of its own, on one port; the last one allows."""
    head = ["*filter", ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT"]
    first = "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    peers = (f"10.66.{number >> 8}.{number & 255}" for number in range(count - 1))
    rules = [f"-A FORWARD -s {peer}/32 -d {SERVER}/32 -p tcp --dport 5001 -j ACCEPT" for peer in peers]
    return "\n".join([*head, first, *rules, f"-A FORWARD -s {CLIENT}/32 -d {SERVER}/32 -j ACCEPT", "COMMIT", ""])


def variants(stack: ExitStack, shapes: list[str], sizes: list[int]) -> list[Variant]:
    makers: list[tuple[str, Callable[[str], Variant]]] = [
        (ROUTED, lambda name: bare(stack, name, "nft", "-f", "-", text=TRACKED)),
        (IPTABLES, lambda name: bare(stack, name, "iptables-legacy-restore", text=linear_rules(1000))),
        (NONE, lambda name: make(stack, name, no_policy())),
        *(
            (policed(shape, size), lambda name, shape=shape, size=size: make(stack, name, cluster(shape, size)))
            for shape in shapes
            for size in sizes
        ),
    ]
    made: list[Variant] = []
    for name, maker in makers:
        made.append(maker(name))
        print(f"{name:22} in the kernel after {made[-1].load_s:6.2f} s", flush=True)
    return made


# --- the rounds ------------------------------------------------------------------------------------------------------------


def measure(made: list[Variant], sender: Sender, rounds: int) -> None:
    """One round more, to warm up, which does not count."""
    for number in range(rounds + 1):
        for variant in random.Random(number).sample(made, len(made)):
            connect = sender.slot("connect", variant.pair, CONNECT_MS)
            request = sender.slot("request", variant.pair, REQUEST_MS)
            if number:
                variant.connects.append(connect)
                variant.requests.append(request)


def duel(one: Variant, other: Variant, sender: Sender, pairs: int) -> list[tuple[Slot, Slot]]:
    """New connections, in two slots that are neighbours, again and again."""

    def slot(variant: Variant) -> Slot:
        return sender.slot("connect", variant.pair, CONNECT_MS)

    return [(slot(one), slot(other)) if number % 2 else (slot(other), slot(one))[::-1] for number in range(pairs)]


def measure_streams(made: list[Variant], rounds: int) -> None:
    for number in range(rounds + 1):
        for variant in random.Random(number).sample(made, len(made)):
            found = throughput_gbit_s(variant.pair, STREAM_S)
            if number:
                variant.streams.append(found)


# --- what is printed -------------------------------------------------------------------------------------------------------


def spread(values: list[float]) -> str:
    """The median, and from the 10th to the 90th percentile."""
    deciles = quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return f"{median(values):5.2f} [{deciles[0]:.2f}..{deciles[-1]:.2f}]"


def rates(variant: Variant) -> list[float]:
    return [slot.rate_per_s for slot in variant.connects]


def ratios(values: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(values, others, strict=True)]


def verdict(found: float, aim: float) -> str:
    return f"aim {aim:.2f}: {'met' if found >= aim else 'MISSED'}"


def report_connects(made: list[Variant]) -> None:
    by_name = {variant.name: variant for variant in made}
    print(
        f"{'':22} {'conn/s':>7} {'µs cpu':>7}  {'rate to routed':20} {'rate to 1 policy':20} {'cpu to 1 policy':20}"
        f" {'request p50':>11} {'p99 µs':>7}"
    )
    for variant in made:
        one = by_name.get(policed(variant.name.rpartition(", ")[0], 1))
        routed = spread(ratios(rates(variant), rates(by_name[ROUTED])))
        used = [slot.processor_us for slot in variant.connects]
        to_one = spread(ratios(rates(variant), rates(one))) if one else ""
        cheaper = spread(ratios([slot.processor_us for slot in one.connects], used)) if one else ""
        print(
            f"{variant.name:22} {median(rates(variant)):7.0f} {median(used):7.1f}  {routed:20} {to_one:20} {cheaper:20}"
            f" {median(slot.p50_us for slot in variant.requests):11.1f}"
            f" {median(slot.p99_us for slot in variant.requests):7.1f}"
        )


def report_duels(made: list[Variant], shapes: list[str], most: int, sender: Sender, pairs: int) -> None:
    by_name = {variant.name: variant for variant in made}
    for shape in shapes:
        slots = duel(by_name[policed(shape, most)], by_name[policed(shape, 1)], sender, pairs)
        found = [many.rate_per_s / one.rate_per_s for many, one in slots]
        cheaper = [one.processor_us / many.processor_us for many, one in slots]
        what = f"{shape}, {most:,} to 1:"
        print(
            f"{what:22} {spread(found)}  {verdict(median(found), CONNECT_AIM)}; by processor {spread(cheaper)}",
            flush=True,
        )


def report_streams(made: list[Variant]) -> None:
    routed = next(variant for variant in made if variant.name == ROUTED)
    for variant in made:
        found = ratios(variant.streams, routed.streams)
        print(f"{variant.name:22} {median(variant.streams):6.1f} Gbit/s  to routed {spread(found)}")


def quiet() -> None:
    load = os.getloadavg()[0]
    print(f"load of the last minute {load:.2f}: {'quiet' if load < QUIET_LOAD else 'LOADED, figures are not final'}")


def bench(arguments: argparse.Namespace) -> None:
    sizes = [int(size) for size in arguments.sizes.split(",")]
    shapes = arguments.shapes.split(",")
    with ExitStack() as stack:
        sender = Sender.compiled()
        made = variants(stack, shapes, sizes)
        quiet()
        measure(made, sender, arguments.rounds)
        print(f"{arguments.rounds} rounds of {CONNECT_MS} ms of new connections and {REQUEST_MS} ms of requests each")
        report_connects(made)
        print(f"{arguments.pairs} pairs of slots of new connections")
        report_duels(made, shapes, max(sizes), sender, arguments.pairs)
        names = {ROUTED, IPTABLES, NONE, *(policed(shapes[-1], size) for size in sizes)}
        streamed = [variant for variant in made if variant.name in names]
        measure_streams(streamed, arguments.streams)
        print(f"{arguments.streams} rounds of {STREAM_S} s of iperf3 each, one stream, cubic")
        report_streams(streamed)
        quiet()


OPTIONS = {
    "sizes": Option("1,10,100,1000,10000", "how many policies; 1 is one of them"),
    "shapes": Option(",".join(SHAPES)),
    "rounds": Option(12, "of connections and requests"),
    "pairs": Option(100, "the most policies against one"),
    "streams": Option(12, "rounds of iperf3"),
}

if __name__ == "__main__":
    sys.exit(main(__doc__, bench, OPTIONS))
