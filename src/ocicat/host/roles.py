"""What a host is asked to be: its roles, how packets get to other hosts, and who its peers are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Literal, get_args

from ocicat.errors import UserError
from ocicat.model.base import Struct

Role = Literal["master", "agent", "services"]
Routing = Literal["direct", "vxlan", "ipip", "bgp"]

ROLES: tuple[Role, ...] = get_args(Role)
ROUTINGS: tuple[Routing, ...] = get_args(Routing)
OVERHEAD_BYTES: dict[Routing, int] = {"direct": 0, "bgp": 0, "ipip": 20, "vxlan": 50}
_VXLAN6_BYTES = 70  # an IPv6 header outside is 20 bytes longer
_NAME = re.compile(r"(?![0-9.]+$)[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?")
_FORMS = "a name, name=address, and after a / its roles: h2, h2=10.0.0.12, m1.example.com=10.0.0.5/master,services"


class Peer(Struct, frozen=True):
    """Another host of the cluster. `address` "": that which its name resolves to. `name` "": only the address is known."""

    name: str
    address: str = ""
    roles: tuple[Role, ...] = ()

    def __str__(self) -> str:
        return self.name or self.address


class Asked(Struct, frozen=True, kw_only=True):
    """`port_names`: further ports, as `ports.parse` takes them. `mtu` in bytes, of the network between the hosts; 0: found out.

    `containers`: how many this host is to hold. `up`: the services of all hosts are meant to run already.
    """

    roles: tuple[Role, ...]
    routings: tuple[Routing, ...] = ("direct",)
    peers: tuple[Peer, ...] = ()
    port_names: tuple[str, ...] = ()
    mtu: int = 0
    containers: int = 250
    ipv6: bool = False
    up: bool = False

    @property
    def runs_containers(self) -> bool:
        return "agent" in self.roles

    def peers_with(self, role: Role) -> tuple[Peer, ...]:
        return tuple(peer for peer in self.peers if role in peer.roles)


def parse_peers(texts: Iterable[str], default: Sequence[Role]) -> tuple[Peer, ...]:
    """Those that say no roles have the roles `default`. UserError: not of that form, or one of them twice."""
    peers = tuple(parse_peer(text, default) for text in texts)
    for what, said in (
        ("name", [p.name for p in peers if p.name]),
        ("address", [p.address for p in peers if p.address]),
    ):
        twice = next((one for one in said if said.count(one) > 1), "")
        if twice:
            raise UserError(
                f"two peers have the {what} {twice}", hint="each host has one name and one address of its own"
            )
    return peers


def parse_peer(text: str, default: Sequence[Role]) -> Peer:
    """ "h2", "h2=10.0.0.12", "10.0.0.12", each perhaps followed by "/role,role"."""
    host, slash, roles = text.strip().partition("/")
    name, equals, address = host.partition("=")
    if not equals and _is_address(name):
        name, address = "", name
    if (
        (name and not _NAME.fullmatch(name))
        or not (name or address)
        or (equals and not (name and _is_address(address)))
    ):
        raise UserError(f"peer {text!r} is not understood", hint=_FORMS)
    return Peer(
        name.lower(), str(ip_address(address)) if address else "", _roles(text, roles) if slash else tuple(default)
    )


def overhead_bytes(routing: Routing, *, ipv6: bool) -> int:
    """What a packet between containers grows by on its way to another host."""
    return _VXLAN6_BYTES if routing == "vxlan" and ipv6 else OVERHEAD_BYTES[routing]


def _roles(text: str, said: str) -> tuple[Role, ...]:
    found = tuple(role for role in ROLES if role in said.split(","))
    if len(found) != len(said.split(",")):
        raise UserError(f"peer {text!r}: roles are {', '.join(ROLES)}", hint=_FORMS)
    return found


def _is_address(text: str) -> bool:
    try:
        found = ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_multicast)
