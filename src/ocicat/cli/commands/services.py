"""`ocicat services`: ZooKeeper and etcd on this host, as members of a cluster or alone."""

from __future__ import annotations

import click

from ocicat.cli.commands.services_backup import backup, restore
from ocicat.cli.commands.services_health import health, status
from ocicat.cli.commands.services_up import down, up
from ocicat.cli.commands.services_upgrade import start, stop, upgrade


@click.group()
def command() -> None:
    """ZooKeeper and etcd: set up on each host by the same command, looked after, saved, upgraded, removed.

    See docs/services.md; for certificates, `ocicat pki`.
    """


for subcommand in (up, status, health, down, backup, restore, upgrade, start, stop):
    command.add_command(subcommand)
