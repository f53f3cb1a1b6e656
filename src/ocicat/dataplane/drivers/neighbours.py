"""Where the addresses of workloads are: permanent entries on the host's side of their interfaces, so that the host never asks, and
never fills its table with answers. An interface that is set down, or gets another MAC, loses them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.errors import Unavailable
from ocicat.netlink import inet, neighbour
from ocicat.netlink.neighbour import PERMANENT, Neighbour
from ocicat.netlink.socket import RouteSocket

Homes = Mapping[tuple[int, bytes], bytes]
"""By ifindex and address (packed), the MAC at which it is."""


def read(sock: RouteSocket, index: int = 0) -> dict[tuple[int, bytes], bytes]:
    """All permanent ones, or those on one interface. Unavailable."""
    found = [each for family in (inet.INET, inet.INET6) for each in sock.dump(neighbour.dump(family, index))]
    return {(each.index, each.address): each.mac for each in found if each.state == PERMANENT}


def put(sock: RouteSocket, homes: Homes) -> list[tuple[int, bytes]]:
    """Those that could not be put there: the interface is gone, or without IPv6. Unavailable."""
    errors = sock.batch([neighbour.replace(Neighbour(*place, mac)) for place, mac in homes.items()])
    for error in errors:
        if error is not None and not error.missing:
            raise Unavailable(error.message, hint=error.hint)
    return [place for place, error in zip(homes, errors, strict=True) if error is not None]
