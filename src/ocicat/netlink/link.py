"""Network interfaces: veth pairs, bridges, vxlan devices, and what every link has.

Promises: requests as bytes, dumps and notifications as `Link`. Does no I/O.

Invariants: 1. A veth pair is made by one message: both ends have their final name, MAC and MTU, and the far
end is born inside its namespace, so nothing is ever seen half made or under a passing name.
2. What is not given is not touched.
"""

from __future__ import annotations

import struct

from ocicat.errors import Bug, UserError
from ocicat.model.base import Struct
from ocicat.netlink.wire import (
    ADD,
    Query,
    Request,
    attr,
    attr_text,
    attr_u8,
    attr_u32,
    attributes,
    be,
    head,
    nest,
    string,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18

_IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, mask of the flags to change
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_NAME_BYTES = 15

_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _LINKINFO = 1, 3, 4, 5, 10, 18
_NET_NS_PID, _IFALIAS, _NET_NS_FD, _EXT_MASK, _LINK_NETNSID = 19, 20, 28, 29, 37
_NUM_TX_QUEUES, _NUM_RX_QUEUES = 31, 32
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER = 1
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 3, 4, 7, 15, 17
_SKIP_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS: half the bytes of a link, and we never read them


class Vxlan(Struct, frozen=True, gc=False):
    """A VXLAN device: network identifier, UDP port, the local tunnel address, the ifindex it sends through (0: routed).

    `learning` off means that forwarding entries come from us alone.
    """

    id: int
    port: int = 4789
    local: bytes = b""
    parent: int = 0
    learning: bool = False


class Link(Struct, frozen=True, gc=False):
    """An interface. `peer_index` is IFLA_LINK: the other end of a veth, in namespace `peer_nsid` (None: this one)."""

    index: int
    name: str
    kind: str = ""
    mac: bytes = b""
    mtu: int = 0
    up: bool = False
    carrier: bool = False
    master: int = 0
    peer_index: int = 0
    peer_nsid: int | None = None
    alias: str = ""
    vxlan: Vxlan | None = None

    def __str__(self) -> str:
        return f"link {self.name} ({self.index})"


class End(Struct, frozen=True):
    """An interface to make: MTU in bytes (0: the kernel's), and where (a descriptor or a process; neither: here).

    `queues` each way; 0 is the kernel's choice, for a veth one per processor. One is right unless XDP or NAPI runs on
    it: a plain veth does not use the others, and each costs some 50 us to make.
    """

    name: str
    mac: bytes = b""
    mtu: int = 0
    up: bool = False
    netns_fd: int | None = None
    netns_pid: int | None = None
    queues: int = 0

    def __str__(self) -> str:
        return self.name


def create_veth(near: End, far: End) -> Request:
    """Both ends of a pair, at once. The far end starts down: the kernel refuses to raise one whose other end is not yet
    registered (ENOTCONN)."""
    if far.up:
        raise Bug(f"the far end {far.name} of a veth cannot be made up", hint="change(index, up=True) in its namespace")
    peer = attr(_VETH_PEER, _described(far))
    return _create(near, "veth", peer, f"veth pair with far end {far.name} and near end")


def create_bridge(end: End) -> Request:
    return _create(end, "bridge", b"", "bridge")


def create_ifb(end: End) -> Request:
    """What is redirected to it waits in its queue, and goes on from where it was taken."""
    return _create(end, "ifb", b"", "ifb")


def create_ipip(end: End) -> Request:
    """A tunnel of IPv4 in IPv4, without ends."""
    return _create(end, "ipip", b"", "ipip tunnel")


def create_vxlan(end: End, vxlan: Vxlan) -> Request:
    parts = [
        attr_u32(_VXLAN_ID, vxlan.id),
        attr(_VXLAN_PORT, vxlan.port.to_bytes(2, "big")),
        attr_u8(_VXLAN_LEARNING, int(vxlan.learning)),
    ]
    if vxlan.parent:
        parts.append(attr_u32(_VXLAN_LINK, vxlan.parent))
    if vxlan.local:
        parts.append(attr(_VXLAN_LOCAL if len(vxlan.local) == 4 else _VXLAN_LOCAL6, vxlan.local))
    return _create(end, "vxlan", b"".join(parts), "vxlan")


def change(
    link: int | str,
    *,
    name: str | None = None,
    up: bool | None = None,
    mtu: int | None = None,
    mac: bytes | None = None,
    alias: str | None = None,
    master: int | None = None,
    netns_fd: int | None = None,
    netns_pid: int | None = None,
) -> Request:
    """Of a link given by ifindex or name, what is named here; `master=0` takes it out of its bridge.

    A new name needs the ifindex: the message has one place for a name.
    """
    if name is not None and isinstance(link, str):
        raise Bug(f"renaming link {link!r} needs its ifindex")
    parts = [_which(link, flags=_IFF_UP if up else 0, mask=0 if up is None else _IFF_UP)]
    parts.append(_settings(name, mac, mtu, netns_fd, netns_pid))
    if alias is not None:
        parts.append(attr_text(_IFALIAS, alias))
    if master is not None:
        parts.append(attr_u32(_MASTER, master))
    return Request(RTM_NEWLINK, 0, b"".join(parts), "change link", link)


def delete(link: int | str) -> Request:
    """A veth takes its other end with it."""
    return Request(RTM_DELLINK, 0, _which(link), "delete link", link)


def get(link: int | str) -> Query[Link]:
    body = _which(link) + attr_u32(_EXT_MASK, _SKIP_STATISTICS)
    return Query(Request(RTM_GETLINK, 0, body, "get link", link), decode)


def dump() -> Query[Link]:
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attr_u32(_EXT_MASK, _SKIP_STATISTICS)
    return Query(Request(RTM_GETLINK, 0, body, "list", "links"), decode)


def decode(body: bytes) -> Link:
    """Of the body of an RTM_NEWLINK or RTM_DELLINK."""
    _family, _type, index, flags, _mask = head(_IFINFO, body)
    found = attributes(body, _IFINFO.size)
    info = attributes(found.get(_LINKINFO, b""))
    kind = string(info, _INFO_KIND)
    return Link(
        index,
        string(found, _IFNAME),
        kind,
        found.get(_ADDRESS, b""),
        u32(found, _MTU),
        bool(flags & _IFF_UP),
        bool(flags & _IFF_LOWER_UP),
        u32(found, _MASTER),
        u32(found, _LINK),
        u32(found, _LINK_NETNSID) if _LINK_NETNSID in found else None,
        string(found, _IFALIAS),
        _decode_vxlan(info.get(_INFO_DATA, b"")) if kind == "vxlan" else None,
    )


def _decode_vxlan(data: bytes) -> Vxlan:
    found = attributes(data)
    local = found.get(_VXLAN_LOCAL) or found.get(_VXLAN_LOCAL6, b"")
    return Vxlan(
        u32(found, _VXLAN_ID),
        be(found, _VXLAN_PORT),
        local if any(local) else b"",
        u32(found, _VXLAN_LINK),
        bool(u32(found, _VXLAN_LEARNING)),
    )


def _create(end: End, kind: str, data: bytes, what: str) -> Request:
    info = nest(_LINKINFO, attr_text(_INFO_KIND, kind), nest(_INFO_DATA, data))
    return Request(RTM_NEWLINK, ADD, _described(end) + info, f"create {what}", end)


def _described(end: End) -> bytes:
    """An interface that is to be: header and attributes."""
    flags = _IFF_UP if end.up else 0
    settings = _settings(end.name, end.mac or None, end.mtu or None, end.netns_fd, end.netns_pid)
    if end.queues:
        settings += attr_u32(_NUM_TX_QUEUES, end.queues) + attr_u32(_NUM_RX_QUEUES, end.queues)
    return _IFINFO.pack(0, 0, 0, flags, flags) + settings


def _settings(
    name: str | None, mac: bytes | None, mtu: int | None, netns_fd: int | None, netns_pid: int | None
) -> bytes:
    parts = []
    if name is not None:
        parts.append(attr_text(_IFNAME, _checked(name)))
    if mac is not None:
        parts.append(attr(_ADDRESS, mac))
    if mtu is not None:
        parts.append(attr_u32(_MTU, mtu))
    if netns_fd is not None:
        parts.append(attr_u32(_NET_NS_FD, netns_fd))
    if netns_pid is not None:
        parts.append(attr_u32(_NET_NS_PID, netns_pid))
    return b"".join(parts)


def _which(link: int | str, flags: int = 0, mask: int = 0) -> bytes:
    if isinstance(link, int):
        return _IFINFO.pack(0, 0, link, flags, mask)
    return _IFINFO.pack(0, 0, 0, flags, mask) + attr_text(_IFNAME, _checked(link))


def _checked(name: str) -> str:
    """The kernel would cut or refuse a long name with an errno alone; say it in words."""
    if not 0 < len(name.encode()) <= _NAME_BYTES:
        raise UserError(f"interface name {name!r} is not 1 to {_NAME_BYTES} bytes")
    return name
