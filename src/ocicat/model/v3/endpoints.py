"""Hosts, the workloads and host interfaces on them, and sets of addresses outside. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import UNSET, Struct, UnsetType, field
from ocicat.model.names import WorkloadEndpointIds
from ocicat.model.v3.fields import (
    Address,
    AsNumber,
    Form,
    Interface,
    IPv4,
    IPv6,
    Items,
    Net,
    NetSet,
    NodeName,
    PortNumber,
    ProfileNames,
    ProtocolWithPorts,
    Range,
    one_of,
)
from ocicat.model.v3.metadata import API_VERSION, Metadata

Mac = Annotated[str, Form("mac")]
Bandwidth = Annotated[int, Range(1_000, 1_000_000_000_000_000)]  # bits per second
Peakrate = Annotated[int, Range(1_010, 1_010_000_000_000_000)]  # bits per second
Burst = Annotated[int, Range(1_000, 34_359_738_360)]  # bits
Minburst = Annotated[int, Range(1_000, 100_000_000)]  # bytes
Packets = Annotated[int, Range(1, 10_000)]  # per second, or in one burst
Connections = Annotated[int, Range(1, 4_294_967_295)]


class IPNAT(Struct, frozen=True, omit_defaults=True, kw_only=True):
    internal_ip: Address = field(name="internalIP")
    external_ip: Address = field(name="externalIP")


class WorkloadEndpointPort(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A named port of a workload, or one that the host forwards to it."""

    name: Annotated[str, Form("endpoint port name")] = ""
    protocol: ProtocolWithPorts
    port: PortNumber
    host_port: Annotated[int, Range(0, 65535)] = 0
    host_ip: Address = field(default="", name="hostIP")


class QoSControls(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    ingress_bandwidth: Bandwidth = 0
    egress_bandwidth: Bandwidth = 0
    ingress_burst: Burst = 0
    egress_burst: Burst = 0
    ingress_peakrate: Peakrate = 0
    egress_peakrate: Peakrate = 0
    ingress_minburst: Minburst = 0
    egress_minburst: Minburst = 0
    ingress_packet_rate: Packets = 0
    egress_packet_rate: Packets = 0
    ingress_packet_burst: Packets = 0
    egress_packet_burst: Packets = 0
    ingress_max_connections: Connections = 0
    egress_max_connections: Connections = 0
    dscp: Annotated[int | str, Form("dscp")] | None = None


class WorkloadEndpointSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    orchestrator: str
    workload: Annotated[str, Form("name")] = ""
    node: NodeName = ""
    container_id: Annotated[str, Form("container id")] = field(default="", name="containerID")
    pod: Annotated[str, Form("name")] = ""
    endpoint: str = ""
    service_account_name: Annotated[str, Form("name")] = ""
    ip_networks: NetSet = ()
    ip_nats: tuple[IPNAT, ...] = field(default=(), name="ipNATs")
    ipv4_gateway: IPv4 = field(default="", name="ipv4Gateway")
    ipv6_gateway: IPv6 = field(default="", name="ipv6Gateway")
    profiles: ProfileNames = ()
    interface_name: Interface = ""
    mac: Mac = ""
    ports: tuple[WorkloadEndpointPort, ...] = ()
    allow_spoofed_source_prefixes: NetSet = ()
    qos_controls: QoSControls | None = field(default=None, name="qosControls")

    @property
    def ids(self) -> WorkloadEndpointIds:
        """What the endpoint's name is made of."""
        return WorkloadEndpointIds(
            node=self.node,
            orchestrator=self.orchestrator,
            workload=self.workload,
            pod=self.pod,
            container_id=self.container_id,
            endpoint=self.endpoint,
        )


class WorkloadEndpoint(Struct, frozen=True, rename="camel", kw_only=True):
    """Its name is made of fields of its specification: `ocicat.model.names`."""

    kind: Literal["WorkloadEndpoint"] = "WorkloadEndpoint"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: WorkloadEndpointSpec


class EndpointPort(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: Annotated[str, Form("endpoint port name")]
    protocol: ProtocolWithPorts
    port: PortNumber


class HostEndpointSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    node: NodeName = ""
    interface_name: str = ""  # "*": every interface of the host
    expected_ips: Annotated[tuple[Address, ...], Items(unique=True)] = field(default=(), name="expectedIPs")
    profiles: ProfileNames = ()
    ports: tuple[EndpointPort, ...] = ()


class HostEndpoint(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["HostEndpoint"] = "HostEndpoint"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: HostEndpointSpec = HostEndpointSpec()


class NetworkSetSpec(Struct, frozen=True, omit_defaults=True, kw_only=True):
    nets: NetSet = ()  # both families may be mixed


class NetworkSet(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["NetworkSet"] = "NetworkSet"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: NetworkSetSpec = NetworkSetSpec()


class GlobalNetworkSet(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["GlobalNetworkSet"] = "GlobalNetworkSet"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: NetworkSetSpec = NetworkSetSpec()


class NodeBGPSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Addresses may carry the prefix length of their subnet: without it CrossSubnet knows no subnet."""

    as_number: AsNumber | None = None
    ipv4_address: Annotated[str, Form("ipv4 interface")] = field(default="", name="ipv4Address")
    ipv6_address: Annotated[str, Form("ipv6 interface")] = field(default="", name="ipv6Address")
    ipv4_ipip_tunnel_addr: IPv4 = field(default="", name="ipv4IPIPTunnelAddr")
    route_reflector_cluster_id: Annotated[str, Form("cluster id")] = field(default="", name="routeReflectorClusterID")


class NodeWireguardSpec(Struct, frozen=True, omit_defaults=True, kw_only=True):
    interface_ipv4_address: IPv4 = field(default="", name="interfaceIPv4Address")
    interface_ipv6_address: IPv6 = field(default="", name="interfaceIPv6Address")


class NodeAddress(Struct, frozen=True, omit_defaults=True, kw_only=True):
    address: Net
    type: Annotated[str, one_of("CalicoNodeIP", "InternalIP", "ExternalIP")] = ""


class NodeInterface(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: Interface = ""
    addresses: tuple[Net, ...] = ()


class OrchRef(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    orchestrator: str
    node_name: str = ""


class NodeSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    bgp: NodeBGPSpec | None = None
    ipv4_vxlan_tunnel_addr: IPv4 = field(default="", name="ipv4VXLANTunnelAddr")
    ipv6_vxlan_tunnel_addr: IPv6 = field(default="", name="ipv6VXLANTunnelAddr")
    vxlan_tunnel_mac_addr: Mac = field(default="", name="vxlanTunnelMACAddr")
    vxlan_tunnel_mac_addr_v6: Mac = field(default="", name="vxlanTunnelMACAddrV6")
    orch_refs: tuple[OrchRef, ...] = ()
    wireguard: NodeWireguardSpec | None = None
    addresses: tuple[NodeAddress, ...] = ()
    interfaces: tuple[NodeInterface, ...] = ()


class NodeStatus(Struct, frozen=True, omit_defaults=True, kw_only=True):
    wireguard_public_key: Annotated[str, Form("public key")] = field(default="", name="wireguardPublicKey")
    wireguard_public_key_v6: Annotated[str, Form("public key")] = field(default="", name="wireguardPublicKeyV6")
    pod_cidrs: tuple[str, ...] = field(default=(), name="podCIDRs")


class Node(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["Node"] = "Node"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus | UnsetType = UNSET
