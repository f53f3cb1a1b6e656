"""Ending tracked connections.

Promises: after `flush_address` no flow that was there when it was called still passes as established.
Nothing else is touched.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ocicat.netlink import conntrack
from ocicat.netlink.conntrack import Flow, Side
from ocicat.netlink.socket import NetfilterSocket

# What a kernel says that cannot filter a flush (before 6.9).
_CANNOT_FILTER = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


def flush_address(sock: NetfilterSocket, address: bytes) -> None:
    """Ends every flow from `address`, to it, and by DNAT to it."""
    if len(address) != 4 or not _flushed_by_the_kernel(sock, address):
        cut(sock, find(sock, address))


def _flushed_by_the_kernel(sock: NetfilterSocket, address: bytes) -> bool:
    """Each side is one walk of the kernel's table. False: it does not know how to."""
    for error in sock.batch([conntrack.flush(address, side) for side in Side]):
        if error is not None and error.errno in _CANNOT_FILTER:
            return False
        if error is not None:
            raise error
    return True


def find(sock: NetfilterSocket, address: bytes) -> list[Flow]:
    """The flows from `address`, to it, and by DNAT to it."""
    return [flow for flow in sock.dump(conntrack.dump_touching(address)) if flow is not None]


def dump(sock: NetfilterSocket, family: int) -> list[Flow]:
    """Every flow of a family."""
    return sock.dump(conntrack.dump(family))


def cut(sock: NetfilterSocket, flows: Sequence[Flow]) -> int:
    """Ends these; how many were still there. One that ended by itself meanwhile is no error."""
    errors = sock.batch([conntrack.delete(flow) for flow in flows])
    for error in errors:
        if error is not None and not error.missing:
            raise error
    return errors.count(None)
