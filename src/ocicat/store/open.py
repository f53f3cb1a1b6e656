"""From a store's address to the store: the one place that knows which back ends there are."""

from __future__ import annotations

from pathlib import Path

from ocicat.errors import Refused, UserError
from ocicat.store.base import Datastore
from ocicat.store.memory import URL as MEMORY
from ocicat.store.memory import MemoryStore
from ocicat.store.sqlite import BUSY_S, SqliteStore

_SQLITE = "sqlite://"
_FORMS = "sqlite:///var/lib/ocicat/store.db (one machine) or memory:// (this process only)"


async def open_store(url: str, *, busy_s: float = BUSY_S) -> Datastore:
    """The store at `url`, ready; close it when done. `busy_s`: how long a commit waits for other processes.

    Raises UserError (no such form, not a store), Refused (not built, newer schema, read-only), Unavailable (held).
    """
    if url == MEMORY:
        return MemoryStore()
    if url.startswith(_SQLITE + "/"):
        return await SqliteStore.open(Path(url.removeprefix(_SQLITE)), busy_s=busy_s)
    if url.startswith("etcd://"):
        raise Refused(f"store {url}: etcd is not built yet in this version", hint=f"use {_FORMS}")
    raise UserError(f"store {url!r}: is no address of a store", hint=f"use {_FORMS}")
