"""The kernel, asked by real packets through the ruleset that graph and dataplane make, gives the verdict of the other models.

Longer runs: see `fuzz`.
"""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from cases import CASES
from cluster import Outcome, Packet
from generate import cluster as generated
from kernel import Bed, Kernel, asks
from models import MODELS
from packets import packets
from runner import run, seconds_wanted, seed_wanted
from shrink import shrunk

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.ruleset.flat import blocks

pytestmark = pytest.mark.netns

NOT_ASKED = {"ICMP type 0, code 0", "notICMP of type 0", "ICMPv6 type 1, code 0"}
"""The known answers about answers and errors: no flow begins with one, so the kernel takes it for invalid before policy."""


def questions(seed: int) -> list[Packet]:
    return list(islice(filter(asks, packets(generated(seed), Random(seed))), 60))


@pytest.mark.parametrize("flat", [False, True], ids=["", "all rules looked up"])
@pytest.mark.parametrize("before", [None, generated(0)], ids=["from the start", "after a change of everything"])
def test_the_models_and_the_kernel_agree(before, flat, monkeypatch):
    monkeypatch.setattr(blocks, "SHORT", 0 if flat else blocks.SHORT)
    with Kernel(before=before, flat_from=1 if flat else DataplaneConfig().flat_from) as kernel:
        models = {**MODELS, "kernel": kernel}
        done = run(models, seed=seed_wanted(), seconds=seconds_wanted(12), packets_each=60, asks=asks)
        print(done)
        if done.found:
            small = shrunk(models, done.found[0])
            pytest.fail(f"{small}\n{kernel.why(small.cluster, small.packet)}")
    assert done.packets > 100


@pytest.mark.parametrize("seed", range(4))
def test_without_policy_every_packet_arrives(seed):
    """So it is policy that drops, and not the bed."""
    bed = Bed(generated(seed))
    try:
        assert [packet for packet in questions(seed) if bed.ask(packet) != Outcome(allowed=True, counted=())] == []
    finally:
        bed.close()


def test_the_kernel_is_not_asked_little():
    """Of what the others are asked, most; every protocol, both families, translated or not, and every kind of way."""
    all_of_them = [packet for seed in range(20) for packet in islice(packets(generated(seed), Random(seed)), 100)]
    asked = [packet for packet in all_of_them if asks(packet)]
    assert len(asked) > 0.8 * len(all_of_them)
    for kind in (lambda p: (p.family, p.protocol), lambda p: any(hop.translated for hop in p.hops), _ends):
        assert set(map(kind, asked)) == set(map(kind, all_of_them))


def _ends(packet: Packet) -> tuple[object, ...]:
    return type(packet.sender), type(packet.receiver), len(packet.hops)


def test_known_answers():
    """On one host that changes from case to case, in random order."""
    seed = seed_wanted()
    cases = [case for case in Random(seed).sample(CASES, len(CASES)) if asks(case.packet)]
    assert {case.reason for case in CASES if not asks(case.packet)} == NOT_ASKED
    bed = Bed(cases[0].cluster, [cases[0].cluster])
    try:
        for case in cases:
            bed.change(case.cluster)
            allowed, untracked = case.expected in ("", "untracked"), case.expected == "untracked"
            answer = bed.ask(case.packet)
            assert (answer.allowed, answer.untracked) == (allowed, untracked), f"OCICAT_SEED={seed}: {case}"
    finally:
        bed.close()


def test_the_kernel_says_why():
    dropped = next(case for case in CASES if "end-of-tier" in case.expected)
    with Kernel() as kernel:
        trace = kernel.why(dropped.cluster, dropped.packet)
    assert "end of tier" in trace.splitlines()[-1]
    assert "(verdict drop)" in trace.splitlines()[-1]


def test_nothing_is_left():
    before = len([*Path("/proc/self/fd").iterdir()]), threading.active_count()
    with Kernel() as kernel:
        for seed in (1, 2):
            ask = kernel(generated(seed))
            for packet in questions(seed)[:10]:
                ask(packet)
    assert (len([*Path("/proc/self/fd").iterdir()]), threading.active_count()) == before
