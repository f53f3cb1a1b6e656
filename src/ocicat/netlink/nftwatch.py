"""Who changes nftables, and which tables and rules: one `Commit` for each transaction of anybody in a network namespace.

Promises: every transaction is told once, when the kernel has taken it, with the tables it touched, the chains whose rules it did,
and the process that did it; or `Lost`, where the reader was too slow.

Invariants: 1. The notifications of a transaction come in order and end with that of the new generation, which names the process.
2. `read` never blocks. 3. Only names of tables are decoded, and of chains that rules are in: a set of a hundred thousand elements
is a hundred thousand messages.

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
_NEW_CHAIN, _NEW_RULE, _DELETE_RULE, _NEW_GENERATION = (_NFT_SUBSYSTEM << 8 | kind for kind in (3, 6, 8, 15))
_NFGEN_BYTES = 4
_ATTR = struct.Struct("=HH")
_NAME = 1  # in every message but the generation's: the table
_CHAIN = 2  # of a rule
_PID, _PROGRAM = 2, 3
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_BUFFER_BYTES = 128 << 20  # of kernel memory, if need be: a change of 1,000,000 elements is one burst


class Commit(Struct, frozen=True):
    """`tables`: those it touched, as nft calls them ("inet filter"). `port`: the netlink socket's, as its owner knows it; `pid` and
    `program`: the process, by the kernel's own count of processes (not that of a container).

    `chains`: those (table, name) of which a rule came, went or was replaced. `named`: tables of which a chain came, or was given
    another name: the kernel does not tell which of the two.
    """

    tables: frozenset[str]
    port: int
    pid: int
    program: str
    chains: frozenset[tuple[str, str]] = frozenset()
    named: frozenset[str] = frozenset()


class Lost(Struct, frozen=True):
    """Notifications were lost: anything may have changed."""


class Reader:
    """Datagrams to commits. Keeps what a transaction has touched until its end comes."""

    def __init__(self) -> None:
        self._tables: set[str] = set()
        self._chains: set[tuple[str, str]] = set()
        self._named: set[str] = set()

    def forget(self) -> None:
        """The beginning of what comes next is lost."""
        for touched in (self._tables, self._chains, self._named):
            touched.clear()

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
                self._touch(kind, datagram, body, offset + size)
            offset += (size + 3) & ~3
        return commits

    def _touch(self, kind: int, datagram: bytes, at: int, end: int) -> None:
        """The table's name comes first in every kind of message, and in a rule's next the chain's."""
        name, after = _text(_NAME, datagram, at, end)
        if not name:
            return
        table = f"{_FAMILIES.get(datagram[at - _NFGEN_BYTES], '?')} {name}"
        self._tables.add(table)
        if kind in (_NEW_RULE, _DELETE_RULE):
            self._chains.add((table, _text(_CHAIN, datagram, after, end)[0]))
        elif kind == _NEW_CHAIN:
            self._named.add(table)

    def _commit(self, body: bytes, port: int) -> Commit:
        found = attributes(body)
        touched = frozenset(self._tables), frozenset(self._chains), frozenset(self._named)
        self.forget()
        return Commit(touched[0], port, be(found, _PID), string(found, _PROGRAM), *touched[1:])


def _text(wanted: int, datagram: bytes, at: int, end: int) -> tuple[str, int]:
    """The text of the attribute there, if it is the wanted one, else ""; and where the next one begins."""
    if at + _ATTR.size > end:
        return "", end
    size, kind = _ATTR.unpack_from(datagram, at)
    text = datagram[at + _ATTR.size : at + size] if kind == wanted else b""
    return text.rstrip(b"\0").decode(errors="replace"), at + ((size + 3) & ~3)


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
