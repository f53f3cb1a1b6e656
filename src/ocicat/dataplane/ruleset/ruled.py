"""Rules with who they are: whose counter they count in, what they are called in comments, logs and problems.

Invariant: the rules of a policy are the same objects as long as nothing that they say has changed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.flat.facts import Facts, facts, without
from ocicat.dataplane.ruleset.identity import Decider, Direction, Hook, Owner, policy_name
from ocicat.dataplane.ruleset.rules import Rendered, action, render
from ocicat.model.base import Struct
from ocicat.model.wanted import PolicyRules, ProfileRules, WantedRule


class Author(Struct, frozen=True):
    """Whose rules they are. `title`: what is in their comments, before the index."""

    owner: Owner
    name: str
    problems_of: str
    title: str
    log_prefix: str


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    """A rule, and who it is. `number`: its own, and never another's."""

    rule: WantedRule
    decider: Decider
    author: Author
    number: int = field(default_factory=count().__next__)
    _facts: dict[int, Facts | None] = field(default_factory=dict)
    _lines: dict[tuple[int, int], Rendered] = field(default_factory=dict)

    def render(self, book: Book) -> Rendered:
        return self._render(book, self.rule)

    def facts(self, family: int) -> Facts | None:
        if family not in self._facts:
            self._facts[family] = facts(self.rule, self.decider.direction, family)
        return self._facts[family]

    def line(self, book: Book, family: int, asks: int) -> Rendered:
        """For packets of that family, of which all is known but what it still `asks` (see `flat.facts`)."""
        key = (family, asks)
        if key not in self._lines:
            self._lines[key] = self._render(book, without(self.rule, self.decider.direction, family, asks))
        return self._lines[key]

    def problem(self, text: str) -> tuple[tuple[str, str], ...]:
        """Of whom to tell that, if it is anything."""
        where = f"{self.decider.direction} rule {(self.decider.index or 0) + 1}"
        return ((self.author.problems_of, f"{where}: {text}"),) if text else ()

    def _render(self, book: Book, rule: WantedRule) -> Rendered:
        verdict = book.verdict(self.decider, self.author.log_prefix)
        return render(rule, verdict, book.set_name, note=f"{self.author.title} {self.decider.index}".lstrip())


def of_policy(policy: PolicyRules, tier: str, direction: Direction, hook: Hook, book: Book) -> tuple[Ruled, ...]:
    known = book.ruled.setdefault(policy.policy_id, {})
    key = (tier, direction, hook)
    if key not in known:
        known[key] = _ruled(rules_of(policy, direction), _author(policy.policy_id, tier, book), direction, hook)
    return known[key]


def of_profile(profile: ProfileRules, direction: Direction, book: Book) -> tuple[Ruled, ...]:
    name = profile.name
    author = Author("profile", name, f"profile {name}", "", _expanded(book.log_prefix, "", "pro", "", name))
    return _ruled(rules_of(profile, direction), author, direction, "normal")


def rules_of(source: PolicyRules | ProfileRules, direction: Direction) -> tuple[WantedRule, ...]:
    return source.ingress if direction == "ingress" else source.egress


def title_of(policy_id: str) -> str:
    """As much of a datastore key as says which policy it is."""
    return policy_id.rpartition("/projectcalico.org/")[2]


def _ruled(rules: Iterable[WantedRule], author: Author, direction: Direction, hook: Hook) -> tuple[Ruled, ...]:
    return tuple(
        Ruled(rule, Decider(author.owner, author.name, direction, action(rule), index, hook), author)
        for index, rule in enumerate(rules)
    )


def _author(policy_id: str, tier: str, book: Book) -> Author:
    name = policy_name(policy_id)
    kind, _, path = name.partition("/")
    namespace, _, own = path.rpartition("/")
    prefix = _expanded(book.log_prefix, tier, kind, namespace, own)
    return Author("policy", name, f"policy {policy_id}", title_of(policy_id), prefix)


def _expanded(prefix: str, tier: str, kind: str, namespace: str, name: str) -> str:
    """What Calico puts in place of each word (felix/rules/policy.go, generateLogPrefix)."""
    words = {"%t": tier, "%k": kind, "%n": name, "%p": f"{namespace}/{name}" if namespace else name}
    return re.sub("%[tknp]", lambda found: words[found[0]], prefix)
