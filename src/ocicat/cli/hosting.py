"""The options by which `ocicat host` commands are told what a host is to be."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from ocicat.errors import UserError
from ocicat.host import ports
from ocicat.host.facts.names import without_this_host
from ocicat.host.roles import ROLES, ROUTINGS, Asked, Role, Routing, parse_peers

_OPTIONS = (
    click.option(
        "--role",
        "roles",
        type=click.Choice(ROLES),
        multiple=True,
        required=True,
        help="What runs here; may be given again.",
    ),
    click.option(
        "--peer",
        "peers",
        multiple=True,
        metavar="HOST",
        help="Another host of the cluster: NAME, NAME=ADDRESS, ADDRESS; /ROLE,ROLE behind it if its roles are not this one's."
        " This host itself is passed over.",
    ),
    click.option(
        "--routing",
        "routings",
        type=click.Choice(ROUTINGS),
        multiple=True,
        default=("direct",),
        show_default=True,
        help="How packets between containers get to other hosts.",
    ),
    click.option(
        "--port",
        "port_names",
        multiple=True,
        metavar="PORT",
        help="A further port of this host for its peers: 8080, 53/udp, marathon, etcd-legacy.",
    ),
    click.option(
        "--mtu", type=click.IntRange(0, 65535), default=0, help="Of the network between hosts. [default: found out]"
    ),
    click.option(
        "--containers",
        type=click.IntRange(1, 100_000),
        default=250,
        show_default=True,
        help="How many this host is to hold.",
    ),
    click.option("--ipv6", is_flag=True, help="Containers have IPv6 addresses too."),
)


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """They become the arguments of `asked`, by the same names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked(
    roles: tuple[Role, ...],
    peers: tuple[str, ...],
    routings: tuple[Routing, ...],
    port_names: tuple[str, ...],
    mtu: int,
    containers: int,
    ipv6: bool,
    *,
    up: bool = False,
) -> Asked:
    """UserError for what cannot be meant. This host itself is not among its peers."""
    for name in port_names:
        ports.parse(name)
    return Asked(
        roles=tuple(dict.fromkeys(roles)),
        routings=tuple(dict.fromkeys(routings)),
        peers=without_this_host(parse_peers(peers, roles)),
        port_names=tuple(dict.fromkeys(port_names)),
        mtu=mtu,
        containers=containers,
        ipv6=ipv6,
        up=up,
    )


def need_root() -> None:
    """UserError for anybody else."""
    if os.geteuid() != 0:
        raise UserError(
            "firewalls, the kernel and other programs can be looked at by root only", hint="run it with sudo"
        )
