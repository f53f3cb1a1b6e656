"""HTTP/1.1 as far as an executor needs it: one POST with a short answer, one POST whose answer is a stream of events.

Promises: `Stream.feed` is PURE and gives the same records however the bytes were cut (chunked transfer around RecordIO).
Every blocking step has a limit. Errors: Unavailable (try again: nobody listens, or the agent is not ready), Refused (do not).
"""

from __future__ import annotations

import socket

from ocicat.errors import Refused, Unavailable

_TIMEOUT_S = 5.0
_MAX_HEAD_BYTES = 65536
_MAX_FRAME_BYTES = 64 << 20
_NOT_READY = (404, 503)  # routes not there yet; recovery not finished
_PIECE_BYTES = 65536


class Lines:
    """Frames out of bytes that come in pieces: a length (in `base`) on a line of its own, that many bytes, then `after`."""

    def __init__(self, base: int, after: bytes) -> None:
        self._buffer = bytearray()
        self._base = base
        self._after = after

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes. Refused when the stream has lost its frame."""
        self._buffer += data
        frames = []
        while (frame := self._take()) is not None:
            frames.append(frame)
        return frames

    def _take(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        start, length = end + 1, self._length(bytes(self._buffer[:end]))
        stop = start + length + len(self._after)
        if len(self._buffer) < stop:
            return None
        frame = bytes(self._buffer[start : start + length])
        del self._buffer[:stop]
        return frame

    def _length(self, line: bytes) -> int:
        try:
            length = int(line.split(b";")[0], self._base)
        except ValueError as error:
            raise Refused(f"event stream: {line[:40]!r} where a length should be") from error
        if not 0 <= length <= _MAX_FRAME_BYTES:
            raise Refused(f"event stream: a frame of {length} bytes")
        return length


class Stream:
    """The events' bytes out of the response's bytes."""

    def __init__(self) -> None:
        self._chunks = Lines(16, b"\r\n")
        self._records = Lines(10, b"")
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes. The chunk of length zero, which ends a response, sets `ended`."""
        records = []
        for chunk in self._chunks.feed(data):
            self.ended = self.ended or not chunk
            records += self._records.feed(chunk)
        return records


class Subscription:
    """An open event stream. `fileno` makes it fit for poll(); `read` once poll says so."""

    def __init__(self, connection: socket.socket, already: bytes) -> None:
        self._connection = connection
        self._already = already
        self._stream = Stream()

    def fileno(self) -> int:
        return self._connection.fileno()

    def first(self) -> list[bytes]:
        """The records that came with the response's head."""
        return self._stream.feed(self._already)

    def read(self) -> list[bytes]:
        """What has arrived. Unavailable when the agent has hung up."""
        try:
            data = self._connection.recv(_PIECE_BYTES)
        except OSError as error:
            raise Unavailable(f"event stream: {error.strerror}") from error
        records = self._stream.feed(data)
        if not data or self._stream.ended:
            raise Unavailable("event stream: the agent closed it")
        return records

    def close(self) -> None:
        self._connection.close()


class Reply:
    """An answer that may take long. `fileno` makes it fit for poll(); `read` once poll says so."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def fileno(self) -> int:
        return self._connection.fileno()

    def read(self) -> bytes:
        """Its body, and the end of the connection. Unavailable, Refused."""
        with self._connection:
            body = _accepted(self._connection)
            try:
                while piece := self._connection.recv(_PIECE_BYTES):
                    body += piece
            except OSError as error:
                raise Unavailable(f"no answer from the agent: {error.strerror or error}") from error
        return body

    def close(self) -> None:
        self._connection.close()


class Agent:
    """The executor API of one Mesos agent, at "IP:PORT" under `path`. ValueError when there is no port."""

    def __init__(self, endpoint: str, path: str) -> None:
        host, _, port = endpoint.rpartition(":")
        self._address = (host, int(port))
        self._path = path

    def subscribe(self, call: bytes) -> Subscription:
        """Open the event stream."""
        connection = self._request(call, "keep-alive")
        try:
            return Subscription(connection, _accepted(connection))
        except BaseException:
            connection.close()
            raise

    def send(self, call: bytes) -> None:
        """One call; returns when the agent has accepted it."""
        with self._request(call, "close") as connection:
            _accepted(connection)

    def begin(self, call: bytes) -> Reply:
        """One call whose answer is awaited by poll()."""
        return Reply(self._request(call, "close"))

    def _request(self, call: bytes, persistence: str) -> socket.socket:
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\nConnection: {persistence}\r\n"
            f"Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {len(call)}\r\n\r\n"
        )
        try:
            connection = socket.create_connection(self._address, _TIMEOUT_S)
            connection.sendall(head.encode() + call)
        except OSError as error:
            raise Unavailable(f"agent {self._address[0]}:{self._address[1]}: {error.strerror or error}") from error
        return connection


def _accepted(connection: socket.socket) -> bytes:
    """Read the response's head; what came after it. Unavailable or Refused when the status is not 2xx."""
    head = bytearray()
    try:
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
            piece = connection.recv(_PIECE_BYTES)
            if not piece:
                raise Unavailable("the agent hung up before it answered")
            head += piece
    except OSError as error:
        raise Unavailable(f"no answer from the agent: {error.strerror or error}") from error
    top, _, rest = bytes(head).partition(b"\r\n\r\n")
    status = top.split(b"\r\n")[0].decode(errors="replace")
    _check(status, rest)
    return rest


def _check(status_line: str, body: bytes) -> None:
    code = status_line.split(" ")[1:2]
    number = int(code[0]) if code and code[0].isdigit() else 0
    if 200 <= number < 300:
        return
    text = f"the agent answered {status_line!r} {body[:200].decode(errors='replace')}".strip()
    raise Unavailable(text) if number in _NOT_READY else Refused(text)
