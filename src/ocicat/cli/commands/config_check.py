"""`ocicat config check`: everything that is wrong with the settings of this host, at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from ocicat.agent.settings import agent_config
from ocicat.cli.configured import Read
from ocicat.cli.inforce import in_force, of_file
from ocicat.cli.output import Format, format_option, show
from ocicat.cli.talk import say
from ocicat.errors import OcicatError, UserError
from ocicat.settings import checks
from ocicat.settings.reading import facts
from ocicat.settings.secrets import masked
from ocicat.settings.setting import Fault
from ocicat.store.etcd.address import read_address

_ETCD = "etcd://"


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@format_option
def check(file: str | None, style: Format) -> None:
    """Tell everything that is wrong with the settings, each with its place and what to do, and exit with 1 if there is anything.

    With FILE: with that file alone. Without: with what an agent started here would read; where one runs, with its options and
    variables.

    \b
    Examples:
      ocicat config check
      ocicat config check /etc/ocicat/ocicat.toml
    """
    try:
        found = of_file(file) if file else in_force("").read
        faults = sorted(dict.fromkeys(_faults(found)), key=_place)
    except UserError as error:  # no TOML at all
        faults = [Fault("", "", error.message, error.hint)]
    if style in ("table", "wide"):
        for one in faults:
            click.echo(str(one) + (f"\n  {masked(one.hint)}" if one.hint else ""))
    else:
        shown = [Fault(one.where, one.key, masked(one.problem), masked(one.hint)) for one in faults]
        show(style, shown, head=(), row=lambda _: (), name=lambda one: one.key or one.where)
    if faults:
        sys.exit(1)
    say("nothing is wrong")


def _place(fault: Fault) -> tuple[str, int]:
    path, _, line = fault.where.rpartition(":")
    return (path, int(line)) if line.isdigit() else (fault.where, 0)


def _faults(found: Read) -> Iterator[Fault]:
    yield from found.faults
    yield from found.unknown
    wrong = {one.key for one in found.faults}
    yield from (one for one in agent_config(found.resolved, found.path).faults if one.key not in wrong)
    yield from _store_faults(found)
    file = facts(found.path, found.place)
    if file:
        yield from checks.file_faults(file, found.resolved, user=os.geteuid())
    for key, path in checks.secret_files(found.resolved):
        yield from checks.secret_faults(key, found.resolved.where(key), path, facts(path, found.place))


def _store_faults(found: Read) -> Iterator[Fault]:
    """Of the files that its address names; what is wrong with its words is among the agent's."""
    url, where = found.resolved.text("store.url"), found.resolved.where("store.url")
    if not url.startswith(_ETCD):
        return
    try:
        read_address(url)
    except OcicatError as error:
        yield Fault(where, "store.url", error.message, error.hint)
