"""A moment that all processes of one machine agree on, and that nobody can move: what the leases of a shared file are timed by.

1. Setting the wall clock changes nothing: it is the monotonic one, which counts from the machine's start.
2. A moment of another boot, or of another machine, compares with none of ours: it names its boot.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    boot: str
    monotonic_s: float


def moment() -> Moment:
    return Moment(_boot(), time.monotonic())


@cache
def _boot() -> str:
    return _BOOT.read_text().strip()
