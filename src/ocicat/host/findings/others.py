"""What other network systems have left on this host, or do to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.changes.finding import Finding
from ocicat.host.facts.others import BIRD, CALICO, CALICO_LINKS, Others
from ocicat.host.findings.managers import manages_foreign_routes, takes_links, unmanaged
from ocicat.host.roles import Asked

_SHOWN = 3
_PLUGINS = frozenset(
    {"calico", "calico-ipam", "flannel", "weave-net", "cilium-cni", "antrea", "kube-router", "dcos-overlay"}
)
_REMOVE = "`ocicat host prepare --remove-leftovers`"


def findings(asked: Asked, others: Others) -> Iterator[Finding]:
    """Of no interest on a host without containers."""
    if not asked.runs_containers:
        return
    if others.calico_runs:
        yield Finding(
            "calico",
            "Calico runs on this host",
            "both take the same addresses and answer for the same packets",
            "stop and disable it: systemctl disable --now calico-felix, or remove the container calico-node",
        )
    else:
        yield from _calico(others)
    yield from _routes(asked, others)
    for one in others.plugins:
        if one.type in _PLUGINS:
            yield Finding(
                "cni-config",
                f"{one.path}: a network of the plugin {one.type}",
                "containers that a runtime attaches to it get no network of ocicat, and their plugin may be gone",
                f"move {one.path} away",
            )
    yield from _managers(others)


def _calico(others: Others) -> Iterator[Finding]:
    links = [name for name in others.interfaces if name.startswith(CALICO_LINKS)]
    if links:
        yield Finding(
            "calico-links",
            f"interfaces that Calico has left: {_some(links)}",
            "they hold routes to addresses of their pool: a container that gets one of these is not reached",
            f"{_REMOVE}, or ip link delete {links[0]}",
        )
    if others.chains:
        yield Finding(
            "calico-chains",
            f"chains that Calico has left: {_some(others.chains)}",
            "they go on marking, translating and dropping packets of the pools that it knew",
            f"{_REMOVE}, or reboot",
        )


def _routes(asked: Asked, others: Others) -> Iterator[Finding]:
    dead = [] if others.calico_runs else [CALICO]
    if not others.bird_runs and "bgp" not in asked.routings:
        dead.append(BIRD)
    found = [protocol for protocol in dead if others.routes.get(protocol, 0)]
    if found:
        yield Finding(
            "leftover-routes",
            f"{sum(others.routes[protocol] for protocol in found)} routes that BIRD or Calico has left, and neither runs here",
            "packets to these addresses go where nobody has them any more, or are dropped",
            f"{_REMOVE}, or {'; '.join(map(_flush, found))}",
        )


def _flush(protocol: int) -> str:
    return f"ip route flush proto {protocol}; ip -6 route flush proto {protocol}"


def _managers(others: Others) -> Iterator[Finding]:
    if others.networkmanager is not None and not unmanaged(others.networkmanager):
        yield Finding(
            "networkmanager",
            "NetworkManager looks after containers' interfaces (oci*) too",
            "it may change their addresses and routes, and removes them when it restarts",
            "write [device-ocicat], match-device=interface-name:oci*;interface-name:bwoci* and managed=0"
            " into /etc/NetworkManager/conf.d/ocicat.conf, and restart it",
        )
    if others.networkd is not None and manages_foreign_routes(others.networkd):
        yield Finding(
            "networkd",
            "systemd-networkd removes routes that it has not made (ManageForeignRoutes=)",
            "whenever it restarts, or a link comes back, routes to containers of other hosts are gone until the agent mends them",
            "write [Network] and ManageForeignRoutes=no into /etc/systemd/networkd.conf.d/ocicat.conf, and restart it",
        )
    if others.networkd is not None and (path := takes_links(others.links)):
        yield Finding(
            "networkd-links",
            f"{path} is for containers' interfaces (oci*) too",
            "systemd-networkd takes them over, and removes the addresses and routes that the agent gives them",
            "write [Match] Name=oci* bwoci* and [Link] Unmanaged=yes into /etc/systemd/network/00-ocicat.network",
        )


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
