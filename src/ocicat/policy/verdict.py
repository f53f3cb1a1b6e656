"""What becomes of a packet, and what decided it, stage by stage. Pure."""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct
from ocicat.policy.model import RuleId

StageName = Literal[
    "source-check",
    "untracked-ingress",
    "pre-dnat",
    "forward-ingress",
    "workload-egress",
    "workload-ingress",
    "forward-egress",
    "workload-to-host",
    "host-ingress",
    "untracked-egress",
    "host-egress",
]
Outcome = Literal["Allow", "Deny", "Continue"]
Cause = Literal[
    "rule",  # of a policy
    "unenforceable",  # a rule that says what cannot be enforced
    "end-of-tier",  # no rule of the tier's policies matched, and its default action is Deny
    "profile-rule",
    "missing-profile",  # a profile that the endpoint names does not exist
    "no-profile",  # no rule of any profile matched
    "spoofed",  # the source is no address of the workload
    "unknown-interface",  # a workload's, and no endpoint is known for it
    "encapsulated",  # VXLAN or IPIP made by a workload
    "neighbour-discovery",
    "agent-port",  # a task reaches its own Mesos agent
    "name-port",  # a task asks its own host for names
    "endpoint-to-host",  # defaultEndpointToHostAction
    "host-to-workload",  # a host reaches its own workloads
    "failsafe",
    "no-forward-policy",  # no policy for forwarded traffic applies in this direction
    "passed",  # every tier passed, and profiles say nothing about forwarded traffic
    "no-match",  # no untracked or pre-DNAT rule matched
    "not-policed",  # no host endpoint for the interface
]


class Decision(Struct, frozen=True, kw_only=True):
    """What one endpoint's chain says. Continue: it leaves the packet to the next stage.

    `logs`: the Log rules that matched, `passed`: the Pass rules, both in their order.
    """

    outcome: Outcome
    cause: Cause
    rule: RuleId | None = None
    tier: str = ""
    profile: str = ""
    logs: tuple[RuleId, ...] = ()
    passed: tuple[RuleId, ...] = ()

    def __str__(self) -> str:
        where = self.rule or (f"tier {self.tier}" if self.tier else f"profile {self.profile}" if self.profile else "")
        return f"{self.outcome} by {self.cause}" + (f": {where}" if where else "")


class Stage(Struct, frozen=True):
    """`endpoint` is empty where none is known."""

    host: str
    name: StageName
    endpoint: str
    decision: Decision

    def __str__(self) -> str:
        return f"{self.host} {self.name} {self.endpoint or '-'}: {self.decision}"


class Verdict(Struct, frozen=True, kw_only=True):
    """`stages` in the order in which the packet met them, as far as it came. `not_tracked`: an untracked policy took it past
    conntrack on some host. `staged`: what would become of it with the staged policies in force; None if there are none.
    """

    action: Literal["Allow", "Deny"]
    stages: tuple[Stage, ...]
    not_tracked: bool = False
    staged: Verdict | None = None

    @property
    def decider(self) -> Stage:
        """The stage that denied, or the last one that let the packet through."""
        return self.stages[-1]

    @property
    def logs(self) -> tuple[RuleId, ...]:
        return tuple(rule for stage in self.stages for rule in stage.decision.logs)

    def __str__(self) -> str:
        return "\n".join([self.action, *(f"  {stage}" for stage in self.stages)])
