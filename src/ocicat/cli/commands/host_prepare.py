"""`ocicat host prepare`, `confirm` and `undo`: this host made fit, and put back."""

from __future__ import annotations

import select
import sys
import termios
from contextlib import suppress
from pathlib import Path

import click

from ocicat.changes.files import Tree
from ocicat.cli import hosting
from ocicat.cli.talk import say
from ocicat.errors import Refused
from ocicat.host import prepare as host
from ocicat.host.changing.find import finder
from ocicat.host.prepare import Changes
from ocicat.host.preparing import clock, everything
from ocicat.host.preparing.everything import Options, Plan
from ocicat.host.roles import Role, Routing

_CONFIRM_S = 60
_LOOK_S = 0.2

_dry_run = click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")


def attach(group: click.Group) -> None:
    """To `ocicat host`."""
    for command in (prepare, confirm, undo):
        group.add_command(command)


@click.command()
@hosting.host_options
@click.option("--hostname", "host_name", default="", metavar="NAME", help="Call this host NAME from now on.")
@click.option("--remove-leftovers", is_flag=True, help="Remove what Calico and BIRD have left, where they do not run.")
@click.option("--set-clock", is_flag=True, help="Put the clock to where most peers are, at once. Not undone.")
@click.option(
    "--confirm",
    "confirm_s",
    type=click.IntRange(0, 3600),
    metavar="SECONDS",
    help=f"Take all of it back unless it is confirmed within that time. [default: {_CONFIRM_S} for whoever is here over ssh, where"
    " firewalls or links change; else 0: not at all]",
)
@_dry_run
def prepare(
    roles: tuple[Role, ...],
    peers: tuple[str, ...],
    routings: tuple[Routing, ...],
    port_names: tuple[str, ...],
    mtu: int,
    containers: int,
    ipv6: bool,
    host_name: str,
    remove_leftovers: bool,
    set_clock: bool,
    confirm_s: int | None,
    dry_run: bool,
) -> None:
    """Mend what `ocicat host check` finds, as far as a program may, and let the cluster through this host's firewall.

    What changes is printed first. It is recorded, and `ocicat host undo` takes it back. See docs/host-prepare.md.

    \b
    Examples:
      ocicat host prepare --role agent --peer m1=10.0.0.5/master,services --dry-run
      ocicat host prepare --role agent --routing vxlan --peer m1=10.0.0.5/master --peer h2=10.0.0.12
      ocicat host prepare --role master --hostname m2.example.com --confirm 120
    """
    hosting.need_root()
    tree = Tree(Path("/"), host.OWNER)
    asked = hosting.asked(roles, peers, routings, port_names, mtu, containers, ipv6)
    plan = everything.plan(tree, asked, Options(host_name, remove_leftovers))
    changes = host.changes(tree, finder(tree), plan.planned)
    click.echo(host.diff(changes, tree), nl=False)
    step_s = plan.step_s if set_clock else 0.0
    _remark(plan, step_s)
    if dry_run:
        return
    limit_s = _limit_s(plan, changes) if confirm_s is None else confirm_s
    made = host.apply(tree, finder(tree), plan.planned, limit_s)
    if step_s:
        clock.step(step_s)
    waiting = host.journal(tree)
    if limit_s and (made or waiting):  # also for what an interrupted run has changed, if nothing now
        _wait(tree, plan, waiting.changes if waiting else made, limit_s)
    elif not made and not step_s:
        say("nothing to change")


@click.command()
def confirm() -> None:
    """Keep what `ocicat host prepare` has changed last, and is about to take back.

    \b
    Example:
      ocicat host confirm
    """
    hosting.need_root()
    host.confirm(Tree(Path("/"), host.OWNER))
    say("confirmed")


@click.command()
@_dry_run
def undo(dry_run: bool) -> None:
    """Put back what was there before `ocicat host prepare`, except for what somebody has changed since.

    \b
    Example:
      ocicat host undo --dry-run
    """
    hosting.need_root()
    tree = Tree(Path("/"), host.OWNER)
    find = finder(tree)
    found = host.removals(tree, find)
    click.echo(host.diff(found.made, tree), nl=False)
    if not dry_run:
        found = host.undo(tree, find)
        if not found.made and not found.failed:
            say("nothing to change")
    for one in found.failed:
        say(f"not put back: {one}")
    if found.left:
        raise Refused(
            f"changed since it was prepared, and left as it is: {', '.join(found.left)}",
            hint="put back what was prepared, or see to it yourself, and undo again",
        )
    if found.failed:
        raise Refused(
            "some of it cannot be put back, and stays recorded", hint="mend what is said above, and undo again"
        )


def _remark(plan: Plan, step_s: float) -> None:
    for remark in plan.planned.remarks:
        say(remark)
    for one in plan.sessions:
        say(f"the ssh session from {one.peer} at port {one.port} stays open")
    if step_s:
        say(f"the clock is put {'forward' if step_s > 0 else 'back'} by {abs(step_s):.1f} s")
    elif plan.step_s:
        say(f"the clock is {abs(plan.step_s):.1f} s from that of most peers: give --set-clock to have it put there")
    for finding in plan.left:
        say(f"not mended: {finding.about}: {finding.problem}", hint=f"mend: {finding.mend}")


def _limit_s(plan: Plan, changes: Changes) -> float:
    risky = everything.may_cut_off([*(one.name for one in changes.settings), *(one.path for one in changes.files)])
    return _CONFIRM_S if plan.sessions and risky else 0


def _wait(tree: Tree, plan: Plan, made: Changes, limit_s: float) -> None:
    """For Enter on a terminal. Refused: it has gone back, or will."""
    if not sys.stdin.isatty():
        say(f"run `ocicat host confirm` within {limit_s:g} s, or all of it is taken back")
        return
    with suppress(OSError, termios.error):  # what was typed before this was asked is no answer to it
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    say(f"press Enter within {limit_s:g} s to keep it, or all of it is taken back")
    while host.waits(host.journal(tree)):
        if select.select([sys.stdin], [], [], _LOOK_S)[0]:
            if not _is_entered():
                raise Refused(
                    "the terminal has gone: it is not confirmed, and will be taken back",
                    hint=f"ocicat host confirm within {limit_s:g} s from another terminal keeps it",
                )
            host.confirm(tree)
            say("confirmed")
            return
    if host.journal(tree):
        raise Refused(
            "what would have taken it back has ended: it is neither confirmed nor taken back",
            hint="ocicat host prepare again, or ocicat host undo",
        )
    _tell_end(tree, plan, made)


def _is_entered() -> bool:
    """A line with its end: a terminal that hangs up is ready to be read too, and says nothing."""
    try:
        return sys.stdin.readline().endswith("\n")
    except OSError:
        return False


def _tell_end(tree: Tree, plan: Plan, made: Changes) -> None:
    """Somebody else has confirmed it; or Refused."""
    again = host.changes(tree, finder(tree), plan.planned)
    if not again:
        return
    left = host.still(tree, finder(tree), plan.planned, made)
    if left:
        raise Refused(
            f"not confirmed: it was taken back, except for {', '.join(left)}", hint="ocicat host undo says why"
        )
    raise Refused("not confirmed: all of it was taken back")
