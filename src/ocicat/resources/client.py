"""Reading resources: one, all of a kind, and what becomes of them.

An object that cannot be read is told about and hides no other. What is read is as old as the answer: who changes it goes through
`write`, which compares.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Literal

from ocicat.errors import NotFound, UserError
from ocicat.model.base import Struct
from ocicat.model.v3.kinds import Kind
from ocicat.resources import stored
from ocicat.resources.stored import Stored
from ocicat.selector import parse as parse_selector
from ocicat.store.base import Datastore, Event, KeyValue

Matcher = Callable[[Mapping[str, str]], bool]


class Listing(Struct, frozen=True):
    """By namespace and name, as of `revision`. `problems`: a line for each object that cannot be read."""

    revision: int
    items: tuple[Stored, ...]
    problems: tuple[str, ...] = ()


class Seen(Struct, frozen=True):
    """One change. `item`: the object as it is now; None: it is gone, no longer selected, or cannot be read (`problem`)."""

    action: Literal["added", "modified", "deleted"]
    kind: Kind
    namespace: str
    name: str
    revision: int
    item: Stored | None = None
    problem: str = ""


async def get(store: Datastore, kind: Kind, name: str, namespace: str = "") -> Stored:
    """Errors: NotFound; UserError if it cannot be read, or the namespace is missing or one too many."""
    item = await find(store, kind, name, namespace)
    if item is None:
        raise NotFound(f"{stored.title(kind, namespace, name)}: there is none")
    return stored.read(kind, item)


async def find(store: Datastore, kind: Kind, name: str, namespace: str = "") -> KeyValue | None:
    """The value of the object of that name, wherever it lies."""
    keys = stored.lookup_keys(kind, name, namespace)
    for key in keys:
        item = await store.get(key)
        if item is not None:
            return item
    if keys:
        return None
    candidates = (await store.range(stored.prefix(kind, namespace))).items
    return next((item for item in candidates if stored.identity(kind, item.key) == (namespace, name)), None)


async def listing(store: Datastore, kind: Kind, namespace: str = "", *, selector: str = "") -> Listing:
    """All objects of a kind, in one namespace or in all, whose labels `selector` matches. Errors: UserError (selector)."""
    matches = parse_selector(selector).matches
    snapshot = await store.range(stored.prefix(kind, namespace))
    items: list[Stored] = []
    problems: list[str] = []
    for item in snapshot.items:
        if not stored.is_object(kind, item.key):
            continue
        try:
            found = stored.read(kind, item)
        except UserError as error:
            problems.append(str(error))
            continue
        if matches(found.resource.metadata.labels):
            items.append(found)
    items.sort(key=lambda found: (found.namespace, found.name))
    return Listing(snapshot.revision, tuple(items), tuple(problems))


async def watch(
    store: Datastore,
    kind: Kind,
    namespace: str = "",
    *,
    revision: int,
    name: str = "",
    selector: str = "",
    known: Iterable[Stored] = (),
) -> AsyncGenerator[Seen, None]:
    """Every change from `revision` on, for ever: that of a listing + 1, and `known` what it listed.

    An object that ceases to match the selector is deleted for who watches. Close it to stop (`contextlib.aclosing`).
    Errors: as the store's watch: after `Compacted` and `Unavailable` list anew.
    """
    filtered = _Filter(kind, name, parse_selector(selector).matches, {item.key for item in known})
    async with aclosing(store.watch(stored.prefix(kind, namespace), revision)) as batches:
        async for batch in batches:
            for event in batch.events:
                seen = filtered.see(event)
                if seen is not None:
                    yield seen


class _Filter:
    """Tells what an event means to somebody who sees only the objects that match."""

    def __init__(self, kind: Kind, name: str, matches: Matcher, shown: set[str]) -> None:
        self._kind = kind
        self._name = name
        self._matches = matches
        self._shown = shown

    def see(self, event: Event) -> Seen | None:
        if not stored.is_object(self._kind, event.key):
            return None
        namespace, name = stored.identity(self._kind, event.key)
        if self._name not in ("", name):
            return None
        item, problem = self._read(event)
        before = event.key in self._shown
        if item is None and not problem:
            self._shown.discard(event.key)
            return Seen("deleted", self._kind, namespace, name, event.revision) if before else None
        self._shown.add(event.key)
        action: Literal["added", "modified"] = "modified" if before else "added"
        return Seen(action, self._kind, namespace, name, event.revision, item, problem)

    def _read(self, event: Event) -> tuple[Stored | None, str]:
        if event.value is None:
            return None, ""
        # The revision that created the key plays no part in reading it.
        found = KeyValue(event.key, event.value, event.revision, event.revision)
        try:
            item = stored.read(self._kind, found)
        except UserError as error:
            return None, str(error)
        return (item, "") if self._matches(item.resource.metadata.labels) else (None, "")
