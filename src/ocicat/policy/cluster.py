"""A cluster's state made ready for questions: every policy, endpoint and set of it, resolved once. Pure.

Build one with `ocicat.policy.resolve`. What is asked often is kept inside; nothing that a caller can see ever changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.policy.endpoints import EVERY_INTERFACE, governing
from ocicat.policy.model import Problem, ResolvedEndpoint, ResolvedProfile
from ocicat.policy.peers import PeerIndex
from ocicat.policy.settings import Settings
from ocicat.policy.tiers import PolicyTable


class HostInterface(Struct, frozen=True):
    """An interface of a host, no workload's."""

    host: str
    name: str
    addresses: tuple[Addr, ...] = ()


@dataclass(slots=True, frozen=True)
class Cluster:
    """`staged`: the policies as they would be with the staged ones in force; None if there are no staged ones."""

    workloads: Mapping[tuple[str, str], ResolvedEndpoint]
    """By host and interface."""
    host_endpoints: Mapping[str, tuple[ResolvedEndpoint, ...]]
    """By host, in the order of their names."""
    interfaces: Mapping[tuple[str, str], tuple[Addr, ...]]
    profiles: Mapping[str, ResolvedProfile]
    peers: PeerIndex
    enforced: PolicyTable
    staged: PolicyTable | None
    settings_of: Mapping[str, Settings]
    """For hosts that have settings of their own."""
    settings: Settings
    problems: tuple[Problem, ...]

    def settings_at(self, host: str) -> Settings:
        return self.settings_of.get(host, self.settings)

    def is_workload_interface(self, host: str, interface: str) -> bool:
        """By its endpoint, or by its name if there is none."""
        return (host, interface) in self.workloads or interface.startswith(self.settings_at(host).interface_prefixes)

    def host_endpoint(self, host: str, interface: str, *, every: bool = True) -> ResolvedEndpoint | None:
        """The one that governs an interface: its own, or else, if `every`, that for all interfaces. Interfaces of workloads have
        that kind only."""
        candidates = self.host_endpoints.get(host, ())
        own = None
        if not self.is_workload_interface(host, interface):
            own = governing(candidates, interface, self.interfaces.get((host, interface), ()))
        return own or (governing(candidates, EVERY_INTERFACE, ()) if every else None)
