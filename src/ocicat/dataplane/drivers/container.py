"""A container's interface: the veth pair, and everything inside the container's namespace.

The container has its address alone on a point-to-point link and a default route by 169.254.1.1 (IPv6: the host side's link-local
address). Permanent neighbour entries on both sides say which MAC that is: nothing then depends on anybody answering ARP.

A container may have several networks. The default routes of `eth0` serve what is not bound to an address, however many networks
come at once and in whatever order; what comes from the address of another one leaves by its own interface (a rule and a table of
its own), or the host would drop it as spoofed. Without an `eth0` of ours the other default routes serve, the oldest first.

Invariants: 1. `plug` makes all of it or nothing. 2. Plugging again what is right already changes nothing and succeeds.
3. An interface that was in the container before is never touched. 4. Only `plug` and `inspect` look into the namespace.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from ocicat.dataplane.api import Attach, Attached
from ocicat.dataplane.drivers import links, sysctl
from ocicat.dataplane.ownership import GATEWAY_V4, GATEWAY_V6, HOST_MAC, is_detached
from ocicat.errors import Conflict, Refused, Unavailable
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.netlink import address, inet, link, neighbour, route, rule
from ocicat.netlink.address import Address
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.link import End, Link
from ocicat.netlink.namespace import inside, opened
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.route import IPV6_PRIORITY, LOCAL, MAIN, SCOPE_LINK, Route
from ocicat.netlink.rule import Rule
from ocicat.netlink.socket import RouteSocket
from ocicat.netlink.wire import Request

_AWAIT_MS = 1000
_TABLES = 0x6F630000  # the routing table of a further network: "oc" and the interface's index
_RULE_PRIORITY = 1000
FIRST = "eth0"  # what Mesos, and every other runtime, calls a container's first interface
_INET = {4: inet.INET, 6: inet.INET6}
_GATEWAYS = {4: GATEWAY_V4, 6: GATEWAY_V6}


class Inside(Struct, frozen=True):
    """What a container's namespace is to hold, once the index of its interface is known."""

    addresses: tuple[Address, ...]
    neighbours: tuple[Neighbour, ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]


def wanted_inside(request: Attach, index: int) -> Inside:
    """Pure."""
    families = sorted({each.family for each in request.addresses})
    further = request.container_interface != FIRST
    addresses = [
        Address(index, each.pack(), 8 * len(each.pack()), nodad=each.family == 6) for each in request.addresses
    ]
    neighbours = [Neighbour(index, _GATEWAYS[family], HOST_MAC) for family in families]
    routes = [each for family in families for each in _way_out(family, index, priority=index if further else 0)]
    if further:
        routes += [each for family in families for each in _way_out(family, index, table=_TABLES + index)]
    rules = [
        Rule(_INET[each.family], _RULE_PRIORITY, _TABLES + index, src=inet.host(each.pack()))
        for each in (request.addresses if further else ())
    ]
    return Inside(tuple(addresses), tuple(neighbours), tuple(routes), tuple(rules))


def _way_out(family: int, index: int, *, table: int = MAIN, priority: int = 0) -> list[Route]:
    """By the gateway, on that interface. The one of IPv6 is on every link."""
    if family == 6:
        metric = IPV6_PRIORITY + priority
        return [Route(inet.DEFAULT_V6, gateway=GATEWAY_V6, oif=index, table=table, priority=metric)]
    return [
        Route(inet.host(GATEWAY_V4), oif=index, scope=SCOPE_LINK, table=table, priority=priority),
        Route(inet.DEFAULT_V4, gateway=GATEWAY_V4, oif=index, table=table, priority=priority),
    ]


class Guarding(Protocol):
    """Puts a guard on the interface of that name; on one that is `new`, whatever a former one of that name has left."""

    def __call__(self, interface: str, *, new: bool) -> None: ...


def plug(host: RouteSocket, request: Attach, guard: Guarding) -> Attached:
    """Makes the pair, has its host side guarded before that is set up, and sets up both sides. `request.mtu` must be set.

    NotFound: no such namespace. Refused: the container has such an interface already, or the name is another endpoint's.
    Conflict: our name is on an interface of this endpoint's past; remove it and try again. Unavailable.
    """
    with opened(request.netns_path) as ns, RouteSocket(ns) as container:
        try:
            host.request(pair(request, ns))
        except NetlinkError as error:
            if not error.exists:
                raise Unavailable(error.message, hint=error.hint) from error
            _check_ours(host, container, request)
            guard(request.interface, new=False)
            return _set_up(host, container, ns, request)
        try:
            guard(request.interface, new=True)
            return _set_up(host, container, ns, request)
        except BaseException:
            links.remove(host, request.interface)
            raise


def inspect(request: Attach, host_index: int) -> list[str]:
    """What is wrong inside the container. NotFound: no such namespace."""
    with opened(request.netns_path) as ns, RouteSocket(ns) as container:
        found = links.find(container, request.container_interface)
        if found is None:
            return [f"the container has no interface {request.container_interface}"]
        return _link_faults(found, request, host_index) + _missing_inside(container, request, found.index)


def pair(request: Attach, ns: int | None) -> Request:
    """The far end in that namespace, or here. Down: the near one has no guard yet. One queue each: more serve nobody on a veth, and
    take the kernel half as long again to make."""
    near = End(request.interface, mac=HOST_MAC, mtu=request.mtu, queues=1)
    far = End(request.container_interface, mac=request.mac or b"", mtu=request.mtu, netns_fd=ns, queues=1)
    return link.create_veth(near, far)


def _check_ours(host: RouteSocket, container: RouteSocket, request: Attach) -> None:
    """One of the two names is taken: by the very pair that was asked for?"""
    near = links.find(host, request.interface)
    far = links.find(container, request.container_interface)
    if near is None and far is None:
        raise Conflict(f"interface {request.interface} was being removed")
    if near is None:
        raise Refused(
            f"the container has an interface {request.container_interface} already", hint="choose another name"
        )
    if is_detached(near.alias):
        raise Conflict(f"interface {request.interface} is being removed")
    if near.alias not in ("", request.key):
        raise Refused(f"interface {request.interface} belongs to endpoint {near.alias}")
    if far is None or far.peer_index != near.index:
        raise Conflict(f"interface {request.interface} leads to another container")
    wanted = {each.pack() for each in request.addresses}
    others = [each for each in held_addresses(container, far.index) if each not in wanted]
    if others:
        raise Refused(
            f"{request.container_interface} in the container has the address {inet.text(others[0])} already",
            hint="detach it first",
        )


def held_addresses(container: RouteSocket, index: int) -> list[bytes]:
    """Global ones."""
    return [each.address for each in container.dump(address.dump(index=index)) if each.scope == 0]


def _set_up(host: RouteSocket, container: RouteSocket, ns: int, request: Attach) -> Attached:
    ipv6 = any(each.family == 6 for each in request.addresses)
    try:
        if ipv6:
            with inside(ns):
                sysctl.enable_ipv6(request.container_interface)
        far = container.get(link.get(request.container_interface))
        mark(host, request, far)
        fill(container, request, far.index)
        _await_local(container, [each for each in request.addresses if each.family == 6])
        # The host side got its carrier when the container side came up, but sends only once a kernel worker has noticed, which
        # may take long on a busy host. Asking for the link makes the kernel see to it now (since Linux 6.8).
        host.get(link.get(far.peer_index))
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
    sysctl.workload_interface(request.interface, ipv6=ipv6)
    return Attached(far.peer_index, far.mac)


def mark(host: RouteSocket, request: Attach, far: Link) -> None:
    """Sets it up, and says whose it is, and where its addresses are: the host then never asks by ARP, and never fills its neighbour
    table with answers.

    IPv6 could not even ask in the first second, while its own link-local address is being checked for duplicates.
    """
    here = [neighbour.replace(Neighbour(far.peer_index, each.pack(), far.mac)) for each in request.addresses]
    for error in host.batch([link.change(far.peer_index, alias=request.key, up=True), *here]):
        if error is not None:
            raise error


def fill(container: RouteSocket, request: Attach, index: int) -> None:
    """Routes and rules that are there stay: they are ours from before."""
    wanted = wanted_inside(request, index)
    must = [
        link.change("lo", up=True),
        link.change(index, up=True),
        *map(address.replace, wanted.addresses),
        *map(neighbour.replace, wanted.neighbours),
    ]
    errors = container.batch([*must, *map(route.add, wanted.routes), *map(rule.add, wanted.rules)])
    for i, error in enumerate(errors):
        if error is not None and not (error.exists and i >= len(must)):
            raise error


def _await_local(container: RouteSocket, addresses: Iterable[Addr]) -> None:
    """The kernel takes packets for an IPv6 address only once a worker of its own has run: mostly at once, at times after 5 ms."""
    for each in addresses:
        for _ in range(_AWAIT_MS):
            if container.get(route.get(each.pack())).kind == LOCAL:
                break
            time.sleep(0.001)
        else:
            raise Unavailable(f"the kernel does not make {each} the container's own in {_AWAIT_MS} ms")


def _link_faults(found: Link, request: Attach, host_index: int) -> list[str]:
    name = request.container_interface
    faults = [
        (not found.up, f"{name} in the container is down"),
        (found.peer_index != host_index, f"{name} in the container is not the other end of {request.interface}"),
        (request.mac not in (None, found.mac), f"{name} in the container has the MAC {inet.mac_text(found.mac)}"),
    ]
    return [text for wrong, text in faults if wrong]


def _missing_inside(container: RouteSocket, request: Attach, index: int) -> list[str]:
    wanted = wanted_inside(request, index)
    addresses = set(held_addresses(container, index))
    neighbours = {n for family in _INET.values() for n in container.dump(neighbour.dump(family, index))}
    routes = {r for family in _INET.values() for r in container.dump(route.dump(family, oif=index))}
    rules = {r for family in _INET.values() for r in container.dump(rule.dump(family))} if wanted.rules else set()
    return [
        f"the container has no {each}"
        for each in (
            *(a for a in wanted.addresses if a.address not in addresses),
            *(n for n in wanted.neighbours if n not in neighbours),
            *(r for r in wanted.routes if r not in routes),
            *(r for r in wanted.rules if r not in rules),
        )
    ]
