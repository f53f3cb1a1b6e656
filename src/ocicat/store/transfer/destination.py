"""The store that a transfer fills: marked and locked first, written in batches, given back when it is verified.

1. Everything is written under the note (see `record`), by the process that is named in it. A batch does no harm when it is done
   twice: one whose outcome is unknown is sent again.
2. Until the end the store belongs to the transfer: what others write into its scope is put right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from ocicat.errors import Conflict, Refused, Unavailable
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.store.base import Compare, Condition, Datastore, Delete, KeyValue, Operation, Put, Unchanged
from ocicat.store.transfer.content import Content, read_content
from ocicat.store.transfer.lock import with_ready
from ocicat.store.transfer.record import RECORD, Mode, Record, read_record, unfinished
from ocicat.store.transfer.sources import Source, restoring

_TRIES = 3


@dataclass(slots=True)
class Destination:
    """`at`: the revision of the note. `found`: the cluster information when this run began."""

    store: Datastore
    record: Record
    at: int
    found: bytes | None

    async def update(self, record: Record) -> None:
        """The note as it is from now on."""
        if record != self.record:
            self.at = await self._commit([Put(RECORD, encode_json(record))])
            self.record = record

    async def write(self, operations: Sequence[Operation]) -> None:
        """One batch. Raises Conflict when another process has taken over, Refused (full, too big), Unavailable."""
        try:
            await self._repeated(operations)
        except Refused as error:
            if len(operations) > 1:
                raise
            raise Refused(f"key {operations[0].key}: {error.message}", hint=error.hint) from error

    async def finish(self) -> None:
        """The store is whole, and locked only if it shall be."""
        operations = [Delete(RECORD), restoring(self.record.information)]
        try:
            await self._commit(operations)
        except Unavailable:
            if await self.store.get(RECORD) is not None:  # else it was done
                await self._commit(operations)

    async def _repeated(self, operations: Sequence[Operation]) -> None:
        for _ in range(_TRIES - 1):
            try:
                await self._commit(operations)
            except Unavailable:
                continue
            return
        await self._commit(operations)

    async def _commit(self, operations: Sequence[Operation]) -> int:
        try:
            return await self.store.commit([Compare(RECORD, self.at)], operations)
        except Conflict:
            raise Conflict("another process goes on with this transfer", hint="let it finish") from None


async def begin(store: Datastore, source: Source, mode: Mode, *, started: str) -> Destination:
    """Marks and locks the store, or takes over what a former run has begun.

    Raises Refused when it holds what it must not, or an unfinished transfer of something else; Conflict when somebody was faster.
    """
    note = await store.get(RECORD)
    if note is not None:
        return await _take_over(store, source, mode, note)
    found = await read_content(store, source.scope)
    if mode in ("copy", "import"):
        check_empty(found, mode)
    present, modified = await information_of(store)
    record = Record(
        source=source.name,
        mode=mode,
        worker=uuid4().hex,
        started=started,
        information=await source.information(present, None),
    )
    at = await store.commit(
        [
            *_as_found(source, mode, found),
            Compare(RECORD, 0),
            Compare(keys.CLUSTER_INFORMATION, modified),
        ],
        [Put(RECORD, encode_json(record)), Put(keys.CLUSTER_INFORMATION, with_ready(present, ready=False))],
    )
    return Destination(store, record, at, present)


async def information_of(store: Datastore) -> tuple[bytes | None, int]:
    """The cluster information and its revision: None and 0, there is none."""
    found = await store.get(keys.CLUSTER_INFORMATION)
    return (found.value, found.modified) if found else (None, 0)


def check_empty(found: Content, mode: Mode) -> None:
    if found.count():
        first = found.items[0].key if found.items else keys.CLUSTER_INFORMATION
        raise Refused(
            f"the destination is not empty: it holds {found.count()} keys, the first one is {first}",
            hint="give an empty store" if mode == "copy" else "--replace or --merge says what becomes of them",
        )


def check_same(record: Record, source: Source, mode: Mode) -> None:
    if (record.source, record.mode) != (source.name, mode):
        raise unfinished(encode_json(record))


async def _take_over(store: Datastore, source: Source, mode: Mode, note: KeyValue) -> Destination:
    former = read_record(note.value)
    check_same(former, source, mode)
    record = replace(former, worker=uuid4().hex)
    at = await store.commit([Compare(RECORD, note.modified)], [Put(RECORD, encode_json(record))])
    present, _ = await information_of(store)
    return Destination(store, record, at, present)


def _as_found(source: Source, mode: Mode, found: Content) -> list[Condition]:
    """Empty is empty still when the note is written."""
    return [Unchanged(prefix, found.revision) for prefix in source.scope] if mode in ("copy", "import") else []
