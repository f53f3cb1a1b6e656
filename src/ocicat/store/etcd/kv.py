"""The shared back end: an etcd v3 cluster (3.4 or newer), by its own revisions, transactions and watches.

1. Our revision is etcd's: that of the header of a reply. Others may use the same etcd: revisions then have gaps for us.
2. A commit is one transaction. It is sent once; when its acknowledgement is lost the error says that its outcome is unknown.
3. A range is read in pages, all at the revision of the first; one that is compacted away meanwhile is begun anew.
4. `Status.keys` counts the keys under `/`, where all of ours lie, and `size_bytes` is the file of the member that was asked.
   `Status.compacted`: etcd tells it to a watch that comes too late and nobody else, so that is how it is asked; a compaction to
   revision 1, the empty store, it does not tell from none.
5. A user needs read and write on the prefix `/`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from ocicat.errors import Bug, Compacted, Unavailable
from ocicat.store.base import Compare, Events, KeyValue, Operation, Snapshot, Status
from ocicat.store.checks import check_commit, check_compaction, check_compare, check_key, check_prefix
from ocicat.store.etcd import wire
from ocicat.store.etcd.address import read_address
from ocicat.store.etcd.client import Client
from ocicat.store.etcd.watch import compacted_revision, follow

_PAGE = 5000  # keys; etcd counts the rest of the range for each page, so that small ones cost more than they save
_TRIES = 5
_ROOT = "/"
_OURS = wire.span(_ROOT)
_FIRST = 1  # the revision of an empty etcd


class EtcdStore:
    """A `Datastore` in an etcd cluster. Made by `open`, used in one event loop."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    async def open(cls, url: str) -> EtcdStore:
        """Connected and logged in. Raises UserError (address), Unavailable (no member answers), Refused (user, password)."""
        client = Client(read_address(url))
        try:
            await client.connect()
        except BaseException:
            await client.close()
            raise
        return cls(client)

    async def get(self, key: str) -> KeyValue | None:
        check_key(key)
        reply = await self._read(wire.get_request(key))
        return reply.items[0] if reply.items else None

    async def range(self, prefix: str) -> Snapshot:
        check_prefix(prefix)
        for _ in range(_TRIES):
            try:
                return await self._pages(prefix)
            except Compacted:
                continue
        raise Unavailable(f"store {self._client.name}: is compacted faster than {prefix!r} can be read")

    async def commit(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> int:
        check_commit(compares, operations)
        if not compares and not operations:
            return await self._revision()
        request = wire.txn_request(compares, operations)
        reply = await self._client.call(wire.TXN, request, repeatable=not operations)
        if reply.succeeded:
            return reply.revision
        for compare, modified in zip(compares, reply.found, strict=True):
            check_compare(compare, modified)
        raise Bug(f"store {self._client.name}: etcd says that a compare failed, and they all hold")

    def watch(self, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
        return follow(self._client, prefix, revision)

    async def compact(self, revision: int) -> None:
        check_compaction(revision, await self._revision())
        try:
            await self._client.call(wire.COMPACT, wire.compaction_request(max(revision, 0)), repeatable=True)
        except Compacted:
            return  # that far, or farther, already

    async def status(self) -> Status:
        count = await self._read(wire.count_request(_OURS))
        member = await self._client.call(wire.STATUS, wire.STATUS_REQUEST, repeatable=True)
        return Status(self._client.url, count.revision, await self._compacted(), count.count, member.size_bytes)

    async def close(self) -> None:
        await self._client.close()

    async def _read(self, request: bytes) -> wire.RangeReply:
        return await self._client.call(wire.RANGE, request, repeatable=True)

    async def _revision(self) -> int:
        return (await self._read(wire.get_request(_ROOT))).revision

    async def _pages(self, prefix: str) -> Snapshot:
        start, end = wire.span(prefix)
        page = await self._read(wire.page_request((start, end), limit=_PAGE, revision=0))
        revision, items = page.revision, list(page.items)
        while page.more:
            start = wire.just_after(items[-1].key)
            page = await self._read(wire.page_request((start, end), limit=_PAGE, revision=revision))
            items += page.items
        return Snapshot(revision, tuple(items))

    async def _compacted(self) -> int:
        try:
            await self._read(wire.count_request(_OURS, revision=_FIRST))
        except Compacted:
            return await compacted_revision(self._client, _OURS)
        return 0
