"""The settings of Calico's own agent, Felix: kept, shown and checked so that tools of both sides can share a datastore. Pure.

Unset (None, "" or empty) means that Felix uses its own default. Source: the FelixConfiguration CRD and its Go validation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import Struct, field
from ocicat.model.v3.fields import (
    Duration,
    Enabled,
    Form,
    Interface,
    IPv4,
    IPv6,
    Items,
    Matches,
    MaxLength,
    Net,
    Range,
    RoutePriority,
    Selector,
    any_case,
    one_of,
)
from ocicat.model.v3.metadata import API_VERSION, Metadata

AutoDuration = Annotated[str, Form("duration or Auto")]
InterfaceFilter = Annotated[str, Form("interface filter")]
NumericPort = Annotated[int | str, Form("numeric port")]
Regexp = Annotated[str, Form("regexp")]


class ConntrackTimeouts(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    creation_grace_period: AutoDuration | None = None
    tcp_syn_sent: AutoDuration | None = None
    tcp_established: AutoDuration | None = None
    tcp_fins_seen: AutoDuration | None = None
    tcp_reset_seen: AutoDuration | None = None
    udp_timeout: AutoDuration | None = None
    generic_timeout: AutoDuration | None = None
    icmp_timeout: AutoDuration | None = None


class ProtoPort(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A port that stays open whatever policy says; of one network, if `net` is given."""

    protocol: Annotated[str, any_case("TCP", "UDP", "SCTP")] = ""
    port: Annotated[int, Range(0, 65535)]
    net: Net = ""


class HealthTimeoutOverride(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: Annotated[str, Matches(r"[a-zA-Z0-9_ -]+", "letters, digits, spaces and _ -")]
    timeout: Duration


class RouteTableRange(Struct, frozen=True, kw_only=True):
    min: int
    max: int


class RouteTableIDRange(Struct, frozen=True, kw_only=True):
    min: int
    max: int


class FelixConfigurationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    allow_ipip_packets_from_workloads: bool | None = field(default=None, name="allowIPIPPacketsFromWorkloads")
    allow_vxlan_packets_from_workloads: bool | None = field(default=None, name="allowVXLANPacketsFromWorkloads")
    aws_src_dst_check: Annotated[str, one_of("DoNothing", "Enable", "Disable")] = ""
    bpf_attach_type: Annotated[str, one_of("TC", "TCX", "Netkit")] = ""
    bpf_ctlb_log_filter: str = field(default="", name="bpfCTLBLogFilter")
    bpf_connect_time_load_balancing: Annotated[str, one_of("TCP", "Enabled", "Disabled")] = ""
    bpf_connect_time_load_balancing_enabled: bool | None = None
    bpf_conntrack_log_level: Annotated[str, one_of("Off", "Debug")] = ""
    bpf_conntrack_mode: Annotated[str, one_of("Auto", "Userspace", "BPFProgram")] = ""
    bpf_conntrack_timeouts: ConntrackTimeouts | None = None
    bpf_dsr_optout_cidrs: tuple[Net, ...] = field(default=(), name="bpfDSROptoutCIDRs")
    bpf_data_iface_pattern: Regexp = ""
    bpf_disable_gro_for_ifaces: Regexp = field(default="", name="bpfDisableGROForIfaces")
    bpf_disable_unprivileged: bool | None = None
    bpf_enabled: bool | None = None
    bpf_enforce_rpf: Annotated[str, any_case("Disabled", "Strict", "Loose")] = field(default="", name="bpfEnforceRPF")
    bpf_exclude_cidrs_from_nat: tuple[Net, ...] = field(default=(), name="bpfExcludeCIDRsFromNAT")
    bpf_export_buffer_size_mb: int | None = field(default=None, name="bpfExportBufferSizeMB")
    bpf_ext_to_service_connmark: Annotated[int, Range(0, 4294967295)] | None = None
    bpf_external_service_mode: Annotated[str, any_case("Tunnel", "DSR")] = ""
    bpf_force_track_packets_from_ifaces: tuple[InterfaceFilter, ...] = ()
    bpf_host_conntrack_bypass: bool | None = None
    bpf_host_networked_nat_without_ctlb: Enabled = field(default="", name="bpfHostNetworkedNATWithoutCTLB")
    bpf_ip_frag_timeout: Duration | None = field(default=None, name="bpfIPFragTimeout")
    bpf_ip_fragment_reassembly_enabled: bool | None = field(default=None, name="bpfIPFragmentReassemblyEnabled")
    bpf_jit_hardening: Annotated[str, one_of("Auto", "Strict")] = field(default="", name="bpfJITHardening")
    bpf_kube_proxy_healthz_port: Annotated[int, Range(0, 65535)] | None = None
    bpf_kube_proxy_iptables_cleanup_enabled: bool | None = None
    bpf_kube_proxy_min_sync_period: Duration | None = None
    bpf_l3_iface_pattern: Regexp = ""
    bpf_log_filters: dict[str, str] = {}
    bpf_log_level: Annotated[str, any_case("Off", "Info", "Debug")] = ""
    bpf_maglev_max_endpoints_per_service: int | None = None
    bpf_maglev_max_services: int | None = None
    bpf_map_size_conntrack: Annotated[int, Range(0, 2147483647)] | None = None
    bpf_map_size_conntrack_cleanup_queue: Annotated[int, Range(1, 2147483647)] | None = None
    bpf_map_size_conntrack_scaling: Annotated[str, any_case("Disabled", "DoubleIfFull")] = ""
    bpf_map_size_ip_sets: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="bpfMapSizeIPSets")
    bpf_map_size_if_state: Annotated[int, Range(0, 2147483647)] | None = None
    bpf_map_size_nat_affinity: Annotated[int, Range(0, 2147483647)] | None = field(
        default=None, name="bpfMapSizeNATAffinity"
    )
    bpf_map_size_nat_backend: Annotated[int, Range(0, 2147483647)] | None = field(
        default=None, name="bpfMapSizeNATBackend"
    )
    bpf_map_size_nat_frontend: Annotated[int, Range(0, 2147483647)] | None = field(
        default=None, name="bpfMapSizeNATFrontend"
    )
    bpf_map_size_per_cpu_conntrack: Annotated[int, Range(0, 2147483647)] | None = None
    bpf_map_size_route: Annotated[int, Range(0, 2147483647)] | None = None
    bpf_overlay_host_source_ip: Annotated[str, one_of("TunnelAddress", "HostAddress")] = field(
        default="", name="bpfOverlayHostSourceIP"
    )
    bpf_psnat_ports: NumericPort | None = field(default=None, name="bpfPSNATPorts")
    bpf_policy_debug_enabled: bool | None = None
    bpf_profiling: Enabled = ""
    bpf_redirect_to_peer: Enabled = ""
    cgroup_v2_path: str = ""
    chain_insert_mode: Annotated[str, any_case("Insert", "Append")] = ""
    dataplane_driver: str = ""
    dataplane_watchdog_timeout: Duration | None = None
    debug_disable_log_dropping: bool | None = None
    debug_host: str = ""
    debug_memory_profile_path: str = ""
    debug_port: Annotated[int, Range(0, 65535)] | None = None
    debug_simulate_calc_graph_hang_after: Duration | None = None
    debug_simulate_dataplane_apply_delay: Duration | None = None
    debug_simulate_dataplane_hang_after: Duration | None = None
    default_endpoint_to_host_action: Annotated[str, any_case("Drop", "Accept", "Return")] = ""
    device_route_protocol: Annotated[int, Range(0, 255)] | None = None
    device_route_source_address: IPv4 = ""
    device_route_source_address_ipv6: IPv6 = field(default="", name="deviceRouteSourceAddressIPv6")
    disable_conntrack_invalid_check: bool | None = None
    endpoint_reporting_delay: Duration | None = None
    endpoint_reporting_enabled: bool | None = None
    endpoint_status_path_prefix: str = ""
    external_nodes_list: tuple[Annotated[str, Form("ipv4 address or prefix")], ...] | None = None
    failsafe_inbound_host_ports: tuple[ProtoPort, ...] | None = None
    failsafe_outbound_host_ports: tuple[ProtoPort, ...] | None = None
    feature_detect_override: Annotated[
        str, Matches(r"([\w-]+=(true|false|),)*([\w-]+=(true|false|))?", "NAME=true,NAME=false,...")
    ] = ""
    feature_gates: Annotated[str, Matches(r"([\w-]+=[^=]+,)*([\w-]+=[^=]+)?", "NAME=VALUE,NAME=VALUE,...")] = ""
    floating_i_ps: Enabled = ""
    flow_logs_collector_debug_trace: bool | None = None
    flow_logs_flush_interval: Duration | None = None
    flow_logs_goldmane_server: str = ""
    flow_logs_local_reporter: Enabled = ""
    flow_logs_policy_evaluation_mode: Annotated[str, one_of("None", "Continuous")] = ""
    generic_xdp_enabled: bool | None = field(default=None, name="genericXDPEnabled")
    go_gc_threshold: int | None = field(default=None, name="goGCThreshold")
    go_max_procs: int | None = None
    go_memory_limit_mb: int | None = field(default=None, name="goMemoryLimitMB")
    health_enabled: bool | None = None
    health_host: Annotated[str, Form("host or address")] = ""
    health_port: Annotated[int, Range(0, 65535)] | None = None
    health_timeout_overrides: tuple[HealthTimeoutOverride, ...] = ()
    interface_exclude: str = ""
    interface_prefix: str = ""
    interface_refresh_interval: Duration | None = None
    ip_forwarding: Enabled = ""
    ipip_enabled: bool | None = None
    ipip_mtu: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="ipipMTU")
    ipsets_refresh_interval: Duration | None = None
    iptables_backend: Annotated[str, one_of("Legacy", "NFT", "Auto")] = ""
    iptables_filter_allow_action: Annotated[str, any_case("Accept", "Return")] = ""
    iptables_filter_deny_action: Annotated[str, any_case("Drop", "Reject")] = ""
    iptables_lock_probe_interval: Duration | None = None
    iptables_mangle_allow_action: Annotated[str, any_case("Accept", "Return")] = ""
    iptables_mark_mask: Annotated[int, Range(0, 4294967295)] | None = None
    iptables_nat_outgoing_interface_filter: InterfaceFilter = field(
        default="", name="iptablesNATOutgoingInterfaceFilter"
    )
    iptables_post_write_check_interval: Duration | None = None
    iptables_refresh_interval: Duration | None = None
    ipv4_elevated_route_priority: RoutePriority | None = None
    ipv4_normal_route_priority: RoutePriority | None = None
    ipv6_elevated_route_priority: RoutePriority | None = None
    ipv6_normal_route_priority: RoutePriority | None = None
    ipv6_support: bool | None = None
    istio_ambient_mode: Enabled = ""
    istio_dscp_mark: Annotated[int | str, Form("dscp")] | None = field(default=None, name="istioDSCPMark")
    kube_node_port_ranges: Annotated[tuple[NumericPort, ...], Items(high=7)] | None = None
    live_migration_route_convergence_time: Duration | None = None
    local_subnet_l2_reachability: Annotated[str, one_of("Disabled", "PodsAndLoadBalancers")] = ""
    local_subnet_l2_reachability_refresh_interval: Duration | None = None
    log_action_rate_limit: Annotated[
        str, Matches(r"[1-9]\d{0,3}/(second|minute|hour|day)", "1 to 9999 per second, minute, hour or day: 10/minute")
    ] = ""
    log_action_rate_limit_burst: Annotated[int, Range(0, 9999)] | None = None
    log_debug_filename_regex: Regexp = ""
    log_file_path: str = ""
    log_prefix: Annotated[str, Matches(r"[a-zA-Z0-9%: /_-]*", "letters, digits, spaces and % : / _ -")] = ""
    log_severity_file: Annotated[str, any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")] = ""
    log_severity_screen: Annotated[str, any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")] = ""
    log_severity_sys: Annotated[str, any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")] = ""
    max_ipset_size: int | None = None
    metadata_addr: str = ""
    metadata_port: Annotated[int, Range(0, 65535)] | None = None
    mtu_iface_pattern: Regexp = ""
    nat_outgoing_address: IPv4 = ""
    nat_outgoing_exclusions: Annotated[str, one_of("IPPoolsOnly", "IPPoolsAndHostIPs")] = ""
    nat_port_range: NumericPort | None = None
    netlink_timeout: Duration | None = None
    nftables_filter_allow_action: Annotated[str, any_case("Accept", "Return")] = ""
    nftables_filter_deny_action: Annotated[str, any_case("Drop", "Reject")] = ""
    nftables_flow_table_data_iface_pattern: Regexp = ""
    nftables_flow_table_offload: Annotated[str, one_of("All", "Disabled")] = ""
    nftables_mangle_allow_action: Annotated[str, any_case("Accept", "Return")] = ""
    nftables_mark_mask: Annotated[int, Range(0, 4294967295)] | None = None
    nftables_mode: Annotated[str, one_of("Disabled", "Enabled", "Auto")] = ""
    nftables_refresh_interval: Duration | None = None
    node_selector: Selector = ""
    openstack_region: Annotated[str, MaxLength(46), Form("label")] = ""
    policy_sync_path_prefix: str = ""
    program_cluster_routes: Annotated[str, one_of("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")] = ""
    prometheus_go_metrics_enabled: bool | None = None
    prometheus_metrics_ca_file: str = field(default="", name="prometheusMetricsCAFile")
    prometheus_metrics_cert_file: str = ""
    prometheus_metrics_client_auth: Annotated[
        str, one_of("RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "NoClientCert")
    ] = ""
    prometheus_metrics_enabled: bool | None = None
    prometheus_metrics_host: Annotated[str, Form("host or address")] = ""
    prometheus_metrics_key_file: str = ""
    prometheus_metrics_port: Annotated[int, Range(0, 65535)] | None = None
    prometheus_process_metrics_enabled: bool | None = None
    prometheus_wire_guard_metrics_enabled: bool | None = None
    remove_external_routes: bool | None = None
    reporting_interval: Duration | None = None
    reporting_ttl: Duration | None = field(default=None, name="reportingTTL")
    require_mtu_file: bool | None = field(default=None, name="requireMTUFile")
    route_refresh_interval: Duration | None = None
    route_source: Annotated[str, any_case("WorkloadIPs", "CalicoIPAM")] = ""
    route_sync_disabled: bool | None = None
    route_table_range: RouteTableRange | None = None
    route_table_ranges: tuple[RouteTableIDRange, ...] = ()
    service_loop_prevention: Annotated[str, any_case("Drop", "Reject", "Disabled")] = ""
    sidecar_acceleration_enabled: bool | None = None
    usage_reporting_enabled: bool | None = None
    usage_reporting_initial_delay: Duration | None = None
    usage_reporting_interval: Duration | None = None
    use_internal_dataplane_driver: bool | None = None
    vxlan_enabled: bool | None = None
    vxlan_mtu: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="vxlanMTU")
    vxlan_mtuv6: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="vxlanMTUV6")
    vxlan_port: Annotated[int, Range(1, 65535)] | None = None
    vxlan_vni: Annotated[int, Range(0, 16777215)] | None = field(default=None, name="vxlanVNI")
    windows_manage_firewall_rules: Enabled = ""
    wireguard_enabled: bool | None = None
    wireguard_enabled_v6: bool | None = None
    wireguard_host_encryption_enabled: bool | None = None
    wireguard_interface_name: Interface = ""
    wireguard_interface_name_v6: Interface = ""
    wireguard_keep_alive: Duration | None = None
    wireguard_listening_port: Annotated[int, Range(1, 65535)] | None = None
    wireguard_listening_port_v6: Annotated[int, Range(1, 65535)] | None = None
    wireguard_mtu: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="wireguardMTU")
    wireguard_mtuv6: Annotated[int, Range(0, 2147483647)] | None = field(default=None, name="wireguardMTUV6")
    wireguard_routing_rule_priority: Annotated[int, Range(1, 32765)] | None = None
    wireguard_threading_enabled: bool | None = None
    workload_source_spoofing: Annotated[str, any_case("Disabled", "Any")] = ""
    xdp_enabled: bool | None = None
    xdp_refresh_interval: Duration | None = None


class FelixConfiguration(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["FelixConfiguration"] = "FelixConfiguration"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: FelixConfigurationSpec = FelixConfigurationSpec()
