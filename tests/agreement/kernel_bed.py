"""A cluster in network namespaces: a namespace for each host, and one, the world, with the far ends of all their interfaces.

In the world nobody answers, and nothing is routed: it is where packets are put in and where they come out. What comes out of one
host is put into the next by hand, so a packet goes exactly the way it is meant to.

Each host also has a table of the bed's, `bed`: it routes a packet by the word of its sender (which interface it leaves by is in the
source MAC address, or in the mark of the sending socket), gives each packet a connection tracking zone of its own, so that none is
an answer to another, and stamps the packets that leave or arrive untracked. It drops only what a host says of itself: what it
listens to (the one that begins with options), and whatever has no mark.

Everything is without names and ends with the process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kernel_agent import PREFIX, WAIT_S
from kernel_frames import is_stamp, number_of, stamped

from ocicat.netlink import address, link, namespace, neighbour, route, rule
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, INET, INET6, packed, text
from ocicat.netlink.link import End
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.route import LOCAL, SCOPE_HOST, Route
from ocicat.netlink.rule import Rule
from ocicat.netlink.socket import RouteSocket
from ocicat.netlink.wire import Request

sys.path[:0] = [str(Path(__file__).parent.parent / "netns")]

from beds import send_now  # noqa: E402

if TYPE_CHECKING:
    from cluster import Hop, Packet

_HOST_MAC, _GATEWAY_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
_GATEWAY = {INET: (DEFAULT_V4, packed("169.254.0.1")), INET6: (DEFAULT_V6, packed("fe80::1"))}
_TO_HOST = 100
"""The routing table, and the mark, of what a process of the host receives, whatever its destination."""
_MARK_MASK = 0xFF  # the other bits are the dataplane's and everybody's

_RULES = """
table inet bed {
 chain way { type filter hook prerouting priority -400; meta mark set @ll,64,32; }
 chain own-words { type filter hook output priority -400; ip6 nexthdr 0 drop; meta mark 0 drop; }
 chain zones-in { type filter hook prerouting priority -250; jump zones; }
 chain zones-out { type filter hook output priority -250; jump zones; }
 chain zones {
  ct state untracked accept
  meta nfproto ipv4 ct zone set @nh,32,16
  meta nfproto ipv6 ct zone set @nh,16,16
 }
 chain nat-in { type nat hook prerouting priority -100; }
 chain nat-out { type nat hook output priority -100; }
 chain stamp-left { type filter hook postrouting priority 1000; jump stamp; }
 chain stamp-arrived { type filter hook input priority 1000; jump stamp; }
 chain stamp {
  ct state untracked ip dscp set 1
  ct state untracked ip6 dscp set 1
 }
}
"""
_SYSCTLS = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/accept_dad": "0",
    "netfilter/nf_conntrack_checksum": "0",  # conntrack checks UDPLite's as if it were UDP's, and calls the packet invalid
}
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_BARRIER = b"\x88\xb5"  # an Ethertype for local experiments (IEEE 802)
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_IPV6_FLOWINFO, _IPV6_HDRINCL = 11, 36


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet where it came out: an interface, or "" for a process of the host. `data` from the IP header on, if there is one."""

    place: str
    data: bytes
    untracked: bool


class World:
    """The far ends of all interfaces, named HOST.INTERFACE; what is put into one, and what comes out of any."""

    def __init__(self) -> None:
        self.fd = namespace.unnamed()
        with namespace.inside(self.fd):
            _set("ipv6/conf/default/disable_ipv6", "1")
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.settimeout(WAIT_S)
        self._barriers = 0
        with RouteSocket(self.fd) as sock:
            _do(sock, link.create_veth(End("barrier", up=True), End("behind")), link.change("behind", up=True))
            send_now(sock, "barrier")

    def close(self) -> None:
        self._socket.close()
        os.close(self.fd)

    def put_in(self, place: str, mark: int, data: bytes) -> None:
        frame = _HOST_MAC + b"\x02\x00" + mark.to_bytes(4, sys.byteorder) + _ETHERTYPES[data[0] >> 4] + data
        self._socket.sendto(frame, (place, 0))

    def come_out(self, number: int) -> list[Seen]:
        """What of that number has come out by the time that everything sent before has left the first queue it is in.

        The kernel keeps one queue of received frames for each processor, and takes them in order: a frame of ours, from one
        interface of the world to another, comes after what was there before it. So it holds for the caller's processor only.
        """
        self._barriers += 1
        barrier = _HOST_MAC + _GATEWAY_MAC + _BARRIER + self._barriers.to_bytes(8, "big")
        self._socket.sendto(barrier, ("barrier", 0))
        found = []
        while True:
            frame, where = self._socket.recvfrom(2048)
            if frame[12:] == barrier[12:]:
                return found
            data = frame[14:]
            if frame[12:14] in _ETHERTYPES.values() and number_of(data) == number:
                found.append(Seen(where[0], data, stamped(data)))


class HostBed:
    """One host. `interfaces`: its own, with their addresses; `workloads`: those of workloads."""

    def __init__(
        self, name: str, interfaces: dict[str, tuple[str, ...]], workloads: Iterable[str], world: World
    ) -> None:
        self.name = name
        self._world = world
        self._sockets: dict[tuple[int, int], socket.socket] = {}
        self._tables: dict[str, int] = {}
        self._guarded: set[str] = set()
        self.fd = namespace.unnamed()
        with namespace.inside(self.fd):
            for setting, value in _SYSCTLS.items():
                _set(setting, value)
        self._wire([*interfaces, *workloads], interfaces)
        self.nft(_RULES)

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        os.close(self.fd)

    # --- the bed -------------------------------------------------------------------------------------------------------

    def _wire(self, names: list[str], addresses: dict[str, tuple[str, ...]]) -> None:
        """Of each interface: a pair, and a table with the way out by it."""
        new = [name for name in dict.fromkeys(names) if name not in self._tables]
        if not new:
            return
        with RouteSocket(self.fd) as sock, RouteSocket(self._world.fd) as world:
            if not self._tables:
                _do(sock, link.change("lo", up=True), *self._to_host(sock))
            _do(sock, *(self._pair(name) for name in new))
            _do(world, *(link.change(f"{self.name}.{name}", up=True) for name in new))
            send_now(sock, *new)
            indexes = {each.name: each.index for each in sock.dump(link.dump())}
            own = [(indexes[name], packed(given)) for name in new for given in addresses.get(name, ())]
            _do(sock, *(address.add(Address(index, each, 8 * len(each), nodad=True)) for index, each in own))
            for name in new:
                self._tables[name] = len(self._tables) + 1
                _do(sock, *_way_out(self._tables[name], indexes[name]))

    def _pair(self, name: str) -> Request:
        near = End(name, mac=_HOST_MAC, up=True, queues=1)
        return link.create_veth(near, End(f"{self.name}.{name}", netns_fd=self._world.fd, queues=1))

    @staticmethod
    def _to_host(sock: RouteSocket) -> Iterator[Request]:
        lo = sock.get(link.get("lo")).index
        for family, (default, _) in _GATEWAY.items():
            yield rule.add(Rule(family, _TO_HOST, _TO_HOST, mark=_TO_HOST, mask=_MARK_MASK))
            yield route.add(
                Route(default, oif=lo, kind=LOCAL, table=_TO_HOST, scope=SCOPE_HOST if family == INET else 0)
            )

    def nft(self, text: str) -> None:
        with namespace.inside(self.fd):
            subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

    def translate(self, packet: Packet, number: int, hop: Hop) -> None:
        """The packet of that number is sent on to the address and port that the hop says."""
        target, port = hop.translated
        four = packet.family == 4
        which = f"ip id {number}" if four else f"@nh,16,16 {number}"
        to = f"dnat ip to {target}" if four else f"dnat ip6 to [{target}]"
        at_port = f":{port}" if port else ""
        chain = f"inet bed {'nat-in' if hop.enters else 'nat-out'}"
        self.nft(f"flush chain {chain}; add rule {chain} {which} meta l4proto {packet.protocol} {to}{at_port}")

    # --- packets -------------------------------------------------------------------------------------------------------

    def ready(self, packet: Packet, hop: Hop) -> None:
        """Everything is there that the packet needs on its way through this host."""
        self._wire([name for name in (hop.enters, hop.leaves) if name], {})
        self._socket(packet.family, packet.protocol)

    def guarded(self, name: str) -> None:
        """The agent has heard of the interface, if it is one for workloads: whose nobody has attached are closed then."""
        ends = time.monotonic() + WAIT_S
        while name.startswith(PREFIX) and name not in self._guarded:
            with namespace.inside(self.fd):
                done = subprocess.run(
                    ["nft", "list", "chain", "netdev", "ocicat", name], capture_output=True, check=False
                )
            if done.returncode == 0:
                self._guarded.add(name)
            elif time.monotonic() > ends:
                raise AssertionError(f"{self.name}: interface {name} has no guard: {done.stderr.decode()}")

    def put_in(self, hop: Hop, data: bytes) -> None:
        mark = self._tables[hop.leaves] if hop.leaves else _TO_HOST
        if hop.enters:
            self._world.put_in(f"{self.name}.{hop.enters}", mark, data)
            return
        family = data[0] >> 4
        sock = self._socket(family, socket.IPPROTO_RAW)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        with suppress(PermissionError):  # it was dropped on its way out
            sock.sendto(data, (text(data[16:20] if family == 4 else data[24:40]), 0))

    def received(self, packet: Packet, number: int) -> list[Seen]:
        """What of that number a process of the host has received: a raw socket gets it when all hooks are behind it."""
        sock = self._socket(packet.family, packet.protocol)
        found = []
        while True:
            try:
                data, more, _, _ = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return found
            if number_of(data) == number:
                found.append(Seen("", data, stamped(data) if packet.family == 4 else _stamped_flow(more)))

    def _socket(self, family: int, protocol: int) -> socket.socket:
        """Opened once. The protocol RAW only sends, with headers made by us."""
        found = self._sockets.get((family, protocol))
        if found is None:
            with namespace.inside(self.fd):
                kind = socket.AF_INET if family == 4 else socket.AF_INET6
                found = socket.socket(kind, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            if family == 6:
                option = _IPV6_HDRINCL if protocol == socket.IPPROTO_RAW else _IPV6_FLOWINFO
                found.setsockopt(socket.IPPROTO_IPV6, option, 1)
            self._sockets[family, protocol] = found
        return found


def _way_out(table: int, index: int) -> Iterator[Request]:
    """Whatever is marked with the table's number goes to a neighbour behind that interface who takes everything."""
    for family, (default, gateway) in _GATEWAY.items():
        yield neighbour.add(Neighbour(index, gateway, _GATEWAY_MAC))
        yield rule.add(Rule(family, table, table, mark=table, mask=_MARK_MASK))
        yield route.add(Route(default, gateway=gateway, oif=index, onlink=True, table=table))


def _do(sock: RouteSocket, *requests: Request) -> None:
    for error in sock.batch(requests):
        if error is not None:
            raise error


def _set(name: str, value: str) -> None:
    with open(f"/proc/sys/net/{name}", "w") as file:  # noqa: PTH123  as the thread sees it, whose namespace changes
        file.write(value)


def _stamped_flow(more: list[tuple[int, int, bytes]]) -> bool:
    """Of the flow information of a packet that came without its header."""
    head = next(
        (data for level, kind, data in more if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_FLOWINFO)), bytes(4)
    )
    return is_stamp(int.from_bytes(head, "big") >> 20)
