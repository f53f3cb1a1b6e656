"""Guards of interfaces (`ocicat.dataplane.ruleset.guards`) as chains in the kernel, by raw netlink.

What becomes of a chain whose interface goes depends on the kernel: until Linux 6.15 it goes too, since then it stays, and is on the
next interface of that name. A chain for an interface that is not there is refused, or made: both are good here.

Invariants: 1. A guard changes in one transaction, and all of a call do if the kernel takes them all. 2. What is refused of one
interface keeps no other from its guard. 3. A guard leads through an ifb only if the kernel can; else it is the same without.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ocicat.dataplane.ownership import TABLE, ifb_name
from ocicat.dataplane.ruleset.guards import CLOSED, Guard, is_limited, seen, statements
from ocicat.errors import Unavailable
from ocicat.model.base import Struct, replace
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
    """Those that were made, as they were: what has no ifb is not limited. The interfaces of the others are gone.

    Unavailable: something else was refused, after all the rest was made; `renew` is left.
    """
    changes = [_possible(each) for each in changes]
    try:
        # Without chains in it nobody has looked whether the table is awake.
        if any(not each.there.intact if each.there else each.wanted for each in changes):
            sock.commit([nftchain.wake_table(TABLE)])
        sock.commit(_requests(changes))
    except NetlinkError:
        return _apart(sock, changes)
    return changes


def renew(sock: NetfilterSocket, wanted: Mapping[str, Guard]) -> dict[str, Guard]:
    """The table, with these and nothing else in it, whatever it is that holds a chain of the old one. Those that are there now;
    the interfaces of the others are gone. Unavailable."""
    changes = [_possible(Change(name, None, guard)) for name, guard in wanted.items() if _is_there(name)]
    anew = [nftchain.add_table(TABLE), nftchain.delete_table(TABLE)]
    try:
        sock.commit([*anew, *_requests(changes)])
    except NetlinkError:
        changes = [replace(each, wanted=_unlimited(each.wanted)) for each in changes]
        _commit(sock, [*anew, *_requests(changes)])
    return {each.interface: each.wanted for each in changes if each.wanted is not None}


def close(sock: NetfilterSocket, interface: str) -> None:
    """Of an interface that is new, whatever is left of one that had its name. Unavailable.

    What is refused takes the kernel 15 ms, so the chain is not first asked to go: one like ours is made nothing of, and emptied.
    """
    where = ChainName(TABLE, interface)
    add = [nftchain.add_table(TABLE), nftchain.add_chain(where), nftchain.empty(where)]
    try:
        sock.commit([*add, *(nftchain.append(where, each) for each in statements(CLOSED))])
    except NetlinkError:
        if not _apart(sock, [Change(interface, CLOSED, CLOSED)]):
            raise Unavailable(f"interface {interface} is gone") from None


def can_lead(sock: NetfilterSocket) -> bool:
    """Can the kernel lead packets to an ifb? It is asked for a chain that is never there. Unavailable."""
    where = ChainName(TABLE, "can-lead")
    rule = Statement(nftchain.from_source(inet.DEFAULT_V4, through=1), "")
    requests = [nftchain.add_plain_chain(where), nftchain.append(where, rule)]
    requests += [nftchain.empty(where), nftchain.delete_chain(where)]
    try:
        sock.commit([nftchain.add_table(TABLE), *requests])
    except NetlinkError as error:
        if error.missing:
            return False
        raise Unavailable(error.message, hint=error.hint) from error
    return True


def read(sock: NetfilterSocket) -> dict[str, Guard]:
    """By interface. Unavailable."""
    try:
        chains = [each for each in sock.dump(nftchain.chains()) if each.table == TABLE]
        awake = TABLE not in sock.dump(nftchain.dormant()) if chains else True
        rules = sock.dump(nftchain.rules(TABLE)) if chains else []
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
    comments: defaultdict[str, list[str]] = defaultdict(list)
    for rule in rules:
        comments[rule.chain].append(rule.comment)
    found = {each.name: _seen(each, comments[each.name]) for each in chains}
    return found if awake else {name: replace(each, intact=False) for name, each in found.items()}


def clear(sock: NetfilterSocket) -> None:
    """Their table goes with all that is in it, if it is there. Unavailable."""
    _commit(sock, [nftchain.add_table(TABLE), nftchain.delete_table(TABLE)])


def _seen(chain: Hooked, comments: list[str]) -> Guard:
    through = _ifb(chain.name) if is_limited(comments) else 0
    return seen(comments, proper=chain.proper, through=through)


def _ifb(interface: str) -> int:
    """The ifindex of that through which goes what the workload sends; 0 if there is none."""
    try:
        return socket.if_nametoindex(ifb_name(socket.if_nametoindex(interface)))
    except OSError:
        return 0


def _is_there(interface: str) -> bool:
    try:
        return bool(socket.if_nametoindex(interface))
    except OSError:
        return False


def _possible(change: Change) -> Change:
    """There may be no ifb to lead it through."""
    if change.wanted is None or not change.wanted.limited or _ifb(change.interface):
        return change
    return replace(change, wanted=_unlimited(change.wanted))


def _unlimited(guard: Guard | None) -> Guard | None:
    return replace(guard, limited=False) if guard else None


def _apart(sock: NetfilterSocket, changes: Iterable[Change]) -> list[Change]:
    """One by one, each chain made anew; of an interface that is there, without a limit if need be."""
    made: list[Change] = []
    refused: list[Unavailable] = []
    for change in changes:
        if change.wanted is not None and not _is_there(change.interface):
            continue
        try:
            made.append(_anew(sock, change))
        except Unavailable as error:
            if change.wanted is None or _is_there(change.interface):
                refused.append(error)
    if refused:
        raise refused[0]
    return made


def _anew(sock: NetfilterSocket, change: Change) -> Change:
    there = replace(change.there, intact=False) if change.there else None
    tries = [change]
    if change.wanted is not None and change.wanted.limited:
        tries.append(replace(change, wanted=_unlimited(change.wanted)))
    for each in tries[:-1]:
        try:
            sock.commit(_requests([replace(each, there=there)]))
        except NetlinkError:
            continue
        return each
    _commit(sock, _requests([replace(tries[-1], there=there)]))
    return tries[-1]


def _commit(sock: NetfilterSocket, requests: Sequence[Request]) -> None:
    try:
        sock.commit(requests)
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error


def _requests(changes: Sequence[Change]) -> list[Request]:
    """A chain that is not as we make it goes, and comes anew. One that is new accepts until the transaction is through.

    All chains are emptied before the first one goes: one may lead to another. One that is to go is made first if it is not there,
    for what cannot go is refused, and that takes the kernel 15 ms.
    """
    there = [each for each in changes if each.there is not None or each.wanted is None]
    going = [ChainName(TABLE, each.interface) for each in there if not _stays(each)]
    requests = [nftchain.add_table(TABLE)]
    requests += [nftchain.add_plain_chain(where) for where in going]
    requests += [nftchain.empty(ChainName(TABLE, each.interface)) for each in there]
    requests += [nftchain.delete_chain(where) for where in going]
    for each in changes:
        requests += _additions(each)
    return requests


def _stays(change: Change) -> bool:
    """The chain; its rules do not."""
    return change.wanted is not None and change.there is not None and change.there.intact


def _additions(change: Change) -> list[Request]:
    if change.wanted is None:
        return []
    where = ChainName(TABLE, change.interface)
    through = _ifb(change.interface) if change.wanted.limited else 0
    rules = [nftchain.append(where, each) for each in statements(change.wanted, through)]
    return [*([] if _stays(change) else [nftchain.add_chain(where)]), *rules]
