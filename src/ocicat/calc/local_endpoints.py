"""This host's workload endpoints: each with the policies and profiles that decide about it.

Promise: of two with one interface the first by namespace and name is in force, as in `policy.resolve`; the other is not sent, and
has a problem. Who has which host port: `nat_endpoints`; which floating address: `floating`. Costs what has changed: lists of
policies are put in order for the endpoints that were touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from ocicat.calc.nat_endpoints import NONE, Claims
from ocicat.calc.policy_order import Applied, in_order, tiers
from ocicat.calc.problems import Problem
from ocicat.calc.records import LocalRecord
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr
from ocicat.model.wanted import Endpoint


class LocalEndpoints:
    """`applied` gives the policies that match an endpoint, `no_floating` why it does not have a floating address ("": it has)."""

    __slots__ = ("_applied", "_claims", "_endpoints", "_no_floating", "_on_interface", "_sequencer", "_touched")

    def __init__(
        self,
        sequencer: Sequencer,
        applied: Callable[[str], Iterable[Applied]],
        no_floating: Callable[[str, Addr], str],
    ) -> None:
        self._sequencer = sequencer
        self._applied = applied
        self._no_floating = no_floating
        self._endpoints: dict[str, LocalRecord] = {}  # by datastore key
        self._on_interface: defaultdict[str, set[str]] = defaultdict(set)
        self._claims = Claims()
        self._touched: set[str] = set()

    def set(self, key: str, endpoint: LocalRecord | None) -> bool:
        """Did anything change?"""
        before = self._endpoints.get(key)
        if endpoint == before:
            return False
        if endpoint is not None:
            self._endpoints[key] = endpoint
            self._on_interface[endpoint.interface].add(key)
        else:
            del self._endpoints[key]
        if before is not None:
            self._leave(key, before.interface, endpoint.interface if endpoint else "")
        for one in (before, endpoint):
            self._touched.update(self._on_interface.get(one.interface, ()) if one else ())
        self._touched.add(key)
        return True

    def __contains__(self, interface: str) -> bool:
        return interface in self._on_interface

    def settle(self, touched: Iterable[str]) -> None:
        """`touched`: endpoints of any kind whose policies or floating addresses have changed."""
        for key in list(self._touched):
            endpoint = self._endpoints.get(key)
            self._touched |= self._claims.ask(key, endpoint.translations if endpoint and self._governs(key) else NONE)
        for key in self._touched.union(touched):
            self._sequencer.endpoint(key, self._wanted(key))
        self._touched.clear()

    def problems(self) -> Iterator[Problem]:
        yield from self._claims.problems()
        for key, endpoint in self._endpoints.items():
            yield from (Problem(key, text) for text in endpoint.limited.problems)
            for each in endpoint.translations.floating if self._governs(key) else ():
                if fault := self._no_floating(key, each.outside):
                    yield Problem(key, f"ipNATs: {each.outside} {fault}")
        for keys in self._on_interface.values():
            for key in keys - {self._in_force(keys)}:
                namespace, name = self._endpoints[self._in_force(keys)].name
                yield Problem(key, f"not in force: WorkloadEndpoint/{namespace}/{name} has the same interface")

    def _leave(self, key: str, interface: str, now: str) -> None:
        if interface == now:
            return
        self._on_interface[interface].discard(key)
        if not self._on_interface[interface]:
            del self._on_interface[interface]

    def _in_force(self, keys: Iterable[str]) -> str:
        return min(keys, key=lambda key: self._endpoints[key].name)

    def _governs(self, key: str) -> bool:
        """Is it the one in force on its interface?"""
        return self._in_force(self._on_interface[self._endpoints[key].interface]) == key

    def _wanted(self, key: str) -> Endpoint | None:
        endpoint = self._endpoints.get(key)
        if endpoint is None or not self._governs(key):
            return None
        policies = in_order(self._applied(key))
        floating = [each for each in endpoint.translations.floating if not self._no_floating(key, each.outside)]
        others = (each.outside.cidr() for each in floating if each.outside not in endpoint.addresses)
        return Endpoint(
            key=key,
            interface=endpoint.interface,
            addresses=endpoint.addresses,
            profiles=endpoint.profiles,
            ingress=tiers(policies, "normal", "Ingress"),
            egress=tiers(policies, "normal", "Egress"),
            sources=(*others, *endpoint.sources),
            floating=tuple(floating),
            port_mappings=self._claims.granted(key),
            ingress_limits=endpoint.limited.ingress,
            egress_limits=endpoint.limited.egress,
            dscp=endpoint.limited.dscp,
            mac=endpoint.mac,
        )
