"""Carrying out what was planned for a host, confirming it, and taking it back.

1. What is about to be done is in the journal, on disk, before anything is; the journal is there until all of it is done, and
   confirmed where that was asked for.
2. Killed anywhere: `apply` again completes it, `undo` takes it back, and an unconfirmed run goes back by itself as long as its
   `rollback` process lives.
3. `undo` leads to what was there before the first run; going back without a confirmation to what was there before this run.
4. One at a time on a host: a lock on the root directory of the tree, which leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ocicat.changes import record as files
from ocicat.changes import settings
from ocicat.changes.files import Item, State, Tree
from ocicat.changes.settings import Find, Wish
from ocicat.errors import NotFound, Refused
from ocicat.host.changing import reloads
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, pretty_json
from ocicat.supervise import proc
from ocicat.supervise.proc import Identity

OWNER = "host prepare"


class Planned(Struct, frozen=True):
    """What shall be there. `remarks`: what the operator has to know, or to do."""

    items: tuple[Item, ...] = ()
    wishes: tuple[Wish, ...] = ()
    remarks: tuple[str, ...] = ()


class Changes(Struct, frozen=True):
    """From what is there now."""

    settings: tuple[settings.Change, ...] = ()
    files: tuple[files.Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.settings or self.files)

    @property
    def paths(self) -> list[str]:
        return [change.path for change in self.files]


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
        tuple(settings.changes(find, settings.load(tree), planned.wishes)),
        tuple(files.changes(tree, files.load(tree), planned.items)),
    )


def diff(found: Changes) -> str:
    return settings.diff(found.settings) + files.diff(found.files)


def apply(tree: Tree, find: Find, planned: Planned, confirm_s: float = 0.0) -> Changes:
    """The changes made. Refused: another run waits for its confirmation; or as `changes`."""
    with _alone(tree):
        before = journal(tree)
        if waits(before):
            raise Refused(
                "what was changed last waits for a confirmation", hint="ocicat host confirm, or ocicat host undo"
            )
        found = changes(tree, find, planned)
        if not found and not before:
            return found
        reloads.check(found.paths)
        begun = _merged(before, found, tree)
        _save(tree, begun)
        if confirm_s:
            begun = _watched(tree, begun, confirm_s)
        known = settings.load(tree)
        known = replace(known, directories=tuple(dict.fromkeys((*known.directories, *begun.directories))))
        settings.apply(tree, find, known, found.settings, planned.wishes)
        files.install(tree, files.load(tree), planned.items)
        reloads.run(begun.changes.paths)
        if not confirm_s:
            _end(tree)
        return found


def confirm(tree: Tree) -> None:
    """NotFound: nothing waits for it."""
    with _alone(tree):
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
    with _alone(tree):
        found = journal(tree)
        if not found or found.until_s != until_s:
            return False
        _back(tree, find, found)
        return True


def undo(tree: Tree, find: Find) -> tuple[Changes, list[str]]:
    """The changes made, and what is left as it is because somebody has changed it since."""
    with _alone(tree):
        begun, known = journal(tree), settings.load(tree)
        reloads.check(change.path for change in files.removals(tree, files.load(tree))[0])
        made, edited = files.uninstall(tree, files.load(tree))
        reloads.run([*(change.path for change in made), *(begun.changes.paths if begun else ())])
        turned, left = settings.undo(tree, find, known)
        if not left:
            settings.save(tree, settings.Record())
        _end(tree)
        _remove(tree, (*known.directories, *(begun.directories if begun else ())))
        return Changes(tuple(turned), tuple(made)), [*edited, *left]


def removals(tree: Tree, find: Find) -> tuple[Changes, list[str]]:
    """What `undo` would do."""
    made, edited = files.removals(tree, files.load(tree))
    turned, left = settings.removals(find, settings.load(tree))
    return Changes(tuple(turned), tuple(made)), [*edited, *left]


def _back(tree: Tree, find: Find, found: Journal) -> None:
    """What lets packets through first."""
    settings.put(find, [replace(one, new=one.old) for one in found.changes.settings])
    for change in found.changes.files:
        files.put(tree, replace(change, new=change.old, old=change.new))
    reloads.run(found.changes.paths)
    made = files.load(tree).directories
    files.save(tree, found.files)
    settings.save(tree, found.settings)
    _end(tree)
    _remove(tree, [one for one in (*found.directories, *made) if one not in found.files.directories])


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


def _watched(tree: Tree, begun: Journal, confirm_s: float) -> Journal:
    """With the process that goes back: it outlives this one, its terminal, and its ssh connection."""
    until_s = time.monotonic() + confirm_s
    waiting = replace(begun, until_s=until_s)
    _save(tree, waiting)
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    line = [sys.executable, "-m", "ocicat.host.rollback", str(tree.root), repr(until_s)]
    pid = os.posix_spawn(sys.executable, line, os.environ, file_actions=quiet, setsid=True)
    watched = replace(waiting, watcher=proc.identity(pid))
    _save(tree, watched)
    return watched


def _save(tree: Tree, found: Journal) -> None:
    tree.put(path(tree), State("file", pretty_json(found).encode(), 0o600))


def _end(tree: Tree) -> None:
    tree.put(path(tree), None)


@contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    try:
        lock = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{tree.root}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
