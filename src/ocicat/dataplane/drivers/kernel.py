"""The ways into the kernel of one network namespace: two sockets and the `nft` program.

Invariants: 1. They belong to the thread that opens them. 2. Before `reopen` has succeeded a socket is `Unavailable`.
"""

from __future__ import annotations

from typing import TypeVar

from ocicat.dataplane.drivers.nft import Nft
from ocicat.dataplane.drivers.ports import Ports
from ocicat.errors import Unavailable
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

T = TypeVar("T")


class Kernel:
    """`nft` needs no opening. `ports`: those that our transactions come from."""

    def __init__(self, nft_path: str) -> None:
        self.ports = Ports()
        self.nft = Nft(nft_path, self.ports)
        self._route: RouteSocket | None = None
        self._netfilter: NetfilterSocket | None = None

    @property
    def route(self) -> RouteSocket:
        return _opened(self._route)

    @property
    def netfilter(self) -> NetfilterSocket:
        return _opened(self._netfilter)

    def reopen(self) -> None:
        """Fresh sockets: one that timed out may still have the answer to an old question in it. Refused."""
        self.close()
        self._route = RouteSocket()
        self._netfilter = NetfilterSocket()
        self.ports.add(self._netfilter.port)

    def close(self) -> None:
        for sock in (self._route, self._netfilter):
            if sock is not None:
                sock.close()
        self._route = self._netfilter = None


def _opened(sock: T | None) -> T:
    if sock is None:
        raise Unavailable("no netlink socket is open")
    return sock
