"""Names in /etc/hosts, so that this host and its peers are found by them, and their addresses lead back. Pure.

1. The first line of a name counts, and of an address: a line of others that says otherwise is switched off, and what else it said
   is said again in our block.
2. What the rest of the file, or DNS, says rightly is not said again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ocicat.changes.files import Item, State
from ocicat.changes.settings import Wish
from ocicat.host.changing.texts import OFF
from ocicat.host.facts.names import Names, same
from ocicat.host.prepare import Planned
from ocicat.model.base import Struct

HOSTS = "/etc/hosts"
HOSTNAME = "/etc/hostname"
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
NOBODY = frozenset({"localhost", "localhost.localdomain"})  # what every host calls itself: never another address's
_MOST = 64  # HOST_NAME_MAX


class Host(Struct, frozen=True):
    """`name`: the one to be announced, with its domain where it has one."""

    name: str
    address: str

    @property
    def names(self) -> tuple[str, ...]:
        short = self.name.partition(".")[0]
        return (self.name,) if short == self.name or short in NOBODY else (self.name, short)


class _Line(NamedTuple):
    address: str
    names: tuple[str, ...]


def is_name(text: str) -> bool:
    """Of a host, as DNS has them."""
    return (
        bool(_NAME.fullmatch(text))
        and len(text) <= _MOST
        and text not in NOBODY
        and not text.replace(".", "").isdecimal()
    )


def announced(found: Names) -> str:
    """With the domain, where the resolver knows this host's name with one."""
    canonical = found.lookups.of(found.host).canonical
    return canonical if canonical and same(found.host, canonical) else found.host


def hosts(wanted: Sequence[Host], text: str) -> Planned:
    """`wanted`: those that must be in the file. `text`: of the file, without our block, and with nothing switched off."""
    lines = [found for line in text.splitlines() if (found := _line(line))]
    missing = [one for one in wanted if not _is_said(one, lines)]
    if not missing:
        return Planned()
    off = [line for line in lines if any(_contradicts(line, one) for one in missing)]
    addresses = list(dict.fromkeys(line.address for line in off))
    switched = [line for line in lines if line.address in addresses]
    block = "".join(_written(one) for one in _merged(missing, switched))
    wishes = tuple(Wish(f"line {HOSTS} {address}", "") for address in addresses)
    return Planned((Item(HOSTS, State("block", block.encode())),), wishes)


def called(name: str) -> Planned:
    """This host, now and after each boot."""
    return Planned((Item(HOSTNAME, State("file", f"{name}\n".encode())),), (Wish("hostname", name),))


def without_ours(text: str, block: str) -> str:
    """Of the file as it is: without the block, and with what was switched off."""
    return "\n".join(
        line.removeprefix(OFF)
        for line in text.replace(block, "").splitlines()
        if not line.startswith("# --- ocicat host prepare")
    )


def names_in(block: str) -> frozenset[str]:
    """Which our block has lines for."""
    return frozenset(name for line in block.splitlines() if (found := _line(line)) for name in found.names)


def _line(text: str) -> _Line | None:
    words = text.partition("#")[0].split()
    return _Line(words[0], tuple(words[1:])) if len(words) > 1 else None


def _is_said(one: Host, lines: Iterable[_Line]) -> bool:
    """By the first line of the name, and by that of the address, which names it first."""
    by_name = next((line for line in lines if one.name in line.names), None)
    by_address = next((line for line in lines if line.address == one.address), None)
    return bool(by_name and by_name == by_address and by_name.names[0] == one.name)


def _contradicts(line: _Line, one: Host) -> bool:
    return bool(set(line.names) & set(one.names)) or line.address == one.address


def _merged(wanted: Sequence[Host], switched: Sequence[_Line]) -> list[_Line]:
    taken = {name for one in wanted for name in one.names}
    found: dict[str, tuple[str, ...]] = {}
    for line in switched:
        found[line.address] = (*found.get(line.address, ()), *(name for name in line.names if name not in taken))
    mine = [_Line(one.address, (*one.names, *found.pop(one.address, ()))) for one in wanted]
    return [*mine, *(_Line(address, names) for address, names in found.items() if names)]


def _written(line: _Line) -> str:
    return f"{line.address} {' '.join(dict.fromkeys(line.names))}\n"
