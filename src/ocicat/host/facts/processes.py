"""The programs that run in this host's network: those of other networks, which may share the machine, are not of this host."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ocicat.model.base import Struct

_PROC = Path("/proc")


class Process(Struct, frozen=True):
    """`name`: of the program, at most 15 characters of it. `words`: of its command line."""

    pid: int
    name: str
    words: tuple[str, ...]

    def is_called(self, *names: str) -> bool:
        """By its own name, or by that of the file it was started from."""
        started = self.words[0].rpartition("/")[2] if self.words else ""
        return any(started == name or self.name == name[:15] for name in names)


def look() -> tuple[Process, ...]:
    """Those in the network namespace of the caller."""
    here = (_PROC / "self/ns/net").readlink()
    found = []
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):
                if (directory / "ns/net").readlink() == here:
                    found.append(_process(directory))
    return tuple(found)


def _process(directory: Path) -> Process:
    words = (directory / "cmdline").read_bytes().decode(errors="replace").removesuffix("\0").split("\0")
    return Process(int(directory.name), (directory / "comm").read_text().strip(), tuple(words))
