"""Taking back what a container's interface held: close it, then give its addresses back; now, or as soon as that can be done.

1. An address becomes free only after its interface is closed.
2. Whatever stands in the way (a locked or failing datastore, a kernel that says no) is tried again until it is done; the caller
   does not wait for more than the first attempt. (Apache Mesos never repeats a DEL that failed.)
3. There is one departure of a handle at a time: a second request for the same one joins the first, so that nothing of an old
   departure can meet a new container of the same name.
4. Stopping forgets what is still to be done. The next agent finds it: an endpoint without an interface (`Workloads.reclaim`).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

from ocicat.agent.local import Local
from ocicat.dataplane.api import Detach
from ocicat.dataplane.apply import Dataplane
from ocicat.errors import OcicatError, Unavailable
from ocicat.ipam.allocator import Allocator
from ocicat.model.base import Struct
from ocicat.store.base import Delete

log = logging.getLogger(__name__)

RETRY_S = 1.0
PATIENCE_S = 5.0  # for the first attempt; a busy store and a kernel under load need less


class Leaving(Struct, frozen=True):
    """`key`: the endpoint's; "" where there is none. `interface`: the host's side; "" when it is gone already. `owns`: there is an
    endpoint or an address to give back."""

    key: str
    handle: str
    interface: str
    owns: bool = True


@dataclass(slots=True)
class _Departure:
    leaving: Leaving
    closed: bool = False
    problem: str = ""  # of the last attempt
    answered: asyncio.Event = field(default_factory=asyncio.Event)  # the first attempt is over
    task: asyncio.Task[None] | None = None  # held here: the event loop itself holds tasks weakly


@dataclass(slots=True)
class Departures:
    """All departures of this host that are under way."""

    allocator: Allocator
    dataplane: Dataplane
    local: Local
    retry_s: float = RETRY_S
    patience_s: float = PATIENCE_S
    _under_way: dict[str, _Departure] = field(default_factory=dict)  # by handle

    async def take_back(self, leaving: Leaving) -> None:
        """Returns when it is done, or goes on by itself after the first attempt. Never raises but when cancelled."""
        departure = self._under_way.get(leaving.handle)
        if departure is None:
            departure = self._under_way[leaving.handle] = _Departure(leaving, closed=not leaving.interface)
            departure.task = asyncio.create_task(self._see_off(departure), name=f"take back {leaving.handle}")
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience_s):
                await departure.answered.wait()

    async def gone(self, handle: str) -> None:
        """Returns when nothing of the handle's departure is left to do. Unavailable, with the reason, when that takes long."""
        departure = self._under_way.get(handle)
        if departure is None or departure.task is None:
            return
        await asyncio.wait({departure.task}, timeout=2 * self.retry_s)
        if handle in self._under_way:
            raise Unavailable(
                f"what {handle} had before could not be given back yet: {departure.problem or 'it takes long'}",
                hint="try again when that is mended",
            )

    async def close(self) -> None:
        tasks = [departure.task for departure in self._under_way.values() if departure.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_off(self, departure: _Departure) -> None:
        try:
            while not await self._attempt(departure):
                departure.answered.set()
                await asyncio.sleep(self.retry_s)
        finally:
            del self._under_way[departure.leaving.handle]
            departure.answered.set()

    async def _attempt(self, departure: _Departure) -> bool:
        try:
            await self._once(departure)
        except OcicatError as error:
            self._postpone(departure, str(error))
        except Exception as error:  # a defect must not lose an address for good
            if not departure.problem:
                log.exception("taking back %s failed in an unforeseen way", departure.leaving.handle)
            self._postpone(departure, repr(error))
        else:
            return True
        return False

    async def _once(self, departure: _Departure) -> None:
        leaving = departure.leaving
        if not departure.closed:
            await asyncio.wrap_future(self.dataplane.detach(Detach(key=leaving.key, interface=leaving.interface)))
            departure.closed = True
        if leaving.owns:
            await self.allocator.release(leaving.handle, [Delete(leaving.key)] if leaving.key else [])
            self.local.observe(leaving.key, None)

    @staticmethod
    def _postpone(departure: _Departure, problem: str) -> None:
        """Said once for each reason, not for each attempt."""
        if problem != departure.problem:
            log.warning("what %s had is given back later: %s", departure.leaving.handle, problem)
        departure.problem = problem
