"""The kernel's table of connections: how full it is, how large it may become, and the memory of this machine."""

from __future__ import annotations

import re

from ocicat.changes.files import Tree
from ocicat.model.base import Struct

_TABLE = "/proc/sys/net/netfilter/nf_conntrack"
_MEMORY = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)


class Connections(Struct, frozen=True):
    """`most` 0: there is no table here."""

    count: int = 0
    most: int = 0
    memory_bytes: int = 0


def look(tree: Tree) -> Connections:
    count, most = (tree.text(f"{_TABLE}_{name}").strip() for name in ("count", "max"))
    memory = _MEMORY.search(tree.text("/proc/meminfo"))
    return Connections(int(count or 0), int(most or 0), 1024 * int(memory[1]) if memory else 0)
