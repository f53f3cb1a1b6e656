"""Asks the models for as long as one likes, and shows what they disagree about, made small.

OCICAT_FUZZ_S: how long, in seconds (60). OCICAT_SEED: where to begin; the seed that a disagreement shows begins with its cluster.
OCICAT_STOP_AT: after how many disagreements to stop (5). Exits with 1 if there were any.
"""

from __future__ import annotations

import os
import sys

from models import MODELS
from runner import run, seconds_wanted, seed_wanted
from shrink import shrunk


def main() -> int:
    stop_at = int(os.environ.get("OCICAT_STOP_AT", "5"))
    done = run(MODELS, seed=seed_wanted(), seconds=seconds_wanted(60), stop_at=stop_at)
    for disagreement in done.found:
        print(shrunk(MODELS, disagreement), end="\n\n")
    print(done)
    return 1 if done.found else 0


if __name__ == "__main__":
    sys.exit(main())
