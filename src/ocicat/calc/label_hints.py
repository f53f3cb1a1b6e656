"""The tables behind the label index: who has a label, and which selectors ask for it.

A `Hint` is the one condition of a selector by which candidates are found: its label must have one of these values, or any value, or
there is no such condition. Labels that break the hint of a selector never match it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from ocicat.model.base import Struct
from ocicat.selector import Selector
from ocicat.selector.restrictions import Restrictions


class Hint(Struct, frozen=True):
    """`label` has one of `values`; None: any value. Without a label it says nothing."""

    label: str | None = None
    values: frozenset[str] | None = None


ANY = Hint()


def hints(restrictions: Restrictions) -> list[Hint]:
    """What candidates may be found by, narrow ones first; `ANY` is always the last."""
    present = [
        Hint(label, found.must_have_one_of)
        for label, found in sorted(restrictions.items())
        if found.must_be_present or found.must_have_one_of is not None
    ]
    return [*sorted(present, key=lambda hint: hint.values is None), ANY]


class ValueTable:
    """Ids by label and value. A label is indexed once somebody asks for it, as long as anything has it: most are never asked for,
    and some have another value in every endpoint.

    `everything` gives all ids with their labels, as `replace` has told them.
    """

    __slots__ = ("_everything", "_having", "_ids")

    def __init__(self, everything: Callable[[], Iterable[tuple[str, Mapping[str, str]]]]) -> None:
        self._everything = everything
        self._having: defaultdict[str, int] = defaultdict(int)  # how many ids have the label
        self._ids: dict[str, defaultdict[str, set[str]]] = {}  # of the labels that were asked for

    def replace(self, key: str, before: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """`key` had the labels `before` and has `labels` from now on."""
        for label, value in before.items():
            if labels.get(label) != value:
                self._remove(key, label, value)
        for label, value in labels.items():
            if before.get(label) != value:
                self._having[label] += 1
                if label in self._ids:
                    self._ids[label][value].add(key)

    def find(self, hint: Hint) -> Iterator[str]:
        for ids in self._lists(hint):
            yield from ids

    def count(self, hint: Hint) -> int:
        return sum(map(len, self._lists(hint)))

    def _lists(self, hint: Hint) -> Iterable[set[str]]:
        if hint.label is None or hint.label not in self._having:
            return ()
        by_value = self._ids.get(hint.label) or self._index(hint.label)
        if hint.values is None:
            return by_value.values()
        return [by_value[value] for value in hint.values if value in by_value]

    def _index(self, label: str) -> defaultdict[str, set[str]]:
        by_value = self._ids[label] = defaultdict(set)
        for key, labels in self._everything():
            if label in labels:
                by_value[labels[label]].add(key)
        return by_value

    def _remove(self, key: str, label: str, value: str) -> None:
        self._having[label] -= 1
        if not self._having[label]:
            del self._having[label]
            self._ids.pop(label, None)
        elif label in self._ids:
            by_value = self._ids[label]
            by_value[value].discard(key)
            if not by_value[value]:
                del by_value[value]


class SelectorTable:
    """Selectors by their hint: given an item's labels, those that may match. Two ids may have equal selectors."""

    __slots__ = ("_any", "_by_label", "_by_value", "_hints")

    def __init__(self) -> None:
        self._hints: dict[str, Hint] = {}
        self._any: dict[str, Selector] = {}
        self._by_label: defaultdict[str, dict[str, Selector]] = defaultdict(dict)
        self._by_value: defaultdict[tuple[str, str], dict[str, Selector]] = defaultdict(dict)

    def add(self, uid: str, selector: Selector, hint: Hint) -> None:
        self._hints[uid] = hint
        for shelf in self._shelves(hint):
            shelf[uid] = selector

    def remove(self, uid: str) -> Hint:
        """The hint under which it was."""
        hint = self._hints.pop(uid)
        for shelf in self._shelves(hint):
            del shelf[uid]
        self._sweep(hint)
        return hint

    def candidates(self, labels: Mapping[str, str]) -> Iterator[tuple[str, Selector]]:
        """Each id once: it lies under one label, and a label has one value."""
        yield from self._any.items()
        for label, value in labels.items():
            if label in self._by_label:
                yield from self._by_label[label].items()
            if (label, value) in self._by_value:
                yield from self._by_value[label, value].items()

    def _shelves(self, hint: Hint) -> list[dict[str, Selector]]:
        if hint.label is None:
            return [self._any]
        if hint.values is None:
            return [self._by_label[hint.label]]
        return [self._by_value[hint.label, value] for value in hint.values]

    def _sweep(self, hint: Hint) -> None:
        """No empty shelf stays behind."""
        if hint.label is None:
            return
        if hint.values is None:
            if not self._by_label[hint.label]:
                del self._by_label[hint.label]
            return
        for value in hint.values:
            if not self._by_value[hint.label, value]:
                del self._by_value[hint.label, value]
