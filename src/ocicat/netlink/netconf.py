"""The per-interface settings that the kernel tells about when they change (the rest of them it changes silently).

Promises: notifications as `Netconf`. Does no I/O. Source: linux/netconf.h, net/ipv4/devinet.c.
"""

from __future__ import annotations

import struct

from ocicat.model.base import Struct
from ocicat.netlink.wire import attributes, head, u32

RTM_NEWNETCONF, RTM_DELNETCONF = 80, 81

ALL, DEFAULT = -1, -2
"""In place of an interface's index."""

_NETCONFMSG = struct.Struct("=Bxxx")
_IFINDEX, _FORWARDING, _RP_FILTER, _PROXY_NEIGH = 1, 2, 3, 5
_I32 = struct.Struct("=i")


class Netconf(Struct, frozen=True, gc=False):
    """`index`: an interface's, or `ALL` or `DEFAULT`. A setting is None where the notification does not speak of it.

    `proxy_neigh`: proxy_arp or proxy_ndp.
    """

    family: int
    index: int
    forwarding: int | None = None
    rp_filter: int | None = None
    proxy_neigh: int | None = None


def decode(body: bytes) -> Netconf:
    (family,) = head(_NETCONFMSG, body)
    found = attributes(body, _NETCONFMSG.size)
    index = _I32.unpack(found[_IFINDEX])[0] if _IFINDEX in found else ALL
    forwarding, rp_filter, proxy_neigh = (
        u32(found, kind) if kind in found else None for kind in (_FORWARDING, _RP_FILTER, _PROXY_NEIGH)
    )
    return Netconf(family, index, forwarding, rp_filter, proxy_neigh)
