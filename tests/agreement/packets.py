"""The packets worth asking about: at every boundary of every class that a cluster's rules make. A function of cluster and random.

`ways` are the paths that packets can take: workload to workload on a host and across hosts, to and from hosts, from and to
the outside, through a host. `transports` are what they can carry: each port of each range and its neighbours, each named port,
each protocol and ICMP type that a rule names, and one of each that none does. `packets` is every way with every transport, in
random order, with addresses from `addresses` where the way leaves them open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, chain, product
from math import gcd
from random import Random

from cluster import NUMBERS, WITH_PORTS, Cluster, Hop, Host, Json, Outside, Packet, Place, TheHost, Workload
from oracle_match import address, net, numeric_port, protocol_number

from ocicat.model.net import WIDTH, Addr, Cidr

FREE_PORT = 40000
"""A port that no rule names."""

TRANSLATED_SHARE = 0.1

ELSEWHERE = {4: "203.0.113.200", 6: "2001:db8:ffff::1"}
UNKNOWN_INTERFACE = "cali-nobody"


@dataclass(frozen=True, slots=True)
class Way:
    """`source` and `destination` are what the ends own; with none an end can have any address that is nobody else's."""

    sender: Place
    receiver: Place
    hops: tuple[Hop, ...]
    source: tuple[str, ...]
    destination: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transport:
    protocol: int
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


def packets(cluster: Cluster, random: Random) -> Iterator[Packet]:
    """Every way, transport and family once; the first few are already spread over all of them."""
    outside = {family: addresses(cluster, family) for family in (4, 6)}
    carried = {family: transports(cluster, family) for family in (4, 6)}
    found = ways(cluster)
    blocks = [(family, way) for family in (4, 6) for way in found if _speaks(way, family)]
    sizes = list(accumulate(len(carried[family]) for family, _ in blocks))
    for place in _spread(sizes[-1], random):
        block = bisect_right(sizes, place)
        family, way = blocks[block]
        transport = carried[family][place - sizes[block]]  # counted from the end of its block
        packet = _packet(random, family, way, transport, outside[family])
        yield _translated(packet, random, outside[family]) if random.random() < TRANSLATED_SHARE else packet


def _spread(total: int, random: Random) -> Iterator[int]:
    """Every number below `total` once. Steps near the golden ratio leave no big gaps, however many are taken."""
    step = next(step for step in range(int(total * 0.618) + 1, 2 * total + 2) if gcd(step, total) == 1)
    start = random.randrange(total)
    return ((start + step * number) % total for number in range(total))


def _packet(random: Random, family: int, way: Way, transport: Transport, outside: list[str]) -> Packet:
    source = _pick(random, family, outside, way.source, spoof=isinstance(way.sender, Workload))
    return Packet(
        family, source, _pick(random, family, outside, way.destination), transport.protocol, transport.source_port,
        transport.destination_port, transport.icmp_type, transport.icmp_code, way.sender, way.receiver, way.hops,
    )  # fmt: skip


def _translated(packet: Packet, random: Random, addresses: list[str]) -> Packet:
    """The same, but sent to another address, and to another port if it has one; some host on the way corrects that."""
    place = random.randrange(len(packet.hops))
    hops = list(packet.hops)
    hops[place] = replace(hops[place], translated=(packet.destination, packet.destination_port))
    port = packet.destination_port and random.choice((packet.destination_port, 80, 8080, FREE_PORT))
    return replace(packet, destination=random.choice(addresses), destination_port=port, hops=tuple(hops))


def _speaks(way: Way, family: int) -> bool:
    return all(not own or any(_of(text, family) for text in own) for own in (way.source, way.destination))


def _of(text: str, family: int) -> bool:
    return address(text).family == family


def _pick(random: Random, family: int, outside: list[str], own: tuple[str, ...], *, spoof: bool = False) -> str:
    """Now and then a workload lies about who it is."""
    fitting = [text for text in own if _of(text, family)]
    return random.choice(fitting if fitting and not (spoof and random.random() < 0.04) else outside)


# --- ways -----------------------------------------------------------------------------------------------------------


def ways(cluster: Cluster) -> list[Way]:
    found = [_between(cluster, a, b) for a, b in product(_ends(cluster), repeat=2)]
    return [*(way for way in found if way is not None), _unknown(cluster.hosts[0])]


@dataclass(frozen=True, slots=True)
class End:
    place: Place
    host: str
    interface: str  # between it and the host; "" for the host itself
    own: tuple[str, ...]


def _ends(cluster: Cluster) -> list[End]:
    workloads = [_workload_end(resource) for resource in cluster.of("WorkloadEndpoint")]
    hosts = [
        End(TheHost(host.name), host.name, "", tuple(chain.from_iterable(host.interfaces.values())))
        for host in cluster.hosts
    ]
    outside = [
        End(Outside(host.name, interface), host.name, interface, ())
        for host in cluster.hosts
        for interface in host.interfaces
    ]
    return workloads + hosts + outside


def _workload_end(resource: Json) -> End:
    metadata, spec = resource["metadata"], resource["spec"]
    own = tuple(text.partition("/")[0] for text in spec.get("ipNetworks", []))
    return End(Workload(metadata["namespace"], metadata["name"]), spec["node"], spec["interfaceName"], own)


def _between(cluster: Cluster, a: End, b: End) -> Way | None:
    """None if they are the same, or both outside of different hosts. Hosts reach each other through eth0."""
    outside = isinstance(a.place, Outside), isinstance(b.place, Outside)
    if a.place == b.place or (a.host != b.host and any(outside)):
        return None
    if a.host == b.host:
        return Way(a.place, b.place, (Hop(a.host, a.interface, b.interface),), a.own, b.own)
    hops = (Hop(a.host, a.interface, "eth0"), Hop(b.host, "eth0", b.interface))
    return Way(a.place, b.place, hops, a.own, b.own)


def _unknown(host: Host) -> Way:
    """From an interface that looks like a workload's and belongs to no endpoint."""
    place = Outside(host.name, UNKNOWN_INTERFACE)
    return Way(place, TheHost(host.name), (Hop(host.name, UNKNOWN_INTERFACE, ""),), (), host.interfaces["eth0"])


# --- addresses ------------------------------------------------------------------------------------------------------


def addresses(cluster: Cluster, family: int) -> list[str]:
    """For the outside: first and last of every network that is named anywhere, and those just beyond. None that a host or a
    workload has."""
    named = {found for text in _networks(cluster) if (found := net(text)).family == family}
    edges = set(chain.from_iterable(map(_edges, named)))
    taken = {net(text) for text in _owned(cluster)}
    free = sorted(edge for edge in edges if edge.cidr() not in taken)
    return [str(edge) for edge in free] + [ELSEWHERE[family]]


def _edges(network: Cidr) -> Iterator[Addr]:
    for value in (
        network.network - 1,
        network.network,
        network.network + network.size - 1,
        network.network + network.size,
    ):
        if 0 < value < 2 ** WIDTH[network.family] - 1:
            yield Addr(network.family, value)


def _networks(cluster: Cluster) -> Iterator[str]:
    for resource in cluster.resources:
        spec = resource["spec"]
        yield from spec.get("nets", [])
        yield from spec.get("allowSpoofedSourcePrefixes", [])
        for rule in _rules(resource):
            for side in ("source", "destination"):
                yield from rule.get(side, {}).get("nets", [])
                yield from rule.get(side, {}).get("notNets", [])


def _owned(cluster: Cluster) -> Iterator[str]:
    for host in cluster.hosts:
        yield from chain.from_iterable(host.interfaces.values())
    for resource in cluster.of("WorkloadEndpoint"):
        yield from resource["spec"].get("ipNetworks", [])


# --- transports -----------------------------------------------------------------------------------------------------


def transports(cluster: Cluster, family: int) -> list[Transport]:
    rules = [rule for resource in cluster.resources for rule in _rules(resource)]
    protocols = {NUMBERS["TCP"], NUMBERS["UDP"], 4, 50}
    protocols |= {protocol_number(rule[name]) for rule in rules for name in ("protocol", "notProtocol") if name in rule}
    protocols -= {NUMBERS["ICMP"], NUMBERS["ICMPv6"]}
    found = [*_icmp_transports(rules, family)]
    for protocol in sorted(protocols):
        found += [*_port_transports(cluster, rules, protocol)] if protocol in WITH_PORTS else [Transport(protocol)]
    return found


def _icmp_transports(rules: list[Json], family: int) -> Iterator[Transport]:
    protocol = NUMBERS["ICMP" if family == 4 else "ICMPv6"]
    echo, neighbour = (8, 5) if family == 4 else (128, 135)
    named = {(fields["type"], fields.get("code", 0)) for rule in rules for fields in _icmp_fields(rule)}
    others = {(kind, (code + 1) % 256) for kind, code in named}
    for icmp_type, code in sorted({(echo, 0), (neighbour, 0)} | named | others):
        yield Transport(protocol, icmp_type=icmp_type, icmp_code=code)


def _icmp_fields(rule: Json) -> Iterator[Json]:
    return (rule[name] for name in ("icmp", "notICMP") if rule.get(name))


def _port_transports(cluster: Cluster, rules: list[Json], protocol: int) -> Iterator[Transport]:
    sides = (
        _ports(rules, "source", protocol),
        _ports(rules, "destination", protocol) | _known_ports(cluster, protocol),
    )
    edges = [sorted(_around(ports)) for ports in sides]
    yield Transport(protocol, FREE_PORT, FREE_PORT)
    yield from (Transport(protocol, FREE_PORT, port) for port in edges[1])
    yield from (Transport(protocol, port, FREE_PORT) for port in edges[0])
    yield from (Transport(protocol, a, b) for a, b in zip(edges[0], reversed(edges[1]), strict=False))


def _around(ranges: set[tuple[int, int]]) -> set[int]:
    edges = {port for first, last in ranges for port in (first - 1, first, last, last + 1)}
    return {port for port in edges if 1 <= port <= 65535}


def _ports(rules: list[Json], side: str, protocol: int) -> set[tuple[int, int]]:
    """The ranges that rules for that protocol name; for one that has rules for other protocols only, one of those."""
    fitting = [rule for rule in rules if protocol_number(rule.get("protocol", protocol)) == protocol]
    named = [rule.get(side, {}).get(name, []) for rule in fitting for name in ("ports", "notPorts")]
    return {found for port in chain.from_iterable(named) if (found := numeric_port(port))}


def _known_ports(cluster: Cluster, protocol: int) -> set[tuple[int, int]]:
    """Named by endpoints, or kept open."""
    entries = [port for r in cluster.of("WorkloadEndpoint", "HostEndpoint") for port in r["spec"].get("ports", [])]
    for resource in cluster.of("FelixConfiguration"):
        for name in ("failsafeInboundHostPorts", "failsafeOutboundHostPorts"):
            entries += resource["spec"].get(name, [])
        entries.append({"protocol": "UDP", "port": resource["spec"].get("vxlanPort", 4789)})
    entries += [{"protocol": "TCP", "port": 22}, {"protocol": "UDP", "port": 53}, {"protocol": "UDP", "port": 4789}]
    return {(entry["port"],) * 2 for entry in entries if protocol_number(entry["protocol"]) == protocol}


def _rules(resource: Json) -> list[Json]:
    spec = resource["spec"]
    return [*spec.get("ingress", []), *spec.get("egress", [])] if isinstance(spec.get("ingress", []), list) else []
