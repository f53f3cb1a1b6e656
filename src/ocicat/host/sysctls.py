"""Kernel settings that a host needs for its roles: one list, by which a host is checked and made fit. Pure.

Only what the dataplane does not look after by itself, or what undoes what it sets: the settings of containers' interfaces are the
agent's own. Bridges are not filtered here (`bridge-nf-call-iptables`): no packet of ours crosses one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ocicat.host.roles import Asked
from ocicat.model.base import Struct

_CONNECTIONS_PER_CONTAINER = 256
_CONNECTIONS_LEAST = 65536
_NEIGHBOURS_LEAST = 512
_ACCEPT_RA = re.compile(r"sysctl net[./]ipv6[./]conf[./](.+)[./]accept_ra")


class Want(Struct, frozen=True):
    """`name` as in `net.ipv4.ip_forward`. `least`: more is right too. `breaks`: what happens when it is not so.

    `whole_kernel`: there is one for all network namespaces, and a container that plays a host may not see it.
    """

    name: str
    value: str
    breaks: str
    least: bool = False
    whole_kernel: bool = False

    @property
    def path(self) -> str:
        return f"/proc/sys/{self.name if '/' in self.name else self.name.replace('.', '/')}"

    def is_met(self, now: str) -> bool:
        if self.least and now.isdecimal():
            return int(now) >= int(self.value)
        return now == self.value


def wants(asked: Asked) -> tuple[Want, ...]:
    """None for a host that runs no containers."""
    if not asked.runs_containers:
        return ()
    return (*_ipv4(asked), *(_ipv6(asked) if asked.ipv6 else ()), _connections(asked))


def accept_ra(interface: str) -> Want:
    """To listen to routers' advertisements also while this host forwards."""
    form = "net/ipv6/conf/{}/accept_ra" if "." in interface else "net.ipv6.conf.{}.accept_ra"
    return Want(form.format(interface), "2", "the kernel drops the IPv6 default route that a router has advertised")


def listening(names: Iterable[str]) -> Iterator[str]:
    """The interfaces among the names of settings."""
    for name in names:
        if found := _ACCEPT_RA.fullmatch(name):
            yield found[1]


def _ipv4(asked: Asked) -> tuple[Want, ...]:
    return (
        Want(
            "net.ipv4.ip_forward",
            "1",
            "no packet gets from a container to another host, or back, until the agent has set it",
        ),
        Want(
            "net.ipv4.conf.all.rp_filter",
            "0",
            "it goes before the 0 that the agent sets for a container's interface: 1 drops what a workload sends from"
            " further addresses that it was allowed, 2 asks the routes for each packet, whose source is checked already",
        ),
        Want(
            "net.ipv4.conf.all.accept_local",
            "0",
            "a workload that was allowed further addresses, this host's among them, can send as this host",
        ),
        Want("net.ipv4.conf.all.route_localnet", "0", "containers can send to what listens on this host's 127.0.0.1"),
        _neighbours(asked, "ipv4"),
    )


def _ipv6(asked: Asked) -> tuple[Want, ...]:
    return (
        Want("net.ipv6.conf.all.disable_ipv6", "0", "no container gets an IPv6 address"),
        Want(
            "net.ipv6.conf.all.forwarding",
            "1",
            "no IPv6 packet gets from a container to another host until the agent has set it",
        ),
        _neighbours(asked, "ipv6"),
    )


def _neighbours(asked: Asked, family: str) -> Want:
    return Want(
        f"net.{family}.neigh.default.gc_thresh3",
        str(max(_NEIGHBOURS_LEAST, 2 * asked.containers + len(asked.peers))),
        f"with {asked.containers} containers the kernel's table of neighbours overflows: some of them are reached by nobody",
        least=True,
        whole_kernel=True,
    )


def _connections(asked: Asked) -> Want:
    return Want(
        "net.netfilter.nf_conntrack_max",
        str(max(_CONNECTIONS_LEAST, _CONNECTIONS_PER_CONTAINER * asked.containers)),
        f"with {asked.containers} containers the table of connections fills up, and new ones are dropped",
        least=True,
        whole_kernel=True,
    )
