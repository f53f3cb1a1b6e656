"""The newest revision this process knows of, and those who wait for a newer one.

1. It only moves forward; whoever learns of a commit moves it.
2. A waiter is woken once the revision it waits for is there, or gets the error the head failed with; it is never forgotten.
3. One event loop; not safe across threads.
"""

from __future__ import annotations

import asyncio


class Head:
    """A revision with waiters."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        self._waiters: set[asyncio.Future[None]] = set()

    def advance(self, revision: int) -> None:
        """A commit made `revision`. Older ones are nothing new."""
        if revision > self.revision:
            self.revision = revision
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Nothing will come for those who wait now."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)

    async def reach(self, revision: int) -> None:
        """Returns when the head is at `revision` or later."""
        while self.revision < revision:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
