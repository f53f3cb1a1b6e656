"""Notifications: all of them, decoded, in order; or an overrun that says that some are lost."""

import asyncio
import os
import threading
import time

import pytest

from ocicat.errors import Unavailable
from ocicat.netlink import address, link, namespace, neighbour, route, rule, subscription
from ocicat.netlink.address import Address
from ocicat.netlink.inet import INET, mac_packed, packed, prefix
from ocicat.netlink.link import End, Link
from ocicat.netlink.monitor import Event, Group, Monitor, Overrun
from ocicat.netlink.neighbour import Neighbour
from ocicat.netlink.route import Route
from ocicat.netlink.rule import Rule
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

MAC = mac_packed("ee:ee:ee:ee:ee:ee")


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    yield fd
    os.close(fd)


@pytest.fixture
def sock(ns):
    with RouteSocket(ns) as sock:
        sock.request(link.create_bridge(End("br0", up=True)))
        yield sock


@pytest.fixture
def br0(sock):
    return sock.get(link.get("br0")).index


@pytest.fixture
def everything(ns, br0):
    with Monitor(Group, ns) as watching:
        yield watching


def until(watching, wanted, limit_s=5.0):
    """What comes, up to and with the wanted event."""
    found = []
    deadline = time.monotonic() + limit_s
    while wanted not in found and time.monotonic() < deadline:
        found += watching.wait(0.2)
    assert wanted in found
    return found


def test_what_is_made_and_removed_is_told(sock, br0, everything):
    values = [
        (Address(br0, packed("10.1.0.1"), 24), address),
        (Address(br0, packed("fd00::1"), 64, nodad=True), address),
        (Route(prefix("10.65.0.0/26"), oif=br0, scope=route.SCOPE_LINK, protocol=80), route),
        (Route(prefix("fd00:65::/64"), oif=br0, protocol=80, priority=1024), route),
        (Neighbour(br0, packed("10.1.0.7"), MAC), neighbour),
        (Rule(INET, 100, 1000, protocol=80), rule),
    ]
    for value, module in values:
        sock.request(module.add(value))
        until(everything, Event(value))
    # A neighbour's removal is told as its last state, not as it was: compared without it below.
    for value, module in [one for one in reversed(values) if one[1] is not neighbour]:
        sock.request(module.delete(value))
        until(everything, Event(value, gone=True))


def test_links_are_told_with_their_changes(sock, everything):
    sock.request(link.create_veth(End("a0"), End("b0")))
    made = sock.get(link.get("a0"))
    sock.request(link.change("a0", up=True))
    sock.request(link.delete("a0"))
    found = []
    deadline = time.monotonic() + 5
    while not any(gone(event, "a0") for event in found) and time.monotonic() < deadline:
        found += everything.wait(0.2)
    ours = [one for one in found if isinstance(one.value, Link) and one.value.name == "a0"]
    assert {one.value.index for one in ours} == {made.index}
    assert [one.gone for one in ours][-1] is True
    assert any(one.value.up for one in ours)


def gone(event, name):
    return isinstance(event.value, Link) and event.value.name == name and event.gone


def test_a_port_that_leaves_its_bridge_is_not_a_link_that_is_gone(sock, br0, everything):
    sock.request(link.create_veth(End("a0"), End("b0")))
    sock.request(link.change("a0", master=br0))
    sock.request(link.change("a0", master=0))
    marker = Address(br0, packed("10.9.9.9"), 32)
    sock.request(address.add(marker))
    found = until(everything, Event(marker))
    assert not any(event.gone for event in found if isinstance(event.value, Link))
    assert any(event.value.master == br0 for event in found if isinstance(event.value, Link))


def test_only_the_groups_asked_for_are_told(ns, sock, br0):
    with Monitor([Group.ROUTE_V4], ns) as watching:
        sock.request(address.add(Address(br0, packed("10.1.0.1"), 24)))
        wanted = Route(prefix("10.65.0.0/26"), oif=br0, scope=route.SCOPE_LINK)
        sock.request(route.add(wanted))
        assert all(isinstance(event.value, Route) for event in until(watching, Event(wanted)))


def test_reading_never_blocks_and_waiting_ends(everything):
    while everything.read():
        pass
    before = time.monotonic()
    assert everything.read() == []
    assert everything.wait(0.05) == []
    assert 0.04 < time.monotonic() - before < 2


def test_lost_notifications_are_told_and_the_reader_can_start_anew(ns, sock, br0):
    with Monitor([Group.ADDRESS_V4], ns, rcvbuf_bytes=2048) as watching:
        one = Address(br0, packed("10.1.0.1"), 24)
        sock.batch([address.add(one), address.delete(one)] * 200)
        assert Overrun() in until(watching, Overrun())
        while watching.read():
            pass
        sock.request(address.add(one))
        assert until(watching, Event(one)) == [Event(one)]


def test_one_read_is_bounded_and_what_is_left_comes_next(ns, sock, br0, monkeypatch):
    monkeypatch.setattr(subscription, "DATAGRAMS_PER_READ", 64)
    with Monitor([Group.ADDRESS_V4], ns) as watching:
        one = Address(br0, packed("10.1.0.1"), 24)
        sock.batch([address.add(one), address.delete(one)] * 100)
        sizes = []
        while found := watching.read():
            sizes.append(len(found))
        assert sum(sizes) == 200
        assert max(sizes) == 64


def test_asyncio_reads_by_the_descriptor(sock, br0, everything):
    one = Address(br0, packed("10.1.0.1"), 24)

    async def first():
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(everything.fileno(), arrived.set)
        try:
            sock.request(address.add(one))
            await asyncio.wait_for(arrived.wait(), 5)
        finally:
            loop.remove_reader(everything.fileno())
        return everything.read()

    assert Event(one) in asyncio.run(first())


def test_waiting_is_woken_by_another_threads_change(sock, br0, everything):
    one = Address(br0, packed("10.1.0.1"), 24)
    timer = threading.Timer(0.05, sock.request, (address.add(one),))
    timer.start()
    until(everything, Event(one))
    timer.join()


def test_a_closed_monitor_is_unavailable(everything):
    everything.close()
    with pytest.raises(Unavailable):
        everything.read()
