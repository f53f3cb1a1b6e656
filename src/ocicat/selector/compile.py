"""From the tree of a selector to a closure that decides whether labels match it.

Matching runs once for every selector and endpoint that might meet, so what can be decided is decided at compile time.
The closures use only `get` and `in` of the labels, and rely on a label's value never being None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from ocicat.selector.ast import All, And, Compare, Comparison, Global, Has, In, Node, Not, NotIn, Or

Matcher: TypeAlias = Callable[[Mapping[str, str]], bool]


def compile(node: Node) -> Matcher:  # noqa: A001 - the word for it, as in re.compile; the builtin has no use here
    """A function from labels to whether the selector matches them."""
    match node:
        case All() | Global():
            return lambda labels: True
        case Has(label):
            return lambda labels: label in labels
        case Compare(label, comparison, value):
            return _COMPARERS[comparison](label, value)
        case In(label, values):
            return _in(label, frozenset(values))
        case NotIn(label, values):
            return _not_in(label, frozenset(values))
        case Not(operand):
            return _not(compile(operand))
        case And(operands):
            return _and(tuple(map(compile, operands)))
        case Or(operands):
            return _or(tuple(map(compile, operands)))
    assert_never(node)


def _equals(label: str, value: str) -> Matcher:
    return lambda labels: labels.get(label) == value


def _differs(label: str, value: str) -> Matcher:
    return lambda labels: labels.get(label) != value


def _contains(label: str, value: str) -> Matcher:
    return lambda labels: (own := labels.get(label)) is not None and value in own


def _starts(label: str, value: str) -> Matcher:
    return lambda labels: (own := labels.get(label)) is not None and own.startswith(value)


def _ends(label: str, value: str) -> Matcher:
    return lambda labels: (own := labels.get(label)) is not None and own.endswith(value)


_COMPARERS: dict[Comparison, Callable[[str, str], Matcher]] = {
    Comparison.EQUALS: _equals,
    Comparison.DIFFERS: _differs,
    Comparison.CONTAINS: _contains,
    Comparison.STARTS: _starts,
    Comparison.ENDS: _ends,
}


def _in(label: str, values: frozenset[str]) -> Matcher:
    return lambda labels: labels.get(label) in values


def _not_in(label: str, values: frozenset[str]) -> Matcher:
    return lambda labels: labels.get(label) not in values


def _not(matches: Matcher) -> Matcher:
    return lambda labels: not matches(labels)


def _and(matchers: tuple[Matcher, ...]) -> Matcher:
    # A plain loop: `all()` over a generator takes three times as long for two operands.
    def every(labels: Mapping[str, str]) -> bool:
        for matches in matchers:  # noqa: SIM110 - see above
            if not matches(labels):
                return False
        return True

    return every


def _or(matchers: tuple[Matcher, ...]) -> Matcher:
    def some(labels: Mapping[str, str]) -> bool:
        for matches in matchers:  # noqa: SIM110 - as in _and
            if matches(labels):
                return True
        return False

    return some
