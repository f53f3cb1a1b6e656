"""The rules of the policies and profiles in use: as the dataplane wants them, and with the sets they need opened and closed.

Invariants: 1. a set is open as long as one rule names it: equal selectors share one; 2. an owner's new sets are opened before its
old ones are closed, so what both need never goes away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ocicat.calc.problems import Problem
from ocicat.calc.rules import PeerSet, PeerSets, wanted_rules
from ocicat.calc.sequencer import Sequencer
from ocicat.model import keys
from ocicat.model.wanted import PolicyRules, ProfileRules
from ocicat.policy.model import ResolvedPolicy, ResolvedProfile
from ocicat.policy.policies import rule_problems


class RuleScanner:
    """`opened` is called when the first rule needs a set, `closed` (by its id) when the last no longer does."""

    __slots__ = ("_closed", "_needed_by", "_opened", "_problems", "_sequencer", "_sets_of")

    def __init__(
        self, sequencer: Sequencer, *, opened: Callable[[PeerSet], None], closed: Callable[[str], None]
    ) -> None:
        self._sequencer = sequencer
        self._opened = opened
        self._closed = closed
        self._sets_of: dict[str, frozenset[str]] = {}  # datastore key -> the sets its rules name
        self._needed_by: dict[str, int] = {}  # set -> how many owners name it
        self._problems: dict[str, Problem] = {}  # by datastore key

    def policy(self, key: str, policy: ResolvedPolicy | None) -> None:
        """The policy is in use and says this; None: it is not, or does not exist."""
        sets: PeerSets = {}
        rules = None
        if policy is not None:
            ingress, egress = policy.ingress or (), policy.egress or ()
            rules = PolicyRules(key, wanted_rules(ingress, sets), wanted_rules(egress, sets), policy.staged)
        self._sequencer.policy(key, rules)
        self._scanned(key, policy, sets)

    def profile(self, name: str, profile: ResolvedProfile | None) -> None:
        """Likewise."""
        sets: PeerSets = {}
        rules = None
        if profile is not None:
            rules = ProfileRules(name, wanted_rules(profile.ingress, sets), wanted_rules(profile.egress, sets))
        self._sequencer.profile(name, rules)
        self._scanned(keys.profile(name), profile, sets)

    def problems(self) -> Iterable[Problem]:
        return self._problems.values()

    def _scanned(self, key: str, owner: ResolvedPolicy | ResolvedProfile | None, sets: PeerSets) -> None:
        texts = [problem.text for problem in rule_problems(owner)] if owner else []
        if texts:
            self._problems[key] = Problem(key, "; ".join(texts))
        else:
            self._problems.pop(key, None)
        self._use(key, sets)

    def _use(self, key: str, sets: PeerSets) -> None:
        before = self._sets_of.pop(key, frozenset())
        for set_id in sets.keys() - before:
            self._acquire(sets[set_id])
        for set_id in before - sets.keys():
            self._release(set_id)
        if sets:
            self._sets_of[key] = frozenset(sets)

    def _acquire(self, peer_set: PeerSet) -> None:
        count = self._needed_by.get(peer_set.set_id, 0)
        self._needed_by[peer_set.set_id] = count + 1
        if not count:
            self._opened(peer_set)

    def _release(self, set_id: str) -> None:
        self._needed_by[set_id] -= 1
        if not self._needed_by[set_id]:
            del self._needed_by[set_id]
            self._closed(set_id)
