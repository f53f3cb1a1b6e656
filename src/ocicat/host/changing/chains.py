"""Chains of another network system in what an iptables program manages, with all that leads to them: taken out, and put back.

The value is what puts them back, as iptables-restore reads it; "" when there are none. Places in chains of others are counted
without rules of ours, which are at the top of them, and may come and go meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ocicat.host.firewall.letting import MARK
from ocicat.host.firewall.programs import output


class Chains:
    """Those whose names begin with `prefix`."""

    own = False

    def __init__(self, program: str, prefix: str) -> None:
        self._program, self._prefix = program, prefix

    def read(self) -> str | None:
        return "\n".join(extract(output([f"{self._program}-save"]), self._prefix))

    def write(self, value: str | None) -> None:
        saved = output([f"{self._program}-save"])
        text = placed(value, saved) if value else "\n".join(removal(extract(saved, self._prefix)))
        if text:
            output([f"{self._program}-restore", "-w", "--noflush"], f"{text}\n")


def extract(saved: str, prefix: str) -> list[str]:
    """Of what iptables-save prints: the chains, their rules, and those of other chains that lead there, each with its place."""
    tables: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            tables[line] = []
        elif line.startswith((":", "-A ")) and tables:
            tables[next(reversed(tables))].append(line)
    found = [(table, list(_ours(lines, prefix))) for table, lines in tables.items()]
    return [line for table, lines in found if lines for line in (table, *lines, "COMMIT")]


def placed(value: str, saved: str) -> str:
    """What `extract` has found, below the rules of ours that iptables-save prints now."""
    ours: Counter[tuple[str, str]] = Counter()
    table = ""
    for line in saved.splitlines():
        table = line if line.startswith("*") else table
        if line.startswith("-A ") and MARK in line:
            ours[table, line.split(" ", 2)[1]] += 1
    return "\n".join(_placed(value.splitlines(), ours))


def _placed(lines: Iterable[str], ours: Counter[tuple[str, str]]) -> Iterator[str]:
    table = ""
    for line in lines:
        table = line if line.startswith("*") else table
        if line.startswith("-I "):
            _, chain, place, rest = line.split(" ", 3)
            yield f"-I {chain} {int(place) + ours[table, chain]} {rest}"
        else:
            yield line


def removal(lines: Iterable[str]) -> Iterator[str]:
    """What takes out what `extract` has found."""
    names: list[str] = []
    for line in lines:
        words = line.split(" ", 3)
        if line.startswith(":"):
            names.append(words[0][1:])
            yield f"-F {names[-1]}"
        elif words[0] == "-I":
            yield f"-D {words[1]} {words[3]}"
        elif line == "COMMIT":
            yield from (f"-X {name}" for name in names)
            names = []
            yield line
        elif line.startswith("*"):
            yield line


def _ours(lines: Iterable[str], prefix: str) -> Iterator[str]:
    places: Counter[str] = Counter()
    for line in lines:
        chain = line.split(" ", 2)[0 if line.startswith(":") else 1].lstrip(":")
        if line.startswith("-A ") and MARK not in line:
            places[chain] += 1
        if chain.startswith(prefix):
            yield line
        elif f"-j {prefix}" in line or f"-g {prefix}" in line:
            yield f"-I {chain} {places[chain]} {line.split(' ', 2)[2]}"
