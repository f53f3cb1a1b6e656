"""`ocicat mesos`: a host's Mesos agent: set up, checked; and the single pieces that an old one needs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ocicat.cli.commands import mesos_setup
from ocicat.cli.talk import say
from ocicat.cni.install import NETMODULES, install_netmodules
from ocicat.cni.relay import DEFAULT_SOCKET
from ocicat.errors import UserError
from ocicat.mesos.netmodules.modules import HOOK, ISOLATOR, LIBRARY, modules

_DIRECTORY = "/opt/ocicat"


@click.group()
def command() -> None:
    """This host's Mesos agent: set it up for ocicat, check it, and undo that.

    The two others are for Mesos 0.24 to 0.28, piece by piece: the plugin of its network isolator module.
    """


mesos_setup.attach(command)


@command.command("install-plugin")
@click.argument("directory", default=_DIRECTORY)
@click.option(
    "--socket", default=str(DEFAULT_SOCKET), show_default=True, help="Where this host's ocicat agent listens."
)
def install_plugin(directory: str, socket: str) -> None:
    """Put the plugin into DIRECTORY (/opt/ocicat if not given), and print its path.

    \b
    Example:
      ocicat mesos install-plugin
    """
    click.echo(install_netmodules(Path(directory), Path(socket)))


@command.command("modules-json")
@click.option("--library", default=LIBRARY, show_default=True, help="The network isolator module.")
@click.option("--plugin", default=f"{_DIRECTORY}/{NETMODULES}", show_default=True, help="What install-plugin printed.")
def modules_json(library: str, plugin: str) -> None:
    """Print the file that --modules of mesos-slave names.

    \b
    Example:
      ocicat mesos modules-json > /etc/ocicat/modules.json
      mesos-slave --modules=file:///etc/ocicat/modules.json \\
        --isolation=com_mesosphere_mesos_NetworkIsolator --hooks=com_mesosphere_mesos_NetworkHook ...
    """
    for what, text in (("library", library), ("plugin", plugin)):
        if not text.startswith("/") or any(char.isspace() for char in text):
            raise UserError(f"--{what} {text!r}", hint="give an absolute path without blanks: it takes no arguments")
    click.echo(json.dumps(modules(library, plugin), indent=2))
    for text in (library, plugin):
        if not Path(text).exists():
            say(
                f"there is no {text} on this host: without it Mesos does not start, or loads the module and leaves it idle"
            )
    say(f"start mesos-slave with --isolation={ISOLATOR} and --hooks={HOOK}")
