"""The models that must agree, by name. The oracle is the one that is asked for shares and reasons.

The kernel is one more, but must be laid out and torn down: `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import graphs
import oracle
import staged as staged_policies
from cluster import Cluster, Hop, Outcome, Packet

from ocicat import policy
from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.flows.judge import FlowJudge, Passage
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.model.base import replace
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
    resolved = policy.resolve([parse(resource) for resource in cluster.resources], interfaces=interfaces)

    def ask(packet: Packet) -> Outcome:
        asked = _asked(packet)
        hops = tuple(map(_hop, packet.hops))
        found = policy.evaluate(resolved, asked, hops)
        allowed = found.action == "Allow"
        staged = found.staged.action == "Allow" if found.staged else None
        told = [stage for stage in found.stages if stage.decision.rule or (stage == found.decider and not allowed)]
        why = tuple(map(_why, told))
        counted = [text for stage in found.stages for text in _counted(stage)]
        counted += staged_policies.counted(resolved, asked, hops, found)
        logs = tuple(map(_rule, found.logs))
        return Outcome(allowed, allowed and found.not_tracked, why, logs, staged, tuple(sorted(counted)))

    return ask


def _asked(packet: Packet) -> policy.Packet:
    return policy.Packet(
        packet.protocol, Addr.parse(packet.source), Addr.parse(packet.destination), packet.source_port or 0,
        packet.destination_port or 0, packet.icmp_type or 0, packet.icmp_code or 0,
    )  # fmt: skip


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


def _counted(stage: policy.Stage) -> Iterator[str]:
    """Every rule that it meets counts it, also one that passes it on; and the end that denies it."""
    decision = stage.decision
    direction = "egress" if stage.name.endswith("egress") or stage.name == "workload-to-host" else "ingress"
    for rule, action in (
        *((each, "Log") for each in decision.logs),
        *((each, "Pass") for each in decision.passed),
        *(((decision.rule, decision.outcome.replace("Continue", "Pass")),) if decision.rule else ()),
    ):
        yield f"{stage.host} {_NAMES[rule.kind]}{_owner(rule)} {rule.direction.lower()} {rule.index} {action}"
    if decision.cause == "end-of-tier":
        yield f"{stage.host} tier {decision.tier} {direction} end Deny"
    if decision.cause in ("missing-profile", "no-profile"):
        yield f"{stage.host} profiles - {direction} end Deny"


_NAMES = {"NetworkPolicy": "policy np/", "GlobalNetworkPolicy": "policy gnp/", "Profile": "profile "}


def _owner(rule: policy.RuleId) -> str:
    return f"{rule.namespace}/{rule.name}" if rule.namespace else rule.name


def _rule(rule: policy.RuleId) -> str:
    return f"{rule.kind} {rule.namespace}/{rule.name} {rule.direction.lower()} {rule.index}"


def judge(cluster: Cluster) -> Callable[[Packet], Outcome]:
    """The dataplane's judge of flows, over what each host's own graph wants. It tells no reasons that others would know."""
    judges: dict[str, FlowJudge] = {}

    def judge_of(host: str) -> FlowJudge:
        if host not in judges:
            managers = Managers(_CONFIG, Ledger())
            for message in graphs.wanted(cluster, host):
                managers.apply(message)
            judges[host] = FlowJudge(_CONFIG, managers)
        return judges[host]

    def ask(packet: Packet) -> Outcome:
        untracked = False
        passing = _asked(packet)
        for hop in packet.hops:
            to = (Addr.parse(hop.translated[0]), hop.translated[1] or 0) if hop.translated else None
            ruling = judge_of(hop.host).rule(Passage(passing, hop.enters, hop.leaves, to))
            if ruling.reason:
                return Outcome(allowed=False)
            untracked = untracked or ruling.untracked
            if to and not ruling.untracked:
                passing = replace(passing, destination=to[0], destination_port=to[1])
        return Outcome(allowed=True, untracked=untracked)

    return ask


_CONFIG = DataplaneConfig(agent_ports=(), interface_prefix="cali")

MODELS: dict[str, Model] = {"oracle": oracle.model, "evaluate": evaluate, "judge": judge}
