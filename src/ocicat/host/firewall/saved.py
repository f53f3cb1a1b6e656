"""What iptables-save prints, taken apart: chains of another network system, and all that leads to them. Pure.

Places in chains of others are counted without rules of ours, which are at the top of them, and may come and go meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ocicat.host.firewall.letting import MARK

SET = "--match-set "  # before the name of a set that a rule looks in


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


def without(saved: str, prefixes: Iterable[str]) -> str:
    """What iptables-save would print if there were no such chains."""
    gone = tuple(prefixes)
    return "".join(f"{line}\n" for line in saved.splitlines() if not any(_is_of(line, one) for one in gone))


def sets(saved: str) -> list[str]:
    """The sets that its rules look in, each once, in order."""
    return list(dict.fromkeys(one.split(" ", 1)[0] for one in saved.split(SET)[1:]))


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
        elif _is_of(line, prefix):
            yield f"-I {chain} {places[chain]} {line.split(' ', 2)[2]}"


def _is_of(line: str, prefix: str) -> bool:
    """Such a chain, a rule of it, or one that leads to it."""
    return line.startswith((f":{prefix}", f"-A {prefix}")) or f" -j {prefix}" in line or f" -g {prefix}" in line
