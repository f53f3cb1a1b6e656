"""What the chains say that the endpoints' lists are made of: tiers in order, in each its policies, then profiles.

    in-<list>     jumps to  ti-<tier> ...    then to  pri-<profile> ...  then drop
    ti-<tier>     jumps to  pi-<policy> ...  then drop, or return: the next tier decides
    pi-<policy>, pri-<profile>               rules

A tier of many rules has no chains of policies: runs of rules that decide are looked up (`flat.chains`), others stand in its chain.

    ti-<tier>     jumps to  fi-<run> ...     rules that only tell, jumps to staged policies; then goes to  fi-<run>  or ends

(`out-`, `to-`, `po-`, `pro-` for egress.) On ingress accept ends the stage. On egress Allow marks the packet and returns, and
behind each jump what is marked returns further, to whoever asked the list: there is more to ask about it, at the same hook. A
return from a tier's chain without the mark passes the packet to the next tier; so a policy that has a Pass rule cannot be jumped
to, and stands in the tier's chain itself. A return from a profile's chain passes the packet to the next profile, one from a staged
policy's to the next policy.

A stage is a hook of the policy model. Normal and forward policy share chains; the other two have their own, because there Allow
says so to stages at other hooks too. Profiles are asked at the normal hook only. Where no tier applies, forwarded packets pass, and
so do those that no tier decides; before routing, what nobody decides goes on to the next stage.

Each chain is described by a recipe, which is small and can be compared, and `build` makes the chain from what is known.
Equal recipes give equal names. Invariants: 1. A policy or profile that is not known denies at its place. 2. `Built.reads` names
everything that a chain was made from: as long as that stays, so does the chain. 3. `Built.deciders` names all whose counters its
rules name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ocicat.dataplane.ruleset import ruled
from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.identity import Decider, Direction, Hook
from ocicat.dataplane.ruleset.limits import LimitChain
from ocicat.dataplane.ruleset.objects import Chain, IntervalSet, Rule, digest
from ocicat.dataplane.ruleset.ruled import Ruled, title_of
from ocicat.errors import Bug
from ocicat.model.base import Struct, replace
from ocicat.model.wanted import PolicyRules, Tier, WantedRule

Input = tuple[
    Literal[
        "policy",
        "form of policy",
        "profile",
        "presence of profile",
        "set",
        "size of set",
        "logging",
        "flow logs",
        "mark",
    ],
    str,
]
"""Something that a chain is made from. The form of a policy is whether it is known, whether it can be jumped to, and its length."""

LOGGING: Input = ("logging", "")
FLOW_LOGS: Input = ("flow logs", "")
MARK: Input = ("mark", "")

_MEMBERS_PER_RUN = 64  # that runs of the least length may speak of; 4 times as many in one twice as long

_LETTER: Mapping[Hook, str] = {"normal": "", "forward": "", "untracked": "u", "pre-dnat": "d"}
_LIST_LETTER: Mapping[Hook, str] = {**_LETTER, "forward": "f"}


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


class RunChain(Struct, frozen=True):
    """The way into a run of rules that are looked up: the one at that place in what the tier is made of."""

    tier: Tier
    way: Way
    place: int

    @property
    def name(self) -> str:
        return self.way.chain("f", self.tier.name, self.tier.ends, str(self.place), *self.tier.policies)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Piece:
    """A chain named by its content, and already built; equal ones are one. `owner`: whose words these are."""

    built: Built
    owner: str

    @property
    def name(self) -> str:
        return self.built.chain.name


Recipe = PolicyChain | ProfileChain | TierChain | ListChain | LimitChain | RunChain | Piece


class Built(Struct, frozen=True):
    """`uses`: the chains that it jumps to. `problems`: objects, and what about them cannot be rendered."""

    chain: Chain
    uses: tuple[Recipe, ...] = ()
    sets: tuple[IntervalSet, ...] = ()
    deciders: tuple[Decider, ...] = ()
    reads: frozenset[Input] = frozenset()
    problems: tuple[tuple[str, str], ...] = ()


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
        case LimitChain():
            return Built(recipe.chain())
        case Piece(built):
            return built
        case RunChain():
            raise Bug("a run needs to know the peers: see managers.runs")


def has_pass(rules: Iterable[WantedRule]) -> bool:
    return any(rule.action == "Pass" for rule in rules)


def is_inlined(policy: PolicyRules, way: Way) -> bool:
    """Must its rules stand in the tier's chain itself?"""
    return not policy.staged and has_pass(ruled.rules_of(policy, way.direction))


def _policy(name: str, policy_id: str, tier: str, way: Way, book: Book) -> Built:
    part = _policy_part(book.policies[policy_id], tier, way, book)
    comment = f"{way.direction} of policy {title_of(policy_id)}"
    chain = Chain(name, part.rules, comment, authored=True)
    return Built(chain, (), part.sets, part.deciders, part.reads, part.problems)


def _profile(name: str, profile: str, way: Way, book: Book) -> Built:
    part = _joined(ruled.of_profile(book.profiles[profile], way.direction, book), way, book)
    chain = Chain(name, part.rules, f"{way.direction} of profile {profile}", authored=True)
    reads: frozenset[Input] = part.reads | {("profile", profile)}
    return Built(chain, (), part.sets, part.deciders, reads, part.problems)


def _tier(name: str, tier: Tier, way: Way, book: Book) -> Built:
    rules = _rules_to_look_up(tier, way, book)
    weighed = frozenset(_weighed(rules, tier, way)) if rules else frozenset()
    if rules and is_worth_it(rules, way, book):
        return _long_tier(name, tier, way, book, weighed)
    lines: list[Rule] = []
    uses: list[Recipe] = []
    inlined: list[Part] = []
    for policy_id in tier.policies:
        policy = book.policies.get(policy_id)
        if policy is None:
            lines.append(Rule("drop", f"policy {title_of(policy_id)} is not known"))
        elif is_inlined(policy, way):
            inlined.append(_policy_part(policy, tier.name, way, book))
            lines += inlined[-1].rules
        else:
            uses.append(PolicyChain(policy_id, tier.name, way))
            lines.append(Rule(f"jump {uses[-1].name}", title_of(policy_id)))
            lines += () if policy.staged else _behind(way, book)
    end = tier_end(tier, way, book)
    chain = Chain(name, (*lines, *end.rules), f"{way.direction} of tier {tier.name}", authored=bool(inlined))
    reads: frozenset[Input] = frozenset(("form of policy", policy_id) for policy_id in tier.policies)
    return _built(chain, uses, [*inlined, end], reads | weighed | marks(way))


def _built(chain: Chain, uses: Iterable[Recipe], parts: Sequence[Part], reads: frozenset[Input]) -> Built:
    return Built(
        chain,
        tuple(uses),
        tuple(each for part in parts for each in part.sets),
        tuple(each for part in parts for each in part.deciders),
        reads.union(*(part.reads for part in parts)),
        tuple(each for part in parts for each in part.problems),
    )


def _rules_to_look_up(tier: Tier, way: Way, book: Book) -> list[WantedRule]:
    """None where they are too few, nor before routing: there packets come in fragments, without ports."""
    if way.hook != "normal":
        return []
    policies = [book.policies[each] for each in tier.policies if each in book.policies]
    rules = [rule for each in policies if not each.staged for rule in ruled.rules_of(each, way.direction)]
    return rules if len(rules) >= book.flat_from else []


def is_worth_it(rules: Sequence[WantedRule], way: Way, book: Book) -> bool:
    """A look-up saves each new connection the more the longer the run is; it costs a copy of all members that the rules speak of,
    made anew with every change of a rule."""
    members = sum(map(book.size_of, _sets_of_peers(rules, way)))
    return members <= _MEMBERS_PER_RUN * (len(rules) / book.flat_from) ** 2


def _weighed(rules: Iterable[WantedRule], tier: Tier, way: Way) -> Iterator[Input]:
    yield from policies_of(tier)
    for set_id in _sets_of_peers(rules, way):
        yield "size of set", set_id


def _sets_of_peers(rules: Iterable[WantedRule], way: Way) -> set[str]:
    peers = (rule.source if way.direction == "ingress" else rule.destination for rule in rules)
    return {set_id for peer in peers for set_id in (*peer.sets, *peer.not_sets)}


def _long_tier(name: str, tier: Tier, way: Way, book: Book, reads: frozenset[Input]) -> Built:
    lines: list[Rule] = []
    uses: list[Recipe] = []
    parts: list[Part] = []
    steps = sections_of(tier, way, book)
    for place, step in enumerate(steps):
        if isinstance(step, Rule):
            lines.append(step)
        elif isinstance(step, PolicyChain):
            uses.append(step)
            lines.append(Rule(f"jump {step.name}", title_of(step.policy_id)))
        elif is_looked_up(step, book, last=place == len(steps) - 1):
            uses.append(RunChain(tier, way, place))
            lines += _to_run(uses[-1].name, way, book, last=place == len(steps) - 1)
        else:
            parts.append(_joined(step, way, book))
            lines += parts[-1].rules
    end = Part() if lines and lines[-1].text.startswith("goto ") else tier_end(tier, way, book)
    chain = Chain(name, (*lines, *end.rules), f"{way.direction} of tier {tier.name}", authored=bool(parts))
    return _built(chain, uses, [*parts, end], reads | marks(way))


def _to_run(name: str, way: Way, book: Book, *, last: bool) -> tuple[Rule, ...]:
    return (Rule(f"goto {name}"),) if last else (Rule(f"jump {name}"), *_behind(way, book))


def policies_of(tier: Tier) -> Iterator[Input]:
    for policy_id in tier.policies:
        yield "form of policy", policy_id
        yield "policy", policy_id


def sections_of(tier: Tier, way: Way, book: Book) -> list[Rule | PolicyChain | tuple[Ruled, ...]]:
    """What a long tier is made of: runs of rules that decide about what they match, and what stands between them. A run of one
    rule may be one that only tells."""
    steps: list[Rule | PolicyChain | tuple[Ruled, ...]] = []
    run: list[Ruled] = []
    for policy_id in tier.policies:
        policy = book.policies.get(policy_id)
        if policy is None or policy.staged:
            unknown = Rule("drop", f"policy {title_of(policy_id)} is not known")
            steps += [tuple(run), PolicyChain(policy_id, tier.name, way) if policy else unknown]
            run = []
            continue
        for each in ruled.of_policy(policy, tier.name, way.direction, way.hook, book):
            if each.decider.action == "Log":
                steps += [tuple(run), (each,)]
                run = []
            else:
                run.append(each)
    return [step for step in (*steps, tuple(run)) if step != ()]


def is_looked_up(run: tuple[Ruled, ...], book: Book, *, last: bool) -> bool:
    """Pass returns from the chain that was jumped to, so it cannot stand in one that the tier itself jumps to."""
    actions = {each.decider.action for each in run}
    return len(run) >= book.flat_from and "Log" not in actions and (last or "Pass" not in actions)


def _behind(way: Way, book: Book) -> tuple[Rule, ...]:
    return book.behind(way.direction, way.hook)


def marks(way: Way) -> frozenset[Input]:
    """What chains of that way are made from beside all else: does an Allow there set the bit of the packet mark?"""
    return frozenset() if way.direction == "ingress" and way.shared.hook == "normal" else frozenset([MARK])


def tier_end(tier: Tier, way: Way, book: Book) -> Part:
    """What becomes of a packet that none of its policies decides. Before routing that is for the next stage to say."""
    if way.hook != "normal":
        return Part()
    denied = tier.ends == "Deny"
    decider = Decider("tier", tier.name, way.direction, "Deny" if denied else "Pass")
    rule = Rule(book.verdict(decider), f"end of tier {tier.name}")
    return Part((rule,), deciders=(decider,), reads=frozenset([FLOW_LOGS]))


def _list(recipe: ListChain, book: Book) -> Built:
    normal = recipe.way.hook == "normal"
    profiles = recipe.profiles if normal else ()
    known = _until_missing(profiles, book)
    missing = profiles[len(known) :][:1]
    uses: tuple[Recipe, ...] = (*recipe.tier_chains, *(ProfileChain(name, recipe.way) for name in known))
    jumps = (rule for each in uses for rule in (Rule(f"jump {each.name}"), *_behind(recipe.way, book)))
    end = _list_end(recipe.way, missing, book) if normal else Part()
    tiers = ", ".join(tier.name for tier in recipe.tiers)
    parts = [f"tiers {tiers}" if tiers else "", f"profiles {', '.join(profiles)}" if profiles else ""]
    comment = f"{recipe.way.hook} {recipe.way.direction}: {'; '.join(filter(None, parts)) or 'nothing'}"
    reads: frozenset[Input] = frozenset(("presence of profile", name) for name in (*known, *missing))
    chain = Chain(recipe.name, (*jumps, *end.rules), comment)
    return Built(chain, uses, (), end.deciders, reads | end.reads | marks(recipe.way))


def _list_end(way: Way, missing: tuple[str, ...], book: Book) -> Part:
    decider = Decider("profiles", "", way.direction, "Deny")
    why = f"profile {missing[0]} does not exist" if missing else "no profile allows it"
    return Part((Rule(book.verdict(decider), why),), deciders=(decider,), reads=frozenset([FLOW_LOGS]))


def _until_missing(profiles: tuple[str, ...], book: Book) -> tuple[str, ...]:
    for place, name in enumerate(profiles):
        if name not in book.profiles:
            return profiles[:place]
    return profiles


class Part(Struct, frozen=True):
    """Of a chain: rules, and what came with them (see `Built`)."""

    rules: tuple[Rule, ...] = ()
    sets: tuple[IntervalSet, ...] = ()
    deciders: tuple[Decider, ...] = ()
    reads: frozenset[Input] = frozenset()
    problems: tuple[tuple[str, str], ...] = ()


def _policy_part(policy: PolicyRules, tier: str, way: Way, book: Book) -> Part:
    part = _joined(ruled.of_policy(policy, tier, way.direction, way.hook, book), way, book)
    return replace(part, reads=part.reads | {("policy", policy.policy_id)})


def _joined(rules: Sequence[Ruled], way: Way, book: Book) -> Part:
    parts = [each.render(book) for each in rules]
    return Part(
        tuple(line for part in parts for line in part.rules),
        tuple(each for part in parts for each in part.sets),
        tuple(each.decider for each, part in zip(rules, parts, strict=True) if part.rules),
        frozenset([FLOW_LOGS, *marks(way), *inputs(rules)]),
        tuple(told for each, part in zip(rules, parts, strict=True) for told in each.problem(part.problem)),
    )


def inputs(rules: Iterable[Ruled]) -> Iterator[Input]:
    """What each rule is made of that may change."""
    for each in rules:
        for side in (each.rule.source, each.rule.destination):
            for set_id in (*side.sets, *side.not_sets):
                yield "set", set_id
        if each.rule.action == "Log":
            yield LOGGING
