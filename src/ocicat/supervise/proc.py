"""Processes, known by number *and* start time, because the kernel gives numbers out again.

Promises: a signal reaches the very process that is meant or nobody (the process is held by a descriptor while its start time is
compared); a zombie counts as gone.
Must not: signal this process or one of its ancestors, whatever is asked of `inside`.

Source: proc(5), fields 3 (state), 4 (parent) and 22 (start time) of /proc/PID/stat; pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from ocicat.model.base import Struct

_PROC = Path("/proc")


class Identity(Struct, frozen=True):
    """One process for all time: its number, and when it started (clock ticks after boot)."""

    pid: int
    started: int


def identity(pid: int) -> Identity | None:
    """Who has that number now; None when nobody, or what is left of it is a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else Identity(pid, int(fields[19]))


def myself() -> Identity:
    found = identity(os.getpid())
    assert found is not None, "a process that runs is in /proc"
    return found


def alive(who: Identity) -> bool:
    return identity(who.pid) == who


def send(who: Identity, number: signal.Signals) -> bool:
    """Signal that process; False when it is gone."""
    try:
        fd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(who):
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def end(all_of_them: Iterable[Identity], *, grace_s: float) -> int:
    """SIGTERM, then after `grace_s` seconds SIGKILL (at once when 0). How many there were; all are gone on return."""
    present = [who for who in all_of_them if alive(who)]
    if grace_s > 0:
        for who in present:
            send(who, signal.SIGTERM)
        wait_gone(present, timeout_s=grace_s)
    for who in present:
        send(who, signal.SIGKILL)
    wait_gone(present, timeout_s=10.0)  # a process in uninterruptible sleep may outlive even this
    return len(present)


def wait_gone(all_of_them: Iterable[Identity], *, timeout_s: float) -> bool:
    """Wait until none of them is left; False when time ran out."""
    deadline = time.monotonic() + timeout_s
    return all(_wait_one(who, deadline) for who in list(all_of_them))


def inside(namespaces: Collection[Path]) -> list[Identity]:
    """Every process in one of these network namespaces, except this one and its ancestors."""
    wanted = {_key(path) for path in namespaces} - {None}
    spared = _ancestry()
    found = (identity(pid) for pid in _pids() if pid not in spared and _key(_PROC / f"{pid}/ns/net") in wanted)
    return [who for who in found if who is not None]


def _wait_one(who: Identity, deadline: float) -> bool:
    try:
        fd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(who):
            return True
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        return bool(readable)
    finally:
        os.close(fd)


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _key(namespace: Path) -> tuple[int, int] | None:
    """What makes two paths the same namespace; None when it is gone."""
    try:
        status = namespace.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ancestry() -> set[int]:
    pid, family = os.getpid(), set[int]()
    while pid > 0:
        family.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return family


def _stat(pid: int) -> list[str] | None:
    """The fields after the command's name, which may hold anything, also blanks and brackets."""
    try:
        text = (_PROC / f"{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
