"""How a process that committed tells the others on this machine, and how they hear it: inotify on the store's own file.

Ringing sets the file's time stamps, which inotify reports as IN_ATTRIB. It is done *after* the commit is visible, which is why
the write-ahead log itself is not watched: that is written, and would wake the listener, before readers can see the commit.
The bell is a hint. One that is lost (a process killed between commit and ring) is made good by whoever listens polling slowly.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_IN_ATTRIB = 0x4
_IN_DELETE_SELF = 0x400
_ONE_READ_BYTES = 4096

_LOG = logging.getLogger(__name__)


def ring(path: Path) -> None:
    """Never fails: what it announces is committed already."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def listening(path: Path, heard: Callable[[], None]) -> Iterator[None]:
    """Calls `heard` in the running loop at every ring. Where the kernel gives no inotify, says so in the log and stays deaf."""
    try:
        descriptor = _inotify(path)
    except OSError as error:
        _LOG.warning("store %s: changes by other processes are seen late: no inotify: %s", path, error)
        yield
        return
    loop = asyncio.get_running_loop()

    def drain() -> None:
        with suppress(BlockingIOError):
            os.read(descriptor, _ONE_READ_BYTES)
        heard()

    loop.add_reader(descriptor, drain)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _inotify(path: Path) -> int:
    """A descriptor that becomes readable when `path` is rung or removed."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        raise _last_error()
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_ATTRIB | _IN_DELETE_SELF) < 0:
        error = _last_error()
        os.close(descriptor)
        raise error
    return descriptor


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
