"""Runs `nft` on text: one process, one transaction.

Invariants: 1. `NftRefused` means that nft or the kernel said no to this very text, and that nothing of it is in force;
every other failure is `Unavailable`. 2. The process runs in the network namespace of the calling thread.
"""

from __future__ import annotations

import subprocess

from ocicat.dataplane.drivers.ports import Ports
from ocicat.dataplane.ownership import TABLE
from ocicat.errors import Refused, Unavailable

_TIMEOUT_S = 600.0  # no machine is so busy that a ruleset which takes longer would be worth waiting for
_ABSENT = "No such file or directory"


class NftRefused(Refused):
    """The text is not acceptable; the message is nft's first line."""


class Nft:
    """The `nft` program at that path. `ports`: told of each process before it can change anything."""

    def __init__(self, path: str, ports: Ports) -> None:
        self._path = path
        self._ports = ports

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
            with subprocess.Popen(
                [self._path, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as nft:
                self._ports.add(nft.pid)  # nft's socket gets this port; it waits for its text until we send it
                output, errors = _communicate(nft, text)
        except subprocess.TimeoutExpired as error:
            what = f"{self._path} {' '.join(arguments)}"
            raise Unavailable(
                f"{what} was ended after {error.timeout:g} s", hint="see what keeps the host busy"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot run {self._path}: {error}", hint="install nftables 1.0.6 or later") from error
        if nft.returncode < 0:
            raise Unavailable(f"{self._path} was killed by signal {-nft.returncode}")
        if nft.returncode:
            raise NftRefused(f"nft: {_first_line(errors) or f'exit status {nft.returncode}'}")
        return output


def _communicate(process: subprocess.Popen[str], text: str) -> tuple[str, str]:
    try:
        return process.communicate(text, timeout=_TIMEOUT_S)
    except BaseException:
        process.kill()
        raise


def _first_line(text: str) -> str:
    """Without the place in the text, which nobody has."""
    line = text.strip().partition("\n")[0]
    return line.partition("Error: ")[2] or line
