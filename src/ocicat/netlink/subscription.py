"""A socket that listens to multicast groups of the kernel: what `monitor` and `nftwatch` stand on.

Invariants: 1. Nothing is lost silently: where datagrams were, `None` stands among the rest. 2. `datagrams` never blocks and
returns after a bounded number of them. 3. Only the kernel is listened to: other processes may send to a netlink group too.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from ocicat.errors import Unavailable
from ocicat.netlink.socket import open_netlink, widen_receive

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_DATAGRAM_BYTES = 1 << 17
DATAGRAMS_PER_READ = 4096


class Subscription:
    """A context manager; wait for `fileno()` to be readable."""

    def __init__(self, protocol: int, groups: Iterable[int], netns_fd: int | None, rcvbuf_bytes: int) -> None:
        self._socket = open_netlink(protocol, netns_fd)
        self._socket.settimeout(0)
        widen_receive(self._socket, rcvbuf_bytes)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def datagrams(self) -> Iterator[bytes | None]:
        """What is there now, perhaps nothing; None: some were lost. More may be left: the descriptor then stays readable."""
        for _ in range(DATAGRAMS_PER_READ):
            try:
                datagram, _, flags, sender = self._socket.recvmsg(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise Unavailable(f"netlink monitor failed: {error.strerror}") from error
                yield None
                continue
            if flags & socket.MSG_TRUNC:
                yield None
            elif sender[0] == 0:
                yield datagram
