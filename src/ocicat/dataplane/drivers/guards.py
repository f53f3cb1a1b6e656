"""Guards of interfaces (`ocicat.dataplane.guards`) as chains in the kernel, by raw netlink.

What becomes of a chain whose interface goes depends on the kernel: until Linux 6.15 it goes too, since then it stays, and is on the
next interface of that name. Both are good here.

Invariants: 1. A guard changes in one transaction, and all of a call do if the kernel takes them all. 2. What one interface lacks
keeps no other from its guard.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterable

from ocicat.dataplane.guards import CLOSED, Guard, is_limited, seen, statements
from ocicat.dataplane.ownership import TABLE, ifb_name
from ocicat.errors import Unavailable
from ocicat.model.base import Struct
from ocicat.netlink import inet, nftchain
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.nftchain import ChainName, Hooked, Statement
from ocicat.netlink.socket import NetfilterSocket
from ocicat.netlink.wire import Request


class Change(Struct, frozen=True):
    """Of one interface's guard. Neither is there yet, or wanted any more: None."""

    interface: str
    there: Guard | None
    wanted: Guard | None


def commit(sock: NetfilterSocket, changes: Iterable[Change]) -> list[Change]:
    """Those that were made; what is missing is an interface that is gone. One that has no guard any more needs none taken away.
    Unavailable."""
    changes = [*changes]
    try:
        sock.commit([request for each in changes for request in _requests(each)])
    except NetlinkError:
        return [each for each in changes if _committed(sock, each)]
    return changes


def close(sock: NetfilterSocket, interface: str) -> None:
    """Of an interface that is new, whatever is left of one that had its name. Unavailable.

    What is refused takes the kernel 15 ms, so the chain is not first asked to go: one like ours is made nothing of, and emptied.
    """
    try:
        sock.commit(_requests(Change(interface, None, CLOSED), left_over=True))
    except NetlinkError:
        for change in (Change(interface, CLOSED, None), Change(interface, None, CLOSED)):
            if not _committed(sock, change):
                raise Unavailable(f"interface {interface} is gone") from None


def can_lead(sock: NetfilterSocket) -> bool:
    """Can the kernel lead packets to an ifb? It is asked for a chain that is never there. Unavailable."""
    where = ChainName(TABLE, "can-lead")
    rule = Statement(nftchain.from_source(inet.DEFAULT_V4, through=1), "")
    requests = [nftchain.add_plain_chain(where), nftchain.append(where, rule)]
    requests += [nftchain.empty(where), nftchain.delete_chain(where)]
    return _committed_all(sock, [nftchain.add_table(TABLE), *requests])


def read(sock: NetfilterSocket) -> dict[str, Guard]:
    """By interface. Unavailable."""
    try:
        chains = [each for each in sock.dump(nftchain.chains()) if each.table == TABLE]
        rules = sock.dump(nftchain.rules(TABLE)) if chains else []
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
    comments: defaultdict[str, list[str]] = defaultdict(list)
    for rule in rules:
        comments[rule.chain].append(rule.comment)
    return {each.name: _seen(each, comments[each.name]) for each in chains}


def clear(sock: NetfilterSocket) -> None:
    """Their table goes with all that is in it, if it is there. Unavailable."""
    _committed_all(sock, [nftchain.add_table(TABLE), nftchain.delete_table(TABLE)])


def _seen(chain: Hooked, comments: list[str]) -> Guard:
    through = _ifb(chain.name) if is_limited(comments) else 0
    return seen(comments, proper=chain.proper, through=through)


def _ifb(interface: str) -> int:
    """The ifindex of that through which goes what the workload sends; 0 if there is none."""
    try:
        return socket.if_nametoindex(ifb_name(socket.if_nametoindex(interface)))
    except OSError:
        return 0


def _committed(sock: NetfilterSocket, change: Change) -> bool:
    return _committed_all(sock, _requests(change)) or change.wanted is None


def _committed_all(sock: NetfilterSocket, requests: list[Request]) -> bool:
    try:
        sock.commit(requests)
    except NetlinkError as error:
        if error.missing:
            return False
        raise Unavailable(error.message, hint=error.hint) from error
    return True


def _requests(change: Change, *, left_over: bool = False) -> list[Request]:
    """A chain that is not as we make it goes, and comes anew. One that is new accepts until the transaction is through.

    `left_over`: it may be there already, nobody knows.
    """
    where = ChainName(TABLE, change.interface)
    requests: list[Request] = []
    if change.there is not None:
        requests.append(nftchain.empty(where))
    if change.there is not None and (change.wanted is None or not change.there.intact):
        requests.append(nftchain.delete_chain(where))
    if change.wanted is not None and (change.there is None or not change.there.intact):
        requests += [nftchain.add_table(TABLE), nftchain.add_chain(where)]
    if left_over:
        requests.append(nftchain.empty(where))
    if change.wanted is not None:
        through = _ifb(change.interface) if change.wanted.limited else 0
        requests += [nftchain.append(where, each) for each in statements(change.wanted, through)]
    return requests
