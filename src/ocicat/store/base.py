"""The datastore protocol: what every back end promises, and nothing more. It is etcd's model in six calls.

1. One revision counter for the whole store; every commit that changes something raises it by exactly one, and every value carries
   the revision that made it (`created`) and that changed it last (`modified`).
2. A commit is atomic: all compares hold and all operations happen at one revision, or nothing happens. A compare with `modified=0`
   says "this key does not exist". There is no blind read-modify-write: who read a value says so in a compare.
3. A watch from revision R yields every event with a revision >= R under its prefix, in revision order, the events of one
   revision never split over two batches, none twice, none skipped; or it raises `Compacted` when R is no longer kept.
   It never ends silently.
4. Keys are text, ordered by their UTF-8 bytes; values are bytes; neither is looked into. A key that is empty or is no valid
   UTF-8 is a `UserError`.
5. Errors are ours: `Conflict` (a compare failed; names the key), `Compacted`, `Unavailable` (busy, gone, closed), `Refused`
   (full, read-only), `Bug` (one key twice in a commit).

Source of the semantics: etcd v3 API reference (KV, Txn, Watch, Compact).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from ocicat.model.base import Struct


class KeyValue(Struct, frozen=True, gc=False):
    key: str
    value: bytes
    created: int  # revision of the commit that made the key
    modified: int  # revision of the commit that changed it last


class Snapshot(Struct, frozen=True):
    """All keys under a prefix as they were at `revision`, in key order."""

    revision: int
    items: tuple[KeyValue, ...]


class Compare(Struct, frozen=True, gc=False):
    """The key was last modified at exactly this revision; 0: the key does not exist."""

    key: str
    modified: int


class Put(Struct, frozen=True, gc=False):
    key: str
    value: bytes


class Delete(Struct, frozen=True, gc=False):
    """Deleting a key that does not exist is no error and no event."""

    key: str


Operation = Put | Delete


class Event(Struct, frozen=True, gc=False):
    """`value` is None when the key was deleted. `revision` is that of the commit."""

    key: str
    value: bytes | None
    revision: int


class Events(Struct, frozen=True):
    """Everything that happened under a prefix up to and including `revision`, after the batch before."""

    revision: int
    events: tuple[Event, ...]


class Status(Struct, frozen=True):
    """For `store status`: where it is, how far it is, how much it holds."""

    url: str
    revision: int
    compacted: int  # the oldest revision from which a watch can still start is this + 1
    keys: int
    size_bytes: int


class Datastore(Protocol):
    """See the module's promises. All calls are safe to make concurrently from one event loop."""

    async def get(self, key: str) -> KeyValue | None: ...

    async def range(self, prefix: str) -> Snapshot:
        """Every key that starts with `prefix`, at one revision."""
        ...

    async def commit(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> int:
        """Returns the revision of the commit. No operation, or deletes of absent keys only, returns the present revision.

        A key may be operated on once in a commit. Raises `Conflict` when a compare fails, naming the first key that did.
        """
        ...

    def watch(self, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
        """Events from `revision` on (included), for ever. Close it (`contextlib.aclosing`) to stop watching.

        A revision of 0 means the first there ever was. A watch of a store that is closed or gone raises `Unavailable`.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget events up to and including `revision`; present values stay. Later or equal to the present: UserError.

        What is forgotten already is no error.
        """
        ...

    async def status(self) -> Status: ...

    async def close(self) -> None: ...
