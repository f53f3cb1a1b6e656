"""Runs `nft` on text: one process, one transaction.

Invariants: 1. `NftRefused` means that nft or the kernel said no to this very text, and that nothing of it is in force;
every other failure is `Unavailable`. 2. The process runs in the network namespace of the calling thread.
"""

from __future__ import annotations

import subprocess

from ocicat.dataplane.ownership import TABLE
from ocicat.errors import Refused, Unavailable

_TIMEOUT_S = 60.0
_ABSENT = "No such file or directory"


class NftRefused(Refused):
    """The text is not acceptable; the message is nft's first line."""


class Nft:
    """The `nft` program at that path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, text: str) -> None:
        """NftRefused, Unavailable."""
        self._call(["-f", "-"], text)

    def listing(self) -> str:
        """Our table without its elements; "" if there is none. Unavailable."""
        try:
            return self._call(["-t", "list", "table", "inet", TABLE], "")
        except NftRefused as error:
            if _ABSENT in error.message:
                return ""
            raise Unavailable(error.message) from error

    def _call(self, arguments: list[str], text: str) -> str:
        try:
            done = subprocess.run(
                [self._path, *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"cannot run {self._path}: {error}", hint="install nftables 1.0.6 or later") from error
        if done.returncode < 0:
            raise Unavailable(f"{self._path} was killed by signal {-done.returncode}")
        if done.returncode:
            raise NftRefused(f"nft: {_first_line(done.stderr) or f'exit status {done.returncode}'}")
        return done.stdout


def _first_line(text: str) -> str:
    """Without the place in the text, which nobody has."""
    line = text.strip().partition("\n")[0]
    return line.partition("Error: ")[2] or line
