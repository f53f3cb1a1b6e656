"""Carrying out what was planned, and the record by which it is taken back.

1. The record is on disk before the first change is, and names what was there before the very first installation.
2. What somebody has edited since is neither overwritten nor removed: installing refuses before it changes anything, uninstalling
   leaves that file, and only that, as it is, and goes on knowing it.
3. Both may be interrupted anywhere and be run again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ocicat.changes.files import PLAIN, Item, State, Tree
from ocicat.errors import Refused
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, pretty_json


def path(tree: Tree) -> str:
    """Where the record of a tree's owner lies."""
    return f"/var/lib/ocicat/{tree.owner.replace(' ', '-')}.json"


class Entry(Struct, frozen=True):
    """One path of ours: what was there, and what we have put there."""

    path: str
    before: State | None
    after: State

    @property
    def block(self) -> bool:
        return self.after.kind == "block"


class Record(Struct, frozen=True):
    entries: tuple[Entry, ...] = ()
    directories: tuple[str, ...] = ()  # that we have made, outermost first


class Change(Struct, frozen=True):
    """`old` is what is there now. `new` None: what we had put there goes."""

    path: str
    old: State | None
    new: State | None


def load(tree: Tree) -> Record:
    """An empty one where nothing is installed. UserError when it cannot be read."""
    text = tree.text(path(tree))
    return decode_json(Record, text, what=path(tree)) if text else Record()


def changes(tree: Tree, record: Record, items: Sequence[Item]) -> list[Change]:
    """What has to happen for `items`, and nothing else of ours, to be there. Refused for what somebody has edited."""
    known = {entry.path: entry for entry in record.entries}
    edited = [item.path for item in items if item.path in known and _edited(tree, known[item.path], item)]
    if edited:
        raise Refused(
            f"edited since it was installed: {', '.join(edited)}",
            hint="move it away, install again, and then make your changes to what is written",
        )
    wanted = {item.path for item in items}
    gone = [entry for entry in record.entries if entry.path not in wanted]
    found = [_removal(tree, entry) for entry in gone if _ours(tree, entry)]
    found += [_addition(tree, item) for item in items]
    return [change for change in found if change.old != change.new]


def install(tree: Tree, record: Record, items: Sequence[Item]) -> list[Change]:
    """The changes made. Refused: as `changes`, and then nothing has been."""
    planned = changes(tree, record, items)
    if not planned:
        return []
    record = _with(tree, record, planned)
    save(tree, record)
    for change in planned:
        put(tree, change)
    wanted = {item.path for item in items}
    left = [entry for entry in record.entries if entry.path in wanted or not _restored(tree, entry)]
    save(tree, replace(record, entries=tuple(left)))
    return planned


def _with(tree: Tree, record: Record, planned: Sequence[Change]) -> Record:
    """The record of what is about to be done."""
    latest = {change.path: change.new for change in planned if change.new}
    known = {entry.path for entry in record.entries}
    kept = [replace(entry, after=latest.get(entry.path, entry.after)) for entry in record.entries]
    first = [Entry(one.path, one.old, one.new) for one in planned if one.new and one.path not in known]
    above = {above for each in (path(tree), *latest) for above in tree.missing_parents(each)}
    return Record((*kept, *first), (*record.directories, *sorted(above, key=len)))


def removals(tree: Tree, record: Record) -> tuple[list[Change], list[str]]:
    """What uninstalling changes, and the paths that it leaves because somebody has edited them."""
    ours = [entry for entry in record.entries if _ours(tree, entry) or _restored(tree, entry)]
    planned = [_removal(tree, entry) for entry in ours]
    return [change for change in planned if change.old != change.new], [
        entry.path for entry in record.entries if entry not in ours
    ]


def uninstall(tree: Tree, record: Record, last: str = "") -> tuple[list[Change], list[str]]:
    """As `removals`, and done. `last`: a path that says what else there is to do: it goes when all others have gone."""
    planned, edited = removals(tree, record)
    planned = [one for one in planned if one.path != last] + [one for one in planned if one.path == last and not edited]
    for change in planned:
        put(tree, change)
    left = tuple(entry for entry in record.entries if entry.path in edited or (edited and entry.path == last))
    save(tree, replace(record, entries=left))
    for directory in reversed(record.directories):
        tree.remove_if_empty(directory)
    return planned, edited


def diff(planned: Iterable[Change], tree: Tree | None = None) -> str:
    """Unified, as `diff -u` and `patch` have it; of a program only its size. With `tree` a block is shown in its file."""
    return "".join("".join(_diff(_of_file(change, tree) if tree else change)) for change in planned)


def _of_file(change: Change, tree: Tree) -> Change:
    kinds = {state.kind for state in (change.old, change.new) if state}
    if kinds != {"block"}:
        return change
    return Change(change.path, *tree.with_block(change.path, change.new.content if change.new else b""))


def _diff(change: Change) -> Iterable[str]:
    old, new = _lines(change.old), _lines(change.new)
    if old is None or new is None:
        size = len(change.new.content) if change.new else 0
        yield f"{change.path}: a program, {size} bytes\n"
        return
    before = "/dev/null" if change.old is None else f"a{change.path}"
    after = "/dev/null" if change.new is None else f"b{change.path}"
    for line in difflib.unified_diff(old, new, before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(state: State | None) -> list[str] | None:
    """None for what is no text."""
    if state is None:
        return []
    if b"\0" in state.content:
        return None
    text = state.content.decode(errors="replace")
    return (f"-> {text}\n" if state.kind == "link" else text).splitlines(keepends=True)


def put(tree: Tree, change: Change) -> None:
    """One change, without a record."""
    if change.new is None and change.old and change.old.kind == "block":
        tree.remove_block(change.path)
    else:
        tree.put(change.path, change.new)


def save(tree: Tree, record: Record) -> None:
    """None is there for an empty one."""
    tree.put(path(tree), State("file", pretty_json(record).encode(), 0o600) if record.entries else None)


def _now(tree: Tree, item: Item) -> State | None:
    return tree.state(item.path, block=item.state.kind == "block")


def _edited(tree: Tree, entry: Entry, item: Item) -> bool:
    now = _now(tree, item)
    return now is not None and now not in (entry.before, entry.after, item.state)


def _ours(tree: Tree, entry: Entry) -> bool:
    return tree.state(entry.path, block=entry.block) == entry.after


def _restored(tree: Tree, entry: Entry) -> bool:
    return tree.state(entry.path, block=entry.block) == entry.before


def _addition(tree: Tree, item: Item) -> Change:
    """A file that is there keeps its mode; a program must be one."""
    old, new = _now(tree, item), item.state
    if old and old.kind == new.kind == "file" and new.mode == PLAIN:
        new = replace(new, mode=old.mode)
    return Change(item.path, old, new)


def _removal(tree: Tree, entry: Entry) -> Change:
    return Change(entry.path, tree.state(entry.path, block=entry.block), entry.before)
