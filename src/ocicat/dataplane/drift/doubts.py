"""From what the watchman heard to what is worth reading the kernel back for.

Promise: what of ours was changed by another hand is a doubt; what we did ourselves is none, whenever the news of it comes: news of
routes is held against what the ledger believes now, news of interfaces and settings against the kernel itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.dataplane.drift.interfaces import Interfaces
from ocicat.dataplane.drift.watchman import Hints
from ocicat.dataplane.drivers import links, qdisc, sysctl
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.ownership import ifb_index, is_detached, is_ours
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.shaping import shapers_on
from ocicat.netlink.link import Link
from ocicat.netlink.monitor import Value
from ocicat.netlink.netconf import ALL, Netconf
from ocicat.netlink.qdisc import Qdisc, Redirect
from ocicat.netlink.route import Route


class Judge:
    """Looks at the pure state and, where that cannot tell, at the kernel."""

    def __init__(self, kernel: Kernel, managers: Managers, ledger: Ledger, interfaces: Interfaces, prefix: str) -> None:
        self._kernel = kernel
        self._managers = managers
        self._ledger = ledger
        self._interfaces = interfaces
        self._prefix = prefix

    def doubts(self, hints: Hints) -> list[str]:
        """One line each, for people. Unavailable if the kernel cannot be asked."""
        found = list(hints.by)
        if hints.lost:
            found.append("more changed at once than could be followed")
        known = {bearer.index: name for name, bearer in self._managers.endpoints.links.items()}
        for event in hints.seen:
            match event.value:
                case Route() as route:
                    found += self._route(route, gone=event.gone)
                case Link(index=index) as told if index in known:
                    found += self._interfaces.news(known[index], told, gone=event.gone)
                case Link(index=index, name=name) if not event.gone and is_ours(name, self._prefix):
                    found += self._stranger(name, index)
                case Netconf(index=index) if index == ALL:
                    found += self._forwarding()
                case Netconf(index=index) if index in known:
                    found += self._interfaces.setting_faults(known[index])
        for limited in {self._limited(event.value) for event in hints.seen} & known.keys():
            found += self._limits(limited)
        return list(dict.fromkeys(found))

    def _route(self, route: Route, *, gone: bool) -> Iterator[str]:
        """Only where we believe that what we want is there: all else is news of our own doing, or being mended already."""
        wanted = self._ledger.routes.wanted(route.dst)
        if wanted is None or wanted != self._ledger.routes.there(route.dst):
            return
        if gone and route == wanted:
            yield f"{wanted} was removed"
        elif not gone and route != wanted and route.priority == wanted.priority:
            yield f"{wanted} has another beside it or in its place: {route}"

    def _stranger(self, name: str, index: int) -> Iterator[str]:
        """One that nobody attached: what comes in by it must be closed."""
        found = links.find(self._kernel.route, index)
        if found is not None and found.name == name and not is_detached(found.alias):
            yield f"interface {name} came, and is nobody's"

    def _limited(self, value: Value) -> int:
        """The workload's interface whose limits it may be about; 0: none."""
        match value:
            case Link(name=name):
                return ifb_index(name)
            case Qdisc(index=index) | Redirect(index=index) if any(map(self._ledger.shapers.wanted, shapers_on(index))):
                return index
            case Qdisc(index=index):
                found = links.find(self._kernel.route, index)
                return ifb_index(found.name) if found else 0
            case _:
                return 0

    def _limits(self, index: int) -> list[str]:
        """Likewise."""
        shapers = self._ledger.shapers
        settled = [each for each in shapers_on(index) if shapers.wanted(each) and shapers.settled(each)]
        there = qdisc.read(self._kernel.route, index) if settled else {}
        return [f"{each} was changed" for each in settled if there.get(each) != shapers.wanted(each)]

    def _forwarding(self) -> Iterator[str]:
        for family in self._managers.families():
            if not sysctl.forwards(family):
                yield f"forwarding of IPv{family} was turned off"
