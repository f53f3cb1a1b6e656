"""Which endpoints and network sets hold an address. Pure.

One dictionary for each prefix length in use: a lookup costs one probe per length, however many prefixes there are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.policy.model import Peer


@dataclass(slots=True)
class PeerIndex:
    _tables: dict[tuple[int, int], dict[int, list[Peer]]] = field(default_factory=dict)

    def add(self, cidr: Cidr, peer: Peer) -> None:
        table = self._tables.setdefault((cidr.family, cidr.length), defaultdict(list))
        table[cidr.network].append(peer)

    def at(self, address: Addr) -> tuple[Peer, ...]:
        found: list[Peer] = []
        for (family, length), table in self._tables.items():
            if family == address.family:
                host_bits = WIDTH[family] - length
                found += table.get(address.value >> host_bits << host_bits, ())
        return tuple(found)
