"""The graph's end: collects what the nodes want, and gives it out as batches that may be applied message by message.

Invariants: 1. those of `model.wanted`, at every message of a batch, not only at its end; 2. one message per object and batch;
3. nothing is given out before `in_sync`, and nothing is lost by that; 4. equal changes give equal batches: every kind is sorted.

Order: endpoints that are gone come first, so that an interface or an address which passes to another endpoint is free before it is
taken. Then what endpoints need (sets, the rules that name them, routes), the endpoints, and last what is no longer needed, users
before the used.
"""

from __future__ import annotations

from ocicat.calc.changes import ObjectChanges, SetChanges
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    Batch,
    BlockGone,
    Endpoint,
    EndpointGone,
    InSync,
    LocalBlock,
    Message,
    ProfileGone,
    ProfileRules,
    RemoteBlock,
    Revision,
)


class Sequencer:
    __slots__ = ("_blocks", "_endpoints", "_in_sync", "_profiles", "_said_in_sync", "_said_revision", "_sets")

    def __init__(self) -> None:
        self._sets = SetChanges()
        self._profiles = ObjectChanges[str, ProfileRules]()
        self._endpoints = ObjectChanges[str, Endpoint]()
        self._blocks = ObjectChanges[Cidr, RemoteBlock | LocalBlock]()
        self._in_sync = False
        self._said_in_sync = False
        self._said_revision: int | None = None

    def open_set(self, set_id: str) -> None:
        self._sets.open(set_id)

    def close_set(self, set_id: str) -> None:
        """Every member must have been removed."""
        self._sets.close(set_id)

    def add_member(self, set_id: str, address: Addr) -> None:
        """It must not be in the set."""
        self._sets.add(set_id, address)

    def remove_member(self, set_id: str, address: Addr) -> None:
        """It must be in the set."""
        self._sets.remove(set_id, address)

    def profile(self, name: str, rules: ProfileRules | None) -> None:
        self._profiles.want(name, rules)

    def endpoint(self, key: str, endpoint: Endpoint | None) -> None:
        self._endpoints.want(key, endpoint)

    def block(self, cidr: Cidr, route: RemoteBlock | LocalBlock | None) -> None:
        self._blocks.want(cidr, route)

    def in_sync(self) -> None:
        self._in_sync = True

    def flush(self, revision: int) -> Batch:
        """What changed since the last batch, closed by `Revision`; empty when there is nothing new to say."""
        if not self._in_sync:
            return ()
        messages = self._changes()
        if not self._said_in_sync:
            messages.append(InSync())
            self._said_in_sync = True
        if messages or revision != self._said_revision:
            messages.append(Revision(revision))
            self._said_revision = revision
        return tuple(messages)

    def _changes(self) -> list[Message]:
        sets, sets_gone = self._sets.take()
        profiles, profiles_gone = self._profiles.take()
        endpoints, endpoints_gone = self._endpoints.take()
        blocks, blocks_gone = self._blocks.take()
        return [
            *map(EndpointGone, endpoints_gone),
            *sets,
            *profiles,
            *blocks,
            *endpoints,
            *map(BlockGone, blocks_gone),
            *map(ProfileGone, profiles_gone),
            *sets_gone,
        ]
