"""What each set holds: from "this peer matches that set" to "this member came, that one went".

Invariants: 1. a member is in a set as long as one matching peer brings it: while an address moves, two may have it at once;
2. what goes downstream is exact: added only when it was not in, removed only when it was, and only for open sets;
3. a closed set has given back every member.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ocicat.calc.changes import Member
from ocicat.calc.rules import PeerSet
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr, Cidr
from ocicat.policy.model import NamedPort

T = TypeVar("T")

Addresses = tuple[Addr | Cidr, ...]
NamedPorts = tuple[NamedPort, ...]


class SetMembers:
    __slots__ = ("_addresses", "_counts", "_ports", "_sequencer", "_sets")

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._addresses: dict[str, Addresses] = {}  # of every peer that has any
        self._ports: dict[str, NamedPorts] = {}  # of the few that have any
        self._sets: dict[str, PeerSet] = {}  # the open ones
        self._counts: dict[str, dict[Member, int]] = {}  # of every open set: how many of its peers bring the member

    def addresses(self, peer: str) -> Addresses:
        return self._addresses.get(peer, ())

    def items(self) -> Iterable[tuple[str, Addresses]]:
        """Every peer that has addresses."""
        return self._addresses.items()

    def open(self, peer_set: PeerSet, peers: Iterable[str]) -> None:
        """`peers` match it now."""
        set_id = peer_set.set_id
        self._sets[set_id] = peer_set
        counts = self._counts[set_id] = {}
        for peer in peers:
            for member in self._brought(set_id, peer):
                counts[member] = counts.get(member, 0) + 1
        self._sequencer.open_set(set_id, counts, of_ports=bool(peer_set.port))

    def close(self, set_id: str) -> None:
        del self._sets[set_id]
        self._sequencer.close_set(set_id, self._counts.pop(set_id))

    def match_started(self, set_id: str, peer: str) -> None:
        self._add(set_id, self._brought(set_id, peer))

    def match_stopped(self, set_id: str, peer: str) -> None:
        self._remove(set_id, self._brought(set_id, peer))

    def replace(self, peer: str, addresses: Addresses, ports: NamedPorts, set_ids: Iterable[str]) -> None:
        """The peer, which matches these sets now, has these addresses and ports from now on; none: it is gone."""
        if addresses == self._addresses.get(peer, ()) and ports == self._ports.get(peer, ()):
            return
        before = {set_id: self._brought(set_id, peer) for set_id in set_ids}
        _keep(self._addresses, peer, addresses)
        _keep(self._ports, peer, ports)
        for set_id, old in before.items():
            new = self._brought(set_id, peer)
            self._add(set_id, set(new).difference(old))
            self._remove(set_id, set(old).difference(new))

    def _brought(self, set_id: str, peer: str) -> tuple[Member, ...]:
        """Each once."""
        addresses, wanted = self._addresses.get(peer, ()), self._sets[set_id]
        if not wanted.port:
            return addresses
        ports = [one for one in self._ports.get(peer, ()) if (one.name, one.protocol) == (wanted.port, wanted.protocol)]
        return tuple(
            (address, one.protocol, one.port) for address in addresses for one in ports if isinstance(address, Addr)
        )

    def _add(self, set_id: str, members: Iterable[Member]) -> None:
        counts = self._counts[set_id]
        for member in members:
            count = counts.get(member, 0)
            counts[member] = count + 1
            if not count:
                self._sequencer.add_member(set_id, member)

    def _remove(self, set_id: str, members: Iterable[Member]) -> None:
        counts = self._counts[set_id]
        for member in members:
            if counts[member] > 1:
                counts[member] -= 1
            else:
                del counts[member]
                self._sequencer.remove_member(set_id, member)


def _keep(table: dict[str, tuple[T, ...]], peer: str, values: tuple[T, ...]) -> None:
    if values:
        table[peer] = values
    else:
        table.pop(peer, None)
