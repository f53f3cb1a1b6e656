"""`ocicat store migrate`: the content of the datastore, made what this version of ocicat, or an earlier one, expects."""

from __future__ import annotations

import click

from ocicat.agent.presence import Presence
from ocicat.cli.commands.store_status import connected, hosts_of
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.talk import say
from ocicat.errors import Refused
from ocicat.resources import Author
from ocicat.store.base import Datastore, Put
from ocicat.store.schema.mark import parse
from ocicat.store.schema.migrate import Plan, plan
from ocicat.store.schema.migrate import migrate as run
from ocicat.store.schema.steps import CURRENT


@click.command()
@click.option("--to", default=str(CURRENT), show_default=True, metavar="MAJOR.MINOR", help="The schema to reach.")
@click.option("--dry-run", is_flag=True, help="Tell what would be written, key by key, and write nothing.")
@store_option
def migrate(to: str, dry_run: bool, store: str) -> None:
    """Bring the datastore to the schema of this version, or back to an earlier one.

    Agents go on meanwhile, and so do their containers. A step of the major number locks the datastore while it runs, and is refused
    as long as agents are connected that do not know it. Cut off anywhere, the same command goes on.

    \b
    Examples:
      ocicat store migrate --dry-run
      ocicat store migrate
      ocicat store migrate --to 1.0
    """
    target = parse(to)

    async def migrated(opened: Datastore) -> Plan:
        found = await plan(opened, target, now=_now())
        _refuse_agents(found, await connected(opened))
        return found if dry_run else await run(opened, target, now=_now)

    done = with_store(store, migrated, any_schema=True)
    if dry_run:
        for line in _lines(done):
            click.echo(line)
    _tell(done, dry_run=dry_run)


def _refuse_agents(found: Plan, agents: list[Presence]) -> None:
    """One that reads what it does not understand may cut off its containers."""
    if old := [one for one in agents if one.schema < found.after.major]:
        raise Refused(
            f"the agents on {hosts_of(old)} do not know schema {found.after}",
            hint="upgrade them first: docs/upgrade.md",
        )


def _lines(found: Plan) -> list[str]:
    """A line for each key that is written, below the step that writes it."""
    lines = []
    for part in found.parts:
        lines.append(f"# {'back from ' if found.back else ''}{part.step.to}: {part.step.about}")
        lines += [f"{'~' if isinstance(one, Put) else '-'} {one.key}" for one in part.operations]
    return lines


def _tell(done: Plan, *, dry_run: bool) -> None:
    count = sum(len(part.operations) for part in done.parts)
    objects = "1 object" if count == 1 else f"{count} objects"
    if done.nothing:
        say(f"nothing to do: the datastore has schema {done.after}")
    elif dry_run:
        say(f"schema {done.before} would become {done.after}: {objects} would change; nothing was written")
    else:
        say(f"schema {done.before} to {done.after}: {objects} changed; everything was read again")


def _now() -> str:
    return Author().origin().created
