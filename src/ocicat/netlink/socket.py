"""The one place that talks to the kernel over netlink.

Promises: every request gets the kernel's own answer; many go in one system call; dumps are consistent.

Invariants: 1. A socket belongs to one thread, and lives in the network namespace it was opened in, wherever its thread
goes later. 2. Only answers from the kernel with the sequence number of the running request count; strays are skipped.
3. A chunk of a batch is bounded so that even an error for each of its requests fits the receive buffer.
4. `Unavailable` (timeout, overrun) means that the outcome is not known: open a new socket and read back.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from ocicat.errors import Refused, Unavailable
from ocicat.netlink.errors import NetlinkError, refusal
from ocicat.netlink.namespace import inside
from ocicat.netlink.nftset import BATCH_BEGIN, BATCH_END, Element, SetName
from ocicat.netlink.nftset import dump as elements_of
from ocicat.netlink.wire import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Query,
    Request,
    encode,
    messages,
    outcome,
)

T = TypeVar("T")

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT_CHECK = 10, 11, 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33

_BUFFER_BYTES = 4 << 20
_DATAGRAM_BYTES = 1 << 16  # dumps come in 32 KiB, and no attribute is longer than 64
_ANSWER_BYTES = 4096  # what an error costs the receive buffer at most, with the kernel's own overhead
_CHUNK_BYTES = 128 << 10
_DUMP_TRIES = 10
_LAST_SEQ = 0xFFFFFFFF
_TIMEVAL = struct.Struct("@ll")


def open_netlink(protocol: int, netns_fd: int | None) -> socket.socket:
    """A bound raw socket in the given network namespace (None: the thread's own)."""
    try:
        if netns_fd is None:
            return _bound(protocol)
        with inside(netns_fd):
            return _bound(protocol)
    except OSError as error:
        raise Refused(f"cannot open a netlink socket: {error.strerror}") from error


def widen(sock: socket.socket, forced: int, plain: int, size: int) -> None:
    """Makes a buffer `size` bytes long; without CAP_NET_ADMIN as long as net.core.*mem_max lets it be."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)


def widen_receive(sock: socket.socket, size: int) -> None:
    widen(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, size)


def _bound(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        sock.bind((0, 0))
    except OSError:
        sock.close()
        raise
    return sock


class NetlinkSocket:
    """Requests and dumps of one netlink protocol. A context manager."""

    def __init__(self, protocol: int, netns_fd: int | None = None, *, timeout_s: float = 5.0) -> None:
        self._socket = open_netlink(protocol, netns_fd)
        self._seq = 0
        self._timeout_s = timeout_s
        self._buffer = bytearray(_DATAGRAM_BYTES)
        self._set_up()

    def _set_up(self) -> None:
        sock = self._socket
        for option in (_CAP_ACK, _EXT_ACK):
            sock.setsockopt(_SOL_NETLINK, option, 1)
        widen_receive(sock, _BUFFER_BYTES)
        widen(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, _BUFFER_BYTES)
        # A time limit of the socket itself saves the poll() that Python's own would put before each receive.
        seconds, fraction = divmod(self._timeout_s, 1)
        limit = _TIMEVAL.pack(int(seconds), int(fraction * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._room_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32
        received = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._chunk = max(1, received // _ANSWER_BYTES)

    @property
    def port(self) -> int:
        """The address by which notifications name who caused them."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request(self, request: Request) -> None:
        """One request, done when this returns. NetlinkError, Unavailable."""
        error = self.batch((request,))[0]
        if error is not None:
            raise error

    def batch(self, requests: Sequence[Request]) -> list[NetlinkError | None]:
        """Many requests, in order, each on its own: what one is refused does not stop the next. One result each."""
        results: list[NetlinkError | None] = []
        for chunk in self._chunks(requests):
            results += self._exchange(chunk, len(results))
        return results

    def get(self, query: Query[T]) -> T:
        """The one object asked for. NetlinkError (`missing` if there is none), Unavailable."""
        seq = self._take(1)
        self._send(encode(query.request, seq))
        answer = next(self._answers(seq, seq))
        if answer.type == NLMSG_ERROR:
            raise refusal(outcome(answer), query.request)
        return query.decode(answer.body)

    def dump(self, query: Query[T]) -> list[T]:
        """All objects asked for, as of one moment: repeated while they change under it. NetlinkError, Unavailable."""
        for _ in range(_DUMP_TRIES):
            bodies = self._dump_once(query)
            if bodies is not None:
                return list(map(query.decode, bodies))
        raise Unavailable(f"cannot {query.request}: it changed during each of {_DUMP_TRIES} dumps")

    def _dump_once(self, query: Query[T]) -> list[bytes] | None:
        """The bodies; None if the kernel says that they do not fit together.

        It is read to its end whatever happens: a socket with an unfinished dump refuses the next one.
        """
        seq = self._take(1)
        self._send(encode(query.request, seq, NLM_F_DUMP))
        bodies: list[bytes] = []
        torn = 0
        for message in self._answers(seq, seq):
            torn |= message.flags & NLM_F_DUMP_INTR
            if message.type not in (NLMSG_DONE, NLMSG_ERROR):
                bodies.append(message.body)
                continue
            end = outcome(message)
            if end.errno == errno.ENOENT and query.missing_is_empty:
                return []
            if end.errno == errno.EINTR or torn:
                return None
            if end.errno:
                raise refusal(end, query.request)
            break
        return bodies

    def _chunks(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """Runs that one send takes and whose answers one receive buffer holds."""
        chunk: list[Request] = []
        size = 0
        for request in requests:
            size += len(request.body) + 16
            if chunk and (len(chunk) == self._chunk or size > _CHUNK_BYTES or size > self._room_bytes):
                yield chunk
                chunk, size = [], len(request.body) + 16
            chunk.append(request)
        if chunk:
            yield chunk

    def _exchange(self, requests: list[Request], before: int) -> list[NetlinkError | None]:
        """`before`: how many of the batch were sent already.

        Only the last asks for an acknowledgement: the others answer when refused, and answers come in order.
        """
        count = len(requests)
        first = self._take(count)
        last = first + count - 1
        parts = [encode(request, first + i) for i, request in enumerate(requests[:-1])]
        parts.append(encode(requests[-1], last, NLM_F_ACK))
        self._send(b"".join(parts))
        results: list[NetlinkError | None] = [None] * count
        for message in self._answers(first, last):
            if message.type == NLMSG_ERROR:
                index = message.seq - first
                results[index] = _verdict(message, requests[index], before + index)
                if message.seq == last:
                    break
        return results

    def _take(self, count: int) -> int:
        """`count` sequence numbers in a row, the first of them; never 0, which notifications carry."""
        if self._seq + count > _LAST_SEQ:
            self._seq = 0
        first = self._seq + 1
        self._seq += count
        return first

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise Refused(f"{len(data)} bytes are too long for one netlink message", hint="split it") from error
            raise Unavailable(f"netlink send failed: {error.strerror}") from error

    def _answers(self, first: int, last: int) -> Iterator[Message]:
        """Messages of the kernel with those sequence numbers, for as long as they are asked for."""
        while True:
            for message in messages(self._receive()):
                if first <= message.seq <= last:
                    yield message

    def _receive(self) -> bytes:
        """One datagram from the kernel."""
        while True:
            try:
                size, _, flags, sender = self._socket.recvmsg_into([self._buffer])
            except BlockingIOError as error:
                raise Unavailable(f"no answer from the kernel in {self._timeout_s} s") from error
            except OSError as error:
                raise Unavailable(f"netlink receive failed: {error.strerror}") from error
            if flags & socket.MSG_TRUNC:
                raise Unavailable(f"a netlink datagram is longer than {_DATAGRAM_BYTES} bytes")
            if sender[0] == 0:
                return bytes(memoryview(self._buffer)[:size])


class RouteSocket(NetlinkSocket):
    """Links, addresses, routes, neighbours, rules: what the modules of those names build."""

    def __init__(self, netns_fd: int | None = None, *, timeout_s: float = 5.0) -> None:
        super().__init__(NETLINK_ROUTE, netns_fd, timeout_s=timeout_s)
        # Without it the kernel ignores the filters of a dump and returns everything.
        self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)


class DiagSocket(NetlinkSocket):
    """The sockets of other programs: what `sockdiag` builds."""

    def __init__(self, netns_fd: int | None = None, *, timeout_s: float = 5.0) -> None:
        super().__init__(NETLINK_SOCK_DIAG, netns_fd, timeout_s=timeout_s)


class NetfilterSocket(NetlinkSocket):
    """nftables elements and connection tracking."""

    def __init__(self, netns_fd: int | None = None, *, timeout_s: float = 5.0) -> None:
        super().__init__(NETLINK_NETFILTER, netns_fd, timeout_s=timeout_s)

    def commit(self, requests: Sequence[Request]) -> None:
        """One nftables transaction: all of it, or, if any request is refused, none and the first refusal raised."""
        if not requests:
            return
        count = len(requests)
        begin = self._take(count + 2)
        last = begin + count
        parts = [encode(BATCH_BEGIN, begin)]
        parts += [encode(request, begin + i) for i, request in enumerate(requests[:-1], 1)]
        parts += [encode(requests[-1], last, NLM_F_ACK), encode(BATCH_END, last + 1)]
        data = b"".join(parts)
        if len(data) > self._room_bytes:
            self._make_room(len(data))
        self._send(data)
        self._await_commit(requests, begin, last)

    def _await_commit(self, requests: Sequence[Request], begin: int, last: int) -> None:
        """An error of the begin mark is the transaction's as a whole (no memory, say), and the only answer then."""
        failure: NetlinkError | None = None
        for message in self._answers(begin, last + 1):
            if message.type == NLMSG_ERROR:
                index = message.seq - begin - 1
                request = requests[index] if 0 <= index < len(requests) else BATCH_END
                failure = failure or _verdict(message, request, index)
                if message.seq in (begin, last, last + 1):
                    break
        if failure is not None:
            raise failure

    def elements(self, where: SetName) -> list[Element]:
        """What the set or map holds now, in no order. NetlinkError (`missing` if there is no such set), Unavailable.

        The kernel resizes a hash set in the background after a big change, and a dump meanwhile skips elements without
        saying so. Two dumps that agree are believed.
        """
        before: set[Element] | None = None
        for _ in range(_DUMP_TRIES):
            found = {element for part in self.dump(elements_of(where)) for element in part}
            if found == before:
                return list(found)
            before = found
        raise Unavailable(f"cannot list {where}: no two of {_DUMP_TRIES} dumps agree")

    def _make_room(self, size: int) -> None:
        """A transaction is one datagram, however long."""
        widen(self._socket, _SO_SNDBUFFORCE, socket.SO_SNDBUF, size + 64)
        self._room_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32


def _verdict(message: Message, request: Request, index: int) -> NetlinkError | None:
    result = outcome(message)
    return refusal(result, request, index) if result.errno else None
