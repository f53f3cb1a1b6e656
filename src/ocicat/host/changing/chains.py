"""Chains of another network system in what an iptables program manages, with all that leads to them: taken out, and put back.

The value is what puts them back, as iptables-restore reads it; "" when there are none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.host.firewall.programs import output
from ocicat.host.firewall.saved import extract, placed, removal


class Chains:
    """Those whose names begin with one of `prefixes`: all at once, as each stands at its place among the others."""

    own = False

    def __init__(self, program: str, prefixes: Sequence[str]) -> None:
        self._program, self._prefixes = program, prefixes

    def read(self) -> str | None:
        return "\n".join(extract(output([f"{self._program}-save"]), self._prefixes))

    def write(self, value: str | None) -> None:
        saved = output([f"{self._program}-save"])
        text = placed(value, saved) if value else "\n".join(removal(extract(saved, self._prefixes)))
        if text:
            output([f"{self._program}-restore", "-w", "--noflush"], f"{text}\n")
