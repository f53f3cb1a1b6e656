"""The graph's only door: a datastore key and its bytes come in, typed records go to the nodes that want them.

Promises: 1. no content raises: a value that cannot be read counts as deleted, and becomes a `Problem` of its key until a readable
value or a deletion comes; 2. keys of kinds that nobody registered are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from ocicat.calc.problems import Problem
from ocicat.errors import UserError

T = TypeVar("T")

Feed: TypeAlias = Callable[[str, bytes | None], Problem | None]


def feed(read: Callable[[str, bytes], T], sink: Callable[[str, T | None], None]) -> Feed:
    """The way of one kind of object: `read` makes a record of (key, value) or raises, `sink` takes (key, record or None)."""

    def deliver(key: str, value: bytes | None) -> Problem | None:
        record, problem = None, None
        if value is not None:
            try:
                record = read(key, value)
            except UserError as error:
                problem = Problem(key, str(error))
        sink(key, record)
        return problem

    return deliver


class Dispatcher:
    """`feeds` by key prefix; no prefix may begin another."""

    __slots__ = ("_feeds", "_problems")

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = tuple(feeds.items())
        self._problems: dict[str, Problem] = {}

    def update(self, key: str, value: bytes | None) -> None:
        for prefix, deliver in self._feeds:
            if key.startswith(prefix):
                self._note(key, deliver(key, value))
                return

    def problems(self) -> Iterable[Problem]:
        return self._problems.values()

    def _note(self, key: str, problem: Problem | None) -> None:
        if problem is None:
            self._problems.pop(key, None)
        else:
            self._problems[key] = problem
