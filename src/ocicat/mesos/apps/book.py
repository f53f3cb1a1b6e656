"""The store's side of the applications: what is read at the start, watched, and written by a leader.

1. Every write of a `Book` holds only while its leader leads: a process that was succeeded changes nothing (Conflict).
2. A record that cannot be read is told and left alone; it never hides the others, and is never taken for one that is not there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from ocicat.errors import UserError
from ocicat.mesos.apps.records import FrameworkRecord, Keys, StatusRecord, TaskRecord
from ocicat.mesos.frameworks.application import Application
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Compare, Datastore, Delete, Operation, Put, Snapshot

T = TypeVar("T")

_BATCH = 100  # operations of one commit; etcd takes 128


class Contents(Struct, frozen=True):
    """All of it at `revision`. `held`: applications whose definition cannot be read. `unreadable`: records of the framework and of
    its instances that cannot, and what is wrong with them."""

    revision: int
    framework_id: str
    wanted: dict[str, Application]
    versions: dict[tuple[str, str], Application]  # by id and version
    tasks: dict[str, TaskRecord]
    statuses: dict[str, StatusRecord]
    kills: frozenset[str]
    leader: bytes = b""
    held: frozenset[str] = frozenset()
    unreadable: tuple[str, ...] = ()


class Change(Struct, frozen=True):
    """What people have changed: an application (None: it is not wanted any more), or an instance that is to be ended."""

    app_id: str = ""
    application: Application | None = None
    kill: str = ""


async def read_all(store: Datastore, keys: Keys, report: Callable[[str], None]) -> Contents:
    return contents(await store.range(keys.root), keys, report)


def contents(snapshot: Snapshot, keys: Keys, report: Callable[[str], None]) -> Contents:
    problems: dict[str, str] = {}  # by key

    def under(prefix: str, wanted: type[T]) -> dict[str, T]:
        """By the rest of the key."""
        items = [one for one in snapshot.items if one.key.startswith(prefix)]
        read = ((one.key.removeprefix(prefix), _read(wanted, one.key, one.value, problems)) for one in items)
        return {rest: value for rest, value in read if value is not None}

    values = {one.key: one.value for one in snapshot.items}
    framework = under(keys.framework, FrameworkRecord)
    wanted = {app.id: app for app in under(keys.wanted, Application).values()}
    # A release that computes versions in another way keeps those that instances have.
    versions = {(app.id, rest.rpartition("@")[2]): app for rest, app in under(keys.versions, Application).items()}
    tasks = under(keys.tasks, TaskRecord)
    statuses = {status.app: status for status in under(keys.statuses, StatusRecord).values()}
    for problem in problems.values():
        report(f"left out: {problem}")
    return Contents(
        revision=snapshot.revision,
        framework_id=framework[""].id if framework else "",
        wanted=wanted,
        versions=versions,
        tasks=tasks,
        statuses=statuses,
        kills=frozenset(key.removeprefix(keys.kills) for key in values if key.startswith(keys.kills)),
        leader=values.get(keys.leader, b""),
        held=frozenset("/" + key.removeprefix(keys.wanted) for key in problems if key.startswith(keys.wanted)),
        unreadable=tuple(text for key, text in problems.items() if key.startswith((keys.framework, keys.tasks))),
    )


def _read(wanted: type[T], key: str, value: bytes, problems: dict[str, str]) -> T | None:
    try:
        return decode_json(wanted, value, what=key)
    except UserError as error:
        problems[key] = error.message
        return None


async def changes(
    store: Datastore, keys: Keys, revision: int, report: Callable[[str], None]
) -> AsyncGenerator[list[Change], None]:
    """What people change from `revision` on, for ever. A definition that cannot be read changes nothing."""
    async with aclosing(store.watch(keys.root, revision)) as batches:
        async for batch in batches:
            found = []
            for event in batch.events:
                if event.key.startswith(keys.kills) and event.value is not None:
                    found.append(Change(kill=event.key.removeprefix(keys.kills)))
                elif event.key.startswith(keys.wanted):
                    app_id = "/" + event.key.removeprefix(keys.wanted)
                    problems: dict[str, str] = {}
                    app = None if event.value is None else _read(Application, event.key, event.value, problems)
                    if problems:
                        report(f"left out: {problems[event.key]}")
                    else:
                        found.append(Change(app_id=app_id, application=app))
            if found:
                yield found


class Book:
    """What a leader writes. `mine`: the condition under which it still leads."""

    def __init__(self, store: Datastore, keys: Keys, mine: Compare) -> None:
        self._store = store
        self._keys = keys
        self._mine = mine

    async def framework(self, framework_id: str) -> None:
        await self._commit([Put(self._keys.framework, encode_json(FrameworkRecord(framework_id)))])

    async def version(self, app: Application) -> None:
        await self._commit([Put(self._keys.version(app.id, app.version), encode_json(app))])

    async def records(
        self, tasks: Sequence[TaskRecord] = (), ended: Sequence[str] = (), statuses: Sequence[StatusRecord] = ()
    ) -> None:
        """Instances as they are, those that are no more, and how their applications are."""
        operations: list[Operation] = [Put(self._keys.task(task.task_id), encode_json(task)) for task in tasks]
        operations += [Put(self._keys.status(status.app), encode_json(status)) for status in statuses]
        for task_id in dict.fromkeys(ended):
            operations += [Delete(self._keys.task(task_id)), Delete(self._keys.kill(task_id))]
        await self._commit(operations)

    async def drop(self, *, versions: Sequence[tuple[str, str]] = (), statuses: Sequence[str] = ()) -> None:
        """Versions without instances, and applications that are gone."""
        gone = [Delete(self._keys.version(app_id, version)) for app_id, version in versions]
        await self._commit([*gone, *(Delete(self._keys.status(app_id)) for app_id in statuses)])

    async def forget_all(self, tasks: Sequence[str]) -> None:
        """The framework and its instances: Mesos has ended them."""
        await self._commit([Delete(self._keys.framework), *(Delete(self._keys.task(task_id)) for task_id in tasks)])

    async def _commit(self, operations: Sequence[Operation]) -> None:
        for start in range(0, len(operations), _BATCH):
            await self._store.commit([self._mine], operations[start : start + _BATCH])
