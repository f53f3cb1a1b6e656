"""`ocicat app`: the applications that `ocicat run -f` has defined, and the process that keeps them running."""

from __future__ import annotations

import click

from ocicat.cli.applications import framework_option, keep_running
from ocicat.cli.defaults import master_option
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option, show
from ocicat.cli.talk import say
from ocicat.errors import NotFound, UserError
from ocicat.mesos.apps import wishes
from ocicat.mesos.apps.book import Contents, read_all
from ocicat.mesos.apps.leader import TTL_S
from ocicat.mesos.apps.records import Keys, StatusRecord, TaskRecord
from ocicat.mesos.apps.serve import Options
from ocicat.mesos.frameworks.application import absolute
from ocicat.model.base import replace


@click.group()
def command() -> None:
    """Applications that are kept running: list them, scale, restart, end them.

    `ocicat run -f FILE` defines applications. One process, `ocicat run -f FILE` itself or `ocicat app run`, keeps them running;
    the others wait to take over from it. What is asked here is written to the datastore, and that process does it.
    """


def _id(text: str) -> str:
    found = absolute(text, "/")
    if not found:
        raise UserError(f"{text!r} is no id of an application", hint="for example /shop/web")
    return found


def _contents(store: str, framework: str) -> Contents:
    return with_store(store, lambda opened: read_all(opened, Keys(framework), say))


@command.command("list")
@framework_option
@store_option
@format_option
def list_applications(framework: str, store: str, style: Format) -> None:
    """The applications, and how they are.

    \b
    Example:
      ocicat app list -o json
    """
    found = _contents(store, framework)
    known = found.statuses.keys() | found.wanted.keys()
    show(
        style,
        [_status(found, app_id) for app_id in sorted(known)],
        head=("app", "version", "ready", "wanted", "old", "waits"),
        row=lambda one: (one.app, one.version, str(one.ready), str(one.wanted), str(one.old), one.waits or "-"),
        name=lambda one: one.app,
    )
    if not found.leader:
        say("nobody keeps them running now", hint="start `ocicat app run`")


def _status(found: Contents, app_id: str) -> StatusRecord:
    """As its framework has written, but for the number that people have asked for since."""
    app = found.wanted.get(app_id)
    version, wanted = (app.version, app.instances) if app else ("", 0)
    status = found.statuses.get(app_id) or StatusRecord(app=app_id, version=version, wanted=wanted)
    return replace(status, wanted=wanted)


@command.command("show")
@click.argument("app_id", metavar="ID")
@framework_option
@store_option
@format_option
def show_application(app_id: str, framework: str, store: str, style: Format) -> None:
    """The instances of the application ID.

    \b
    Example:
      ocicat app show /shop/web
    """
    found, wanted = _contents(store, framework), _id(app_id)
    tasks = sorted((one for one in found.tasks.values() if one.app == wanted), key=lambda one: one.started)
    if not tasks and wanted not in found.wanted:
        raise NotFound(
            f"there is no application {wanted!r} in {framework}", hint="`ocicat app list` shows those there are"
        )
    show(
        style,
        tasks,
        head=("instance", "version", "state", "healthy", "host", "address"),
        row=_row,
        name=lambda one: one.task_id,
    )
    status = found.statuses.get(wanted)
    if status and status.last_failure:
        say(f"{wanted}: last failure: {status.last_failure}")


def _row(one: TaskRecord) -> tuple[str, ...]:
    healthy = "-" if one.healthy is None else "yes" if one.healthy else "no"
    host = one.place.get("hostname", "-")
    return (one.task_id, one.version, one.state.short, healthy, host, " ".join(one.addresses) or "-")


@command.command("run")
@master_option
@framework_option
@click.option("--role", default="*", show_default=True, help="Mesos role whose resources are used.")
@click.option("--user", default="root", show_default=True, help="User that commands run as.")
@click.option(
    "--lease",
    type=click.IntRange(min=1),
    default=TTL_S,
    show_default=True,
    help="Seconds after which another process may follow one that died.",
)
@store_option
def run(master: str, framework: str, role: str, user: str, lease: int, store: str) -> None:
    """Keep the applications running, until interrupted; their instances go on then.

    Several processes may do this: one does, the others wait. The next one takes over all instances as they are.

    \b
    Example:
      ocicat app run --master 10.0.0.1:5050 --store etcd://10.0.0.1:2379
    """
    keep_running(store, Options(master=master, name=framework, role=role, user=user, ttl_s=lease))


@command.command()
@click.argument("app_id", metavar="ID")
@click.argument("instances", type=click.IntRange(min=0))
@framework_option
@store_option
def scale(app_id: str, instances: int, framework: str, store: str) -> None:
    """Run so many INSTANCES of the application ID; 0 ends all and keeps the definition.

    \b
    Example:
      ocicat app scale /shop/web 5
    """
    wanted = _id(app_id)
    with_store(store, lambda opened: wishes.scale(opened, Keys(framework), wanted, instances))
    click.echo(f"{wanted}: {instances} instances are wanted")


@command.command()
@click.argument("app_id", metavar="ID")
@framework_option
@store_option
def restart(app_id: str, framework: str, store: str) -> None:
    """Replace all instances of the application ID, as its upgradeStrategy says.

    \b
    Example:
      ocicat app restart /shop/web
    """
    wanted = _id(app_id)
    app = with_store(store, lambda opened: wishes.restart(opened, Keys(framework), wanted))
    click.echo(f"{wanted}: every instance is replaced by one of version {app.version}")


@command.command()
@click.argument("task_id", metavar="INSTANCE")
@framework_option
@store_option
def kill(task_id: str, framework: str, store: str) -> None:
    """End one INSTANCE; another takes its place.

    \b
    Example:
      ocicat app kill web.shop.0d3c5bd6b94b
    """
    with_store(store, lambda opened: wishes.kill(opened, Keys(framework), task_id))
    click.echo(f"{task_id}: is asked to end")


@command.command()
@click.argument("app_id", metavar="ID")
@framework_option
@store_option
def remove(app_id: str, framework: str, store: str) -> None:
    """End all instances of the application ID, and forget it.

    \b
    Example:
      ocicat app remove /shop/web
    """
    wanted = _id(app_id)
    with_store(store, lambda opened: wishes.remove(opened, Keys(framework), wanted))
    click.echo(f"{wanted}: is not wanted any more")
