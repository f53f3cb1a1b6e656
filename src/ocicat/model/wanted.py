"""What calc asks of the dataplane: the only words the two have in common.

A batch is a tuple of messages in dependency order (sets before the rules that name them, rules before the endpoints that use
them; removals the other way round). Each message says the *whole* state of the object it names, members of address sets excepted,
which come as additions and removals because there may be a hundred thousand. Applying a message twice changes nothing.

Invariants kept by the sender: 1. a rule names only sets that were created before and not yet removed; 2. an endpoint names only
profiles whose rules were sent, unless the profile does not exist: then it is absent here too, and absent means deny;
3. `InSync` comes once, after the first complete state; before it the dataplane must not remove what it did not put there itself.
Pure.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr

Action = Literal["Allow", "Deny", "Pass", "Log"]
PortRange = tuple[int, int]  # first and last port, both included


class AddressSet(Struct, frozen=True):
    """Addresses of both families that match one selector; `set_id` is a selector uid (letters, digits, `-`, `_`, after "s:")."""

    set_id: str
    added: frozenset[Addr] = frozenset()
    removed: frozenset[Addr] = frozenset()


class AddressSetGone(Struct, frozen=True):
    set_id: str


class Match(Struct, frozen=True):
    """One side of a rule: all conditions that are given must hold. `sets` are ids of which *every* one must hold the address."""

    nets: tuple[Cidr, ...] = ()
    sets: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()


class WantedRule(Struct, frozen=True):
    """A rule with its selectors resolved to sets. `protocol` is the IP protocol number.

    `problem` says why the rule cannot be enforced as written; such a rule fails closed: what reaches it is dropped.
    """

    action: Action
    family: int | None = None
    protocol: int | None = None
    source: Match = Match()
    destination: Match = Match()
    problem: str = ""


class ProfileRules(Struct, frozen=True):
    name: str
    ingress: tuple[WantedRule, ...]
    egress: tuple[WantedRule, ...]


class ProfileGone(Struct, frozen=True):
    name: str


class Endpoint(Struct, frozen=True):
    """A workload's interface on *this* host. `key` is its datastore key; `profiles` in the order in which they decide."""

    key: str
    interface: str
    addresses: tuple[Addr, ...]
    profiles: tuple[str, ...]


class EndpointGone(Struct, frozen=True):
    key: str


class RemoteBlock(Struct, frozen=True):
    """Addresses that live on another host, reached through that host's own address on our subnet."""

    cidr: Cidr
    gateway: Addr


class LocalBlock(Struct, frozen=True):
    """Addresses of our own block: those no workload holds must go nowhere (a blackhole), not back to the default route."""

    cidr: Cidr


class BlockGone(Struct, frozen=True):
    cidr: Cidr


class InSync(Struct, frozen=True):
    """Everything the datastore held at the start has been sent."""


class Revision(Struct, frozen=True):
    """The batch up to here is the state of the datastore at this revision."""

    revision: int


Message = (
    AddressSet
    | AddressSetGone
    | ProfileRules
    | ProfileGone
    | Endpoint
    | EndpointGone
    | RemoteBlock
    | LocalBlock
    | BlockGone
    | InSync
    | Revision
)
Batch = tuple[Message, ...]
