"""Network namespaces: opening, entering for a moment, making and removing named ones.

Named ones are those of iproute2: bind mounts under /run/netns, so `ip netns` and we see the same.

Invariants: 1. Entering is for the calling thread alone, and it is always back where it was afterwards; if it cannot
be brought back that is a `Bug`, because everything the thread does from then on happens in the wrong place.
2. A namespace is made in a thread of its own, which then ends: no thread of the caller ever leaves its namespace.
3. Making two at once, also from different processes, is safe (a lock on /run/netns, the one iproute2 takes).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocicat.errors import Bug, Conflict, NotFound, Refused, UserError

RUN_NETNS = Path("/run/netns")
_HERE = "/proc/thread-self/ns/net"

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def named(name: str) -> Path:
    """Where the namespace `name` is, or would be."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise UserError(f"{name!r} is not a name for a network namespace", hint="use a plain file name")
    return RUN_NETNS / name


def of_process(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net")


def open_namespace(path: Path | str) -> int:
    """A descriptor of it, to be closed by the caller; it keeps the namespace alive. NotFound, Refused."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound(f"there is no network namespace {path}") from error
    except OSError as error:
        raise Refused(f"network namespace {path} cannot be opened: {error.strerror}") from error


@contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """Its descriptor, closed at the end."""
    fd = open_namespace(path)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def inside(fd: int) -> Iterator[None]:
    """The calling thread is in that namespace meanwhile. Start no threads in there: they would stay."""
    with opened(_HERE) as home:
        _enter(fd)
        try:
            yield
        finally:
            _go_home(home)


def unnamed() -> int:
    """Makes a namespace, known only by the descriptor returned, which the caller closes; then it is gone."""
    made: list[int | OSError] = []

    def make() -> None:
        try:
            _check(_libc.unshare(_CLONE_NEWNET), "unshare")
            made.append(os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name="netns-create")
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise Refused(f"cannot make a network namespace: {result.strerror}") from result
    return result


def create(name: str) -> Path:
    """Makes a named namespace, its loopback down as the kernel leaves it. Conflict if the name is taken."""
    path = named(name)
    with _locked_directory():
        try:
            path.touch(mode=0o000, exist_ok=False)
        except FileExistsError as error:
            raise Conflict(f"there is a network namespace {name} already", hint="choose another name") from error
        try:
            fd = unnamed()
            try:
                _bind(fd, path)
            finally:
                os.close(fd)
        except BaseException:
            path.unlink()
            raise
    return path


def delete(name: str) -> None:
    """Removes the name; the namespace itself ends with its last process, descriptor and socket. NotFound."""
    path = named(name)
    try:
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH), f"unmount {path}")
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT}:  # a name whose mount a crash kept from being made
            raise Refused(f"network namespace {name} cannot be removed: {error.strerror}") from error
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise NotFound(f"there is no network namespace {name}") from error


def names() -> list[str]:
    """The named namespaces, sorted."""
    try:
        return sorted(entry.name for entry in RUN_NETNS.iterdir())
    except FileNotFoundError:
        return []


def _enter(fd: int) -> None:
    try:
        _check(_libc.setns(fd, _CLONE_NEWNET), "setns")
    except OSError as error:
        hint = "is it a plain file, left by a crash?" if error.errno == errno.EINVAL else ""
        raise Refused(f"cannot enter network namespace (descriptor {fd}): {error.strerror}", hint=hint) from error


def _go_home(home: int) -> None:
    try:
        _check(_libc.setns(home, _CLONE_NEWNET), "setns")
    except OSError as error:
        raise Bug(
            f"this thread cannot return to its network namespace: {error.strerror}", hint="end the process"
        ) from error


@contextmanager
def _locked_directory() -> Iterator[None]:
    """/run/netns, there and shared, and nobody else in the middle of making one."""
    try:
        RUN_NETNS.mkdir(mode=0o755, parents=True, exist_ok=True)
        directory = os.open(RUN_NETNS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"cannot use {RUN_NETNS}: {error.strerror}") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        _share(os.fsencode(RUN_NETNS))
        yield
    except OSError as error:
        raise Refused(f"cannot make a network namespace: {error}") from error
    finally:
        os.close(directory)


def _share(directory: bytes) -> None:
    """So that a name removed in one mount namespace goes away in all, and does not keep the namespace alive."""
    flags = _MS_SHARED | _MS_REC
    if _libc.mount(b"", directory, b"none", flags, None) == 0:
        return
    if ctypes.get_errno() != errno.EINVAL:  # EINVAL: not a mount point yet
        _check(-1, "share /run/netns")
    _check(_libc.mount(directory, directory, b"none", _MS_BIND | _MS_REC, None), "bind /run/netns")
    _check(_libc.mount(b"", directory, b"none", flags, None), "share /run/netns")


def _bind(fd: int, path: Path) -> None:
    there = os.fsencode(path)
    _check(_libc.mount(b"/proc/self/fd/%d" % fd, there, b"none", _MS_BIND, None), f"bind {path}")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
