"""What the graph keeps of each kind of object, and how that is read from the datastore's bytes.

Promises: 1. a reader returns a record whose every field is usable, or raises `UserError`; nothing half read gets into the graph;
2. what an object means is said by `ocicat.policy`, here is only what the graph needs of it; 3. an object is called what its key
calls it, whatever it says itself. Peers are small, because there is one for every endpoint of the cluster on every host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from ocicat.calc.limits import UNLIMITED, Limited, limited
from ocicat.calc.nat_endpoints import NONE, Translations, translations
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr, Cidr, parse_interface
from ocicat.model.resources import Block, IPPool
from ocicat.model.v3.defaults import Policy
from ocicat.model.v3.document import parse
from ocicat.model.v3.endpoints import GlobalNetworkSet, HostEndpoint, NetworkSet, Node, NodeInterface, WorkloadEndpoint
from ocicat.model.v3.felix import FelixConfiguration, FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy, Profile, Tier
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedNetworkPolicy
from ocicat.policy import HostInterface, endpoints
from ocicat.policy.model import NamedPort, Peer, ResolvedEndpoint, ResolvedPolicy
from ocicat.policy.policies import StagedPolicy, denying_unknown, resolve_policy
from ocicat.policy.settings import Settings

T = TypeVar("T")
R = TypeVar(
    "R",
    WorkloadEndpoint,
    HostEndpoint,
    NetworkSet,
    GlobalNetworkSet,
    Profile,
    Tier,
    NetworkPolicy,
    GlobalNetworkPolicy,
    StagedNetworkPolicy,
    StagedGlobalNetworkPolicy,
    FelixConfiguration,
    Node,
    IPPool,
)
P = TypeVar("P", NetworkPolicy, GlobalNetworkPolicy, StagedNetworkPolicy, StagedGlobalNetworkPolicy)

_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_HOST_AFFINITY = "host:"
_NODE = "node"  # attribute of an address in a block: the host whose workload has it
_EVERY_WORKLOADS = frozenset(endpoints.LINK_LOCAL)
_NAMESPACE_PROFILE = "kns."


class PeerRecord(Struct, frozen=True, gc=False):
    """What rules can know of addresses: an endpoint on any host, or a network set. `parents`: profiles, for labels to inherit.

    `addresses`: a prefix that holds one address is an `Addr`.
    """

    labels: Mapping[str, str]
    parents: tuple[str, ...]
    addresses: tuple[Addr | Cidr, ...]
    ports: tuple[NamedPort, ...] = ()
    problem: str = ""


class LocalRecord(Struct, frozen=True, gc=False):
    """What this host must know of its own workload's endpoint, beside the peer that it is. `name`: namespace and name."""

    name: tuple[str, str]
    interface: str
    addresses: tuple[Addr, ...]
    profiles: tuple[str, ...]
    sources: tuple[Cidr, ...]
    translations: Translations = NONE
    limited: Limited = UNLIMITED
    mac: bytes = b""


class EndpointRecord(Struct, frozen=True, gc=False):
    """A workload's endpoint on any host. `local` is set for those of this host only; `floating`: its addresses of that kind."""

    peer: PeerRecord
    local: LocalRecord | None
    host: str = ""
    floating: tuple[Addr, ...] = ()


class HostEndpointRecord(Struct, frozen=True):
    """`local` is set for those of this host only."""

    peer: PeerRecord
    local: ResolvedEndpoint | None


class NodeRecord(Struct, frozen=True, gc=False):
    """A host's own addresses on our subnet, at most one of each family; and what it says of its interfaces."""

    addresses: tuple[Addr, ...]
    interfaces: tuple[HostInterface, ...] = ()
    problem: str = ""


class PoolRecord(Struct, frozen=True, gc=False):
    cidr: Cidr
    nat_outgoing: bool


class BlockRecord(Struct, frozen=True, gc=False):
    """A block of addresses; `host` is None while no host has it. `borrowed`: the addresses in it that another host's workloads
    have, as networks of one address, with that host; of a block without a host, all that are in use."""

    cidr: Cidr
    host: str | None
    borrowed: tuple[tuple[Cidr, str], ...] = ()


def parse_endpoint(key: str, value: bytes) -> WorkloadEndpoint:
    return _resource(WorkloadEndpoint, key, value)


def endpoint_record(host: str, endpoint: WorkloadEndpoint, settings: Settings) -> EndpointRecord:
    """`host` is the host we calculate for, `settings` are those of the endpoint's host."""
    found = endpoints.workload(endpoint, {}, settings)
    peer = _peer(found)
    addresses = tuple(dict.fromkeys(found.addresses))
    nats = endpoints.floating(endpoint.spec, settings)
    floating = tuple(each.outside for each in translations(nats, (), addresses).floating)
    if found.host != host:
        return EndpointRecord(peer, None, found.host, floating)
    asked = (Addr.parse(nat.external_ip) for nat in nats)  # those that it has count later (`local_endpoints`)
    usual = _EVERY_WORKLOADS.union(address.cidr() for address in (*addresses, *asked))
    local = LocalRecord(
        name=(found.namespace, found.name),
        interface=_interface(found.interface),
        addresses=addresses,
        profiles=peer.parents,
        sources=tuple(dict.fromkeys(net for net in found.sources if net not in usual)),
        translations=translations(nats, endpoint.spec.ports, addresses),
        limited=limited(endpoint.spec.qos_controls),
        mac=_mac(endpoint.spec.mac),
    )
    return EndpointRecord(peer, local, found.host, floating)


def read_host_endpoint(host: str, key: str, value: bytes) -> HostEndpointRecord:
    """`host` is the host we calculate for."""
    found = endpoints.host_endpoint(_resource(HostEndpoint, key, value), {})
    if found.interface and found.interface != endpoints.EVERY_INTERFACE:
        _interface(found.interface)
    return HostEndpointRecord(_peer(found), found if found.host == host else None)


def read_network_set(key: str, value: bytes) -> PeerRecord:
    found = _resource(NetworkSet, key, value)
    parent = _NAMESPACE_PROFILE + found.metadata.namespace
    return _network_set(endpoints.network_set(found, {}), (parent,), found.spec.nets)


def read_global_network_set(key: str, value: bytes) -> PeerRecord:
    found = _resource(GlobalNetworkSet, key, value)
    return _network_set(Peer(found.metadata.labels), (), found.spec.nets)


def read_profile(key: str, value: bytes) -> Profile:
    return _resource(Profile, key, value)


def read_tier(key: str, value: bytes) -> Tier:
    return _resource(Tier, key, value)


def read_policy(key: str, value: bytes) -> ResolvedPolicy:
    return _resolved(*_policy(NetworkPolicy, key, value))


def read_global_policy(key: str, value: bytes) -> ResolvedPolicy:
    return _resolved(*_policy(GlobalNetworkPolicy, key, value))


def read_staged_policy(key: str, value: bytes) -> ResolvedPolicy | None:
    """None: it has no rules to ask, because it is to be ignored, or says that another policy will go."""
    return _staged(*_policy(StagedNetworkPolicy, key, value))


def read_staged_global_policy(key: str, value: bytes) -> ResolvedPolicy | None:
    """Likewise."""
    return _staged(*_policy(StagedGlobalNetworkPolicy, key, value))


def read_configuration(key: str, value: bytes) -> FelixConfigurationSpec:
    return _resource(FelixConfiguration, key, value).spec


def read_node(key: str, value: bytes) -> NodeRecord:
    node = _resource(Node, key, value)
    interfaces, problem = _interfaces(node.metadata.name, node.spec.interfaces)
    if node.spec.bgp is None:
        return NodeRecord((), interfaces, problem)
    texts = {4: node.spec.bgp.ipv4_address, 6: node.spec.bgp.ipv6_address}
    addresses = tuple(_node_address(family, text) for family, text in texts.items() if text)
    return NodeRecord(addresses, interfaces, problem)


def read_pool(key: str, value: bytes) -> PoolRecord:
    spec = _resource(IPPool, key, value).spec
    return PoolRecord(Cidr.parse(spec.cidr), spec.nat_outgoing)


def read_block(key: str, value: bytes) -> BlockRecord:
    block = decode_json(Block, value, what=f"block {keys.name_of(key)}")
    cidr = Cidr.parse(block.cidr)
    if keys.block(cidr) != key:
        raise UserError(
            f"block {cidr} does not lie under its own key", hint="delete it: it cannot have been made by the allocator"
        )
    affinity = "" if block.deleted else block.affinity or ""
    host = affinity.removeprefix(_HOST_AFFINITY) if affinity.startswith(_HOST_AFFINITY) else ""
    return BlockRecord(cidr, host or None, tuple(_borrowed(block, cidr, host)))


def _borrowed(block: Block, cidr: Cidr, owner: str) -> Iterator[tuple[Cidr, str]]:
    hosts = [attribute.secondary.get(_NODE, owner) for attribute in block.attributes]
    if all(host == owner for host in hosts):
        return
    for ordinal, index in zip(range(cidr.size), block.allocations, strict=False):
        host = hosts[index] if index is not None and 0 <= index < len(hosts) else owner
        if host != owner:
            yield cidr.nth(ordinal).cidr(), host


def _resource(wanted: type[R], key: str, value: bytes) -> R:
    return _called(key, decode_json(wanted, value, what=f"{wanted.__name__} {keys.name_of(key)}"))


def _called(key: str, found: R) -> R:
    """As its key calls it."""
    namespace, _, name = key.removeprefix(KINDS[type(found).__name__].prefix()).rpartition("/")
    metadata = found.metadata
    if (metadata.name, metadata.namespace) != (name, namespace):
        return replace(found, metadata=replace(metadata, name=name, namespace=namespace))
    return found


def _policy(wanted: type[P], key: str, value: bytes) -> tuple[P, tuple[str, ...]]:
    """With the paths of the fields that this version has no word for."""
    try:
        return _resource(wanted, key, value), ()
    except UserError as error:
        try:
            document = parse(value)
        except UserError:
            raise error from None
        if not document.unknown or not isinstance(document.resource, wanted):
            raise
        return _called(key, document.resource), document.unknown


def _staged(policy: StagedPolicy, unknown: tuple[str, ...]) -> ResolvedPolicy | None:
    return _resolved(policy, unknown) if policy.spec.staged_action not in ("Delete", "Ignore") else None


def _resolved(policy: Policy, unknown: tuple[str, ...]) -> ResolvedPolicy:
    try:
        return denying_unknown(resolve_policy(policy), unknown)
    except UserError as error:
        raise UserError(f"not in force: {error.message}", hint=error.hint) from error


def _peer(found: ResolvedEndpoint) -> PeerRecord:
    return PeerRecord(
        labels={_shared(label): _shared(text) for label, text in found.peer.labels.items()},
        parents=_shared(tuple(dict.fromkeys(found.profiles))),
        addresses=tuple(dict.fromkeys(found.addresses)),
        ports=_shared(tuple(dict.fromkeys(found.peer.ports))),
    )


@lru_cache(10_000)
def _shared(value: T) -> T:
    """One object for equal values that came one after the other: what endpoints say, many others say too."""
    return value


def _network_set(peer: Peer, parents: tuple[str, ...], texts: tuple[str, ...]) -> PeerRecord:
    nets: dict[Addr | Cidr, None] = {}
    problems = []
    for text in texts:
        try:
            _, net = parse_interface(text)
        except UserError as error:
            problems.append(f"passed over: {error}")
        else:
            nets[net.address if net.size == 1 else net] = None
    return PeerRecord(peer.labels, parents, tuple(nets), problem="; ".join(problems))


def _interface(name: str) -> str:
    if not _INTERFACE.fullmatch(name):
        raise UserError(
            f"spec.interfaceName: {name!r} is not an interface name", hint="1 to 15 letters, digits, '_', '.' or '-'"
        )
    return name


def _mac(text: str) -> bytes:
    """One that is none is as good as none given: the host then asks where the workload is."""
    digits = text.replace(":", "").replace("-", "")
    return bytes.fromhex(digits) if re.fullmatch("[0-9a-fA-F]{12}", digits) else b""


def _interfaces(host: str, written: tuple[NodeInterface, ...]) -> tuple[tuple[HostInterface, ...], str]:
    """(the interfaces, what is wrong with them)."""
    found, problems = [], []
    for one in written:
        try:
            addresses = tuple(parse_interface(text)[0] for text in one.addresses)
        except UserError as error:
            problems.append(f"interface {one.name} is treated as without addresses: {error}")
            addresses = ()
        found.append(HostInterface(host, one.name, addresses))
    return tuple(found), "; ".join(problems)


def _node_address(family: int, text: str) -> Addr:
    address, _ = parse_interface(text)
    if address.family != family:
        raise UserError(f"spec.bgp.ipv{family}Address: {text} is not an IPv{family} address")
    return address
