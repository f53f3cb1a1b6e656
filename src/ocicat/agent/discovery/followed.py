"""What the DNS server must know of the datastore: the networks of containers; and, where askers are to be told only of whom they
reach, all that policy says. One event loop's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

from ocicat.dns.reach import Known, View, view
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.resources import IPPool
from ocicat.model.v3.document import Document
from ocicat.model.v3.metadata import Resource
from ocicat.store.syncer import Updates

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
        changed = [self._known.observe(update.key, update.value) for update in updates.updates]
        self._complete = self._complete or updates.in_sync
        if self._complete and (any(changed) or self.view is None):
            self._changed.set()

    async def keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            self.view = await asyncio.to_thread(self._made, self._known.documents())
            await asyncio.sleep(max(_REST_S, _REST_SHARE * (time.monotonic() - began)))

    def _made(self, documents: Documents) -> View | None:
        try:
            return view(documents, self._agent_ports)
        except Exception:  # nobody is told anything then, and containers keep their agent
            log.exception("whom policy lets reach whom cannot be said")
            return None


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
