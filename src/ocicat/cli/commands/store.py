"""`ocicat store`: the datastore itself. Its state, its lock and its history here; the rest in `store_init` and `store_transfer`."""

from __future__ import annotations

import click

from ocicat.agent.presence import Presence
from ocicat.cli.commands.store_init import init, new_information
from ocicat.cli.commands.store_migrate import migrate
from ocicat.cli.commands.store_status import connected, hosts_of, status
from ocicat.cli.commands.store_transfer import copy, export, import_
from ocicat.cli.opening import store_option, with_store
from ocicat.errors import UserError
from ocicat.store.base import Datastore
from ocicat.store.transfer.lock import set_ready

KEPT = 1000
"""Revisions of history that `compact` leaves when nothing else is said."""


@click.group()
def command() -> None:
    """The datastore: make it ready, look at it, lock it, save it, carry it elsewhere."""


@command.command()
@store_option
def lock(store: str) -> None:
    """Stop allocations: no new container gets an address until `ocicat store unlock`. What runs goes on.

    Addresses of containers that end meanwhile become free when the datastore is unlocked.

    \b
    Example:
      ocicat store lock
    """

    async def locked(opened: Datastore) -> tuple[bool, list[Presence]]:
        return await set_ready(opened, ready=False, new=new_information()), await connected(opened)

    changed, agents = with_store(store, locked)
    click.echo(f"the datastore {'is locked' if changed else 'was locked already'}", err=True)
    if agents:
        click.echo(f"no new container gets an address on {hosts_of(agents)}", err=True)


@command.command()
@store_option
def unlock(store: str) -> None:
    """Allow allocations again.

    A datastore that a transfer has not finished filling stays locked: let the transfer go on.

    \b
    Example:
      ocicat store unlock
    """
    changed = with_store(store, lambda opened: set_ready(opened, ready=True))
    click.echo(f"the datastore {'is unlocked' if changed else 'was not locked'}", err=True)


@command.command()
@click.option("--keep", type=click.IntRange(1), help=f"How many of the last revisions stay. [default: {KEPT}]")
@click.option("--revision", type=click.IntRange(1), help="The last revision that is forgotten.")
@store_option
def compact(keep: int | None, revision: int | None, store: str) -> None:
    """Forget old revisions. What is stored now stays; a watch that is further behind reads everything anew.

    etcd gives the room back to its disk when it is defragmented: etcdctl defrag, one member after the other. The embedded
    store forgets by itself, and uses its room again.

    \b
    Example:
      ocicat store compact --keep 500
    """
    if keep is not None and revision is not None:
        raise UserError("--keep and --revision: give one of them")

    async def run(opened: Datastore) -> tuple[int, int, int]:
        before = await opened.status()
        last = before.revision - (keep or KEPT) if revision is None else revision
        if last > before.compacted:
            await opened.compact(last)
        return before.revision, before.compacted, max(last, before.compacted)

    present, old, new = with_store(store, run)
    if new > old:
        click.echo(f"history is kept from revision {new + 1} to {present}; it was from {old + 1}", err=True)
    else:
        click.echo(f"nothing to forget: history is kept from revision {old + 1} to {present}", err=True)


for subcommand in (init, status, export, import_, copy, migrate):
    command.add_command(subcommand)
