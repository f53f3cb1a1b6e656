"""From the resources of a cluster to what can be evaluated. Pure.

Promise: nothing raises. An object that cannot be understood is treated as missing, as Felix does, a rule that cannot be enforced
denies whatever reaches it, and `Cluster.problems` tells of both. A rule with a field that this version has no word for is such a
rule; a profile with one is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ocicat.errors import UserError
from ocicat.model.net import parse_interface
from ocicat.model.v3.defaults import Policy
from ocicat.model.v3.document import Document
from ocicat.model.v3.endpoints import GlobalNetworkSet, HostEndpoint, NetworkSet, Node, WorkloadEndpoint
from ocicat.model.v3.felix import FelixConfiguration
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy, Profile, Tier
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy
from ocicat.policy import endpoints
from ocicat.policy.cluster import Cluster, HostInterface
from ocicat.policy.endpoints import EVERY_INTERFACE
from ocicat.policy.model import (
    Direction,
    Peer,
    Problem,
    ResolvedEndpoint,
    ResolvedPolicy,
    ResolvedTier,
    object_name,
)
from ocicat.policy.peers import PeerIndex
from ocicat.policy.policies import (
    StagedPolicy,
    denying_unknown,
    missing_tier,
    resolve_policy,
    resolve_profiles,
    resolve_tiers,
    rule_problems,
    unreadable,
    with_staged,
    without_tier,
)
from ocicat.policy.settings import Settings, setting_problems, settings
from ocicat.policy.tiers import PolicyTable

R = TypeVar("R")
_NODE_SETTINGS = "node."
_DIRECTIONS: tuple[Direction, ...] = ("Ingress", "Egress")


def resolve(
    resources: Iterable[Resource | Document],
    *,
    interfaces: Iterable[HostInterface] = (),
    agent_ports: tuple[int, ...] = (),
    name_ports: tuple[int, ...] = (),
) -> Cluster:
    """Documents tell what a resource alone cannot: which of its fields this version has no word for.

    `interfaces`: of hosts whose Node does not list them. `agent_ports`: TCP ports on which the hosts' Mesos agents listen;
    `name_ports`: ports of both protocols at which the hosts serve names.
    """
    given = tuple(resources)
    unknown = {id(one.resource): one.unknown for one in given if isinstance(one, Document) and one.unknown}
    known = tuple(one.resource if isinstance(one, Document) else one for one in given)
    return _Resolver(known, unknown, agent_ports, name_ports).cluster(interfaces)


@dataclass(slots=True)
class _Resolver:
    """`unknown`: paths of fields, by the id of the resource that has them."""

    resources: tuple[Resource, ...]
    unknown: Mapping[int, tuple[str, ...]]
    agent_ports: tuple[int, ...]
    name_ports: tuple[int, ...]
    problems: list[Problem] = field(default_factory=list)

    def cluster(self, interfaces: Iterable[HostInterface]) -> Cluster:
        by_host, usual = self._settings()
        readable = [one for one in self._all(Profile) if self._is_readable(one)]
        labels = {one.metadata.name: one.spec.labels_to_apply for one in readable}
        profiles = resolve_profiles(readable)
        for profile in profiles.values():
            self.problems += rule_problems(profile)
        workloads = [
            found
            for one in self._all(WorkloadEndpoint)
            if (found := self._workload(one, labels, by_host.get(one.spec.node, usual)))
        ]
        hosts = [found for one in self._all(HostEndpoint) if (found := self._host_endpoint(one, labels))]
        enforced, staged = self._tables()
        for endpoint in hosts:
            self._tell_untracked(endpoint, enforced)
        return Cluster(
            workloads=self._by_interface(workloads),
            host_endpoints=_by_host(hosts),
            interfaces={(one.host, one.name): one.addresses for one in (*self._node_interfaces(), *interfaces)},
            profiles=profiles,
            peers=self._peers([*workloads, *hosts], labels),
            enforced=enforced,
            staged=staged,
            settings_of=by_host,
            settings=usual,
            problems=tuple(sorted(set(self.problems))),
        )

    def _all(self, kind: type[R]) -> list[R]:
        return [one for one in self.resources if isinstance(one, kind)]

    def _is_readable(self, profile: Profile) -> bool:
        text = unreadable(self.unknown.get(id(profile), ()))
        if text:
            self._tell(profile, f"it is treated as missing: {text}")
        return not text

    def _tell(self, resource: Resource, text: str) -> None:
        metadata = resource.metadata
        self.problems.append(Problem(object_name(resource.kind, metadata.namespace, metadata.name), text))

    # --- settings ------------------------------------------------------------------------------------------------------

    def _settings(self) -> tuple[dict[str, Settings], Settings]:
        found = {one.metadata.name: one for one in self._all(FelixConfiguration)}
        usual = found.pop("default", None)
        general = () if usual is None else (usual,)
        by_host: dict[str, Settings] = {}
        for name, one in found.items():
            if name.startswith(_NODE_SETTINGS):
                by_host[name.removeprefix(_NODE_SETTINGS)] = self._overlaid(one, *general)
            else:
                self._tell(one, "only the objects default and node.HOST are applied")
        return by_host, self._overlaid(*general)

    def _overlaid(self, *objects: FelixConfiguration) -> Settings:
        for text in setting_problems(objects[0].spec) if objects else ():
            self._tell(objects[0], text)
        return settings((one.spec for one in objects), agent_ports=self.agent_ports, name_ports=self.name_ports)

    # --- endpoints -----------------------------------------------------------------------------------------------------

    def _workload(
        self, endpoint: WorkloadEndpoint, labels: endpoints.ProfileLabels, of_host: Settings
    ) -> ResolvedEndpoint | None:
        try:
            return endpoints.workload(endpoint, labels, of_host)
        except UserError as error:
            self._tell(endpoint, f"it is treated as missing: {error}")
            return None

    def _host_endpoint(self, endpoint: HostEndpoint, labels: endpoints.ProfileLabels) -> ResolvedEndpoint | None:
        try:
            return endpoints.host_endpoint(endpoint, labels)
        except UserError as error:
            self._tell(endpoint, f"it is treated as missing: {error}")
            return None

    def _by_interface(self, workloads: list[ResolvedEndpoint]) -> dict[tuple[str, str], ResolvedEndpoint]:
        """Of two with one interface the first by name is in force, so that the answer does not depend on the order of events."""
        found: dict[tuple[str, str], ResolvedEndpoint] = {}
        for endpoint in sorted(workloads, key=lambda one: (one.namespace, one.name)):
            first = found.setdefault((endpoint.host, endpoint.interface), endpoint)
            if first is not endpoint:
                self.problems.append(Problem(endpoint.title, f"not in force: {first.title} has the same interface"))
        return found

    def _node_interfaces(self) -> Iterator[HostInterface]:
        for node in self._all(Node):
            for interface in node.spec.interfaces:
                try:
                    addresses = tuple(parse_interface(text)[0] for text in interface.addresses)
                except UserError as error:
                    self._tell(node, f"interface {interface.name} is treated as without addresses: {error}")
                    addresses = ()
                yield HostInterface(node.metadata.name, interface.name, addresses)

    def _peers(self, known: list[ResolvedEndpoint], labels: endpoints.ProfileLabels) -> PeerIndex:
        index = PeerIndex()
        for endpoint in known:
            for address in endpoint.addresses:
                index.add(address.cidr(), endpoint.peer)
        for one in self._all(NetworkSet):
            self._add_set(index, one, endpoints.network_set(one, labels))
        for other in self._all(GlobalNetworkSet):
            self._add_set(index, other, Peer(other.metadata.labels))
        return index

    def _add_set(self, index: PeerIndex, resource: NetworkSet | GlobalNetworkSet, peer: Peer) -> None:
        for text in resource.spec.nets:
            try:
                index.add(parse_interface(text)[1], peer)
            except UserError as error:
                self._tell(resource, f"passed over: {error}")

    # --- policies ------------------------------------------------------------------------------------------------------

    def _tables(self) -> tuple[PolicyTable, PolicyTable | None]:
        tiers = resolve_tiers(self._all(Tier))
        enforced: tuple[Policy, ...] = (*self._all(NetworkPolicy), *self._all(GlobalNetworkPolicy))
        staged: tuple[StagedPolicy, ...] = (*self._all(StagedNetworkPolicy), *self._all(StagedGlobalNetworkPolicy))
        for one in self._all(StagedKubernetesNetworkPolicy):
            self._tell(one, "not evaluated: Mesos has no Kubernetes pods")
        table = self._table(enforced, tiers)
        return table, self._table(with_staged(enforced, staged), tiers) if staged else None

    def _table(self, policies: Iterable[Policy], tiers: Iterable[ResolvedTier]) -> PolicyTable:
        known = {tier.name: tier for tier in tiers}
        found = [one for policy in policies if (one := self._policy(policy, known))]
        missing = {one.tier: missing_tier(one.tier) for one in found if one.tier not in known}
        return PolicyTable.of((known | missing).values(), found)

    def _policy(self, policy: Policy, tiers: Collection[str]) -> ResolvedPolicy | None:
        if policy.spec.tier not in tiers:
            self._tell(policy, without_tier(policy.spec.tier, staged=policy.kind.startswith("Staged")))
        try:
            found = denying_unknown(resolve_policy(policy), self.unknown.get(id(policy), ()))
        except UserError as error:
            self._tell(policy, f"not in force: {error}")
            return None
        self.problems += rule_problems(found)
        return found

    def _tell_untracked(self, endpoint: ResolvedEndpoint, policies: PolicyTable) -> None:
        if endpoint.interface != EVERY_INTERFACE:
            return
        if any(policies.applying(endpoint, "untracked", direction) for direction in _DIRECTIONS):
            text = "doNotTrack policies do not apply to an endpoint for all interfaces"
            self.problems.append(Problem(endpoint.title, text))


def _by_host(hosts: Iterable[ResolvedEndpoint]) -> dict[str, tuple[ResolvedEndpoint, ...]]:
    found: defaultdict[str, list[ResolvedEndpoint]] = defaultdict(list)
    for endpoint in sorted(hosts, key=lambda one: one.name):
        found[endpoint.host].append(endpoint)
    return {host: tuple(those) for host, those in found.items()}
