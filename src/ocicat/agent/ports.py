"""Ports of this host that lead to its containers: who has which, and may a new container have one?

1. A port is one container's: those in the datastore and those that are being attached count, in whatever order they ask.
2. A port at which a program of the host listens is not taken from it; one that listens on loopback only keeps that anyway. Nor are
   its Mesos agent's ports and its failsafe ports, even while nothing listens there: whoever restarts sshd must not lose port 22.
3. Nothing is remembered here but the requests under way: what a container has is in its endpoint.
4. Mesos tells that a task has ended a second or more before its container goes. Whoever comes for the port meanwhile waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ocicat.agent.local import Local
from ocicat.calc.nat_endpoints import translations
from ocicat.cni.ports import PROTOCOLS, said
from ocicat.errors import Refused, UserError
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import WorkloadEndpoint
from ocicat.model.wanted import PortMapping
from ocicat.netlink import sockdiag
from ocicat.netlink.inet import INET, INET6
from ocicat.netlink.sockdiag import Listener
from ocicat.netlink.socket import DiagSocket
from ocicat.policy.settings import OpenPort
from ocicat.store.base import Datastore

PATIENCE_S = 5.0
LOOK_S = 0.05

_LOOPBACK = (Cidr.parse("127.0.0.0/8"), Cidr.parse("::1/128"))

_V4_IN_V6 = Cidr.parse("::ffff:0.0.0.0/96")


def listeners(protocol: int, port: int) -> list[Listener]:
    """In the network namespace of the calling thread."""
    with DiagSocket() as kernel:
        return [each for family in (INET, INET6) for each in kernel.dump(sockdiag.dump(protocol, family, port))]


@dataclass(slots=True)
class HostPorts:
    local: Local
    store: Datastore
    agent_ports: tuple[int, ...]
    failsafe: Callable[[], Iterable[OpenPort]]
    listeners: Callable[[int, int], Iterable[Listener]] = listeners
    patience_s: float = PATIENCE_S
    _under_way: dict[str, tuple[PortMapping, ...]] = field(default_factory=dict)  # by the endpoint's key

    @asynccontextmanager
    async def reserved(self, key: str, wanted: tuple[PortMapping, ...]) -> AsyncIterator[None]:
        """Nobody else gets these meanwhile. Refused if somebody has one and keeps it."""
        if not wanted:
            yield
            return
        for mapping in wanted:
            self._check_under_way(mapping)
        self._under_way[key] = wanted
        try:
            await self._await_free(key, wanted)
            yield
        finally:
            del self._under_way[key]

    def check_host(self, wanted: tuple[PortMapping, ...]) -> None:
        """Refused if the host needs one itself."""
        for mapping in wanted:
            self._check_kept(mapping)
            for each in self.listeners(mapping.protocol, mapping.host_port):
                if _meets(mapping, Addr.unpack(each.address)):
                    raise Refused(
                        f"{said(mapping)} is in use: a program of this host listens on {each}",
                        hint="stop it, or choose another port",
                    )

    def _check_kept(self, mapping: PortMapping) -> None:
        port = mapping.protocol, mapping.host_port
        if port in {(PROTOCOLS["tcp"], each) for each in self.agent_ports}:
            raise Refused(f"{said(mapping)} is that of this host's Mesos agent", hint="choose another port")
        if port in {(each.protocol, each.port) for each in self.failsafe()}:
            raise Refused(
                f"{said(mapping)} is one of this host's failsafe ports",
                hint="choose another port, or take it out of FelixConfiguration failsafeInboundHostPorts",
            )

    def _check_under_way(self, mapping: PortMapping) -> None:
        for key, others in self._under_way.items():
            if any(mapping.excludes(other) for other in others):
                raise _taken(mapping, key)

    async def _await_free(self, key: str, wanted: tuple[PortMapping, ...]) -> None:
        end = asyncio.get_running_loop().time() + self.patience_s
        for mapping in wanted:
            while other := await self._holder(key, mapping):
                if asyncio.get_running_loop().time() >= end:
                    raise _taken(mapping, other)
                await asyncio.sleep(LOOK_S)

    async def _holder(self, key: str, mapping: PortMapping) -> str:
        """Another endpoint that has it. That one is gone may be news: the datastore knows."""
        holders = [
            other
            for other, endpoint in self.local.endpoints.items()
            if other != key and any(mapping.excludes(theirs) for theirs in mappings(endpoint))
        ]
        for other in holders:
            if await self.store.get(other) is not None:
                return other
        return ""


def mappings(endpoint: WorkloadEndpoint) -> tuple[PortMapping, ...]:
    """The ports of the host that an endpoint has."""
    try:
        addresses = tuple(Addr.parse(network.partition("/")[0]) for network in endpoint.spec.ip_networks)
    except UserError:
        return ()  # reported by the calculation graph
    return translations((), endpoint.spec.ports, addresses).ports


def _meets(mapping: PortMapping, bound: Addr) -> bool:
    listening = Addr(4, bound.value - _V4_IN_V6.network) if bound in _V4_IN_V6 else bound
    if any(listening in net for net in _LOOPBACK):
        return False
    host = mapping.host_address
    return host is None or not host.value or not listening.value or host == listening


def _taken(mapping: PortMapping, key: str) -> Refused:
    return Refused(
        f"{said(mapping)} leads to endpoint {key} already", hint="choose another port, or remove that container"
    )
