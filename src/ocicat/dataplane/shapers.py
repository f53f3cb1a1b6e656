"""The part of a pass that sees to bandwidths: what differs in the ledger, into the kernel.

Invariants: 1. One interface's failure stops no other, and is not repeated until what is wanted changes or the kernel was read back.
2. Without `sweep` only what was asked to go goes.
"""

from __future__ import annotations

from ocicat.dataplane.drivers import qdisc
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.shaping import Shaper
from ocicat.errors import Refused
from ocicat.netlink.link import Link
from ocicat.netlink.qdisc import Bucket


class Shapers:
    """`failed`: why, by place. `idle`: interfaces to be deleted, until the caller takes them out."""

    def __init__(self, ledger: Ledger, kernel: Kernel) -> None:
        self._ledger = ledger
        self._kernel = kernel
        self._tried: dict[Shaper, Bucket] = {}
        self.failed: dict[Shaper, str] = {}
        self.idle: list[Link] = []

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
            qdisc.put(self._kernel.route, shaper, bucket)
        except Refused as error:
            self.failed[shaper], self._tried[shaper] = str(error), bucket
        else:
            self._ledger.shapers.now_there(shaper, bucket)
