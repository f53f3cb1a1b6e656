"""What the policies and profiles of one endpoint say about one packet: the order of Felix's endpoint chain. Pure.

Source: felix/rules/endpoints.go and policy.go. Conntrack, failsafe ports and dispatch are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ocicat.model.base import replace
from ocicat.policy.flow import Flow, matches
from ocicat.policy.model import Direction, Hook, ResolvedPolicy, ResolvedProfile, ResolvedRule, RuleId, Rules
from ocicat.policy.tiers import TierList
from ocicat.policy.verdict import Cause, Decision, Outcome

_END: dict[Hook, Decision] = {
    "forward": Decision(outcome="Continue", cause="passed"),
    "untracked": Decision(outcome="Continue", cause="no-match"),
    "pre-dnat": Decision(outcome="Continue", cause="no-match"),
}
"""Where no tier decides and profiles are not asked."""


@dataclass(slots=True)
class Chain:
    """One endpoint's chain while one packet goes through it. Use it once."""

    flow: Flow
    direction: Direction
    hook: Hook
    _logs: list[RuleId] = field(default_factory=list)
    _passed: list[RuleId] = field(default_factory=list)

    def decide(self, tiers: TierList, names: tuple[str, ...], profiles: Mapping[str, ResolvedProfile]) -> Decision:
        """`names`: the endpoint's profiles, in their order."""
        if self.hook == "forward" and not tiers:
            return Decision(outcome="Allow", cause="no-forward-policy")
        decision = self._tiers(tiers) or _END.get(self.hook) or self._profiles(names, profiles)
        return replace(decision, logs=tuple(self._logs), passed=tuple(self._passed))

    def _tiers(self, tiers: TierList) -> Decision | None:
        for tier in tiers:
            hit = self._first_hit(tier.policies)
            if hit is None:
                if tier.tier.default_action == "Deny" and self.hook in ("normal", "forward"):
                    return Decision(outcome="Deny", cause="end-of-tier", tier=tier.tier.name)
                continue
            rule, rule_id = hit
            if rule.action == "Pass":
                self._passed.append(rule_id)
                continue
            return _decided(rule, "rule", rule_id)
        return None

    def _profiles(self, names: tuple[str, ...], profiles: Mapping[str, ResolvedProfile]) -> Decision:
        for name in names:
            profile = profiles.get(name)
            if profile is None:
                return Decision(outcome="Deny", cause="missing-profile", profile=name)
            hit = self._first_hit(((profile, profile.rules(self.direction)),))
            if hit is not None and hit[0].action != "Pass":
                return _decided(hit[0], "profile-rule", hit[1])
            if hit is not None:  # a Pass ends this profile only: there is no tier after them
                self._passed.append(hit[1])
        return Decision(outcome="Deny", cause="no-profile")

    def _first_hit(
        self, owners: Iterable[tuple[ResolvedPolicy | ResolvedProfile, Rules]]
    ) -> tuple[ResolvedRule, RuleId] | None:
        """The first rule that matches and decides; a Log rule is noted on the way."""
        for owner, rules in owners:
            for index, rule in enumerate(rules):
                if not matches(rule, self.flow):
                    continue
                rule_id = owner.rule_id(self.direction, index)
                if rule.action != "Log":
                    return rule, rule_id
                self._logs.append(rule_id)
        return None


def _decided(rule: ResolvedRule, cause: Cause, rule_id: RuleId) -> Decision:
    outcome: Outcome = "Allow" if rule.action == "Allow" else "Deny"
    profile = rule_id.name if rule_id.kind == "Profile" else ""
    cause = "unenforceable" if rule.problem else cause
    return Decision(outcome=outcome, cause=cause, rule=rule_id, tier=rule_id.tier, profile=profile)
