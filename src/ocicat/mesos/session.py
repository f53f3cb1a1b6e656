"""One subscription to a Mesos master: the event stream, and the calls that belong to it.

1. A session never mends itself: the first thing that goes wrong ends it with `Unavailable` (another may work) or with `Refused`.
2. Silence of `missed_heartbeats` intervals counts as a cut connection: a dead master closes nothing.
3. Calls carry the stream's id, so a master answers none that belong to an earlier subscription.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from ocicat.errors import Refused, Unavailable, UserError
from ocicat.mesos.http import Answer, Request, complaint, opened
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.stream import Records
from ocicat.mesos.wire import Call, Event
from ocicat.model.codec import decode_json, encode_json

_PATH = "/api/v1/scheduler"

# Mesos's words (1.11.0, src/master/http.cpp) for a call of a subscription that is no more; its status codes do not tell.
_STALE = ("Framework cannot be found", "Framework is not subscribed", "stream ID")


class Session:
    """Made by `subscribed`."""

    def __init__(self, answer: Answer, call_s: float, missed_heartbeats: int) -> None:
        self.endpoint = answer.request.endpoint  # of the leading master
        self._answer = answer
        self._stream_id = answer.head.headers.get("mesos-stream-id", "")
        self._call_s = call_s
        self._missed_heartbeats = missed_heartbeats

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """What arrived, some events at a time, until the master closes the stream in good order."""
        records = Records(self._answer, self._call_s)
        async with aclosing(records.batches()) as batches:
            async for batch in batches:
                events = [_event(record) for record in batch]
                for event in events:
                    if event.subscribed:
                        records.silence_s = event.subscribed.heartbeat_interval_seconds * self._missed_heartbeats
                yield events

    async def say(self, call: Call) -> str:
        """ "" when the master took the call, else its reason not to."""
        headers = {"Mesos-Stream-Id": self._stream_id}
        request = Request(self.endpoint, _PATH, "POST", encode_json(call), headers)
        async with opened(request, self._call_s) as answer:
            body = await answer.read_all(self._call_s)
        if 200 <= answer.head.status < 300:
            return ""
        error = complaint(request, answer.head, body)
        if not isinstance(error, Refused):
            raise error
        if any(words in error.message for words in _STALE):
            raise Unavailable(error.message)
        return error.message


@asynccontextmanager
async def subscribed(endpoint: Endpoint, call: Call, call_s: float, missed_heartbeats: int) -> AsyncIterator[Session]:
    """A session with the master at `endpoint` or the one it redirects to; `call` is the SUBSCRIBE."""
    async with opened(Request(endpoint, _PATH, "POST", encode_json(call)), call_s) as answer:
        if answer.head.status != 200:
            raise complaint(answer.request, answer.head, await answer.read_all(call_s))
        yield Session(answer, call_s, missed_heartbeats)


def _event(record: bytes) -> Event:
    try:
        return decode_json(Event, record, what="an event of the master")
    except UserError as error:
        raise Refused(error.message) from error
