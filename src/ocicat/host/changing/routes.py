"""Routes of one protocol in the main table, that another program has left: taken out, and put back.

Those over interfaces that have gone do not come back: without the interface there is none.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import pairwise

from ocicat.host.firewall.programs import output

_STATES = frozenset({"linkdown", "dead", "pervasive", "offload", "trap", "rt_offload", "rt_trap", "offload_failed"})


class Routes:
    """The value is what `ip` lists of them."""

    own = False

    def __init__(self, family: str, protocol: str) -> None:
        self._ip = ["ip", f"-{family}", "route"]
        self._protocol = protocol

    def read(self) -> str | None:
        listed = output([*self._ip[:1], "-o", *self._ip[1:], "show", "table", "main", "proto", self._protocol])
        return "\n".join(" ".join(settled(line)) for line in listed.splitlines())

    def write(self, value: str | None) -> None:
        if not value:
            output([*self._ip, "flush", "table", "main", "proto", self._protocol])
            return
        for line in value.splitlines():
            if is_possible(words := line.split()):
                output([*self._ip, "replace", "proto", self._protocol, *words])


def settled(line: str) -> list[str]:
    """The words of a route, without those that tell how it fares just now, which `ip` does not take."""
    words = [word for word in line.replace("\\", " ").split() if word not in _STATES]
    if "error" in words:
        at = words.index("error")
        del words[at : at + 2]
    return words


def is_possible(words: Sequence[str]) -> bool:
    """All interfaces that it names are there."""
    there = {name for _, name in socket.if_nameindex()}
    return all(name in there for word, name in pairwise(words) if word == "dev")
