"""Flow logs of this host, on and off as the operator sets it, and what their reader must know of the datastore. One event loop.

Promise: while flow logs are off there is no reader, and nothing is remembered for it but which policy is in which tier, and which
host endpoint governs which interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from ocicat.agent.flowlog.parties import Parties
from ocicat.agent.flowlog.reader import Reader
from ocicat.calc.graph import Graph
from ocicat.calc.records import PeerRecord
from ocicat.dataplane.ruleset.identity import policy_name
from ocicat.model.wanted import Batch, Endpoint, HostEndpoint, HostEndpointGone, PolicyGone, Tier
from ocicat.policy import HostInterface

_AT_ONCE = 32  # of a hundred thousand peers: the reader gives way between changes


@dataclass(slots=True)
class FlowLog:
    """`make` makes a reader that writes every so many seconds; it asks `tier_of` from its own thread."""

    make: Callable[[float, Callable[[str], str]], Reader]
    _reader: Reader | None = None
    _tiers: dict[str, str] = field(default_factory=dict)  # by the name of a policy
    _seen: dict[str, str] = field(default_factory=dict)  # by its key, the same
    _governing: dict[str, str] = field(default_factory=dict)  # interface -> key of its host endpoint
    _interfaces: tuple[HostInterface, ...] = ()

    def follow(self, graph: Graph, batch: Batch) -> None:
        """After every flush of the graph: what it gave."""
        for message in batch:
            match message:
                case Endpoint():
                    self._note((*message.ingress, *message.egress))
                case HostEndpoint():
                    self._note(_tiers(message))
                    self._govern(message.interface, message.key)
                case HostEndpointGone(interface):
                    self._govern(interface, None)
                case PolicyGone(policy_id):
                    self._tiers.pop(policy_name(policy_id), None)
                    self._seen.pop(policy_id, None)
                case _:
                    pass
        self._want(graph, graph.flow_log_interval_s())

    def interfaces(self, found: Iterable[HostInterface]) -> None:
        """All of this host's own."""
        self._interfaces = tuple(found)
        if self._reader:
            own = self._interfaces
            self._reader.change(lambda parties: parties.interfaces(own))

    def stop(self) -> None:
        """Writes what there is."""
        if self._reader:
            self._reader.stop()
            self._reader = None

    def tier_of(self, policy: str) -> str:
        return self._tiers.get(policy, "")

    def _want(self, graph: Graph, interval_s: float | None) -> None:
        if interval_s is None:
            if self._reader:
                graph.follow_peers(None)
                self.stop()
        elif self._reader:
            self._reader.interval_s = interval_s
        else:
            self._start(graph, interval_s)

    def _start(self, graph: Graph, interval_s: float) -> None:
        self._reader = self.make(interval_s, self.tier_of)
        peers = list(graph.peers())
        for first in range(0, len(peers), _AT_ONCE):
            self._reader.change(partial(_learn, peers[first : first + _AT_ONCE]))
        graph.follow_peers(self._peer)
        self.interfaces(self._interfaces)
        for interface, key in self._governing.items():
            self._govern(interface, key)
        self._reader.start()

    def _peer(self, key: str, record: PeerRecord | None) -> None:
        if self._reader is None:
            return
        if record is None:
            self._reader.change(lambda parties: parties.forget(key))
        else:
            labels, addresses = record.labels, record.addresses
            self._reader.change(lambda parties: parties.set(key, labels, addresses))

    def _govern(self, interface: str, key: str | None) -> None:
        if key is None:
            self._governing.pop(interface, None)
        else:
            self._governing[interface] = key
        if self._reader:
            self._reader.change(lambda parties: parties.governs(interface, key))

    def _note(self, tiers: Iterable[Tier]) -> None:
        for tier in tiers:
            for policy_id in tier.policies:
                if self._seen.get(policy_id) != tier.name:
                    self._seen[policy_id] = self._tiers[policy_name(policy_id)] = tier.name


def _learn(some: list[tuple[str, PeerRecord]], parties: Parties) -> None:
    for key, record in some:
        parties.set(key, record.labels, record.addresses)


def _tiers(host: HostEndpoint) -> tuple[Tier, ...]:
    stages = (
        host.ingress,
        host.egress,
        host.forward_ingress,
        host.forward_egress,
        host.untracked_ingress,
        host.untracked_egress,
        host.pre_dnat,
    )
    return tuple(tier for stage in stages for tier in stage)
