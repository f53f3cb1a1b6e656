"""A lease that is held for as long as somebody needs it: renewed three times in its life, and known to be lost when it is.

1. `lost()` returns once the lease cannot be relied on: the store says that it is gone, or was not heard of for as long as the
   lease lives, be it that the store did not answer or that this process did not run. It never returns before.
2. A lost lease is not taken again here: what was put under it is gone, and only its owner can put it again.
3. When the block ends the lease is revoked, if the store answers within `FAREWELL_S`; else it expires by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from ocicat.errors import NotFound, OcicatError, Refused, Unavailable
from ocicat.store.base import Datastore, Lease

FAREWELL_S = 1.0
_RENEWALS = 3  # in the life of a lease
_TRIES = 10  # in the life of a lease, while renewing fails


class Held:
    """`id`: what to put under."""

    def __init__(self, lease: Lease, keeping: asyncio.Task[str]) -> None:
        self.id = lease.id
        self._keeping = keeping

    async def lost(self) -> str:
        """Returns when the lease is lost: why."""
        return await asyncio.shield(self._keeping)


@asynccontextmanager
async def held(store: Datastore, ttl_s: int) -> AsyncGenerator[Held, None]:
    """A new lease, renewed while the block runs. Raises what `grant` raises."""
    asked = asyncio.get_running_loop().time()
    lease = await store.grant(ttl_s)
    keeping = asyncio.create_task(_keep(store, lease, asked), name=f"keep lease {lease.id}")
    try:
        yield Held(lease, keeping)
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        with suppress(OcicatError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await store.revoke(lease.id)


async def _keep(store: Datastore, lease: Lease, asked: float) -> str:
    """`asked`: when the last renewal that did succeed was sent, by the loop's clock. The store counts from a later moment."""
    clock, problem = asyncio.get_running_loop().time, ""
    while True:
        ends = asked + lease.ttl_s
        pause_s = lease.ttl_s / (_TRIES if problem else _RENEWALS)
        await asyncio.sleep(min(pause_s, ends - clock()))
        now = clock()
        if now >= ends:
            return f"lease {lease.id}: was not renewed for {now - asked:.1f} s" + (f": {problem}" if problem else "")
        try:
            async with asyncio.timeout_at(ends):
                await store.renew(lease.id)
        except NotFound as error:
            return str(error)
        except (Unavailable, Refused, TimeoutError) as error:
            problem = str(error) or problem or "no answer"
        else:
            asked, problem = now, ""
