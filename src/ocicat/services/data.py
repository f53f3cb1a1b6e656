"""The directory in which a service keeps what it knows: made for its user alone, moved aside, removed."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from ocicat.errors import Refused
from ocicat.services.running import user_ids
from ocicat.services.spec import Service

MODE = 0o700
_ASIDE = ".before-"


def make(service: Service) -> None:
    """With what ZooKeeper has to find in it. One that is there keeps its content; all of it becomes the user's, if it was not."""
    data = Path(service.data)
    uid, gid = user_ids(service.user)
    try:
        data.mkdir(mode=MODE, parents=True, exist_ok=True)
        data.chmod(MODE)
        if service.service == "zookeeper":
            (data / "myid").write_text(f"{service.number}\n")
            os.chown(data / "myid", uid, gid)
    except OSError as error:
        raise Refused(
            f"{data} cannot be made: {error.strerror}", hint="run it as root, or choose another --data"
        ) from error
    if data.stat().st_uid != uid:
        give(data, service.user)


def give(directory: Path, user: str) -> None:
    """All of it to that user."""
    uid, gid = user_ids(user)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def holds_something(service: Service) -> bool:
    """Has it been used?"""
    return any(entry.name != "myid" for entry in _entries(Path(service.data)))


def size_bytes(directory: Path) -> int:
    """What its files take on their disk."""
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*")) if directory.is_dir() else 0


def move_aside(service: Service) -> Path | None:
    """Where it is now, beside itself; None when there is nothing."""
    data = Path(service.data)
    if not holds_something(service):
        return None
    aside = data.with_name(f"{data.name}{_ASIDE}{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}")
    if aside.exists():
        raise Refused(f"{aside} exists", hint="wait a second")
    data.rename(aside)
    return aside


def put_back(service: Service, aside: Path | None) -> None:
    """After a restoration that failed."""
    data = Path(service.data)
    if data.is_dir():
        shutil.rmtree(data)
    if aside:
        aside.rename(data)
    else:
        make(service)


def everything(service: Service) -> list[Path]:
    """The directory, and those that were moved aside."""
    data = Path(service.data)
    return [path for path in (data, *sorted(data.parent.glob(f"{data.name}{_ASIDE}*"))) if path.is_dir()]


def remove(service: Service) -> list[Path]:
    """All of it. What was removed."""
    found = everything(service)
    for path in found:
        shutil.rmtree(path)
    return found


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []
