"""Does what takes the kernel long, on a thread of its own: deleting detached interfaces, cutting the flows of freed addresses and
those that a port was mapped too late for, and searching and cutting those that policy forbids (`cuts`).

Deleting a veth takes 15 to 24 ms; walking the connection table takes longer the larger it is.

Invariants: 1. Nothing here must be done at once: a detached interface is closed, and an address whose flows are to be cut waits for
it. 2. Flows go before interfaces, so what is left undone when the process ends is found by the alias of an interface at the next
start. 3. Every item's end is told, also a failure, and the next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import chain, count
from queue import PriorityQueue

from ocicat.dataplane.drivers import links
from ocicat.dataplane.flows.cuts import Cut, Scope, Search, scope
from ocicat.errors import OcicatError
from ocicat.model.base import Struct
from ocicat.netlink import address, flows, inet
from ocicat.netlink.conntrack import Flow
from ocicat.netlink.inet import INET, INET6, Prefix
from ocicat.netlink.route import SCOPE_HOST
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

log = logging.getLogger(__name__)

_UDP = 17


class Grave(Struct, frozen=True):
    """An interface to delete. By index: its name may have a new bearer."""

    index: int
    interface: str

    def __str__(self) -> str:
        return f"interface {self.interface}"


class Freed(Struct, frozen=True):
    """An address (packed) that a workload no longer has: its next owner must not inherit its connections."""

    address: bytes

    def __str__(self) -> str:
        return f"flows of {inet.text(self.address)}"


class Mapped(Struct, frozen=True):
    """Ports of UDP of the host that lead to workloads now. A flow that began before would go on to the host as long as its sender
    does not pause, so it is ended. TCP opens a new one with each connection."""

    ports: frozenset[int]

    def __str__(self) -> str:
        return f"flows to mapped ports of UDP: {', '.join(map(str, sorted(self.ports)))}"


class Left(Struct, frozen=True):
    """Flows from and to these nets, to be looked through for addresses that nobody has."""

    nets: tuple[Prefix, ...]

    def __str__(self) -> str:
        return f"flows that were left in {', '.join(map(str, self.nets))}"


Item = Grave | Freed | Mapped | Left | Search | Cut


class Done(Struct, frozen=True):
    """`text` says what went wrong, empty is success. `flows`: those that a Search or Left found, or that a Cut has ended."""

    item: Item
    text: str = ""
    flows: tuple[Flow, ...] = ()


class Reaper:
    """`ended` is called on the reaper's thread. It runs in the network namespace of the thread that starts it."""

    def __init__(self, ended: Callable[[Done], None]) -> None:
        self._ended = ended
        self._work: PriorityQueue[tuple[int, int, Item | None]] = PriorityQueue()
        self._turn = count()
        self._thread = threading.Thread(target=self._run, name="ocicat-reaper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Item) -> None:
        self._work.put((2 if isinstance(item, Grave) else 1, next(self._turn), item))

    def stop(self, timeout_s: float) -> None:
        """Ends after the item in hand; what is left is found at the next start."""
        self._work.put((0, next(self._turn), None))
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._work.get()[2]) is not None:
            self._ended(_attempt(item))


def _attempt(item: Item) -> Done:
    try:
        return Done(item, flows=_reap(item))
    except OcicatError as error:
        return Done(item, error.message)
    except Exception as error:
        log.exception("%s cannot be ended", item)
        return Done(item, f"{type(error).__name__}: {error}")


def _reap(item: Item) -> tuple[Flow, ...]:
    # A socket each time: opening one costs nothing beside the work, and none is left in a doubtful state.
    with ExitStack() as stack:
        if isinstance(item, Grave):
            links.remove(stack.enter_context(RouteSocket()), item.index)
            return ()
        sock = stack.enter_context(NetfilterSocket(timeout_s=30.0))
        match item:
            case Freed(freed):
                flows.flush_address(sock, freed)
            case Mapped(ports):
                own = _own_addresses(stack.enter_context(RouteSocket()))
                flows.cut(sock, flows.unmapped(sock, _UDP, ports, own))
            case Left(nets):
                return tuple(flows.touching(sock, (), nets))
            case Search():
                return tuple(_found(sock, scope(item)))
            case Cut():
                return tuple(flows.cut(sock, item.flows))
        return ()


def _own_addresses(sock: RouteSocket) -> frozenset[bytes]:
    """The host's; loopback is not mapped."""
    return frozenset(each.address for each in sock.dump(address.dump()) if each.scope != SCOPE_HOST)


def _found(sock: NetfilterSocket, where: Scope) -> Iterable[Flow]:
    if where.everything:
        return chain.from_iterable(flows.dump(sock, family) for family in (INET, INET6))
    return flows.touching(sock, where.addresses, where.nets)
