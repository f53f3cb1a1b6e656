"""Profiles and lists of profiles as chains, selectors and nets as sets.

    out-<list>  jumps to  po-<profile> ...  then drop        goto'd from the verdict map `from-workload`
    in-<list>   jumps to  pi-<profile> ...  then drop        goto'd from the verdict map `to-workload`

Endpoints with the same list of profiles share one pair of list chains.

Invariants: 1. A profile that does not exist has no chain and its list chains do not name it, so it allows nothing.
2. A list's chains are there as long as an endpoint uses the list, an interval set as long as a rule looks in it. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.objects import Chain, IntervalSet, Rule, SetSpec, digest
from ocicat.dataplane.rules import Rendered, hosts_name, render
from ocicat.dataplane.skeleton import EGRESS_ALLOWED
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.wanted import AddressSet, ProfileRules, WantedRule
from ocicat.netlink.nftset import Element

Profiles = tuple[str, ...]


class Direction(Struct, frozen=True):
    """How the chains of one direction are called, and what Allow means in it."""

    word: str
    profile_prefix: str
    list_prefix: str
    allow: str

    def profile_chain(self, name: str) -> str:
        return self.profile_prefix + digest(name)

    def list_chain(self, profiles: Profiles) -> str:
        return self.list_prefix + digest(str(len(profiles)), *profiles)


INGRESS = Direction("ingress", "pi-", "in-", "accept")
EGRESS = Direction("egress", "po-", "out-", f"goto {EGRESS_ALLOWED}")
DIRECTIONS = (INGRESS, EGRESS)


class SetManager:
    """Members of selectors, in hash sets: one for each family."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def change(self, message: AddressSet) -> None:
        names = {family: hosts_name(message.set_id, family) for family in (4, 6)}
        for family, name in names.items():
            self._ledger.want_set(SetSpec(name, f"ipv{family}_addr"))
        for address in message.removed - message.added:
            self._ledger.unwant_element(names[address.family], address.pack())
        for address in message.added:
            self._ledger.want_element(names[address.family], _member(address))

    def gone(self, set_id: str) -> None:
        for family in (4, 6):
            self._ledger.unwant_set(hosts_name(set_id, family))


def _member(address: Addr) -> Element:
    return Element(address.pack())


class PolicyManager:
    """Profiles as calc sends them, lists as the endpoints use them. `problems`: by name of profile, what cannot be rendered."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._profiles: set[str] = set()
        self._lists: Counter[Profiles] = Counter()
        self._looks_in: dict[str, frozenset[str]] = {}  # chain -> interval sets
        self._looked_in: defaultdict[str, set[str]] = defaultdict(set)  # interval set -> chains
        self.problems: dict[str, str] = {}

    def profile(self, message: ProfileRules) -> None:
        parts = ((INGRESS, message.ingress), (EGRESS, message.egress))
        problems = [text for direction, rules in parts for text in self._render(direction, message.name, rules)]
        self.problems.pop(message.name, None)
        if problems:
            self.problems[message.name] = "; ".join(problems)
        if message.name not in self._profiles:
            self._profiles.add(message.name)
            self._relist(message.name)

    def profile_gone(self, name: str) -> None:
        self._profiles.discard(name)
        self.problems.pop(name, None)
        self._relist(name)
        for direction in DIRECTIONS:
            chain = direction.profile_chain(name)
            self._ledger.unwant_chain(chain)
            self._use_sets(chain, ())

    def acquire(self, profiles: Profiles) -> None:
        """One more endpoint has this list."""
        self._lists[profiles] += 1
        if self._lists[profiles] == 1:
            self._want_list(profiles)

    def release(self, profiles: Profiles) -> None:
        self._lists[profiles] -= 1
        if not self._lists[profiles]:
            del self._lists[profiles]
            for direction in DIRECTIONS:
                self._ledger.unwant_chain(direction.list_chain(profiles))

    def chains(self, profiles: Profiles) -> list[str]:
        """The names of all chains that decide for an endpoint with this list."""
        known = [name for name in profiles if name in self._profiles]
        names = [direction.list_chain(profiles) for direction in DIRECTIONS]
        return names + [direction.profile_chain(name) for direction in DIRECTIONS for name in known]

    def profile_of(self, chain: str) -> str:
        """The name of the profile that this chain renders; "" if it is gone."""
        return next((n for n in self._profiles for d in DIRECTIONS if d.profile_chain(n) == chain), "")

    def _render(self, direction: Direction, name: str, rules: tuple[WantedRule, ...]) -> list[str]:
        """What could not be rendered, in words."""
        rendered = [render(rule, {"Allow": direction.allow, "Deny": "drop"}) for rule in rules]
        chain = direction.profile_chain(name)
        self._use_sets(chain, [each for part in rendered for each in part.sets])
        lines = tuple(line for part in rendered for line in part.rules)
        self._ledger.want_chain(Chain(chain, lines, comment=f"{direction.word} of profile {name}", authored=True))
        return _problems(direction, rendered)

    def _use_sets(self, chain: str, sets: Iterable[IntervalSet]) -> None:
        for each in sets:
            self._looked_in[each.spec.name].add(chain)
            self._ledger.want_set(each.spec, each.elements)
        names = frozenset(each.spec.name for each in sets)
        for name in self._looks_in.pop(chain, frozenset()) - names:
            self._looked_in[name].discard(chain)
            if not self._looked_in[name]:
                del self._looked_in[name]
                self._ledger.unwant_set(name)
        if names:
            self._looks_in[chain] = names

    def _relist(self, name: str) -> None:
        """A profile came or went: the lists that name it change."""
        for profiles in self._lists:
            if name in profiles:
                self._want_list(profiles)

    def _want_list(self, profiles: Profiles) -> None:
        known = [name for name in profiles if name in self._profiles]
        for direction in DIRECTIONS:
            jumps = [Rule(f"jump {direction.profile_chain(name)}") for name in known]
            chain = Chain(
                direction.list_chain(profiles),
                (*jumps, Rule("drop", "no profile allows it")),
                comment=f"{direction.word} of endpoints with {', '.join(profiles) or 'no profile'}",
            )
            self._ledger.want_chain(chain)


def _problems(direction: Direction, rendered: list[Rendered]) -> list[str]:
    return [f"{direction.word} rule {i}: {part.problem}" for i, part in enumerate(rendered, 1) if part.problem]
