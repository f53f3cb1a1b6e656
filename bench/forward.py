"""What forwarding costs: flows that policy has allowed already. `python bench/forward.py [--sizes 1,10000] [--rounds N]`, as root.

Two containers of one host, wired and policed by the real graph and dataplane, under no policy and under up to 10,000 of which the
last one lets them talk. Beside them the same wiring without our ruleset: routed, with the one rule that makes the kernel track
connections, once as Linux routes by itself and once with its check of sources by routes; and 1,000 linear iptables rules.

    bulk       TCP in segments of up to 64 KiB: what two containers of one host do, and iperf3 between them
    segments   TCP in packets of the MTU, as a sender makes them that does not leave cutting to the kernel's last moment
    datagrams  UDP of 16 bytes: nearly nothing but the way

Counted is the processor's time for all that happens to these packets (`_forward.c`): sending, forwarding, receiving. It stands
others' load, which wall time does not. Every variant has some hosts of its own, because where things come to lie in memory makes a
difference of a few percent for as long as they lie there. A round is a slot of each, in an order of its own, and ratios are made
within a round, of the means over hosts; the median of the rounds is what counts, beside the range from the 10th to the 90th
percentile. No namespace and no process outlives this one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from _command import Option, main
from _shapes import any_protocol, no_policy
from _traffic import compiled
from ocicat.errors import Unavailable
from policy import (
    INTERFACES,
    IPTABLES,
    NONE,
    ROUTED,
    TRACKED,
    Variant,
    bare,
    linear_rules,
    make,
    quiet,
    spread,
    verdict,
)

CHECKED = "routed, sources checked"
KINDS = ("bulk", "segments", "datagrams")
PORT, SLOT_MS, PATIENCE_S = 5001, 3, 600
AIM = 0.97
_SOURCES = "net.ipv4.conf.{}.rp_filter={}"


@dataclass(slots=True)
class Contender:
    """A variant, on hosts of its own. `packets` in a piece of work; `ns` of the processor for a piece, by round."""

    name: str
    hosts: list[Variant]
    packets: float = 0.0
    ns: list[float] = field(default_factory=list)


def routed(stack: ExitStack, name: str, *, checked: bool) -> Variant:
    made = bare(stack, name, "nft", "-f", "-", text=TRACKED)
    made.inside("sysctl", "-q", *(_SOURCES.format(each, int(checked)) for each in INTERFACES))
    return made


def contenders(stack: ExitStack, sizes: list[int], hosts: int) -> list[Contender]:
    makers: dict[str, Callable[[], Variant]] = {
        ROUTED: lambda: routed(stack, ROUTED, checked=False),
        CHECKED: lambda: routed(stack, CHECKED, checked=True),
        IPTABLES: lambda: bare(stack, IPTABLES, "iptables-legacy-restore", text=linear_rules(1000)),
        NONE: lambda: make(stack, NONE, no_policy()),
        **{_policies(size): lambda size=size: make(stack, _policies(size), any_protocol(size)) for size in sizes},
    }
    found = {name: Contender(name, []) for name in makers}
    for _ in range(hosts):
        for name, maker in makers.items():
            found[name].hosts.append(maker())
    return list(found.values())


def _policies(count: int) -> str:
    return f"{count:,} {'policy' if count == 1 else 'policies'}"


def measure(program: Path, kind: str, made: list[Contender], rounds: int) -> None:
    """Unavailable: they cannot talk."""
    pairs = [host.pair for each in made for host in each.hosts]
    ends = [word for pair in pairs for word in (pair.client, pair.server, pair.address, str(PORT))]
    command = [str(program), kind, str(SLOT_MS), str(rounds), *ends]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if done.returncode != 0:
        raise Unavailable(f"{kind}: {done.stderr.strip()}")
    lines = iter([[float(word) for word in line.split()] for line in done.stdout.splitlines()])
    for each in made:
        of_hosts = [next(lines) for _ in each.hosts]
        each.packets, *each.ns = (fmean(column) for column in zip(*of_hosts, strict=True))


def report(kind: str, made: list[Contender]) -> None:
    base = made[0]
    print(f"{kind + ':':24} {base.packets:5.1f} packets in a piece of {median(base.ns) / 1e3:.1f} µs when routed")
    for each in made:
        ratios = [one / other for one, other in zip(base.ns, each.ns, strict=True)]
        more = median(other - one for one, other in zip(base.ns, each.ns, strict=True)) / base.packets
        aim = "" if each.name in (ROUTED, CHECKED, IPTABLES) else verdict(median(ratios), AIM)
        print(f"{each.name:24} {more:+6.0f} ns a packet, to routed {spread(ratios)}  {aim}", flush=True)


def bench(arguments: argparse.Namespace) -> None:
    with ExitStack() as stack:
        program = compiled("_forward.c")
        made = contenders(stack, [int(size) for size in arguments.sizes.split(",")], arguments.hosts)
        quiet()
        print(f"{arguments.rounds} rounds of {SLOT_MS} ms, {arguments.hosts} hosts of each")
        for kind in KINDS:
            measure(program, kind, made, arguments.rounds)
            report(kind, made)
        quiet()


OPTIONS = {
    "sizes": Option("1,10,100,1000,10000", "how many policies"),
    "rounds": Option(250),
    "hosts": Option(4, "of each variant"),
}

if __name__ == "__main__":
    sys.exit(main(__doc__, bench, OPTIONS))
