"""What an asker is told of: everything, or only what is meant for him, or what policy lets him reach. One thread's own; no I/O.

1. A task is known by its address, which nobody else can send from. The hosts of the cluster are told everything that policy lets
   them reach. Everybody else is outside.
2. A task that its framework means for itself (visibility FRAMEWORK) is told to that framework's tasks; one for the cluster
   (CLUSTER) to tasks and hosts; one of which nothing is said, or EXTERNAL, to everybody.
3. Before it is known what policy says nobody is told anything.
4. To judge one question takes `_BUDGET_S` at most; what was found out by then is kept, so the next try gets further.
5. With REACHABLE a server of other names is asked for him only if policy lets him ask it himself: who may not get out gets nothing
   out by us.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ocicat.agent.discovery.config import REACHABLE, VISIBLE
from ocicat.agent.discovery.names import Names
from ocicat.dns.reach import View
from ocicat.dns.zone import CLUSTER, EVERYBODY, Entry, Goal, TooLong, Visible, everything
from ocicat.mesos.masters import Endpoint
from ocicat.model.net import Addr, Cidr
from ocicat.policy.model import UDP

_BUDGET_S = 0.1
_LOOPBACK = (Cidr.parse("127.0.0.0/8"), Cidr.parse("::1/128"))


@dataclass(slots=True)
class Askers:
    """`view`: what policy says now. `nets`: the cluster's own networks, of hosts and of containers, as they are now."""

    only: Collection[str]
    names: Names
    view: Callable[[], View | None]
    nets: Callable[[], Iterable[Cidr]]

    def visible(self, asker: Addr) -> Visible | None:
        meant = self._meant(asker) if VISIBLE in self.only else everything
        if REACHABLE not in self.only or self._is_local(asker):
            return meant
        view = self.view()
        if view is None:
            return None
        end = time.monotonic() + _BUDGET_S

        def visible(entry: Entry) -> bool:
            if time.monotonic() > end:
                raise TooLong
            return meant(entry) and (entry.goal is None or view.reaches(asker, entry.goal))

        return visible

    def served(self, asker: Addr) -> bool:
        """Whether he is of the cluster: for others no other names are looked up."""
        return self._is_local(asker) or self._is_ours(asker) or any(asker in net for net in self.nets())

    def payer(self, asker: Addr) -> str:
        """Who has a part of the thread's time together: all who are not of the cluster, as their addresses may be forged. "": he is
        on this host, and takes what he wants."""
        if self._is_local(asker):
            return ""
        return str(asker) if self.served(asker) else "outside"

    def may_ask(self, asker: Addr, server: Endpoint) -> bool:
        """Promise 5."""
        if REACHABLE not in self.only or self._is_local(asker):
            return True
        view = self.view()
        return view is not None and view.reaches(asker, Goal((Addr.parse(server.host),), UDP, server.port))

    def _is_local(self, asker: Addr) -> bool:
        return any(asker in net for net in _LOOPBACK)

    def _is_ours(self, asker: Addr) -> bool:
        return asker in self.names.holders or asker in self.names.hosts

    def _meant(self, asker: Addr) -> Visible:
        if self._is_local(asker) or asker in self.names.hosts:
            return everything
        own = {framework for framework, _ in self.names.holders.get(asker, ())}
        audiences = {EVERYBODY, *own, *((CLUSTER,) if own else ())}
        return lambda entry: entry.audience in audiences
