"""`ocicat services upgrade`, `start` and `stop`: this host's member, for as long as the others carry the cluster."""

from __future__ import annotations

import click

from ocicat.changes import record
from ocicat.cli.services_options import (
    Seconds,
    await_all,
    dry_run_option,
    known,
    name_of,
    need_root,
    one_argument,
    patience,
    patience_options,
    which_argument,
)
from ocicat.cli.talk import say
from ocicat.clock import SystemClock
from ocicat.services import running, setup
from ocicat.services import upgrade as engine

_WAIT_S = 120.0


@click.command()
@one_argument
@click.option("--program", default="", help="Another etcd. [default: the same, as it is installed now]")
@click.option("--image", default="", help="Another image, with docker.")
@click.option("--force", is_flag=True, help="Though the service has one member, and serves nobody meanwhile.")
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(),
    default=_WAIT_S,
    show_default=True,
    help="Seconds until it has to serve.",
)
@dry_run_option
def upgrade(which: str, program: str, image: str, force: bool, wait_s: float, dry_run: bool) -> None:
    """Restart this host's member with another program or image, or with the packages that are installed now; its data stays.

    Refused when the others could not go on without it. When the new one does not serve, the old one comes back.
    One member after the other; see docs/services.md for the order with Debian's packages.

    \b
    Examples:
      ocicat services upgrade etcd --program /opt/etcd-3.5/etcd --dry-run
      ocicat services upgrade zookeeper
    """
    need_root()
    old = setup.load(name_of(which))
    new = engine.planned(old, program, image)
    if not dry_run:
        running.fetch_image(new, say)
    facts = engine.check(old, new, force=force)
    if dry_run:
        click.echo(record.diff(setup.changes(new)), nl=False)
        if not running.has_image(new):
            say(f"would fetch {new.image} first; whether its version may follow is seen then")
        say(f"would restart {old.service} {old.me}; the others carry the cluster meanwhile")
        return
    done = engine.upgrade(old, new, facts, SystemClock(), wait_s)
    if done.handed_to:
        say(f"{done.handed_to} was made the leader first")
    say(f"{old.service} {old.me} serves again: {done.before}, now {done.after}")
    click.echo(done.after)


@click.command()
@which_argument
@patience_options
def start(which: tuple[str, ...], wait_s: float | None, no_wait: bool) -> None:
    """Start what was set up on this host and is stopped, and wait until it serves: for a majority of the members, as `up` does.

    \b
    Example:
      ocicat services start etcd
    """
    need_root()
    asked, found = patience(wait_s, no_wait), known(which)
    for service in found:
        if not running.look(service).is_running:
            running.stop(service)
            running.start(service)
    await_all(found, asked, lambda service: say(f"{service.service} {service.me} serves"))


@click.command()
@which_argument
@click.option("--force", is_flag=True, help="Though the others cannot go on without it.")
def stop(which: tuple[str, ...], force: bool) -> None:
    """Stop this host's member until it is started again. Refused when the others could not go on without it.

    \b
    Example:
      ocicat services stop zookeeper
    """
    need_root()
    for service in known(which):
        if not force:
            engine.check_stop(service)
        running.stop(service)
        say(f"{service.service} {service.me} is stopped")
