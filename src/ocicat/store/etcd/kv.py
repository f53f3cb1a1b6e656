"""The shared back end: an etcd v3 cluster (3.4 or newer), by its own revisions, transactions and watches.

1. Our revision is etcd's: that of the header of a reply. Others may use the same etcd: revisions then have gaps for us.
2. A commit is one transaction. It is sent once; when its acknowledgement is lost the error says that its outcome is unknown.
3. Many keys are read in pages, all at the revision of the first; a range that is compacted away meanwhile is begun anew.
4. `Status.keys` counts the keys under `/`, where all of ours lie.
   `Status.compacted`: etcd tells it to a watch that comes too late and nobody else, so that is how it is asked; a compaction to
   revision 1, the empty store, it does not tell from none.
5. A lease is kept alive by one call each time. On the wire a stream of one request and one reply is a plain call, so that it has
   what every call here has: another member, another token, a deadline.
6. A user needs read and write on the prefix `/`; from etcd 3.6 on, and the role root to compact.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from itertools import chain, islice

from ocicat.errors import Bug, Compacted, NotFound, Refused, Unavailable
from ocicat.store.base import Condition, Events, KeyValue, Lease, Operation, Put, Snapshot, Status
from ocicat.store.checks import (
    check_commit,
    check_compaction,
    check_condition,
    check_key,
    check_prefix,
    check_ttl,
    lease_gone,
)
from ocicat.store.etcd import wire
from ocicat.store.etcd.address import read_address
from ocicat.store.etcd.client import Client
from ocicat.store.etcd.members import ask_members
from ocicat.store.etcd.watch import compacted_revision, follow

# etcd goes through the rest of the range for each page, so that many small ones take longer; what bounds them is memory: a page
# on its way lies there four times.
_PAGE = 20_000  # keys
_FIRST_PAGE = 5000  # keys: when nothing is known of their size
_PAGE_BYTES = 4 << 20
_AT_ONCE = 500  # keys: a millisecond
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
        for _ in range(_TRIES):
            try:
                pages = [page async for page in self.pages(prefix)]
            except Compacted:
                continue
            return Snapshot(pages[0].revision, tuple(chain.from_iterable(page.items for page in pages)))
        raise Unavailable(f"store {self._client.name}: is compacted faster than {prefix!r} can be read")

    async def pages(self, prefix: str) -> AsyncGenerator[Snapshot, None]:
        check_prefix(prefix)
        start, end = wire.span(prefix)
        page = await self._page((start, end), limit=min(_FIRST_PAGE, _PAGE), revision=0)
        revision = page.revision  # later pages are of this one, too, but tell the present one
        while page.more:
            reading = self._page((page.rest, end), limit=_limit(page), revision=revision)
            following = asyncio.create_task(reading, name="next page")
            try:
                yield Snapshot(revision, await _items(page))  # etcd reads on while this one is made and used
                page = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        yield Snapshot(revision, await _items(page))

    async def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int:
        check_commit(conditions, operations)
        if not conditions and not operations:
            return await self._revision()
        if not conditions and len(operations) == 1 and isinstance(put := operations[0], Put):
            # As a transaction it is a third dearer for etcd.
            return await self._client.call(wire.PUT, wire.put_request(put), repeatable=False)
        request = wire.txn_request(conditions, operations)
        reply = await self._client.call(wire.TXN, request, repeatable=not operations)
        if reply.succeeded:
            return reply.revision
        for condition, found in zip(conditions, reply.found, strict=True):
            check_condition(condition, found)
        raise Bug(f"store {self._client.name}: etcd says that a condition failed, and they all hold")

    def watch(self, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
        return follow(self._client, prefix, revision)

    async def compact(self, revision: int) -> None:
        check_compaction(revision, await self._revision())
        try:
            await self._client.call(wire.COMPACT, wire.compaction_request(max(revision, 0)), repeatable=True)
        except Compacted:
            return  # that far, or farther, already
        except Refused as error:
            if "permission denied" not in error.message:
                raise
            raise Refused(error.message, hint="from etcd 3.6 on only a user with the role root may compact") from error

    async def grant(self, ttl_s: int) -> Lease:
        """One whose grant was not acknowledged is asked for again: the lost one has nothing under it, and expires."""
        check_ttl(ttl_s)
        return await self._client.call(wire.LEASE_GRANT, wire.grant_request(ttl_s), repeatable=True)

    async def renew(self, lease: int) -> None:
        request = wire.keep_alive_request(lease)
        if not await self._client.call(wire.LEASE_KEEP_ALIVE, request, repeatable=True):
            raise lease_gone(lease)

    async def revoke(self, lease: int) -> None:
        with suppress(NotFound):
            await self._client.call(wire.LEASE_REVOKE, wire.revoke_request(lease), repeatable=True)

    async def status(self) -> Status:
        count = await self._read(wire.count_request(_OURS))
        members = await ask_members(self._client)
        size = max(member.size_bytes for member in members)
        return Status(self._client.url, count.revision, await self._compacted(), count.count, size, members)

    async def close(self) -> None:
        await self._client.close()

    async def _read(self, request: bytes) -> wire.RangeReply:
        return await self._client.call(wire.RANGE, request, repeatable=True)

    async def _page(self, within: wire.Span, *, limit: int, revision: int) -> wire.Page:
        request = wire.page_request(within, limit=limit, revision=revision)
        return await self._client.call(wire.PAGE, request, repeatable=True)

    async def _revision(self) -> int:
        return (await self._read(wire.get_request(_ROOT))).revision

    async def _compacted(self) -> int:
        try:
            await self._read(wire.count_request(_OURS, revision=_FIRST))
        except Compacted:
            return await compacted_revision(self._client, _OURS)
        return 0


async def _items(page: wire.Page) -> tuple[KeyValue, ...]:
    """The loop, and with it the next page, gets its turn now and then: many keys take long."""
    items, rest = list[KeyValue](), page.take()
    while len(items) < page.count:
        items += islice(rest, _AT_ONCE)
        if len(items) < page.count:
            await asyncio.sleep(0)
    return tuple(items)


def _limit(page: wire.Page) -> int:
    """For the page after this one, as if its keys and values were as large."""
    return min(max(1, _PAGE_BYTES * page.count // page.size_bytes), _PAGE)
