"""The host's own interfaces and their addresses, now and whenever they change: a host endpoint may be known by its addresses alone.

1. Interfaces of workloads are left out, and those that limit what they send: what happens to them is no reason to look.
2. What comes in a burst is told once.
3. It never ends the agent: where the kernel cannot be listened to, what was last known stays, and that is said in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ocicat.agent.identity import LENT_PREFIX
from ocicat.dataplane.ownership import ifb_index
from ocicat.errors import OcicatError
from ocicat.model.net import Addr
from ocicat.netlink import address, link
from ocicat.netlink.address import Address
from ocicat.netlink.link import Link
from ocicat.netlink.monitor import Event, Group, Monitor, Overrun
from ocicat.netlink.socket import RouteSocket
from ocicat.policy import HostInterface

_BURST_S = 0.2
_DEAF = "changes of this host's interfaces are not seen any more"

log = logging.getLogger(__name__)

Interfaces = tuple[HostInterface, ...]


def present(host: str, prefix: str) -> Interfaces:
    """Those whose names do not begin with `prefix`, and that are not ours otherwise, by name. Unavailable, Refused."""
    with RouteSocket() as kernel:
        links, held = kernel.dump(link.dump()), kernel.dump(address.dump())
    addresses: defaultdict[int, list[Addr]] = defaultdict(list)
    for one in held:
        addresses[one.index].append(Addr.unpack(one.address))
    own = sorted((each for each in links if not _is_ours(each.name, prefix)), key=lambda each: each.name)
    return tuple(HostInterface(host, each.name, tuple(sorted(addresses[each.index]))) for each in own)


async def follow(host: str, prefix: str, tell: Callable[[Interfaces], None]) -> None:
    """Tells what is there at once, and then whenever it differs. Until it is cancelled."""
    known: Interfaces | None = None
    try:
        with _listening(prefix) as changed:
            while True:
                found = await asyncio.to_thread(present, host, prefix)
                if found != known:
                    known = found
                    tell(found)
                await changed.wait()
                await asyncio.sleep(_BURST_S)
                changed.clear()
    except OcicatError as error:
        log.error("%s: %s", _DEAF, error)


@contextmanager
def _listening(prefix: str) -> Iterator[asyncio.Event]:
    """An event that is set whenever something may have changed."""
    changed, loop, ours = asyncio.Event(), asyncio.get_running_loop(), _Ours(prefix)
    with Monitor((Group.LINK, Group.ADDRESS_V4, Group.ADDRESS_V6)) as monitor:

        def hear() -> None:
            try:
                events = monitor.read()
            except OcicatError as error:
                loop.remove_reader(monitor.fileno())
                log.error("%s: %s", _DEAF, error)
                return
            if [event for event in events if not ours.is_about(event)]:
                changed.set()

        loop.add_reader(monitor.fileno(), hear)
        try:
            yield changed
        finally:
            loop.remove_reader(monitor.fileno())


@dataclass(slots=True)
class _Ours:
    """Workloads' interfaces by index, as events have told of them: an address's event says no name. (The kernel gives each a
    link-local one, and to look at all interfaces for each workload would cost the square of their number.)"""

    prefix: str
    indexes: set[int] = field(default_factory=set)

    def is_about(self, event: Event | Overrun) -> bool:
        match event:
            case Event(value=Link(index=index, name=name), gone=gone):
                ours = _is_ours(name, self.prefix)
                (self.indexes.add if ours and not gone else self.indexes.discard)(index)
                return ours
            case Event(value=Address(index=index)):
                return index in self.indexes
            case _:
                return False


def _is_ours(name: str, prefix: str) -> bool:
    return name.startswith((prefix, LENT_PREFIX)) or ifb_index(name) > 0
