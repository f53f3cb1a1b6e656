"""Why a ZooKeeper that gives no session does not: asked of each of its servers, once, with `srvr`.

Source: the "four letter words" of ZooKeeper's administrator's guide; `srvr` is the one that is allowed by default.
"""

from __future__ import annotations

import asyncio

from ocicat.errors import Unavailable
from ocicat.mesos.http import reason_of
from ocicat.mesos.masters import Endpoint, Ensemble

_PATIENCE_S = 5.0
_NO_QUORUM = b"not currently serving requests"


async def diagnosis(ensemble: Ensemble) -> Unavailable:
    """One error for all of them."""
    answers = await asyncio.gather(*map(_ask, ensemble.servers))
    if "no quorum" in answers:
        text = "ZooKeeper has no quorum: more than half of its servers must run and see one another"
    else:
        text = "ZooKeeper does not answer"
    found = ", ".join(f"{server}: {answer}" for server, answer in zip(ensemble.servers, answers, strict=True))
    return Unavailable(f"{ensemble}: {text} ({found})", hint="are its servers running, and the addresses right?")


async def _ask(server: Endpoint) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            try:
                writer.write(b"srvr")
                answer = await reader.read(4096)
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer in {_PATIENCE_S:g} s"
    except OSError as error:
        return reason_of(error)
    if _NO_QUORUM in answer:
        return "no quorum"
    return "serving, but gave no session" if answer.startswith(b"Zookeeper version") else "not a ZooKeeper"
