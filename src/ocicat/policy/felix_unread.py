"""The fields of FelixConfiguration that ocicat reads, and what becomes of the others. Pure.

Every field of the model stands in exactly one of `READ` and `UNREAD`, by its JSON name: a test holds it. What an operator would
miss, because traffic is then less safe or does not arrive, is refused where it is written, and a problem where another tool has
stored it; what only tunes Felix itself is accepted for the sake of Calico's tools, and told. A field that starts to be read moves
from `UNREAD` to `READ`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ocicat.model.base import Struct
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.shape import record


class Unread(Struct, frozen=True):
    """`why` nothing reads the field. `same`: the values that say what is so anyway. `refused`: no others can be written."""

    why: str
    same: tuple[str, ...] = ()
    refused: bool = False


_READ = """
    allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads defaultEndpointToHostAction failsafeInboundHostPorts
    failsafeOutboundHostPorts floatingIPs flowLogsFlushInterval flowLogsLocalReporter interfacePrefix iptablesMarkMask
    iptablesNATOutgoingInterfaceFilter logActionRateLimit logActionRateLimitBurst logPrefix logSeverityScreen
    natOutgoingAddress natOutgoingExclusions natPortRange nftablesMarkMask vxlanPort workloadSourceSpoofing
"""

_Row = tuple[str, str, str]
"""Why, the values that say what is so anyway, the fields."""

_REFUSED: tuple[_Row, ...] = (
    (
        "traffic between hosts is not encrypted here",
        "false",
        "wireguardEnabled wireguardEnabledV6 wireguardHostEncryptionEnabled",
    ),
    ("there are no tunnels between hosts here", "false", "ipipEnabled vxlanEnabled"),
    ("no tunnel from other nodes ends here", "", "externalNodesList"),
    ("the agent always makes the routes of workloads", "false", "routeSyncDisabled"),
    ("routes follow blocks of addresses", "calicoipam", "routeSource"),
    ("workloads cannot be reached unless the host forwards", "enabled", "ipForwarding"),
    ("IPv6 is always policed here: give workloads no IPv6 pool instead", "true", "ipv6Support"),
    ("invalid packets are always dropped here", "false", "disableConntrackInvalidCheck"),
    ("the kernel chooses the source address", "", "deviceRouteSourceAddress deviceRouteSourceAddressIPv6"),
    ("the agent does not change cloud instances", "donothing", "awsSrcDstCheck"),
    ("the host does not answer for workloads in its subnet", "disabled", "localSubnetL2Reachability"),
    ("only the objects default and node.HOST are applied", "", "nodeSelector"),
)

_NO_EFFECT: tuple[_Row, ...] = (
    (
        "there is no eBPF dataplane here, nftables enforces policy",
        "false",
        """
        bpfAttachType bpfCTLBLogFilter bpfConnectTimeLoadBalancing bpfConnectTimeLoadBalancingEnabled
        bpfConntrackLogLevel bpfConntrackMode bpfConntrackTimeouts bpfDSROptoutCIDRs bpfDataIfacePattern
        bpfDisableGROForIfaces bpfDisableUnprivileged bpfEnabled bpfEnforceRPF bpfExcludeCIDRsFromNAT
        bpfExportBufferSizeMB bpfExtToServiceConnmark bpfExternalServiceMode bpfForceTrackPacketsFromIfaces
        bpfHostConntrackBypass bpfHostNetworkedNATWithoutCTLB bpfIPFragTimeout bpfIPFragmentReassemblyEnabled
        bpfJITHardening bpfKubeProxyHealthzPort bpfKubeProxyIptablesCleanupEnabled bpfKubeProxyMinSyncPeriod
        bpfL3IfacePattern bpfLogFilters bpfLogLevel bpfMaglevMaxEndpointsPerService bpfMaglevMaxServices
        bpfMapSizeConntrack bpfMapSizeConntrackCleanupQueue bpfMapSizeConntrackScaling bpfMapSizeIPSets
        bpfMapSizeIfState bpfMapSizeNATAffinity bpfMapSizeNATBackend bpfMapSizeNATFrontend bpfMapSizePerCpuConntrack
        bpfMapSizeRoute bpfOverlayHostSourceIP bpfPSNATPorts bpfPolicyDebugEnabled bpfProfiling bpfRedirectToPeer
        cgroupV2Path
        """,
    ),
    (
        "there is no XDP here, nftables enforces untracked policy",
        "false",
        "genericXDPEnabled xdpEnabled xdpRefreshInterval",
    ),
    (
        "iptables is not used, ocicat has an nftables table of its own",
        "",
        """
        chainInsertMode featureDetectOverride iptablesBackend iptablesLockProbeInterval iptablesPostWriteCheckInterval
        maxIpsetSize
        """,
    ),
    ("policy is always enforced by nftables", "enabled auto", "nftablesMode"),
    (
        "what others change is heard at once, and what nobody tells of is looked at in turn all the time",
        "",
        """
        interfaceRefreshInterval ipsetsRefreshInterval iptablesRefreshInterval localSubnetL2ReachabilityRefreshInterval
        nftablesRefreshInterval routeRefreshInterval
        """,
    ),
    (
        "an Allow leaves the host's other nftables tables their say",
        "",
        """
        iptablesFilterAllowAction iptablesMangleAllowAction nftablesFilterAllowAction nftablesMangleAllowAction
        """,
    ),
    ("what policy denies is dropped", "drop", "iptablesFilterDenyAction nftablesFilterDenyAction"),
    ("flows are not offloaded", "disabled", "nftablesFlowTableDataIfacePattern nftablesFlowTableOffload"),
    ("flow logs are kept in a file of each host", "", "flowLogsGoldmaneServer"),
    ("flow logs tell what was decided when the flow began", "none", "flowLogsPolicyEvaluationMode"),
    (
        "the agent writes its log to standard error only",
        "",
        "logDebugFilenameRegex logFilePath logSeverityFile logSeveritySys",
    ),
    (
        "the agent has no Prometheus endpoint",
        "false",
        """
        prometheusGoMetricsEnabled prometheusMetricsCAFile prometheusMetricsCertFile prometheusMetricsClientAuth
        prometheusMetricsEnabled prometheusMetricsHost prometheusMetricsKeyFile prometheusMetricsPort
        prometheusProcessMetricsEnabled prometheusWireGuardMetricsEnabled
        """,
    ),
    ("the agent has no health port", "false", "healthEnabled healthHost healthPort healthTimeoutOverrides"),
    (
        "it is about Felix's own process",
        "false",
        """
        dataplaneDriver dataplaneWatchdogTimeout debugDisableLogDropping debugHost debugMemoryProfilePath debugPort
        debugSimulateCalcGraphHangAfter debugSimulateDataplaneApplyDelay debugSimulateDataplaneHangAfter featureGates
        flowLogsCollectorDebugTrace goGCThreshold goMaxProcs goMemoryLimitMB netlinkTimeout policySyncPathPrefix
        """,
    ),
    ("the dataplane is always the agent's own", "true", "useInternalDataplaneDriver"),
    (
        "nothing is reported to Calico's makers",
        "false",
        "usageReportingEnabled usageReportingInitialDelay usageReportingInterval",
    ),
    (
        "agents and endpoints tell their state in ocicat's own way",
        "false",
        "endpointReportingDelay endpointReportingEnabled endpointStatusPathPrefix reportingInterval reportingTTL",
    ),
    (
        "there is no Kubernetes here",
        "false disabled",
        """
        istioAmbientMode istioDSCPMark kubeNodePortRanges liveMigrationRouteConvergenceTime serviceLoopPrevention
        sidecarAccelerationEnabled
        """,
    ),
    ("there is no OpenStack here", "", "metadataAddr metadataPort openstackRegion"),
    ("there is no Windows here", "disabled", "windowsManageFirewallRules"),
    (
        "routes have the agent's own protocol number and the kernel's usual priority",
        "",
        """
        deviceRouteProtocol ipv4ElevatedRoutePriority ipv4NormalRoutePriority ipv6ElevatedRoutePriority
        ipv6NormalRoutePriority
        """,
    ),
    ("only the main routing table is used", "", "routeTableRange routeTableRanges"),
    ("the agent itself makes the routes to other hosts' blocks", "enabled", "programClusterRoutes"),
    ("what others do to routes of ours is always undone", "true", "removeExternalRoutes"),
    ("every interface of the host is looked at", "", "interfaceExclude"),
    ("the MTU of workloads is set in the agent's configuration", "false", "mtuIfacePattern requireMTUFile"),
    ("there are no tunnels between hosts here", "", "ipipMTU vxlanMTU vxlanMTUV6 vxlanVNI"),
    (
        "traffic between hosts is not encrypted here",
        "false",
        """
        wireguardInterfaceName wireguardInterfaceNameV6 wireguardKeepAlive wireguardListeningPort
        wireguardListeningPortV6 wireguardMTU wireguardMTUV6 wireguardRoutingRulePriority wireguardThreadingEnabled
        """,
    ),
)


def _fields(rows: tuple[_Row, ...], *, refused: bool) -> Iterator[tuple[str, Unread]]:
    for why, same, names in rows:
        unread = Unread(why, tuple(same.split()), refused)
        yield from ((name, unread) for name in names.split())


def unread(spec: FelixConfigurationSpec) -> Iterator[tuple[str, object, Unread]]:
    """(field, value, why nothing reads it) of the fields that somebody set to something else than what is so anyway."""
    for member in record(FelixConfigurationSpec).members:
        field, value = UNREAD.get(member.name), getattr(spec, member.attribute)
        if field is not None and value not in (member.unset, ()) and str(value).lower() not in field.same:
            yield member.name, value, field


READ = frozenset(_READ.split())
UNREAD: Mapping[str, Unread] = MappingProxyType(
    dict([*_fields(_REFUSED, refused=True), *_fields(_NO_EFFECT, refused=False)])
)
