"""What the graph keeps of each kind of object, and how that is read from the datastore's bytes.

Promise: a reader returns a record whose every field is usable, or raises `UserError`; nothing half read gets into the graph.
Records are small, because there is one for every endpoint of the cluster on every host.
"""

from __future__ import annotations

import re

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.net import WIDTH, Addr, Cidr, parse_interface
from ocicat.model.resources import Block, Node, Profile, ProfileSpec, WorkloadEndpoint

_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_HOST_AFFINITY = "host:"


class EndpointRecord(Struct, frozen=True, gc=False):
    """A workload's endpoint on any host. `interface` is set for those of this host only."""

    labels: dict[str, str]
    profiles: tuple[str, ...]
    addresses: tuple[Addr, ...]
    interface: str | None


class NodeRecord(Struct, frozen=True, gc=False):
    """A host's own addresses on our subnet, at most one of each family."""

    addresses: tuple[Addr, ...]


class BlockRecord(Struct, frozen=True, gc=False):
    """A block of addresses; `host` is None while no host has it."""

    cidr: Cidr
    host: str | None


def read_endpoint(host: str, key: str, value: bytes) -> EndpointRecord:
    """`host` is the host we calculate for."""
    endpoint = decode_json(WorkloadEndpoint, value, what=f"endpoint {keys.name_of(key)}")
    spec = endpoint.spec
    return EndpointRecord(
        labels=endpoint.metadata.labels,
        profiles=tuple(dict.fromkeys(spec.profiles)),
        addresses=_addresses(spec.ip_networks),
        interface=_interface(spec.interface_name) if spec.node == host else None,
    )


def read_profile(key: str, value: bytes) -> ProfileSpec:
    return decode_json(Profile, value, what=f"profile {keys.name_of(key)}").spec


def read_node(key: str, value: bytes) -> NodeRecord:
    bgp = decode_json(Node, value, what=f"node {keys.name_of(key)}").spec.bgp
    if bgp is None:
        return NodeRecord(())
    texts = {4: bgp.ipv4_address, 6: bgp.ipv6_address}
    return NodeRecord(tuple(_node_address(family, text) for family, text in texts.items() if text))


def read_block(key: str, value: bytes) -> BlockRecord:
    block = decode_json(Block, value, what=f"block {keys.name_of(key)}")
    cidr = Cidr.parse(block.cidr)
    if keys.block(cidr) != key:
        raise UserError(
            f"block {cidr} does not lie under its own key", hint="delete it: it cannot have been made by the allocator"
        )
    affinity = "" if block.deleted else block.affinity or ""
    host = affinity.removeprefix(_HOST_AFFINITY) if affinity.startswith(_HOST_AFFINITY) else ""
    return BlockRecord(cidr, host or None)


def _addresses(texts: tuple[str, ...]) -> tuple[Addr, ...]:
    if not texts:
        raise UserError("spec.ipNetworks: the endpoint has no address")
    return tuple(dict.fromkeys(map(_single_address, texts)))


def _single_address(text: str) -> Addr:
    cidr = Cidr.parse(text)
    if cidr.length != WIDTH[cidr.family]:
        raise UserError(f"spec.ipNetworks: {text} is not one address", hint=f"write {cidr.address.cidr()}")
    return cidr.address


def _interface(name: str) -> str:
    if not _INTERFACE.fullmatch(name):
        raise UserError(
            f"spec.interfaceName: {name!r} is not an interface name", hint="1 to 15 letters, digits, '_', '.' or '-'"
        )
    return name


def _node_address(family: int, text: str) -> Addr:
    address, _ = parse_interface(text)
    if address.family != family:
        raise UserError(f"spec.bgp.ipv{family}Address: {text} is not an IPv{family} address")
    return address
