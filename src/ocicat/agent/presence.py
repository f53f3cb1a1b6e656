"""What tells everybody that this agent is connected: a key under a lease, which vanishes soon after the agent does.

1. Nothing of the agent waits for it or depends on it. Where it cannot be kept, that is told once, and tried again for ever.
2. It says what an operator asks: which host, which version, which process, since when.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from datetime import UTC, datetime

from ocicat import __version__
from ocicat.clock import Clock
from ocicat.errors import OcicatError
from ocicat.model.base import Struct
from ocicat.model.codec import encode_json
from ocicat.store.base import Datastore, Put
from ocicat.store.lease import held
from ocicat.store.schema.mark import FIRST
from ocicat.store.schema.steps import CURRENT

AGENTS = "/ocicat/v1/agents/"  # by host
TTL_S = 30
_PAUSE_S = 5.0  # before another try, at most: a thousand hosts that lost one store must not come back as one

log = logging.getLogger(__name__)


class Presence(Struct, frozen=True, kw_only=True):
    """`started`: UTC, as in `2026-01-31T12:00:00Z`. `schema`: the major number of the newest one that it can work with."""

    host: str
    version: str
    pid: int
    started: str
    schema: int = FIRST.major


def present(host: str, clock: Clock) -> Presence:
    """This process, from now on."""
    started = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Presence(host=host, version=__version__, pid=os.getpid(), started=started, schema=CURRENT.major)


async def keep(store: Datastore, presence: Presence, *, ttl_s: int = TTL_S, pause_s: float = _PAUSE_S) -> None:
    """Until it is cancelled; then the key goes at once, if the store answers."""
    key, value, problem = AGENTS + presence.host, encode_json(presence), ""
    while True:
        try:
            async with held(store, ttl_s) as lease:
                await store.commit([], [Put(key, value, lease.id)])
                if problem:
                    log.info("presence: told again")
                problem = await lease.lost()
                log.warning("presence: %s", problem)
        except OcicatError as error:
            if not problem:
                log.warning("presence: others cannot see that this agent is connected: %s", error)
            problem = str(error)
        await asyncio.sleep(random.uniform(0, pause_s))
