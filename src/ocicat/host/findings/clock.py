"""The clock: far from that of a peer, or kept by nobody. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.clock import Clock, Skew

BOUND_S = 2.0  # etcd warns its operators from 1 s on, measured better than a Date can be
_CERTIFICATES_S = 60.0
_KEEP = "start a time daemon on both hosts: systemctl enable --now chrony (or systemd-timesyncd)"


def findings(clock: Clock) -> Iterator[Finding]:
    for one in clock.skews:
        if abs(one.ahead_s) - one.within_s > BOUND_S:
            way = "ahead of" if one.ahead_s > 0 else "behind"
            problem = (
                f"this host's clock is {abs(one.ahead_s):.1f} s {way} that of {one.of} (within {one.within_s:.1f} s)"
            )
            yield Finding("clock", problem, _breaks(one), _KEEP)
    if not clock.disciplined:
        yield Finding(
            "time-daemon",
            "nothing keeps this host's clock: the kernel says that it is not synchronised",
            "it drifts away from those of its peers, by seconds a week",
            "systemctl enable --now chrony (or systemd-timesyncd)",
        )


def _breaks(one: Skew) -> str:
    plain = "logs and flows of the two hosts cannot be put in order, and etcd complains"
    if abs(one.ahead_s) < _CERTIFICATES_S:
        return plain
    return f"certificates that one of them has just issued are not valid yet on the other, or expire too early; {plain}"
