"""Translation of addresses: the maps of the workloads' floating addresses and mapped ports, the nets of the pools, and the chains.

Invariants: 1. An endpoint's entries come and go with its other elements (`managers.endpoints`). 2. Chains come when they are first
needed and stay, also over a restart (see `skeleton_nat`); what a chain says depends on what is wanted. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.reconcile.ledger import Ledger, element_key
from ocicat.dataplane.ruleset import skeleton_nat
from ocicat.dataplane.ruleset.rules import merged, range_element
from ocicat.dataplane.ruleset.skeleton_nat import (
    ADDRESS_PORTS,
    FAMILIES,
    FLOATING,
    HOST_PORTS,
    OUTWARD,
    OWN_FLOATING,
    OWN_PORTS,
)
from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.model.wanted import Endpoint, OutgoingNat, PortMapping
from ocicat.netlink.nftset import Element, concat, key_port, key_protocol


def elements(endpoint: Endpoint) -> tuple[tuple[str, Element], ...]:
    """With the names of their maps and sets. A mapping leads to the endpoint's first address of each family."""
    found: dict[tuple[str, Element], None] = {}
    own: dict[Addr, Addr] = {}  # of several the first, as in felix/dataplane/linux/floating_ip_mgr.go
    for floating in endpoint.floating:
        found[FLOATING[floating.outside.family], Element(floating.outside.pack(), floating.inside.pack())] = None
        own[floating.inside] = min(floating.outside, own.get(floating.inside, floating.outside))
    for inside, outside in own.items():
        for key in _to_itself(endpoint, inside):
            found[OWN_FLOATING[inside.family], Element(key, outside.pack())] = None
    for mapping in endpoint.port_mappings:
        for address in _targets(mapping, endpoint.addresses):
            found[_mapped(mapping, address)] = None
            found |= {(OWN_PORTS[address.family], Element(key)): None for key in _to_itself(endpoint, address)}
    return tuple(found)


def _targets(mapping: PortMapping, addresses: tuple[Addr, ...]) -> Iterable[Addr]:
    host = mapping.host_address
    first = {address.family: address for address in reversed(addresses)}
    return [first[family] for family in sorted(first) if host is None or host.family == family]


def _mapped(mapping: PortMapping, target: Addr) -> tuple[str, Element]:
    port = key_protocol(mapping.protocol), key_port(mapping.host_port)
    data = concat(target.pack(), key_port(mapping.port))
    host = mapping.host_address
    if host is None or not host.value:
        return HOST_PORTS[target.family], Element(concat(*port), data)
    return ADDRESS_PORTS[target.family], Element(concat(host.pack(), *port), data)


def _to_itself(endpoint: Endpoint, target: Addr) -> list[bytes]:
    """From any address of its own, and to that one."""
    own = (address for address in endpoint.addresses if address.family == target.family)
    return [concat(address.pack(), target.pack()) for address in own]


class NatManager:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._outgoing = OutgoingNat()
        self._inwards = False
        self._outwards = False
        self._in_sync = False

    def outgoing(self, message: OutgoingNat) -> None:
        if message == self._outgoing:
            return
        self._outgoing = message
        self._outwards |= bool(message.sources)
        for family in FAMILIES:
            self._nets(skeleton_nat.SOURCES[family], message.sources, family)
            self._nets(skeleton_nat.INSIDE[family], message.inside, family)
        self._want_chains()

    def endpoint(self, endpoint: Endpoint) -> None:
        if (endpoint.floating or endpoint.port_mappings) and not self._inwards:
            self._inwards = True
            self._want_chains()

    def keep(self) -> None:
        """If there is a chain of this type in the kernel, one stays: another life of ours may have begun to translate."""
        self._outwards |= self._ledger.chains.there(OUTWARD) is not None
        if self._in_sync:
            self._want_chains()

    def in_sync(self) -> None:
        """Only now it is known what they must say."""
        self._in_sync = True
        self._want_chains()

    def _want_chains(self) -> None:
        for chain in skeleton_nat.inward() if self._inwards else ():
            self._ledger.want_chain(chain)
        if self._inwards or self._outwards:
            self._ledger.want_chain(skeleton_nat.outward(self._outgoing, inwards=self._inwards))

    def _nets(self, name: str, nets: Iterable[Cidr], family: int) -> None:
        ranges = merged((net.network, net.network + net.size - 1) for net in nets if net.family == family)
        wanted = {element_key(each): each for each in (range_element(*each, WIDTH[family] // 8) for each in ranges)}
        for key in [key for key in self._ledger.elements[name].all_wanted() if key not in wanted]:
            self._ledger.unwant_element(name, key)
        for element in wanted.values():
            self._ledger.want_element(name, element)
