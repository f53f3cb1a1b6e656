"""The table of connections: nearly full, or larger than the memory allows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.connections import Connections

ENTRY_BYTES = 320  # struct nf_conn with its extensions, on a 64-bit kernel
_FULL_PERCENT = 80
_MEMORY_SHARE = 4
_SETTING = "net.netfilter.nf_conntrack_max"


def findings(table: Connections) -> Iterator[Finding]:
    if not table.most:
        return
    if 100 * table.count >= _FULL_PERCENT * table.most:
        yield Finding(
            "connections",
            f"{table.count} of {table.most} entries of the table of connections are in use",
            "once it is full, whatever begins a new connection is dropped",
            f"find who has so many (conntrack -L), or set {_SETTING} = {2 * table.most}",
        )
    elif table.memory_bytes and table.most * ENTRY_BYTES * _MEMORY_SHARE > table.memory_bytes:
        size, whole = (amount >> 20 for amount in (table.most * ENTRY_BYTES, table.memory_bytes))
        yield Finding(
            "connections",
            f"{_SETTING} is {table.most}: a full table takes {size} of {whole} MiB of memory",
            "whoever opens that many connections takes the memory from everything else on this host",
            f"set {_SETTING} = {table.memory_bytes // (_MEMORY_SHARE * ENTRY_BYTES)} at most",
        )
