"""One sequence of states becomes many: the same content in other orders, other portions, with other moments to flush.

A step is a list of updates and the content the datastore has after them; every step ends in a flush and a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calc_world import Content

Update = tuple[str, bytes | None]


@dataclass(frozen=True)
class Step:
    updates: list[Update]
    content: Content


def difference(before: Content, after: Content) -> list[Update]:
    keys = sorted(before.keys() | after.keys())
    return [(key, after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _pairs(contents: list[Content]) -> Iterator[tuple[Content, Content]]:
    """(before, after) of every state; the datastore starts empty."""
    return pairwise([{}, *contents])


def _steps(contents: list[Content]) -> list[Step]:
    return [Step(difference(before, after), after) for before, after in _pairs(contents)]


def _reversed_updates(contents: list[Content]) -> list[Step]:
    return [Step(step.updates[::-1], step.content) for step in _steps(contents)]


def _reversed_states(contents: list[Content]) -> list[Step]:
    return _steps(contents[::-1])


def _empties_between(contents: list[Content]) -> list[Step]:
    return _steps([content for one in contents for content in (one, {})])


def _one_by_one(updates: list[Update], content: Content) -> Iterator[Step]:
    for key, value in updates:
        content = {known: held for known, held in {**content, key: value}.items() if held is not None}
        yield Step([(key, value)], content)


def _split(contents: list[Content]) -> list[Step]:
    return [single for before, after in _pairs(contents) for single in _one_by_one(difference(before, after), before)]


def _split_reversed(contents: list[Content]) -> list[Step]:
    updates = [(before, difference(before, after)[::-1]) for before, after in _pairs(contents)]
    return [single for before, backwards in updates for single in _one_by_one(backwards, before)]


def _squashed(contents: list[Content]) -> list[Step]:
    """Every update of every state, and one flush at the end: what came and went must leave no trace."""
    return [Step([update for step in _steps(contents) for update in step.updates], contents[-1])]


def _said_twice(contents: list[Content]) -> list[Step]:
    """As after a new snapshot: everything is said again with every state, deletions of unknown keys too."""
    known = {key for content in contents for key in content}
    return [Step([(key, content.get(key)) for key in sorted(known)], content) for content in contents]


EXPANDERS: dict[str, Callable[[list[Content]], list[Step]]] = {
    "as written": _steps,
    "reversed updates": _reversed_updates,
    "reversed states": _reversed_states,
    "empties between": _empties_between,
    "split": _split,
    "split, reversed": _split_reversed,
    "squashed": _squashed,
    "said twice": _said_twice,
}
