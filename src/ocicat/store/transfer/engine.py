"""A transfer from its beginning, or from wherever a former run was cut off, to its end.

1. The destination is marked and locked, the source is locked. Then, until there is nothing left to do: read both, write what
   differs. So the last round has read back every key and value of the destination, found it equal to the source, and wrote nothing;
   and nothing was put into the source since, or there is another round.
2. What a former run wrote is compared, not written again.
3. The locks are given back at the end: the source's cluster information is what it was, byte for byte, and the destination's is
   the same. A run that fails gives the source's lock back at once, as far as it can; one that is killed leaves it, and the next
   run gives it back. One that was cut off after that locks it again: much may have changed in the source since.
4. Revisions are the destination's own. Nothing that is stored depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from ocicat.errors import Conflict, OcicatError, Refused
from ocicat.model import keys
from ocicat.model.base import Struct, replace
from ocicat.store.base import Datastore, Delete, Operation, Put
from ocicat.store.schema import mark
from ocicat.store.transfer.content import Content, batches, differences, read_content
from ocicat.store.transfer.destination import Destination, begin, check_empty, check_same, information_of
from ocicat.store.transfer.lock import is_locked, with_ready
from ocicat.store.transfer.record import RECORD, Mode, read_record
from ocicat.store.transfer.sources import Source

_ROUNDS = 5

Progress = Callable[[int, int], None]
"""Called with the operations done and those to do in this round."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a transfer would do, or has done, in keys. `keys`: in the source. `revision`: of the source.

    `resumed`: a former run has begun it. `nothing`: the destination holds the same already, and is whole.
    """

    keys: int
    revision: int
    written: int = 0
    deleted: int = 0
    resumed: bool = False
    nothing: bool = False
    locked: bool = False
    left_out: tuple[str, ...] = ()


async def plan(source: Source, store: Datastore | None, mode: Mode) -> Plan:
    """What `transfer` would do now; nothing is written. `store`: None when it is not there yet. Raises what `transfer` would."""
    content = await source.read()
    if mode == "copy" and not content.count():
        raise Refused(f"{source.name}: holds nothing to copy", hint="is it the right one?")
    note = await store.get(RECORD) if store else None
    former = read_record(note.value) if note else None
    if former:
        check_same(former, source, mode)
    have = await read_content(store, source.scope) if store else Content(0, ())
    if mode == "merge":
        _check_forms(have, content)
    operations = differences(have, content, deleting=mode != "merge")
    present, _ = await information_of(store) if store else (None, 0)
    information = await source.information(present, former)
    nothing = not former and not operations and _same(present, information, mode)
    if mode in ("copy", "import") and not former and not nothing:
        check_empty(have, mode)
    deletes = sum(isinstance(one, Delete) for one in operations)
    return Plan(
        keys=content.count(),
        revision=content.revision,
        written=len(operations) - deletes + (not nothing and _is_written(present, information)),
        deleted=deletes,
        resumed=former is not None,
        nothing=nothing,
        locked=is_locked(information),
        left_out=content.left_out,
    )


async def transfer(
    source: Source, store: Datastore, mode: Mode, *, started: str, progress: Progress, keep_locked: bool = False
) -> Plan:
    """Carries it out. `started`: now, in RFC 3339. `keep_locked`: the source stays locked at the end.

    Raises Refused (not empty, unfinished transfer of something else, full), Conflict (another process is at it; the source never
    stands still), Unavailable. In each case the same call goes on later.
    """
    planned = await plan(source, store, mode)
    if planned.nothing:
        return planned
    destination = await begin(store, source, mode, started=started)
    run = _Run(source, destination, progress, keep_locked=keep_locked)
    return replace(await run.to_the_end(), resumed=planned.resumed)


class _Run:
    """The rounds of one process, and what they wrote."""

    def __init__(self, source: Source, destination: Destination, progress: Progress, *, keep_locked: bool) -> None:
        self._source = source
        self._destination = destination
        self._progress = progress
        self._keep_locked = keep_locked
        self._changing = keys.CLUSTER_INFORMATION  # a key that the last round found different
        self._written = self._deleted = 0

    async def to_the_end(self) -> Plan:
        try:
            content = await self._settle()
        except BaseException:
            with suppress(OcicatError):  # what went wrong first is what its reader must know
                await self._source.give_up(self._destination.record.information)
            raise
        await self._destination.finish()
        information = self._destination.record.information
        return Plan(
            keys=len(content.items) + (None not in (content.information, information)),  # a lock may have made one
            revision=content.revision,
            written=self._written + _is_written(self._destination.found, information),
            deleted=self._deleted,
            locked=is_locked(information),
            left_out=content.left_out,
        )

    async def _settle(self) -> Content:
        """Rounds until one finds no difference, and nobody wrote into the source meanwhile."""
        for _ in range(_ROUNDS):
            content = await self._round()
            if content is not None:
                return content
        raise Conflict(
            f"{self._source.name}: does not stand still: {self._changing} changed again and again",
            hint="stop what writes there; the same command goes on",
        )

    async def _round(self) -> Content | None:
        """What the destination holds now, if it held just that before, and the source's lock was given back. None: look again."""
        content = await self._locked_content()
        have = await read_content(self._destination.store, self._source.scope)
        operations = differences(have, content, deleting=self._destination.record.mode != "merge")
        if not operations:
            information = self._destination.record.information
            is_whole = await self._source.release(information, content.revision, keep_locked=self._keep_locked)
            return content if is_whole else None
        self._changing = operations[0].key
        await self._write(operations)
        return None

    async def _locked_content(self) -> Content:
        record = self._destination.record
        information = await self._source.information(None, record)
        await self._destination.update(replace(record, information=information))
        await self._source.lock(information)
        return await self._source.read()

    async def _write(self, operations: Sequence[Operation]) -> None:
        done = 0
        for batch in batches(operations):
            await self._destination.write(batch)
            done += len(batch)
            self._deleted += sum(isinstance(one, Delete) for one in batch)
            self._progress(done, len(operations))
        self._written += sum(isinstance(one, Put) for one in operations)


def _check_forms(have: Content, content: Content) -> None:
    """What is of different forms cannot lie in one store."""
    ours, theirs = (
        mark.read(next((item.value for item in one.items if item.key == mark.KEY), None)).version
        for one in (have, content)
    )
    if have.items and ours.major != theirs.major:
        raise Refused(
            f"the destination has schema {ours}, what would be merged into it {theirs}",
            hint="bring one of them to the schema of the other: `ocicat store migrate`",
        )


def _same(have: bytes | None, want: bytes | None, mode: Mode) -> bool:
    """The cluster information. Two stores that are copies of each other may be locked each for itself."""
    return with_ready(have, ready=False) == with_ready(want, ready=False) if mode == "copy" else have == want


def _is_written(found: bytes | None, information: bytes | None) -> bool:
    """Does the cluster information count as one of the keys that were written?"""
    return information not in (None, found)
