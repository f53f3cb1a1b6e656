"""Elements of sets and maps, by raw netlink: all changes of one call are one transaction.

Invariant: a refusal means that the kernel's sets are not what we thought. It is `Unavailable`: read back, then try again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.objects import SetChange
from ocicat.dataplane.ownership import TABLE
from ocicat.errors import Unavailable
from ocicat.netlink import nftset
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.nftset import Element, SetName
from ocicat.netlink.socket import NetfilterSocket


def commit(sock: NetfilterSocket, changes: Iterable[SetChange]) -> None:
    """Unavailable if refused: then none of it was done."""
    requests = []
    for change in changes:
        where = SetName(TABLE, change.spec.name)
        requests += nftset.delete(where, change.delete)
        requests += nftset.add(where, change.add)
    try:
        sock.commit(requests)
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error


def read(sock: NetfilterSocket, name: str) -> tuple[Element, ...]:
    """What is in the set now. Unavailable, also if it has gone meanwhile."""
    try:
        return tuple(sock.elements(SetName(TABLE, name)))
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
