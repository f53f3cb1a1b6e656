"""The rules of the profiles in use: resolved, and with the address sets they need opened and closed.

Invariants: 1. a set is open as long as one rule of one profile names it: equal selectors share one; 2. a profile's new sets are
opened before its old ones are closed, so what both need never goes away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ocicat.calc.problems import Problem
from ocicat.calc.rules import resolve
from ocicat.calc.sequencer import Sequencer
from ocicat.model import keys
from ocicat.model.resources import ProfileSpec, Rule
from ocicat.model.wanted import ProfileRules, WantedRule
from ocicat.selector import Selector


class RuleScanner:
    """`opened(selector)` is called when the first rule needs a set, `closed(set_id)` when the last no longer does."""

    __slots__ = ("_closed", "_needed_by", "_opened", "_problems", "_sequencer", "_sets_of")

    def __init__(
        self, sequencer: Sequencer, *, opened: Callable[[Selector], None], closed: Callable[[str], None]
    ) -> None:
        self._sequencer = sequencer
        self._opened = opened
        self._closed = closed
        self._sets_of: dict[str, frozenset[str]] = {}  # profile -> the sets its rules name
        self._needed_by: dict[str, int] = {}  # set -> how many profiles name it
        self._problems: dict[str, Problem] = {}  # by profile

    def scan(self, name: str, profile: ProfileSpec | None) -> None:
        """The profile is in use and says this; None: it is not, or does not exist."""
        selectors: dict[str, Selector] = {}
        self._problems.pop(name, None)
        if profile is None:
            self._sequencer.profile(name, None)
        else:
            rules = ProfileRules(name, _resolve(profile.ingress, selectors), _resolve(profile.egress, selectors))
            self._sequencer.profile(name, rules)
            self._note(name, rules)
        self._use(name, selectors)

    def problems(self) -> Iterable[Problem]:
        return self._problems.values()

    def _use(self, name: str, selectors: dict[str, Selector]) -> None:
        before = self._sets_of.pop(name, frozenset())
        for set_id in selectors.keys() - before:
            self._acquire(selectors[set_id])
        for set_id in before - selectors.keys():
            self._release(set_id)
        if selectors:
            self._sets_of[name] = frozenset(selectors)

    def _acquire(self, selector: Selector) -> None:
        count = self._needed_by.get(selector.uid, 0)
        self._needed_by[selector.uid] = count + 1
        if not count:
            self._opened(selector)

    def _release(self, set_id: str) -> None:
        self._needed_by[set_id] -= 1
        if not self._needed_by[set_id]:
            del self._needed_by[set_id]
            self._closed(set_id)

    def _note(self, name: str, rules: ProfileRules) -> None:
        texts = [*_problem_texts("ingress", rules.ingress), *_problem_texts("egress", rules.egress)]
        if texts:
            self._problems[name] = Problem(keys.profile(name), "; ".join(texts))


def _resolve(rules: Iterable[Rule], selectors: dict[str, Selector]) -> tuple[WantedRule, ...]:
    """Also adds the selectors that the rules name."""
    resolved = [resolve(rule) for rule in rules]
    for _, named in resolved:
        selectors.update((selector.uid, selector) for selector in named)
    return tuple(rule for rule, _ in resolved)


def _problem_texts(direction: str, rules: Iterable[WantedRule]) -> list[str]:
    return [f"spec.{direction}[{index}]: {rule.problem}" for index, rule in enumerate(rules) if rule.problem]
