"""How hosts speak BGP with each other and with the network: settings, peers, filters. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import Struct, field
from ocicat.model.v3.fields import (
    AsNumber,
    Duration,
    Enabled,
    Form,
    Items,
    MaxLength,
    NodeName,
    PortNumber,
    Range,
    RoutePriority,
    Selector,
    any_case,
    one_of,
)
from ocicat.model.v3.metadata import API_VERSION, Metadata


class SecretKeyRef(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str = ""
    key: str
    optional: bool | None = None


class BGPPassword(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Where a session's password is kept."""

    secret_key_ref: SecretKeyRef | None = None


class Community(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: Annotated[str, MaxLength(253), Form("name")] = ""
    value: Annotated[str, MaxLength(40), Form("bgp community")] = ""


class PrefixAdvertisement(Struct, frozen=True, omit_defaults=True, kw_only=True):
    cidr: Annotated[str, Form("masked prefix")] = ""
    communities: Annotated[tuple[str, ...], Items(high=50)] = ()  # values, or names that `communities` defines


class ServiceBlock(Struct, frozen=True, omit_defaults=True, kw_only=True):
    cidr: Annotated[str, Form("masked address or prefix")] = ""


class BGPConfigurationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """None: not said here; the value in force is then what the comment names."""

    log_severity_screen: Annotated[str, any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")] = "Info"
    node_to_node_mesh_enabled: bool | None = None  # True
    as_number: AsNumber | None = None  # 64512
    service_load_balancer_aggregation: Enabled = "Enabled"
    service_load_balancer_ips: tuple[ServiceBlock, ...] = field(default=(), name="serviceLoadBalancerIPs")
    service_external_ips: tuple[ServiceBlock, ...] = field(default=(), name="serviceExternalIPs")
    service_cluster_ips: tuple[ServiceBlock, ...] = field(default=(), name="serviceClusterIPs")
    communities: Annotated[tuple[Community, ...], Items(high=500)] = ()
    prefix_advertisements: Annotated[tuple[PrefixAdvertisement, ...], Items(high=500)] = ()
    listen_port: PortNumber | None = None  # 179
    node_mesh_password: BGPPassword | None = None
    node_mesh_max_restart_time: Duration | None = None
    bind_mode: Annotated[str, one_of("None", "NodeIP")] | None = None
    ignored_interfaces: Annotated[tuple[Annotated[str, Form("interface glob")], ...], Items(unique=True)] = ()
    local_workload_peering_ipv4: Annotated[str, Form("ipv4")] = field(default="", name="localWorkloadPeeringIPV4")
    local_workload_peering_ipv6: Annotated[str, Form("ipv6")] = field(default="", name="localWorkloadPeeringIPV6")
    program_cluster_routes: (
        Annotated[str, one_of("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")] | None
    ) = None
    ipv4_normal_route_priority: RoutePriority | None = field(default=None, name="ipv4NormalRoutePriority")  # 1024
    ipv6_normal_route_priority: RoutePriority | None = field(default=None, name="ipv6NormalRoutePriority")  # 1024


class BGPConfiguration(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["BGPConfiguration"] = "BGPConfiguration"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: BGPConfigurationSpec = BGPConfigurationSpec()


class BGPPeerSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    node: NodeName = ""
    node_selector: Selector = ""
    peer_ip: Annotated[str, MaxLength(64), Form("peer address")] = field(default="", name="peerIP")
    peer_selector: Selector = ""
    as_number: AsNumber | None = None
    local_as_number: AsNumber | None = field(default=None, name="localASNumber")
    keep_original_next_hop: bool = False  # deprecated: nextHopMode Keep
    next_hop_mode: Annotated[str, one_of("Auto", "Self", "Keep")] | None = None
    password: BGPPassword | None = None
    source_address: Annotated[str, one_of("UseNodeIP", "None")] = ""  # UseNodeIP
    max_restart_time: Duration | None = None  # 120s
    keepalive_time: Duration | None = None
    num_allowed_local_as_numbers: Annotated[int, Range(0, 2147483647)] | None = field(
        default=None, name="numAllowedLocalASNumbers"
    )
    ttl_security: Annotated[int, Range(0, 255)] | None = None
    reachable_by: Annotated[str, MaxLength(64), Form("address")] = ""
    filters: tuple[Annotated[str, Form("name")], ...] = ()
    local_workload_selector: Selector = ""
    reverse_peering: Annotated[str, one_of("Auto", "Manual")] | None = None


class BGPPeer(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["BGPPeer"] = "BGPPeer"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: BGPPeerSpec = BGPPeerSpec()


FilterAction = Literal["Accept", "Reject"]
FilterCommunity = Annotated[str, MaxLength(32), Form("policy community")]
FilterInterface = Annotated[str, MaxLength(15), Form("interface glob")]
MatchOperator = Annotated[str, one_of("Equal", "NotEqual", "In", "NotIn")]


class PrefixLengthV4(Struct, frozen=True, omit_defaults=True, kw_only=True):
    min: Annotated[int, Range(0, 32)] | None = None
    max: Annotated[int, Range(0, 32)] | None = None


class PrefixLengthV6(Struct, frozen=True, omit_defaults=True, kw_only=True):
    min: Annotated[int, Range(0, 128)] | None = None
    max: Annotated[int, Range(0, 128)] | None = None


class FilterCommunities(Struct, frozen=True, omit_defaults=True, kw_only=True):
    values: tuple[FilterCommunity, ...]  # exactly one


class AddCommunity(Struct, frozen=True, kw_only=True):
    value: FilterCommunity


class PrependASPath(Struct, frozen=True, kw_only=True):
    prefix: Annotated[tuple[AsNumber, ...], Items(high=10)]


class SetPriority(Struct, frozen=True, kw_only=True):
    value: RoutePriority


class FilterOperation(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Exactly one of the three."""

    add_community: AddCommunity | None = None
    prepend_as_path: PrependASPath | None = field(default=None, name="prependASPath")
    set_priority: SetPriority | None = None


class FilterRule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What a filter asks of a route of either family. Everything that is given must hold."""

    match_operator: MatchOperator = ""
    source: Annotated[str, one_of("RemotePeers")] = ""
    interface: FilterInterface = ""
    peer_type: Annotated[str, one_of("eBGP", "iBGP")] = ""
    communities: FilterCommunities | None = None
    as_path_prefix: tuple[AsNumber, ...] = ()
    priority: RoutePriority | None = None
    action: FilterAction
    operations: Annotated[tuple[FilterOperation, ...], Items(high=10)] | None = None


class FilterRuleV4(FilterRule, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cidr: Annotated[str, MaxLength(18), Form("ipv4 prefix")] = ""
    prefix_length: PrefixLengthV4 | None = None


class FilterRuleV6(FilterRule, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cidr: Annotated[str, MaxLength(43), Form("ipv6 prefix")] = ""
    prefix_length: PrefixLengthV6 | None = None


class BGPFilterSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    export_v4: tuple[FilterRuleV4, ...] = ()
    import_v4: tuple[FilterRuleV4, ...] = ()
    export_v6: tuple[FilterRuleV6, ...] = ()
    import_v6: tuple[FilterRuleV6, ...] = ()


class BGPFilter(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["BGPFilter"] = "BGPFilter"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: BGPFilterSpec = BGPFilterSpec()
