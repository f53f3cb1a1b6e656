"""What changes in a network namespace, as it happens.

Promises: every notification of the groups asked for, decoded, in order; or an `Overrun` where some were lost.

Invariants: 1. Nothing is lost silently: after an `Overrun` the reader must dump again (subscribe first, dump second,
and no change falls between). 2. `read` never blocks and returns after a bounded number of datagrams.
3. Bridge port states and forwarding entries come in the same groups under family BRIDGE; they are left out, since
the end of a port is not the end of its link.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable
from enum import Enum

from ocicat.model.base import Struct
from ocicat.netlink import address, link, neighbour, netconf, qdisc, route, rule
from ocicat.netlink.address import Address
from ocicat.netlink.inet import BRIDGE
from ocicat.netlink.link import Link
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.netconf import Netconf
from ocicat.netlink.qdisc import Qdisc, Redirect
from ocicat.netlink.route import Route
from ocicat.netlink.rule import Rule
from ocicat.netlink.socket import NETLINK_ROUTE
from ocicat.netlink.subscription import Subscription
from ocicat.netlink.wire import messages

Value = Link | Address | Route | Neighbour | Rule | Netconf | Qdisc | Redirect


class Group(Enum):
    """Multicast groups of rtnetlink."""

    LINK = 1
    NEIGHBOUR = 3
    TRAFFIC_CONTROL = 4
    ADDRESS_V4 = 5
    ROUTE_V4 = 7
    RULE_V4 = 8
    ADDRESS_V6 = 9
    ROUTE_V6 = 11
    RULE_V6 = 19
    NETCONF_V4 = 24
    NETCONF_V6 = 25


class Event(Struct, frozen=True, gc=False):
    """`value` is new or changed; or `gone`, and then as it was."""

    value: Value
    gone: bool = False


class Overrun(Struct, frozen=True, gc=False):
    """The reader was too slow, or the buffer too small: notifications were lost."""


_DECODERS: dict[int, tuple[Callable[[bytes], Value], bool]] = {
    link.RTM_NEWLINK: (link.decode, False),
    link.RTM_DELLINK: (link.decode, True),
    address.RTM_NEWADDR: (address.decode, False),
    address.RTM_DELADDR: (address.decode, True),
    route.RTM_NEWROUTE: (route.decode, False),
    route.RTM_DELROUTE: (route.decode, True),
    neighbour.RTM_NEWNEIGH: (neighbour.decode, False),
    neighbour.RTM_DELNEIGH: (neighbour.decode, True),
    rule.RTM_NEWRULE: (rule.decode, False),
    rule.RTM_DELRULE: (rule.decode, True),
    netconf.RTM_NEWNETCONF: (netconf.decode, False),
    netconf.RTM_DELNETCONF: (netconf.decode, True),
    qdisc.RTM_NEWQDISC: (qdisc.decode, False),
    qdisc.RTM_DELQDISC: (qdisc.decode, True),
    qdisc.RTM_NEWTFILTER: (qdisc.decode_filter, False),
    qdisc.RTM_DELTFILTER: (qdisc.decode_filter, True),
}


def decode(datagram: bytes) -> list[Event]:
    """The events of one datagram; messages that are not ours to know are left out."""
    events = []
    for message in messages(datagram):
        known = _DECODERS.get(message.type)
        if known is not None and message.body[:1] != bytes((BRIDGE,)):
            decoder, gone = known
            events.append(Event(decoder(message.body), gone))
    return events


class Monitor(Subscription):
    """A subscription. A context manager; from asyncio, `add_reader(monitor.fileno(), ...)` and `read`."""

    def __init__(self, groups: Iterable[Group], netns_fd: int | None = None, *, rcvbuf_bytes: int = 8 << 20) -> None:
        super().__init__(NETLINK_ROUTE, (group.value for group in groups), netns_fd, rcvbuf_bytes)

    def read(self) -> list[Event | Overrun]:
        """What is there now, perhaps nothing. More may be left: the descriptor then stays readable."""
        found: list[Event | Overrun] = []
        for datagram in self.datagrams():
            found += [Overrun()] if datagram is None else decode(datagram)
        return found

    def wait(self, timeout_s: float) -> list[Event | Overrun]:
        """The same, waiting up to that long for the first."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            found = self.read()
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            poll.poll(left * 1000)
