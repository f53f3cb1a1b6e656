"""The body of an answer that does not end, as records."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ocicat.errors import Unavailable
from ocicat.mesos.http import Answer
from ocicat.mesos.recordio import MAX_RECORD_BYTES, Decoder


class Records:
    """`silence_s`: how long nothing may come before the connection counts as cut; it may be changed meanwhile."""

    def __init__(self, answer: Answer, silence_s: float, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.silence_s = silence_s
        self._answer = answer
        self._decoder = Decoder(max_record_bytes)

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """What arrived, some records at a time, until the other side closes in good order. Unavailable, Refused."""
        while piece := await self._answer.read(self.silence_s):
            if records := self._decoder.feed(piece):
                yield records
        if not self._decoder.between_records:
            raise Unavailable(f"{self._answer.request.endpoint}: the event stream ended in the middle of an event")
