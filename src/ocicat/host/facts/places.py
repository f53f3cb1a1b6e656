"""Where things are kept: control groups, mounts that must be seen by others, directories and the room they have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ocicat.host.roles import Role
from ocicat.model.base import Struct

RUNTIME = "/run/mesos"  # below it Mesos keeps the namespaces of containers
_MIB = 1 << 20
_ESCAPED = re.compile(r"\\([0-7]{3})")

# What must be there of room, and whether programs are started from there. By role; "" is for all.
_NEEDED: tuple[tuple[Role, str, int, bool], ...] = (
    ("agent", "/var/lib/ocicat", 256 * _MIB, False),
    ("agent", "/run/ocicat", 16 * _MIB, False),
    ("agent", "/var/log/ocicat", 64 * _MIB, False),
    ("agent", "/opt/ocicat", 64 * _MIB, True),
    ("services", "/var/lib", 1024 * _MIB, False),
    ("master", "/var/lib", 256 * _MIB, False),
)


class Mount(Struct, frozen=True):
    """A line of mountinfo. `shared`: its peer group, "" when what is mounted there is not told to others."""

    at: str
    kind: str
    options: frozenset[str]
    shared: str


class Directory(Struct, frozen=True):
    """`exists` False: what is said is said of the next one above. `executable`: as its mount has it."""

    path: str
    exists: bool
    writable: bool
    executable: bool
    free_bytes: int
    free_files: int
    open_to_all: bool
    wanted_bytes: int
    runs_programs: bool


class Places(Struct, frozen=True, kw_only=True):
    """`mesos_apart`: the Mesos agent runs in a mount namespace of its own, and what it mounts is not seen by others."""

    mounts: tuple[Mount, ...]
    directories: tuple[Directory, ...]
    mesos_apart: bool = False


def look(roles: Iterable[Role], mesos_pid: int) -> Places:
    """`mesos_pid`: of the Mesos agent; 0: none runs."""
    wanted = tuple(one for one in _NEEDED if one[0] in tuple(roles))
    return Places(
        mounts=mounts("self"),
        directories=tuple(_directory(path, size, runs) for _, path, size, runs in wanted),
        mesos_apart=bool(mesos_pid) and _apart(mesos_pid),
    )


def mounts(pid: int | str) -> tuple[Mount, ...]:
    return tuple(map(mount, Path(f"/proc/{pid}/mountinfo").read_text().splitlines()))


def mount(line: str) -> Mount:
    """proc(5): number parent device root mount-point options optional... - type source super-options."""
    front, _, back = line.partition(" - ")
    fields, more = front.split(" "), back.split(" ")
    shared = next((one.removeprefix("shared:") for one in fields[6:] if one.startswith("shared:")), "")
    at = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
    return Mount(at, more[0], frozenset(f"{fields[5]},{more[-1]}".split(",")), shared)


def covering(found: Iterable[Mount], path: str) -> Mount | None:
    """The mount on which a path lies: of those with the longest way there, the last."""
    fitting = [one for one in found if path == one.at or path.startswith(f"{one.at.rstrip('/')}/")]
    return max(reversed(fitting), key=lambda one: len(one.at), default=None)


def _apart(pid: int) -> bool:
    with suppress(OSError):
        if Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink():
            return False
        theirs, ours = covering(mounts(pid), RUNTIME), covering(mounts("self"), RUNTIME)
        return not (theirs and ours and theirs.shared and theirs.shared == ours.shared)
    return False


def _directory(path: str, wanted_bytes: int, runs_programs: bool) -> Directory:
    there = Path(path)
    while not there.is_dir():
        there = there.parent
    found, mode = os.statvfs(there), there.stat().st_mode
    exists = str(there) == path
    return Directory(
        path=path,
        exists=exists,
        writable=not found.f_flag & os.ST_RDONLY,
        executable=not found.f_flag & os.ST_NOEXEC,
        free_bytes=found.f_bavail * found.f_frsize,
        free_files=found.f_favail if found.f_files else 1 << 32,
        open_to_all=exists and bool(mode & 0o002) and path.endswith("ocicat"),
        wanted_bytes=wanted_bytes,
        runs_programs=runs_programs,
    )
