"""The part of a pass that sees to bandwidths: what differs in the ledger, into the kernel.

Invariants: 1. One interface's failure stops no other, and is not repeated until what is wanted changes or the kernel was read back.
2. Without `sweep` only what was asked to go goes. 3. Nothing goes past a guard, also where what is wanted is refused.
"""

from __future__ import annotations

from ocicat.dataplane.drivers import guards, qdisc
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.shaping import Shaper
from ocicat.errors import Refused
from ocicat.netlink.link import Link
from ocicat.netlink.qdisc import Bucket


class Shapers:
    """`failed`: why, by place. Until the caller takes them out, `idle`: interfaces to be deleted; `renewed`: ifindexes of those
    whose ifb is a new one."""

    def __init__(self, ledger: Ledger, kernel: Kernel) -> None:
        self._ledger = ledger
        self._kernel = kernel
        self._tried: dict[Shaper, Bucket] = {}
        self._leads: bool | None = None  # can guards lead to an ifb? None: nobody has asked
        self.failed: dict[Shaper, str] = {}
        self.idle: list[Link] = []
        self.renewed: set[int] = set()

    def settle(self, *, sweep: bool) -> None:
        """Unavailable."""
        delta = self._ledger.shapers
        for shaper in delta.deletes(sweep=sweep):
            self._remove(shaper)
        for shaper, bucket in delta.updates().items():
            if self._tried.get(shaper) != bucket:
                self._put(shaper, bucket)
        for shaper in [each for each in self.failed if delta.settled(each)]:
            del self.failed[shaper], self._tried[shaper]

    def retry(self) -> None:
        """The next pass tries again what failed."""
        self._tried.clear()
        self.failed.clear()
        self._leads = self._leads or None

    def _put(self, shaper: Shaper, bucket: Bucket) -> None:
        try:
            if shaper.direction == "egress":
                self._check_way(shaper)
            if qdisc.put(self._kernel.route, shaper, bucket):
                self.renewed.add(shaper.index)
        except Refused as error:
            self.failed[shaper], self._tried[shaper] = str(error), bucket
            self._give_up(shaper)
        else:
            self._ledger.shapers.now_there(shaper, bucket)

    def _give_up(self, shaper: Shaper) -> None:
        """What is left of one that was sound stays in force, if guards can lead to it."""
        there = self._ledger.shapers.there(shaper)
        if shaper.direction == "egress" and not (self._leads and there not in (None, qdisc.UNSOUND)):
            self._remove(shaper)

    def _remove(self, shaper: Shaper) -> None:
        if idle := qdisc.remove(self._kernel.route, shaper):
            self.idle.append(idle)
        self._ledger.shapers.now_gone(shaper)

    def _check_way(self, shaper: Shaper) -> None:
        """Refused: there is none to an ifb."""
        if self._leads is None:
            self._leads = guards.can_lead(self._kernel.netfilter)
        if not self._leads:
            raise Refused(f"{shaper} is not limited: nftables cannot forward", hint="load the module nft_fwd_netdev")
