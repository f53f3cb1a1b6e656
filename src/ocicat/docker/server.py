"""From a call of Docker's engine to the one who does it, and back. The engine shows the text of an error to its user.

Every call gets one reply, whatever the handler raises; a failure of ours is logged with its trace.
"""

from __future__ import annotations

import logging
from typing import Protocol

from ocicat.docker import messages
from ocicat.docker.http import Answer, failure
from ocicat.errors import Bug, OcicatError
from ocicat.model.codec import encode_json

log = logging.getLogger(__name__)


class Handler(Protocol):
    """What the agent does. May raise `OcicatError`."""

    async def perform(self, call: messages.Call) -> messages.Reply: ...


def answering(handler: Handler) -> Answer:
    """What a `Listener` is to answer with."""

    async def answer(path: str, body: bytes) -> bytes:
        try:
            return encode_json(await _reply(handler, path, body))
        except OcicatError as error:
            log.warning("%s refused: %s", path.removeprefix("/"), error)
            return failure(error)
        except Exception as error:  # the engine, and whoever waits for it, must not wait in vain
            log.exception("%s failed in an unforeseen way", path)
            return failure(Bug(f"{type(error).__name__}: {error}", hint="this is a defect: see the agent's log"))

    return answer


async def _reply(handler: Handler, path: str, body: bytes) -> messages.Reply:
    known = messages.ANSWERS.get(path)
    return known if known is not None else await handler.perform(messages.read(path, body))
