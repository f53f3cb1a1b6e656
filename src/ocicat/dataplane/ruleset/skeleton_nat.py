"""The part of the ruleset that translates addresses. Its base chains see the first packet of a flow; the kernel does the rest.

    dstnat      prerouting   dstnat   floating addresses and mapped ports lead to workloads, before policy but pre-DNAT is asked
    dstnat-out  output       -100     the same for what the host itself sends
    srcnat      postrouting  srcnat   after all policy: what leaves the pools, and who speaks to himself by another address

So policy knows a workload by its own address and port, and its peer by his, whatever a packet says on the wire.

Invariants: 1. Only what is addressed to the host itself is mapped: a workload's way to port 80 elsewhere is untouched. 2. Loopback
addresses are not mapped: a packet from 127.0.0.1 must not leave the host, and the kernel setting that would let it would also let
workloads in. 3. Chains come when they are first needed, and then one stays: without any chain of this type the kernel forgets how
to translate the flows that it has begun to translate. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.ruleset.objects import Chain, Rule, SetSpec
from ocicat.model.wanted import OutgoingNat
from ocicat.netlink.nftset import Element

FAMILIES = (4, 6)
FLOATING = {family: f"floating{family}" for family in FAMILIES}
HOST_PORTS = {family: f"host-ports{family}" for family in FAMILIES}
ADDRESS_PORTS = {family: f"address-ports{family}" for family in FAMILIES}
OWN_FLOATING = {family: f"own-floating{family}" for family in FAMILIES}
OWN_PORTS = {family: f"own-ports{family}" for family in FAMILIES}
SOURCES = {family: f"nat-sources{family}" for family in FAMILIES}
INSIDE = {family: f"nat-inside{family}" for family in FAMILIES}
PORT_MAPS = frozenset((*HOST_PORTS.values(), *ADDRESS_PORTS.values()))
OUTWARD = "srcnat"

_UDP = 17
_REGISTER_BYTES = 4  # that each of the last two fields of their keys takes
_IP = {4: "ip", 6: "ip6"}
_WITH_PORTS = ("tcp", "udp")  # as in felix/rules/nat.go


def _sets(family: int) -> tuple[SetSpec, ...]:
    address, port = f"ipv{family}_addr", "inet_proto . inet_service"
    target = f"{address} . inet_service"
    return (
        SetSpec(FLOATING[family], address, data=address),
        SetSpec(HOST_PORTS[family], port, data=target),
        SetSpec(ADDRESS_PORTS[family], f"{address} . {port}", data=target),
        SetSpec(OWN_FLOATING[family], f"{address} . {address}", data=address),
        SetSpec(OWN_PORTS[family], f"{address} . {address}"),
        SetSpec(SOURCES[family], address, interval=True),
        SetSpec(INSIDE[family], address, interval=True),
    )


SETS = tuple(spec for family in FAMILIES for spec in _sets(family))


def mapped_udp(elements: Iterable[Element]) -> set[int]:
    """The ports of UDP among those of `PORT_MAPS`."""
    keys = [element.key[-2 * _REGISTER_BYTES :] for element in elements]
    return {int.from_bytes(key[_REGISTER_BYTES:][:2], "big") for key in keys if key[0] == _UDP}


def inward() -> tuple[Chain, ...]:
    """For floating addresses and mapped ports, but for what `outward` does about them."""
    local = Rule("fib daddr type local goto host-ports")
    floating = tuple(
        Rule(f"dnat {_IP[family]} to {_IP[family]} daddr map @{FLOATING[family]}", "floating address")
        for family in FAMILIES
    )
    loopback = (Rule("ip daddr 127.0.0.0/8 accept"), Rule("ip6 daddr ::1 accept"))
    return (
        Chain("dstnat", (*floating, local), hook="prerouting", priority="dstnat", kind="nat"),
        Chain("dstnat-out", (*floating, *loopback, local), hook="output", priority="-100", kind="nat"),
        Chain("host-ports", tuple(rule for family in FAMILIES for rule in _host_ports(family)), "mapped to workloads"),
    )


def outward(wanted: OutgoingNat, *, inwards: bool) -> Chain:
    """`inwards`: there are floating addresses or mapped ports, by which a workload may come to speak to itself."""
    own = tuple(rule for family in FAMILIES for rule in _own(family)) if inwards else ()
    leaving = tuple(rule for family in FAMILIES for rule in _leaving(wanted, family))
    return Chain(OUTWARD, (*own, *leaving), hook="postrouting", priority="srcnat", kind="nat")


def _host_ports(family: int) -> tuple[Rule, ...]:
    ip, port = _IP[family], "meta l4proto . th dport"
    return (
        Rule(f"dnat {ip} to {ip} daddr . {port} map @{ADDRESS_PORTS[family]}", "port of one address"),
        Rule(f"meta nfproto ipv{family} dnat {ip} to {port} map @{HOST_PORTS[family]}", "port of any address"),
    )


def _own(family: int) -> tuple[Rule, ...]:
    """A workload takes no packet from its own address: it must come from that by which it was called, or from the host's."""
    ip = _IP[family]
    both = f"{ip} saddr . {ip} daddr"
    return (
        Rule(f"snat {ip} to {both} map @{OWN_FLOATING[family]}", "to itself by its floating address"),
        Rule(f"{both} @{OWN_PORTS[family]} masquerade", "to itself by a port of the host"),
    )


def _leaving(wanted: OutgoingNat, family: int) -> tuple[Rule, ...]:
    if not any(cidr.family == family for cidr in wanted.sources):
        return ()
    ip = _IP[family]
    match = f"{ip} saddr @{SOURCES[family]} {ip} daddr != @{INSIDE[family]}"
    if wanted.interface:
        match += f' oifname "{wanted.interface}"'
    address = next((str(each) for each in wanted.addresses if each.family == family), "")
    by_port = [
        Rule(f"{match} meta l4proto {protocol} {_source(family, address, wanted.ports)}", "leaves the pools")
        for protocol in (_WITH_PORTS if wanted.ports else ())
    ]
    return (*by_port, Rule(f"{match} {_source(family, address)}", "leaves the pools"))


def _source(family: int, address: str, ports: tuple[int, int] | None = None) -> str:
    """What it leaves with."""
    said = f":{ports[0]}-{ports[1]}" if ports else ""
    if not address:
        return f"masquerade to {said}" if said else "masquerade"
    if said and family == 6:
        address = f"[{address}]"
    return f"snat {_IP[family]} to {address}{said}"
