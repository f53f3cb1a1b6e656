"""The policies in the order in which they decide, and those of them that apply to an endpoint. Pure.

Tiers stand by order, then name, and last those that do not exist; policies within a tier as `ResolvedPolicy.position` says. A tier
in which no policy applies to an endpoint in a direction is not there for it, its default action neither.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from ocicat.model.base import Struct
from ocicat.policy.model import Direction, Hook, ResolvedEndpoint, ResolvedPolicy, ResolvedTier, Rules
from ocicat.selector import Selector

_Hint = tuple[str, str | None]


class TierPolicies(Struct, frozen=True):
    """The policies of one tier that apply to one endpoint, each with its rules in one direction."""

    tier: ResolvedTier
    policies: tuple[tuple[ResolvedPolicy, Rules], ...]


TierList = tuple[TierPolicies, ...]


@dataclass(slots=True, frozen=True)
class PolicyTable:
    """`tiers` in their order, `policies` in the order of all tiers together."""

    tiers: tuple[ResolvedTier, ...]
    policies: tuple[ResolvedPolicy, ...]
    _index: dict[_Hint, list[int]]
    _lists: dict[tuple[str, Hook, Direction], TierList] = field(default_factory=dict)

    @classmethod
    def of(cls, tiers: Iterable[ResolvedTier], policies: Iterable[ResolvedPolicy]) -> PolicyTable:
        """Policies whose tier is not among `tiers` must have been sorted out."""
        ordered = tuple(sorted(tiers, key=lambda tier: tier.position))
        rank = {tier.name: place for place, tier in enumerate(ordered)}
        in_order = tuple(sorted(policies, key=lambda policy: (rank[policy.tier], policy.position)))
        index: dict[_Hint, list[int]] = defaultdict(list)
        for place, policy in enumerate(in_order):
            for hint in _hints_of(policy.selector):
                index[hint].append(place)
        return cls(ordered, in_order, dict(index))

    def applying(self, endpoint: ResolvedEndpoint, hook: Hook, direction: Direction) -> TierList:
        """What an endpoint's packets meet at a hook, in this direction."""
        key = (endpoint.title, hook, direction)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = self._applying(endpoint, hook, direction)
        return found

    def _applying(self, endpoint: ResolvedEndpoint, hook: Hook, direction: Direction) -> TierList:
        tiers = {tier.name: tier for tier in self.tiers}
        policies = [policy for policy in self._selecting(endpoint.peer.labels) if policy.at(hook)]
        found = [(policy, rules) for policy in policies if (rules := policy.rules(direction)) is not None]
        grouped = groupby(found, key=lambda pair: pair[0].tier)
        return tuple(TierPolicies(tiers[name], tuple(pairs)) for name, pairs in grouped)

    def _selecting(self, labels: Mapping[str, str]) -> list[ResolvedPolicy]:
        hinted = {place for hint in _hints_for(labels) for place in self._index.get(hint, ())}
        candidates = (self.policies[place] for place in sorted(hinted))
        return [policy for policy in candidates if policy.selector.matches(labels)]


_ANY: _Hint = ("", None)  # no label has an empty name


def _hints_of(selector: Selector) -> list[_Hint]:
    """What an endpoint must have, at least one of these, for the selector to match: the narrowest that the selector tells."""
    restrictions = selector.restrictions
    with_values = [
        (label, one.must_have_one_of) for label, one in restrictions.items() if one.must_have_one_of is not None
    ]
    if with_values:
        label, values = min(with_values, key=lambda pair: (len(pair[1] or ()), pair[0] == _SHARED))
        return [(label, value) for value in values or ()]
    present = [label for label, one in restrictions.items() if one.must_be_present]
    return [(present[0], None)] if present else [_ANY]


_SHARED = "projectcalico.org/namespace"
"""Many endpoints share it: of two single values, the other one is narrower."""


def _hints_for(labels: Mapping[str, str]) -> Iterator[_Hint]:
    yield _ANY
    for label, value in labels.items():
        yield label, value
        yield label, None
