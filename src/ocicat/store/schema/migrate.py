"""From one schema to another, forward or back, by compare-and-swap against everybody who works with the datastore meanwhile.

1. Every write depends on the values that it was decided by, and on the mark being ours: of two that migrate at once one goes on.
2. A step of the major number locks the datastore from its first write to its last: nobody gets an address, and no agent starts.
3. Cut off anywhere, the same command goes on, and `--to` the version before takes it back.
4. At the end everything was read again and no step has anything left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.store.base import Compare, Condition, Datastore, KeyValue, Operation, Put
from ocicat.store.schema import mark
from ocicat.store.schema.mark import FIRST, KEY, Mark, Version
from ocicat.store.schema.steps import STEPS, Step, newest
from ocicat.store.transfer.content import batches
from ocicat.store.transfer.lock import is_locked, with_ready
from ocicat.store.transfer.record import RECORD, unfinished

_ROUNDS = 20
_ALL = "/"

Now = Callable[[], str]


class Part(Struct, frozen=True):
    """What one step has to do."""

    step: Step
    operations: tuple[Operation, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """`back`: the steps are undone, the newest first."""

    before: Version
    after: Version
    back: bool
    parts: tuple[Part, ...]
    writes_mark: bool

    @property
    def nothing(self) -> bool:
        return not self.writes_mark and not any(part.operations for part in self.parts)


async def plan(store: Datastore, target: Version, *, now: str, steps: Sequence[Step] = STEPS) -> Plan:
    """What `migrate` would do now. Errors: UserError (no such version), Refused (newer than we know, being filled)."""
    items = (await store.range(_ALL)).items
    found = _mark_of(items)
    _check(found, target, items, steps)
    back = target < _at(found)
    chosen = _chosen(found, target, steps)
    parts = tuple(Part(step, tuple((step.back if back else step.forward)(items, now))) for step in chosen)
    is_there = any(item.key == KEY for item in items)
    writes_mark = not is_there or found.version != target or found.towards is not None
    return Plan(before=found.version, after=target, back=back, parts=parts, writes_mark=writes_mark)


async def migrate(store: Datastore, target: Version, *, now: Now, steps: Sequence[Step] = STEPS) -> Plan:
    """Does it. Raises what `plan` raises; Conflict: somebody else migrates; Unavailable: others change it again and again."""
    done = await plan(store, target, now=now(), steps=steps)
    if done.nothing:
        return done
    found = await _present(store)
    ours = await _begin(store, found, target)
    for step in _chosen(found, target, steps):
        await _settle(store, ours, step.back if done.back else step.forward, now)
    await _end(store, ours, target)
    return done


async def ensure_marked(store: Datastore, *, now: str, steps: Sequence[Step] = STEPS) -> Version | None:
    """A store that says nothing gets a mark: of the newest version that what it holds needs no step to. None: it had one."""
    for _ in range(_ROUNDS):
        if await store.get(KEY) is not None:
            return None
        version = await fitting(store, now=now, steps=steps)
        try:
            await store.commit([Compare(KEY, 0)], [Put(KEY, mark.written(version))])
        except Conflict:
            continue
        return version
    raise _busy()


async def fitting(store: Datastore, *, now: str, steps: Sequence[Step] = STEPS) -> Version:
    """The newest version that what a store holds needs no step to."""
    items, version = (await store.range(_ALL)).items, FIRST
    for step in steps:
        if next(step.forward(items, now), None) is not None:
            break
        version = step.to
    return version


async def _present(store: Datastore) -> Mark:
    found = await store.get(KEY)
    return mark.read(found.value if found else None)


def _mark_of(items: Sequence[KeyValue]) -> Mark:
    return mark.read(next((item.value for item in items if item.key == KEY), None))


def _at(found: Mark) -> Version:
    """How far its content may be: one that was cut off on its way up may be all the way up."""
    return max(found.version, found.towards or found.version)


def _start(found: Mark, target: Version) -> Version:
    """What is told as where it comes from: of one that was cut off, the far end, so that no step is left out."""
    return _at(found) if target < _at(found) else min(found.version, found.towards or found.version)


def _check(found: Mark, target: Version, items: Sequence[KeyValue], steps: Sequence[Step]) -> None:
    known = (FIRST, *(step.to for step in steps))
    if target not in known:
        raise UserError(f"schema {target} is none that this ocicat knows", hint=f"one of {', '.join(map(str, known))}")
    if _at(found) > newest(steps):
        raise Refused(
            f"the datastore has schema {_at(found)}, this ocicat knows {newest(steps)}",
            hint="let the ocicat that knows it go back",
        )
    note = next((item.value for item in items if item.key == RECORD), None)
    if note is not None:
        raise unfinished(note)


def _chosen(found: Mark, target: Version, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Forward all up to the target, those that were done too: what an earlier version wrote since is brought up with the rest."""
    if target < _at(found):
        return tuple(step for step in reversed(steps) if step.to > target)
    return tuple(step for step in steps if step.to <= target)


async def _begin(store: Datastore, found: Mark, target: Version) -> int:
    """The revision of our mark: who changes it takes the migration over."""
    information, present = await store.get(keys.CLUSTER_INFORMATION), await store.get(KEY)
    if mark.read(present.value if present else None) != found:
        raise _taken_over()
    value = information.value if information else None
    locked = found.locked if found.towards else is_locked(value)
    operations: list[Operation] = [Put(KEY, mark.written(_start(found, target), target, locked=locked))]
    if _locks(found, target) and not is_locked(value):
        operations.append(Put(keys.CLUSTER_INFORMATION, with_ready(value, ready=False)))
    return await store.commit([_as_it_is(KEY, present), _as_it_is(keys.CLUSTER_INFORMATION, information)], operations)


def _locks(found: Mark, target: Version) -> bool:
    return len({one.major for one in (found.version, found.towards, target) if one}) > 1


async def _settle(
    store: Datastore, ours: int, change: Callable[[Sequence[KeyValue], str], Iterator[Operation]], now: Now
) -> None:
    """Until the step has nothing left to do."""
    for _ in range(_ROUNDS):
        items = (await store.range(_ALL)).items
        present = {item.key: item for item in items}
        left = list(change(items, now()))
        if not left:
            return
        for batch in batches(left):
            conditions: list[Condition] = [_as_it_is(operation.key, present.get(operation.key)) for operation in batch]
            if not await _committed(store, ours, conditions, batch):
                break  # somebody changed one of them: decide again
    raise _busy()


async def _end(store: Datastore, ours: int, target: Version) -> None:
    """The mark, and the lock as it was before."""
    for _ in range(_ROUNDS):
        present, information = await _present(store), await store.get(keys.CLUSTER_INFORMATION)
        operations: list[Operation] = [Put(KEY, mark.written(target))]
        if information and _locks(present, target):
            operations.append(Put(keys.CLUSTER_INFORMATION, with_ready(information.value, ready=not present.locked)))
        if await _committed(store, ours, [_as_it_is(keys.CLUSTER_INFORMATION, information)], operations):
            return
    raise _busy()


async def _committed(
    store: Datastore, ours: int, conditions: Sequence[Condition], operations: Sequence[Operation]
) -> bool:
    """False: something else has changed. Conflict when the migration is no longer ours."""
    try:
        await store.commit([Compare(KEY, ours), *conditions], operations)
    except Conflict:
        found = await store.get(KEY)
        if found is None or found.modified != ours:
            raise _taken_over() from None
        return False
    return True


def _as_it_is(key: str, found: KeyValue | None) -> Compare:
    return Compare(key, found.modified if found else 0)


def _busy() -> Unavailable:
    return Unavailable("others change the datastore faster than it can be migrated", hint="run the same command again")


def _taken_over() -> Conflict:
    return Conflict("somebody else migrates the datastore", hint="look again: `ocicat store status`")
