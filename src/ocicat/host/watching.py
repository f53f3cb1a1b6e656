"""The process that takes back what nobody has confirmed: started, and known to wait, before anything is changed.

It outlives who starts it, his terminal, and his ssh connection. It has nothing of the directory from which it is started: no module
of somebody who may write there is run as root.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ocicat.changes.files import Tree
from ocicat.errors import Refused
from ocicat.model.base import Struct
from ocicat.supervise import proc
from ocicat.supervise.interpreter import module_line
from ocicat.supervise.proc import Identity

READY = b"waits\n"
_START_S = 60.0


class Watcher(Struct, frozen=True):
    """`line`: on which it is told its time. It ends when that is closed before."""

    identity: Identity
    line: socket.socket

    def go_back_at(self, until_s: float) -> None:
        """By the monotonic clock."""
        self.line.sendall(repr(until_s).encode())
        self.line.shutdown(socket.SHUT_WR)


@contextmanager
def started(tree: Tree) -> Iterator[Watcher]:
    """Refused when it does not start."""
    mine, its = socket.socketpair()
    with mine:
        with its:
            quiet = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_RDWR, 0)]
            wired = [(os.POSIX_SPAWN_DUP2, its.fileno(), fd) for fd in range(2)]
            line = module_line("ocicat.host.rollback", str(tree.root.absolute()))
            pid = os.posix_spawn(sys.executable, line, os.environ, file_actions=[*wired, *quiet], setsid=True)
        found = proc.identity(pid)
        if not found or not _is_ready(mine):
            proc.end([found] if found else [], grace_s=0)
            raise Refused(
                "the process that would take back what is not confirmed does not start: nothing is changed",
                hint="--confirm 0 does without it",
            )
        yield Watcher(found, mine)


def _is_ready(mine: socket.socket) -> bool:
    mine.settimeout(_START_S)
    said = b""
    with suppress(OSError):
        while not said.endswith(READY) and (more := mine.recv(64)):
            said += more
    return said.endswith(READY)
