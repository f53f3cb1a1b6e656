"""Which selectors match which items, kept up to date as labels, parents and selectors come and go.

An item (an endpoint) has labels of its own and inherits those of its parents (its profiles): its own label wins, then the
parent that is named first. A parent that is not known has no labels.

Invariants: 1. `matches(item)` is what a test of every selector against the item's labels would give; 2. `started` and `stopped`
are called exactly when labels change that; 3. a change of an item tests the selectors that its labels may match, a new selector the
items that it may match, a parent's change its own items: never everything against everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ocicat.calc.label_hints import ANY, Hint, SelectorTable, ValueTable, hints
from ocicat.selector import Selector

Event = Callable[[str, str], None]
"""(id of a selector, item)"""

_NO_LABELS: Mapping[str, str] = {}


@dataclass(slots=True)
class _Item:
    labels: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()  # a set would be five times as large, and there is one for every endpoint


@dataclass(slots=True)
class _Parent:
    labels: Mapping[str, str] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)


class LabelIndex:
    """`started` and `stopped` must not call back into the index. Neither is called when a selector comes or goes."""

    __slots__ = ("_item_values", "_items", "_parent_values", "_parents", "_selectors", "_started", "_stopped")

    def __init__(self, *, started: Event, stopped: Event) -> None:
        self._started = started
        self._stopped = stopped
        self._items: dict[str, _Item] = {}
        self._parents: defaultdict[str, _Parent] = defaultdict(_Parent)  # with labels or items, or both
        self._item_values = ValueTable(lambda: ((key, item.labels) for key, item in self._items.items()))
        self._parent_values = ValueTable(lambda: ((name, parent.labels) for name, parent in self._parents.items()))
        self._selectors = SelectorTable()

    def matches(self, key: str) -> Collection[str]:
        """The ids of the selectors that match the item; none for an unknown one."""
        item = self._items.get(key)
        return item.matched if item else ()

    def items(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Every item with its own labels."""
        return ((key, item.labels) for key, item in self._items.items())

    def set_item(self, key: str, labels: Mapping[str, str], parents: tuple[str, ...]) -> None:
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item()
        elif item.labels == labels and item.parents == parents:
            return
        self._relabel(key, item, labels)
        self._adopt(key, item, parents)
        self._test(key, item)

    def remove_item(self, key: str) -> None:
        item = self._items.get(key)
        if item is None:
            return
        self._relabel(key, item, _NO_LABELS)
        self._adopt(key, item, ())
        del self._items[key]
        for uid in item.matched:
            self._stopped(uid, key)

    def set_parent(self, name: str, labels: Mapping[str, str]) -> None:
        """No labels: the parent may as well not exist."""
        parent = self._parents[name]
        if parent.labels != labels:
            self._parent_values.replace(name, parent.labels, labels)
            parent.labels = labels
            for key in parent.items:
                self._test(key, self._items[key])
        self._drop_if_empty(name)

    def add_selector(self, uid: str, selector: Selector) -> list[str]:
        """From now on the index keeps this selector's matches under the id `uid`, which is new. Returns the items that match now:
        `started` is not called for them."""
        hint = min(hints(selector.restrictions), key=self._cost)
        self._selectors.add(uid, selector, hint)
        matches, labels_of, items = selector.matches, self._labels, self._items
        found = [key for key in dict.fromkeys(self._candidates(hint)) if matches(labels_of(items[key]))]
        for key in found:
            items[key].matched += (uid,)
        return found

    def remove_selector(self, uid: str) -> None:
        """Its matches are forgotten, and `stopped` is not called for them: whoever removes it knows."""
        for key in self._candidates(self._selectors.remove(uid)):
            item = self._items[key]
            if uid in item.matched:
                place = item.matched.index(uid)
                item.matched = item.matched[:place] + item.matched[place + 1 :]

    def _test(self, key: str, item: _Item) -> None:
        labels = self._labels(item)
        matched = tuple([uid for uid, found in self._selectors.candidates(labels) if found.matches(labels)])
        before, item.matched = item.matched, matched
        for uid in set(matched).difference(before):
            self._started(uid, key)
        for uid in set(before).difference(matched):
            self._stopped(uid, key)

    def _labels(self, item: _Item) -> Mapping[str, str]:
        inherited = [self._parents[name].labels for name in reversed(item.parents)]
        if not any(inherited):
            return item.labels
        merged: dict[str, str] = {}
        for labels in inherited:
            merged.update(labels)
        merged.update(item.labels)
        return merged

    def _relabel(self, key: str, item: _Item, labels: Mapping[str, str]) -> None:
        self._item_values.replace(key, item.labels, labels)
        item.labels = labels

    def _adopt(self, key: str, item: _Item, parents: tuple[str, ...]) -> None:
        before, item.parents = item.parents, parents
        for name in before:
            self._parents[name].items.discard(key)
        for name in parents:
            self._parents[name].items.add(key)
        for name in before:
            self._drop_if_empty(name)

    def _drop_if_empty(self, name: str) -> None:
        parent = self._parents[name]
        if not parent.items and not parent.labels:
            del self._parents[name]

    def _candidates(self, hint: Hint) -> Iterator[str]:
        """Every item that the hint allows, some perhaps twice or although its own label hides the inherited one."""
        if hint == ANY:
            yield from self._items
            return
        yield from self._item_values.find(hint)
        for name in self._parent_values.find(hint):
            yield from self._parents[name].items

    def _cost(self, hint: Hint) -> int:
        """How many candidates there would be."""
        if hint == ANY:
            return len(self._items)
        inherited = sum(len(self._parents[name].items) for name in self._parent_values.find(hint))
        return self._item_values.count(hint) + inherited
