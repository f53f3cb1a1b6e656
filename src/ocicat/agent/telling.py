"""What a running agent says to whoever asks on its socket how it is: who it is, and whether it can do its work now.

1. The answer comes within `PATIENCE_S`, also where the datastore or the dataplane's thread hangs: then it says so.
2. Asking changes nothing. A datastore that is away, or a kernel that refuses, is no reason to start the agent anew: what containers
   have stays as it is, and the agent tries again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Protocol

from ocicat.agent.presence import Presence
from ocicat.agent.status import PATIENCE_S, AgentStatus
from ocicat.errors import OcicatError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.store.base import Datastore


class Answering(Protocol):
    """The dataplane, as far as it is asked here."""

    def answers(self) -> Future[None]: ...


async def status(me: Presence, store: Datastore, dataplane: Answering, endpoints: int) -> bytes:
    """An `AgentStatus` as JSON."""
    wrong_store, wrong_dataplane = await asyncio.gather(
        _wrong(store.get(keys.node(me.host))), _wrong(_answer(dataplane))
    )
    return encode_json(
        AgentStatus(
            host=me.host,
            version=me.version,
            pid=me.pid,
            started=me.started,
            endpoints=endpoints,
            store=wrong_store,
            dataplane=wrong_dataplane,
        )
    )


async def _answer(dataplane: Answering) -> None:
    await asyncio.wrap_future(dataplane.answers())


async def _wrong(answer: Awaitable[object]) -> str:
    try:
        await asyncio.wait_for(answer, PATIENCE_S)
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} s"
    except OcicatError as error:
        return str(error)
    return ""
