"""The label index: events on every kind of change, inheritance, and how little it tests for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocicat.calc.label_hints import ANY, Hint, hints
from ocicat.calc.label_index import LabelIndex
from ocicat.selector import parse


class Watched:
    """An index with its events, and the labels that were put to a selector."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.tests = 0
        self.index = LabelIndex(
            started=lambda uid, item: self.events.append(f"+{item}"),
            stopped=lambda uid, item: self.events.append(f"-{item}"),
        )

    def add(self, text: str) -> str:
        selector = parse(text)

        def counted(labels):
            self.tests += 1
            return selector.matches(labels)

        found = self.index.add_selector(selector.uid, replace(selector, matches=counted))
        self.events += [f"+{item}" for item in found]
        return selector.uid

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return sorted(events)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_match_starts_when_the_item_comes_and_stops_when_it_goes(watched):
    uid = watched.add("a == 'b'")
    watched.index.set_item("i", {"a": "b"}, ())
    assert watched.take() == ["+i"]
    assert list(watched.index.matches("i")) == [uid]
    watched.index.remove_item("i")
    assert watched.take() == ["-i"]
    assert not watched.index.matches("i")


def test_match_starts_when_the_selector_comes(watched):
    watched.index.set_item("i", {"a": "b"}, ())
    watched.index.set_item("j", {}, ())
    watched.add("a == 'b'")
    assert watched.take() == ["+i"]


def test_match_is_forgotten_silently_when_the_selector_goes(watched):
    watched.index.set_item("i", {"a": "b"}, ())
    uid = watched.add("a == 'b'")
    watched.take()
    watched.index.remove_selector(uid)
    watched.index.remove_item("i")
    assert watched.take() == []


def test_labels_are_inherited(watched):
    watched.add("group == 'a'")
    watched.index.set_item("i", {}, ("p",))
    assert watched.take() == []
    watched.index.set_parent("p", {"group": "a"})
    assert watched.take() == ["+i"]
    watched.index.set_parent("p", {})
    assert watched.take() == ["-i"]


def test_first_parent_wins_and_own_label_wins_over_parents(watched):
    watched.add("group == 'a'")
    watched.index.set_parent("p", {"group": "a"})
    watched.index.set_parent("q", {"group": "b"})
    watched.index.set_item("i", {}, ("p", "q"))
    assert watched.take() == ["+i"]
    watched.index.set_item("i", {}, ("q", "p"))
    assert watched.take() == ["-i"]
    watched.index.set_item("i", {"group": "a"}, ("q", "p"))
    assert watched.take() == ["+i"]
    watched.index.set_item("i", {"group": "c"}, ("p",))
    assert watched.take() == ["-i"]


def test_new_selector_finds_items_by_inherited_labels(watched):
    watched.index.set_parent("p", {"group": "a"})
    watched.index.set_item("i", {}, ("p",))
    watched.index.set_item("hidden", {"group": "b"}, ("p",))
    watched.index.set_item("own", {"group": "a"}, ("p",))
    watched.add("group == 'a'")
    assert watched.take() == ["+i", "+own"]


def test_label_that_stays_is_found_after_another_changed(watched):
    watched.index.set_item("i", {"a": "b", "c": "d"}, ())
    watched.index.set_item("i", {"a": "b", "c": "e"}, ())
    watched.add("a == 'b'")
    assert watched.take() == ["+i"]


def test_unchanged_item_and_parent_test_nothing(watched):
    watched.add("all()")
    watched.index.set_parent("p", {"group": "a"})
    watched.index.set_item("i", {"a": "b"}, ("p",))
    watched.tests = 0
    watched.index.set_item("i", {"a": "b"}, ("p",))
    watched.index.set_parent("p", {"group": "a"})
    assert watched.tests == 0


def test_item_is_tested_only_against_selectors_it_may_match(watched):
    for number in range(100):
        watched.add(f"group == 'g{number}' && has(role)")
    watched.index.set_item("i", {"group": "g7", "role": "x"}, ())
    assert watched.tests == 1
    assert watched.take() == ["+i"]


def test_selector_tests_the_fewest_items_it_can(watched):
    for number in range(100):
        watched.index.set_item(f"i{number}", {"namespace": "all", "task": f"t{number}"}, ())
    watched.add("namespace == 'all' && task in {'t1', 't2', 'absent'}")
    assert watched.tests == 2
    assert watched.take() == ["+i1", "+i2"]


def test_profile_edit_tests_its_members_only(watched):
    watched.add("has(group)")
    for number in range(100):
        watched.index.set_item(f"i{number}", {}, (f"p{number % 50}",))
    watched.index.set_parent("p3", {"group": "a"})
    assert watched.tests == 2
    assert watched.take() == ["+i3", "+i53"]


def test_selector_that_cannot_match_tests_nothing(watched):
    watched.index.set_item("i", {"a": "b"}, ())
    watched.add("a == 'b' && a == 'c'")
    watched.index.set_item("i", {"a": "c"}, ())
    assert watched.tests == 0


def test_absence_is_matched_without_a_hint(watched):
    watched.add("!has(a)")
    watched.index.set_item("i", {"b": "c"}, ())
    watched.index.set_item("i", {"a": "b"}, ())
    assert watched.take() == ["+i", "-i"]


def test_index_is_empty_again_when_everything_is_gone(watched):
    uids = [watched.add(text) for text in ("a == 'b'", "has(a)", "all()")]
    watched.index.set_parent("p", {"a": "b"})
    watched.index.set_item("i", {"c": "d"}, ("p", "unknown"))
    watched.index.remove_item("i")
    watched.index.set_parent("p", {})
    for uid in uids:
        watched.index.remove_selector(uid)
    index = watched.index
    kept = [index._items, index._parents]
    kept += [held for table in (index._item_values, index._parent_values) for held in (table._ids, table._having)]
    tables = [index._selectors._hints, index._selectors._any, index._selectors._by_label, index._selectors._by_value]
    assert not any([*kept, *tables])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all()", [ANY]),
        ("!has(a)", [ANY]),
        ("has(a)", [Hint("a"), ANY]),
        ("a starts with 'x'", [Hint("a"), ANY]),
        ("a in {'x', 'y'}", [Hint("a", frozenset("xy")), ANY]),
        ("has(a) && b == 'x'", [Hint("b", frozenset("x")), Hint("a"), ANY]),
    ],
)
def test_hints_of_a_selector(text, expected):
    assert hints(parse(text).restrictions) == expected


def test_a_label_is_indexed_only_once_a_selector_asks_for_it(watched):
    for number in range(3):
        watched.index.set_item(f"i{number}", {"task": f"t{number}", "app": "a"}, ())
    values = watched.index._item_values
    assert not values._ids
    watched.add("app == 'a'")
    assert list(values._ids) == ["app"]
    watched.index.set_item("i1", {"task": "t1", "app": "b"}, ())
    watched.index.set_item("late", {"app": "b"}, ())
    watched.take()
    watched.add("app == 'b'")
    assert watched.take() == ["+i1", "+late"]


def test_an_indexed_label_that_nobody_has_any_more_is_found_again_when_it_comes_back(watched):
    watched.index.set_item("i", {"a": "b"}, ())
    watched.add("a == 'b'")
    watched.index.set_item("i", {}, ())
    watched.index.set_item("j", {"a": "c"}, ())
    watched.take()
    watched.add("a == 'c'")
    assert watched.take() == ["+j"]


def test_item_that_has_a_label_and_inherits_it_too_starts_once(watched):
    watched.index.set_parent("p", {"a": "b"})
    watched.index.set_item("e", {"a": "b"}, ("p",))
    for other in ("f", "g"):  # or all items would be the shorter list
        watched.index.set_item(other, {}, ())
    watched.add("a == 'b'")
    assert watched.take() == ["+e"]
    assert len(watched.index.matches("e")) == 1
