"""The datastore protocol: what every back end promises, and nothing more. It is etcd's model, as far as it is used here.

1. One revision counter for the whole store; every commit that changes something raises it by exactly one, and every value carries
   the revision that made it (`created`) and that changed it last (`modified`).
2. A commit is atomic: all conditions hold and all operations happen at one revision, or nothing happens. A compare with
   `modified=0` says "this key does not exist". There is no blind read-modify-write: who read a value says so in a compare, and who
   decided by all that is under a prefix says so in one `Unchanged`, however many keys that are.
3. A watch from revision R yields every event with a revision >= R under its prefix, in revision order, the events of one
   revision never split over two batches, none twice, none skipped; or it raises `Compacted` when R is no longer kept.
   It never ends silently.
4. Keys are text, ordered by their UTF-8 bytes; values are bytes; neither is looked into. A key that is empty or is no valid
   UTF-8 is a `UserError`.
5. What is put under a lease vanishes, all of it in one commit, when the lease was not renewed for its time to live or was revoked;
   never earlier, and soon after. A key is under the lease of its last put, or under none. Time is that of the store, not of its
   clients; a leader of etcd that is elected gives all leases their full time again.
6. Errors are ours: `Conflict` (a condition failed; names the key), `Compacted`, `Unavailable` (busy, gone, closed), `Refused`
   (full, read-only), `NotFound` (a lease that is gone), `Bug` (one key twice in a commit).

Source of the semantics: etcd v3 API reference (KV, Txn, Watch, Compact, Lease).
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
    lease: int = 0  # id of the lease it is under; 0: it stays until somebody deletes it


class Snapshot(Struct, frozen=True):
    """All keys under a prefix as they were at `revision`, in key order."""

    revision: int
    items: tuple[KeyValue, ...]


class Compare(Struct, frozen=True, gc=False):
    """The key was last modified at exactly this revision; 0: the key does not exist."""

    key: str
    modified: int


class Unchanged(Struct, frozen=True, gc=False):
    """No key under `prefix` was made or modified after `revision`. At revision 0: there is no key under it.

    Keys that were deleted since are not seen: who relies on one being there says so in a `Compare` of its own.
    """

    prefix: str
    revision: int


Condition = Compare | Unchanged


class Lease(Struct, frozen=True, gc=False):
    """What was granted. `ttl_s`: it has to be renewed at least this often; never shorter than what was asked for."""

    id: int
    ttl_s: int


class Put(Struct, frozen=True, gc=False):
    """`lease`: id of the lease that the key is to be under; 0: it is to stay."""

    key: str
    value: bytes
    lease: int = 0


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


class MemberStatus(Struct, frozen=True):
    """One server of the store, as it answered just now. An embedded store has one: itself."""

    endpoint: str  # where it was asked
    name: str = ""  # its own, where it has one and we know it
    version: str = ""  # of the server, or of the library that reads the file
    is_leader: bool = False
    latency_ms: float = 0.0  # of one question and its answer, connected already
    size_bytes: int = 0
    problem: str = ""  # what is wrong with it; where it did not answer, nothing else is known


class Status(Struct, frozen=True):
    """For `store status`: where it is, how far it is, how much it holds, who serves it (in the order of their endpoints)."""

    url: str
    revision: int
    compacted: int  # the oldest revision from which a watch can still start is this + 1
    keys: int
    size_bytes: int  # of the largest member
    members: tuple[MemberStatus, ...]


class Datastore(Protocol):
    """See the module's promises. All calls are safe to make concurrently from one event loop."""

    async def get(self, key: str) -> KeyValue | None: ...

    async def range(self, prefix: str) -> Snapshot:
        """Every key that starts with `prefix`, at one revision."""
        ...

    def pages(self, prefix: str) -> AsyncGenerator[Snapshot, None]:
        """The same in pieces, one or more, all of one revision and in key order: for what need not be in memory as a whole.

        Raises `Compacted` when that revision is forgotten meanwhile: begin anew. Close it (`contextlib.aclosing`) to stop.
        """
        ...

    async def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int:
        """Returns the revision of the commit. No operation, or deletes of absent keys only, returns the present revision.

        A key may be operated on once in a commit. Raises `Conflict` when a condition fails; it names the key of the first that
        did or, for a prefix, the first key under it that changed. Raises `NotFound` when a lease of a put is gone.
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

    async def grant(self, ttl_s: int) -> Lease:
        """A new lease, with nothing under it. `ttl_s`: at least 1; a store may grant more."""
        ...

    async def renew(self, lease: int) -> None:
        """Its time begins anew. Raises NotFound when it has expired or was revoked."""
        ...

    async def revoke(self, lease: int) -> None:
        """Deletes what is under it, now. One that is gone already is no error."""
        ...

    async def status(self) -> Status:
        """A member that does not answer is told, and hides nothing else. Raises Unavailable when the store itself does not."""
        ...

    async def close(self) -> None: ...
