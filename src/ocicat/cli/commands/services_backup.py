"""`ocicat services backup` and `restore`: copies of what a service knows, verified, and a cluster made of one."""

from __future__ import annotations

from pathlib import Path

import click

from ocicat.cli.output import Format, format_option, show
from ocicat.cli.services_options import name_of, need_root, one_argument
from ocicat.cli.talk import say
from ocicat.errors import Refused
from ocicat.services import data, etcd_backup, health, running, setup, zookeeper_backup
from ocicat.services.copies import Copy, readable
from ocicat.services.spec import Service


@click.command()
@one_argument
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--verify/--no-verify", default=True, help="Start a server on the copy, and compare.  [default: verify]")
@format_option
def backup(which: str, file: Path, verify: bool, style: Format) -> None:
    """Copy what the member on this host knows into FILE, while it runs. The file is there when the copy was verified.

    It holds everything, passwords of etcd's users as hashes too: it is readable by its owner alone.

    \b
    Examples:
      ocicat services backup etcd /var/backups/etcd.db
      ocicat services backup zookeeper /var/backups/zookeeper.tar.gz
    """
    need_root()
    service = setup.load(name_of(which))
    module = etcd_backup if service.service == "etcd" else zookeeper_backup
    made = module.backup(service, file.absolute(), verify=verify)
    show(style, [made], head=_HEAD, row=_row, name=lambda one: one.file)
    if made.is_verified:
        say("verified: a server was started on the copy, and knows what this one knows")


@click.command()
@one_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Though there is data: it is moved aside.")
@click.option("--dry-run", is_flag=True, help="Check the copy, say what would be done, and change nothing.")
def restore(which: str, file: Path, force: bool, dry_run: bool) -> None:
    """Make the data of this host's member of a copy. The service has to be stopped, on the hosts of all its members.

    Do it on each of them, with the same file, and start them then. Data that is there is moved aside, never removed.

    \b
    Example:
      ocicat services stop etcd --force
      ocicat services restore etcd /var/backups/etcd.db --force
      ocicat services start etcd
    """
    need_root()
    service, source = setup.load(name_of(which)), readable(file)
    _check(service, force=force)
    if dry_run:
        _verify(service, source)
        say(
            f"would make {service.data} of it"
            + (", and move what is there aside" if data.holds_something(service) else "")
        )
        return
    aside = _restore(service, source)
    if aside:
        say(f"what was there is in {aside}")
    click.echo(service.data)
    say(f"do the same on the hosts of all members, then: ocicat services start {service.service}")


def _check(service: Service, *, force: bool) -> None:
    if running.look(service).is_running:
        raise Refused(
            f"{service.service} runs on this host",
            hint=f"ocicat services stop {service.service} --force, on every member's",
        )
    serving = [one.name for one in service.members if not health.ask(service, one).problem]
    if serving:
        raise Refused(
            f"{service.service} still serves on {', '.join(serving)}: what is restored here would be lost, or nobody's",
            hint="stop every member first",
        )
    if data.holds_something(service) and not force:
        raise Refused(f"{service.data} holds data", hint="--force moves it aside")


def _verify(service: Service, source: Path) -> None:
    if service.service == "etcd":
        found = etcd_backup.content_of(service, source)
        say(f"{source}: revision {found.revision}, {found.keys} keys, digest {found.digest[:16]}")
    else:
        status = zookeeper_backup.content_of(service, source)
        say(f"{source}: transaction {status.zxid:#x}, {status.nodes} nodes")


def _restore(service: Service, source: Path) -> Path | None:
    """Where the former data is. When the copy is no copy, that is where it was."""
    aside = data.move_aside(service)
    try:
        made = data.fresh(service)
        if service.service == "etcd":
            etcd_backup.restore(service, source, made)
        else:
            zookeeper_backup.restore(source, made)
        data.take_in(service, made)
    except BaseException:  # also Ctrl-C: nobody would be told where the data is
        data.put_back(service, aside)
        raise
    data.make(service)
    return aside


_HEAD = ("service", "member", "file", "size", "revision", "keys", "digest", "verified")


def _row(one: Copy) -> tuple[str, ...]:
    figures = (
        (str(one.size_bytes), str(one.revision), str(one.keys)) if one.is_verified else (str(one.size_bytes), "-", "-")
    )
    return (one.service, one.member, one.file, *figures, one.digest[:16] or "-", "yes" if one.is_verified else "no")
