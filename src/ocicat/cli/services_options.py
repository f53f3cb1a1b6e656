"""Arguments that the commands of `ocicat services` have in common."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import cast

import click

from ocicat.errors import NotFound, UserError
from ocicat.services import network, setup
from ocicat.services.spec import SERVICES, Member, Service, ServiceName, check_name, own_member, parse_members

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would change, as a unified diff, and change nothing."
)
which_argument = click.argument(
    "which", metavar="zookeeper|etcd...", nargs=-1, required=True, type=click.Choice(SERVICES)
)
one_argument = click.argument("which", metavar="zookeeper|etcd", type=click.Choice(SERVICES))
some_argument = click.argument("which", metavar="[zookeeper|etcd...]", nargs=-1, type=click.Choice(SERVICES))


def named(which: Sequence[str]) -> tuple[ServiceName, ...]:
    """Each once, ZooKeeper first."""
    return tuple(name for name in SERVICES if name in which)


def known(which: Sequence[str]) -> list[Service]:
    """Those asked for; all that are set up here when none is. NotFound when one is not, or none is."""
    if which:
        return [setup.load(name) for name in named(which)]
    found = [service for name in SERVICES if (service := setup.find(name))]
    if not found:
        raise NotFound("no service is set up on this host", hint="ocicat services up zookeeper etcd")
    return found


def members(text: str, name: str) -> tuple[tuple[Member, ...], str]:
    """The members, and which of them is this host."""
    host = socket.gethostname()
    found = parse_members(text) if text else (Member(check_name(name or host), "127.0.0.1"),)
    local = [one.address for one in found if network.is_local(one.address)]
    return found, own_member(found, given=name, host=host, local=local)


def need_root() -> None:
    if os.geteuid() != 0:
        raise UserError("services are set up and looked after by root", hint="run it with sudo")


def name_of(which: str) -> ServiceName:
    return cast("ServiceName", which)
