"""Work that goes on beside the agent's own: it is kept up whatever befalls it, and never ends the agent.

Containers need their network more than a label, a name, or that something left over is collected soon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NoReturn, TypeVar

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

log = logging.getLogger(__name__)


async def kept_up(name: str, work: Callable[[], Awaitable[None]]) -> NoReturn:
    """`work` again and again, after a pause that grows while it does not last. Until it is cancelled."""
    loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
    while True:
        began = loop.time()
        try:
            await work()
            log.error("%s: ended, begins again in %g s", name, pause_s)
        except Exception:
            log.exception("%s: failed, begins again in %g s", name, pause_s)
        await asyncio.sleep(pause_s)
        lasted = loop.time() - began > LONGEST_PAUSE_S
        pause_s = FIRST_PAUSE_S if lasted else min(2 * pause_s, LONGEST_PAUSE_S)


def beside(stack: AsyncExitStack, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Keeps it up from now on, until `stack` is undone."""
    stack.push_async_callback(cancelled, asyncio.create_task(kept_up(name, work), name=name))


async def cancelled(task: asyncio.Task[T]) -> None:
    """It has ended when this returns; what it says is nobody's business any more."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
