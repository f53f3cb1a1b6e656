"""What the models are asked: a cluster of v3 resources, and a packet on its way through hosts. Plain data.

Nothing here knows what policy means, so that every model (`oracle`, `ocicat.policy`, the kernel) can take the same question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

Json = dict[str, object]

NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
WITH_PORTS = (6, 17, 132, 136)
"""The protocols whose packets carry ports. Rules may name ports of the first three only."""


@dataclass(frozen=True, slots=True)
class Host:
    """Its interfaces that are no workload's, each with its addresses of both families."""

    name: str
    interfaces: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Cluster:
    """`resources` are v3 objects as they are stored: kind, metadata, spec. FelixConfigurations among them are the settings."""

    resources: tuple[Json, ...]
    hosts: tuple[Host, ...]

    def of(self, *kinds: str) -> Iterator[Json]:
        return (resource for resource in self.resources if resource["kind"] in kinds)

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)


@dataclass(frozen=True, slots=True)
class Workload:
    """An endpoint of a workload, by the namespace and name of its resource."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class TheHost:
    """A process of the host itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Whoever is beyond that interface of that host."""

    host: str
    interface: str


Place = Workload | TheHost | Outside


@dataclass(frozen=True, slots=True)
class Hop:
    """A packet's way through one host, by interface; "" where a process of the host sends or receives it.

    `translated`: the destination, address and port, that NAT on this host gives it, and that it keeps from then on.
    """

    host: str
    enters: str
    leaves: str
    translated: tuple[str, int | None] | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow, as it is sent. Ports and types are None where the protocol has none."""

    family: int
    source: str
    destination: str
    protocol: int
    source_port: int | None
    destination_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    sender: Place
    receiver: Place
    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every model can say and the kernel can show. `untracked`: some host let it by without connection tracking.

    `why`: every stage that a rule decided, and the one that dropped it; `logs`: the Log rules that matched on its way;
    `staged`: would it be allowed if the staged policies were in force? `counted`: the rules that have counted it, staged ones too,
    and the ends of lists that deny, by host, in the words of their counters. None: the model cannot tell.
    """

    allowed: bool
    untracked: bool = False
    why: tuple[str, ...] | None = None
    logs: tuple[str, ...] | None = None
    staged: bool | None = None
    counted: tuple[str, ...] | None = None


def shown(cluster: Cluster, packet: Packet) -> str:
    """Everything somebody needs to ask the question again, to be read by people."""
    lines = [
        json.dumps({"kind": r["kind"], "metadata": r["metadata"], "spec": r.get("spec", {})}) for r in cluster.resources
    ]
    lines += [f"host {host.name}: {host.interfaces}" for host in cluster.hosts]
    return "\n".join([*lines, str(packet)])
