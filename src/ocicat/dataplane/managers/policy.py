"""The chains that lists of policies and profiles need: made once for all that use them, and made anew when what they say changes.

Invariants: 1. A chain is there as long as something uses it: an endpoint its lists, a list its tiers and profiles, a tier its
policies; an interval set and a counter as long as a rule names it. The chains of a profile are there as long as the profile.
2. The chains depend on what is known and used, not on the order in which it came. Pure. What the chains say: `lists`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ocicat.dataplane.managers.runs import RunManager
from ocicat.dataplane.managers.sets import SetManager
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import identity
from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.flat.blocks import TooMuch
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.dataplane.ruleset.lists import (
    EGRESS,
    FLOW_LOGS,
    INGRESS,
    LOGGING,
    MARK,
    Built,
    Input,
    Piece,
    PolicyChain,
    ProfileChain,
    Recipe,
    RunChain,
    TierChain,
    build,
    is_inlined,
)
from ocicat.dataplane.ruleset.objects import IntervalSet
from ocicat.model.wanted import AddressSet, HostSettings, PolicyRules, ProfileRules

_ADDRESS_SET = re.compile(r"@([sr][46]-\S+)")


@dataclass(slots=True)
class _Made:
    built: Built
    users: int = 0


class PolicyManager:
    """`book` holds what is known; change it by these methods only.

    `deciders`: whose the prefixes of flow logs are; other threads may look something up in it.
    """

    def __init__(self, ledger: Ledger, book: Book, sets: SetManager) -> None:
        self._ledger = ledger
        self._book = book
        self._made: dict[Recipe, _Made] = {}
        self._recipes: dict[str, Recipe] = {}  # by name of chain
        self._readers: defaultdict[Input, dict[str, None]] = defaultdict(dict)  # chains
        self._sets = sets
        self._naming: defaultdict[str, set[str]] = defaultdict(set)  # set of addresses -> chains
        self._looked_in: defaultdict[str, set[str]] = defaultdict(set)  # interval set -> chains
        self._counting: defaultdict[Decider, set[str]] = defaultdict(set)  # likewise
        self._runs = RunManager(ledger, book, sets.members, self.acquire, self.release)
        self._stale: dict[str, None] = {}  # likewise
        self._long: set[str] = set()  # tiers' chains that lead to runs
        self._moves: list[AddressSet] = []
        self.deciders: dict[str, Decider] = {}
        self._troubled: set[Recipe] = set()

    def policy(self, message: PolicyRules) -> None:
        before = self._book.policies.get(message.policy_id)
        self._book.policies[message.policy_id] = message
        if before != message:
            self._book.ruled.pop(message.policy_id, None)
        # First those that jump to it: a policy that has got a Pass rule must have no chain of its own.
        if before is None or _form(before) != _form(message):
            self._touch(("form of policy", message.policy_id))
        if before != message:
            self._touch(("policy", message.policy_id))

    def policy_gone(self, policy_id: str) -> None:
        if self._book.policies.pop(policy_id, None):
            self._book.ruled.pop(policy_id, None)
            self._touch(("form of policy", policy_id))

    def profile(self, message: ProfileRules) -> None:
        before = self._book.profiles.get(message.name)
        self._book.profiles[message.name] = message
        if before is None:
            for recipe in _chains_of(message.name):
                self.acquire(recipe)
            self._touch(("presence of profile", message.name))
        elif before != message:
            self._touch(("profile", message.name))

    def profile_gone(self, name: str) -> None:
        if self._book.profiles.pop(name, None):
            self._touch(("presence of profile", name))
            for recipe in _chains_of(name):
                self.release(recipe)

    def logging(self, settings: HostSettings) -> None:
        """What Log rules write and what is told of flows."""
        log = (settings.log_prefix, settings.log_limit)
        if log != (self._book.log_prefix, self._book.log_limit):
            self._book.log_prefix, self._book.log_limit = log
            self._book.ruled.clear()
            self._touch(LOGGING)
        if settings.flow_logs != self._book.flow_logs:
            self._book.flow_logs = settings.flow_logs
            self._book.ruled.clear()
            self._touch(FLOW_LOGS)

    def mark(self, bit: int) -> None:
        """The bit of the packet mark that says: allowed."""
        if bit != self._book.mark:
            self._book.mark = bit
            self._book.ruled.clear()
            self._touch(MARK)

    def renamed(self, set_id: str) -> None:
        """Rules must call that set by another name."""
        self._book.ruled.clear()
        self._touch(("set", set_id))

    def resized(self, set_id: str) -> None:
        """It has many more members than it had, or many fewer."""
        self._touch(("size of set", set_id))

    def moved(self, message: AddressSet) -> None:
        """The members of a set have changed."""
        runs = self._runs_reading(message.set_id)
        if runs and (message.nets_added or message.nets_removed):
            self._stale.update((recipe.name, None) for recipe in runs)
        elif runs:
            self._moves.append(message)

    def _runs_reading(self, set_id: str) -> list[RunChain]:
        readers = map(self._recipes.__getitem__, self._readers.get(("set", set_id), ()))
        return [recipe for recipe in readers if isinstance(recipe, RunChain)]

    def settle(self) -> None:
        """Long tiers and their runs as they are to be after all that was said since; the tiers first, for they have the runs."""
        stale, self._stale = self._stale, {}
        for name in sorted(stale, key=lambda name: isinstance(self._recipes.get(name), RunChain)):
            if name in self._recipes:
                self._remake(self._recipes[name])
        moves, self._moves = self._moves, []
        for message in moves:
            for recipe in self._runs_reading(message.set_id):
                self._move(recipe, message)

    def _move(self, recipe: RunChain, message: AddressSet) -> None:
        try:
            self._runs.moved(recipe, message)
        except TooMuch:
            self._remake(recipe)

    def acquire(self, recipe: Recipe) -> None:
        """One more needs this chain."""
        made = self._made.get(recipe) or self._make(recipe)
        made.users += 1

    def release(self, recipe: Recipe) -> None:
        made = self._made[recipe]
        made.users -= 1
        if not made.users:
            del self._made[recipe]
            self._unmake(recipe, made.built)

    def chains(self, recipe: Recipe) -> Iterator[str]:
        """The names of this chain and of all that it leads to."""
        built = self._made[recipe].built
        yield built.chain.name
        for use in built.uses:
            yield from self.chains(use)

    @property
    def problems(self) -> dict[str, str]:
        """By object ("profile NAME", "policy KEY"): what cannot be rendered."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for recipe in self._troubled:
            for owner, text in self._made[recipe].built.problems:
                found[owner].add(text)
        return {owner: "; ".join(sorted(texts, reverse=True)) for owner, texts in found.items()}

    def owner(self, chain: str) -> str:
        """The object that this chain renders; "" if it is gone, or nobody's words."""
        match self._recipes.get(chain):
            case PolicyChain(policy_id=policy_id):
                return f"policy {policy_id}"
            case ProfileChain(profile=name):
                return f"profile {name}"
            case TierChain(tier=tier) | RunChain(tier=tier):
                return f"tier {tier.name}"
            case Piece(owner=owner):
                return owner
            case _:
                return ""

    def _touch(self, changed: Input) -> None:
        for name in list(self._readers.get(changed, ())):
            recipe = self._recipes.get(name)  # an earlier one may have let it go
            if recipe and (isinstance(recipe, RunChain) or name in self._long):
                self._stale[name] = None
            elif recipe:
                self._remake(recipe)

    def _build(self, recipe: Recipe) -> Built:
        return self._runs.build(recipe) if isinstance(recipe, RunChain) else build(recipe, self._book)

    def _make(self, recipe: Recipe) -> _Made:
        made = self._made[recipe] = _Made(self._build(recipe))
        self._want(recipe, made.built)
        return made

    def _remake(self, recipe: Recipe) -> None:
        made = self._made[recipe]
        if isinstance(recipe, PolicyChain) and recipe.policy_id not in self._book.policies:
            return  # its tier lets it go soon
        before, made.built = made.built, self._build(recipe)
        if made.built != before:
            self._want(recipe, made.built)
            self._let_go(recipe, before, made.built)

    def _unmake(self, recipe: Recipe, built: Built) -> None:
        self._ledger.unwant_chain(built.chain.name)
        self._recipes.pop(built.chain.name, None)
        self._long.discard(built.chain.name)
        self._troubled.discard(recipe)
        if isinstance(recipe, RunChain):
            self._runs.gone(recipe)
        self._let_go(recipe, built, None)

    def _want(self, recipe: Recipe, built: Built) -> None:
        for use in built.uses:
            self.acquire(use)
        for each in built.sets:
            self._looked_in[each.spec.name].add(built.chain.name)
            self._ledger.want_set(each.spec, each.elements)
        for name in _addresses(built):
            if not self._naming[name]:
                self._sets.use(name)
            self._naming[name].add(built.chain.name)
        for decider in built.deciders:
            self._count(decider, built.chain.name)
        for each_input in built.reads:
            self._readers[each_input][built.chain.name] = None
        self._recipes[built.chain.name] = recipe
        (self._long.add if _has_runs(built) else self._long.discard)(built.chain.name)
        self._ledger.want_chain(built.chain)
        (self._troubled.add if built.problems else self._troubled.discard)(recipe)

    def _let_go(self, recipe: Recipe, before: Built, now: Built | None) -> None:
        """What it was made of and is no more."""
        for use in before.uses:
            self.release(use)
        for name in _names(before.sets) - _names(now.sets if now else ()):
            self._looked_in[name].discard(before.chain.name)
            if not self._looked_in[name]:
                del self._looked_in[name]
                self._ledger.unwant_set(name)
        for name in _addresses(before).keys() - (_addresses(now) if now else {}).keys():
            self._naming[name].discard(before.chain.name)
            if not self._naming[name]:
                del self._naming[name]
                self._sets.use_no_more(name)
        for decider in frozenset(before.deciders).difference(now.deciders if now else ()):
            self._count_no_more(decider, before.chain.name)
        for each in before.reads - (now.reads if now else frozenset()):
            self._readers[each].pop(before.chain.name, None)
            if not self._readers[each]:
                del self._readers[each]

    def _count(self, decider: Decider, chain: str) -> None:
        if decider not in self._counting:
            self._ledger.want_counter(identity.counter(decider))
            self.deciders[identity.prefix(decider)] = decider
        self._counting[decider].add(chain)

    def _count_no_more(self, decider: Decider, chain: str) -> None:
        self._counting[decider].discard(chain)
        if not self._counting[decider]:
            del self._counting[decider]
            self._ledger.unwant_counter(identity.counter(decider).name)
            prefix = identity.prefix(decider)
            if self.deciders.get(prefix) == decider:  # and not another hook's by now
                del self.deciders[prefix]


def _addresses(built: Built) -> dict[str, None]:
    """The sets of addresses that its rules look in, in order."""
    return {found[1]: None for rule in built.chain.rules for found in _ADDRESS_SET.finditer(rule.text)}


def _names(sets: Iterable[IntervalSet]) -> set[str]:
    return {each.spec.name for each in sets}


def _chains_of(profile: str) -> tuple[ProfileChain, ...]:
    return tuple(ProfileChain(profile, way) for way in (INGRESS, EGRESS))


def _form(policy: PolicyRules) -> tuple[bool, bool, int, int]:
    return is_inlined(policy, INGRESS), is_inlined(policy, EGRESS), len(policy.ingress), len(policy.egress)


def _has_runs(built: Built) -> bool:
    return any(isinstance(use, RunChain) for use in built.uses)
