"""What the dataplane takes from the kernel's packet filter, and which option of the kernel's configuration gives it. Pure.

Each ruleset is of one thing, so that the one which is refused says what is missing. `WHOLE` is all that the agent may write.
"""

from __future__ import annotations

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.ruleset import limits, nftext, skeleton, skeleton_nat
from ocicat.model.base import Struct
from ocicat.model.net import Cidr
from ocicat.model.wanted import OutgoingNat

NFT = "nft"


class Feature(Struct, frozen=True):
    """`options`: of the kernel's configuration. `ruleset` "": it is not asked by nft."""

    name: str
    options: str
    breaks: str
    ruleset: str = ""


def _table(body: str) -> str:
    return f"table inet probe {{\n{body}\n}}\n"


def _chain(rule: str, hook: str = "forward", kind: str = "filter") -> str:
    return _table(f"chain one {{ type {kind} hook {hook} priority 0; }}\nchain two {{ {rule}; }}") + (
        "" if kind == "filter" else f"add rule inet probe one {rule}\n"
    )


_NO_AGENT = "the agent cannot write its ruleset: no container gets a network"

TABLE = Feature(
    "tables of nftables for both families",
    "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET",
    _NO_AGENT,
    _table("chain one { type filter hook forward priority 0; }"),
)
RULESETS = (
    Feature(
        "sets and verdict maps",
        "CONFIG_NF_TABLES",
        _NO_AGENT,
        _table(
            "set a { type ipv4_addr; }\nset b { type iface_index . ipv4_addr; }\n"
            "set c { type ipv4_addr; flags interval; }\nset d { type ipv4_addr; flags timeout; }\n"
            "map e { type ifname : verdict; }\nmap f { type inet_proto . inet_service : ipv4_addr . inet_service; }"
        ),
    ),
    Feature("states of connections", "CONFIG_NF_CONNTRACK, CONFIG_NFT_CT", _NO_AGENT, _chain("ct state new accept")),
    Feature(
        "named counters",
        "CONFIG_NF_TABLES",
        "nobody can tell which rule decides",
        _table("counter c { }\nchain two { counter name c; }"),
    ),
    Feature("limits", "CONFIG_NFT_LIMIT", "packet rates cannot be limited", _chain("limit rate over 9/second drop")),
    Feature(
        "limits of connections",
        "CONFIG_NFT_CONNLIMIT",
        "connections of a workload cannot be limited",
        _chain("ct count over 9 drop"),
    ),
    Feature(
        "refusals",
        "CONFIG_NFT_REJECT, CONFIG_NFT_REJECT_INET",
        "a connection too many cannot be refused",
        _chain("meta l4proto tcp reject with tcp reset", "input"),
    ),
    Feature(
        "logs for programs",
        "CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG",
        "flow logs and Log rules tell nothing",
        _chain('log prefix "x" group 1 snaplen 80'),
    ),
    Feature(
        "lookups of local addresses",
        "CONFIG_NFT_FIB, CONFIG_NFT_FIB_INET",
        "ports of the host cannot lead to workloads",
        _chain("fib daddr type local accept", "prerouting"),
    ),
    Feature(
        "translation of destinations",
        "CONFIG_NF_NAT, CONFIG_NFT_NAT",
        "ports of the host and floating addresses cannot lead to workloads",
        _chain("dnat ip to 192.0.2.1", "prerouting", "nat"),
    ),
    Feature(
        "translation of sources",
        "CONFIG_NF_NAT, CONFIG_NFT_MASQ",
        "containers cannot leave the pools (natOutgoing)",
        _chain("masquerade", "postrouting", "nat"),
    ),
    Feature(
        "packets without a connection",
        "CONFIG_NFT_CT",
        "untracked policy of host endpoints cannot be enforced",
        _chain("notrack", "prerouting"),
    ),
)


def _whole() -> str:
    nets = (Cidr.parse("192.0.2.0/24"), Cidr.parse("2001:db8::/32"))
    hosts = skeleton.Hosts(governed=True, untracked=True, pre_dnat=True)
    stages = [chain for stage in limits.STAGES.values() for chain in stage]
    outward = skeleton_nat.outward(OutgoingNat(nets, nets), inwards=True)
    base = [chain for chain in skeleton.chains(DataplaneConfig(), hosts=hosts) if not chain.is_idle]
    return nftext.transaction(skeleton.SETS, [*base, *skeleton_nat.inward(), outward, *stages])


WHOLE = Feature("the ruleset of ocicat", "CONFIG_NF_TABLES and what belongs to it", _NO_AGENT, _whole())
ALL = Feature(
    "all of these",
    "",
    "",
    WHOLE.ruleset
    + "".join(
        one.ruleset.replace("inet probe", f"inet probe{number}") for number, one in enumerate((TABLE, *RULESETS))
    ),
)

VETH = Feature("pairs of interfaces (veth)", "CONFIG_VETH", "no container gets an interface")
IFB = Feature("intermediate interfaces (ifb)", "CONFIG_IFB", "what a workload sends cannot be limited in bandwidth")
TBF = Feature("token buckets (tbf)", "CONFIG_NET_SCH_TBF", "bandwidth cannot be limited")
GUARD = Feature(
    "chains of interfaces (ingress)",
    "CONFIG_NETFILTER_INGRESS, CONFIG_NF_TABLES_NETDEV",
    "no container is kept to its own addresses, so none gets an interface",
)
REDIRECT = Feature(
    "forwarding by nftables (fwd)",
    "CONFIG_NFT_FWD_NETDEV",
    "what a workload sends cannot be limited in bandwidth",
)
CONNTRACK = Feature(
    "the table of connections for programs",
    "CONFIG_NF_CT_NETLINK",
    "flows that policy forbids later cannot be ended, and addresses pass on with the flows of who had them",
)
NFLOG = Feature("readers of logs", "CONFIG_NETFILTER_NETLINK_LOG", "flow logs tell nothing")
VXLAN = Feature("VXLAN", "CONFIG_VXLAN", "packets do not get to other hosts by VXLAN")
IPIP = Feature("IP in IP", "CONFIG_NET_IPIP", "packets do not get to other hosts by IP in IP")
