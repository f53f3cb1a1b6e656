"""Workloads' interfaces held against what they were when they were made: what another hand has changed of them, and the way back.

The kernel announces most of it (`doubts`). A few settings change in silence, and of neighbours too much is announced to be heard:
these are looked at in turn, a little at a time.

Invariants: 1. Of an interface from before our start, whose it is and its MTU are taken as they are found. 2. One that is marked as
nobody's we have not made: it is set up and has its settings, and is otherwise let be.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from ocicat.dataplane.drivers import links, neighbours, sysctl
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.managers.endpoints import Bearer
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.model.net import Addr
from ocicat.netlink.inet import text
from ocicat.netlink.link import Link

_LOOK_EVERY_S = 0.5
_LOOK_S = 0.002  # at a time: ten interfaces and more, and no ADD waits longer


class Interfaces:
    """Asks the kernel; remembers which neighbours are where, and when it last looked."""

    def __init__(self, kernel: Kernel, managers: Managers, ledger: Ledger) -> None:
        self._kernel = kernel
        self._managers = managers
        self._ledger = ledger
        self._homes: dict[str, dict[tuple[int, bytes], bytes]] = {}  # by interface, as `neighbours.Homes`
        self._up: set[int] = set()  # ifindexes that were told to be up
        self._in_turn: list[str] = []
        self._next_look = 0.0  # by the monotonic clock

    def made(self, name: str, index: int, addresses: Iterable[Addr], mac: bytes) -> None:
        """Where the workload's addresses are, as the kernel was told."""
        self._homes[name] = {(index, each.pack()): mac for each in addresses}

    def gone(self, name: str) -> None:
        for index, _ in self._homes.pop(name, {}):
            self._up.discard(index)

    def bearer(self, found: Link) -> Bearer:
        """What it was when it was made, as far as that is known."""
        known = self._managers.endpoints.links.get(found.name)
        return known if known and known.index == found.index else Bearer(found.index, found.alias, found.mtu)

    def there(self, before: Iterable[Link]) -> None:
        """These were there before anything was told of them."""
        self._up |= {each.index for each in before if each.up}

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
        guarded = self._ledger.guards.there(found.name) is not None
        return mended + sysctl.mend_workload_interface(found.name, ipv6=self._has_ipv6(found.name), guarded=guarded)

    def mend_neighbours(self, live: Mapping[str, Link]) -> list[str]:
        """The same of the entries on all that are there, which are as they should be by now. Unavailable."""
        there = neighbours.read(self._kernel.route)
        names = {each.index: name for name, each in live.items()}
        wanted = {place: mac for place, mac in there.items() if place[0] in names}
        for name, link in live.items():
            wanted |= {place: mac for place, mac in self._homes.get(name, {}).items() if place[0] == link.index}
        lost = {place: mac for place, mac in wanted.items() if there.get(place) != mac}
        refused = neighbours.put(self._kernel.route, lost) if lost else []
        self._homes = {name: {} for name in live}
        for place, mac in wanted.items():
            self._homes[names[place[0]]][place] = mac
        return [f"neighbour {text(place[1])}" for place in lost if place not in refused]

    def setting_faults(self, name: str, *, silent: bool = False) -> list[str]:
        """`silent`: only of those whose change nobody is told. Refused if one cannot be read."""
        guarded = self._ledger.guards.there(name) is not None
        return sysctl.faults(name, ipv6=self._has_ipv6(name), guarded=guarded, silent=silent)

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
        self._in_turn = self._in_turn or [*self._managers.endpoints.links]
        while self._in_turn and time.monotonic() < now + _LOOK_S:
            name = self._in_turn.pop()
            found += self._look_at(name) if name in self._managers.endpoints.links else ()
        return found

    def _look_at(self, name: str) -> list[str]:
        homes = self._homes.get(name, {})
        there = neighbours.read(self._kernel.route, self._managers.endpoints.links[name].index) if homes else {}
        lost = (f"neighbour {text(place[1])} was changed" for place, mac in homes.items() if there.get(place) != mac)
        return [*self.setting_faults(name, silent=True), *lost]

    def _has_ipv6(self, name: str) -> bool:
        keys: Collection[str] = self._managers.endpoints.on_interface(name)
        return any(each.family == 6 for key in keys for each in self._managers.endpoints.endpoints[key].addresses)
