"""The configuration file and the environment of this machine, and what an agent that runs here was started with. Input only."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ocicat.errors import NotFound, UserError
from ocicat.model.base import Struct
from ocicat.settings import layers
from ocicat.settings.arguments import Process
from ocicat.settings.layers import Layer
from ocicat.settings.setting import DEFAULT_FILE, FILE_VARIABLE


class FileFacts(Struct, frozen=True):
    """Of a file that may hold secrets, or say where they are."""

    path: str
    owner: int
    mode: int


def path_of(named: str = "", environment: Mapping[str, str] | None = None) -> str:
    """Which file is read: the one that was named, or the variable's, or the usual one."""
    variables = os.environ if environment is None else environment
    return named or variables.get(FILE_VARIABLE, "") or DEFAULT_FILE


def file_layer(path: str) -> Layer:
    """The usual file may be missing, one that somebody named may not. Errors: NotFound, UserError."""
    try:
        text = Path(path).read_bytes().decode()
    except FileNotFoundError as error:
        if path == DEFAULT_FILE:
            return Layer()
        raise NotFound(
            f"configuration file {path}: there is none", hint="`ocicat config default` prints one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"configuration file {path}: cannot be read: {cause}") from error
    return layers.of_file(text, path)


def variable_layer() -> Layer:
    return layers.of_variables(os.environ)


def facts(path: str) -> FileFacts | None:
    """None: there is none, or it is not to be seen."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return FileFacts(path, found.st_uid, stat.S_IMODE(found.st_mode)) if stat.S_ISREG(found.st_mode) else None


def process_behind(agent_socket: str) -> int | None:
    """The process that serves this socket, by the lock that it holds; None: none does, or it cannot be told."""
    try:
        lock = Path(f"{agent_socket}.lock").stat()
        held = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    rows = (line.split() for line in held)
    return next((int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == wanted and row[4].isdigit()), 0) or None


def process(pid: int) -> Process | None:
    """Its words and variables; None: it is gone, or belongs to somebody else."""
    try:
        words, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return None
    return Process(_split(words), _split(environment))


def _split(data: bytes) -> tuple[str, ...]:
    """Each ends with a NUL byte; one may be empty."""
    return tuple(data.decode(errors="surrogateescape").removesuffix("\0").split("\0"))
