"""Who changes nftables, and which tables: one `Commit` for each transaction of anybody in a network namespace.

Promises: every transaction is told once, when the kernel has taken it, with the tables it touched and the process that did it;
or `Lost`, where the reader was too slow.

Invariants: 1. The notifications of a transaction come in order and end with that of the new generation, which names the process.
2. `read` never blocks. 3. Only names of tables are decoded: a set of a hundred thousand elements is a hundred thousand messages.

Source: linux/netfilter/nf_tables.h, net/netfilter/nf_tables_api.c (nf_tables_commit, nf_tables_gen_notify).
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.socket import NETLINK_NETFILTER
from ocicat.netlink.subscription import Subscription
from ocicat.netlink.wire import HEADER, attributes, be, string

_NFNLGRP_NFTABLES = 7
_NFT_SUBSYSTEM = 10
_NEW_GENERATION = _NFT_SUBSYSTEM << 8 | 15
_NFGEN_BYTES = 4
_ATTR = struct.Struct("=HH")
_NAME = 1  # in every message but the generation's: the table
_PID, _PROGRAM = 2, 3
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_BUFFER_BYTES = 128 << 20  # of kernel memory, if need be: a change of 1,000,000 elements is one burst


class Commit(Struct, frozen=True):
    """`tables`: those it touched, as nft calls them ("inet filter"). `port`: the netlink socket's, as its owner knows it; `pid` and
    `program`: the process, by the kernel's own count of processes (not that of a container)."""

    tables: frozenset[str]
    port: int
    pid: int
    program: str


class Lost(Struct, frozen=True):
    """Notifications were lost: anything may have changed."""


class Reader:
    """Datagrams to commits. Keeps what a transaction has touched until its end comes."""

    def __init__(self) -> None:
        self._tables: set[str] = set()

    def forget(self) -> None:
        """The beginning of what comes next is lost."""
        self._tables.clear()

    def read(self, datagram: bytes) -> list[Commit]:
        commits: list[Commit] = []
        offset = 0
        while offset + HEADER.size <= len(datagram):
            size, kind, _flags, _seq, port = HEADER.unpack_from(datagram, offset)
            if size < HEADER.size:
                break
            body = offset + HEADER.size + _NFGEN_BYTES
            if kind == _NEW_GENERATION:
                commits.append(self._commit(datagram[body : offset + size], port))
            elif kind >> 8 == _NFT_SUBSYSTEM:
                self._touch(datagram, body, offset + size)
            offset += (size + 3) & ~3
        return commits

    def _touch(self, datagram: bytes, at: int, end: int) -> None:
        """The table's name comes first in every kind of message."""
        if at + _ATTR.size <= end:
            size, kind = _ATTR.unpack_from(datagram, at)
            if kind == _NAME:
                family = _FAMILIES.get(datagram[at - _NFGEN_BYTES], "?")
                name = datagram[at + _ATTR.size : at + size].rstrip(b"\0").decode(errors="replace")
                self._tables.add(f"{family} {name}")

    def _commit(self, body: bytes, port: int) -> Commit:
        found = attributes(body)
        commit = Commit(frozenset(self._tables), port, be(found, _PID), string(found, _PROGRAM))
        self._tables.clear()
        return commit


class NftWatch(Subscription):
    """A subscription. A context manager; wait for `fileno()` to be readable, then `read`."""

    def __init__(self, netns_fd: int | None = None) -> None:
        super().__init__(NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,), netns_fd, _BUFFER_BYTES)
        self._reader = Reader()

    def read(self) -> list[Commit | Lost]:
        """What is there now, perhaps nothing. More may be left: the descriptor then stays readable."""
        found: list[Commit | Lost] = []
        for datagram in self.datagrams():
            if datagram is None:
                self._reader.forget()
                found.append(Lost())
            else:
                found += self._reader.read(datagram)
        return found
