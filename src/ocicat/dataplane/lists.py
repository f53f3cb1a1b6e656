"""What the chains say that the endpoints' lists are made of: tiers in order, in each its policies, then profiles.

    in-<list>     jumps to  ti-<tier> ...    then to  pri-<profile> ...  then drop
    ti-<tier>     jumps to  pi-<policy> ...  then drop, or nothing: the next tier decides
    pi-<policy>, pri-<profile>               rules

(`out-`, `to-`, `po-`, `pro-` for egress.) Accept ends the stage. A return from a tier's chain passes the packet to the next tier;
so a policy that has a Pass rule cannot be jumped to, and stands in the tier's chain itself. A return from a profile's chain passes
the packet to the next profile.

A stage is a hook of the policy model. Normal and forward policy share chains; the other two have their own, because there Allow
also marks the packet. Profiles are asked at the normal hook only. Where no tier applies, forwarded packets pass, and so do those
that no tier decides; before routing, what nobody decides goes on to the next stage.

Each chain is described by a recipe, which is small and can be compared, and `build` makes the chain from what is known.
Equal recipes give equal names. Invariants: 1. A policy or profile that is not known denies at its place. 2. `Built.reads` names
everything that a chain was made from: as long as that stays, so does the chain. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ocicat.dataplane.objects import Chain, IntervalSet, Rule, comment_text, digest
from ocicat.dataplane.rules import Rendered, SetName, hosts_name, render
from ocicat.model.base import Struct
from ocicat.model.net import Cidr
from ocicat.model.wanted import PolicyRules, ProfileRules, Tier, WantedRule

Hook = Literal["normal", "forward", "untracked", "pre-dnat"]
Direction = Literal["ingress", "egress"]
Input = tuple[Literal["policy", "form of policy", "profile", "presence of profile", "set", "log prefix"], str]
"""Something that a chain is made from. The form of a policy is whether it is known, and whether it can be jumped to."""

LOG_PREFIX: Input = ("log prefix", "")

_LETTER: Mapping[Hook, str] = {"normal": "", "forward": "", "untracked": "u", "pre-dnat": "d"}
_LIST_LETTER: Mapping[Hook, str] = {**_LETTER, "forward": "f"}
_KINDS = {"networkpolicies": "np", "globalnetworkpolicies": "gnp"}
_PATH = re.compile(r".*/projectcalico\.org/(?P<kind>[a-z]+)/(?:(?P<namespace>[^/]+)/)?(?P<name>[^/]+)")


class Way(Struct, frozen=True):
    """A direction at a hook."""

    direction: Direction
    hook: Hook = "normal"

    @property
    def shared(self) -> Way:
        """The way whose policies' chains serve this one."""
        return Way(self.direction) if self.hook == "forward" else self

    def chain(self, kind: str, *parts: str) -> str:
        """A name; `kind` begins it: "t", "p", "pr"."""
        return f"{kind}{'i' if self.direction == 'ingress' else 'o'}{_LETTER[self.hook]}-{digest(*parts)}"


INGRESS, EGRESS = Way("ingress"), Way("egress")


class PolicyChain(Struct, frozen=True):
    policy_id: str
    tier: str
    way: Way

    @property
    def name(self) -> str:
        return self.way.chain("p", self.policy_id, self.tier)


class ProfileChain(Struct, frozen=True):
    profile: str
    way: Way

    @property
    def name(self) -> str:
        return self.way.chain("pr", self.profile)


class TierChain(Struct, frozen=True):
    tier: Tier
    way: Way

    @property
    def name(self) -> str:
        return self.way.chain("t", self.tier.name, self.tier.ends, *self.tier.policies)


class ListChain(Struct, frozen=True):
    """What decides for an endpoint on one way."""

    way: Way
    tiers: tuple[Tier, ...] = ()
    profiles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        tiers = [recipe.name for recipe in self.tier_chains]
        head = "in" if self.way.direction == "ingress" else "out"
        return f"{head}{_LIST_LETTER[self.way.hook]}-{digest(str(len(tiers)), *tiers, *self.profiles)}"

    @property
    def tier_chains(self) -> tuple[TierChain, ...]:
        return tuple(TierChain(tier, self.way.shared) for tier in self.tiers)


class SourcesChain(Struct, frozen=True):
    """What workloads may send from beside their addresses."""

    nets: tuple[Cidr, ...]

    @property
    def name(self) -> str:
        return f"src-{digest(*map(str, self.nets))}"


Recipe = PolicyChain | ProfileChain | TierChain | ListChain | SourcesChain


class Built(Struct, frozen=True):
    """`uses`: the chains that it jumps to. `problems`: objects, and what about them cannot be rendered."""

    chain: Chain
    uses: tuple[Recipe, ...] = ()
    sets: tuple[IntervalSet, ...] = ()
    reads: frozenset[Input] = frozenset()
    problems: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Book:
    """All that chains are made from. `mark`: the bit of the packet mark that says: allowed before routing."""

    mark: int
    set_name: SetName = hosts_name
    log_prefix: str = ""
    policies: dict[str, PolicyRules] = field(default_factory=dict)
    profiles: dict[str, ProfileRules] = field(default_factory=dict)

    def verdicts(self, way: Way, log_prefix: str) -> dict[str, str]:
        marked = f"meta mark set meta mark | {self.mark:#010x}"
        allow = {"untracked": f"{marked} notrack accept", "pre-dnat": f"{marked} accept"}.get(way.hook, "accept")
        log = f'log prefix "{comment_text(log_prefix).replace("$", "?")}" level notice'
        return {"Allow": allow, "Deny": "drop", "Pass": "return", "Log": log}


def build(recipe: Recipe, book: Book) -> Built:
    match recipe:
        case PolicyChain(policy_id, tier, way):
            return _policy(recipe.name, policy_id, tier, way, book)
        case ProfileChain(profile, way):
            return _profile(recipe.name, profile, way, book)
        case TierChain(tier, way):
            return _tier(recipe.name, tier, way, book)
        case ListChain():
            return _list(recipe, book)
        case SourcesChain(nets):
            return Built(Chain(recipe.name, (*map(_from, nets), Rule("drop")), comment="what workloads may send from"))


def has_pass(rules: Iterable[WantedRule]) -> bool:
    return any(rule.action == "Pass" for rule in rules)


def rules_of(source: PolicyRules | ProfileRules, way: Way) -> tuple[WantedRule, ...]:
    return source.ingress if way.direction == "ingress" else source.egress


def _policy(name: str, policy_id: str, tier: str, way: Way, book: Book) -> Built:
    part = _policy_part(book.policies[policy_id], tier, way, book)
    comment = f"{way.direction} of policy {_title(policy_id)}"
    return Built(Chain(name, part.rules, comment, authored=True), (), part.sets, part.reads, part.problems)


def _profile(name: str, profile: str, way: Way, book: Book) -> Built:
    rules = rules_of(book.profiles[profile], way)
    prefix = _expanded(book.log_prefix, "", "pro", "", profile)
    part = _part(rules, f"profile {profile}", "", way, book.verdicts(way, prefix), book.set_name)
    comment = f"{way.direction} of profile {profile}"
    reads: frozenset[Input] = part.reads | {("profile", profile)}
    return Built(Chain(name, part.rules, comment, authored=True), (), part.sets, reads, part.problems)


def _tier(name: str, tier: Tier, way: Way, book: Book) -> Built:
    lines: list[Rule] = []
    uses: list[Recipe] = []
    inlined: list[_Part] = []
    for policy_id in tier.policies:
        policy = book.policies.get(policy_id)
        if policy is None:
            lines.append(Rule("drop", f"policy {_title(policy_id)} is not known"))
        elif has_pass(rules_of(policy, way)):
            inlined.append(_policy_part(policy, tier.name, way, book))
            lines += inlined[-1].rules
        else:
            uses.append(PolicyChain(policy_id, tier.name, way))
            lines.append(Rule(f"jump {uses[-1].name}", _title(policy_id)))
    if tier.ends == "Deny":
        lines.append(Rule("drop", f"end of tier {tier.name}"))
    chain = Chain(name, tuple(lines), f"{way.direction} of tier {tier.name}", authored=bool(inlined))
    reads: frozenset[Input] = frozenset(("form of policy", policy_id) for policy_id in tier.policies)
    return Built(
        chain,
        tuple(uses),
        tuple(each for part in inlined for each in part.sets),
        reads.union(*(part.reads for part in inlined)),
        tuple(each for part in inlined for each in part.problems),
    )


def _list(recipe: ListChain, book: Book) -> Built:
    normal = recipe.way.hook == "normal"
    profiles = recipe.profiles if normal else ()
    known = _until_missing(profiles, book)
    uses: tuple[Recipe, ...] = (*recipe.tier_chains, *(ProfileChain(name, recipe.way) for name in known))
    jumps = (Rule(f"jump {each.name}") for each in uses)
    missing = profiles[len(known) :][:1]
    end = (
        [Rule("drop", f"profile {missing[0]} does not exist" if missing else "no profile allows it")] if normal else []
    )
    tiers = ", ".join(tier.name for tier in recipe.tiers)
    parts = [f"tiers {tiers}" if tiers else "", f"profiles {', '.join(profiles)}" if profiles else ""]
    comment = f"{recipe.way.hook} {recipe.way.direction}: {'; '.join(filter(None, parts)) or 'nothing'}"
    reads: frozenset[Input] = frozenset(("presence of profile", name) for name in (*known, *missing))
    return Built(Chain(recipe.name, (*jumps, *end), comment), uses, reads=reads)


def _until_missing(profiles: tuple[str, ...], book: Book) -> tuple[str, ...]:
    for place, name in enumerate(profiles):
        if name not in book.profiles:
            return profiles[:place]
    return profiles


def _from(net: Cidr) -> Rule:
    if not net.length:
        return Rule(f"meta nfproto ipv{net.family} accept")
    return Rule(f"{'ip' if net.family == 4 else 'ip6'} saddr {net} accept")


class _Part(Struct, frozen=True):
    rules: tuple[Rule, ...]
    sets: tuple[IntervalSet, ...]
    reads: frozenset[Input]
    problems: tuple[tuple[str, str], ...]


def _policy_part(policy: PolicyRules, tier: str, way: Way, book: Book) -> _Part:
    policy_id = policy.policy_id
    found = _PATH.fullmatch(policy_id)
    kind, namespace, name = found.group("kind", "namespace", "name") if found else ("", "", policy_id)
    prefix = _expanded(book.log_prefix, tier, _KINDS.get(kind, kind), namespace or "", name)
    verdicts = book.verdicts(way, prefix)
    part = _part(rules_of(policy, way), f"policy {policy_id}", _title(policy_id), way, verdicts, book.set_name)
    return _Part(part.rules, part.sets, part.reads | {("policy", policy_id)}, part.problems)


def _part(
    rules: tuple[WantedRule, ...], owner: str, title: str, way: Way, verdicts: dict[str, str], set_name: SetName
) -> _Part:
    """`title` and the rule's index are in each rule's comment."""
    notes = [f"{title} {index}".lstrip() for index in range(len(rules))]
    parts = [render(rule, verdicts, set_name, note=note) for rule, note in zip(rules, notes, strict=True)]
    return _Part(
        tuple(line for part in parts for line in part.rules),
        tuple(each for part in parts for each in part.sets),
        frozenset(_inputs(rules)),
        tuple((owner, f"{way.direction} {text}") for text in _problems(parts)),
    )


def _inputs(rules: tuple[WantedRule, ...]) -> Iterable[Input]:
    for rule in rules:
        for side in (rule.source, rule.destination):
            for set_id in (*side.sets, *side.not_sets):
                yield "set", set_id
        if rule.action == "Log":
            yield LOG_PREFIX


def _problems(rendered: list[Rendered]) -> list[str]:
    return [f"rule {i}: {part.problem}" for i, part in enumerate(rendered, 1) if part.problem]


def _title(policy_id: str) -> str:
    """As much of a datastore key as says which policy it is."""
    return policy_id.rpartition("/projectcalico.org/")[2]


def _expanded(prefix: str, tier: str, kind: str, namespace: str, name: str) -> str:
    """What Calico puts in place of each word (felix/rules/policy.go, generateLogPrefix)."""
    words = {"%t": tier, "%k": kind, "%n": name, "%p": f"{namespace}/{name}" if namespace else name}
    return re.sub("%[tknp]", lambda found: words[found[0]], prefix)
