"""Fields of FelixConfiguration as settings of one host: in its file by their names, in the environment by Felix's variables. Pure.

What the file and the environment say goes before the objects of the datastore, as with Felix. Texts of lists and masks are written
as Felix's own configuration file has them: `tcp:22`, `udp:10.0.0.0/8:53`, `0xffff0000`; `none` is a list of nothing.
Source: projectcalico/calico felix/config and felix/docs/config-params.json.
"""

from __future__ import annotations

from ocicat.settings.setting import Setting, Shape, Value

SECTION = "felix"
VARIABLES = "FELIX_"
PREFIX = SECTION + "."
_FAILSAFE = ("tcp:22", "udp:68", "tcp:179", "tcp:2379", "tcp:2380", "tcp:5473", "tcp:6443", "tcp:6666", "tcp:6667")
_FAILSAFE_OUT = (
    "udp:53", "udp:67", "tcp:179", "tcp:2379", "tcp:2380", "tcp:5473", "tcp:6443", "tcp:6666", "tcp:6667",
)  # fmt: skip


def _field(
    name: str, shape: Shape, default: Value, example: Value, does: str, *, default_says: str = "", unit: str = ""
) -> Setting:
    return Setting(
        key=PREFIX + name,
        shape=shape,
        default=default,
        default_says=default_says,
        does=does,
        example=example,
        unit=unit,
        variable=f"{VARIABLES}{name.upper()}",
        felix=name,
        live=True,
    )


def _switch(name: str, does: str) -> Setting:
    return _field(name, "switch", default=False, example=True, does=does)


FELIX = (
    _field(
        "defaultEndpointToHostAction",
        "text",
        "Drop",
        "Accept",
        "What becomes of packets from workloads to their own host: Drop, Accept or Return.",
    ),
    _field(
        "failsafeInboundHostPorts",
        "texts",
        _FAILSAFE,
        ("tcp:22", "udp:68"),
        "Ports of this host that no policy closes.",
    ),
    _field(
        "failsafeOutboundHostPorts",
        "texts",
        _FAILSAFE_OUT,
        ("udp:53", "tcp:2379"),
        "Ports that this host reaches whatever policy says.",
    ),
    _field(
        "flowLogsLocalReporter",
        "text",
        "Disabled",
        "Enabled",
        "Enabled: who begins to talk to whom is written to flows.log.",
    ),
    _field("flowLogsFlushInterval", "text", "300s", "15s", "How often flows are written: 1s to 24h."),
    _field("logPrefix", "text", "calico-packet", "packet", "What the kernel's lines of Log rules begin with."),
    _field(
        "logActionRateLimit",
        "text",
        "",
        "10/minute",
        "How many lines the Log rules of this host may write.",
        default_says="as many as they match",
    ),
    _field(
        "logActionRateLimitBurst",
        "whole",
        0,
        5,
        "How many of them may come at once.",
        default_says="the kernel's own, 5",
    ),
    _field("vxlanPort", "whole", 4789, 4790, "The UDP port of VXLAN, which workloads may not send from.", unit="port"),
    _switch("allowVXLANPacketsFromWorkloads", "Workloads may send VXLAN."),
    _switch("allowIPIPPacketsFromWorkloads", "Workloads may send IPIP."),
    _field(
        "workloadSourceSpoofing",
        "text",
        "Disabled",
        "Any",
        "Any: workloads may ask for more source addresses than their own.",
    ),
    _field("floatingIPs", "text", "Disabled", "Enabled", "Enabled: endpoints may have floating addresses."),
    _field(
        "interfacePrefix",
        "text",
        "oci,cali",
        "oci,tap",
        "What the names of workloads' interfaces begin with, for host endpoints that speak of all others.",
    ),
    _field(
        "nftablesMarkMask",
        "whole",
        0x1000_0000,
        0x10000,
        "Its lowest bit is the one bit of the packet mark that is used; nothing else on the host should use that.",
    ),
    _field(
        "iptablesMarkMask",
        "whole",
        0x1000_0000,
        0x10000,
        "The same where nftablesMarkMask is not given, for hosts that Felix ran with iptables.",
    ),
    _field(
        "natPortRange",
        "text",
        "",
        "32768:65535",
        "Source ports of packets that leave the pools.",
        default_says="the kernel chooses",
    ),
    _field(
        "natOutgoingAddress",
        "text",
        "",
        "10.0.0.11",
        "Their source address.",
        default_says="that of the interface by which they leave",
    ),
    _field(
        "natOutgoingExclusions",
        "text",
        "IPPoolsOnly",
        "IPPoolsAndHostIPs",
        "Towards whom packets keep their source.",
    ),
    _field(
        "iptablesNATOutgoingInterfaceFilter",
        "text",
        "",
        "eth+",
        "Only packets that leave by these interfaces get another source.",
        default_says="all",
    ),
)
