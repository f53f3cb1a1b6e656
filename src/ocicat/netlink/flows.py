"""Ending tracked connections.

Promises: after `flush_address` no flow that was there when it was called still passes as established.
Nothing else is touched.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from itertools import product

from ocicat.netlink import conntrack
from ocicat.netlink.conntrack import Flow, Side
from ocicat.netlink.inet import INET, Prefix, family_of
from ocicat.netlink.socket import NetfilterSocket
from ocicat.netlink.wire import Query

# What a kernel says that cannot filter a flush (before 6.9).
_CANNOT_FILTER = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_FEW = 2


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
    return touching(sock, [address])


def touching(sock: NetfilterSocket, addresses: Collection[bytes], nets: Sequence[Prefix] = ()) -> list[Flow]:
    """The flows from these addresses and nets, to them, and by DNAT to them."""
    found = (flow for query in _queries(frozenset(addresses), nets) for flow in sock.dump(query))
    return list({(flow.key, flow.id): flow for flow in found if flow is not None}.values())


def _queries(addresses: frozenset[bytes], nets: Sequence[Prefix]) -> Iterator[Query[Flow | None]]:
    """A flow that a walk of the table brings here costs some microseconds, one that the kernel leaves out a tenth of one: so few
    addresses have walks of their own, each for one side. IPv6 addresses cannot, see `conntrack`."""
    for family in {family_of(each) for each in addresses} | {net.family for net in nets}:
        own = frozenset(each for each in addresses if family_of(each) == family)
        nets_of_it = [net for net in nets if net.family == family]
        if family == INET and len(own) <= _FEW and not nets_of_it:
            yield from (conntrack.dump_by_side(address, side) for address, side in product(own, Side))
        else:
            yield conntrack.dump_touching(family, own, nets_of_it)


def unmapped(sock: NetfilterSocket, protocol: int, ports: Collection[int], addresses: Collection[bytes]) -> list[Flow]:
    """The flows of that protocol to one of these ports of one of these addresses that DNAT does not lead elsewhere."""
    return [
        flow
        for flow in touching(sock, addresses)
        if flow.original.protocol == protocol
        and flow.original.dst in addresses
        and flow.original.dst_port in ports
        and (flow.reply.src, flow.reply.src_port) == (flow.original.dst, flow.original.dst_port)
    ]


def dump(sock: NetfilterSocket, family: int) -> list[Flow]:
    """Every flow of a family."""
    return sock.dump(conntrack.dump(family))


def cut(sock: NetfilterSocket, flows: Sequence[Flow]) -> list[Flow]:
    """Ends these; those that were still there. One that ended by itself meanwhile is no error."""
    errors = sock.batch([conntrack.delete(flow) for flow in flows])
    for error in errors:
        if error is not None and not error.missing:
            raise error
    return [flow for flow, error in zip(flows, errors, strict=True) if error is None]
