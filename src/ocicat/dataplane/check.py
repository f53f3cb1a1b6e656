"""Is an endpoint as it should be? Asked of the kernel itself, not of what we remember (CNI CHECK).

Invariant: changes nothing.
"""

from __future__ import annotations

from ocicat.dataplane.api import Attach
from ocicat.dataplane.drift.homes import Homes
from ocicat.dataplane.drivers import container, elements, guards, links, neighbours, qdisc, routes
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.managers.endpoints import placed
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.listing import parse
from ocicat.dataplane.ruleset.shaping import shapers_on
from ocicat.dataplane.ruleset.skeleton import SETS
from ocicat.errors import OcicatError
from ocicat.model.wanted import Endpoint
from ocicat.netlink.inet import mac_text, text
from ocicat.netlink.link import Link

_SPECS = {spec.name: spec for spec in SETS}


class Checker:
    """Compares what `managers` and `ledger` want for one endpoint with what the kernel says."""

    def __init__(self, kernel: Kernel, managers: Managers, ledger: Ledger, homes: Homes) -> None:
        self._kernel = kernel
        self._managers = managers
        self._ledger = ledger
        self._homes = homes

    def faults(self, name: str, request: Attach | None) -> list[str]:
        """By key or host interface; [] is right. Unavailable if the kernel cannot be asked."""
        endpoint = self._managers.endpoints.find(name)
        if endpoint is None:
            return [f"there is no endpoint {name} on this host"]
        link = links.find(self._kernel.route, endpoint.interface)
        if link is None:
            return [f"the host has no interface {endpoint.interface}"]
        return [
            *links.faults(link, key=endpoint.key, mtu=self._mtu(link)),
            *self._chain_faults(endpoint),
            *self._placement_faults(endpoint, link.index),
            *self._home_faults(endpoint, link.index),
            *self._limit_faults(link.index),
            *(self._container_faults(request, link.index) if request else ()),
        ]

    def _mtu(self, found: Link) -> int:
        """That it was made with; as it is, if nobody knows."""
        made = self._managers.endpoints.links.get(found.name)
        return made.mtu if made and made.index == found.index else found.mtu

    def _chain_faults(self, endpoint: Endpoint) -> list[str]:
        there = parse(self._kernel.nft.listing()).chains
        names = self._managers.endpoints.chains(endpoint.key)
        return [
            f"chain {name} is not as wanted"
            for name in sorted(names)
            if there.get(name) != self._ledger.chains.wanted(name)
        ]

    def _placement_faults(self, endpoint: Endpoint, index: int) -> list[str]:
        wanted = placed(endpoint, index)
        names = {name for name, _ in wanted.elements}
        there = {(name, element) for name in names for element in elements.read(self._kernel.netfilter, _SPECS[name])}
        missing = dict.fromkeys(name for name, element in wanted.elements if (name, element) not in there)
        have = routes.read(self._kernel.route)
        guard = self._ledger.possible(wanted.guard, index)
        guarded = guards.read(self._kernel.netfilter).get(endpoint.interface) == guard
        return [
            *(() if guarded else (f"the guard of {endpoint.interface} is not as wanted",)),
            *(f"{endpoint.interface} is not in {name} as wanted" for name in missing),
            *(f"the host has no {route}" for route in (*wanted.routes, *wanted.floating) if route not in have),
        ]

    def _home_faults(self, endpoint: Endpoint, index: int) -> list[str]:
        wanted = self._homes.wanted([endpoint.key])
        there = neighbours.read(self._kernel.route, index) if wanted else {}
        return [
            f"{endpoint.interface} has no neighbour {text(place[1])} at {mac_text(mac)}"
            for place, mac in wanted.items()
            if there.get(place) != mac
        ]

    def _limit_faults(self, index: int) -> list[str]:
        wanted = {each: self._ledger.shapers.wanted(each) for each in shapers_on(index)}
        there = qdisc.read(self._kernel.route, index) if any(wanted.values()) else {}
        return [f"{each} is not {bucket}" for each, bucket in wanted.items() if bucket and there.get(each) != bucket]

    @staticmethod
    def _container_faults(request: Attach, index: int) -> list[str]:
        try:
            return container.inspect(request, index)
        except OcicatError as error:
            return [error.message]
