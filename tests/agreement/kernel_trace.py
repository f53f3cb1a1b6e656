"""Which rules a packet meets on a host, in the kernel's own words: for whoever must judge a disagreement."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kernel_agent import WAIT_S

from ocicat.netlink import namespace

if TYPE_CHECKING:
    from kernel_bed import HostBed

_RULES = """
table inet bed {
 chain way { meta nftrace set 1; }
 chain traced-out { type filter hook output priority -400; meta nftrace set 1; }
}
"""


def rules_met(host: HostBed, send: Callable[[], int]) -> str:
    """The lines that `nft monitor trace` prints, but for those of the bed's own table. `send` sends the packet once more, and
    returns its number. Unfinished after 20 s: what there is."""
    host.nft(_RULES)
    with namespace.inside(host.fd):
        nft = subprocess.Popen(["nft", "monitor", "trace"], stdout=subprocess.PIPE)
    try:
        return "\n".join(_of_the_first(nft, send))
    finally:
        nft.terminate()
        nft.communicate()


def _of_the_first(nft: subprocess.Popen[bytes], send: Callable[[], int]) -> list[str]:
    """When the trace of a later packet has begun, that of the first one is complete."""
    numbers: list[int] = []
    output = b""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        numbers.append(send())
        if select.select([nft.stdout], [], [], 0.1)[0]:
            output += os.read(nft.stdout.fileno(), 1 << 20)
        lines = output.decode().splitlines()[:-1]
        begun = [found for number in numbers if (found := _trace_id(lines, number))]
        if len(begun) > 1:
            return [line for line in lines if begun[0] in line and " inet bed " not in line]
    return output.decode().splitlines()


def _trace_id(lines: list[str], number: int) -> str:
    of_it = re.compile(rf"trace id (\w+) .* packet: .*(?:ip id|ip6 flowlabel) {number} ")
    return next((found[1] for line in lines if (found := of_it.match(line))), "")
