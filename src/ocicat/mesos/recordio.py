"""RecordIO, the framing of Mesos's event streams: a decimal length, a newline, then that many bytes.

1. PURE: bytes in, records out; no clock, no socket.
2. How the bytes were cut on their way does not matter: any split of the input gives the same records in the same order.
3. A stream that cannot be RecordIO is refused at the first byte that shows it, and no length can make us hold more than
   `max_bytes`. After a refusal the decoder is of no more use: the stream has lost its frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocicat.errors import Refused

MAX_RECORD_BYTES = 64 << 20  # an OFFERS event of ten thousand agents is about 10 MB


def encode(record: bytes) -> bytes:
    """One record as it goes on the wire."""
    return b"%d\n%b" % (len(record), record)


@dataclass(slots=True)
class Decoder:
    """Incremental: feed what arrived, get what is complete."""

    max_bytes: int = MAX_RECORD_BYTES
    _buffer: bytearray = field(default_factory=bytearray)
    _wanted: int | None = None  # length of the record whose bytes are being collected; None: a length comes next

    @property
    def between_records(self) -> bool:
        """Whether the stream may end here without having been cut."""
        return self._wanted is None and not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, oldest first. Refused when this is no RecordIO."""
        self._buffer += data
        records: list[bytes] = []
        while (record := self._take()) is not None:
            records.append(record)
        return records

    def _take(self) -> bytes | None:
        if self._wanted is None:
            self._wanted = self._take_length()
        if self._wanted is None or len(self._buffer) < self._wanted:
            return None
        record = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._wanted = None
        return record

    def _take_length(self) -> int | None:
        most = len(str(self.max_bytes))
        end = self._buffer.find(b"\n", 0, most + 1)
        digits = bytes(self._buffer[: most + 1] if end < 0 else self._buffer[:end])
        # isdigit is false for "", so an empty line is refused only once its newline is there
        if (digits or end == 0) and not digits.isdigit():
            raise Refused(f"event stream: {digits[:20]!r} where the length of a record should be")
        if len(digits) > most or (digits and int(digits) > self.max_bytes):
            raise Refused(f"event stream: a record of {digits.decode()}... bytes, more than {self.max_bytes}")
        if end < 0:
            return None
        del self._buffer[: end + 1]
        return int(digits)
