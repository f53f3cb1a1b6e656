"""What the DNS server must know of the datastore: the networks of containers; and, where askers are to be told only of whom they
reach, all that policy says. One event loop's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ocicat.dns.reach import Known, View, view
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.resources import IPPool
from ocicat.model.v3.document import Document
from ocicat.model.v3.metadata import Resource
from ocicat.store.syncer import Update, Updates

T = TypeVar("T")
Documents = tuple[Document | Resource, ...]

log = logging.getLogger(__name__)

_REST_S = 0.1  # between two views of policy, at least
_REST_SHARE = 4  # and so many times as long as the last one took, so that changes do not take all of a processor


class Policies:
    """What policy says, made anew after every change of the datastore: on a thread, because it takes long in a large cluster."""

    def __init__(self, agent_ports: tuple[int, ...]) -> None:
        self.view: View | None = None
        self._known = Known()
        self._agent_ports = agent_ports
        self._changed = asyncio.Event()
        self._complete = False

    def observe(self, updates: Updates) -> None:
        changed = [self._observed(update) for update in updates.updates]
        self._complete = self._complete or updates.in_sync
        if self._complete and (any(changed) or self.view is None):
            self._changed.set()

    def _observed(self, update: Update) -> bool:
        try:
            return self._known.observe(update.key, update.value)
        except Exception:  # then it is as if it were not there; the others of the batch count
            log.exception("%s cannot be read", update.key)
            return True

    async def keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            self.view = await _on_a_thread(partial(self._made, self._known.documents()))
            await asyncio.sleep(max(_REST_S, _REST_SHARE * (time.monotonic() - began)))

    def _made(self, documents: Documents) -> View | None:
        try:
            return view(documents, self._agent_ports)
        except Exception:  # nobody is told anything then, and containers keep their agent
            log.exception("whom policy lets reach whom cannot be said")
            return None


async def _on_a_thread(work: Callable[[], T]) -> T:
    """On one that nobody waits for at the end: `to_thread` would have the whole process wait. `work` raises nothing."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[T] = loop.create_future()

    def tell(result: T) -> None:
        if not made.done():
            made.set_result(result)

    def run() -> None:
        result = work()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, name="view of policy", daemon=True).start()
    return await made


class Pools:
    """The networks of containers, as the datastore has them."""

    def __init__(self) -> None:
        self._nets: dict[str, Cidr] = {}

    def __iter__(self) -> Iterator[Cidr]:
        return iter(self._nets.values())

    def observe(self, updates: Updates) -> None:
        for update in updates.updates:
            if update.key.startswith(keys.POOLS):
                self._nets.pop(update.key, None)
                with suppress(UserError):  # the calculation graph tells of those that cannot be read
                    if update.value is not None:
                        pool = decode_json(IPPool, update.value, what=update.key)
                        self._nets[update.key] = parse_interface(pool.spec.cidr)[1]
