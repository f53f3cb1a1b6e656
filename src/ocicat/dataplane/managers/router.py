"""Wanted messages in, changes of the ledger's wanted side out: each kind of message goes to the manager of its objects.

Invariants: 1. Applying a message twice changes nothing. 2. Nothing here looks at the kernel's side. Pure.
"""

from __future__ import annotations

from typing import assert_never

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.endpoints import EndpointManager
from ocicat.dataplane.managers.hosts import HostManager
from ocicat.dataplane.managers.limits import LimitManager
from ocicat.dataplane.managers.nat import NatManager
from ocicat.dataplane.managers.policy import PolicyManager
from ocicat.dataplane.managers.sets import SetManager
from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import skeleton
from ocicat.dataplane.ruleset.book import Book
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
from ocicat.netlink.inet import Prefix
from ocicat.netlink.route import BLACKHOLE, IPV6_PRIORITY, UNICAST, Route


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
        self.sets = SetManager(ledger)
        self.book = Book(config.mark, self.sets.name, flat_from=config.flat_from, size_of=self.sets.size)
        self.policy = PolicyManager(ledger, self.book, self.sets)
        self.limits = LimitManager(ledger)
        self.endpoints = EndpointManager(ledger, self.policy, self.limits)
        self.blocks: dict[Prefix, RemoteBlock | LocalBlock] = {}
        self.changed: set[str] = set()
        self.in_sync = False
        self.revision = 0
        for spec in skeleton.SETS:
            ledger.want_set(spec)
        self.nat = NatManager(ledger)
        self.hosts = HostManager(config, ledger, self.policy)

    def apply(self, message: Message) -> None:
        match message:
            case AddressSet() | AddressSetGone() | PortSet() | PortSetGone():
                self._set(message)
            case PolicyRules() | PolicyGone() | ProfileRules() | ProfileGone():
                self._rules(message)
            case HostSettings() | HostEndpoint() | HostEndpointGone():
                self._host(message)
            case Endpoint():
                self._endpoint(message)
            case EndpointGone():
                self.endpoints.gone(message.key)
                self.changed.discard(message.key)
            case OutgoingNat():
                self.nat.outgoing(message)
            case RemoteBlock() | LocalBlock():
                self._block(message)
            case BlockGone():
                self._block_gone(message.cidr)
            case InSync():
                self.in_sync = True
                self.endpoints.complete()
                self.nat.in_sync()
            case Revision():
                self.revision = message.revision
            case _:
                assert_never(message)

    def settle(self) -> None:
        """What is put off until a batch is complete."""
        self.policy.settle()

    def families(self) -> tuple[int, ...]:
        """In which the host has to forward: always IPv4, and IPv6 as long as an endpoint has such an address."""
        six = any(address.family == 6 for each in self.endpoints.endpoints.values() for address in each.addresses)
        return (4, 6) if six else (4,)

    def _set(self, message: AddressSet | AddressSetGone | PortSet | PortSetGone) -> None:
        match message:
            case AddressSet():
                size = self.sets.size(message.set_id)
                if self.sets.change(message):
                    self.policy.renamed(message.set_id)
                self.policy.moved(message)
                if self.sets.size(message.set_id) != size:
                    self.policy.resized(message.set_id)
            case AddressSetGone():
                self.sets.gone(message.set_id)
            case PortSet():
                self.sets.change_ports(message)
            case PortSetGone():
                self.sets.ports_gone(message.set_id)

    def _rules(self, message: PolicyRules | PolicyGone | ProfileRules | ProfileGone) -> None:
        match message:
            case PolicyRules():
                self.policy.policy(message)
            case PolicyGone():
                self.policy.policy_gone(message.policy_id)
            case ProfileRules():
                self.policy.profile(message)
            case ProfileGone():
                self.policy.profile_gone(message.name)

    def _host(self, message: HostSettings | HostEndpoint | HostEndpointGone) -> None:
        match message:
            case HostSettings():
                self.hosts.settings(message)
            case HostEndpoint():
                self.hosts.endpoint(message)
            case HostEndpointGone():
                self.hosts.gone(message.interface)

    def _endpoint(self, endpoint: Endpoint) -> None:
        if self.endpoints.endpoints.get(endpoint.key) != endpoint:
            self.nat.endpoint(endpoint)
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
