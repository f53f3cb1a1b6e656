"""Takes away what an agent leaves behind when it is killed: containers still running, their mounts, their cgroups.

Promises: `cleanup` touches nothing but processes in the freezer cgroup below the given root, mounts below the two given
directories, and cgroups called like the root. It may run again and again; what is not there is no error.
Must not: run while the agent does (stop it first), or remove files.

Invariants:
1. Processes die before their mounts go, and mounts before the cgroups: none of these can be removed while the former is in use.
2. A freezer is thawed before its processes are killed: a frozen process dies only when it is thawed.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ocicat.errors import Refused, Unavailable
from ocicat.lab.mesos.umount import umount
from ocicat.model.base import Struct

_HIERARCHIES = Path("/sys/fs/cgroup")
_PATIENCE_S = 10.0
_PAUSE_S = 0.01
_ESCAPE = re.compile(r"\\([0-7]{3})")  # the kernel writes blanks in paths as \040


class Cleaned(Struct, frozen=True):
    """How many of each were removed."""

    killed: int
    unmounted: int
    cgroups: int


def cleanup(cgroups_root: str, work_dir: Path, runtime_dir: Path) -> Cleaned:
    """Remove everything of an agent that does not run any more. Unavailable when a process does not die within 10 s."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", cgroups_root):
        raise Refused(f"{cgroups_root!r} is no name of a cgroup", hint="give the agent's --cgroups-root")
    killed = _kill_all(_HIERARCHIES / "freezer" / cgroups_root)
    unmounted = sum(_unmount_below(directory) for directory in (runtime_dir, work_dir))
    cgroups = sum(_remove_cgroups(root) for root in sorted(_HIERARCHIES.glob(f"*/{cgroups_root}")))
    return Cleaned(killed=killed, unmounted=unmounted, cgroups=cgroups)


def _kill_all(root: Path) -> int:
    """Kill until nobody is left: a process may fork while we read the list."""
    seen: set[int] = set()
    give_up_at = time.monotonic() + _PATIENCE_S
    while alive := _processes(root):
        if time.monotonic() > give_up_at:
            raise Unavailable(f"{root}: {len(alive)} processes do not end: {sorted(alive)[:5]}", hint="try again later")
        seen |= alive
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _thaw(root)
        time.sleep(_PAUSE_S)
    return len(seen)


def _processes(root: Path) -> set[int]:
    pids: set[int] = set()
    for group in _groups(root):
        with suppress(OSError):  # the group went away meanwhile
            pids |= {int(line) for line in (group / "cgroup.procs").read_text().split()}
    return pids - {0}  # 0: somebody in a process namespace that is not ours


def _thaw(root: Path) -> None:
    for group in _groups(root):
        with suppress(OSError):
            (group / "freezer.state").write_text("THAWED")


def _groups(root: Path) -> Iterator[Path]:
    """`root` and every cgroup below it, the deepest first."""
    for directory, _, _ in os.walk(root, topdown=False):
        yield Path(directory)


def _unmount_below(directory: Path) -> int:
    """Deepest, and of those the newest, first; the directory itself may be a mount."""
    mounts = mounts_below(Path("/proc/self/mountinfo").read_text(), directory.absolute())
    for mount in mounts:
        umount(mount)
    return len(mounts)


def mounts_below(mountinfo: str, directory: Path) -> list[Path]:
    """The mount points at or below `directory`, in the order in which they can be unmounted. PURE."""
    points = [_unescape(line.split(" ")[4]) for line in mountinfo.splitlines()]
    below = [point for point in points if point == directory or directory in point.parents]
    below.reverse()  # the sort is stable: of mounts on one point the newest stays first
    return sorted(below, key=lambda point: -len(point.parts))


def _unescape(text: str) -> Path:
    return Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), text))


def _remove_cgroups(root: Path) -> int:
    return sum(_remove_cgroup(group) for group in list(_groups(root)))


def _remove_cgroup(group: Path) -> bool:
    """A process that has just died still counts as a member for a moment."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > give_up_at:
                raise Unavailable(f"{group}: {error.strerror}", hint="a process is still in this cgroup") from error
            time.sleep(_PAUSE_S)
        else:
            return True
