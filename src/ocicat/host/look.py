"""Everything that is looked at on a host, and asked of its peers, in one pass. Changes nothing.

The caller is root, in the network and mount namespaces of the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ocicat.changes.files import Tree
from ocicat.errors import Refused
from ocicat.host import ports, sysctls
from ocicat.host.facts import (
    advertised,
    agents,
    clock,
    connections,
    names,
    others,
    paths,
    places,
    processes,
    reach,
    settings,
)
from ocicat.host.facts.agents import Agents
from ocicat.host.facts.clock import Clock
from ocicat.host.facts.connections import Connections
from ocicat.host.facts.names import Names
from ocicat.host.facts.others import Others
from ocicat.host.facts.paths import Path
from ocicat.host.facts.places import Places
from ocicat.host.facts.reach import Tried
from ocicat.host.facts.settings import Settings
from ocicat.host.firewall.blocked import Blocked, blocked
from ocicat.host.firewall.letting import Allowed, Letting
from ocicat.host.probes import run
from ocicat.host.probes.run import Kernel
from ocicat.host.roles import Asked
from ocicat.mesos.masters import DEFAULT_PORT, Endpoint
from ocicat.model.base import Struct

_SELINUX = "/sys/fs/selinux/enforce"
_SPEAK_HTTP = frozenset({5050, 5051, 2379})  # Mesos's master and agent, etcd


class Facts(Struct, frozen=True, kw_only=True):
    """Of one host. `kernel` None: no containers are wanted here. `firewall_unknown`: why it cannot be told what firewalls drop.

    `gateway`: the interface by which this host would reach the containers' gateway. `advertised`: interfaces whose IPv6
    default route goes when this host forwards.
    """

    names: Names
    tried: tuple[Tried, ...]
    paths: tuple[Path, ...]
    kernel: Kernel | None
    settings: Settings
    clock: Clock
    agents: Agents
    places: Places
    others: Others
    connections: Connections = Connections()
    gateway: str = ""
    advertised: tuple[str, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    firewall_unknown: str = ""
    selinux_enforces: bool = False


def look(tree: Tree, asked: Asked, *, firewalls: bool = True) -> Facts:
    """Without `firewalls`, nothing of these. Refused where the kernel does not let us look."""
    kernel = (
        run.look(asked.routings) if asked.runs_containers else None
    )  # first: it loads what the settings below belong to
    running = processes.look()
    called = names.look(asked.peers)
    tried, found_clock, found_agents = asyncio.run(_ask(tree, asked, called, running))
    dropped, unknown = _firewalls(asked, called) if firewalls else ((), "")
    return Facts(
        names=called,
        tried=tried,
        paths=paths.look([(peer, address) for peer in asked.peers if (address := called.address_of(peer))]),
        kernel=kernel,
        settings=settings.look(tree, (*sysctls.wants(asked), *_listening(tree, asked))),
        clock=found_clock,
        agents=found_agents,
        places=places.look(asked.roles, found_agents.mesos_pid),
        others=others.look(tree, running),
        connections=connections.look(tree),
        gateway=paths.gateway_way(),
        advertised=advertised.look(tree) if asked.ipv6 else (),
        blocked=dropped,
        firewall_unknown=unknown,
        selinux_enforces=tree.text(_SELINUX).strip() == "1",
    )


def _listening(tree: Tree, asked: Asked) -> Iterable[sysctls.Want]:
    """Of all interfaces: which of them must listen to routers depends on what an earlier run has changed."""
    return map(sysctls.accept_ra, tree.names("/proc/sys/net/ipv6/conf") if asked.runs_containers and asked.ipv6 else ())


async def _ask(
    tree: Tree, asked: Asked, called: Names, running: tuple[processes.Process, ...]
) -> tuple[tuple[Tried, ...], Clock, Agents]:
    tried, told = await asyncio.gather(reach.look(asked, called), agents.look(tree, running, _masters(asked, called)))
    return tried, await clock.look(_clocks(tried)), told


def _clocks(tried: Iterable[Tried]) -> list[clock.Asked]:
    """Whoever listens where HTTP is spoken."""
    found = (one for one in tried if one.outcome == "open" and one.opening.port in _SPEAK_HTTP)
    return [clock.Asked(str(one.peer), one.address, one.opening.port) for one in found]


def _masters(asked: Asked, called: Names) -> list[Endpoint]:
    own = called.lookups.of(called.host).addresses[:1] if "master" in asked.roles else ()
    addresses = [*own, *(called.address_of(peer) for peer in asked.peers_with("master"))]
    return [Endpoint(address, DEFAULT_PORT) for address in addresses if address]


def _firewalls(asked: Asked, called: Names) -> tuple[tuple[Blocked, ...], str]:
    """What they drop; and why that is not known."""
    allowed = [
        Allowed(one.opening, tuple(address for peer in one.peers if (address := called.address_of(peer))))
        for one in ports.wanted(asked)
    ]
    try:
        return tuple(blocked(Letting(tuple(allowed), asked.runs_containers, ports.contained(asked), asked.ipv6))), ""
    except Refused as error:
        return (), str(error)
