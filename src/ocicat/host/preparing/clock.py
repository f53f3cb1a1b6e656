"""The clock: a time daemon that is installed runs; one step, if asked for. Pure, but `step`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from ocicat.changes.settings import Wish
from ocicat.errors import Refused
from ocicat.host.changing.units import RUNS
from ocicat.host.facts.clock import Skew
from ocicat.host.findings.clock import BOUND_S
from ocicat.host.prepare import Planned

DAEMONS = ("chrony.service", "chronyd.service", "ntpsec.service", "ntp.service", "systemd-timesyncd.service")


def plan(installed: Sequence[str], running: Sequence[str], *, disciplined: bool) -> Planned:
    """`installed`, `running`: of DAEMONS, without anything of ours."""
    if disciplined or running:
        return Planned()
    if not installed:
        return Planned(
            remarks=(
                "nothing keeps this host's clock, and no time daemon that runs here is installed: apt-get install chrony",
            )
        )
    return Planned(wishes=(Wish(f"unit {installed[0]}", RUNS),))


def behind_s(skews: Sequence[Skew]) -> float:
    """By how much the clock has to be put forward (negative: back) to be where most peers are; 0: it is near enough."""
    far = median(one.ahead_s for one in skews) if skews else 0.0
    within = max((one.within_s for one in skews), default=0.0)
    return -far if abs(far) - within > BOUND_S else 0.0


def step(seconds: float, set_clock: Callable[[int, float], None] = time.clock_settime) -> None:
    """Not taken back by anything."""
    try:
        set_clock(time.CLOCK_REALTIME, time.time() + seconds)
    except OSError as error:
        raise Refused(
            f"the clock cannot be set: {error.strerror}", hint="run it as root, on the host itself"
        ) from error
