"""A container's interface whose container side stays in the host: an engine that moves interfaces itself takes it from there, gives
it its addresses and routes, and brings it back before it is removed. (Docker's libnetwork does.)

Nothing of ours is inside the container, so the host side answers for the gateways: 169.254.1.1 is its address for nobody but those
that ask by ARP, and its link-local address of IPv6 is there at once. Only what such an engine has no word for is added when it is
done (`complete`): the routes of a further network.

Invariants: 1. `plug` makes all of it or nothing. 2. Plugging again what is right already changes nothing and succeeds, wherever
the container side is by then.
"""

from __future__ import annotations

from ocicat.dataplane.api import Attach, Attached
from ocicat.dataplane.drivers import links, sysctl
from ocicat.dataplane.drivers.container import FIRST, Guarding, fill, held_addresses, mark, pair
from ocicat.dataplane.ownership import GATEWAY_V4, GATEWAY_V6, is_detached
from ocicat.errors import Bug, Conflict, NotFound, Refused, Unavailable
from ocicat.model.base import replace
from ocicat.netlink import address, link
from ocicat.netlink.address import Address
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.link import Link
from ocicat.netlink.namespace import opened
from ocicat.netlink.route import SCOPE_HOST, SCOPE_LINK
from ocicat.netlink.socket import RouteSocket


def plug(host: RouteSocket, request: Attach, guard: Guarding) -> Attached:
    """Makes the pair, has its host side guarded, and sets that up. `request.mac` and `request.mtu` must be set.

    Refused: one of the names is somebody else's. Conflict: our name is on an interface of this endpoint's past; remove it and try
    again. Unavailable.
    """
    try:
        host.request(pair(request, None))
    except NetlinkError as error:
        if not error.exists:
            raise Unavailable(error.message, hint=error.hint) from error
        index = _ours(host, request).index
        guard(request.interface, new=False)
        return _set_up(host, request, index)
    try:
        guard(request.interface, new=True)
        return _set_up(host, request, host.get(link.get(request.interface)).index)
    except BaseException:
        links.remove(host, request.interface)
        raise


def complete(host: RouteSocket, request: Attach) -> None:
    """What comes from the address of a further network leaves by its own interface, as in every container of ours.

    `netns_path` is the container's by now.

    NotFound: no such namespace, or the engine is not done with the interface yet; try again. Unavailable.
    """
    near = links.find(host, request.interface)
    with opened(request.netns_path) as ns, RouteSocket(ns) as inside:
        far = next((each for each in inside.dump(link.dump()) if near and _is_taken(inside, each, near)), None)
        if far is None:
            raise NotFound(f"{request.netns_path} has no interface yet that leads to {request.interface}")
        if far.name != FIRST:
            try:
                fill(inside, replace(request, container_interface=far.name), far.index)
            except NetlinkError as error:
                raise Unavailable(error.message, hint=error.hint) from error


def _is_taken(inside: RouteSocket, far: Link, near: Link) -> bool:
    """Set up by the engine, which does that last."""
    return (
        far.peer_index == near.index
        and far.peer_nsid is not None
        and far.up
        and bool(held_addresses(inside, far.index))
    )


def _ours(host: RouteSocket, request: Attach) -> Link:
    """The host side that is there already."""
    near = links.find(host, request.interface)
    if near is None and links.find(host, request.container_interface) is None:
        raise Conflict(f"interface {request.interface} was being removed")
    if near is None:
        raise Refused(f"the host has an interface {request.container_interface} already", hint="remove or rename it")
    if is_detached(near.alias):
        raise Conflict(f"interface {request.interface} is being removed")
    if near.alias not in ("", request.key):
        raise Refused(f"interface {request.interface} belongs to endpoint {near.alias}")
    return near


def _set_up(host: RouteSocket, request: Attach, index: int) -> Attached:
    if request.mac is None:
        raise Bug(f"endpoint {request.key}: an interface that is lent needs its MAC")
    ipv6 = any(each.family == 6 for each in request.addresses)
    sysctl.workload_interface(request.interface, ipv6=ipv6)
    # Of scope host, so that the host itself never sends from it.
    gateways = [Address(index, GATEWAY_V4, 32, scope=SCOPE_HOST)]
    if (
        ipv6
    ):  # it is the one that the kernel will give itself, but would then check for a second before it answers for it
        gateways.append(Address(index, GATEWAY_V6, 64, scope=SCOPE_LINK, nodad=True))
    try:
        for error in host.batch([link.change(index, up=True), *map(address.replace, gateways)]):
            if error is not None:
                raise error
        mark(host, request, Link(0, request.container_interface, mac=request.mac, peer_index=index))
    except NetlinkError as error:
        raise Unavailable(error.message, hint=error.hint) from error
    return Attached(index, request.mac)
