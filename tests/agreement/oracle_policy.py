"""What policies and profiles say about a packet of somebody with certain labels: tier by tier, policy by policy, rule by rule.

Written from the published semantics alone, and never from `ocicat.policy`, which it is there to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oracle_match import Member, matches, policy_selects

if TYPE_CHECKING:
    from cluster import Cluster, Json, Packet

DEFAULT_ALLOW = "projectcalico-default-allow"
"""The profile that is always there and allows everything."""

FIXED_TIERS = [
    {"metadata": {"name": name}, "spec": {"order": order, "defaultAction": action}}
    for name, order, action in (
        ("default", 1_000_000, "Deny"),
        ("kube-admin", 1_000, "Pass"),
        ("kube-baseline", 10_000_000, "Pass"),
    )
]
"""The tiers that are always there."""


@dataclass(frozen=True, slots=True)
class ByRule:
    kind: str
    namespace: str
    name: str
    direction: str  # ingress or egress
    index: int
    tier: str = ""  # "" for a profile


@dataclass(frozen=True, slots=True)
class ByDefault:
    what: str
    of: str = ""  # the tier, the profile or the interface


By = ByRule | ByDefault


@dataclass(frozen=True, slots=True)
class Decision:
    """`action` is allow, deny or, where a stage leaves the packet to those after it, continue."""

    action: str
    by: By
    logs: tuple[ByRule, ...] = ()


def shown(by: By) -> str:
    match by:
        case ByDefault(what, of):
            return f"{what} {of}".rstrip()
        case ByRule(kind, namespace, name, direction, index):
            return f"{kind} {namespace}/{name} {direction} {index}"


@dataclass(frozen=True, slots=True)
class Policy:
    """All policy there is, asked about one packet."""

    cluster: Cluster
    known: list[Member]
    packet: Packet

    def normal(self, labels: dict[str, str], profiles: list[str], direction: str) -> Decision:
        decision = self.tiers(labels, "normal", direction)
        if decision.action != "continue":
            return decision
        logs = list(decision.logs)
        for name in profiles:
            profile = self.profile(name)
            if profile is None:
                return Decision("deny", ByDefault("missing-profile", name), tuple(logs))
            action, by = self.rules(profile, direction, "", logs)
            if action in ("Allow", "Deny"):
                return Decision(action.lower(), by, tuple(logs))
        return Decision("deny", ByDefault("no-profile"), tuple(logs))

    def profile(self, name: str) -> Json | None:
        if name == DEFAULT_ALLOW:
            allow = [{"action": "Allow"}]
            return {"kind": "Profile", "metadata": {"name": name}, "spec": {"ingress": allow, "egress": allow}}
        return next((p for p in self.cluster.of("Profile") if p["metadata"]["name"] == name), None)

    def tiers(self, labels: dict[str, str], stage: str, direction: str) -> Decision:
        """Every tier in its order, until a rule decides, or the end of a tier that does not pass on."""
        logs: list[ByRule] = []
        policies = [p for p in self.policies(labels, stage) if direction.capitalize() in types(p)]
        for tier, default in self.tier_order():
            applying = [policy for policy in policies if (policy["spec"].get("tier") or "default") == tier]
            action, by = self.one_tier(tier, default, applying, stage, direction, logs)
            if action in ("Allow", "Deny"):
                return Decision(action.lower(), by, tuple(logs))
        what = "no-policy" if not policies else "passed"
        return Decision("allow" if stage == "forward" else "continue", ByDefault(what), tuple(logs))

    def one_tier(
        self, tier: str, default: str, policies: list[Json], stage: str, direction: str, logs: list[ByRule]
    ) -> tuple[str, By]:
        for policy in sorted(policies, key=policy_order):
            action, by = self.rules(policy, direction, tier, logs)
            if action:
                return action, by
        if policies and stage in ("normal", "forward") and default != "Pass":
            return "Deny", ByDefault("end-of-tier", tier)
        return "", ByDefault("end-of-tier", tier)

    def rules(self, holder: Json, direction: str, tier: str, logs: list[ByRule]) -> tuple[str, By]:
        """The first rule that matches and does more than log. No action if there is none."""
        metadata = holder["metadata"]
        namespace = metadata.get("namespace", "")
        for index, rule in enumerate(holder["spec"].get(direction) or []):
            if matches(rule, namespace, self.packet, self.known):
                by = ByRule(holder["kind"], namespace, metadata["name"], direction, index, tier)
                if rule["action"] != "Log":
                    return rule["action"], by
                logs.append(by)
        return "", ByDefault("no-rule")

    def tier_order(self) -> list[tuple[str, str]]:
        """Tiers and what their ends do. One that policies name and nobody made comes last, and denies."""
        own = [*self.cluster.of("Tier")]
        there = {tier["metadata"]["name"] for tier in own}
        fixed = [tier for tier in FIXED_TIERS if tier["metadata"]["name"] not in there]
        made = sorted([*own, *fixed], key=lambda tier: (*order(tier), tier["metadata"]["name"]))
        names = {tier["metadata"]["name"] for tier in made}
        named = {p["spec"].get("tier") or "default" for p in self.cluster.of("NetworkPolicy", "GlobalNetworkPolicy")}
        found = [(tier["metadata"]["name"], tier["spec"].get("defaultAction") or "Deny") for tier in made]
        return found + [(name, "Deny") for name in sorted(named - names)]

    def policies(self, labels: dict[str, str], stage: str) -> list[Json]:
        return [
            policy
            for policy in self.cluster.of("NetworkPolicy", "GlobalNetworkPolicy")
            if stage in policy_stages(policy) and policy_selects(policy, labels)
        ]

    def has_policies(self, labels: dict[str, str], stage: str) -> bool:
        return bool(self.policies(labels, stage))


def types(policy: Json) -> list[str]:
    """The directions that it governs: those it names, or those it has rules for; ingress if it has none at all."""
    spec = policy["spec"]
    if spec.get("types"):
        return spec["types"]
    ingress = ["Ingress"] if spec.get("ingress") or not spec.get("egress") else []
    return ingress + (["Egress"] if spec.get("egress") else [])


def policy_stages(policy: Json) -> tuple[str, ...]:
    """Where a policy is asked. On workloads it is only the normal ones."""
    spec = policy["spec"]
    if spec.get("doNotTrack"):
        return ("untracked",)
    if spec.get("preDNAT"):
        return ("pre-dnat",)
    forward = spec.get("applyOnForward") or policy["kind"] == "NetworkPolicy"
    return ("normal", "forward") if forward else ("normal",)


def order(resource: Json) -> tuple[bool, float]:
    """No order is after every order."""
    value = resource["spec"].get("order")
    return value is None, float(value or 0)


def policy_order(policy: Json) -> tuple[bool, float, str]:
    metadata = policy["metadata"]
    return (*order(policy), f"{metadata['name']}/{metadata.get('namespace', '')}/{policy['kind']}")
