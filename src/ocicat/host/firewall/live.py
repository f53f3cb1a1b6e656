"""Rules of ours in the chains of others, in the kernel: read back, put at the top, and taken out, each time in one transaction.

The value of such a setting is our rules, one a line; "" while there are none; None where there is no such chain.
"""

from __future__ import annotations

import re

from ocicat.errors import Refused
from ocicat.host.firewall.letting import MARK
from ocicat.host.firewall.places import Place
from ocicat.host.firewall.programs import output

_HANDLE = re.compile(r" # handle (\d+)$")
_COUNTER = re.compile(r"counter packets \d+ bytes \d+ ")
_ABSENT = ("No such file", "does not exist")


class NftRules:
    """At the top of one base chain of a table of others."""

    own = True

    def __init__(self, family: str, table: str, chain: str) -> None:
        self._chain = f"{family} {table} {chain}"

    def read(self) -> str | None:
        listed = self._listed()
        return None if listed is None else "\n".join(rule for _, rule in listed)

    def write(self, value: str | None) -> None:
        lines = [f"delete rule {self._chain} handle {handle}" for handle, _ in self._listed() or []]
        lines += [f"insert rule {self._chain} {rule}" for rule in reversed((value or "").splitlines())]
        if lines:
            output(["nft", "-f", "-"], "\n".join(lines) + "\n")

    def _listed(self) -> list[tuple[str, str]] | None:
        """Handle and text of each of ours. Without the elements of sets: there may be many, and none are in rules of ours."""
        try:
            listing = output(["nft", "-a", "list", "chain", *self._chain.split(" ")])
        except Refused as error:
            _check_absent(error)
            return None
        ours = [line.strip() for line in listing.splitlines() if f'comment "{MARK}"' in line]
        return [(_handle(line), _COUNTER.sub("", _HANDLE.sub("", line))) for line in ours]


class IptablesRules:
    """At the top of one chain of what `program` manages."""

    own = True

    def __init__(self, program: str, chain: str) -> None:
        self._program, self._chain = program, chain

    def read(self) -> str | None:
        """All chains are listed: of one that is not there iptables-nft says that it is incompatible."""
        lines = output([self._program, "-w", "-S"]).splitlines()
        if not any(line == f"-N {self._chain}" or line.startswith(f"-P {self._chain} ") for line in lines):
            return None
        added = f"-A {self._chain} "
        ours = (line for line in lines if line.startswith(added) and f"--comment {MARK} " in line)
        return "\n".join(line.removeprefix(added) for line in ours)

    def write(self, value: str | None) -> None:
        rules = [f"-D {self._chain} {rule}" for rule in (self.read() or "").splitlines()]
        rules += [f"-I {self._chain} {at} {rule}" for at, rule in enumerate((value or "").splitlines(), 1)]
        if rules:
            output([f"{self._program}-restore", "-w", "--noflush"], "\n".join(["*filter", *rules, "COMMIT", ""]))


def name(place: Place, chain: str) -> str:
    """What the record calls it."""
    return f"rules {place.program} {chain}" if place.program else f"rules nft {place.family} {place.table} {chain}"


def by_name(words: list[str]) -> NftRules | IptablesRules:
    """Of what follows "rules" in the name."""
    return NftRules(*words[1:]) if words[0] == "nft" else IptablesRules(*words)


def _handle(line: str) -> str:
    found = _HANDLE.search(line)
    return found[1] if found else ""


def _check_absent(error: Refused) -> None:
    """Refused again, unless it says that there is no such chain."""
    if not any(word in error.message for word in _ABSENT):
        raise error
