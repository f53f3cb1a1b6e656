"""A watch of etcd: one stream at a time, begun anew on whichever member answers, until it is closed or history is gone.

1. A stream that ends, for whatever reason, is resumed after the last revision that was *delivered*: never after one that etcd only
   mentioned. After twice the timeout without a stream it is `Unavailable`.
2. What is sent in fragments is put together first: the events of one revision are never split.
3. Progress that etcd reports of its own accord (3.4: each ten minutes; only to a watch that has seen everything) comes as a batch
   without events. Asking for it is no use: before 3.4.25 and 3.5.8 the answer may overtake events.
4. A replay starts one revision early and leaves that out. etcd lets a watch start *at* the compacted revision, where deletes
   may be forgotten; one that starts before it is told. What remains: an etcd older than 3.4.36 or 3.5.18 that is compacted
   in the middle of a replay, exactly at the revision it is about to send, forgets the deletes of that one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import cast

import grpc
from grpc.aio import AioRpcError, StreamStreamCall

from ocicat.errors import Compacted, Refused, Unavailable
from ocicat.store.base import Event, Events
from ocicat.store.checks import check_kept, check_prefix
from ocicat.store.etcd import failures
from ocicat.store.etcd.client import Client, Member
from ocicat.store.etcd.wire import WATCH, Span, WatchReply, span, watch_request

_FIRST = 2  # the first revision there can be an event of: an empty etcd is at 1
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 1.0
_DENIALS = ("permission denied", "invalid auth token")

_LOG = logging.getLogger(__name__)


async def follow(client: Client, prefix: str, revision: int) -> AsyncGenerator[Events, None]:
    """What `Datastore.watch` promises."""
    check_prefix(prefix)
    at, patience = max(revision, _FIRST), _Patience(client)
    while True:
        stream = None
        try:
            stream = await _Stream.open(client, span(prefix), at)
            patience.renew()
            while True:
                batch = await stream.batch()
                if batch.revision >= at:
                    at = batch.revision + 1
                    yield batch
        except Compacted:
            raise
        except Unavailable as error:
            await patience.wait(error, at)
        finally:
            if stream:
                stream.end()


async def compacted_revision(client: Client, within: Span) -> int:
    """Of a store that is known to be compacted: a watch from the first revision is told how far."""
    stream = await _Stream.open(client, within, _FIRST)
    try:
        async with asyncio.timeout(client.timeout_s):
            return (await stream.cancellation()).compacted
    except TimeoutError as error:
        raise Unavailable(f"store {client.name}: does not tell how far it is compacted") from error
    finally:
        stream.end()


class _Stream:
    """One watch on one member."""

    def __init__(self, client: Client, member: Member, call: StreamStreamCall[bytes, WatchReply], at: int) -> None:
        self._client = client
        self._member = member
        self._call = call
        self._at = at

    @classmethod
    async def open(cls, client: Client, within: Span, at: int) -> _Stream:
        """Delivers from `at` on. Raises Unavailable, Refused, Compacted."""
        stream, present = await cls._admitted(client, within, at, at)
        if present < at:
            return stream  # nothing to replay: it follows from now on
        stream.end()
        return (await cls._admitted(client, within, at, at - 1))[0]

    async def batch(self) -> Events:
        """The next whole one. Raises Compacted, Refused; Unavailable when the stream ended."""
        events: list[Event] = []
        while True:
            reply = await self._read()
            if reply.cancelled:
                raise self._cancelled(reply)
            events += reply.events
            if not reply.partial:
                break
        fresh = tuple(event for event in events if event.revision >= self._at)
        if events:
            return Events(events[-1].revision, fresh)
        return Events(reply.revision, ())

    async def cancellation(self) -> WatchReply:
        while not (reply := await self._read()).cancelled:
            pass
        return reply

    def end(self) -> None:
        self._call.cancel()

    @classmethod
    async def _admitted(cls, client: Client, within: Span, at: int, start: int) -> tuple[_Stream, int]:
        try:
            return await cls._begin(client, within, at, start)
        except Refused:  # etcd 3.4 says of an expired token, too, that permission is denied
            if not await client.log_in_again():
                raise
            return await cls._begin(client, within, at, start)

    @classmethod
    async def _begin(cls, client: Client, within: Span, at: int, start: int) -> tuple[_Stream, int]:
        """The stream, and the revision of the store when it began."""
        member, call = await client.stream(WATCH)
        stream = cls(client, member, call, at)
        try:
            async with asyncio.timeout(client.timeout_s):
                return stream, await stream._create(within, start)
        except TimeoutError as error:
            stream.end()
            raise stream._lost("no answer") from error
        except BaseException:
            stream.end()
            raise

    async def _create(self, within: Span, start: int) -> int:
        """Returns when etcd has answered. The revision in its answer says nothing about what was delivered."""
        with suppress(AioRpcError, asyncio.InvalidStateError), self._client.closing:
            await self._call.write(watch_request(within, start))  # what fails here, reading explains
        reply = await self._read()
        if reply.cancelled:
            raise self._cancelled(reply)
        return reply.revision

    async def _read(self) -> WatchReply:
        try:
            with self._client.closing:
                reply = await self._call.read()
        except AioRpcError as error:
            if not failures.is_lost(error):
                raise failures.refusal(self._client.name, error) from error
            raise self._lost(failures.reason(error)) from error
        if reply is grpc.aio.EOF:
            raise self._lost("ended the stream")
        return cast("WatchReply", reply)

    def _cancelled(self, reply: WatchReply) -> Exception:
        if reply.compacted:
            try:
                check_kept(self._at, reply.compacted)
            except Compacted as error:
                return error
        if any(text in reply.reason for text in _DENIALS):
            return failures.refused(self._client.name, reply.reason)
        return self._lost(reply.reason or "cancelled the watch")

    def _lost(self, why: str) -> Unavailable:
        self._client.leave(self._member)
        return Unavailable(f"store {self._client.name}: {self._member.endpoint}: watch: {why}")


class _Patience:
    """How long a watch tries to find a stream again: doubling delays, spread by half, for twice the client's timeout."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until = 0.0
        self._delay_s = _FIRST_DELAY_S

    def renew(self) -> None:
        self._until, self._delay_s = 0.0, _FIRST_DELAY_S

    async def wait(self, error: Unavailable, at: int) -> None:
        """Raises `error` when there was enough of it."""
        now = asyncio.get_running_loop().time()
        if not self._until:
            _LOG.warning("watch from revision %d: looking for another stream: %s", at, error)
            self._until = now + 2 * self._client.timeout_s
        if self._client.is_closed or now >= self._until:
            raise error
        await asyncio.sleep(random.uniform(self._delay_s / 2, self._delay_s))
        self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
