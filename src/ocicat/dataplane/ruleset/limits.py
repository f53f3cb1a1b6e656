"""Limits of packets and of connections, and the DSCP mark: chains of one endpoint's own, and the stages that lead to them.

    limit-packets-to-host      input filter - 2     from a workload to its host: its packet rate
    limit-packets-out          forward filter - 4   from a workload
    limit-packets-in           forward filter - 3   to a workload
    limit-connections-to-host  input filter + 1     after policy: what policy denies is no connection
    limit-connections-out      forward filter + 2
    limit-connections-in       forward filter + 3
    mark-dscp                  forward mangle       from a workload to elsewhere than the pools

The packet rate comes first of all, as in Calico, and counts every packet. Connections are TCP's, and the one too many is answered
by a reset. What the host itself sends to its workloads is not limited here, as it is not policed.

Invariants: 1. A stage is there as long as some endpoint needs it, and no longer. 2. The state of a limit is its rule's: no two
endpoints share a chain, and the chain stays as it is until that very limit changes. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.dataplane.ruleset.objects import Chain, Rule, SetSpec, digest
from ocicat.dataplane.ruleset.shaping import Direction
from ocicat.dataplane.ruleset.skeleton_nat import INSIDE
from ocicat.model.base import Struct
from ocicat.model.wanted import Endpoint, Limits

PACKETS: Mapping[Direction, str] = {"egress": "packets-from-workload", "ingress": "packets-to-workload"}
CONNECTIONS: Mapping[Direction, str] = {"egress": "connections-from-workload", "ingress": "connections-to-workload"}
DSCP = "dscp-from-workload"

SETS = tuple(SetSpec(name, "ifname", verdicts=True) for name in (*PACKETS.values(), *CONNECTIONS.values(), DSCP))

_USUAL_BURST = 5  # packets; Calico's default


class LimitChain(Struct, frozen=True):
    """A chain that needs nothing but its own words."""

    name: str
    rules: tuple[Rule, ...]
    comment: str = ""

    def chain(self) -> Chain:
        return Chain(self.name, self.rules, self.comment)


def _stage(name: str, hook: str, priority: str, *rules: str) -> Chain:
    return Chain(name, tuple(map(Rule, rules)), hook=hook, priority=priority)


_NEW = "ct state new"

STAGES: Mapping[str, tuple[Chain, ...]] = {  # the base chains that each verdict map needs
    PACKETS["egress"]: (
        _stage("limit-packets-to-host", "input", "filter - 2", f"iifname vmap @{PACKETS['egress']}"),
        _stage("limit-packets-out", "forward", "filter - 4", f"iifname vmap @{PACKETS['egress']}"),
    ),
    PACKETS["ingress"]: (_stage("limit-packets-in", "forward", "filter - 3", f"oifname vmap @{PACKETS['ingress']}"),),
    CONNECTIONS["egress"]: (
        _stage("limit-connections-to-host", "input", "filter + 1", f"{_NEW} iifname vmap @{CONNECTIONS['egress']}"),
        _stage("limit-connections-out", "forward", "filter + 2", f"{_NEW} iifname vmap @{CONNECTIONS['egress']}"),
    ),
    CONNECTIONS["ingress"]: (
        _stage("limit-connections-in", "forward", "filter + 3", f"{_NEW} oifname vmap @{CONNECTIONS['ingress']}"),
    ),
    DSCP: (
        _stage(
            "mark-dscp",
            "forward",
            "mangle",
            f"ip daddr @{INSIDE[4]} accept",
            f"ip6 daddr @{INSIDE[6]} accept",
            f"iifname vmap @{DSCP}",
        ),
    ),
}


def chains(endpoint: Endpoint) -> dict[str, LimitChain]:
    """What limits and marks it: by verdict map, what that must lead to."""
    sides: tuple[tuple[Direction, Limits], ...] = (
        ("ingress", endpoint.ingress_limits),
        ("egress", endpoint.egress_limits),
    )
    found: dict[str, LimitChain] = {}
    for direction, limits in sides:
        if limits.packets_s:
            found[PACKETS[direction]] = _packets(endpoint.key, direction, limits)
        if limits.connections:
            found[CONNECTIONS[direction]] = _connections(endpoint.key, direction, limits.connections)
    if endpoint.dscp is not None:
        found[DSCP] = _dscp(endpoint.dscp)
    return found


def _packets(key: str, direction: Direction, limits: Limits) -> LimitChain:
    burst = limits.burst_packets or _USUAL_BURST
    rule = Rule(f"limit rate over {limits.packets_s}/second burst {burst} packets drop", f"{direction} packet rate")
    return LimitChain(_name("lp", key, direction, rule), (rule,), f"{direction} packets of {key}")


def _connections(key: str, direction: Direction, most: int) -> LimitChain:
    rule = Rule(f"meta l4proto tcp ct count over {most} reject with tcp reset", f"{direction} connections")
    return LimitChain(_name("lc", key, direction, rule), (rule,), f"{direction} connections of {key}")


def _dscp(value: int) -> LimitChain:
    return LimitChain(f"dscp-{value}", (Rule(f"ip dscp set {value}"), Rule(f"ip6 dscp set {value}")))


def _name(kind: str, key: str, direction: Direction, rule: Rule) -> str:
    return f"{kind}{direction[0]}-{digest(key, rule.text)}"
