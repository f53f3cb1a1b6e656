"""Which ports of the peers answer, asked by connecting: many at once, none for longer than `PATIENCE_S`.

Promise: trouble of this host's own, as too few descriptors, is no answer of a peer.
"""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import Iterable
from typing import Literal

from ocicat.errors import Refused
from ocicat.host.facts.names import Names
from ocicat.host.facts.refusals import Refusals
from ocicat.host.ports import Opening, called
from ocicat.host.roles import Asked, Peer
from ocicat.model.base import Struct

PATIENCE_S = 3.0
_AT_ONCE = 400

Outcome = Literal["open", "refused", "rejected", "silent", "unreachable"]
_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Tried(Struct, frozen=True):
    """`refused`: nobody listens, or a firewall resets it; `rejected`: a firewall says so. `silent`: no answer in time.

    `unreachable`: somebody on the way says so, or this kernel: "prohibited", or nobody has the address.
    """

    peer: Peer
    address: str
    opening: Opening
    outcome: Outcome


async def look(asked: Asked, names: Names) -> tuple[Tried, ...]:
    """Of TCP: to other protocols nobody need answer. A peer whose address is not known is not tried."""
    found = [(peer, names.address_of(peer), opening) for peer in asked.peers for opening in called(asked, peer)]
    return await try_all((peer, text, one) for peer, text, one in found if text and one.protocol == "tcp")


async def try_all(wanted: Iterable[tuple[Peer, str, Opening]]) -> tuple[Tried, ...]:
    """Refused when this host has not what it takes to try."""
    room = asyncio.Semaphore(_at_once())

    async def one(peer: Peer, text: str, opening: Opening) -> Tried:
        async with room:
            return Tried(peer, text, opening, await _connect(text, opening.port, refusals))

    with Refusals() as refusals:
        return tuple(await asyncio.gather(*(one(*each) for each in wanted)))


def _at_once() -> int:
    """At most half of the descriptors that there may be: others are open too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _AT_ONCE if limit == resource.RLIM_INFINITY else max(1, min(_AT_ONCE, limit // 2))


async def _connect(text: str, port: int, refusals: Refusals) -> Outcome:
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(text, port)
    except TimeoutError:
        return "silent"
    except OSError as error:
        return _outcome(error, rejected=refusals.are_from_firewall(text, port))
    writer.transport.abort()
    return "open"


def _outcome(error: OSError, *, rejected: bool) -> Outcome:
    if error.errno in _OWN:
        raise Refused(f"peers' ports cannot be tried: {error.strerror}", hint="`ulimit -n 4096`, and again") from error
    if error.errno in _REFUSED:
        return "rejected" if rejected else "refused"
    return "unreachable"
