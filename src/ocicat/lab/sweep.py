"""Finds and removes whatever a lab has made, by name, whether or not anybody remembers having made it.

Promises: `sweep` needs neither the state file nor the supervisor, and may be repeated; `traces` tells what it would remove.
Must not: remove anything that a lab of that name and directory does not make: namespaces and cgroups by `spec.is_name`, entries of
the directory by `spec.is_entry`, processes inside those namespaces and cgroups or recorded with their start time.

Invariants:
1. The supervisor ends first, for it starts again what is killed; then the other processes, the containers, mounts, cgroups,
   namespaces, and at last the directory: each step removes what would keep the next from its work.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ocicat.errors import Refused, Unavailable
from ocicat.lab import hosts, state
from ocicat.lab.mesos.cleanup import cleanup, mounts_below
from ocicat.lab.mesos.umount import umount
from ocicat.lab.spec import DEFAULT_PARENT, is_entry, is_name
from ocicat.model.base import Struct
from ocicat.netlink import namespace
from ocicat.supervise import proc
from ocicat.supervise.keeper import Run
from ocicat.supervise.proc import Identity

_CGROUPS = Path("/sys/fs/cgroup")
_SUPERVISOR_GRACE_S = 20.0
_GRACE_S = 2.0
_ROUNDS = 20


class Traces(Struct, frozen=True):
    """What there is of a lab: names of namespaces and cgroups, paths of mounts and of entries in its directory."""

    namespaces: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.namespaces or self.cgroups or self.mounts or self.entries)


class Removed(Struct, frozen=True):
    """How many of each were removed; `processes` are the lab's own and those of its containers. `directory`: it is gone."""

    processes: int = 0
    mounts: int = 0
    cgroups: int = 0
    namespaces: int = 0
    directory: bool = False

    def __str__(self) -> str:
        counts = [(self.processes, "process", "es"), (self.mounts, "mount", "s"), (self.cgroups, "cgroup", "s")]
        counts += [(self.namespaces, "namespace", "s"), (int(self.directory), "directory", "")]
        return (
            ", ".join(f"{n} {noun}{plural if n > 1 else ''}" for n, noun, plural in counts if n) or "nothing to remove"
        )


def traces(name: str, directory: Path) -> Traces:
    """Of the lab `name` in `directory`."""
    return Traces(
        namespaces=tuple(found for found in namespace.names() if is_name(name, found)),
        cgroups=tuple(sorted({group.name for group in _CGROUPS.glob(f"*/oc{name}-*") if is_name(name, group.name)})),
        mounts=tuple(str(mount) for mount in _mounts(directory)),
        entries=tuple(sorted(str(entry) for entry in _entries(directory))),
    )


def sweep(name: str, directory: Path) -> Removed:
    """Remove it all. Unavailable when a process does not die, Refused when something cannot be removed."""
    processes = _end_processes(name, directory)
    found = traces(name, directory)
    killed = mounts = cgroups = 0
    for group in found.cgroups:
        mesos_dir = directory / group.removeprefix(f"oc{name}-") / "mesos"
        cleaned = cleanup(group, mesos_dir, mesos_dir)
        killed, mounts, cgroups = killed + cleaned.killed, mounts + cleaned.unmounted, cgroups + cleaned.cgroups
    for mount in _mounts(directory):
        umount(mount)
        mounts += 1
    namespaces = hosts.remove(found.namespaces)
    return Removed(processes + killed, mounts, cgroups, namespaces, remove_directory(directory))


def _end_processes(name: str, directory: Path) -> int:
    """Those that are recorded get a chance to end by themselves; whoever else is in our namespaces does not."""
    supervisor, recorded = _recorded(directory)
    ended = len(supervisor) + len(recorded)
    proc.end(supervisor, grace_s=_SUPERVISOR_GRACE_S)
    proc.end(recorded, grace_s=_GRACE_S)
    places = [namespace.named(found) for found in namespace.names() if is_name(name, found)]
    for _ in range(_ROUNDS):  # a process may fork while we read the list
        inside = proc.inside(places)
        if not inside:
            return ended
        ended += proc.end(inside, grace_s=0)
    raise Unavailable(f"processes of the lab {name} do not end: {[who.pid for who in inside]}", hint="try again later")


def _recorded(directory: Path) -> tuple[list[Identity], list[Identity]]:
    """The supervisor, and the processes it keeps: those that live, as far as the state names them."""
    known = state.find(directory)
    if known is None:
        return [], []
    return _living([known.supervisor]), _living(known.runs)


def _living(runs: Iterable[Run]) -> list[Identity]:
    return [run.identity for run in runs if run.identity is not None and proc.alive(run.identity)]


def _mounts(directory: Path) -> list[Path]:
    found = mounts_below(Path("/proc/self/mountinfo").read_text(), directory)
    return [mount for mount in found if mount != directory]  # a mount that was there before is not ours


def _entries(directory: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return [entry for entry in directory.iterdir() if is_entry(entry.name)]
    return []


def remove_directory(directory: Path) -> bool:
    """Our entries, and the directory if nothing else is in it."""
    entries = _entries(directory)
    try:
        _remove_all(entries)
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
            if directory.parent.name == DEFAULT_PARENT:
                with suppress(OSError):  # the agent of this host, or another lab, may be using it
                    directory.parent.rmdir()
            return True
    except OSError as error:
        raise Refused(
            f"{error.filename}: cannot be removed: {error.strerror}", hint="look who uses it: fuser -vm"
        ) from error
    return False


def _remove_all(entries: Iterable[Path]) -> None:
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
