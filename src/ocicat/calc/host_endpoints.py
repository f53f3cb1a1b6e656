"""Which host endpoint governs each of this host's own interfaces, and the policies that decide there.

The answer is that of `policy.cluster.Cluster.host_endpoint`: the first by name that names the interface or, naming none, expects
one of its addresses. Interfaces of workloads have none of their own. A host has few: all are looked at when one has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from ocicat.calc.policy_order import Applied, in_order, tiers
from ocicat.calc.problems import Problem
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr
from ocicat.model.wanted import HostEndpoint
from ocicat.policy.cluster import HostInterface
from ocicat.policy.endpoints import EVERY_INTERFACE, governing
from ocicat.policy.model import ResolvedEndpoint

Interfaces = Mapping[str, tuple[Addr, ...]]


class HostEndpoints:
    """`applied` gives the policies that match an endpoint; `is_workload`: does the interface belong to one?"""

    __slots__ = ("_applied", "_endpoints", "_found", "_is_workload", "_sent", "_sequencer", "_touched", "_written")

    def __init__(
        self,
        sequencer: Sequencer,
        *,
        applied: Callable[[str], Iterable[Applied]],
        is_workload: Callable[[str], bool],
    ) -> None:
        self._sequencer = sequencer
        self._applied = applied
        self._is_workload = is_workload
        self._endpoints: dict[str, ResolvedEndpoint] = {}  # of this host, by datastore key
        self._written: Interfaces = {}  # what the node says of its interfaces
        self._found: Interfaces = {}  # what they are: goes before
        self._sent: dict[str, str] = {}  # interface -> datastore key
        self._touched = False

    def set(self, key: str, endpoint: ResolvedEndpoint | None) -> None:
        if endpoint is not None:
            self._endpoints[key] = endpoint
        else:
            self._endpoints.pop(key, None)
        self._touched = True

    def interfaces_written(self, interfaces: Iterable[HostInterface]) -> None:
        self._written = {one.name: one.addresses for one in interfaces}
        self._touched = True

    def interfaces_found(self, interfaces: Iterable[HostInterface]) -> None:
        self._found = {one.name: one.addresses for one in interfaces}
        self._touched = True

    def workloads_changed(self) -> None:
        """`is_workload` may answer otherwise."""
        self._touched = True

    def settle(self, touched: Collection[str]) -> None:
        """`touched`: endpoints of any kind whose policies have changed."""
        if not self._touched and self._endpoints.keys().isdisjoint(touched):
            return
        self._touched = False
        governed = self._governed()
        for interface in self._sent.keys() - governed.keys():
            self._sequencer.host_endpoint(interface, None)
        for interface, key in governed.items():
            self._sequencer.host_endpoint(interface, self._wanted(key, interface))
        self._sent = governed

    def problems(self) -> Iterator[Problem]:
        """Host endpoints for all interfaces have no untracked policy."""
        key = self._sent.get(EVERY_INTERFACE, "")
        if key and any(one.policy.hook == "untracked" and not one.policy.staged for one in self._applied(key)):
            yield Problem(key, "doNotTrack policies do not apply to an endpoint for all interfaces")

    def _governed(self) -> dict[str, str]:
        """Interface -> datastore key."""
        by_name = sorted(self._endpoints.items(), key=lambda item: item[1].name)
        keys = {endpoint.name: key for key, endpoint in by_name}
        candidates = [endpoint for _, endpoint in by_name]
        addresses = {one.interface: () for one in candidates if one.interface} | {**self._written, **self._found}
        found = {
            interface: governing(candidates, interface, those)
            for interface, those in addresses.items()
            if not self._is_workload(interface)
        }
        return {interface: keys[endpoint.name] for interface, endpoint in found.items() if endpoint}

    def _wanted(self, key: str, interface: str) -> HostEndpoint:
        policies = in_order(self._applied(key))
        untracked = [] if interface == EVERY_INTERFACE else policies
        return HostEndpoint(
            key=key,
            interface=interface,
            profiles=tuple(dict.fromkeys(self._endpoints[key].profiles)),
            ingress=tiers(policies, "normal", "Ingress"),
            egress=tiers(policies, "normal", "Egress"),
            forward_ingress=tiers(policies, "forward", "Ingress"),
            forward_egress=tiers(policies, "forward", "Egress"),
            untracked_ingress=tiers(untracked, "untracked", "Ingress"),
            untracked_egress=tiers(untracked, "untracked", "Egress"),
            pre_dnat=tiers(policies, "pre-dnat", "Ingress"),
        )
