"""What people ask of the applications, written for whoever is the framework to see. Read, decided and written in one comparison."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from ocicat.errors import Conflict, NotFound
from ocicat.mesos.apps.book import Contents, read_all
from ocicat.mesos.apps.changes import Difference, differences
from ocicat.mesos.apps.records import Keys
from ocicat.mesos.frameworks.application import Application
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Compare, Datastore, Delete, Put, Unchanged

T = TypeVar("T")

_TRIES = 5


async def define(
    store: Datastore, keys: Keys, applications: Sequence[Application], *, dry_run: bool, report: Callable[[str], None]
) -> tuple[Difference, ...]:
    """Make these applications what they are defined to be, all or none; others stay. Restarts asked for stay counted."""

    async def once() -> tuple[Difference, ...]:
        contents = await read_all(store, keys, report)
        wanted = [_counted(contents, app) for app in applications]
        found = differences(contents.wanted, wanted)
        puts = [
            Put(keys.app(app.id), encode_json(app))
            for app, one in zip(wanted, found, strict=True)
            if one.change != "unchanged"
        ]
        if puts and not dry_run:
            await store.commit([Unchanged(keys.wanted, contents.revision)], puts)
        return found

    return await _insisting(once)


def _counted(contents: Contents, app: Application) -> Application:
    before = contents.wanted.get(app.id)
    return replace(app, restarts=before.restarts) if before else app


async def scale(store: Datastore, keys: Keys, app_id: str, instances: int) -> Application:
    return await _change(store, keys, app_id, lambda app: replace(app, instances=instances))


async def restart(store: Datastore, keys: Keys, app_id: str) -> Application:
    """Every instance is replaced, as if the definition had changed."""
    return await _change(store, keys, app_id, lambda app: replace(app, restarts=app.restarts + 1))


async def remove(store: Datastore, keys: Keys, app_id: str) -> None:
    """Its instances end, and it is forgotten."""
    item = await store.get(keys.app(app_id))
    if item is None:
        raise _missing(keys, app_id)
    await store.commit([], [Delete(item.key)])


async def kill(store: Datastore, keys: Keys, task_id: str) -> None:
    """The instance ends; another takes its place."""
    item = await store.get(keys.task(task_id))
    if item is None:
        raise NotFound(
            f"there is no instance {task_id!r} of {keys.name}", hint="`ocicat app show` names those of an application"
        )
    await store.commit([Compare(item.key, item.modified)], [Put(keys.kill(task_id), b"{}")])


async def _change(
    store: Datastore, keys: Keys, app_id: str, changed: Callable[[Application], Application]
) -> Application:
    async def once() -> Application:
        item = await store.get(keys.app(app_id))
        if item is None:
            raise _missing(keys, app_id)
        app = changed(decode_json(Application, item.value, what=item.key))
        await store.commit([Compare(item.key, item.modified)], [Put(item.key, encode_json(app))])
        return app

    return await _insisting(once)


async def _insisting(once: Callable[[], Awaitable[T]]) -> T:
    """Again when somebody else was faster, a few times."""
    for _ in range(_TRIES - 1):
        with suppress(Conflict):
            return await once()
    return await once()


def _missing(keys: Keys, app_id: str) -> NotFound:
    return NotFound(
        f"there is no application {app_id!r} in {keys.name}", hint="`ocicat app list` shows those there are"
    )
