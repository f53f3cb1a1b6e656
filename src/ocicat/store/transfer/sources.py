"""Where a transfer's content comes from: another store, which is locked meanwhile, or an export, which cannot change."""

from __future__ import annotations

from typing import Protocol

from ocicat.errors import Conflict
from ocicat.model import keys
from ocicat.store.base import Compare, Condition, Datastore, Delete, Operation, Put, Unchanged
from ocicat.store.transfer.content import ROOTS, Content, read_content
from ocicat.store.transfer.export import Export
from ocicat.store.transfer.lock import is_locked, with_ready
from ocicat.store.transfer.record import RECORD, Record, unfinished


class Source(Protocol):
    """`name` tells it from other sources, also in another process. `scope`: the prefixes that its content covers."""

    @property
    def name(self) -> str: ...
    @property
    def scope(self) -> tuple[str, ...]: ...

    async def information(self, found: bytes | None, former: Record | None) -> bytes | None:
        """The cluster information that the destination shall have at the end.

        `found`: what it has now, when this is a beginning. `former`: the note of the run that this one goes on with.
        """
        ...

    async def lock(self, information: bytes | None) -> None:
        """Nobody allocates in the source from now on. `information`: as it was without this lock. Conflict: look again."""
        ...

    async def read(self) -> Content: ...

    async def release(self, information: bytes | None, revision: int, *, keep_locked: bool) -> bool:
        """Gives the lock back, unless it is to be kept. False: something was written after `lock`, or after `revision`."""
        ...

    async def give_up(self, information: bytes | None) -> None:
        """Gives the lock back, whatever became of the transfer."""
        ...


class StoreSource:
    """Another store."""

    scope = ROOTS

    def __init__(self, store: Datastore, name: str) -> None:
        self.name = name
        self._store = store
        self._locked_at = 0  # the revision of the lock
        self.is_held = False  # is it locked by this transfer? True also while nobody knows

    async def information(self, found: bytes | None, former: Record | None) -> bytes | None:
        """What the source has; or had, if all that changed is that the former run locked it."""
        record = await self._store.get(RECORD)
        if record is not None:
            raise unfinished(record.value)
        present = await self._store.get(keys.CLUSTER_INFORMATION)
        value = present.value if present else None
        return former.information if former and value == with_ready(former.information, ready=False) else value

    async def lock(self, information: bytes | None) -> None:
        present = await self._store.get(keys.CLUSTER_INFORMATION)
        locked = with_ready(information, ready=False)
        if present is not None and present.value == locked:
            self._locked_at, self.is_held = present.modified, not is_locked(information)
        elif (present.value if present else None) == information:
            condition = Compare(keys.CLUSTER_INFORMATION, present.modified if present else 0)
            self.is_held = True
            self._locked_at = await self._store.commit([condition], [Put(keys.CLUSTER_INFORMATION, locked)])
        else:
            raise Conflict(f"{self.name}: the cluster information was changed by somebody else")

    async def read(self) -> Content:
        return await read_content(self._store)

    async def release(self, information: bytes | None, revision: int, *, keep_locked: bool) -> bool:
        unchanged: list[Condition] = [Compare(keys.CLUSTER_INFORMATION, self._locked_at)]
        unchanged += (Unchanged(prefix, revision) for prefix in ROOTS)
        giving_back = self.is_held and not keep_locked
        try:
            await self._store.commit(unchanged, [restoring(information)] if giving_back else [])
        except Conflict:
            return False
        self.is_held = self.is_held and keep_locked
        return True

    async def give_up(self, information: bytes | None) -> None:
        """The answer to `lock` may have been lost: what counts is what is there."""
        present = await self._store.get(keys.CLUSTER_INFORMATION)
        if self.is_held and present is not None and present.value == with_ready(information, ready=False):
            await self._store.commit([Compare(keys.CLUSTER_INFORMATION, present.modified)], [restoring(information)])
        self.is_held = False


class ExportSource:
    """An export that was read and verified."""

    def __init__(self, export: Export) -> None:
        self.name = f"export sha256:{export.sha256}"
        self.scope = export.prefixes
        self._export = export

    async def information(self, found: bytes | None, former: Record | None) -> bytes | None:
        """The export's own; one that covers none leaves the destination's as it is."""
        if former:
            return former.information
        own = self._export.content.information
        return own.value if own else found

    async def lock(self, information: bytes | None) -> None:
        """Nothing to lock."""

    async def read(self) -> Content:
        return self._export.content

    async def release(self, information: bytes | None, revision: int, *, keep_locked: bool) -> bool:
        return True

    async def give_up(self, information: bytes | None) -> None:
        """Nothing was locked."""


def restoring(information: bytes | None) -> Operation:
    """The cluster information as it shall be."""
    key = keys.CLUSTER_INFORMATION
    return Delete(key) if information is None else Put(key, information)
