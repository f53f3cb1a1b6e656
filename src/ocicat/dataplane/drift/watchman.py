"""Listens for other hands in this host's kernel: whoever touches our table, our routes, our interfaces or the settings we need.

It only listens, on a thread of its own. Whether something of ours really differs is found out by the thread of the dataplane, which
reads back (`engine`): a hint too many costs a few milliseconds, so hints need not be exact, only complete.

Invariants: 1. Our own transactions are known by the netlink ports that made them, and are no hint. 2. What comes within a short
while is one hint: a program that rewrites a firewall does it in many steps. 3. Where notifications were lost, that is a hint.
4. Of rules the chain is told, for reading back does not see one that was replaced under its comment (`reconcile.distrust`).
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from ocicat.dataplane.drivers.ports import Ports
from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.dataplane.reconcile.distrust import INET_TABLE, NETDEV_TABLE
from ocicat.errors import OcicatError
from ocicat.model.base import Struct
from ocicat.netlink.link import Link
from ocicat.netlink.monitor import Event, Group, Monitor, Overrun
from ocicat.netlink.netconf import ALL, Netconf
from ocicat.netlink.nftwatch import Commit, Lost, NftWatch
from ocicat.netlink.qdisc import Qdisc, Redirect
from ocicat.netlink.route import MAIN, Route

log = logging.getLogger(__name__)

_GATHER_S = 0.05
_GROUPS = (
    Group.LINK,
    Group.ROUTE_V4,
    Group.ROUTE_V6,
    Group.NETCONF_V4,
    Group.NETCONF_V6,
    Group.TRAFFIC_CONTROL,
)
_TABLES = frozenset({INET_TABLE, NETDEV_TABLE})
_MOST_SEEN = 1000  # more events at once than this are not told apart


class Hints(Struct, frozen=True):
    """`by`: which table of ours was changed, and who did it ("... by nft (pid 77)"). `seen`: what may be of ours and is changed, or
    gone.

    `lost`: notifications were lost, so anything may have changed. `chains`: those of ours (table, name) of which a rule came, went
    or was replaced. `tables`: those of ours of which that may be so of any chain, or where a rule may lead to a chain that was
    given another name.
    """

    by: tuple[str, ...] = ()
    seen: tuple[Event, ...] = ()
    lost: bool = False
    chains: frozenset[tuple[str, str]] = frozenset()
    tables: frozenset[str] = frozenset()


class Watchman:
    """`heard` is called on the watchman's thread. It runs in the network namespace of the thread that starts it."""

    def __init__(self, ours: Ports, heard: Callable[[Hints], None]) -> None:
        self._ours = ours
        self._heard = heard
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="ocicat-watchman", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """May be called twice, and before `start`."""
        if self._waker < 0:
            return
        os.close(self._waker)
        self._waker = -1
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        os.close(self._wake)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                nft = stack.enter_context(NftWatch())
                rtnl = stack.enter_context(Monitor(_GROUPS))
                self._listen(nft, rtnl)
        except OcicatError as error:
            log.error("changes by others are only found when the kernel is read back: %s", error)
        except Exception:
            log.exception("changes by others are only found when the kernel is read back")

    def _listen(self, nft: NftWatch, rtnl: Monitor) -> None:
        poll = select.poll()
        for fd in (self._wake, nft.fileno(), rtnl.fileno()):
            poll.register(fd, select.POLLIN | select.POLLHUP)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready or select.select([self._wake], [], [], _GATHER_S)[0]:
                return
            hints = self._hints(nft.read(), rtnl.read())
            if hints != Hints():
                self._heard(hints)

    def _hints(self, commits: Iterable[Commit | Lost], events: Iterable[Event | Overrun]) -> Hints:
        commits, events = list(commits), list(events)
        lost = any(isinstance(each, Lost | Overrun) for each in (*commits, *events))
        seen = tuple(each for each in events if isinstance(each, Event) and _concerns(each))
        others = [each for each in commits if isinstance(each, Commit) and each.port not in self._ours]
        named = {table for each in others for table in each.named} & {INET_TABLE}  # rules of the other lead nowhere
        return Hints(
            by=tuple(dict.fromkeys(_culprits(others))),
            seen=seen if len(seen) <= _MOST_SEEN else (),
            lost=lost or len(seen) > _MOST_SEEN,
            chains=frozenset(chain for each in others for chain in each.chains if chain[0] in _TABLES),
            tables=_TABLES if any(isinstance(each, Lost) for each in commits) else frozenset(named),
        )


def _culprits(commits: Iterable[Commit]) -> Iterator[str]:
    for commit in commits:
        for table in sorted(_TABLES & commit.tables):
            yield f"table {table} was changed by {commit.program} (pid {commit.pid})"


def _concerns(event: Event) -> bool:
    match event.value:
        case Link():
            return True  # one of ours may have been given another name
        case Qdisc() | Redirect():
            return True
        case Route(protocol=protocol, table=table):
            return table == MAIN and (protocol == ROUTE_PROTOCOL or not event.gone)
        case Netconf(index=index, forwarding=forwarding):
            return index > 0 or (index == ALL and forwarding == 0)
        case _:
            return False
