"""Where addresses are, seen from this host: which are its own, and which interface leads to the others.

Promise: what was asked once is not asked again; so it is good for a short while only. Only reads.
"""

from __future__ import annotations

from ocicat.dataplane.flows.judge import UNKNOWN
from ocicat.errors import Unavailable
from ocicat.netlink import inet, link, route
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.inet import INET, INET6, Prefix
from ocicat.netlink.route import BROADCAST, LOCAL, LOCAL_TABLE
from ocicat.netlink.socket import RouteSocket

_ALL_ONES = b"\xff" * 4
_LINK_LOCAL = inet.prefix("fe80::/10")


class Surroundings:
    """Reads the table of local addresses when made, the rest when it is asked for. Unavailable."""

    def __init__(self, sock: RouteSocket) -> None:
        self._sock = sock
        found = [each for family in (INET, INET6) for each in sock.dump(route.dump(family, table=LOCAL_TABLE))]
        self._local = {each.dst for each in found if each.kind == LOCAL}
        self._lengths = {each.length for each in self._local}
        self._broadcast = {each.dst.address for each in found if each.kind == BROADCAST}
        self._names: dict[int, str] = {}

    def is_local(self, address: bytes) -> bool | None:
        """None: it is an address of many."""
        if address in self._broadcast or address == _ALL_ONES or address[0] in _multicast(address):
            return None
        return any(_net(address, length) in self._local for length in self._lengths)

    def way_to(self, address: bytes) -> str:
        """The name of the interface; UNKNOWN if there is no way, or one on every link."""
        if len(address) == 16 and _net(address, _LINK_LOCAL.length) == _LINK_LOCAL:
            return UNKNOWN
        try:
            return self._name(self._sock.get(route.get(address)).oif)
        except NetlinkError:
            return UNKNOWN

    def _name(self, index: int) -> str:
        if index not in self._names:
            try:
                self._names = {each.index: each.name for each in self._sock.dump(link.dump())}
            except NetlinkError as error:
                raise Unavailable(error.message, hint=error.hint) from error
        return self._names.get(index, UNKNOWN)


def _multicast(address: bytes) -> range:
    """The first bytes of multicast addresses of its family."""
    return range(224, 240) if len(address) == 4 else range(255, 256)


def _net(address: bytes, length: int) -> Prefix:
    host_bits = max(0, 8 * len(address) - length)
    network = int.from_bytes(address, "big") >> host_bits << host_bits
    return Prefix(network.to_bytes(len(address), "big"), min(length, 8 * len(address)))
