"""Which netlink ports our own transactions come from, so that the watchman can tell them from those of others."""

from __future__ import annotations

from collections import OrderedDict

_PORTS_KEPT = 64


class Ports:
    """The netlink ports that our own transactions come from. Used by two threads: each call is one operation of a dictionary."""

    def __init__(self) -> None:
        self._ports: OrderedDict[int, None] = OrderedDict()

    def add(self, port: int) -> None:
        """Before the transaction is sent."""
        self._ports[port] = None
        while len(self._ports) > _PORTS_KEPT:
            self._ports.popitem(last=False)

    def __contains__(self, port: int) -> bool:
        return port in self._ports
