"""Which policies and profiles this host needs: those that its own endpoints match or name.

Promise: downstream sees exactly the policies whose selector matches a local endpoint, staged ones too, and the profiles that exist
*and* are named by one, each with its newest rules. A profile that is named and does not exist is not there: the dataplane denies
what would have asked it. A tier that does not exist comes after all others, and denies. `take` tells once what has changed, however
often it did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ocicat.calc.label_index import LabelIndex
from ocicat.calc.policy_order import Applied
from ocicat.calc.problems import Problem
from ocicat.model.v3.policy import Profile, Tier
from ocicat.policy.model import ResolvedPolicy, ResolvedProfile, ResolvedTier
from ocicat.policy.policies import DEFAULT_ALLOW, missing_tier, resolve_profile, resolve_tiers, without_tier


class ActivePolicies:
    """Policies are called by their datastore keys, and so are local endpoints."""

    __slots__ = ("_endpoints", "_in_tier", "_labels", "_matching", "_policies", "_selecting", "_tiers", "_touched")

    def __init__(self) -> None:
        self._tiers: dict[str, ResolvedTier] = {tier.name: tier for tier in resolve_tiers(())}
        self._policies: dict[str, ResolvedPolicy] = {}
        self._in_tier: defaultdict[str, set[str]] = defaultdict(set)  # tier, may be missing -> its policies
        self._selecting: defaultdict[str, set[str]] = defaultdict(set)  # selector -> policies that have it
        self._matching: defaultdict[str, set[str]] = defaultdict(set)  # selector -> local endpoints that match it
        self._labels = LabelIndex(started=self._started, stopped=self._stopped)
        self._touched: set[str] = set()  # policies
        self._endpoints: set[str] = set()  # whose policies are not what they were

    def set_policy(self, key: str, policy: ResolvedPolicy | None) -> None:
        before = self._policies.get(key)
        if policy == before:
            return
        if policy is not None:
            self._add(key, policy)
        if before is not None:
            self._remove(key, before, policy)
        self._touched.add(key)

    def set_tier(self, name: str, tier: Tier | None) -> None:
        found = {one.name: one for one in resolve_tiers([tier] if tier else [])}.get(name)
        if found == self._tiers.get(name):
            return
        if found is None:
            del self._tiers[name]
        else:
            self._tiers[name] = found
        for key in self._in_tier.get(name, ()):
            self._endpoints.update(self._matching.get(self._policies[key].selector.uid, ()))

    def set_endpoint(self, key: str, labels: Mapping[str, str], profiles: tuple[str, ...]) -> None:
        """A local endpoint of any kind."""
        self._labels.set_item(key, labels, profiles)

    def remove_endpoint(self, key: str) -> None:
        self._labels.remove_item(key)

    def set_profile(self, name: str, labels: Mapping[str, str]) -> None:
        """What its members inherit."""
        self._labels.set_parent(name, labels)

    def applied(self, endpoint: str) -> Iterator[Applied]:
        """The policies in force that match a local endpoint, in no order."""
        for uid in self._labels.matches(endpoint):
            for key in self._selecting[uid]:
                policy = self._policies[key]
                yield Applied(key, policy, self._tiers.get(policy.tier) or missing_tier(policy.tier))

    def take(self) -> tuple[dict[str, ResolvedPolicy | None], frozenset[str]]:
        """(policies that changed, None for those that are not needed here; local endpoints whose list of policies changed)."""
        policies = {key: self._active(key) for key in self._touched}
        endpoints = frozenset(self._endpoints)
        self._touched.clear()
        self._endpoints.clear()
        return policies, endpoints

    def problems(self) -> Iterator[Problem]:
        for tier in self._in_tier.keys() - self._tiers.keys():
            for key in self._in_tier[tier]:
                yield Problem(key, without_tier(tier, staged=self._policies[key].staged))

    def _active(self, key: str) -> ResolvedPolicy | None:
        policy = self._policies.get(key)
        if policy is None or policy.selector.uid not in self._matching:
            return None
        return policy

    def _add(self, key: str, policy: ResolvedPolicy) -> None:
        uid = policy.selector.uid
        self._policies[key] = policy
        self._in_tier[policy.tier].add(key)
        if uid not in self._selecting:
            found = self._labels.add_selector(uid, policy.selector)
            if found:
                self._matching[uid] = set(found)
        self._selecting[uid].add(key)
        self._endpoints.update(self._matching.get(uid, ()))

    def _remove(self, key: str, before: ResolvedPolicy, after: ResolvedPolicy | None) -> None:
        """What is left of `before` once `after` has taken its place."""
        if after is None:
            del self._policies[key]
        if after is None or after.tier != before.tier:
            _discard(self._in_tier, before.tier, key)
        uid = before.selector.uid
        if after is not None and after.selector.uid == uid:
            return
        self._endpoints.update(self._matching.get(uid, ()))
        _discard(self._selecting, uid, key)
        if uid not in self._selecting:
            self._labels.remove_selector(uid)
            self._matching.pop(uid, None)

    def _started(self, uid: str, endpoint: str) -> None:
        if uid not in self._matching:
            self._touched.update(self._selecting.get(uid, ()))
        self._matching[uid].add(endpoint)
        self._endpoints.add(endpoint)

    def _stopped(self, uid: str, endpoint: str) -> None:
        _discard(self._matching, uid, endpoint)
        if uid not in self._matching:
            self._touched.update(self._selecting[uid])
        self._endpoints.add(endpoint)


class ActiveProfiles:
    __slots__ = ("_named_by", "_profiles", "_profiles_of", "_touched")

    def __init__(self) -> None:
        self._profiles: dict[str, Profile] = {}  # every one of the datastore
        self._profiles_of: dict[str, tuple[str, ...]] = {}  # of each local endpoint
        self._named_by: defaultdict[str, set[str]] = defaultdict(set)  # profile -> local endpoints
        self._touched: set[str] = set()

    def set_profile(self, name: str, profile: Profile | None) -> None:
        if profile is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = profile
        if name in self._named_by:
            self._touched.add(name)

    def set_endpoint(self, key: str, profiles: tuple[str, ...]) -> None:
        """A local endpoint names these; none: it names nothing any more, or is no local endpoint."""
        before = self._profiles_of.get(key, ())
        if profiles == before:
            return
        if profiles:
            self._profiles_of[key] = profiles
        else:
            del self._profiles_of[key]
        for name in profiles:
            self._named_by[name].add(key)
        for name in set(before).difference(profiles):
            _discard(self._named_by, name, key)
        self._touched.update(profiles, before)

    def take(self) -> dict[str, ResolvedProfile | None]:
        """The profiles that changed, None for those that are not needed here or do not exist."""
        profiles = {name: self._active(name) for name in self._touched}
        self._touched.clear()
        return profiles

    def _active(self, name: str) -> ResolvedProfile | None:
        if name not in self._named_by:
            return None
        profile = DEFAULT_ALLOW if name == DEFAULT_ALLOW.metadata.name else self._profiles.get(name)
        return resolve_profile(profile) if profile else None


def _discard(table: defaultdict[str, set[str]], name: str, member: str) -> None:
    """No empty entry stays behind."""
    table[name].discard(member)
    if not table[name]:
        del table[name]
