"""Workloads' interfaces held against what they were when they were made: what another hand has changed of them, and the way back.

The kernel announces most of it (`doubts`). A few settings change in silence, and of neighbours too much is announced to be heard:
these are looked at in turn, the settings a few interfaces at a time and the neighbours (`homes`) all at the turn's beginning.

Invariants: 1. Of an interface from before our start, whose it is and its MTU are taken as they are found. 2. One that is marked as
nobody's we have not made: it is set up and has its settings, and is otherwise let be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable

from ocicat.dataplane.drift.homes import Homes
from ocicat.dataplane.drivers import links, sysctl
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.drivers.sysctl import Trust
from ocicat.dataplane.managers.endpoints import Bearer
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.guards import Guard
from ocicat.netlink.link import Link

_LOOK_EVERY_S = 0.5
_LOOK_S = 0.002  # of the processor's time, at a time: dozens of interfaces, and no ADD waits longer
_TURN_S = 10.0  # until all were looked at, however many there are and however long that takes


class Interfaces:
    """Asks the kernel; remembers which were up, and when it last looked. `homes`: where the workloads' addresses are."""

    def __init__(self, kernel: Kernel, managers: Managers, ledger: Ledger) -> None:
        self._kernel = kernel
        self._managers = managers
        self._ledger = ledger
        self.homes = Homes(kernel, managers)
        self._up: set[int] = set()  # ifindexes that were told to be up
        self._in_turn: list[str] = []
        self._at_least = 0  # of them at a time
        self._next_look = 0.0  # by the monotonic clock

    def gone(self, name: str) -> None:
        """It is given up."""
        if bearer := self._managers.endpoints.links.get(name):
            self._up.discard(bearer.index)
            self.homes.gone(bearer.index)

    def bearer(self, found: Link) -> Bearer:
        """What it was when it was made, as far as that is known."""
        known = self._managers.endpoints.links.get(found.name)
        return known if known and known.index == found.index else Bearer(found.index, found.alias, found.mtu)

    def there(self, live: Iterable[Link]) -> None:
        """These, and no others, are there now, whatever was told of them."""
        self._up = {each.index for each in live if each.up}

    def news(self, name: str, told: Link, *, gone: bool) -> list[str]:
        """What is wrong with an interface that was there, once something was told of it. Unavailable.

        One that was down and is up again has lost its routes of IPv4, of which the kernel tells nothing.
        """
        was_up = told.index in self._up
        (self._up.add if told.up and not gone else self._up.discard)(told.index)
        found = links.find(self._kernel.route, name)
        if found is None or found.index != told.index:
            return [f"interface {name} was removed or renamed"]
        made = self.bearer(found)
        down = [f"interface {name} was set down"] if was_up and not told.up else []
        return down + (links.faults(found, key=made.key, mtu=made.mtu) if made.key else [])

    def mend(self, found: Link) -> list[str]:
        """What had to be done to it and its settings, one line each. Its guard is there. Unavailable, Refused."""
        made = self.bearer(found)
        mended = links.faults(found, key=made.key, mtu=made.mtu) if made.key else []
        if mended:
            links.mend(self._kernel.route, found, key=made.key, mtu=made.mtu)
        elif not found.up:
            links.set_up(self._kernel.route, found.index)
            mended = [f"interface {found.name} was down"]
        ipv6, guard = self._has_ipv6(found.name), _trust(self._ledger.guards.there(found.name))
        return mended + sysctl.mend_workload_interface(found.name, ipv6=ipv6, guard=guard)

    def setting_faults(self, name: str, *, silent: bool = False) -> list[str]:
        """`silent`: only of those whose change nobody is told. Refused if one cannot be read."""
        guard = _trust(self._ledger.guards.there(name))
        return sysctl.faults(name, ipv6=self._has_ipv6(name), guard=guard, silent=silent)

    def trust_guard(self, name: str) -> None:
        """The guard that is there now. Refused."""
        sysctl.trust_guard(name, _trust(self._ledger.guards.there(name)))

    def trust_less(self) -> None:
        """Before guards let in further addresses, the kernel refuses again the host's own. Refused."""
        for name, guard in self._ledger.guards.updates().items():
            if guard.more:
                sysctl.refuse_host_addresses(name)

    @property
    def look_wait_s(self) -> float | None:
        """How long until `look`; None: there is nothing to look at."""
        return max(0.0, self._next_look - time.monotonic()) if self._managers.endpoints.links else None

    def look(self) -> list[str]:
        """What is wrong in silence with the next few, where it is time. Unavailable, Refused."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + _LOOK_EVERY_S
        found: list[str] = []
        if not self._in_turn:
            self._in_turn = [*self._managers.endpoints.links]
            self._at_least = math.ceil(len(self._in_turn) * _LOOK_EVERY_S / _TURN_S)
            found += self.homes.lost()
        least, end = len(self._in_turn) - self._at_least, time.thread_time() + _LOOK_S
        while self._in_turn and (len(self._in_turn) > least or time.thread_time() < end):
            name = self._in_turn.pop()
            found += self.setting_faults(name, silent=True) if name in self._managers.endpoints.links else ()
        return found

    def _has_ipv6(self, name: str) -> bool:
        keys: Collection[str] = self._managers.endpoints.on_interface(name)
        return any(each.family == 6 for key in keys for each in self._managers.endpoints.endpoints[key].addresses)


def _trust(guard: Guard | None) -> Trust:
    """In the guard that is there."""
    if guard is None:
        return Trust.NONE
    return Trust.BESIDE if guard.more else Trust.ALONE
