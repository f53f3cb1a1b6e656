"""At which MAC each address of a workload is: what the host's neighbour entries must say, and the way back when they do not.

Invariants: 1. Wanted are the addresses that an endpoint has, at the MAC that its interface was made with, or else at that of the
endpoint itself. What merely stands in the kernel's table is believed by nobody, and left to whoever put it there. 2. Where
nobody says a MAC, nothing is wanted: the host asks by ARP and ND.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.drivers import neighbours
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.managers.router import Managers
from ocicat.model.net import Addr
from ocicat.netlink.inet import text


class Homes:
    """Asks the kernel; remembers the MACs of what was made, and what the kernel was told."""

    def __init__(self, kernel: Kernel, managers: Managers) -> None:
        self._kernel = kernel
        self._endpoints = managers.endpoints
        self._macs: dict[int, bytes] = {}  # by ifindex
        self._told: dict[tuple[int, bytes], bytes] = {}  # as `neighbours.Homes`

    def made(self, index: int, addresses: Iterable[Addr], mac: bytes) -> None:
        """An interface was made, and the kernel told where these are."""
        self._macs[index] = mac
        self._told |= {(index, each.pack()): mac for each in addresses}

    def gone(self, index: int) -> None:
        self._macs.pop(index, None)
        self._told = {place: mac for place, mac in self._told.items() if place[0] != index}

    def wanted(self, keys: Iterable[str]) -> dict[tuple[int, bytes], bytes]:
        """For these endpoints, as far as they are placed."""
        found: dict[tuple[int, bytes], bytes] = {}
        for key in keys:
            endpoint = self._endpoints.endpoints.get(key)
            bearer = self._endpoints.links.get(endpoint.interface) if endpoint else None
            if endpoint is None or bearer is None:
                continue
            if mac := self._macs.get(bearer.index, endpoint.mac):
                found |= {(bearer.index, each.address): mac for each in self._endpoints.destinations(key)}
        return found

    def tell(self, keys: Iterable[str]) -> None:
        """The kernel, what it was not told yet of these endpoints. Unavailable."""
        new = {place: mac for place, mac in self.wanted(keys).items() if self._told.get(place) != mac}
        if new:
            refused = neighbours.put(self._kernel.route, new)
            self._told |= {place: mac for place, mac in new.items() if place not in refused}

    def lost(self) -> list[str]:
        """What the kernel was told and does not say any more, one line each. Unavailable."""
        if not self._told:
            return []
        there = neighbours.read(self._kernel.route)
        lost = {place: mac for place, mac in self._told.items() if there.get(place) != mac}
        wanted = self.wanted(self._endpoints.endpoints) if lost else {}
        return [f"neighbour {text(place[1])} was changed" for place, mac in lost.items() if wanted.get(place) == mac]

    def mend(self) -> list[str]:
        """What had to be said again, one line each. The interfaces are as they should be. Unavailable."""
        there = neighbours.read(self._kernel.route)
        wanted = self.wanted(self._endpoints.endpoints)
        lost = {place: mac for place, mac in wanted.items() if there.get(place) != mac}
        refused = neighbours.put(self._kernel.route, lost) if lost else []
        self._told = {place: mac for place, mac in wanted.items() if place not in refused}
        live = {each.index for each in self._endpoints.links.values()}
        self._macs = {index: mac for index, mac in self._macs.items() if index in live}
        return [f"neighbour {text(place[1])}" for place in lost if place not in refused]
