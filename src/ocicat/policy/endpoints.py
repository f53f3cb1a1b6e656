"""Endpoints and network sets resolved: their addresses, named ports, and the labels they have and inherit. Pure.

Own labels go before those of profiles, and earlier profiles before later ones. A workload cannot say in its own labels which
namespace or service account it belongs to: namespace, orchestrator and account come from the resource, labels with the prefixes
`pcns.` and `pcsa.` from profiles only. Sources: libcalico-go updateprocessors and clientv3/workloadendpoint.go, felix/labelindex.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ocicat.errors import UserError
from ocicat.model.net import WIDTH, Addr, Cidr, parse_interface
from ocicat.model.v3.endpoints import (
    IPNAT,
    EndpointPort,
    HostEndpoint,
    NetworkSet,
    WorkloadEndpoint,
    WorkloadEndpointPort,
    WorkloadEndpointSpec,
)
from ocicat.model.v3.numbers import protocol_number
from ocicat.policy.model import NamedPort, Peer, ResolvedEndpoint
from ocicat.policy.selectors import NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX
from ocicat.policy.settings import Settings

ProfileLabels = Mapping[str, Mapping[str, str]]
"""What each profile gives to its members."""

LINK_LOCAL = (Cidr.parse("fe80::/64"), Addr(6, 0).cidr())
"""A workload's neighbour discovery; the second is the source of a probe for a duplicate address (RFC 4862)."""

_NAMESPACE_PROFILE = "kns."

EVERY_INTERFACE = "*"
"""As the interface of a host endpoint."""


def workload(endpoint: WorkloadEndpoint, profiles: ProfileLabels, settings: Settings) -> ResolvedEndpoint:
    """Errors: UserError where Felix takes the endpoint for missing."""
    spec, namespace = endpoint.spec, endpoint.metadata.namespace
    if spec.allow_spoofed_source_prefixes and not settings.source_spoofing:
        raise UserError("allowSpoofedSourcePrefixes needs workloadSourceSpoofing Any in FelixConfiguration")
    addresses = tuple(map(_single_address, spec.ip_networks))
    if not addresses or not spec.interface_name:
        raise UserError("it has no address, or no interface")
    own = (*addresses, *(Addr.parse(nat.external_ip) for nat in floating(spec, settings)))
    labels = {
        **{label: value for label, value in endpoint.metadata.labels.items() if not _is_inherited(label)},
        NAMESPACE: namespace,
        ORCHESTRATOR: spec.orchestrator,
        **({SERVICE_ACCOUNT: spec.service_account_name} if spec.service_account_name else {}),
    }
    return ResolvedEndpoint(
        kind="WorkloadEndpoint",
        namespace=namespace,
        name=endpoint.metadata.name,
        host=spec.node,
        interface=spec.interface_name,
        addresses=addresses,
        profiles=spec.profiles,
        peer=Peer(_inherited(labels, spec.profiles, profiles), _named_ports(spec.ports)),
        sources=(*(one.cidr() for one in own), *map(_net, spec.allow_spoofed_source_prefixes), *LINK_LOCAL),
    )


def floating(spec: WorkloadEndpointSpec, settings: Settings) -> tuple[IPNAT, ...]:
    """Its floating addresses, where they count."""
    return spec.ip_nats if settings.floating_addresses or spec.orchestrator == "openstack" else ()


def host_endpoint(endpoint: HostEndpoint, profiles: ProfileLabels) -> ResolvedEndpoint:
    """Only `expectedIPs` make it a peer in others' rules. Errors: UserError for an address that is none."""
    spec = endpoint.spec
    return ResolvedEndpoint(
        kind="HostEndpoint",
        name=endpoint.metadata.name,
        host=spec.node,
        interface=spec.interface_name,
        addresses=tuple(map(Addr.parse, spec.expected_ips)),
        profiles=spec.profiles,
        peer=Peer(_inherited(endpoint.metadata.labels, spec.profiles, profiles), _named_ports(spec.ports)),
    )


def governing(
    candidates: Iterable[ResolvedEndpoint], interface: str, addresses: tuple[Addr, ...]
) -> ResolvedEndpoint | None:
    """Of one host's endpoints in the order of their names the first that names the interface, or names none and expects one of
    its addresses (felix/dataplane/linux/endpoint_mgr.go, resolveHostEndpoints)."""
    for endpoint in candidates:
        expected = not endpoint.interface and not set(addresses).isdisjoint(endpoint.addresses)
        if endpoint.interface == interface or expected:
            return endpoint
    return None


def network_set(resource: NetworkSet, profiles: ProfileLabels) -> Peer:
    """As a peer; it inherits from its namespace's profile."""
    namespace = resource.metadata.namespace
    labels = {**resource.metadata.labels, NAMESPACE: namespace}
    return Peer(_inherited(labels, (_NAMESPACE_PROFILE + namespace,), profiles))


def nets(texts: Iterable[str]) -> tuple[Cidr, ...]:
    return tuple(map(_net, texts))


def _single_address(text: str) -> Addr:
    address, cidr = parse_interface(text)
    if cidr.length != WIDTH[cidr.family]:
        raise UserError(f"spec.ipNetworks: {text} is not one address", hint=f"write {address.cidr()}")
    return address


def _net(text: str) -> Cidr:
    return parse_interface(text)[1]


def _is_inherited(label: str) -> bool:
    return label.startswith((NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX))


def _inherited(own: Mapping[str, str], names: tuple[str, ...], profiles: ProfileLabels) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name in reversed(names):
        labels.update(profiles.get(name, {}))
    labels.update(own)
    return labels


def _named_ports(ports: Iterable[WorkloadEndpointPort | EndpointPort]) -> tuple[NamedPort, ...]:
    return tuple(NamedPort(port.name, protocol_number(port.protocol) or 0, port.port) for port in ports if port.name)
