"""A live view of a Mesos cluster: the leading master's event stream, kept up for ever.

1. `hear` is called when something has changed, with all that arrived together; never twice at once.
2. A master that does not answer, or leads no more, is a pause: what was known stays, `leader` is None, and it is tried again,
   backing off. Then the whole state is told anew.
3. What is wrong is logged once for each reason, and once when it is over.
4. Silence of some heartbeats counts as a cut connection: a dead master closes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from ocicat.errors import NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.credential import Credential
from ocicat.mesos.discovery import Masters, discovered
from ocicat.mesos.http import MAX_BODY_BYTES, Request, complaint, opened
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.operator import PATH
from ocicat.mesos.operator_wire import Question, RawEvent
from ocicat.mesos.stream import Records
from ocicat.mesos.tasks import Change, Cluster
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

Hear = Callable[[Cluster, Change], None]

log = logging.getLogger(__name__)


class Timing(Struct, frozen=True):
    """In seconds."""

    connect_s: float = 5.0  # for the first answer
    missed_heartbeats: int = 3
    backoff_first_s: float = 0.1
    backoff_max_s: float = 5.0


async def follow(
    master: str,
    hear: Hear,
    *,
    credential: Credential | None = None,
    timing: Timing = Timing(),  # noqa: B008  frozen
) -> None:
    """Until it is cancelled. `master` as for `discovered`: UserError when it is not."""
    async with discovered(master, report=log.warning) as masters:
        await _Follower(masters, hear, credential, timing).run()


class _Follower:
    def __init__(self, masters: Masters, hear: Hear, credential: Credential | None, timing: Timing) -> None:
        self._masters = masters
        self._hear = hear
        self._credential = credential
        self._timing = timing
        self._cluster = Cluster()
        self._failures = 0  # in a row
        self._problems: set[str] = set()  # told since somebody answered

    async def run(self) -> None:
        while True:
            try:
                await self._until_moved(await self._masters.next())
            except (Unavailable, NotFound, Refused) as error:  # NotFound: a master answers that while it starts
                self._lose(error)
            delay_s = min(self._timing.backoff_first_s * 2 ** min(self._failures, 10), self._timing.backoff_max_s)
            self._failures += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    delay_s * random.uniform(0.5, 1.0)
                ):  # hosts that lost the same master spread out
                    await self._masters.moved()

    async def _until_moved(self, endpoint: Endpoint) -> None:
        jobs = [asyncio.create_task(self._listen(endpoint)), asyncio.create_task(self._masters.moved())]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            if jobs[0].done():
                jobs[0].result()
            raise Unavailable(f"{endpoint} leads the masters no more")
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _listen(self, endpoint: Endpoint) -> None:
        """Ends with an error, always."""
        async with aclosing(_told(endpoint, self._credential, self._timing)) as batches:
            async for leader, events in batches:
                if self._problems:
                    log.info("the Mesos master at %s tells of its tasks again", leader)
                self._problems.clear()
                self._failures, self._cluster.leader = 0, leader
                change = self._cluster.apply(event for raw in events if (event := raw.event()))
                if change != Change():
                    self._hear(self._cluster, change)

    def _lose(self, error: OcicatError) -> None:
        if str(error) not in self._problems:
            log.warning("tasks of Mesos are not followed for the moment: %s", error)
        self._problems.add(str(error))
        if self._cluster.leader:
            self._cluster.leader = None
            self._hear(self._cluster, Change())


async def _told(
    endpoint: Endpoint, credential: Credential | None, timing: Timing
) -> AsyncGenerator[tuple[Endpoint, list[RawEvent]], None]:
    """By the master at `endpoint`, or the one it redirects to. Ends with an error, always."""
    headers = credential.headers() if credential else {}
    request = Request(endpoint, PATH, "POST", encode_json(Question("SUBSCRIBE")), headers)
    async with opened(request, timing.connect_s) as answer:
        if answer.head.status != 200:
            raise complaint(answer.request, answer.head, await answer.read_all(timing.connect_s))
        leader, records = answer.request.endpoint, Records(answer, timing.connect_s, MAX_BODY_BYTES)
        async with aclosing(records.batches()) as batches:
            async for batch in batches:
                events = [_event(record, leader) for record in batch]
                for event in events:
                    if event.subscribed:
                        records.silence_s = event.subscribed.heartbeat_interval_seconds * timing.missed_heartbeats
                yield leader, events
        raise Unavailable(f"{leader}: the master closed the event stream")


def _event(record: bytes, leader: Endpoint) -> RawEvent:
    try:
        return decode_json(RawEvent, record, what=f"an event of the Mesos master at {leader}")
    except UserError as error:
        raise Refused(error.message) from error
