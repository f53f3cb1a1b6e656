"""What a bandwidth means in the kernel's terms: a token bucket that what goes to or from a workload has to pass.

The numbers are those of Calico (felix/dataplane/linux/qos): bandwidths in bits per second, bursts in bits, but the burst at the
peak in bytes; what passes in 25 ms may wait. Calico's own tools always write a burst. Where there is none, Calico takes 512 MiB,
so that at 10 Mbit/s the first 343 MB pass as fast as they come: here it is what passes in 50 ms, and 16 KiB at least. With less, a
task that gets its processor only now and then does not reach its bandwidth.

Invariants: 1. A full-sized packet always passes, however small the burst that was asked for. 2. So does one that the kernel has not
cut up yet (64 KiB): the queue has room for it. Pure.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct
from ocicat.model.wanted import Limits
from ocicat.netlink.qdisc import TICK_NS, TICKS_MAX, Bucket

Direction = Literal["ingress", "egress"]

_WAIT_MS = 25
_USUAL_BURST_MS = 50
_LEAST_BURST = 16 << 10
_LARGE_PACKETS = 128 << 10
_MOST_WAITING = 1 << 31
_ETHERNET_HEADER = 14
_NS = 1_000_000_000


class Shaper(Struct, frozen=True, order=True):
    """The place of a bucket: a workload's interface on the host (its ifindex), and which way, as the workload sees it."""

    index: int
    direction: Direction

    def __str__(self) -> str:
        return f"the {self.direction} bandwidth of interface {self.index}"


def shapers_on(index: int) -> tuple[Shaper, ...]:
    return Shaper(index, "ingress"), Shaper(index, "egress")


def bucket(limits: Limits, mtu: int) -> Bucket | None:
    """For an interface of that MTU; None without a bandwidth."""
    if not limits.bandwidth_bit_s:
        return None
    rate, peak, packet = limits.bandwidth_bit_s // 8, limits.peak_bit_s // 8, mtu + _ETHERNET_HEADER
    waiting = rate * _WAIT_MS // 1000
    burst = max(limits.burst_bits // 8 or max(rate * _USUAL_BURST_MS // 1000, _LEAST_BURST), packet)
    return Bucket(
        rate=rate,
        ticks=_ticks(burst, rate),
        limit=min(waiting + min(burst, _LARGE_PACKETS), _MOST_WAITING),
        peak=peak,
        peak_ticks=_ticks(max(limits.min_burst_bytes, packet), peak) if peak else 0,
    )


def _ticks(size: int, rate: int) -> int:
    """How long `size` bytes take, rounded up; the kernel's field ends at 275 s."""
    return min(-(-size * _NS // (rate * TICK_NS)), TICKS_MAX)
