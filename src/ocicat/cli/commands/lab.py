"""`ocicat lab`: a cluster of network namespaces with the real Mesos, to try and to test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import click

from ocicat.cli.output import table
from ocicat.lab import lab as labs
from ocicat.lab.lab import Lab
from ocicat.lab.progress import Progress
from ocicat.lab.requirements import default_directory
from ocicat.lab.spec import LabSpec
from ocicat.lab.status import ProcessStatus, Status
from ocicat.model.base import replace
from ocicat.model.codec import pretty_json

F = TypeVar("F", bound=Callable[..., object])

_DEFAULTS = LabSpec()


def which(function: F) -> F:
    """The options that say which lab is meant."""
    name = click.option("--name", default=_DEFAULTS.name, show_default=True, help="Name of the lab.")
    directory = click.option("--dir", "directory", default="", help="Its directory. [default: /run/ocicat/NAME]")
    return name(directory(function))


def _path(name: str, directory: str) -> Path:
    return Path(directory).absolute() if directory else default_directory(name)


def _open(name: str, directory: str) -> Lab:
    return Lab.open(_path(name, directory))


def _talk(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def command() -> None:
    """A cluster of network namespaces with the real Mesos, to try and to test. Needs root."""


@command.command()
@click.option("--hosts", default=_DEFAULTS.hosts, show_default=True, help="How many hosts.")
@click.option("--pool", default=_DEFAULTS.pool, show_default=True, help="Addresses for containers.")
@click.option("--pool6", default="", help="The same of IPv6, as fd77::/64. [default: a lab without IPv6]")
@click.option("--block-size", default=_DEFAULTS.block_size, show_default=True, help="Prefix length of a host's blocks.")
@click.option(
    "--masters", default=_DEFAULTS.masters, show_default=True, help="How many Mesos masters; the leader is elected."
)
@click.option(
    "--zookeepers", default=0, help="How many ZooKeeper servers. [default: 1 with several masters, else none]"
)
@which
def up(
    hosts: int, pool: str, pool6: str, block_size: int, masters: int, zookeepers: int, name: str, directory: str
) -> None:
    """Start a lab; return when everything in it is ready.

    \b
    Example:
      ocicat lab up --hosts 2
      ocicat lab exec master -- ocicat run --network ocicat --group a -- sleep 100
      ocicat lab down
      ocicat lab up --masters 3 --zookeepers 3
    """
    spec = LabSpec(
        hosts=hosts,
        pool=pool,
        pool6=pool6,
        block_size=block_size,
        masters=masters,
        zookeepers=zookeepers,
        name=name,
        directory=directory,
    )
    Lab.up(spec, Progress())


@command.command()
@click.option("-o", "--output", "style", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@which
def status(style: Literal["table", "json"], name: str, directory: str) -> None:
    """Hosts and processes, and which master leads. Exit status 1 when a process is not running, 5 when there is no lab."""
    lab = _open(name, directory)
    found = replace(lab.status(), leader=lab.leader())
    click.echo(pretty_json(found) if style == "json" else _table(found) + "\n", nl=False)
    if not found.up:
        sys.exit(1)


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("host")
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@which
def execute(host: str, command_line: tuple[str, ...], name: str, directory: str) -> None:
    """Run COMMAND in the network namespace of HOST (h1, h2, ... or master), with its exit status.

    OCICAT_STORE and OCICAT_MASTER are set, so that ocicat's own commands are about this lab.
    """
    found = _open(name, directory)
    line = [*found.enter(host), *command_line]
    os.execvpe(line[0], line, {**os.environ, **found.environment()})


@command.command()
@click.argument("process")
@click.option("-n", "lines", default=50, show_default=True, help="How many lines, from the end.")
@which
def logs(process: str, lines: int, name: str, directory: str) -> None:
    """The log of PROCESS (zk1, master, mesos-h1, agent-h1, ..., supervisor)."""
    click.echo(labs.tail(_open(name, directory).log(process), lines))


@command.command()
@click.argument("process")
@which
def stop(process: str, name: str, directory: str) -> None:
    """End PROCESS, and keep it down."""
    _open(name, directory).stop(process)


@command.command()
@click.argument("process")
@which
def start(process: str, name: str, directory: str) -> None:
    """Start PROCESS after a stop; return when it is ready."""
    _open(name, directory).start(process)


@command.command()
@click.argument("process")
@click.option("--kill", is_flag=True, help="End it with SIGKILL, as a crash would.")
@which
def restart(process: str, kill: bool, name: str, directory: str) -> None:
    """End PROCESS and start it again; return when it is ready."""
    _open(name, directory).restart(process, kill=kill)


@command.command()
@which
def down(name: str, directory: str) -> None:
    """Remove the lab and everything it made, also after a crash of any part of it."""
    labs.down(name, _path(name, directory), _talk)


def _table(found: Status) -> str:
    addresses = {host.name: host.address for host in found.hosts}
    rows = [_row(process, addresses.get(process.host, "")) for process in found.processes]
    text = table(("process", "host", "address", "state", "pid", "restarts", "uptime", "last exit", "log"), rows)
    return f"{text}\nleading master: {found.leader or 'none'}"


def _row(process: ProcessStatus, address: str) -> tuple[str, ...]:
    uptime = f"{process.uptime_s:.0f} s" if process.pid else "-"
    pid, restarts = str(process.pid or "-"), str(process.restarts)
    return (
        process.name,
        process.host or "-",
        address or "-",
        process.state,
        pid,
        restarts,
        uptime,
        process.last_exit or "-",
        process.log,
    )
