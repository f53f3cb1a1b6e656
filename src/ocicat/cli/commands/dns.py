"""`ocicat dns`: the names of Mesos tasks: what they are, and what a server says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import click

from ocicat.agent.discovery.config import DnsConfig, endpoint, naming
from ocicat.agent.discovery.names import Names
from ocicat.cli.defaults import dns_server, dns_zone, master_option, shared
from ocicat.cli.output import Format, format_option, show
from ocicat.dns import names
from ocicat.dns.answer import Book
from ocicat.dns.client import ask
from ocicat.dns.text import data_text, parse_type, type_text
from ocicat.dns.wire import Message, Question, Rcode, Type
from ocicat.errors import NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.operator import MasterClient
from ocicat.mesos.tasks import Change
from ocicat.model.base import Struct
from ocicat.model.net import Addr

_RESOLV = Path("/etc/resolv.conf")
_HEAD = ("name", "type", "data")


class Shown(Struct, frozen=True):
    """`ttl` in seconds."""

    name: str
    type: str
    data: str
    ttl: int = 0


@click.group()
def command() -> None:
    """Names of Mesos tasks, as `ocicat agent --dns` serves them. All names: docs/discovery.md."""


@command.command()
@click.argument("name")
@click.argument("record_type", metavar="[TYPE]", default="")
@click.option(
    "--server",
    default=dns_server,
    envvar="OCICAT_DNS_SERVER",
    metavar="ADDRESS[:PORT]",
    help="Whom to ask. [default: dns.server of the configuration, or the first of /etc/resolv.conf]",
)
@click.option("--tcp", "by_tcp", is_flag=True, help="By TCP at once, not only where the answer is long.")
@format_option
def query(name: str, record_type: str, server: str, by_tcp: bool, style: Format) -> None:
    """Ask a DNS server for the records of NAME.

    Without TYPE: A and AAAA; SRV for a service (_web._tcp...), PTR for an address. Exit code 5: there are none.

    \b
    Examples:
      ocicat dns query web.marathon.mesos --server 10.0.0.11
      ocicat dns query _web._tcp.marathon.mesos
      ocicat dns query 10.77.0.3
    """
    asked, types = _question(name, record_type)
    whom = endpoint("--server", server) if server else _first_server()
    found = [ask(whom, Question(names.wire(asked), type_), by_tcp=by_tcp) for type_ in types]
    told = [one for message in found for one in _records(message)]
    if not told:
        raise _nothing(asked, types, found[0], whom)
    show(
        style,
        told,
        head=(*_HEAD, "ttl"),
        row=lambda one: [one.name, one.type, one.data, str(one.ttl)],
        name=lambda one: one.data,
    )


@command.command("list")
@click.argument("pattern", default="*")
@master_option
@click.option(
    "--zone",
    default=dns_zone,
    envvar="OCICAT_DNS_ZONE",
    show_default=shared("dns.zone"),
    help="The domain of the names.",
)
@click.option("--rfc952", is_flag=True, help="Names of 24 characters at most, that begin with a letter.")
@format_option
def list_(pattern: str, master: str, zone: str, rfc952: bool, style: Format) -> None:
    """List the records that the tasks of a Mesos cluster have now; those whose names match PATTERN (* and ?).

    It asks the master, not a DNS server: nothing is left out for policy.

    \b
    Examples:
      ocicat dns list --master 10.0.0.1:5050
      ocicat dns list 'web.*' -o json
    """
    config = DnsConfig(listen=(), master=master, naming=naming(zone, rfc952=rfc952))
    book = Book(config.naming, config.ttl_s)
    cluster = asyncio.run(MasterClient(master).state())
    Names(book, config.listed_masters).hear(cluster, Change(complete=True, agents=True, frameworks=True), 0)
    told = sorted(_listed(book, pattern), key=lambda one: (one.name.split(".")[::-1], one.type, one.data))
    show(style, told, head=_HEAD, row=lambda one: [one.name, one.type, one.data], name=lambda one: one.name)


def _listed(book: Book, pattern: str) -> Iterator[Shown]:
    for entry in book.zone:
        name = names.text(entry.name)
        if fnmatchcase(name, pattern.lower().rstrip(".")):
            yield Shown(name, type_text(entry.type), data_text(entry.type, entry.data), book.ttl)


def _question(name: str, record_type: str) -> tuple[str, tuple[int, ...]]:
    """The name that is asked for, and the types."""
    usual: tuple[int, ...]
    try:
        name, usual = names.reverse(Addr.parse(name)), (Type.PTR,)
    except UserError:
        usual = (Type.SRV,) if name.startswith("_") else (Type.A, Type.AAAA)
    return name, (parse_type(record_type),) if record_type else usual


def _first_server() -> Endpoint:
    lines = _RESOLV.read_text().splitlines() if _RESOLV.exists() else []
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    if not servers:
        raise UserError(f"no DNS server is named in {_RESOLV}", hint="say whom to ask: --server ADDRESS[:PORT]")
    return endpoint("nameserver", servers[0])


def _records(message: Message) -> Iterator[Shown]:
    for one in message.answers:
        yield Shown(names.text(one.name), type_text(one.type), data_text(one.type, one.data), one.ttl)


def _nothing(name: str, types: tuple[int, ...], said: Message, server: Endpoint) -> OcicatError:
    match said.rcode:
        case Rcode.NXDOMAIN:
            return NotFound(f"there is no name {name}, says {server}")
        case Rcode.NOERROR:
            wanted = " and no ".join(map(type_text, types))
            return NotFound(f"{name} has no {wanted} record, says {server}")
        case Rcode.SERVFAIL:
            return Unavailable(f"{server} cannot say now what {name} is", hint="its log tells why, or its upstream's")
        case Rcode.REFUSED:
            hint = "it answers for its own zone; other names only with --dns-upstream, and only to its cluster"
            return Refused(f"{server} refuses to say what {name} is", hint=hint)
        case _:
            return Refused(f"{server} answers code {said.rcode} to {name}")
