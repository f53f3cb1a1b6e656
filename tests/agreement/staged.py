"""Which rules of staged policies count a packet: the first that match it in their policy, where no policy in force decided before.

By plain loops over what `ocicat.policy` has resolved, along the stages that a verdict names. What stands before routing is left
out: where only staged policies stand there, a verdict names no stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocicat.model.base import replace
from ocicat.policy.flow import Flow, matches
from ocicat.policy.tiers import PolicyTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocicat.policy import Cluster, Hop, Packet, Stage, Verdict
    from ocicat.policy.model import Direction, Hook, ResolvedPolicy

_ASKED: dict[str, tuple[Hook, Direction]] = {
    "forward-ingress": ("forward", "Ingress"),
    "forward-egress": ("forward", "Egress"),
    "workload-ingress": ("normal", "Ingress"),
    "workload-egress": ("normal", "Egress"),
    "host-ingress": ("normal", "Ingress"),
    "host-egress": ("normal", "Egress"),
}
_UNASKED = ("failsafe", "encapsulated", "unknown-interface", "host-to-workload", "not-policed")
_NAMES = {"StagedNetworkPolicy": "snp/", "StagedGlobalNetworkPolicy": "sgnp/"}


def counted(cluster: Cluster, packet: Packet, hops: Sequence[Hop], verdict: Verdict) -> Iterator[str]:
    """By host, in the words of their counters, without the hook."""
    if cluster.staged is None:
        return
    table = in_place(cluster.enforced, cluster.staged)
    for hop in hops:
        stages = [stage for stage in verdict.stages if stage.host == hop.host]
        tracked = not any(stage.name.startswith("untracked") and stage.decision.outcome == "Allow" for stage in stages)
        if hop.translated and tracked:
            to = hop.translated
            packet = replace(packet, destination=to.address, destination_port=to.port)
        for stage in stages:
            if stage.name in _ASKED and stage.decision.cause not in _UNASKED:
                yield from _at(stage, table, cluster, packet)


def in_place(enforced: PolicyTable, staged: PolicyTable) -> PolicyTable:
    """`staged`: as if they were in force. Those in force, and the staged ones at their places."""
    tiers = {tier.name: tier for tier in (*enforced.tiers, *staged.tiers)}
    return PolicyTable.of(tiers.values(), (*enforced.policies, *(one for one in staged.policies if one.staged)))


def _at(stage: Stage, table: PolicyTable, cluster: Cluster, packet: Packet) -> Iterator[str]:
    hook, direction = _ASKED[stage.name]
    endpoints = [*cluster.workloads.values(), *(one for those in cluster.host_endpoints.values() for one in those)]
    endpoint = next(one for one in endpoints if one.title == stage.endpoint)
    flow = Flow(packet, cluster.peers.at(packet.source), cluster.peers.at(packet.destination))
    for tier in table.applying(endpoint, hook, direction):
        decided = ""
        for policy, rules in tier.policies:
            hits = [(index, rule.action) for index, rule in enumerate(rules) if matches(rule, flow)]
            decisive = next((place for place, (_, action) in enumerate(hits) if action != "Log"), None)
            if policy.staged:
                for index, action in hits if decisive is None else hits[: decisive + 1]:
                    yield f"{stage.host} policy {_name(policy)} {direction.lower()} {index} {action}"
            elif decisive is not None:
                decided = hits[decisive][1]
                break
        ends = any(not policy.staged for policy, _ in tier.policies) and tier.tier.default_action == "Deny"
        if decided in ("Allow", "Deny") or (not decided and ends):
            return


def _name(policy: ResolvedPolicy) -> str:
    owner = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    return _NAMES[policy.kind] + owner
