"""The graph's end: collects what the nodes want, and gives it out as batches that may be applied message by message.

Invariants: 1. those of `model.wanted`, at every message of a batch, not only at its end; 2. one message per object and batch;
3. nothing is given out before `in_sync`, and nothing is lost by that; 4. equal changes give equal batches: every kind is sorted.

Order: endpoints that are gone come first, so that an interface or an address which passes to another endpoint is free before it is
taken. Then what endpoints need (sets, the rules that name them, settings, routes), the endpoints, and last what is no longer
needed, users before the used.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar, cast

from ocicat.calc.changes import Member, ObjectChanges, SetChanges, SetDelta
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    AddressSetGone,
    Batch,
    BlockGone,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    HostPort,
    HostSettings,
    InSync,
    LocalBlock,
    Message,
    OutgoingNat,
    PolicyGone,
    PolicyRules,
    PortSet,
    PortSetGone,
    ProfileGone,
    ProfileRules,
    RemoteBlock,
    Revision,
)

T = TypeVar("T", Addr, Cidr)


class Sequencer:
    __slots__ = (
        "_blocks",
        "_endpoints",
        "_host_endpoints",
        "_in_sync",
        "_outgoing",
        "_policies",
        "_profiles",
        "_said_in_sync",
        "_said_revision",
        "_sets",
        "_settings",
    )

    def __init__(self) -> None:
        self._sets = SetChanges()
        self._policies = ObjectChanges[str, PolicyRules]()
        self._profiles = ObjectChanges[str, ProfileRules]()
        self._settings = ObjectChanges[str, HostSettings]()
        self._outgoing = ObjectChanges[str, OutgoingNat]()
        self._endpoints = ObjectChanges[str, Endpoint]()
        self._host_endpoints = ObjectChanges[str, HostEndpoint]()
        self._blocks = ObjectChanges[Cidr, RemoteBlock | LocalBlock]()
        self._in_sync = False
        self._said_in_sync = False
        self._said_revision: int | None = None

    def open_set(self, set_id: str, members: Collection[Member], *, of_ports: bool) -> None:
        self._sets.open(set_id, members, of_ports=of_ports)

    def close_set(self, set_id: str, members: Collection[Member]) -> None:
        """`members`: all that are in it."""
        self._sets.close(set_id, members)

    def add_member(self, set_id: str, member: Member) -> None:
        """It must not be in the set."""
        self._sets.add(set_id, member)

    def remove_member(self, set_id: str, member: Member) -> None:
        """It must be in the set."""
        self._sets.remove(set_id, member)

    def policy(self, policy_id: str, rules: PolicyRules | None) -> None:
        self._policies.want(policy_id, rules)

    def profile(self, name: str, rules: ProfileRules | None) -> None:
        self._profiles.want(name, rules)

    def settings(self, settings: HostSettings) -> None:
        self._settings.want("", settings)

    def outgoing_nat(self, outgoing: OutgoingNat | None) -> None:
        """None: nothing leaves with another source than it has."""
        self._outgoing.want("", outgoing)

    def endpoint(self, key: str, endpoint: Endpoint | None) -> None:
        self._endpoints.want(key, endpoint)

    def host_endpoint(self, interface: str, endpoint: HostEndpoint | None) -> None:
        self._host_endpoints.want(interface, endpoint)

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
        policies, policies_gone = self._policies.take()
        profiles, profiles_gone = self._profiles.take()
        settings, _ = self._settings.take()
        outgoing, outgoing_gone = self._outgoing.take()
        endpoints, endpoints_gone = self._endpoints.take()
        host_endpoints, host_endpoints_gone = self._host_endpoints.take()
        blocks, blocks_gone = self._blocks.take()
        return [
            *map(EndpointGone, endpoints_gone),
            *map(HostEndpointGone, host_endpoints_gone),
            *map(_set, sets),
            *policies,
            *profiles,
            *settings,
            *outgoing,
            *(OutgoingNat() for _ in outgoing_gone),
            *blocks,
            *endpoints,
            *host_endpoints,
            *map(BlockGone, blocks_gone),
            *map(ProfileGone, profiles_gone),
            *map(PolicyGone, policies_gone),
            *map(_set_gone, sets_gone),
        ]


def _set(delta: SetDelta) -> AddressSet | PortSet:
    if delta.of_ports:
        added, removed = cast("set[HostPort]", delta.added), cast("set[HostPort]", delta.removed)
        return PortSet(delta.set_id, frozenset(added), frozenset(removed))
    return AddressSet(
        delta.set_id,
        added=_those(Addr, delta.added),
        removed=_those(Addr, delta.removed),
        nets_added=_those(Cidr, delta.added),
        nets_removed=_those(Cidr, delta.removed),
    )


def _those(kind: type[T], members: set[Member]) -> frozenset[T]:
    return frozenset([member for member in members if isinstance(member, kind)])


def _set_gone(delta: SetDelta) -> AddressSetGone | PortSetGone:
    return PortSetGone(delta.set_id) if delta.of_ports else AddressSetGone(delta.set_id)
