"""From a store's address to the store: the one place that knows which back ends there are."""

from __future__ import annotations

from pathlib import Path

from ocicat.errors import UserError
from ocicat.store.base import Datastore
from ocicat.store.memory import URL as MEMORY
from ocicat.store.memory import MemoryStore
from ocicat.store.sqlite import BUSY_S, SqliteStore

_SQLITE = "sqlite://"
_ETCD = "etcd://"
_FORMS = (
    "sqlite:///var/lib/ocicat/store.db (one machine), etcd://HOST:2379 (a cluster) or memory:// (this process only)"
)


async def open_store(url: str, *, create: bool = True, busy_s: float = BUSY_S) -> Datastore:
    """The store at `url`, ready; close it when done. `busy_s`: how long a commit waits for other processes.

    Without `create` a file that is missing is not made but NotFound; an etcd is there or is not, and memory always new.
    Raises UserError (no such form, not a store), Refused (newer schema, read-only, wrong password), Unavailable (held, no answer).
    """
    check_address(url)
    if url == MEMORY:
        return MemoryStore()
    if url.startswith(_ETCD):
        return await _open_etcd(url)
    return await SqliteStore.open(Path(url.removeprefix(_SQLITE)), create=create, busy_s=busy_s)


def check_address(url: str) -> None:
    """UserError where its words cannot be an address; nobody is asked, and no file is looked at."""
    if url.startswith(_ETCD):
        from ocicat.store.etcd.address import check_address

        check_address(url)
    elif url != MEMORY and not url.startswith(_SQLITE + "/"):
        raise UserError(f"store {url!r}: is no address of a store", hint=f"use {_FORMS}")


async def _open_etcd(url: str) -> Datastore:
    """gRPC is large and an extra: it is loaded by those who use it."""
    try:
        from ocicat.store.etcd.kv import EtcdStore
    except ModuleNotFoundError as error:
        raise UserError(f"store {url}: {error.name} is not installed", hint="pip install 'ocicat[etcd]'") from error
    return await EtcdStore.open(url)
