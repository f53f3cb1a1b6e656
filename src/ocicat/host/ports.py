"""Which ports a host must open to its peers, by its roles and by how packets get to other hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ocicat.errors import UserError
from ocicat.host.roles import Asked, Peer, Role, Routing
from ocicat.model.base import Struct

Protocol = Literal["tcp", "udp", "ipip"]


class Opening(Struct, frozen=True):
    """A port (TCP, UDP), or a protocol without ports. `among`: only hosts of the same role come there."""

    protocol: Protocol
    port: int = 0
    service: str = ""
    among: bool = False

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}" if self.port else "IP protocol 4 (IP in IP)"


class Wanted(Struct, frozen=True):
    """Which of its peers must get through to this host there."""

    opening: Opening
    peers: tuple[Peer, ...]


_BY_ROLE: dict[Role, tuple[Opening, ...]] = {
    "master": (Opening("tcp", 5050, "the Mesos master"),),
    "agent": (Opening("tcp", 5051, "the Mesos agent"),),
    "services": (
        Opening("tcp", 2181, "ZooKeeper"),
        Opening("tcp", 2888, "ZooKeeper's members", among=True),
        Opening("tcp", 3888, "ZooKeeper's elections", among=True),
        Opening("tcp", 2379, "etcd"),
        Opening("tcp", 2380, "etcd's members", among=True),
    ),
}
# Containers are on agents only.
_BY_ROUTING: dict[Routing, tuple[Opening, ...]] = {
    "direct": (),
    "vxlan": (Opening("udp", 4789, "VXLAN", among=True),),
    "ipip": (Opening("ipip", 0, "IP in IP", among=True),),
    "bgp": (Opening("tcp", 179, "BGP", among=True),),
}
_NAMED = {
    "marathon": Opening("tcp", 8080, "Marathon"),
    "etcd-legacy": Opening("tcp", 4001, "etcd's old port for clients"),
    "dns": Opening("udp", 53, "names of tasks"),
}


def wanted(asked: Asked) -> tuple[Wanted, ...]:
    """Of this host, each opening once, in the order of the roles."""
    by_role = [(role, opening) for role in asked.roles for opening in openings(role, asked.routings)]
    found = [Wanted(one, asked.peers_with(role) if one.among else asked.peers) for role, one in by_role]
    return (*found, *(Wanted(parse(name), asked.peers) for name in asked.port_names))


def contained(asked: Asked) -> tuple[Opening, ...]:
    """To which of this host's ports its containers must get: executors register with their Mesos agent."""
    return _BY_ROLE["agent"] if asked.runs_containers else ()


def called(asked: Asked, peer: Peer) -> tuple[Opening, ...]:
    """What this host must reach at a peer."""
    return tuple(
        one for role in peer.roles for one in openings(role, asked.routings) if role in asked.roles or not one.among
    )


def openings(role: Role, routings: Iterable[Routing]) -> tuple[Opening, ...]:
    tunnels = [one for routing in routings for one in _BY_ROUTING[routing]] if role == "agent" else []
    return (*_BY_ROLE[role], *tunnels)


def parse(text: str) -> Opening:
    """ "8080", "8080/tcp", "53/udp", or a name that is known here. UserError for anything else."""
    if text in _NAMED:
        return _NAMED[text]
    number, _, protocol = text.partition("/")
    if not (
        number.isascii() and number.isdecimal() and len(number) <= 5 and 0 < int(number) < 65536
    ) or protocol not in ("", "tcp", "udp"):
        raise UserError(f"port {text!r} is not understood", hint=f"8080, 53/udp, or one of {', '.join(_NAMED)}")
    return Opening("udp" if protocol == "udp" else "tcp", int(number), f"port {number}")
