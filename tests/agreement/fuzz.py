"""Asks the models for as long as one likes, and shows what they disagree about, made small: a third of the time without the kernel,
which is slower and cannot be asked everything; a third with it; a third with a kernel that enforced another cluster before.

OCICAT_FUZZ_S: how long, in seconds (60). OCICAT_SEED: where to begin; the seed that a disagreement shows begins with its cluster.
OCICAT_STOP_AT: after how many disagreements to stop (5). Exits with 1 if there were any.
"""

from __future__ import annotations

import os
import sys

from generate import cluster as generated
from kernel import Kernel, asks
from models import MODELS
from runner import Run, run, seconds_wanted, seed_wanted
from shrink import shrunk


def main() -> int:
    seed, third_s = seed_wanted(), seconds_wanted(60) / 3
    stop_at = int(os.environ.get("OCICAT_STOP_AT", "5"))
    pure = run(MODELS, seed=seed, seconds=third_s, stop_at=stop_at)
    for disagreement in pure.found:
        print(shrunk(MODELS, disagreement), end="\n\n")
    print(f"without the kernel: {pure}")
    with Kernel() as fresh, Kernel(before=generated(seed)) as changed:
        runs = [pure, *(_with_kernel(kernel, seed, third_s, stop_at) for kernel in (fresh, changed))]
    return 1 if any(done.found for done in runs) else 0


def _with_kernel(kernel: Kernel, seed: int, seconds: float, stop_at: int) -> Run:
    models = {**MODELS, "kernel": kernel}
    done = run(models, seed=seed, seconds=seconds, stop_at=stop_at, packets_each=60, asks=asks)
    for disagreement in done.found:
        small = shrunk(models, disagreement)
        print(small, kernel.why(small.cluster, small.packet), sep="\n", end="\n\n")
    print(f"with {kernel}: {done}")
    return done


if __name__ == "__main__":
    sys.exit(main())
