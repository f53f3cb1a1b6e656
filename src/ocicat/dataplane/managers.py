"""Wanted messages in, changes of the ledger's wanted side out: each kind of message goes to the manager of its objects.

Invariants: 1. Applying a message twice changes nothing. 2. Nothing here looks at the kernel's side. Pure.
"""

from __future__ import annotations

from typing import assert_never

from ocicat.dataplane import skeleton
from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.managers_endpoints import IPV6_PRIORITY, EndpointManager
from ocicat.dataplane.managers_policy import PolicyManager, SetManager
from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.errors import Bug
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSet,
    AddressSetGone,
    BlockGone,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    InSync,
    LocalBlock,
    Message,
    PolicyGone,
    PolicyRules,
    PortSet,
    PortSetGone,
    ProfileGone,
    ProfileRules,
    RemoteBlock,
    Revision,
)
from ocicat.netlink.inet import Prefix
from ocicat.netlink.route import BLACKHOLE, UNICAST, Route


def prefix_of(cidr: Cidr) -> Prefix:
    return Prefix(cidr.address.pack(), cidr.length)


def block_route(block: RemoteBlock | LocalBlock) -> Route:
    """To the host that has the block; for one of our own, nowhere: the addresses in use have longer routes."""
    remote = isinstance(block, RemoteBlock)
    return Route(
        prefix_of(block.cidr),
        gateway=block.gateway.pack() if isinstance(block, RemoteBlock) else b"",
        kind=UNICAST if remote else BLACKHOLE,
        protocol=ROUTE_PROTOCOL,
        priority=0 if block.cidr.family == 4 else IPV6_PRIORITY,
    )


class Managers:
    """All managers round one ledger. `changed`: keys of endpoints sent since it was last emptied."""

    def __init__(self, config: DataplaneConfig, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sets = SetManager(ledger)
        self.policy = PolicyManager(ledger)
        self.endpoints = EndpointManager(ledger, self.policy)
        self.blocks: dict[Prefix, RemoteBlock | LocalBlock] = {}
        self.changed: set[str] = set()
        self.in_sync = False
        self.revision = 0
        for spec in skeleton.SETS:
            ledger.want_set(spec)
        for chain in skeleton.chains(config):
            ledger.want_chain(chain)

    def apply(self, message: Message) -> None:
        match message:
            case AddressSet():
                self._sets.change(message)
            case AddressSetGone():
                self._sets.gone(message.set_id)
            case ProfileRules():
                self.policy.profile(message)
            case ProfileGone():
                self.policy.profile_gone(message.name)
            case Endpoint():
                self._endpoint(message)
            case EndpointGone():
                self.endpoints.gone(message.key)
                self.changed.discard(message.key)
            case RemoteBlock() | LocalBlock():
                self._block(message)
            case BlockGone():
                self._block_gone(message.cidr)
            case InSync():
                self.in_sync = True
            case Revision():
                self.revision = message.revision
            case (
                PortSet()
                | PortSetGone()
                | PolicyRules()
                | PolicyGone()
                | HostSettings()
                | HostEndpoint()
                | HostEndpointGone()
            ):
                raise Bug(f"the dataplane does not know {type(message).__name__} yet")
            case _:
                assert_never(message)

    def families(self) -> tuple[int, ...]:
        """In which the host has to forward: always IPv4, and IPv6 as long as an endpoint has such an address."""
        six = any(address.family == 6 for each in self.endpoints.endpoints.values() for address in each.addresses)
        return (4, 6) if six else (4,)

    def _endpoint(self, endpoint: Endpoint) -> None:
        if self.endpoints.endpoints.get(endpoint.key) != endpoint:
            self.endpoints.endpoint(endpoint)
            self.changed.add(endpoint.key)

    def _block(self, block: RemoteBlock | LocalBlock) -> None:
        route = block_route(block)
        self.blocks[route.dst] = block
        self._ledger.claim_route(_BLOCK_OWNER, route)

    def _block_gone(self, cidr: Cidr) -> None:
        if self.blocks.pop(prefix_of(cidr), None):
            self._ledger.release_route(_BLOCK_OWNER, prefix_of(cidr))


# Greater than any endpoint's key, which begins with a slash: a block of one address yields to the endpoint that has it.
_BLOCK_OWNER = "block"
