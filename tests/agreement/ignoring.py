"""Wrong models, made on purpose: each does not know one thing that resources can say. What does not tell them from the right
one is no test of that thing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster import Cluster, Json


@dataclass(frozen=True, slots=True)
class Ignored:
    """A field, by its path, of all resources of a kind; `rules` is the kind of all rules, and `policies` that of all policies."""

    kind: str
    field: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.field}"

    def apply(self, cluster: Cluster) -> Cluster:
        """The cluster as somebody sees it who does not know the field."""
        return replace(cluster, resources=tuple(map(self._without, cluster.resources)))

    def _without(self, resource: Json) -> Json:
        holders = [holder for holder in self._holders(resource) if _has(holder, self.field.split("."))]
        if not holders:
            return resource
        changed = copy.deepcopy(resource)
        for holder in self._holders(changed):
            _remove(holder, self.field.split("."))
        return changed

    def _holders(self, resource: Json) -> list[Json]:
        spec = resource["spec"]
        if self.kind == "rules":
            return [rule for direction in ("ingress", "egress") for rule in spec.get(direction) or []]
        policies = ("NetworkPolicy", "GlobalNetworkPolicy")
        fits = resource["kind"] in policies if self.kind == "policies" else resource["kind"] == self.kind
        return ([resource] if self.field.startswith("metadata") else [spec]) if fits else []


def _has(holder: Json, path: list[str]) -> bool:
    for name in path:
        if name not in (holder or {}):
            return False
        holder = holder[name]
    return True


def _remove(holder: Json, path: list[str]) -> None:
    if _has(holder, path):
        for name in path[:-1]:
            holder = holder[name]
        del holder[path[-1]]


_SIDE = (
    "selector notSelector namespaceSelector serviceAccounts.names serviceAccounts.selector nets notNets ports notPorts"
)
_FIELDS = {
    "rules": "ipVersion protocol notProtocol icmp icmp.code notICMP "
    + " ".join(f"{side}.{field}" for side in ("source", "destination") for field in _SIDE.split()),
    "policies": "tier order types selector serviceAccountSelector",
    "GlobalNetworkPolicy": "namespaceSelector doNotTrack preDNAT applyOnForward",
    "Tier": "order defaultAction",
    "Profile": "labelsToApply ingress egress",
    "WorkloadEndpoint": "profiles ports serviceAccountName metadata.labels allowSpoofedSourcePrefixes",
    "HostEndpoint": "profiles metadata.labels expectedIPs",
    "NetworkSet": "nets metadata.labels",
    "GlobalNetworkSet": "nets metadata.labels",
    "FelixConfiguration": "defaultEndpointToHostAction failsafeInboundHostPorts failsafeOutboundHostPorts "
    "allowVXLANPacketsFromWorkloads allowIPIPPacketsFromWorkloads vxlanPort workloadSourceSpoofing",
}
IGNORING = [Ignored(kind, field) for kind, fields in _FIELDS.items() for field in fields.split()]
