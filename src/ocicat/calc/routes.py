"""Which blocks of addresses live where, and how this host reaches them.

Promise: a block of ours is a `LocalBlock`; one of another host is a `RemoteBlock` through that host's address of the same family,
and nothing while that address is unknown; one that no host has is nothing. A node's change touches its own blocks only.

Single addresses that live away from their block's host will be routes of their own beside these: `_route` says it all for a block.
"""

from __future__ import annotations

from collections import defaultdict

from ocicat.calc.records import BlockRecord, NodeRecord
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import LocalBlock, RemoteBlock


class Routes:
    __slots__ = ("_addresses", "_blocks", "_cidrs", "_host", "_sequencer")

    def __init__(self, host: str, sequencer: Sequencer) -> None:
        self._host = host
        self._sequencer = sequencer
        self._blocks: dict[str, BlockRecord] = {}  # by datastore key
        self._cidrs: defaultdict[str, set[Cidr]] = defaultdict(set)  # of each host that has any
        self._addresses: dict[str, tuple[Addr, ...]] = {}  # of each node

    def set_block(self, key: str, block: BlockRecord | None) -> None:
        before = self._blocks.get(key)
        if block == before:
            return
        if before is not None:
            self._forget(key, before)
        if block is not None:
            self._blocks[key] = block
            if block.host is not None:
                self._cidrs[block.host].add(block.cidr)
                self._sequencer.block(block.cidr, self._route(block.cidr, block.host))

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

    def _forget(self, key: str, block: BlockRecord) -> None:
        del self._blocks[key]
        self._sequencer.block(block.cidr, None)
        if block.host is not None:
            self._cidrs[block.host].remove(block.cidr)
            if not self._cidrs[block.host]:
                del self._cidrs[block.host]

    def _route(self, cidr: Cidr, host: str) -> RemoteBlock | LocalBlock | None:
        if host == self._host:
            return LocalBlock(cidr)
        for address in self._addresses.get(host, ()):
            if address.family == cidr.family:
                return RemoteBlock(cidr, address)
        return None
