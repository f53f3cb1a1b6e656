"""The part of a pass that sees to bandwidths: what differs in the ledger, into the kernel.

Invariants: 1. One interface's failure stops no other, and is not repeated until what is wanted changes or the kernel was read back.
2. Without `sweep` only what was asked to go goes.
"""

from __future__ import annotations

from ocicat.dataplane.drivers import guards, qdisc
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.shaping import Shaper
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
        self._leads = False  # we know that guards can lead to an ifb
        self.failed: dict[Shaper, str] = {}
        self.idle: list[Link] = []
        self.renewed: set[int] = set()

    def settle(self, *, sweep: bool) -> None:
        """Unavailable."""
        delta = self._ledger.shapers
        for shaper in delta.deletes(sweep=sweep):
            if idle := qdisc.remove(self._kernel.route, shaper):
                self.idle.append(idle)
            delta.now_gone(shaper)
        for shaper, bucket in delta.updates().items():
            if self._tried.get(shaper) != bucket:
                self._put(shaper, bucket)
        for shaper in [each for each in self.failed if delta.settled(each)]:
            del self.failed[shaper], self._tried[shaper]

    def retry(self) -> None:
        """The next pass tries again what failed."""
        self._tried.clear()
        self.failed.clear()

    def _put(self, shaper: Shaper, bucket: Bucket) -> None:
        try:
            if shaper.direction == "egress":
                self._check_way(shaper)
            if qdisc.put(self._kernel.route, shaper, bucket):
                self.renewed.add(shaper.index)
        except Refused as error:
            self.failed[shaper], self._tried[shaper] = str(error), bucket
        else:
            self._ledger.shapers.now_there(shaper, bucket)

    def _check_way(self, shaper: Shaper) -> None:
        """Refused: there is none to an ifb."""
        self._leads = self._leads or guards.can_lead(self._kernel.netfilter)
        if not self._leads:
            raise Refused(f"{shaper} is not limited: nftables cannot forward", hint="load the module nft_fwd_netdev")
