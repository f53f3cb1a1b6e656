"""Which blocks of addresses live where, and how this host reaches them.

Promise: a block of ours is a `LocalBlock`; one of another host is a `RemoteBlock` through that host's address of the same family,
and nothing while that address is unknown; one that no host has is nothing. A node's change touches its own blocks only.

An address that a host has borrowed from another's block, and a floating one (`floating` tells), go like a block to the host that
they are on; on that host they are the endpoint's. A block of the same single address yields to a borrower, not to a floating one.
"""

from __future__ import annotations

from collections import defaultdict

from ocicat.calc.records import BlockRecord, NodeRecord
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import LocalBlock, RemoteBlock

Borrowed = tuple[tuple[Cidr, str], ...]


class Routes:
    __slots__ = (
        "_addresses",
        "_blocks",
        "_borrowed",
        "_cidrs",
        "_floating",
        "_host",
        "_hosts",
        "_owners",
        "_sequencer",
    )

    def __init__(self, host: str, sequencer: Sequencer) -> None:
        self._host = host
        self._sequencer = sequencer
        self._blocks: dict[str, BlockRecord] = {}  # by datastore key
        self._owners: dict[Cidr, str] = {}  # the hosts that have them
        self._borrowed: defaultdict[Cidr, dict[str, str]] = defaultdict(
            dict
        )  # by block's key, the hosts that they are on
        self._floating: dict[Cidr, str] = {}  # the same
        self._hosts: dict[Cidr, str] = {}  # where each block and floating address is
        self._cidrs: defaultdict[str, set[Cidr]] = defaultdict(set)  # the same, by host
        self._addresses: dict[str, tuple[Addr, ...]] = {}  # of each node

    def set_block(self, key: str, block: BlockRecord | None) -> None:
        before = self._blocks.get(key)
        if block == before:
            return
        if before is not None:
            del self._blocks[key]
            self._owners.pop(before.cidr, None)
        if block is not None:
            self._blocks[key] = block
            if block.host is not None:
                self._owners[block.cidr] = block.host
        for cidr in {found.cidr for found in (before, block) if found is not None}:
            self._settle(cidr)
        self._set_borrowed(key, before.borrowed if before else (), block.borrowed if block else ())

    def _set_borrowed(self, key: str, before: Borrowed, now: Borrowed) -> None:
        for cidr, _ in before:
            self._borrowed[cidr].pop(key, None)
        for cidr, host in now:
            self._borrowed[cidr][key] = host
        for cidr, _ in {*before} ^ {*now}:
            if not self._borrowed[cidr]:
                del self._borrowed[cidr]
            self._settle(cidr)

    def set_floating(self, address: Addr, host: str | None) -> None:
        """It is on that host; None: it is nowhere."""
        cidr = address.cidr()
        if host is None:
            self._floating.pop(cidr, None)
        else:
            self._floating[cidr] = host
        self._settle(cidr)

    def set_node(self, name: str, node: NodeRecord | None) -> None:
        addresses = node.addresses if node else ()
        if addresses == self._addresses.get(name, ()):
            return
        if addresses:
            self._addresses[name] = addresses
        else:
            del self._addresses[name]
        for cidr in self._cidrs.get(name, ()):
            self._sequencer.block(cidr, self._route(cidr, name))

    def _settle(self, cidr: Cidr) -> None:
        before, now = self._hosts.pop(cidr, None), self._host_of(cidr)
        if before is not None:
            self._cidrs[before].discard(cidr)
            if not self._cidrs[before]:
                del self._cidrs[before]
        if now is not None:
            self._hosts[cidr] = now
            self._cidrs[now].add(cidr)
        self._sequencer.block(cidr, None if now is None else self._route(cidr, now))

    def _host_of(self, cidr: Cidr) -> str | None:
        lenders = self._borrowed.get(cidr)
        return lenders[min(lenders)] if lenders else self._owners.get(cidr) or self._floating.get(cidr)

    def _route(self, cidr: Cidr, host: str) -> RemoteBlock | LocalBlock | None:
        if host == self._host:
            return LocalBlock(cidr) if self._owners.get(cidr) == host else None
        for address in self._addresses.get(host, ()):
            if address.family == cidr.family:
                return RemoteBlock(cidr, address)
        return None
