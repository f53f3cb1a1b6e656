"""The order in which policies decide: those that match an endpoint, put into tiers as one hook and direction sees them. Pure.

As `policy.tiers` says it for the whole cluster: tiers by order, then name; policies by their position; a tier without a policy for
this hook and direction is not there. Staged policies have their places too; a tier that has no others decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from ocicat.model.base import Struct
from ocicat.model.wanted import Tier
from ocicat.policy.model import Direction, Hook, ResolvedPolicy, ResolvedTier

_WITH_END: tuple[Hook, ...] = ("normal", "forward")
"""The hooks where a tier's default action counts."""


class Applied(Struct, frozen=True):
    """A policy, by its datastore key, that matches an endpoint, and its tier."""

    key: str
    policy: ResolvedPolicy
    tier: ResolvedTier


def in_order(policies: Iterable[Applied]) -> list[Applied]:
    return sorted(policies, key=lambda one: (one.tier.position, one.policy.position))


def tiers(policies: Sequence[Applied], hook: Hook, direction: Direction) -> tuple[Tier, ...]:
    """`policies` in order."""
    found = [one for one in policies if one.policy.at(hook) and one.policy.rules(direction) is not None]
    grouped = [(tier, list(members)) for tier, members in groupby(found, key=lambda one: one.tier)]
    return tuple(
        Tier(tier.name, _end(tier, members, hook), tuple([one.key for one in members])) for tier, members in grouped
    )


def _end(tier: ResolvedTier, members: Iterable[Applied], hook: Hook) -> Literal["Deny", "Pass"]:
    decides = hook in _WITH_END and not all(one.policy.staged for one in members)
    return tier.default_action if decides else "Pass"
