"""The directory in which a service keeps what it knows: made for its user alone, moved aside, removed.

1. What is inside belongs to the service's user, who is not trusted: nothing is written, given away or removed through a link.
2. Beside it, where only root writes, stands what `up` was told when the data was made: it outlives `down`, as the data does.
3. A directory that holds anything and has no such description is somebody else's: it is neither used nor removed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ocicat.errors import Refused
from ocicat.model.codec import decode_json, pretty_json
from ocicat.services.pki.openssl import PUBLIC, SECRET, write
from ocicat.services.running import user_ids
from ocicat.services.spec import Service

MODE = 0o700
_ASIDE = "before-"
_ASIDE_NAME = re.compile(r".*\.before-\d{8}T\d{6}")
_FRESH = ".fresh"
_OF_A_DISK = "lost+found"
_OFTEN_EMPTY = frozenset(f"/{name}" for name in ("home", "media", "mnt", "opt", "srv", "tmp"))  # and not ours therefore


def described(directory: str) -> Service | None:
    """What `up` was told that made the data there, or used it last. None when there is no description.

    Refused: others than root may write there, and it could be theirs.
    """
    path = description(directory)
    if not path.exists():
        return None
    _check_place(Path(directory))
    if not path.is_file():  # to read a pipe would be to wait for ever
        raise Refused(f"{path} is no file", hint="ocicat writes there what `up` was told: move it away")
    return decode_json(Service, path.read_bytes(), what=str(path))


def description(directory: str) -> Path:
    return Path(f"{directory}.ocicat.json")


def check(service: Service, former: Service | None = None) -> None:
    """Refused: the directory is somebody else's, or others could put another one in its place. `former`: as set up here."""
    data = Path(service.data)
    if data.is_symlink() or (data.exists() and not data.is_dir()):
        raise Refused(f"--data: {data} is no directory", hint="give the directory itself, not a link that leads there")
    if service.data in _OFTEN_EMPTY and not _is_mount(data):
        raise Refused(f"--data: {data} is not for one service alone", hint=f"use {data}/{service.service}")
    _check_place(data)
    if not _is_ours(service) and not (former and former.data == service.data):
        raise Refused(
            f"--data: {data} holds what ocicat has not put there",
            hint="choose an empty directory, or one that is not there; a copy of etcd or ZooKeeper is brought in by restore",
        )


def _check_place(data: Path) -> None:
    if weak := _weak(data):
        raise Refused(
            f"--data: {weak} belongs to others than root, or others may write there",
            hint=f"chown root {weak}; chmod go-w {weak}; or choose another directory",
        )


def make(service: Service) -> None:
    """With what ZooKeeper has to find in it. One that is there keeps its content; all of it becomes the user's, if it was not."""
    data = Path(service.data)
    ids = user_ids(service.user)
    with _mapped(data, "made"):
        data.mkdir(mode=MODE, parents=True, exist_ok=True)
        data.chmod(MODE)
        if service.service == "zookeeper":
            write(data / "myid", f"{service.number}\n".encode(), SECRET, ids)
        if data.stat().st_uid != ids[0]:
            give(data, service.user)


def describe(service: Service) -> None:
    write(description(service.data), pretty_json(service).encode(), PUBLIC)


def give(directory: Path, user: str) -> None:
    """All of it to that user, the directory last. By descriptors: its former owner may exchange parts for links meanwhile."""
    uid, gid = user_ids(user)
    for here, folders, files, fd in os.fwalk(directory, topdown=False):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                if not _is_foreign(os.stat(name, dir_fd=fd, follow_symlinks=False), name):
                    os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
        if here == str(directory):
            os.fchown(fd, uid, gid)


def holds_something(service: Service) -> bool:
    """Has it been used?"""
    return any(entry.name != "myid" for entry in _entries(Path(service.data)))


def size_bytes(directory: Path) -> int:
    """What its files take on their disk. A file that goes meanwhile takes nothing."""
    total = 0
    for here, folders, files in os.walk(directory):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                total += Path(here, name).lstat().st_blocks * 512
    return total


def move_aside(service: Service) -> Path | None:
    """Where it is now: beside itself, or inside where it is a disk of its own. None when there is nothing."""
    data = Path(service.data)
    if not holds_something(service):
        return None
    name = f"{_ASIDE}{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
    aside = data / f".{name}" if _is_mount(data) else data.with_name(f"{data.name}.{name}")
    if aside.exists():
        raise Refused(f"{aside} exists", hint="wait a second")
    with _mapped(data, "moved aside"):
        if _is_mount(data):
            _claim(data)
            aside.mkdir(mode=MODE)
            _move(_entries(data), aside)
        else:
            data.rename(aside)
    return aside


def fresh(service: Service) -> Path:
    """A path inside that does not exist, for data that is being made; nobody but us can write there until `make`."""
    data = Path(service.data)
    with _mapped(data, "made"):
        data.mkdir(mode=MODE, parents=True, exist_ok=True)
        _claim(data)
        _remove(data / _FRESH)
    return data / _FRESH


def take_in(service: Service, made: Path) -> None:
    """What is in `made`, a path of `fresh`, is the data."""
    with _mapped(made, "moved"):
        _move(list(made.iterdir()), Path(service.data))
        made.rmdir()


def put_back(service: Service, aside: Path | None) -> None:
    """After a restoration that failed."""
    data = Path(service.data)
    with _mapped(data, "put back"):
        _remove(data / _FRESH)
        if aside and aside.parent == data:
            _move(list(aside.iterdir()), data)
            aside.rmdir()
        elif aside:
            _remove(data)
            aside.rename(data)
    make(service)


def everything(service: Service) -> list[Path]:
    """The directory, those that were moved aside, and the description."""
    data = Path(service.data)
    aside = sorted(path for path in data.parent.glob(f"{data.name}.{_ASIDE}*") if _ASIDE_NAME.fullmatch(path.name))
    return [path for path in (data, *aside) if path.is_dir()] + [
        path for path in (description(service.data),) if path.is_file()
    ]


def remove(service: Service) -> list[Path]:
    """All of it; of a disk of its own, its content. What was removed. Refused: it is not ours."""
    if not _is_ours(service):
        raise Refused(
            f"{service.data} is not removed: {description(service.data)}, which says that it is ocicat's, is not there",
            hint=f"if it is of no use: rm -r {service.data}",
        )
    found = everything(service)
    for path in found:
        with _mapped(path, "removed"):
            _remove(path)
    return found


def _is_ours(service: Service) -> bool:
    return described(service.data) is not None or not holds_something(service)


def _remove(path: Path) -> None:
    """Whatever it is; of a mount point the content, as far as it is ours."""
    if _is_mount(path):
        for entry in path.iterdir():
            if entry.name != _OF_A_DISK:
                _remove(entry)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move(entries: list[Path], target: Path) -> None:
    for entry in entries:
        entry.rename(target / entry.name)


def _claim(directory: Path) -> None:
    """Its former user cannot change it any more."""
    directory.chmod(MODE)
    os.chown(directory, os.geteuid(), os.getegid(), follow_symlinks=False)


def _entries(directory: Path) -> list[Path]:
    """Without what a file system or a restoration has put there."""
    found = list(directory.iterdir()) if directory.is_dir() else []
    return [path for path in found if path.name not in (_OF_A_DISK, _FRESH) and not _ASIDE_NAME.fullmatch(path.name)]


def _is_foreign(found: os.stat_result, name: str) -> bool:
    """A file of several names may be one of somebody else's."""
    return name == _OF_A_DISK or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1)


def _weak(data: Path) -> Path | None:
    """The first directory above, as it is written and where that leads, in which others could exchange what we use.

    The sticky bit keeps what is there from them, and not what is still to be made.
    """
    for at in (data, Path(os.path.realpath(data))):
        there = [path for path in at.parents if path.exists()]
        for path in there:
            found = path.stat()
            sticky = found.st_mode & stat.S_ISVTX and path != there[0]
            if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not sticky):
                return path
    return None


def _is_mount(path: Path) -> bool:
    """Also one that is bound there from the same file system."""
    with suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return str(path) in {line.split()[4] for line in lines}
    return path.is_mount()


@contextmanager
def _mapped(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(
            f"{path} cannot be {what}: {error.strerror}", hint="run it as root, or choose another --data"
        ) from error
