"""Rules across the fields of endpoints, hosts and sets of addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.errors import UserError
from ocicat.model.net import WIDTH
from ocicat.model.v3.endpoints import (
    IPNAT,
    GlobalNetworkSet,
    HostEndpointSpec,
    NodeBGPSpec,
    NodeSpec,
    QoSControls,
    WorkloadEndpoint,
    WorkloadEndpointPort,
    WorkloadEndpointSpec,
)
from ocicat.validate.forms import FORMS, family_of, network
from ocicat.validate.problem import Checks, Problem, on, problem

NAMESPACE_LABEL = "projectcalico.org/namespace"


def _workload_name(endpoint: WorkloadEndpoint) -> Iterator[Problem]:
    try:
        name = endpoint.spec.ids.name()
    except UserError as error:
        yield problem("spec", None, f"its name cannot be made: {error}")
        return
    if endpoint.metadata.name != name:
        yield problem("metadata.name", endpoint.metadata.name, f"must be {name}, as the specification says")


def _single_addresses(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    for place, text in enumerate(spec.ip_networks):
        found = network(text)
        if found is not None and found.length != WIDTH[found.family]:
            yield problem(f"ipNetworks[{place}]", text, "must be one address: /32 or /128")


def _nats(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    own = {network(text) for text in spec.ip_networks} if spec.ip_nats else set()
    for place, nat in enumerate(spec.ip_nats):
        if network(nat.internal_ip) not in own:
            yield problem(f"ipNATs[{place}].internalIP", nat.internal_ip, "must be one of the endpoint's ipNetworks")


def _interface(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    if not spec.interface_name:
        yield problem("interfaceName", None, "is missing: the host's end of the endpoint")


def _nat_families(nat: IPNAT) -> Iterator[Problem]:
    if family_of(nat.internal_ip) != family_of(nat.external_ip):
        yield problem("externalIP", nat.external_ip, f"must be of the same family as internalIP {nat.internal_ip}")


def _port_name(port: WorkloadEndpointPort) -> Iterator[Problem]:
    if not port.name and not port.host_port:
        yield problem("name", None, "is missing: a port needs a name or a hostPort")


def _limits(controls: QoSControls) -> Iterator[Problem]:
    """As Calico holds the annotations of pods (libcalico-go/lib/backend/k8s/conversion)."""
    for way in ("ingress", "egress"):
        bandwidth, burst, peak, minburst, packets, packet_burst = (
            getattr(controls, f"{way}_{name}")
            for name in ("bandwidth", "burst", "peakrate", "minburst", "packet_rate", "packet_burst")
        )
        if burst and not bandwidth:
            yield problem(f"{way}Burst", burst, f"means nothing without {way}Bandwidth")
        if peak and not 0 < bandwidth < peak:
            yield problem(f"{way}Peakrate", peak, f"must be greater than {way}Bandwidth, which must be given")
        if minburst and not peak:
            yield problem(f"{way}Minburst", minburst, f"means nothing without {way}Peakrate")
        if packet_burst and not packets:
            yield problem(f"{way}PacketBurst", packet_burst, f"means nothing without {way}PacketRate")


def _host_endpoint(spec: HostEndpointSpec) -> Iterator[Problem]:
    if not spec.node:
        yield problem("node", None, "is missing: the host that has the interface")
    if not spec.interface_name and not spec.expected_ips:
        yield problem("interfaceName", None, "is missing: give interfaceName or expectedIPs")
    rule = FORMS["interface"](spec.interface_name) if spec.interface_name not in ("", "*") else ""
    if rule:
        yield problem("interfaceName", spec.interface_name, f"{rule}, or * for every interface")


def _global_set(resource: GlobalNetworkSet) -> Iterator[Problem]:
    if NAMESPACE_LABEL in resource.metadata.labels:
        yield problem(
            "metadata.labels", resource.metadata.labels, f"{NAMESPACE_LABEL} cannot be set on a GlobalNetworkSet"
        )


def _node_bgp(spec: NodeSpec) -> Iterator[Problem]:
    if spec.bgp == NodeBGPSpec():
        yield problem("bgp", None, "is empty: leave it out, or give an address")


RULES: Checks = dict(
    [
        on(WorkloadEndpoint, _workload_name),
        on(WorkloadEndpointSpec, _interface, _single_addresses, _nats),
        on(WorkloadEndpointPort, _port_name),
        on(IPNAT, _nat_families),
        on(QoSControls, _limits),
        on(HostEndpointSpec, _host_endpoint),
        on(GlobalNetworkSet, _global_set),
        on(NodeSpec, _node_bgp),
    ]
)
