"""What the rules of policies and profiles have counted, read from the kernel of this network namespace.

No agent is asked, so it answers also when none runs: the counters say themselves what they are of (`identity`).

Invariants: 1. Only reads; nothing is reset. 2. Counters that are not ours are left out, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from ocicat.dataplane.drivers import counters
from ocicat.dataplane.ruleset.identity import Decider, Owner, counter_name, parse_comment
from ocicat.dataplane.ruleset.objects import Counter
from ocicat.model.base import Struct
from ocicat.netlink.socket import NetfilterSocket

_OWNERS = get_args(Owner)


class Counted(Struct, frozen=True):
    """Since the rule came into the ruleset, or was last given another action. Established flows pass without being counted."""

    decider: Decider
    packets: int
    bytes: int


def read(sock: NetfilterSocket) -> list[Counted] | None:
    """Policies first, by name; then profiles, ends of tiers, and what no profile allowed. None: there is no table of ours.

    Unavailable, Refused.
    """
    return order(counters.read(sock)) if counters.is_there(sock) else None


def order(found: Iterable[Counter]) -> list[Counted]:
    ours = (
        Counted(decider, each.packets, each.bytes)
        for each in found
        if each.name == counter_name(each.comment) and (decider := parse_comment(each.comment))
    )
    return sorted(ours, key=lambda each: _place(each.decider))


def _place(decider: Decider) -> tuple[int, str, bool, str, int]:
    index = -1 if decider.index is None else decider.index
    return _OWNERS.index(decider.owner), decider.name, decider.direction == "egress", decider.hook, index
