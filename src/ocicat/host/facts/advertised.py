"""Default routes of IPv6 that a router has advertised, on interfaces which listen only as long as this host is none."""

from __future__ import annotations

from ocicat.changes.files import Tree
from ocicat.netlink import link, route
from ocicat.netlink.inet import INET6
from ocicat.netlink.socket import RouteSocket

_ADVERTISED = 9  # RTPROT_RA
_UNLESS_FORWARDING = "1"


def look(tree: Tree) -> tuple[str, ...]:
    """The names of these interfaces. Where a program of the host listens in the kernel's place, that setting is 0."""
    with RouteSocket() as kernel:
        found = kernel.dump(route.dump(INET6, table=route.MAIN, protocol=_ADVERTISED))
        indices = dict.fromkeys(each.oif for each in found if not each.dst.length and each.oif)
        names = [kernel.get(link.get(index)).name for index in indices]
    return tuple(name for name in names if tree.text(setting(name)).strip() == _UNLESS_FORWARDING)


def setting(interface: str) -> str:
    return f"/proc/sys/net/ipv6/conf/{interface}/accept_ra"
