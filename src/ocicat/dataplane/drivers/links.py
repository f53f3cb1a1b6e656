"""The host side of workloads' interfaces: which there are, what is not as it was made, and how one is put out of service.

Invariant: an interface that is put out of service keeps its name, so the dispatch, which no longer knows it, keeps it closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.dataplane.ownership import HOST_MAC, detached_alias, ifb_index, is_ours
from ocicat.errors import Unavailable
from ocicat.netlink import link
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.inet import mac_text
from ocicat.netlink.link import Link
from ocicat.netlink.socket import RouteSocket


def ours(sock: RouteSocket, prefix: str) -> list[Link]:
    """Every interface that starts with our prefix, also those that wait for their end."""
    return [each for each in sock.dump(link.dump()) if is_ours(each.name, prefix)]


def ifbs(sock: RouteSocket) -> list[Link]:
    """Those made for what workloads send, also those that wait for their end."""
    return [each for each in sock.dump(link.dump()) if each.kind == "ifb" and ifb_index(each.name)]


def find(sock: RouteSocket, which: int | str) -> Link | None:
    """By index or name. Unavailable."""
    try:
        return sock.get(link.get(which))
    except NetlinkError as error:
        if error.missing:
            return None
        raise Unavailable(error.message, hint=error.hint) from error


def faults(found: Link, *, key: str, mtu: int) -> list[str]:
    """What of a workload's interface is not as it was made, one line each: for endpoint `key` ("": nobody knows), with that MTU.

    Its container sends to the one MAC only, and what is a port of a bridge goes past our rules.
    """
    wrong = [
        (not found.up, f"interface {found.name} is down"),
        (found.mac != HOST_MAC, f"interface {found.name} has the MAC {mac_text(found.mac)}"),
        (found.mtu != mtu, f"interface {found.name} has the MTU {found.mtu}"),
        (found.master != 0, f"interface {found.name} is a port of another"),
        (key not in ("", found.alias), f"interface {found.name} is marked as that of {found.alias or 'nobody'}"),
    ]
    return [text for is_wrong, text in wrong if is_wrong]


def mend(sock: RouteSocket, found: Link, *, key: str, mtu: int) -> None:
    """As it was made, and up. One that is gone meanwhile needs nothing. Unavailable."""
    alias = key if key != found.alias else None
    try:
        sock.request(
            link.change(
                found.index,
                up=True,
                mac=HOST_MAC
                if found.mac != HOST_MAC
                else None,  # the same again, and the kernel forgets its neighbours
                mtu=mtu if mtu != found.mtu else None,
                alias=alias or None,
                master=0 if found.master else None,
            )
        )
    except NetlinkError as error:
        if not error.missing:
            raise Unavailable(error.message, hint=error.hint) from error


def mark_detached(sock: RouteSocket, index: int, addresses: Sequence[bytes]) -> bool:
    """Leaves it for dead, in a way that outlives us; deleting it takes the kernel 15 ms, this 0.05. False: it is gone already.

    `addresses` (packed): those whose flows end with it.
    """
    try:
        sock.request(link.change(index, alias=detached_alias(addresses)))
    except NetlinkError as error:
        if error.missing:
            return False
        raise Unavailable(error.message, hint=error.hint) from error
    return True


def set_up(sock: RouteSocket, index: int) -> None:
    """One that is gone meanwhile needs nothing. Unavailable."""
    try:
        sock.request(link.change(index, up=True))
    except NetlinkError as error:
        if not error.missing:
            raise Unavailable(error.message, hint=error.hint) from error


def remove(sock: RouteSocket, which: int | str) -> None:
    """By index or name. Slow; one that is gone already is as good. Unavailable."""
    try:
        sock.request(link.delete(which))
    except NetlinkError as error:
        if not error.missing:
            raise Unavailable(error.message, hint=error.hint) from error
