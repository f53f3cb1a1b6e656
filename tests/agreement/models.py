"""The models that must agree, by name. The oracle is the one that is asked for shares and reasons.

The kernel is one more, but must be laid out and torn down: `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import oracle
from cluster import Cluster, Hop, Outcome, Packet

from ocicat import policy
from ocicat.model.net import Addr
from ocicat.model.v3.document import parse

if TYPE_CHECKING:
    from runner import Model


def evaluate(cluster: Cluster) -> Callable[[Packet], Outcome]:
    """`ocicat.policy.evaluate`, asked in its own words."""
    interfaces = [
        policy.HostInterface(host.name, name, tuple(map(Addr.parse, addresses)))
        for host in cluster.hosts
        for name, addresses in host.interfaces.items()
    ]
    resolved = policy.resolve([parse(resource).resource for resource in cluster.resources], interfaces=interfaces)

    def ask(packet: Packet) -> Outcome:
        asked = policy.Packet(
            packet.protocol, Addr.parse(packet.source), Addr.parse(packet.destination), packet.source_port or 0,
            packet.destination_port or 0, packet.icmp_type or 0, packet.icmp_code or 0,
        )  # fmt: skip
        found = policy.evaluate(resolved, asked, tuple(map(_hop, packet.hops)))
        allowed = found.action == "Allow"
        staged = found.staged.action == "Allow" if found.staged else None
        told = [stage for stage in found.stages if stage.decision.rule or (stage == found.decider and not allowed)]
        why = tuple(map(_why, told))
        return Outcome(allowed, allowed and found.not_tracked, why, tuple(map(_rule, found.logs)), staged)

    return ask


def _hop(hop: Hop) -> policy.Hop:
    if hop.translated is None:
        return policy.Hop(hop.host, hop.enters, hop.leaves)
    address, port = hop.translated
    return policy.Hop(hop.host, hop.enters, hop.leaves, policy.Translation(Addr.parse(address), port or 0))


def _why(stage: policy.Stage) -> str:
    decision = stage.decision
    if decision.rule is not None:
        return f"{stage.host} {stage.name} {_rule(decision.rule)}"
    of = {"end-of-tier": decision.tier, "missing-profile": decision.profile}.get(decision.cause, "")
    return f"{stage.host} {stage.name} {decision.cause} {of}".rstrip()


def _rule(rule: policy.RuleId) -> str:
    return f"{rule.kind} {rule.namespace}/{rule.name} {rule.direction.lower()} {rule.index}"


MODELS: dict[str, Model] = {"oracle": oracle.model, "evaluate": evaluate}
