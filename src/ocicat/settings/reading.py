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


class Place(Struct, frozen=True):
    """From where names of files are seen: ours, or that of the process `pid`, which may have another working directory and another
    root (a container's)."""

    pid: int = 0

    def opened(self, path: str) -> str:
        """By which name we open what is `path` there."""
        if not self.pid:
            return path
        return f"/proc/{self.pid}/root{path}" if path.startswith("/") else f"/proc/{self.pid}/cwd/{path}"

    def absolute(self, path: str) -> str:
        """As people are told it."""
        try:
            return str(Path(f"/proc/{self.pid}/cwd").readlink() / path) if self.pid else path
        except OSError:  # it has just ended
            return path


OURS = Place()


class FileFacts(Struct, frozen=True):
    """Of a file that may hold secrets, or say where they are."""

    path: str
    owner: int
    mode: int


def path_of(named: str = "", environment: Mapping[str, str] | None = None) -> str:
    """Which file is read: the one that was named, or the variable's, or the usual one."""
    variables = os.environ if environment is None else environment
    return named or variables.get(FILE_VARIABLE, "") or DEFAULT_FILE


def file_layer(path: str, place: Place = OURS) -> Layer:
    """The usual file may be missing, one that somebody named may not. Errors: NotFound, UserError."""
    told = place.absolute(path)
    try:
        text = Path(place.opened(path)).read_bytes().decode()
    except FileNotFoundError as error:
        if path == DEFAULT_FILE:
            return Layer()
        raise NotFound(
            f"configuration file {told}: there is none", hint="`ocicat config default` prints one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"configuration file {told}: cannot be read: {cause}") from error
    return layers.of_file(text, told)


def variable_layer() -> Layer:
    return layers.of_variables(os.environ)


def facts(path: str, place: Place = OURS) -> FileFacts | None:
    """None: there is none, or it is not to be seen."""
    try:
        found = Path(place.opened(path)).stat()
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


def takes(pid: int, number: int) -> bool:
    """Does it do something of its own at this signal? False too when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> (number - 1) & 1)


def _split(data: bytes) -> tuple[str, ...]:
    """Each ends with a NUL byte; one may be empty."""
    return tuple(data.decode(errors="surrogateescape").removesuffix("\0").split("\0"))
