"""`ocicat host`: a host before it is part of a cluster: what is wrong with it, and what makes it fit."""

from __future__ import annotations

from pathlib import Path

import click

from ocicat.changes.files import Tree
from ocicat.cli import hosting
from ocicat.cli.commands import host_prepare
from ocicat.cli.findings import tell
from ocicat.cli.opening import read_all, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.talk import say
from ocicat.host.facts.agents import Known
from ocicat.host.findings import every
from ocicat.host.look import look
from ocicat.host.roles import Role, Routing
from ocicat.model import keys
from ocicat.model.resources import Node
from ocicat.store.base import Datastore


@click.group()
def command() -> None:
    """This host, before it is part of a cluster: find what is wrong with it, mend that, and undo it."""


host_prepare.attach(command)


@command.command()
@hosting.host_options
@click.option(
    "--store", default="", metavar="URL", help="Of a datastore whose hosts' names are compared too. [default: none]"
)
@click.option("--up", is_flag=True, help="All services are meant to run already: it is wrong where nobody listens.")
@click.option(
    "--skip",
    "skipped",
    type=click.Choice(every.WORDS),
    multiple=True,
    metavar="WORD",
    help="Leave out what is about that.",
)
@format_option
def check(
    roles: tuple[Role, ...],
    peers: tuple[str, ...],
    routings: tuple[Routing, ...],
    port_names: tuple[str, ...],
    mtu: int,
    containers: int,
    ipv6: bool,
    store: str,
    up: bool,
    skipped: tuple[str, ...],
    style: Format,
) -> None:
    """Find what will go wrong on this host, and say how to mend it. The exit code is 1 when there is something.

    Names, ports and firewalls, the kernel and its settings, MTU, clocks, control groups, room, and what other network systems have
    left. Peers are asked where they answer; what could not be looked at is said on standard error. See docs/host-check.md.

    \b
    Examples:
      ocicat host check --role agent
      ocicat host check --role agent --peer m1=10.0.0.5/master,services --peer h2=10.0.0.12
      ocicat host check --role master --role services --peer m2 --peer m3 -o json
    """
    hosting.need_root()
    asked = hosting.asked(roles, peers, routings, port_names, mtu, containers, ipv6, up=up)
    stored = with_store(store, _hosts) if store else ()
    facts = look(Tree(Path("/"), "host check"), asked)
    for line in every.unchecked(asked, facts):
        say(line)
    tell(every.findings(asked, facts, skipped, stored), style)


async def _hosts(store: Datastore) -> tuple[Known, ...]:
    nodes = await read_all(store, keys.NODES, Node)
    addresses = [(node.metadata.name, node.spec.bgp) for node in nodes]
    return tuple(Known(name, bgp.ipv4_address.partition("/")[0], "the datastore") for name, bgp in addresses if bgp)
