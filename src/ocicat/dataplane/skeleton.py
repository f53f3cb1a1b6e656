"""The part of the ruleset that is always there: where packets enter, and how they reach the chains of their endpoints.

    prerouting   a workload's packet has the workload's own source address, or is dropped
    forward      established passes; from a workload to its egress chain, which on Allow goes on to
                 `egress-allowed`, and from there to the ingress chain of the workload it is for
    input        a workload may talk to its host's Mesos agent and to nothing else on its host

Two verdict maps lead to the chains: interface -> `goto out-...` (`from-workload`) and interface -> `goto in-...` (`to-workload`).
No mark bits are used, so none can collide with another program's.

Invariants: 1. An interface under our prefix that is in no map is closed in both directions. 2. Our accept leaves
every other table its say, as always in nftables: the host's own firewall stays in force, for workloads too.
3. The host reaches its own workloads without policy (there is no output chain): health checks and executors
depend on it, and root on the host could enter the container anyway. Pure.
"""

from __future__ import annotations

from itertools import product

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.objects import Chain, Rule, SetSpec

FROM_WORKLOAD = "from-workload"
TO_WORKLOAD = "to-workload"
EGRESS_ALLOWED = "egress-allowed"
SOURCES = {4: "workload-addrs4", 6: "workload-addrs6"}

SETS = (
    SetSpec(SOURCES[4], "ifname . ipv4_addr"),
    SetSpec(SOURCES[6], "ifname . ipv6_addr"),
    SetSpec(FROM_WORKLOAD, "ifname", verdicts=True),
    SetSpec(TO_WORKLOAD, "ifname", verdicts=True),
)

_ESTABLISHED = Rule("ct state established,related accept")
# From the workload's own address only (prerouting): the kernel makes a neighbour entry for whoever solicits, and has room for few.
_NEIGHBOURS = Rule("icmpv6 type 135-136 ip6 hoplimit 255 accept", "neighbour discovery")


def chains(config: DataplaneConfig) -> tuple[Chain, ...]:
    """In the order in which a packet meets them."""
    ours = f'"{config.interface_prefix}*"'
    return (
        _prerouting(ours),
        _input(ours, config),
        _forward(ours),
        _workload(ours),
        _egress_allowed(ours),
    )


def _prerouting(ours: str) -> Chain:
    rules = (
        Rule(f"iifname != {ours} accept"),
        Rule(f"iifname . ip saddr @{SOURCES[4]} accept"),
        Rule(f"iifname . ip6 saddr @{SOURCES[6]} accept"),
        Rule("drop", "source address is not the workload's own"),
    )
    return Chain("prerouting", rules, hook="prerouting", priority="raw")


def _input(ours: str, config: DataplaneConfig) -> Chain:
    """The egress policy is not asked: a task must reach its agent whatever it says, and the rest ends in the same drop."""
    rules = (
        Rule(f"iifname != {ours} accept"),
        _ESTABLISHED,
        _NEIGHBOURS,
        *_agent_access(config),
        Rule("drop", "from a workload to its own host"),
    )
    return Chain("input", rules, hook="input", priority="filter")


def _agent_access(config: DataplaneConfig) -> list[Rule]:
    """Without addresses any of the host's: only what is addressed to the host comes through this hook."""
    to = [f"{'ip' if host.family == 4 else 'ip6'} daddr {host} " for host in config.host_addresses] or [""]
    return [Rule(f"{host}tcp dport {port} accept", "own Mesos agent") for host, port in product(to, config.agent_ports)]


def _forward(ours: str) -> Chain:
    rules = (Rule(f"iifname {ours} goto workload"), Rule(f"oifname {ours} goto workload"))
    return Chain("forward", rules, hook="forward", priority="filter")


def _workload(ours: str) -> Chain:
    rules = (
        _ESTABLISHED,
        Rule("ct state invalid drop"),
        Rule(f"iifname vmap @{FROM_WORKLOAD}"),
        Rule(f"iifname {ours} drop", "no endpoint"),
        Rule(f"goto {EGRESS_ALLOWED}"),
    )
    return Chain("workload", rules, comment="to or from a workload")


def _egress_allowed(ours: str) -> Chain:
    rules = (
        Rule(f"oifname vmap @{TO_WORKLOAD}"),
        Rule(f"oifname {ours} drop", "no endpoint"),
        Rule("accept"),
    )
    return Chain(EGRESS_ALLOWED, rules, comment="the sender's side has allowed it")
