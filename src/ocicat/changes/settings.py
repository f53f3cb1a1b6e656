"""What a command changes on a running system beside files: kernel values, rules of a firewall, units. As `record` does for files.

A setting has a name and, at any moment, a text or nothing (None) as its value.

1. The record is on disk before the first change is, and names the value before the very first one.
2. A value that somebody has changed since is left as it is by `undo`, unless what is read there can be nobody's but ours (`own`).
3. All of it may be interrupted anywhere and be run again.
4. What cannot be put back (Refused) keeps nothing else from being put back, and stays in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from ocicat.changes import record as files
from ocicat.changes.files import State, Tree
from ocicat.errors import Refused
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, pretty_json


class Setting(Protocol):
    """`own`: what is read is ours alone, whatever it says."""

    @property
    def own(self) -> bool: ...

    def read(self) -> str | None: ...

    def write(self, value: str | None) -> None: ...


Find = Callable[[str], Setting]  # by its name


class Wish(Struct, frozen=True):
    name: str
    value: str | None


class Entry(Struct, frozen=True):
    name: str
    before: str | None
    after: str | None


class Record(Struct, frozen=True):
    entries: tuple[Entry, ...] = ()
    directories: tuple[str, ...] = ()  # above the records of this owner, that were made for them, outermost first


class Change(Struct, frozen=True):
    """`old` is what is there now."""

    name: str
    old: str | None
    new: str | None


class Undone(Struct, frozen=True):
    """`left`: changed by somebody else since. `failed`: what cannot be put back, and why, by its name."""

    made: tuple[Change, ...] = ()
    left: tuple[str, ...] = ()
    failed: Mapping[str, str] = {}

    @property
    def kept(self) -> frozenset[str]:
        """In the record."""
        return frozenset((*self.left, *self.failed))


def path(tree: Tree) -> str:
    return files.path(tree).removesuffix(".json") + ".settings.json"


def load(tree: Tree) -> Record:
    """An empty one where nothing is changed. UserError when it cannot be read."""
    text = tree.text(path(tree))
    return decode_json(Record, text, what=path(tree)) if text else Record()


def changes(find: Find, record: Record, wishes: Sequence[Wish]) -> list[Change]:
    """What has to happen for `wishes` to be fulfilled, and for what was changed without being wished any more to be taken back."""
    wished = {wish.name for wish in wishes}
    gone = [entry for entry in reversed(record.entries) if entry.name not in wished]
    found = [one for entry in gone if (one := _return(find, entry))]
    found += [Change(wish.name, find(wish.name).read(), wish.value) for wish in wishes]
    return [change for change in found if change.old != change.new]


def apply(tree: Tree, find: Find, record: Record, planned: Sequence[Change], wishes: Sequence[Wish]) -> None:
    remembered = remember(record, planned, wishes)
    save(tree, remembered)
    put(find, planned)
    wished = {wish.name for wish in wishes}
    save(tree, replace(remembered, entries=tuple(entry for entry in remembered.entries if entry.name in wished)))


def remember(record: Record, planned: Sequence[Change], wishes: Sequence[Wish]) -> Record:
    """With what is about to be done. A wish that is fulfilled already, by somebody else, is nothing of ours."""
    wanted = {wish.name: wish.value for wish in wishes}
    known = {entry.name for entry in record.entries}
    kept = [replace(entry, after=wanted.get(entry.name, entry.after)) for entry in record.entries]
    first = [Entry(one.name, one.old, one.new) for one in planned if one.name not in known]
    return replace(record, entries=(*kept, *first))


def put(find: Find, planned: Iterable[Change]) -> None:
    for change in planned:
        find(change.name).write(change.new)


def put_back(find: Find, planned: Iterable[Change]) -> dict[str, str]:
    """As `put`, and further where one cannot be: these, and why."""
    failed = {}
    for change in planned:
        try:
            find(change.name).write(change.new)
        except Refused as error:
            failed[change.name] = f"{change.name}: {error.message}"
    return failed


def removals(find: Find, record: Record) -> Undone:
    """What undoing would do. `failed`: what cannot even be read."""
    made, left, failed = [], [], {}
    for entry in reversed(record.entries):
        try:
            found = _return(find, entry)
        except Refused as error:
            failed[entry.name] = f"{entry.name}: {error.message}"
            continue
        if found is None:
            left.append(entry.name)
        elif found.old != found.new:
            made.append(found)
    return Undone(tuple(made), tuple(left), failed)


def undo(tree: Tree, find: Find, record: Record) -> Undone:
    """As `removals`, and done."""
    planned = removals(find, record)
    failed = put_back(find, planned.made)
    made = tuple(one for one in planned.made if one.name not in failed)
    done = Undone(made, planned.left, {**planned.failed, **failed})
    save(tree, replace(record, entries=tuple(entry for entry in record.entries if entry.name in done.kept)))
    return done


def diff(planned: Iterable[Change]) -> str:
    """The name of each, and below it the lines that go and that come."""
    return "".join(chain.from_iterable(_diff(change) for change in planned))


def _diff(change: Change) -> Iterable[str]:
    old, new = _lines(change.old), _lines(change.new)
    yield f"{change.name}\n"
    yield from (f"-{line}\n" for line in old if line not in new)
    yield from (f"+{line}\n" for line in new if line not in old)


def _lines(value: str | None) -> list[str]:
    return (value or "").splitlines()


def _return(find: Find, entry: Entry) -> Change | None:
    """None: it is not as we have made it, and not as it was. What is not there any more needs nothing."""
    setting = find(entry.name)
    now = setting.read()
    if now is None:
        return Change(entry.name, None, None)
    return Change(entry.name, now, entry.before) if setting.own or now in (entry.after, entry.before) else None


def save(tree: Tree, record: Record) -> None:
    """None is there for an empty one."""
    there = State("file", pretty_json(record).encode(), 0o600) if record.entries or record.directories else None
    tree.put(path(tree), there)
