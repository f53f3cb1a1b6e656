"""Carrying out what was planned for a host, confirming it, and taking it back.

1. What is about to be done is in the journal, on disk, before anything is; the journal is there until all of it is done, and
   confirmed where that was asked for.
2. Killed anywhere: `apply` again completes it, `undo` takes it back, and an unconfirmed run goes back by itself as long as its
   `rollback` process lives.
3. `undo` leads to what was there before the first run; going back without a confirmation to what was there before this run.
4. One at a time on a host (`alone`).
5. What cannot be put back keeps nothing else from being put back; it stays recorded, and is told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from ocicat.changes import record as files
from ocicat.changes import settings
from ocicat.changes.files import Item, State, Tree
from ocicat.changes.settings import Find, Wish
from ocicat.errors import NotFound, Refused
from ocicat.host import watching
from ocicat.host.alone import alone
from ocicat.host.changing import reloads
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, pretty_json
from ocicat.supervise import proc
from ocicat.supervise.proc import Identity

OWNER = "host prepare"


class Planned(Struct, frozen=True):
    """What shall be there. `remarks`: what the operator has to know, or to do.

    `forgotten`: settings that are another's by now, by their names: neither changed nor put back any more.
    """

    items: tuple[Item, ...] = ()
    wishes: tuple[Wish, ...] = ()
    remarks: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()


class Changes(Struct, frozen=True):
    """From what is there now."""

    settings: tuple[settings.Change, ...] = ()
    files: tuple[files.Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.settings or self.files)

    @property
    def paths(self) -> list[str]:
        return [change.path for change in self.files]


class Undone(NamedTuple):
    """`left`: changed by somebody else since. `failed`: cannot be put back, and why."""

    made: Changes
    left: list[str]
    failed: list[str]


class Journal(Struct, frozen=True):
    """Of the run that is under way. `until_s` (monotonic clock): by when it must be confirmed; 0: it need not."""

    changes: Changes
    files: files.Record  # as they were before this run
    settings: settings.Record
    directories: tuple[str, ...] = ()  # that were not there for it
    until_s: float = 0.0
    watcher: Identity | None = None  # the process that goes back


def path(tree: Tree) -> str:
    return files.path(tree).removesuffix(".json") + ".journal.json"


def journal(tree: Tree) -> Journal | None:
    """UserError when it cannot be read."""
    text = tree.text(path(tree))
    return decode_json(Journal, text, what=path(tree)) if text else None


def waits(found: Journal | None) -> bool:
    """For a confirmation, and goes back by itself without one."""
    return bool(found and found.watcher and proc.alive(found.watcher))


def changes(tree: Tree, find: Find, planned: Planned) -> Changes:
    """Refused: a file of ours has been edited since."""
    return Changes(
        tuple(settings.changes(find, _known(tree, planned), planned.wishes)),
        tuple(files.changes(tree, files.load(tree), planned.items)),
    )


def diff(found: Changes, tree: Tree) -> str:
    return settings.diff(found.settings) + files.diff(found.files, tree)


def apply(tree: Tree, find: Find, planned: Planned, confirm_s: float = 0.0) -> Changes:
    """The changes made. Refused: another run waits for its confirmation; or as `changes`."""
    with alone(tree), ExitStack() as stack:
        before = journal(tree)
        if waits(before):
            raise Refused(
                "what was changed last waits for a confirmation", hint="ocicat host confirm, or ocicat host undo"
            )
        found, known = changes(tree, find, planned), _known(tree, planned)
        if not found and not before:
            if known != settings.load(tree):
                settings.save(tree, known)
            return found
        reloads.check(found.paths)
        begun = _merged(before, found, tree)
        if confirm_s:
            watcher = stack.enter_context(watching.started(tree))
            begun = replace(begun, until_s=time.monotonic() + confirm_s, watcher=watcher.identity)
        _save(tree, begun)
        if confirm_s:
            watcher.go_back_at(begun.until_s)
        known = replace(known, directories=tuple(dict.fromkeys((*known.directories, *begun.directories))))
        settings.apply(tree, find, known, found.settings, planned.wishes)
        files.install(tree, files.load(tree), planned.items)
        reloads.run(begun.changes.paths)
        if not confirm_s:
            _end(tree)
        return found


def confirm(tree: Tree) -> None:
    """NotFound: nothing waits for it."""
    with alone(tree):
        found = journal(tree)
        if not found or not found.until_s:
            raise NotFound("nothing waits for a confirmation")
        if not waits(found):
            raise Refused(
                "what was changed last was interrupted, or not taken back in time",
                hint="ocicat host prepare again, or host undo",
            )
        _end(tree)


def roll_back(tree: Tree, find: Find, until_s: float) -> bool:
    """Of the run that was to be confirmed until then. False: it was, or was undone."""
    with alone(tree, wait_s=math.inf):
        found = journal(tree)
        if not found or found.until_s != until_s:
            return False
        _back(tree, find, found)
        return True


def undo(tree: Tree, find: Find) -> Undone:
    """The changes made, and what is not put back."""
    with alone(tree):
        begun, known = journal(tree), settings.load(tree)
        reloads.check(change.path for change in files.removals(tree, files.load(tree))[0])
        made, edited = files.uninstall(tree, files.load(tree))
        failed = _reloaded([*(change.path for change in made), *(begun.changes.paths if begun else ())])
        turned = settings.undo(tree, find, known)
        if not turned.kept:
            settings.save(tree, settings.Record())
        _end(tree)
        _remove(tree, (*known.directories, *(begun.directories if begun else ())))
        changed = Changes(tuple(turned.made), tuple(made))
        return Undone(changed, [*edited, *turned.left], [*failed, *turned.failed.values()])


def removals(tree: Tree, find: Find) -> Undone:
    """What `undo` would do."""
    made, edited = files.removals(tree, files.load(tree))
    turned = settings.removals(find, settings.load(tree))
    return Undone(Changes(tuple(turned.made), tuple(made)), [*edited, *turned.left], list(turned.failed.values()))


def still(tree: Tree, find: Find, planned: Planned, made: Changes) -> list[str]:
    """Of what a run has changed, what is so now."""
    again = changes(tree, find, planned)
    names = {one.name for one in again.settings}
    return [
        *(one.name for one in made.settings if one.name not in names),
        *(one.path for one in made.files if one.path not in again.paths),
    ]


def _known(tree: Tree, planned: Planned) -> settings.Record:
    known = settings.load(tree)
    return replace(known, entries=tuple(one for one in known.entries if one.name not in planned.forgotten))


def _back(tree: Tree, find: Find, found: Journal) -> None:
    """What lets packets through first, but sets before the rules that look in them. What cannot be put back stays recorded."""
    turned = [replace(one, new=one.old) for one in found.changes.settings]
    failed = settings.put_back(find, sorted(turned, key=lambda one: not one.name.startswith("sets ")))
    failed_files = {change.path for change in found.changes.files if not _put_back(tree, change)}
    _reloaded(found.changes.paths)
    now = files.load(tree)
    known = {one.path for one in found.files.entries}
    kept = [one for one in now.entries if one.path in failed_files and one.path not in known]
    made = now.directories if kept else found.files.directories
    files.save(tree, replace(found.files, entries=(*found.files.entries, *kept), directories=made))
    settings.save(tree, _with_failed(found, failed))
    _end(tree)
    _remove(tree, [one for one in (*found.directories, *now.directories) if one not in found.files.directories])


def _with_failed(found: Journal, failed: Collection[str]) -> settings.Record:
    """So that `undo` tries again."""
    if not failed:
        return found.settings
    made = [one for one in found.changes.settings if one.name in failed]
    known, news = {one.name for one in found.settings.entries}, {one.name: one.new for one in made}
    kept = [replace(one, after=news.get(one.name, one.after)) for one in found.settings.entries]
    first = [settings.Entry(one.name, one.old, one.new) for one in made if one.name not in known]
    above = tuple(dict.fromkeys((*found.settings.directories, *found.directories)))
    return settings.Record((*kept, *first), above)


def _put_back(tree: Tree, change: files.Change) -> bool:
    try:
        files.put(tree, replace(change, new=change.old, old=change.new))
    except Refused:
        return False
    return True


def _reloaded(paths: Sequence[str]) -> list[str]:
    """Why it could not be, if so."""
    try:
        reloads.run(paths)
    except Refused as error:
        return [error.message]
    return []


def _remove(tree: Tree, directories: Iterable[str]) -> None:
    """Those that are empty, the innermost first."""
    for directory in sorted(set(directories), key=len, reverse=True):
        tree.remove_if_empty(directory)


def _merged(before: Journal | None, found: Changes, tree: Tree) -> Journal:
    """An interrupted run is part of this one: what was there before it is what was there before this."""
    if before is None:
        return Journal(found, files.load(tree), settings.load(tree), tuple(tree.missing_parents(path(tree))))
    olds = {one.name: one for one in before.changes.settings}
    old_files = {one.path: one for one in before.changes.files}
    news = [replace(one, old=olds[one.name].old) if one.name in olds else one for one in found.settings]
    new_files = [replace(one, old=old_files[one.path].old) if one.path in old_files else one for one in found.files]
    kept = [one for one in before.changes.settings if one.name not in {each.name for each in news}]
    kept_files = [one for one in before.changes.files if one.path not in {each.path for each in new_files}]
    merged = Changes((*kept, *news), (*kept_files, *new_files))
    return Journal(merged, before.files, before.settings, before.directories)


def _save(tree: Tree, found: Journal) -> None:
    tree.put(path(tree), State("file", pretty_json(found).encode(), 0o600))


def _end(tree: Tree) -> None:
    tree.put(path(tree), None)
