"""What rules would do to packets, tried with packets: the rules are copied into a namespace of their own, and peers knock there.

1. Nothing outside of the namespaces made here is touched, and they are gone afterwards, whatever happens.
2. The copy has the host's interfaces by name, its addresses and its peers' addresses; not its routes, and not its connections.
3. Only a packet that arrives counts as let through: a refusal is a refusal.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, NamedTuple

from ocicat.errors import OcicatError
from ocicat.host.firewall import saved
from ocicat.host.firewall.letting import CONTAINERS, Allowed
from ocicat.host.firewall.places import Place
from ocicat.host.firewall.programs import output
from ocicat.host.ports import Opening
from ocicat.model.base import Struct, replace
from ocicat.netlink import address, inet, link, namespace, neighbour, route
from ocicat.netlink.address import Address
from ocicat.netlink.link import End
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.route import Route
from ocicat.netlink.socket import RouteSocket

_ANSWER_S = 1.0  # inside one kernel; what takes longer was dropped, and TCP would ask again
_AT_ONCE = 200  # sockets; of more datagrams at once one socket's buffer loses some
_MAC, _FAR_MAC = b"\x02\x0c\x1c\x00\x00\x01", b"\x02\x0c\x1c\x00\x00\x02"
# As the kernel writes them: senders are compared by their text.
_TASK = {4: "198.51.100.251", 6: "2001:db8:c1c::251"}  # documentation addresses: nobody's
_NOBODY = {4: "203.0.113.251", 6: "2001:db8:c1c::fb"}
_SELF = {6: "2001:db8:c1c::fa"}
_TASK_PORT = 7
_IPIP = 4
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class Way(Struct, frozen=True):
    """Packets of `peer` come in through `interface` and are for `host` (both addresses)."""

    peer: str
    interface: str
    host: str

    @property
    def version(self) -> int:
        return ip_address(self.peer).version


class Knock(Struct, frozen=True):
    """At a port of this host (`opening`), or through it (None): from the peer to a container, or `from_container` to the peer."""

    way: Way
    opening: Opening | None
    from_container: bool = False


class _Bed(NamedTuple):
    """Descriptors of namespaces."""

    host: int
    outside: int
    container: int


class _Ear(NamedTuple):
    """What is listened to, for all who knock there at once."""

    where: Literal["host", "outside", "container"]
    protocol: str
    port: int
    version: int


def kept_out(
    places: Sequence[Place],
    knocks: Sequence[Knock],
    change: Callable[[], None] | None = None,
    *,
    without: Sequence[str] = (),
) -> list[Knock]:
    """Those knocks that the rules of `places` together keep out; `change` is made in the copy first. `without`: what the names of
    chains begin with that are about to go, and are not copied.

    Refused: the rules cannot be copied.
    """
    copies = [_copied(place, without) for place in places]
    if any(saved.sets(text) for _, text in copies):
        copies.insert(0, (["ipset", "restore"], output(["ipset", "save"])))
    with _bed(knocks) as bed:
        with namespace.inside(bed.host):
            for program, text in copies:
                output(program, text)
            if change:
                change()
        through = _through(bed, knocks)
    return [knock for knock in knocks if knock not in through]


def knocks(allowed: Iterable[Allowed], ways: Iterable[Way]) -> list[Knock]:
    by_peer = {way.peer: way for way in ways}
    found = {Knock(by_peer[source], one.opening) for one in allowed for source in one.sources if source in by_peer}
    return sorted(found, key=lambda one: (one.way.peer, str(one.opening)))


def _copied(place: Place, without: Sequence[str]) -> tuple[list[str], str]:
    """The program that loads it, and what it reads."""
    if place.program:
        return [f"{place.program}-restore"], saved.without(output([f"{place.program}-save"]), without)
    return ["nft", "-f", "-"], output(["nft", "list", "table", place.family, place.table])


@contextmanager
def _bed(knocks: Sequence[Knock]) -> Iterator[_Bed]:
    with ExitStack() as stack:
        made = _Bed(*(namespace.unnamed() for _ in range(3)))
        for fd in made:
            stack.callback(os.close, fd)
        near, far, inside = (stack.enter_context(RouteSocket(fd)) for fd in made)
        for sock in (near, far, inside):
            sock.request(link.change(sock.get(link.get("lo")).index, up=True))
        ways = {one.way for one in knocks}
        for number, interface in enumerate(sorted({way.interface for way in ways})):
            _wire(
                near,
                far,
                End(f"far{number}", netns_fd=made.outside),
                [way for way in ways if way.interface == interface],
            )
        _wire_container(near, inside, made.container, ways)
        with namespace.inside(made.host):
            for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                with suppress(OSError):
                    Path("/proc/sys/net", setting).write_text("1")
        yield made


def _wire(near: RouteSocket, far: RouteSocket, far_end: End, ways: Sequence[Way]) -> None:
    """The ways that come in through one interface."""
    here, there = _pair(near, far, ways[0].interface, far_end)
    hosts, peers = {way.host for way in ways}, {way.peer for way in ways}
    _hold(near, here, hosts)
    _hold(far, there, peers)
    _reach(near, here, peers, _FAR_MAC)
    _reach(far, there, {*hosts, *_TASK.values()}, _MAC)


def _wire_container(near: RouteSocket, inside: RouteSocket, container: int, ways: Iterable[Way]) -> None:
    here, there = _pair(near, inside, f"{CONTAINERS}knock", End("eth0", netns_fd=container))
    _hold(inside, there, _TASK.values())
    _reach(near, here, _TASK.values(), _FAR_MAC)
    _reach(inside, there, {one for way in ways for one in (way.host, way.peer)}, _MAC)


def _pair(near: RouteSocket, far: RouteSocket, name: str, far_end: End) -> tuple[int, int]:
    near.request(link.create_veth(End(name, mac=_MAC, up=True), replace(far_end, mac=_FAR_MAC)))
    there = far.get(link.get(far_end.name)).index
    far.request(link.change(there, up=True))
    return near.get(link.get(name)).index, there


def _hold(sock: RouteSocket, index: int, addresses: Iterable[str]) -> None:
    for one in sorted(addresses):
        packed = inet.packed(one)
        sock.request(address.add(Address(index, packed, len(packed) * 8, nodad=True)))


def _reach(sock: RouteSocket, index: int, addresses: Iterable[str], mac: bytes) -> None:
    """No question is asked of them: answers to such may be dropped, and that is not what is tried here."""
    for one in sorted(addresses):
        packed = inet.packed(one)
        sock.request(neighbour.replace(Neighbour(index, packed, mac)))
        sock.request(route.replace(Route(inet.host(packed), oif=index, scope=route.SCOPE_LINK)))


def _through(bed: _Bed, knocks: Sequence[Knock]) -> set[Knock]:
    found: set[Knock] = set()
    for at in range(0, len(knocks), _AT_ONCE):
        found |= _arrived(bed, knocks[at : at + _AT_ONCE])
    return found


def _arrived(bed: _Bed, knocks: Sequence[Knock]) -> set[Knock]:
    with ExitStack() as stack:
        ears = {}
        for ear in sorted({_ear_of(knock) for knock in knocks}):
            with namespace.inside(getattr(bed, ear.where)):
                ears[ear] = stack.enter_context(_listening(ear))
        hands = {}
        for knock in knocks:
            with namespace.inside(bed.container if knock.from_container else bed.outside):
                hands[knock] = stack.enter_context(_knocking(knock))
        return _heard(knocks, ears, hands)


def _ear_of(knock: Knock) -> _Ear:
    version = ip_address(knock.way.peer).version
    if knock.opening:
        return _Ear("host", knock.opening.protocol, knock.opening.port, version)
    return _Ear("outside" if knock.from_container else "container", "udp", _TASK_PORT, version)


def _source(knock: Knock) -> str:
    return _TASK[ip_address(knock.way.peer).version] if knock.from_container else knock.way.peer


def _target(knock: Knock) -> str:
    if knock.opening:
        return knock.way.host
    return knock.way.peer if knock.from_container else _TASK[ip_address(knock.way.peer).version]


def _socket(ear: _Ear) -> socket.socket:
    if ear.protocol == "ipip":
        return socket.socket(_FAMILY[ear.version], socket.SOCK_RAW, _IPIP)
    return socket.socket(_FAMILY[ear.version], socket.SOCK_STREAM if ear.protocol == "tcp" else socket.SOCK_DGRAM)


def _listening(ear: _Ear) -> socket.socket:
    sock = _socket(ear)
    if ear.version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", ear.port))
    if ear.protocol == "tcp":
        sock.listen(_AT_ONCE)
    sock.settimeout(0)
    return sock


def _knocking(knock: Knock) -> socket.socket:
    """Its first packet is on its way. That it cannot be sent is no error: then it does not arrive."""
    ear = _ear_of(knock)
    sock = _socket(ear)
    sock.bind((_source(knock), 0))
    sock.settimeout(0)
    with suppress(OSError):
        if ear.protocol == "tcp":
            sock.connect((_target(knock), ear.port))
        else:
            sock.sendto(b"ocicat", (_target(knock), ear.port))
    return sock


def _heard(knocks: Sequence[Knock], ears: dict[_Ear, socket.socket], hands: dict[Knock, socket.socket]) -> set[Knock]:
    """Until all have got through, or the time is over."""
    found: set[Knock] = set()
    end_s = time.monotonic() + _ANSWER_S
    streams = {hands[one]: one for one in knocks if _ear_of(one).protocol == "tcp"}
    others = {sock: ear for ear, sock in ears.items() if ear.protocol != "tcp"}
    while len(found) < len(knocks) and (left_s := end_s - time.monotonic()) > 0:
        for ready in _ready(others, streams, left_s):
            if ready in others:
                found |= _of_datagrams(knocks, others[ready], ready)
                continue
            knock = streams.pop(ready)
            if not ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                found.add(knock)
    return found


def _ready(reading: Iterable[socket.socket], writing: Iterable[socket.socket], timeout_s: float) -> list[socket.socket]:
    poll = select.poll()
    by_fd = {one.fileno(): one for one in (*reading, *writing)}
    for one in reading:
        poll.register(one, select.POLLIN)
    for one in writing:
        poll.register(one, select.POLLOUT)
    return [by_fd[fd] for fd, _ in poll.poll(timeout_s * 1000)]


def _of_datagrams(knocks: Sequence[Knock], heard: _Ear, ear: socket.socket) -> set[Knock]:
    senders = set()
    with suppress(BlockingIOError):
        while True:
            senders.add(str(ip_address(ear.recvfrom(2048)[1][0])))
    return {one for one in knocks if _ear_of(one) == heard and _source(one) in senders}


def ways(peers: Iterable[str]) -> list[Way]:
    """Through which interface each of them comes, and to which address of this host. This host itself, and those without a route,
    are left out."""
    return [found for peer in sorted(set(peers)) if (found := _way(peer))]


def anywhere(version: int = 4) -> Way | None:
    """Of a host that nobody is: through the default route, or an interface that is up."""
    with RouteSocket() as routes:
        links = {one.index: one.name for one in routes.dump(link.dump()) if one.up and one.name != "lo"}
        held = [one for one in routes.dump(address.dump(inet.INET)) if one.index in links]
    peer = _NOBODY[version]
    # Which address of its own a host has is of no concern to what it forwards.
    return _way(peer) or next(
        (Way(peer, links[one.index], _SELF.get(version) or inet.text(one.address)) for one in held), None
    )


def _way(peer: str) -> Way | None:
    with RouteSocket() as routes, suppress(OcicatError):
        found = routes.get(route.get(inet.packed(peer)))
        interface = routes.get(link.get(found.oif)).name
        host = _own_address(peer)
        return Way(peer, interface, host) if interface != "lo" and host else None
    return None


def _own_address(peer: str) -> str:
    with socket.socket(_FAMILY[ip_address(peer).version], socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((peer, 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])
