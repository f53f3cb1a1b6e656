"""Which ports of the peers answer, asked by connecting: all at once, none for longer than `PATIENCE_S`."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable
from typing import Literal

from ocicat.host.facts.names import Names
from ocicat.host.ports import Opening, called
from ocicat.host.roles import Asked, Peer
from ocicat.model.base import Struct

PATIENCE_S = 3.0

Outcome = Literal["open", "refused", "silent", "unreachable"]
# That a firewall says "prohibited", or that nobody has the address: the kernel tells both by these.
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.ENETDOWN})


class Tried(Struct, frozen=True):
    """`refused`: it is let through, and nobody listens. `silent`: no answer in time."""

    peer: Peer
    address: str
    opening: Opening
    outcome: Outcome


async def look(asked: Asked, names: Names) -> tuple[Tried, ...]:
    """Of TCP: to other protocols nobody need answer. A peer whose address is not known is not tried."""
    found = [(peer, names.address_of(peer), opening) for peer in asked.peers for opening in called(asked, peer)]
    return await try_all((peer, text, one) for peer, text, one in found if text and one.protocol == "tcp")


async def try_all(wanted: Iterable[tuple[Peer, str, Opening]]) -> tuple[Tried, ...]:
    async def one(peer: Peer, text: str, opening: Opening) -> Tried:
        return Tried(peer, text, opening, await _connect(text, opening.port))

    return tuple(await asyncio.gather(*(one(*each) for each in wanted)))


async def _connect(text: str, port: int) -> Outcome:
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(text, port)
    except TimeoutError:
        return "silent"
    except OSError as error:
        return "unreachable" if error.errno in _UNREACHABLE else "refused"
    writer.transport.abort()
    return "open"
