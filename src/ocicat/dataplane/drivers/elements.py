"""Elements of sets and maps, by raw netlink: all changes of one call are one transaction.

Invariants: 1. A range is one element here and two in the kernel. 2. A refusal means that the kernel's sets are not what we thought.
It is `Unavailable`: read back, then try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocicat.dataplane.ownership import TABLE
from ocicat.dataplane.ruleset.objects import SetChange, SetSpec
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
        requests += nftset.delete(where, list(_halves(change.spec, change.delete)))
        requests += nftset.add(where, list(_halves(change.spec, change.add)))
    try:
        sock.commit(requests)
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error


def read(sock: NetfilterSocket, spec: SetSpec) -> tuple[Element, ...]:
    """What is in the set now. Unavailable, also if it has gone meanwhile."""
    try:
        found = tuple(sock.elements(SetName(TABLE, spec.name)))
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
    return tuple(_joined(found)) if _is_ranges(spec) else found


def _is_ranges(spec: SetSpec) -> bool:
    """In a set of concatenations a range is one element to the kernel too."""
    return spec.interval and " . " not in spec.key


def _halves(spec: SetSpec, given: Iterable[Element]) -> Iterator[Element]:
    """In order, as nft itself sends them: the kernel takes the end of a range before its beginning for an overlap."""
    if not _is_ranges(spec):
        yield from given
        return
    for each in sorted(given, key=lambda each: each.key):
        if each.key_end:
            yield from nftset.interval(each.key, each.key_end, each.data)
        else:
            yield each


def _joined(found: Iterable[Element]) -> Iterator[Element]:
    """Half a range is left as it is, for nobody wants that; but for the end of nothing with which nft begins such a set."""
    begun: Element | None = None
    for each in sorted(found, key=lambda each: (each.key, not each.interval_end)):
        if not each.interval_end:
            if begun:
                yield begun
            begun = each
        elif begun:
            yield Element(begun.key, begun.data, _before(each.key))
            begun = None
        elif any(each.key):
            yield each
    if begun:
        yield Element(begun.key, begun.data, b"\xff" * len(begun.key))


def _before(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(len(key), "big")
