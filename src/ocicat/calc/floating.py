"""Who in the cluster has which floating address.

Promise: of the endpoints that ask for it, on whatever host, the first by datastore key; nobody as long as it is the own address of
a host or of another endpoint, which would lose all that is sent to it. Every host comes to the same answer. Settled once for all
changes since the last: who has an address for his own is searched among all endpoints when it is first asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from ocicat.model.net import Addr, Cidr

Bearers = Callable[[], Iterable[tuple[str, Iterable[Addr | Cidr]]]]
"""The keys of all endpoints of workloads, with their own addresses."""


class Floating:
    __slots__ = ("_asked", "_bearers", "_claims", "_endpoints", "_hosts", "_nodes", "_owned", "_touched", "_unsearched")

    def __init__(self, endpoints: Bearers) -> None:
        self._endpoints = endpoints
        self._asked: dict[str, tuple[Addr, ...]] = {}  # by the endpoint's datastore key
        self._claims: dict[Addr, dict[str, str]] = {}  # who asks for it, and on which host
        self._bearers: defaultdict[Addr, set[str]] = defaultdict(set)  # whose own it is, if anybody asks for it
        self._owned: defaultdict[str, set[Addr]] = defaultdict(set)  # the same, by endpoint
        self._nodes: dict[str, tuple[Addr, ...]] = {}
        self._hosts: defaultdict[Addr, set[str]] = defaultdict(set)  # the same, by address
        self._unsearched: set[Addr] = set()
        self._touched: set[Addr] = set()

    def set_endpoint(self, key: str, host: str, own: Iterable[Addr | Cidr], asked: tuple[Addr, ...]) -> None:
        """It is on that host, has these addresses, and asks for those; none of both: it is gone."""
        for address in self._owned.pop(key, ()):
            self._bearers[address].discard(key)
            self._touched.add(address)
        for address in self._asked.pop(key, ()):
            self._withdraw(key, address)
        if asked:
            self._asked[key] = asked
        for address in asked:
            if address not in self._claims:
                self._unsearched.add(address)
            self._claims.setdefault(address, {})[key] = host
            self._touched.add(address)
        for address in self._claims.keys() & own if self._claims else ():
            self._bear(key, address)

    def set_node(self, name: str, addresses: tuple[Addr, ...]) -> None:
        """A host's own."""
        before = self._nodes.pop(name, ())
        for address in before:
            self._hosts[address].discard(name)
            if not self._hosts[address]:
                del self._hosts[address]
        if addresses:
            self._nodes[name] = addresses
        for address in addresses:
            self._hosts[address].add(name)
        self._touched |= self._claims.keys() & {*before, *addresses}

    def settle(self) -> set[Addr]:
        """The floating addresses for which anything may have changed since the last."""
        if wanted := self._unsearched & self._claims.keys():
            for key, own in self._endpoints():
                for address in wanted.intersection(own):
                    self._bear(key, address)
        touched, self._touched, self._unsearched = self._touched, set(), set()
        return touched

    def host(self, address: Addr) -> str | None:
        """Where it is."""
        claims = self._claims.get(address)
        if not claims or self._taken(address):
            return None
        return claims[min(claims)]

    def claimants(self, address: Addr) -> Iterable[str]:
        """The keys of all endpoints that ask for it."""
        return self._claims.get(address, {}).keys()

    def fault(self, key: str, address: Addr) -> str:
        """Why this endpoint does not have what it asks for; "" is none."""
        if taken := self._taken(address):
            return f"is the address of {taken}"
        first = min(self._claims[address])
        return "" if first == key else f"leads to {first} already"

    def _taken(self, address: Addr) -> str:
        """Whose own address it is; of him who asks for it himself only others must not."""
        if hosts := self._hosts.get(address):
            return f"host {min(hosts)}"
        others = self._bearers.get(address, set()) - {min(self._claims[address])}
        return min(others, default="")

    def _bear(self, key: str, address: Addr) -> None:
        self._bearers[address].add(key)
        self._owned[key].add(address)
        self._touched.add(address)

    def _withdraw(self, key: str, address: Addr) -> None:
        self._touched.add(address)
        claims = self._claims[address]
        del claims[key]
        if claims:
            return
        del self._claims[address]
        for bearer in self._bearers.pop(address, ()):
            self._owned[bearer].discard(address)
            if not self._owned[bearer]:
                del self._owned[bearer]
