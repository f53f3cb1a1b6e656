"""Which files and folders of the host its agent is told of, and a container must therefore be given. Pure.

1. A file that the agent only reads is given alone and read-only, if it is there; for one that it writes, the folder it lies in.
2. A folder that is more than the agent's is not given away whole: who names a file in one is told to choose another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.node.container import folders
from ocicat.settings.resolve import Resolved

_SQLITE = "sqlite://"
_TLS_FILE = re.compile(r"[?&](?:ca|cert|key)=(/[^&]*)")
_TOP = frozenset({"/", "/etc", "/home", "/mnt", "/opt", "/run", "/srv", "/tmp", "/usr", "/var"})
_EVERYBODYS = _TOP | {f"/var/{name}" for name in ("cache", "lib", "log", "run", "tmp")}


class Named(Struct, frozen=True):
    """A file's path, and the setting it stands in."""

    path: str
    key: str
    written: bool


def named(resolved: Resolved) -> list[Named]:
    store = resolved.text("store.url")
    found = [Named(path, "store.url", written=False) for path in _TLS_FILE.findall(store)]
    if store.startswith(_SQLITE):
        found.append(Named(store.removeprefix(_SQLITE), "store.url", written=True))
    for key, written in (
        ("mesos.credential", False),
        ("agent.socket", True),
        ("flows.log", True),
        ("docker.plugin", True),
    ):
        found.append(Named(resolved.text(key), key, written))
    return [each for each in found if each.path.startswith("/")]


def volumes(files: Iterable[Named], is_file: Callable[[str], bool]) -> tuple[str, ...]:
    """Those that a container of ours does not have anyway. UserError."""
    had = folders()
    given: dict[str, str] = {}
    for each in files:
        if any(_below(each.path, folder) and (writable or not each.written) for folder, writable in had.items()):
            continue
        if each.written:
            folder = str(PurePosixPath(each.path).parent)
            if folder in _EVERYBODYS or folder in had:
                raise UserError(
                    f"{each.key} {each.path}: {folder} cannot be given to the agent's container",
                    hint="choose a file in a folder of its own",
                )
            given[folder] = f"{folder}:{folder}"
        elif is_file(each.path):
            given.setdefault(each.path, f"{each.path}:{each.path}:ro")
    return tuple(given.values())


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")
