"""A running agent is told to read its settings again: it takes over what can change while it runs. One event loop.

1. Settings that are wrong change nothing: what is in force stays in force, and the log says why.
2. A request that comes while the agent starts is not lost, from `hangup.remember` on.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from ocicat.agent import hangup
from ocicat.agent.config import Live
from ocicat.agent.feed import Feed
from ocicat.errors import OcicatError

Reread = Callable[[], Live]
"""Reads the settings again, and tells what of them waits for a restart. Errors: OcicatError."""

log = logging.getLogger(__name__)


def requests() -> asyncio.Event:
    """Set by each SIGHUP from now on, and by one that has come before; who answers it clears it."""
    asked, until_now = asyncio.Event(), signal.getsignal(signal.SIGHUP)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    if hangup.has_come(until_now):
        asked.set()
    return asked


async def answer(asked: asyncio.Event, reread: Reread, feed: Feed) -> None:
    """For ever."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            live = reread()
        except OcicatError as error:
            log.error("the settings were not taken over, what is in force stays: %s", error)
            continue
        feed.take_over(live)
        log.info("the settings were read again")
