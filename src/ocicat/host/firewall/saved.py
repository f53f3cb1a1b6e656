"""What iptables-save prints, taken apart: chains of another network system, and all that leads to them. Pure.

Places in chains of others are counted without rules of ours, which are at the top of them, and may come and go meanwhile.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from ocicat.host.firewall.letting import MARK

# A set that a rule looks in, or that it fills, empties or maps by; or a text of its own, whatever that says.
_SET = re.compile(r'"(?:\\.|[^"\\])*"|--(?:match|add|del|map)-set (\S+)')


def extract(saved: str, prefixes: Iterable[str]) -> list[str]:
    """Of what iptables-save prints: chains whose names begin so, their rules, and those of others that lead there, each with its
    place."""
    named = tuple(prefixes)
    tables: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            tables[line] = []
        elif line.startswith((":", "-A ")) and tables:
            tables[next(reversed(tables))].append(line)
    found = [(table, list(_ours(lines, named))) for table, lines in tables.items()]
    return [line for table, lines in found if lines for line in (table, *lines, "COMMIT")]


def without(saved: str, prefixes: Iterable[str]) -> str:
    """What iptables-save would print if there were no such chains."""
    gone = tuple(prefixes)
    return "".join(f"{line}\n" for line in saved.splitlines() if not _is_of(line, gone))


def sets(saved: str) -> Counter[str]:
    """The sets that its rules use, in order, and how often: each time keeps a set from going."""
    return Counter(name for name in _SET.findall(saved) if name)


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


def _ours(lines: Iterable[str], prefixes: tuple[str, ...]) -> Iterator[str]:
    places: Counter[str] = Counter()
    for line in lines:
        chain = line.split(" ", 2)[0 if line.startswith(":") else 1].lstrip(":")
        if line.startswith("-A ") and MARK not in line:
            places[chain] += 1
        if chain.startswith(prefixes):
            yield line
        elif _is_of(line, prefixes):
            yield f"-I {chain} {places[chain]} {line.split(' ', 2)[2]}"


def _is_of(line: str, prefixes: Iterable[str]) -> bool:
    """Such a chain, a rule of it, or one that leads to it."""
    return any(
        line.startswith((f":{one}", f"-A {one}")) or f" -j {one}" in line or f" -g {one}" in line for one in prefixes
    )
