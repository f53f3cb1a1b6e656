"""`ocicat mesos install`, `check` and `uninstall`: a host's Mesos agent, made to use ocicat."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from ocicat.changes import record
from ocicat.changes.files import Tree
from ocicat.changes.record import Change
from ocicat.cli.findings import tell
from ocicat.cli.output import Format, format_option
from ocicat.cli.talk import say
from ocicat.cni.config import NAME
from ocicat.cni.install import NETMODULES, NETMODULES_PLUGIN, check_socket, executable
from ocicat.cni.relay import DEFAULT_SOCKET, LINK, PLUGIN
from ocicat.cni.spec import DEFAULT_VERSION
from ocicat.errors import OcicatError, Refused, UserError
from ocicat.mesos.netmodules.modules import LIBRARY
from ocicat.mesos.setup import facts, findings, places, plan, version
from ocicat.mesos.setup.places import Place
from ocicat.mesos.setup.version import Version

OWNER = "mesos install"
_PROGRAMS = ("mesos-agent", "mesos-slave")
_PRINT_S = 20.0
_LONGEST_NAME = 200  # of a network: a file's name has 255 bytes, and a new file's is longer until it is whole
_NAMES = facts.Names(PLUGIN, NETMODULES, LINK, str(DEFAULT_SOCKET))

_root = click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default="/", help="Of another file system."
)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what would change, as a unified diff, and change nothing."
)
_version = click.option(
    "--mesos-version", default="", help="[default: what the Mesos agent, or its program, says of itself]"
)


def attach(group: click.Group) -> None:
    """To `ocicat mesos`."""
    for command in (install, check, uninstall):
        group.add_command(command)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    return _root(_version(command))


@click.command()
@click.option("--network", default=PLUGIN, show_default=True, help="Name of the network; made unless there is one.")
@click.option("--default-network", default="", help="For tasks that say nothing of their container.")
@click.option("--socket", default=str(DEFAULT_SOCKET), show_default=True, help="Where the ocicat agent listens.")
@click.option("--library", default=LIBRARY, show_default=True, help="The network isolator module, before Mesos 1.0.")
@_shared
@_dry_run
def install(
    network: str, default_network: str, socket: str, library: str, root: Path, mesos_version: str, dry_run: bool
) -> None:
    """Make this host's Mesos agent use ocicat: the plugin, a network, and the flags, where this host keeps them.

    What was there before is recorded, and `ocicat mesos uninstall` restores it. See docs/mesos-install.md.

    \b
    Examples:
      ocicat mesos install --dry-run
      ocicat mesos install --default-network ocicat
    """
    check_socket(Path(socket))
    _check_network(network)
    tree = Tree(root, OWNER)
    found = _version_of(tree, mesos_version, _ask(tree))
    planned = plan.planned(tree, _asked(found, network, default_network, socket, library))
    known = record.load(tree)
    if dry_run:
        click.echo(record.diff(record.changes(tree, known, planned.items), tree), nl=False)
    else:
        _tell(record.install(tree, known, planned.items), planned.place)
    for remark in planned.remarks:
        say(remark)


@click.command()
@_shared
@format_option
def check(root: Path, mesos_version: str, style: Format) -> None:
    """Find what would go wrong for tasks on this host, and say how to mend it. The exit code is 1 when there is something.

    \b
    Example:
      ocicat mesos check -o json
    """
    tree = Tree(root, OWNER)
    running = _ask(tree)
    found = findings.findings(facts.look(tree, _version_of(tree, mesos_version, running), _NAMES, running), _NAMES)
    tell(found, style)


@click.command()
@_root
@_dry_run
def uninstall(root: Path, dry_run: bool) -> None:
    """Restore what was there before `ocicat mesos install`, except for what somebody has edited since.

    \b
    Example:
      ocicat mesos uninstall --dry-run
    """
    tree = Tree(root, OWNER)
    known = record.load(tree)
    if dry_run:
        planned, edited = record.removals(tree, known)
        click.echo(record.diff(planned, tree), nl=False)
    else:
        planned, edited = record.uninstall(tree, known)
        _tell(planned, places.restarted(tree))
    if edited:
        raise Refused(
            f"edited since it was installed, and left as it is: {', '.join(edited)}",
            hint="put back what was installed, or remove it, and uninstall again",
        )


def _check_network(name: str) -> None:
    """It becomes the name of a file, too."""
    if not NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise UserError(
            f"--network {name!r} is no name of a network",
            hint=f"letters, digits, and _ . - after the first; {_LONGEST_NAME} at most",
        )


def _asked(found: Version, network: str, default_network: str, socket: str, library: str) -> plan.Asked:
    """The plugin is the one that this version of Mesos runs."""
    return plan.Asked(
        version=found,
        network=network,
        plugin_name=PLUGIN if found.runs_plugins else NETMODULES,
        plugin=executable() if found.runs_plugins else NETMODULES_PLUGIN.read_bytes(),
        cni_version=DEFAULT_VERSION,
        library=library,
        default_network=default_network,
        socket="" if socket == str(DEFAULT_SOCKET) else socket,
        socket_link=LINK,
    )


def _ask(tree: Tree) -> facts.Running | None:
    """The Mesos agent of this host; none runs in another root."""
    if tree.root != Path("/"):
        return None
    try:
        return asyncio.run(facts.ask(facts.endpoint(places.settings(tree, places.unit(tree)))))
    except OcicatError as error:
        say(f"the Mesos agent was not asked: {error.message}")
        return None


def _version_of(tree: Tree, given: str, running: facts.Running | None) -> Version:
    return version.parse(given or facts.version_of(running, _printed() if tree.root == Path("/") else ""))


def _printed() -> str:
    for program in _PROGRAMS:
        try:
            done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_PRINT_S, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout
    return ""


def _tell(done: Iterable[Change], place: Place | None) -> None:
    paths = [change.path for change in done]
    for path in paths:
        click.echo(path)
    if not paths:
        say("nothing to change")
    elif place:
        reload = "systemctl daemon-reload && " if place.kind == "drop-in" else ""
        say(f"restart the Mesos agent: {reload}systemctl restart {place.service}")
