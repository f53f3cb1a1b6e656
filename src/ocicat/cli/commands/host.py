"""`ocicat host`: a host before it is part of a cluster: what is wrong with it, and what makes it fit."""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

import click
from click.core import ParameterSource

from ocicat.changes.files import Tree
from ocicat.cli import hosting
from ocicat.cli.commands import host_prepare
from ocicat.cli.defaults import stated_store_url
from ocicat.cli.findings import tell
from ocicat.cli.opening import read_all, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.talk import say
from ocicat.errors import OcicatError
from ocicat.host.facts.agents import Known
from ocicat.host.findings import every
from ocicat.host.look import look
from ocicat.host.roles import Role, Routing
from ocicat.model import keys
from ocicat.model.resources import Node
from ocicat.settings.setting import DEFAULT_FILE
from ocicat.store.base import Datastore


@click.group()
def command() -> None:
    """This host, before it is part of a cluster: find what is wrong with it, mend that, and undo it."""


host_prepare.attach(command)


@command.command()
@hosting.host_options
@click.option(
    "--store",
    envvar="OCICAT_STORE",
    default=None,
    metavar="URL",
    help=f"Of a datastore whose hosts' names are compared too. [default: store.url of {DEFAULT_FILE}, where it says one]",
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
    store: str | None,
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
    stored = _stored(store)
    facts = look(Tree(Path("/"), "host check"), asked)
    for line in every.unchecked(asked, facts, stored):
        say(line)
    tell(every.findings(asked, facts, skipped, stored or ()), style)


def _stored(url: str | None) -> tuple[Known, ...] | None:
    """None: no datastore is said, or one that nobody asked for in this command does not answer: that is no reason to stop."""
    asked_for = click.get_current_context().get_parameter_source("store") is ParameterSource.COMMANDLINE
    try:
        url = stated_store_url() if url is None else url
        return with_store(url, _hosts) if url else None
    except OcicatError as error:
        if asked_for:
            raise
        say(f"without what the datastore says: {error}")
        return None


async def _hosts(store: Datastore) -> tuple[Known, ...]:
    return tuple(known(node) for node in await read_all(store, keys.NODES, Node))


def known(node: Node) -> Known:
    """By what its addresses are: a host may have IPv6 alone, or none yet."""
    said = (node.spec.bgp.ipv4_address, node.spec.bgp.ipv6_address) if node.spec.bgp else ()
    return Known(node.metadata.name, tuple(one for text in said if (one := _address(text))), "the datastore")


def _address(text: str) -> str:
    """As the kernel writes it; "" when it is none."""
    try:
        return str(ip_interface(text).ip) if text else ""
    except ValueError:
        return ""
