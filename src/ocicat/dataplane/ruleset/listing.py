"""The listing of our table (`nft -t list table inet ocicat`) as the shapes that are compared with the wanted ones.

Invariants: 1. A rule without our digest is in the shape too, as one that nobody can want: whoever put it there, it goes.
2. What is not a chain, a set, a map or a counter is passed over. 3. Chains of a table that is dormant see nothing: they have no
place and no rules. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ocicat.dataplane.ruleset.objects import SetSpec, Shape
from ocicat.model.base import Struct

_FOREIGN = "?"
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_HEAD = re.compile(r"^\t(chain|set|map|counter) (\S+) \{$", re.MULTILINE)
_DORMANT = re.compile(r"^\tflags .*\bdormant\b", re.MULTILINE)
_MARK = re.compile(r' comment "([0-9a-f]{10})(?: [^"]*)?"$')
_HOOK = re.compile(r"^type (\S+) hook (\S+) .*priority (.+); policy (\S+);$")


class Listing(Struct, frozen=True):
    """Shapes and specifications by name; names of counters."""

    chains: Mapping[str, Shape] = {}
    sets: Mapping[str, SetSpec] = {}
    counters: frozenset[str] = frozenset()


def parse(text: str) -> Listing:
    """A listing of one table; empty text is an absent table."""
    chains: dict[str, Shape] = {}
    sets: dict[str, SetSpec] = {}
    counters: set[str] = set()
    awake = not _DORMANT.search(text)
    for head in _HEAD.finditer(text):
        kind, name = head.groups()
        if kind == "counter":
            counters.add(name)
            continue
        end = text.index("\n\t}", head.end())
        lines = [line.strip() for line in text[head.end() : end].splitlines()[1:]]
        if kind == "chain":
            chains[name] = _chain(lines) if awake else Shape("", ())
        else:
            sets[name] = _set(name, lines)
    return Listing(chains, sets, frozenset(counters))


def _chain(lines: list[str]) -> Shape:
    hook = ""
    marks = []
    for line in lines:
        if line.startswith('comment "'):
            continue
        if base := _HOOK.match(line):
            hook = " ".join(base.groups())
        else:
            marks.append(_mark(line))
    return Shape(hook, tuple(marks))


def _mark(line: str) -> str:
    mark = _MARK.search(line)
    return mark[1] if mark else _FOREIGN


def _set(name: str, lines: list[str]) -> SetSpec:
    kind = next((line.removeprefix("type ") for line in lines if line.startswith("type ")), "")
    flags = next((line.removeprefix("flags ") for line in lines if line.startswith("flags ")), "")
    timeout = next((line.removeprefix("timeout ") for line in lines if line.startswith("timeout ")), "")
    key, _, data = kind.partition(" : ")
    verdicts = data == "verdict"
    return SetSpec(name, key, "interval" in flags.split(","), verdicts, "" if verdicts else data, _seconds(timeout))


def _seconds(duration: str) -> int:
    """`1d2h3m4s`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", duration))
