"""Which addresses each address set holds: from "this endpoint matches that set" to "this address came, that one went".

Invariants: 1. an address is in a set as long as one matching endpoint has it: while an address moves, two may have it at once;
2. what goes downstream is exact: added only when it was not in, removed only when it was, and only for open sets;
3. a closed set has given back every member.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr


class SetMembers:
    __slots__ = ("_addresses", "_counts", "_sequencer")

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._addresses: dict[str, tuple[Addr, ...]] = {}  # of every endpoint
        self._counts: dict[str, dict[Addr, int]] = {}  # of every open set: how many of its endpoints have the address

    def open(self, set_id: str) -> None:
        self._counts[set_id] = {}
        self._sequencer.open_set(set_id)

    def close(self, set_id: str) -> None:
        for address in self._counts.pop(set_id):
            self._sequencer.remove_member(set_id, address)
        self._sequencer.close_set(set_id)

    def match_started(self, set_id: str, endpoint: str) -> None:
        self._add(set_id, self._addresses.get(endpoint, ()))

    def match_stopped(self, set_id: str, endpoint: str) -> None:
        self._remove(set_id, self._addresses.get(endpoint, ()))

    def readdress(self, endpoint: str, addresses: tuple[Addr, ...], set_ids: Iterable[str]) -> None:
        """The endpoint, which matches these sets now, has these addresses from now on; none: it is gone."""
        before = self._addresses.get(endpoint, ())
        if addresses == before:
            return
        if addresses:
            self._addresses[endpoint] = addresses
        else:
            del self._addresses[endpoint]
        for set_id in set_ids:
            self._add(set_id, addresses)
            self._remove(set_id, before)

    def _add(self, set_id: str, addresses: tuple[Addr, ...]) -> None:
        counts = self._counts[set_id]
        for address in addresses:
            count = counts.get(address, 0)
            counts[address] = count + 1
            if not count:
                self._sequencer.add_member(set_id, address)

    def _remove(self, set_id: str, addresses: tuple[Addr, ...]) -> None:
        counts = self._counts[set_id]
        for address in addresses:
            if counts[address] > 1:
                counts[address] -= 1
            else:
                del counts[address]
                self._sequencer.remove_member(set_id, address)
