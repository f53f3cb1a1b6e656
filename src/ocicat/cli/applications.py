"""Applications on the command line: read from files, shown, and kept running by this process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from ocicat.cli.defaults import framework as configured_framework
from ocicat.cli.defaults import shared
from ocicat.cli.files import STDIN, contents
from ocicat.cli.opening import with_store
from ocicat.cli.output import Format, show
from ocicat.cli.talk import say
from ocicat.errors import UserError
from ocicat.mesos.apps import wishes
from ocicat.mesos.apps.changes import Difference
from ocicat.mesos.apps.records import DEFAULT_NAME, Keys
from ocicat.mesos.apps.serve import Options, serve
from ocicat.mesos.frameworks.application import Application
from ocicat.mesos.frameworks.marathon import read_any
from ocicat.model.base import Struct
from ocicat.model.manifest import read
from ocicat.store.base import Datastore

F = TypeVar("F", bound=Callable[..., None])

framework_option = click.option(
    "--framework",
    envvar="OCICAT_FRAMEWORK",
    default=configured_framework,
    show_default=shared("mesos.framework"),
    callback=lambda _, __, name: _checked(name),
    help="Name of the framework that keeps the applications running.",
)


def _checked(name: str) -> str:
    if not name or "/" in name or not name.isprintable():
        raise UserError(f"--framework {name!r}: a name without slashes", hint="it is part of the store's keys")
    return name


def read_applications(files: Sequence[str], default_network: str) -> list[Application]:
    """All that the files define; what has no effect is said. UserError: the first thing that is wrong, or an id twice."""
    found: dict[str, Application] = {}
    for name in files:
        for source, data in contents(name, recursive=False):
            for manifest in read(data, source=source):
                apps, remarks = read_any(manifest.raw, manifest.where, default_network)
                for remark in remarks:
                    say(remark)
                for app in apps:
                    if app.id in found:
                        raise UserError(f"{manifest.where}: {app.id} is defined twice")
                    found[app.id] = app
    if not found:
        names = ", ".join("standard input" if name == STDIN else name for name in files)
        raise UserError(f"{names}: defines no application", hint="see docs/applications.md")
    return list(found.values())


def show_differences(style: Format, found: Sequence[Difference]) -> None:
    show(
        style,
        found,
        head=("app", "change", "instances", "fields"),
        row=lambda one: (one.app, one.change, _instances(one), ", ".join(one.fields) or "-"),
        name=lambda one: one.app,
    )


def _instances(one: Difference) -> str:
    return (
        str(one.instances) if one.change == "new" or one.before == one.instances else f"{one.before} -> {one.instances}"
    )


class Chosen(Struct, frozen=True):
    """What `ocicat run -f` was told beside where things are."""

    files: tuple[str, ...]
    dry_run: bool
    detach: bool
    style: Format
    default_network: str


def run_applications(master: str, framework: str, store_url: str, chosen: Chosen) -> None:
    """Define what the files define, say what changes by that, and keep it running."""
    options = Options(master=master, name=_checked(framework or DEFAULT_NAME))
    applications = read_applications(chosen.files, chosen.default_network)
    keys = Keys(options.name)

    async def define(store: Datastore) -> tuple[Difference, ...]:
        return await wishes.define(store, keys, applications, dry_run=chosen.dry_run, report=say)

    show_differences(chosen.style, with_store(store_url, define))
    if not chosen.dry_run and not chosen.detach:
        keep_running(store_url, options)


def keep_running(store_url: str, options: Options) -> None:
    """Until it is interrupted. The instances go on."""

    async def until_interrupted(store: Datastore) -> None:
        serving = asyncio.create_task(serve(store, options, say))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            say("leaves; the applications' instances go on, and whoever runs `ocicat app run` next takes them over")

    with_store(store_url, until_interrupted)
