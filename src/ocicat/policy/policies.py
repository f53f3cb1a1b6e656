"""Policies, tiers and profiles resolved. Pure.

Source: libcalico-go updateprocessors, felix/calc/{policy_sorter,event_sequencer}.go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from ocicat.model.base import replace
from ocicat.model.v3.defaults import DEFAULT_ALLOW_PROFILE, FIXED_TIERS, Policy, policy_types
from ocicat.model.v3.metadata import Metadata
from ocicat.model.v3.policy import GlobalNetworkPolicySpec, NetworkPolicySpec, Profile, ProfileSpec, Rule, Tier
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedNetworkPolicy
from ocicat.policy import selectors
from ocicat.policy.model import (
    Hook,
    Problem,
    ResolvedPolicy,
    ResolvedProfile,
    ResolvedRule,
    ResolvedTier,
    Rules,
    object_name,
)
from ocicat.policy.rules import resolve_rules

DEFAULT_ALLOW = Profile(
    metadata=Metadata(name=DEFAULT_ALLOW_PROFILE),
    spec=ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),)),
)
"""The profile that always is, and is never stored (libcalico-go/lib/resources/profiles.go)."""

PolicyKey = tuple[str, str, str]
"""Kind without "Staged", namespace, name: what a staged policy takes the place of."""

StagedPolicy = StagedNetworkPolicy | StagedGlobalNetworkPolicy

_RULE_PATH = re.compile(r"spec\.(?P<direction>ingress|egress)\[(?P<index>\d+)\]\.(?P<field>.*)", re.DOTALL)


def resolve_policy(policy: Policy) -> ResolvedPolicy:
    """Errors: SelectorError if nobody can say which endpoints it is for."""
    spec, namespace = policy.spec, policy.metadata.namespace
    types = policy_types(spec)
    anywhere = spec if isinstance(spec, GlobalNetworkPolicySpec) else None
    return ResolvedPolicy(
        kind=policy.kind,
        namespace=namespace,
        name=policy.metadata.name,
        tier=spec.tier,
        order=_order(spec.order),
        selector=selectors.of_global_policy(anywhere) if anywhere else selectors.of_policy(spec, namespace),
        ingress=resolve_rules(spec.ingress, namespace) if "Ingress" in types else None,
        egress=resolve_rules(spec.egress, namespace) if "Egress" in types else None,
        hook=_hook(spec),
        on_forward=anywhere is None or anywhere.apply_on_forward,
    )


def denying_unknown(policy: ResolvedPolicy, unknown: Iterable[str]) -> ResolvedPolicy:
    """`unknown`: paths of fields that this version has no word for. A rule with one denies what reaches it: without the whole
    policy, others might allow it."""
    faults = {(match["direction"], int(match["index"])): match["field"] for match in _in_rules(unknown)}
    return replace(
        policy,
        ingress=_denying(policy.ingress, "ingress", faults),
        egress=_denying(policy.egress, "egress", faults),
    )


def unreadable(unknown: Iterable[str]) -> str:
    """Why a profile counts as missing, and so denies: a rule of it holds a field that this version has no word for."""
    return next((f"{match[0]}: this version does not know it" for match in _in_rules(unknown)), "")


def _in_rules(unknown: Iterable[str]) -> list[re.Match[str]]:
    """What says nothing about what the rule matches does not count."""
    found = (match for match in map(_RULE_PATH.fullmatch, unknown) if match)
    return [match for match in found if not match["field"].startswith("metadata.")]


def _denying(rules: Rules | None, direction: str, faults: Mapping[tuple[str, int], str]) -> Rules | None:
    if rules is None:
        return None
    return tuple(
        ResolvedRule(action="Deny", problem=f"{faults[direction, index]}: this version does not know it")
        if (direction, index) in faults
        else rule
        for index, rule in enumerate(rules)
    )


def _hook(spec: NetworkPolicySpec) -> Hook:
    if not isinstance(spec, GlobalNetworkPolicySpec):
        return "normal"
    return "untracked" if spec.do_not_track else "pre-dnat" if spec.pre_dnat else "normal"


def key_of(policy: Policy) -> PolicyKey:
    return policy.kind.removeprefix("Staged"), policy.metadata.namespace, policy.metadata.name


def with_staged(enforced: Iterable[Policy], staged: Iterable[StagedPolicy]) -> Iterator[Policy]:
    """The policies as they will be: Set and Learn replace or add, Delete takes away, Ignore does nothing."""
    effective = {key_of(policy): policy for policy in staged if policy.spec.staged_action != "Ignore"}
    yield from (policy for policy in enforced if key_of(policy) not in effective)
    yield from (policy for policy in effective.values() if policy.spec.staged_action != "Delete")


def resolve_tiers(tiers: Iterable[Tier]) -> tuple[ResolvedTier, ...]:
    """With those that always are, as they always are."""
    found = {tier.metadata.name: _tier(tier) for tier in tiers}
    for name, (order, action) in FIXED_TIERS.items():
        found[name] = ResolvedTier(name, order, _default_action(action))
    return tuple(found.values())


def missing_tier(name: str) -> ResolvedTier:
    """In place of a tier that policies name and nobody made: what they do not decide is denied, as in any tier."""
    return ResolvedTier(name, math.inf, "Deny", exists=False)


def without_tier(tier: str, *, staged: bool) -> str:
    """What is told of a policy whose tier nobody made."""
    denies = "a staged policy alone decides nothing there" if staged else "denies what its policies do not decide"
    return f"there is no tier {tier}: it comes after all others, and {denies}"


def _tier(tier: Tier) -> ResolvedTier:
    return ResolvedTier(tier.metadata.name, _order(tier.spec.order), _default_action(tier.spec.default_action))


def _default_action(written: str | None) -> Literal["Deny", "Pass"]:
    return "Pass" if written == "Pass" else "Deny"


def _order(written: float | None) -> float:
    """None is after all that have one."""
    return math.inf if written is None else written


def resolve_profiles(profiles: Iterable[Profile]) -> dict[str, ResolvedProfile]:
    """By name; with the one that always is, as it always is."""
    return {profile.metadata.name: resolve_profile(profile) for profile in (*profiles, DEFAULT_ALLOW)}


def resolve_profile(profile: Profile) -> ResolvedProfile:
    spec = profile.spec
    return ResolvedProfile(profile.metadata.name, resolve_rules(spec.ingress, ""), resolve_rules(spec.egress, ""))


def rule_problems(owner: ResolvedPolicy | ResolvedProfile) -> Iterator[Problem]:
    """What its rules say that cannot be enforced."""
    if isinstance(owner, ResolvedPolicy):
        title = object_name(owner.kind, owner.namespace, owner.name)
        denies = "would deny" if owner.staged else "denies"
    else:
        title, denies = object_name("Profile", "", owner.name), "denies"
    sides: tuple[tuple[str, Rules], ...] = (("ingress", owner.ingress or ()), ("egress", owner.egress or ()))
    for name, rules in sides:
        for index, rule in enumerate(rules):
            if rule.problem:
                yield Problem(title, f"spec.{name}[{index}] {denies} whatever reaches it: {rule.problem}")
