"""The part of the ruleset that does not depend on policies: the stages of a packet's way, each a base chain. One without rules is
not in the kernel.

    prerouting         raw         host endpoints' untracked policy
    pre-dnat           mangle      host endpoints' pre-DNAT policy
    input              filter      from a workload to its host: its egress policy, then what is set for all workloads;
                                   from elsewhere: host endpoints' ingress policy
    forward-host-in    filter - 1  host endpoints' forward policy, ingress
    forward            filter      from a workload: its egress policy; then, to a workload: that one's ingress policy
    forward-host-out   filter + 1  host endpoints' forward policy, egress
    untracked-out      raw         (output) host endpoints' untracked policy
    output             filter      host endpoints' egress policy
    postrouting        filter      the same where the host's own packet was translated: only here its interface is known

What ingress policy allows it accepts, and that ends the stage and no other. What egress policy allows comes back, with our bit of
the packet mark set, from the chain that was jumped to (`lists`), so one stage can ask both: each stage costs every packet.

What translates addresses has base chains of its own (`skeleton_nat`): all stages from `input` on see the packet translated, but for
the source of one that leaves.

A TCP packet that is new and begins no connection is held against the flows that were ended (`cuts`), before any policy.

Verdict maps lead from an interface's name to the chain of its list. What no host endpoint has by name goes to the chain of the host
endpoint for all interfaces ("*"), if there is one. The stages of host endpoints are not there on a host that has none.

A workload's packet has a source that the workload may use, or it does not come so far: that is asked on the interface (`guards`).

What comes most comes first: a packet of a flow that policy has allowed is asked for its state once in each stage. Names of
interfaces are what costs most of the rest: they are asked last.

An Allow before routing stands for the host's ingress policy and the forward ingress policy too. The same bit says so from there to
here; on a host with such policy it is taken off everything that comes in. Egress policy of other hooks sets it for itself only: it
is taken off before, and after.

Invariants: 1. An interface under our prefix that is in no map is closed in both directions. 2. Our accept leaves every other table
its say, as always in nftables: the host's own firewall stays in force, for workloads too. 3. The host reaches its own workloads
without policy: health checks and executors depend on it, and root on the host could enter the container anyway. 4. A workload
reaches its own host's Mesos agent whatever policy says, or no executor could register. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.ruleset import limits, skeleton_nat
from ocicat.dataplane.ruleset.lists import Way
from ocicat.dataplane.ruleset.objects import Chain, Rule, SetSpec
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.wanted import HostSettings, OpenPort

FROM_WORKLOAD = "from-workload"
TO_WORKLOAD = "to-workload"
HOST_MAPS: Mapping[Way, str] = {
    Way("ingress"): "host-in",
    Way("egress"): "host-out",
    Way("ingress", "forward"): "host-forward-in",
    Way("egress", "forward"): "host-forward-out",
    Way("ingress", "untracked"): "host-untracked-in",
    Way("egress", "untracked"): "host-untracked-out",
    Way("ingress", "pre-dnat"): "host-pre-dnat",
}
CUT_FLOWS = {
    family: SetSpec(f"cut-flows{family}", f"{key} . inet_service . {key} . inet_service", timeout_s=86400)
    for family, key in ((4, "ipv4_addr"), (6, "ipv6_addr"))
}
"""TCP flows that were ended, as their other ends see them. A day: longer than any TCP asks an end that it has not heard of."""

_RETURNING = (Way("egress"), Way("egress", "forward"))
"""Of host endpoints: from whose policy comes back what it allows."""

DISPATCH = (FROM_WORKLOAD, TO_WORKLOAD)

SETS = (
    *(SetSpec(name, "ifname", verdicts=True) for name in (*DISPATCH, *HOST_MAPS.values())),
    *skeleton_nat.SETS,
    *limits.SETS,
    *CUT_FLOWS.values(),
)


class Hosts(Struct, frozen=True):
    """What there is of host endpoints: any at all, any with policy before routing; and the chains of the one for all interfaces."""

    governed: bool = False
    untracked: bool = False
    pre_dnat: bool = False
    every: Mapping[Way, str] = {}


_ESTABLISHED = Rule("ct state established,related accept")
_UNDECIDED = "ct state & (established | related) == 0"
"""What is not of a flow that policy has allowed. One rule that does not match costs less than one that accepts."""
_INVALID = Rule("ct state invalid drop")
_NEIGHBOURS = (
    # From the workload's own address only (`guards`): the kernel makes a neighbour entry for whoever solicits; its room is small.
    Rule("icmpv6 type 130-133 accept", "multicast listeners, router solicitation"),
    Rule("icmpv6 type 135-136 ip6 hoplimit 255 accept", "neighbour discovery"),
)
_CUT = Rule("tcp flags & syn == 0 jump cut-flows", "a connection's middle")
_NO_ENDPOINT = Rule("drop", "no endpoint")
_COMES_BACK = "what policy allows comes back"
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


def chains(
    config: DataplaneConfig, settings: HostSettings | None = None, hosts: Hosts | None = None
) -> tuple[Chain, ...]:
    """In the order in which a packet meets them."""
    return _Skeleton(config, settings or HostSettings(), hosts or Hosts()).chains()


def mark(config: DataplaneConfig, settings: HostSettings) -> int:
    """The bit of the packet mark that is ours: what the operator says goes before what is configured."""
    return settings.mark or config.mark


class _Skeleton:
    def __init__(self, config: DataplaneConfig, settings: HostSettings, hosts: Hosts) -> None:
        self._config = config
        self._settings = settings
        self._hosts = hosts
        self._ours = f'"{config.interface_prefix}*"'
        self._bit = mark(config, settings)
        self._mark = f"{self._bit:#010x}"

    def chains(self) -> tuple[Chain, ...]:
        return (
            Chain("prerouting", self._prerouting(), hook="prerouting", priority="raw"),
            Chain("pre-dnat", self._pre_dnat(), hook="prerouting", priority="mangle"),
            Chain("input", self._input(), hook="input", priority="filter"),
            Chain("workload-to-host", self._workload_to_host()),
            Chain("forward-host-in", self._forward_host_in(), hook="forward", priority="filter - 1"),
            Chain("forward", (Rule(f"{_UNDECIDED} goto new-forward"),), hook="forward", priority="filter"),
            Chain("new-forward", self._new_forward(), "of no flow that policy has allowed"),
            Chain(FROM_WORKLOAD, self._from_workload(), _COMES_BACK),
            Chain(TO_WORKLOAD, (Rule(f"oifname vmap @{TO_WORKLOAD}"), _NO_ENDPOINT)),
            Chain("forward-host-out", self._forward_host_out(), hook="forward", priority="filter + 1"),
            Chain("untracked-out", self._untracked_out(), hook="output", priority="raw"),
            Chain("output", self._output(), hook="output", priority="filter"),
            Chain("postrouting", self._postrouting(), hook="postrouting", priority="filter"),
            Chain("from-host", self._from_host()),
            *(Chain(HOST_MAPS[way], self._host_egress(way), _COMES_BACK) for way in _RETURNING),
            Chain("cut-flows", _cut_flows(), "ended because policy forbids them: not from their other end either"),
            *self._failsafe(),
        )

    # --- workloads -----------------------------------------------------------------------------------------------------

    def _workload_to_host(self) -> tuple[Rule, ...]:
        """The host's firewall decides further where this is not a drop."""
        dropped = self._settings.endpoint_to_host == "Drop"
        last = Rule("drop", "from a workload to its own host") if dropped else Rule("accept")
        return (*_NEIGHBOURS, *self._agent_access(), *self._allowed_by(FROM_WORKLOAD), last)

    def _agent_access(self) -> list[Rule]:
        """Without addresses any of the host's: only what is addressed to the host comes through this hook."""
        own, ports = self._config.host_addresses, self._config.agent_ports
        to = [f"{'ip' if host.family == 4 else 'ip6'} daddr {host} " for host in own] or [""]
        agent = [Rule(f"{host}tcp dport {port} accept", "own Mesos agent") for host, port in product(to, ports)]
        return [*agent, *(rule for server in self._config.name_servers for rule in _names_at(*server))]

    def _new_forward(self) -> tuple[Rule, ...]:
        return (
            Rule(f"iifname != {self._ours} oifname != {self._ours} accept"),
            _INVALID,
            _CUT,
            Rule(f"iifname != {self._ours} goto {TO_WORKLOAD}"),
            *self._allowed_by(FROM_WORKLOAD),
            Rule(f"oifname != {self._ours} accept"),
            Rule(f"goto {TO_WORKLOAD}"),
        )

    def _from_workload(self) -> tuple[Rule, ...]:
        """A workload that makes tunnel packets could speak for others' workloads on another host."""
        vxlan = Rule(f"udp dport {self._settings.vxlan_port} drop", "VXLAN from a workload")
        ipip = Rule("meta l4proto 4 drop", "IPIP from a workload")
        return (
            *(() if self._settings.vxlan_from_workloads else (vxlan,)),
            *(() if self._settings.ipip_from_workloads else (ipip,)),
            Rule(f"iifname vmap @{FROM_WORKLOAD}"),
            _NO_ENDPOINT,
        )

    def _allowed_by(self, chain: str) -> tuple[Rule, ...]:
        """Goes on with what that egress policy allows. A bit that is somebody else's would be an Allow: it is taken off before."""
        return (self._clear, Rule(f"jump {chain}"), self._clear)

    # --- host endpoints ------------------------------------------------------------------------------------------------

    def _prerouting(self) -> tuple[Rule, ...]:
        if not self._hosts.untracked:
            return self._unmarked()
        workload = Rule(f"iifname {self._ours} accept")
        safe = (Rule("jump failsafe-in"), Rule("jump failsafe-in-answers"))
        return (*self._unmarked(), workload, *safe, *self._dispatch(Way("ingress", "untracked"), "iifname"))

    def _pre_dnat(self) -> tuple[Rule, ...]:
        if not self._hosts.pre_dnat:
            return ()
        before = (_ESTABLISHED, *self._allowed(), Rule("jump failsafe-in"))
        return (*before, *self._dispatch(Way("ingress", "pre-dnat"), "iifname"))

    def _input(self) -> tuple[Rule, ...]:
        workload = Rule(f"iifname {self._ours} goto workload-to-host")
        if not self._hosts.governed:
            return (_ESTABLISHED, workload)
        return (
            _ESTABLISHED,
            workload,
            _CUT,
            *self._allowed(),
            Rule("jump failsafe-in"),
            *self._dispatch(Way("ingress"), "iifname"),
        )

    def _forward_host_in(self) -> tuple[Rule, ...]:
        if not self._hosts.governed:
            return ()
        return (_ESTABLISHED, _CUT, *self._allowed(), *self._dispatch(Way("ingress", "forward"), "iifname"))

    def _forward_host_out(self) -> tuple[Rule, ...]:
        """What no tier decides comes back too, and passes."""
        by_policy = self._allowed_by(HOST_MAPS[Way("egress", "forward")])
        return (_ESTABLISHED, *by_policy) if self._hosts.governed else ()

    def _untracked_out(self) -> tuple[Rule, ...]:
        if not self._hosts.untracked:
            return self._unmarked()
        safe = (Rule("jump failsafe-out"), Rule("jump failsafe-out-answers"))
        return (*self._unmarked(), *safe, *self._dispatch(Way("egress", "untracked"), "oifname"))

    def _output(self) -> tuple[Rule, ...]:
        """Whose first rule is for flows from workloads to the host: what the host sends to a workload meets no other."""
        cut = Rule(f"ct state new {_CUT.text}", _CUT.note)
        return (cut, Rule("ct status dnat accept"), Rule("goto from-host")) if self._hosts.governed else (cut,)

    def _postrouting(self) -> tuple[Rule, ...]:
        return (Rule("iif 0 ct status dnat goto from-host"),) if self._hosts.governed else ()

    def _from_host(self) -> tuple[Rule, ...]:
        if not self._hosts.governed:
            return ()
        return (
            Rule(f"oifname {self._ours} accept"),
            _ESTABLISHED,
            *self._allowed(),
            Rule("jump failsafe-out"),
            *self._allowed_by(HOST_MAPS[Way("egress")]),
        )

    def _host_egress(self, way: Way) -> tuple[Rule, ...]:
        return self._dispatch(way, "oifname") if self._hosts.governed else ()

    def _dispatch(self, way: Way, field: str) -> tuple[Rule, ...]:
        every = self._hosts.every.get(way)
        return (Rule(f"{field} vmap @{HOST_MAPS[way]}"), *((Rule(f"goto {every}"),) if every else ()))

    # --- the mark, and failsafe ports ------------------------------------------------------------------------------------

    @property
    def _marks(self) -> bool:
        return self._hosts.untracked or self._hosts.pre_dnat

    def _allowed(self) -> tuple[Rule, ...]:
        return (Rule(f"meta mark & {self._mark} != 0 accept", "allowed before routing"),) if self._marks else ()

    def _unmarked(self) -> tuple[Rule, ...]:
        return (self._clear,) if self._marks else ()

    @property
    def _clear(self) -> Rule:
        others = f"{0xFFFFFFFF & ~self._bit:#010x}"
        return Rule(f"meta mark & {self._mark} != 0 meta mark set meta mark & {others}", "nobody's but ours")

    def _failsafe(self) -> tuple[Chain, ...]:
        """Without connection tracking the answers of these ports cannot be known but by their ports."""
        inbound, outbound = self._settings.failsafe_inbound, self._settings.failsafe_outbound
        return (
            Chain("failsafe-in", _open(inbound, "dport", "saddr")),
            Chain("failsafe-out", _open(outbound, "dport", "daddr")),
            Chain("failsafe-in-answers", _open(outbound, "sport", "saddr")),
            Chain("failsafe-out-answers", _open(inbound, "sport", "daddr")),
        )


def _names_at(address: Addr, port: int) -> tuple[Rule, ...]:
    to = f"{'ip' if address.family == 4 else 'ip6'} daddr {address}"
    return tuple(Rule(f"{to} {protocol} dport {port} accept", "own host's names") for protocol in ("udp", "tcp"))


def _cut_flows() -> tuple[Rule, ...]:
    return tuple(
        Rule(f"{ip} saddr . tcp sport . {ip} daddr . tcp dport @{CUT_FLOWS[family].name} drop")
        for family, ip in ((4, "ip"), (6, "ip6"))
    )


def _open(ports: Iterable[OpenPort], port: str, remote: str) -> tuple[Rule, ...]:
    return tuple(Rule(f"{_from_or_to(each, remote)}{_port(each, port)} accept") for each in ports)


def _from_or_to(each: OpenPort, remote: str) -> str:
    if each.net is None:
        return ""
    if not each.net.length:
        return f"meta nfproto ipv{each.net.family} "
    return f"{'ip' if each.net.family == 4 else 'ip6'} {remote} {each.net} "


def _port(each: OpenPort, field: str) -> str:
    known = _PROTOCOLS.get(each.protocol)
    return f"{known} {field} {each.port}" if known else f"meta l4proto {each.protocol} th {field} {each.port}"
