"""The token buckets of workloads' interfaces: what a workload receives, and what it sends.

What it receives waits on the host's side of its veth. What it sends cannot wait where the host receives it: its guard (`guards`)
leads it to an interface made for that (an ifb), and it goes on from there. Measured against a bucket inside the container, which is
as good but which root in the container may remove, and against dropping by an nft rule, which lets a second's worth pass at once
(docs/limits.md).

Invariants: 1. `put` may be repeated. 2. The bucket is there before anything is led through it. 3. An ifb is only marked for
its end here: deleting it takes the kernel 12 ms. One so marked is never used again. 4. No filter on a workload's
interface is ours: earlier versions' goes. 5. A bucket that changes lets what waits in it wait.
"""

from __future__ import annotations

import errno

from ocicat.dataplane.drivers import links
from ocicat.dataplane.ownership import ifb_index, ifb_name, is_detached
from ocicat.dataplane.ruleset.shaping import Shaper
from ocicat.errors import Refused, Unavailable
from ocicat.netlink import link, qdisc
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.link import End, Link
from ocicat.netlink.qdisc import Bucket
from ocicat.netlink.socket import RouteSocket
from ocicat.netlink.wire import Request

UNSOUND = Bucket(0, 0, 0)  # something of it is there, and not as it should be
_NOT_THERE = frozenset({errno.ENOENT, errno.ENODEV, errno.EINVAL})  # what has no bucket has no handle either: EINVAL


def put(sock: RouteSocket, shaper: Shaper, bucket: Bucket) -> bool:
    """Is there an ifb now that was not there? Refused if the kernel cannot do it. Unavailable."""
    try:
        if shaper.direction == "egress":
            return _put_egress(sock, shaper.index, bucket)
        sock.request(qdisc.shape(shaper.index, bucket))
        return False
    except NetlinkError as error:
        raise Refused(f"{shaper} is not limited: {error.message}", hint=error.hint) from error


def remove(sock: RouteSocket, shaper: Shaper) -> Link | None:
    """What is gone already is as good. The interface that has to be deleted, if there is one. Unavailable."""
    if shaper.direction == "ingress":
        _attempt(sock, qdisc.unshape(shaper.index))
        return None
    found = links.find(sock, ifb_name(shaper.index))
    if found is not None:
        _unlead(sock, shaper.index, found.index)
    return found if found is not None and links.mark_detached(sock, found.index, ()) else None


def read(sock: RouteSocket, index: int = 0) -> dict[Shaper, Bucket]:
    """All of ours, or those of one workload's interface. Unavailable."""
    buckets = {each.index: each.bucket for each in sock.dump(qdisc.dump()) if each.is_ours and each.bucket}
    ifbs = _ifbs(sock, index)
    found = {
        Shaper(ifb_index(each.name), "egress"): _egress(sock, each, buckets.pop(each.index, UNSOUND)) for each in ifbs
    }
    own = (each for each in buckets if index in (0, each))
    return found | {Shaper(each, "ingress"): buckets[each] for each in own}


def _ifbs(sock: RouteSocket, index: int) -> list[Link]:
    """All, or that which serves the interface."""
    if not index:
        return links.ifbs(sock)
    found = links.find(sock, ifb_name(index))
    return [found] if found else []


def _put_egress(sock: RouteSocket, index: int, bucket: Bucket) -> bool:
    """Is the ifb new? One that nothing can be put on goes again: nothing is to be led there."""
    name = ifb_name(index)
    found = links.find(sock, name)
    if found is not None and is_detached(found.alias):
        links.remove(sock, found.index)
        found = None
    new = found is None
    if found is None:
        sock.request(link.create_ifb(End(name, queues=1)))
        found = sock.get(link.get(name))
    try:
        sock.request(qdisc.shape(found.index, bucket))  # on one that is up the kernel would wait for all processors
    except NetlinkError:
        if new:
            links.remove(sock, found.index)
        raise
    if not found.up:
        links.set_up(sock, found.index)
    _unlead(sock, index, found.index)
    return new


def _egress(sock: RouteSocket, ifb: Link, bucket: Bucket) -> Bucket:
    """The bucket, if what it is on is as it should be."""
    sound = ifb.up and not is_detached(ifb.alias) and not _leads(sock, ifb_index(ifb.name), ifb.index)
    return bucket if sound else UNSOUND


def _unlead(sock: RouteSocket, index: int, target: int) -> None:
    """An earlier version's redirection goes; what others have beside it stays."""
    if _leads(sock, index, target):
        _attempt(sock, qdisc.redirect_no_more(index))
        if not sock.dump(qdisc.filters(index)):
            _attempt(sock, qdisc.take_in_no_more(index))


def _leads(sock: RouteSocket, index: int, target: int) -> bool:
    """Does a filter send all that comes from the workload on interface `index` to `target`, past its guard?"""
    return any(each.first and each.target == target for each in sock.dump(qdisc.filters(index)))


def _attempt(sock: RouteSocket, request: Request) -> None:
    try:
        sock.request(request)
    except NetlinkError as error:
        if error.errno not in _NOT_THERE:
            raise Unavailable(error.message, hint=error.hint) from error
