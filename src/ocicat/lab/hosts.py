"""The lab's hosts and the network between them: namespaces, one bridge, one veth pair for each host.

Promises: `build` makes them or raises; `remove` needs nothing but names, and takes links, routes and rules with the namespaces.
Must not: make anything in the namespace it is called from, or touch a firewall.

The bridge lies in a namespace of its own, so that neither its name nor its subnet can clash with anything of the machine's.
IP forwarding, proxy ARP and the like are the agent's business, as on any host.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ocicat.errors import NotFound
from ocicat.lab.spec import Host
from ocicat.netlink import address, inet, link, namespace, route
from ocicat.netlink.address import Address
from ocicat.netlink.link import End
from ocicat.netlink.route import Route
from ocicat.netlink.socket import RouteSocket

BRIDGE = "fabric"
INTERFACE = "eth0"
_BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables"


def build(fabric: str, hosts: Iterable[Host]) -> None:
    """The bridge, in the namespace `fabric`, which exists; each host's namespace (Conflict: there already), connected to it."""
    with namespace.opened(namespace.named(fabric)) as fd, RouteSocket(fd) as switch:
        switch.request(link.create_bridge(End(BRIDGE, up=True)))
        _set_up_loopback(switch)
        with namespace.inside(fd), suppress(FileNotFoundError):  # the bridge is a wire: no firewall looks into it
            Path(_BRIDGE_FILTER).write_text("0")
        bridge = switch.get(link.get(BRIDGE)).index
        for host in hosts:
            namespace.create(host.namespace)
            _connect(switch, bridge, host)


def remove(names: Iterable[str]) -> int:
    """Remove these namespaces; how many there were."""
    removed = 0
    for name in names:
        with suppress(NotFound):
            namespace.delete(name)
            removed += 1
    return removed


def _connect(switch: RouteSocket, bridge: int, host: Host) -> None:
    with namespace.opened(namespace.named(host.namespace)) as there, RouteSocket(there) as inside:
        switch.request(link.create_veth(End(host.name, up=True, queues=1), End(INTERFACE, netns_fd=there, queues=1)))
        switch.request(link.change(host.name, master=bridge))
        _configure(inside, host)
        # Its end on the bridge was up first, and sends only once a kernel worker has noticed the other: it does now (Linux 6.8).
        switch.get(link.get(host.name))


def _configure(inside: RouteSocket, host: Host) -> None:
    eth0 = inside.get(link.get(INTERFACE)).index
    ip, _, length = host.address.partition("/")
    inside.request(link.change(eth0, up=True))
    inside.request(address.add(Address(eth0, inet.packed(ip), int(length))))
    if host.address6:
        ip, _, length = host.address6.partition("/")
        inside.request(address.add(Address(eth0, inet.packed(ip), int(length), nodad=True)))
    # A host answers its containers' ARP for their gateway only if it has a route to that address through another interface.
    inside.request(route.add(Route(inet.DEFAULT_V4, oif=_set_up_loopback(inside), scope=route.SCOPE_LINK)))


def _set_up_loopback(inside: RouteSocket) -> int:
    index = inside.get(link.get("lo")).index
    inside.request(link.change(index, up=True))
    return index
