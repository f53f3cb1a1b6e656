"""The kernel as one of the models: real packets through the ruleset that our own graph and dataplane make of a cluster.

Promises:
1. `Kernel` is a model like the others: a function from a cluster to a function from a packet to its `Outcome`. It lays out one
   cluster at a time, and nothing of it is left when the context ends, or the process, however it ends.
2. A packet is allowed if it has come out where it should, and dropped if it has come out nowhere by the time that it must have.
   What comes out anywhere else is an error, never an answer.

It knows nothing of reasons, logs and what staged policies would do, but which rules have counted the packet.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from cluster import Cluster, Hop, Outcome, Packet
from kernel_agent import PREFIX, Agent
from kernel_bed import HostBed, Seen, World
from kernel_frames import can_be_sent, encode, is_neighbour_discovery, is_reply, unstamped
from kernel_trace import rules_met

from ocicat.dataplane import counting
from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.ruleset import identity
from ocicat.netlink.socket import NetfilterSocket


def asks(packet: Packet) -> bool:
    """Can the kernel be asked this?

    What conntrack never tracks (neighbour discovery) it does not translate, and not tracked it is whatever policy says: of that
    only what passes a host from a workload, where untracked policy has no say.
    """
    if is_neighbour_discovery(packet):
        first, *others = packet.hops
        return not others and first.translated is None and first.enters.startswith(PREFIX) and can_be_sent(packet)
    return can_be_sent(packet)


class Kernel:
    """A context manager. Each cluster takes the place of the one before.

    `before`: what each host enforces first, and must then change into what it is asked about. `flat_from`: see `DataplaneConfig`.
    """

    def __init__(self, *, before: Cluster | None = None, flat_from: int = DataplaneConfig().flat_from) -> None:
        self._before = before
        self._flat_from = flat_from
        self._bed: Bed | None = None

    def __str__(self) -> str:
        return "the kernel after a change" if self._before else "the kernel"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._bed:
            self._bed.close()
            self._bed = None

    def __call__(self, cluster: Cluster) -> Callable[[Packet], Outcome]:
        self.close()
        self._bed = Bed(cluster, (self._before, cluster) if self._before else (cluster,), self._flat_from)
        return self._bed.ask

    def why(self, cluster: Cluster, packet: Packet) -> str:
        """The rules that the packet meets on the last host that it comes to, as the kernel itself traces them."""
        self(cluster)
        return self._bed.trace(packet)


class Bed:
    """The hosts of a cluster, each laid out when a packet first comes to it, and their world.

    `enforced`: one after the other; with none every packet passes.
    """

    def __init__(
        self, cluster: Cluster, enforced: Sequence[Cluster] = (), flat_from: int = DataplaneConfig().flat_from
    ) -> None:
        self._cluster = cluster
        self._flat_from = flat_from
        self._enforced = enforced
        self._world = World()
        self._hosts: dict[str, HostBed] = {}
        self._agents: list[Agent] = []
        self._last_host = ""
        self._number = 0

    def close(self) -> None:
        for each in (*self._agents, *self._hosts.values(), self._world):
            each.close()

    def change(self, cluster: Cluster) -> None:
        """Enforces that one instead: of the same hosts, with the same interfaces."""
        self._enforced = (cluster,)
        for agent in self._agents:
            agent.enforce(cluster)

    def ask(self, packet: Packet) -> Outcome:
        """Of at most 65535 packets."""
        self._number += 1
        data = encode(packet, self._number)
        untracked = False
        counted: list[str] = []
        for hop in packet.hops:
            before = self._counts(hop.host)
            seen = self._pass(packet, hop, data)
            counted += [f"{hop.host} {words}" for words in (self._counts(hop.host) - before).elements()]
            if seen is None:
                return Outcome(allowed=False, counted=tuple(sorted(counted)))
            untracked = untracked or seen.untracked
            data = unstamped(seen.data) if hop.leaves else b""
        untracked = untracked and not is_neighbour_discovery(packet)
        return Outcome(allowed=True, untracked=untracked, counted=tuple(sorted(counted)))

    def _counts(self, host: str) -> Counter[str]:
        """Of rules, and of ends that deny; not of what staged policies would do before routing."""
        with NetfilterSocket(self._host(host).fd) as sock:
            found = counting.read(sock) or ()
        counted: Counter[str] = Counter()
        for each in found:
            words = identity.counter(each.decider).comment.split()
            ends_tier = each.decider.owner == "tier" and each.decider.action == "Pass"
            before_routing = each.decider.staged and each.decider.hook != "normal"
            if not before_routing and not ends_tier:
                counted[" ".join([*words[:3], *words[4:]])] += each.packets
        return counted

    def trace(self, packet: Packet) -> str:
        """On the last host that it comes to."""
        self.ask(packet)
        return rules_met(self._host(self._last_host), lambda: self._send_again(packet))

    def _send_again(self, packet: Packet) -> int:
        self.ask(packet)
        return self._number

    def _host(self, name: str) -> HostBed:
        self._last_host = name
        if name not in self._hosts:
            own = self._cluster.host(name).interfaces
            workloads = [each for cluster in (self._cluster, *self._enforced) for each in _workloads(cluster, name)]
            self._hosts[name] = HostBed(name, own, workloads, self._world)
            self._enforce(self._hosts[name])
        return self._hosts[name]

    def _enforce(self, host: HostBed) -> None:
        if self._enforced:
            agent = Agent(host.name, host.fd, self._flat_from)
            self._agents.append(agent)
            for cluster in self._enforced:
                agent.enforce(cluster)

    def _pass(self, packet: Packet, hop: Hop, data: bytes) -> Seen | None:
        """The packet as it comes out of one host, if it does."""
        host = self._host(hop.host)
        host.ready(packet, hop)
        if self._enforced:
            host.guarded(hop.enters)
        if hop.translated:
            host.translate(packet, self._number, hop)
        with _on_one_processor():
            host.put_in(hop, data)
            # It is in a queue at most twice: before the host, and before the world.
            seen = [*self._world.come_out(self._number), *self._world.come_out(self._number)]
        seen += host.received(packet, self._number)
        found = [each for each in seen if not (each.place and is_reply(packet, each.data))]
        wanted = f"{hop.host}.{hop.leaves}" if hop.leaves else ""
        if [each.place for each in found] not in ([], [wanted]):
            raise AssertionError(f"{packet} came out of {[each.place for each in found]}, not of {wanted!r}")
        return found[0] if found else None


def _workloads(cluster: Cluster, host: str) -> list[str]:
    specs = [resource["spec"] for resource in cluster.of("WorkloadEndpoint")]
    return [spec["interfaceName"] for spec in specs if spec["node"] == host]


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """The calling thread alone, meanwhile: what it sends is in one queue, in order."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
