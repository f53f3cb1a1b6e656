"""Does what takes the kernel long, on a thread of its own: deleting detached interfaces, cutting the flows of freed addresses.

Deleting a veth takes 15 to 24 ms; walking the connection table takes longer the larger it is.

Invariants: 1. Nothing here is urgent: a detached interface is closed. 2. What is left undone when the
process ends is found by its alias at the next start. 3. A failure is told, and the next item goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue

from ocicat.dataplane.drivers import links
from ocicat.errors import OcicatError
from ocicat.model.base import Struct
from ocicat.netlink import flows, inet
from ocicat.netlink.socket import NetfilterSocket, RouteSocket


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


class Reaper:
    """`failed(object, text)` is called on the reaper's thread. It runs in the network namespace of the thread that starts it."""

    def __init__(self, failed: Callable[[str, str], None]) -> None:
        self._failed = failed
        self._work: SimpleQueue[Grave | Freed | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ocicat-reaper", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Grave | Freed) -> None:
        self._work.put(item)

    def stop(self, timeout_s: float) -> None:
        """Ends after the item in hand; what is left is found at the next start."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._work.get()) is not None and not self._stopping.is_set():
            try:
                _reap(item)
            except OcicatError as error:
                self._failed(str(item), error.message)


def _reap(item: Grave | Freed) -> None:
    # A socket each time: opening one costs nothing beside the work, and none is left in a doubtful state.
    with ExitStack() as stack:
        if isinstance(item, Grave):
            links.remove(stack.enter_context(RouteSocket()), item.index)
        else:
            flows.flush_address(stack.enter_context(NetfilterSocket(timeout_s=30.0)), item.address)
