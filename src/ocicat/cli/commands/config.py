"""`ocicat config`: the settings of this host: all there are, what is in force and who says so, what is wrong with them."""

from __future__ import annotations

import click

from ocicat.cli.commands.config_check import check
from ocicat.cli.commands.config_show import explain, show


@click.group()
def command() -> None:
    """Settings: the file with all of them, what is in force and who says so, what is wrong. See docs/configuration.md."""


@command.command()
def default() -> None:
    """Print the configuration file with every setting in it, as comments: what it does, its default, how else it is said.

    \b
    Example:
      ocicat config default
    """
    from ocicat.settings.document import default_file

    click.echo(default_file(), nl=False)


for subcommand in (show, explain, check):
    command.add_command(subcommand)
