"""What of a store is transferred, and how two such contents differ. Only `read_content` does input.

1. All of `/calico/` and `/ocicat/` as it was at one revision. Not: the note of an unfinished transfer, and keys under a lease,
   which vanish with their holder.
2. The cluster information holds the lock, which changes while a transfer runs: it is kept apart from the other keys.
3. A key that is no valid UTF-8 can be put into no store of ours, and nobody reads it: it is left out, and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.store.base import Datastore, Delete, KeyValue, Operation, Put
from ocicat.store.transfer.record import RECORD

ROOTS = (keys.ROOT, "/ocicat/")
_BATCH_KEYS = 1000
_BATCH_BYTES = 1 << 20  # keys and values; etcd takes requests of up to 1.5 MiB, with everything around them


class Content(Struct, frozen=True):
    """`items`: without the cluster information, in key order. `left_out`: keys that cannot be carried."""

    revision: int
    items: tuple[KeyValue, ...]
    information: KeyValue | None = None
    left_out: tuple[str, ...] = ()

    def count(self) -> int:
        return len(self.items) + (self.information is not None)


async def read_content(store: Datastore, scope: Sequence[str] = ROOTS) -> Content:
    """Everything under one of the prefixes of `scope`, at one revision."""
    snapshot = await store.range(_common(scope))
    return content_of(snapshot.revision, (item for item in snapshot.items if item.key.startswith(tuple(scope))))


def content_of(revision: int, items: Iterable[KeyValue]) -> Content:
    carried: list[KeyValue] = []
    left_out: list[str] = []
    information = None
    for item in items:
        if item.key == keys.CLUSTER_INFORMATION:
            information = item
        elif not _is_text(item.key):
            left_out.append(item.key)
        elif item.key != RECORD and not item.lease:
            carried.append(item)
    return Content(revision, tuple(carried), information, tuple(left_out))


def differences(have: Content, want: Content, *, deleting: bool) -> list[Operation]:
    """What makes `have` hold the same keys and values as `want`, the cluster information aside.

    `deleting`: also what `want` does not have.
    """
    present = {item.key: item.value for item in have.items}
    puts: list[Operation] = [Put(item.key, item.value) for item in want.items if present.get(item.key) != item.value]
    if not deleting:
        return puts
    wanted = {item.key for item in want.items}
    return [*(Delete(key) for key in present if key not in wanted), *puts]


def batches(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """In pieces that a commit takes at once, whatever the back end. One value that is too big for that comes alone."""
    batch: list[Operation] = []
    size = 0
    for operation in operations:
        length = _size(operation)
        if batch and (len(batch) == _BATCH_KEYS or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += length
    if batch:
        yield batch


def _size(operation: Operation) -> int:
    return len(operation.key.encode()) + (len(operation.value) if isinstance(operation, Put) else 0)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _common(scope: Sequence[str]) -> str:
    """The one prefix of all of them, so that one read, at one revision, finds everything."""
    first, last = min(scope), max(scope)
    length = next((place for place, char in enumerate(first) if last[place : place + 1] != char), len(first))
    return first[:length]
