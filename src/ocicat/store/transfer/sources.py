"""Where a transfer's content comes from: another store, which is locked meanwhile, or an export, which cannot change."""

from __future__ import annotations

from typing import Protocol

from ocicat.errors import Conflict
from ocicat.model import keys
from ocicat.store.base import Compare, Datastore, Delete, Operation, Put
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

    async def release(self, information: bytes | None) -> bool:
        """Gives the lock back. False: somebody changed the cluster information after `lock`."""
        ...

    async def is_released(self, information: bytes | None) -> bool:
        """Was the lock given back by a run that was cut off after that?"""
        ...


class StoreSource:
    """Another store."""

    scope = ROOTS

    def __init__(self, store: Datastore, name: str) -> None:
        self.name = name
        self._store = store
        self._locked_at = 0  # the revision of the lock; 0: not locked by us

    @property
    def is_held(self) -> bool:
        """Is it locked by this transfer?"""
        return self._locked_at > 0

    async def information(self, found: bytes | None, former: Record | None) -> bytes | None:
        """What the source has; or had, if all that changed is that the former run locked it."""
        record = await self._store.get(RECORD)
        if record is not None:
            raise unfinished(record.value)
        value = await self._value()
        return former.information if former and value == with_ready(former.information, ready=False) else value

    async def lock(self, information: bytes | None) -> None:
        present = await self._store.get(keys.CLUSTER_INFORMATION)
        locked = with_ready(information, ready=False)
        if present is not None and present.value == locked:
            self._locked_at = 0 if is_locked(information) else present.modified
        elif (present.value if present else None) == information:
            condition = Compare(keys.CLUSTER_INFORMATION, present.modified if present else 0)
            self._locked_at = await self._store.commit([condition], [Put(keys.CLUSTER_INFORMATION, locked)])
        else:
            raise Conflict(f"{self.name}: the cluster information was changed by somebody else")

    async def read(self) -> Content:
        return await read_content(self._store)

    async def release(self, information: bytes | None) -> bool:
        if not self.is_held:
            return True
        try:
            await self._store.commit([Compare(keys.CLUSTER_INFORMATION, self._locked_at)], [restoring(information)])
        except Conflict:
            return False
        self._locked_at = 0
        return True

    async def is_released(self, information: bytes | None) -> bool:
        return await self._value() != with_ready(information, ready=False)

    async def _value(self) -> bytes | None:
        found = await self._store.get(keys.CLUSTER_INFORMATION)
        return found.value if found else None


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

    async def release(self, information: bytes | None) -> bool:
        return True

    async def is_released(self, information: bytes | None) -> bool:
        return False


def restoring(information: bytes | None) -> Operation:
    """The cluster information as it shall be."""
    key = keys.CLUSTER_INFORMATION
    return Delete(key) if information is None else Put(key, information)
