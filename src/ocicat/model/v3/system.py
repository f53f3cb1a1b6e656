"""The cluster itself, the controllers beside it, and what hosts tell about their state. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import UNSET, Struct, UnsetType, field
from ocicat.model.v3.fields import (
    Duration,
    Enabled,
    Form,
    Items,
    Labels,
    MaxLength,
    NetSet,
    Range,
    Selector,
    Time,
    one_of,
)
from ocicat.model.v3.metadata import API_VERSION, Metadata


class ClusterInformationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cluster_guid: str = field(default="", name="clusterGUID")
    cluster_type: str = ""
    calico_version: str = ""
    datastore_ready: bool | None = None  # False: the datastore is locked, nothing may be allocated
    variant: str = ""


class ClusterInformation(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["ClusterInformation"] = "ClusterInformation"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: ClusterInformationSpec = ClusterInformationSpec()


# --- controllers --------------------------------------------------------------------------------------------------


class HostEndpointTemplate(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    generate_name: Annotated[str, MaxLength(253), Form("name")] = ""
    interface_cidrs: NetSet = field(default=(), name="interfaceCIDRs")
    interface_pattern: Annotated[str, Form("regexp")] = ""
    labels: Labels = {}
    annotations: Annotated[dict[str, str], Form("annotations")] = {}
    node_selector: Selector = ""


class AutoHostEndpoint(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    auto_create: Enabled = ""
    create_default_host_endpoint: Enabled = ""
    templates: tuple[HostEndpointTemplate, ...] = ()


class NodeController(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    reconciler_period: Duration | None = None  # 5m
    sync_labels: Enabled = ""
    host_endpoint: AutoHostEndpoint | None = None
    leak_grace_period: Duration | None = None  # 15m


class Controller(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    reconciler_period: Duration | None = None  # 5m


class LoadBalancerController(Struct, frozen=True, omit_defaults=True, kw_only=True):
    assign_ips: Annotated[str, one_of("AllServices", "RequestedServicesOnly")] = field(default="", name="assignIPs")


class MigrationController(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    policy_name_migrator: Enabled = ""


class Controllers(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    node: NodeController | None = None
    policy: Controller | None = None
    workload_endpoint: Controller | None = None
    service_account: Controller | None = None
    namespace: Controller | None = None
    load_balancer: LoadBalancerController | None = None
    migration: MigrationController | None = None


class KubeControllersConfigurationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    log_severity_screen: Annotated[str, one_of("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic")] = ""
    health_checks: Enabled = ""
    etcd_v3_compaction_period: Duration | None = field(default=None, name="etcdV3CompactionPeriod")  # 10m
    prometheus_metrics_port: Annotated[int, Range(0, 65535)] | None = None  # 9094; 0: none
    controllers: Controllers
    debug_profile_port: Annotated[int, Range(0, 65535)] | None = None


class KubeControllersConfigurationStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    running_config: KubeControllersConfigurationSpec | None = None
    environment_vars: dict[str, str] = {}


class KubeControllersConfiguration(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["KubeControllersConfiguration"] = "KubeControllersConfiguration"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: KubeControllersConfigurationSpec
    status: KubeControllersConfigurationStatus | UnsetType = UNSET


# --- the state of a host ------------------------------------------------------------------------------------------


class CalicoNodeStatusSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    node: Annotated[str, Form("name")] = ""
    classes: Annotated[tuple[Annotated[str, one_of("Agent", "BGP", "Routes")], ...], Items(unique=True)] = ()
    update_period_seconds: Annotated[int, Range(0, 86400)] | None = None


class BirdStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    state: Annotated[str, one_of("Ready", "NotReady")] = ""
    version: str = ""
    router_id: str = field(default="", name="routerID")
    last_boot_time: str = ""
    last_reconfiguration_time: str = ""


class AgentStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    bird_v4: BirdStatus | None = None
    bird_v6: BirdStatus | None = None


class SessionStatus(Struct, frozen=True, omit_defaults=True, kw_only=True):
    peer_ip: str = field(default="", name="peerIP")
    type: Annotated[str, one_of("NodeMesh", "NodePeer", "GlobalPeer")] = ""
    state: Annotated[str, one_of("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close")] = ""
    since: str = ""


class BGPStatus(Struct, frozen=True, rename="camel", kw_only=True):
    number_established_v4: int = 0
    number_not_established_v4: int = 0
    number_established_v6: int = 0
    number_not_established_v6: int = 0
    peers_v4: tuple[SessionStatus, ...] = ()
    peers_v6: tuple[SessionStatus, ...] = ()


class RouteOrigin(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    source_type: Annotated[str, one_of("Kernel", "Static", "Direct", "NodeMesh", "BGPPeer")] = ""
    peer_ip: str = field(default="", name="peerIP")


class RouteStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    type: Annotated[str, one_of("FIB", "RIB")] = ""
    destination: str = ""
    gateway: str = ""
    interface: str = ""
    learned_from: RouteOrigin | None = None


class RoutesStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    routes_v4: tuple[RouteStatus, ...] = ()
    routes_v6: tuple[RouteStatus, ...] = ()


class CalicoNodeStatusStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    last_updated: Time | None = None
    agent: AgentStatus | None = None
    bgp: BGPStatus | None = None
    routes: RoutesStatus | None = None


class CalicoNodeStatus(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["CalicoNodeStatus"] = "CalicoNodeStatus"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: CalicoNodeStatusSpec = CalicoNodeStatusSpec()
    status: CalicoNodeStatusStatus | UnsetType = UNSET
