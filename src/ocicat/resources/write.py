"""Changing resources: many objects, one transaction, whoever else writes.

1. All or nothing: either every change is made at one revision, or none, and every reason is told at once.
2. Nothing is written over: what was read is compared. When somebody else was first, all is read and decided again, so that the
   rules hold for what is really there; only a caller who said which revision he means gets a conflict at once.
3. Nothing is written to a locked datastore.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from ocicat.clock import Clock, SystemClock
from ocicat.errors import Conflict
from ocicat.model.v3.document import Document
from ocicat.resources.change import (
    Apply,
    Change,
    Delete,
    Outcome,
    Rejected,
    Rejection,
    Remark,
    identity,
    rejection,
    remark,
)
from ocicat.resources.plan import Plan, plan, twice
from ocicat.resources.step import Origin, Step, check
from ocicat.resources.view import View, look
from ocicat.store.base import Datastore

ATTEMPTS = 10
FIRST_PAUSE_S = 0.002  # at most, after the first conflict; doubled with each


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: where uids and the time come from."""

    clock: Clock = field(default_factory=SystemClock)
    new_uid: Callable[[], str] = lambda: str(uuid4())

    def origin(self) -> Origin:
        created = datetime.fromtimestamp(int(self.clock.now()), UTC)
        return Origin(self.new_uid(), created.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def commit(
    store: Datastore, changes: Sequence[Change], *, dry_run: bool = False, author: Author | None = None
) -> tuple[Outcome, ...]:
    """What became of each change, in order; with `dry_run` what would. A call that changes nothing writes nothing.

    Errors: Rejected, with every reason; Conflict (others kept writing), Refused (the datastore is locked, or full), Unavailable.
    """
    made = await _commit(store, changes, author or Author(), dry_run=dry_run, each=False)
    if made.rejections:
        raise Rejected(made.rejections)
    return made.outcomes


async def commit_each(
    store: Datastore, changes: Sequence[Change], *, dry_run: bool = False, author: Author | None = None
) -> tuple[Outcome | Rejection, ...]:
    """As `commit`, but whatever can be written is, still in one transaction; and the reasons why the rest was not, behind it."""
    made = await _commit(store, changes, author or Author(), dry_run=dry_run, each=True)
    return (*made.outcomes, *made.rejections)


def validate_only(documents: Sequence[tuple[Document, str]]) -> tuple[Rejection, ...]:
    """What is wrong with documents, whatever the datastore holds; each with its `where` ("file:line")."""
    changes = [Apply(document=document, where=where) for document, where in documents]
    results = [(change, check(change.document)) for change in changes]
    faults = (rejection(change, fault) for change, found in results if not isinstance(found, Step) for fault in found)
    return (*faults, *twice(changes))


def remarks_only(documents: Sequence[tuple[Document, str]]) -> tuple[Remark, ...]:
    """What of documents that are right has no effect."""
    changes = [Apply(document=document, where=where) for document, where in documents]
    results = [(change, check(change.document)) for change in changes]
    return tuple(remark(change, one) for change, found in results if isinstance(found, Step) for one in found.remarks)


@dataclass(frozen=True, slots=True)
class _Made:
    outcomes: tuple[Outcome, ...]
    rejections: tuple[Rejection, ...]


async def _commit(store: Datastore, changes: Sequence[Change], author: Author, *, dry_run: bool, each: bool) -> _Made:
    origins = [author.origin() for _ in changes]
    for attempt in range(ATTEMPTS):
        view = await look(store, changes)
        view.refuse_locked()
        made, rejections = _plan_each(changes, origins, view) if each else _plan(changes, origins, view)
        revision = None
        if made.operations and not dry_run:
            try:
                revision = await store.commit(made.conditions, made.operations)
            except Conflict:
                await asyncio.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # rivals must not come back as one
                continue
        return _Made(tuple(one.outcome(revision) for one in made.planned), rejections)
    raise Conflict("what is to be changed is being changed by others all the time", hint=_advice(changes))


def _advice(changes: Sequence[Change]) -> str:
    """Where addresses come and go all the time, a pool is left alone by all only when it is disabled: see `upkeep`."""
    pools = any(isinstance(change, Delete) and change.kind.name == "IPPool" for change in changes)
    return "disable the pool, then delete it" if pools else "try again"


def _plan(changes: Sequence[Change], origins: Sequence[Origin], view: View) -> tuple[Plan, tuple[Rejection, ...]]:
    made = plan(changes, origins, view)
    return made, tuple(made.rejections)


def _plan_each(changes: Sequence[Change], origins: Sequence[Origin], view: View) -> tuple[Plan, tuple[Rejection, ...]]:
    """Without those that cannot be made, and those that cannot be made without them."""
    left = list(zip(changes, origins, strict=True))
    rejections: list[Rejection] = []
    while True:
        made = plan([change for change, _ in left], [origin for _, origin in left], view)
        if not made.rejections:
            return made, tuple(rejections)
        rejections += made.rejections
        fallen = {identity(one) for one in made.rejections}
        left = [(change, origin) for change, origin in left if identity(change) not in fallen]
