"""The host's own interfaces, told at once and when they change; those of workloads never."""

import asyncio
import os
from contextlib import suppress

import pytest

from ocicat.agent.interfaces import follow, present
from ocicat.model.net import Addr
from ocicat.netlink import address, link, namespace
from ocicat.netlink.address import Address
from ocicat.netlink.inet import packed
from ocicat.netlink.link import End, Link
from ocicat.netlink.monitor import Monitor
from ocicat.netlink.socket import RouteSocket
from ocicat.policy import HostInterface

pytestmark = pytest.mark.netns


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    yield fd
    os.close(fd)


def add_address(sock, name, text, length):
    sock.request(address.add(Address(sock.get(link.get(name)).index, packed(text), length)))


def test_addresses_of_both_families_by_interface_and_no_workloads(ns):
    with RouteSocket(ns) as sock:
        sock.request(link.create_veth(End("up0"), End("oci1")))
        sock.request(link.create_veth(End("oci3"), End("ocp3")))  # an interface that its container has not taken yet
        sock.request(link.create_ifb(End("bwoci2")))  # what limits a workload
        add_address(sock, "up0", "10.0.0.1", 24)
        add_address(sock, "up0", "fd00::1", 64)
    with namespace.inside(ns):
        found = present("h", "oci")
    addresses = (Addr.parse("10.0.0.1"), Addr.parse("fd00::1"))
    assert [(one.name, one.addresses) for one in found] == [("lo", ()), ("up0", addresses)]


def test_a_change_is_told_and_a_burst_is_told_once(ns, monkeypatch):
    told = []

    async def scenario():
        news = asyncio.Queue()
        async with asyncio.timeout(10):
            following = asyncio.create_task(follow("h", "oci", news.put_nowait))
            told.append(await news.get())
            with RouteSocket(ns) as sock:
                sock.request(link.create_veth(End("oci1"), End("oci2")))
                sock.request(link.create_veth(End("up0"), End("out0")))
                for last in range(1, 6):
                    add_address(sock, "up0", f"10.0.0.{last}", 24)
            while len(addresses_of(told[-1], "up0")) < 5:
                told.append(await news.get())
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    # Threads of the loop's pool must look into the namespace too.
    inside = present
    monkeypatch.setattr("ocicat.agent.interfaces.present", lambda *words: within(ns, inside, *words))
    with namespace.inside(ns):
        asyncio.run(scenario())
    assert told[0] == (HostInterface("h", "lo"),)
    assert len(told) <= 4
    assert [one.name for one in told[-1]] == ["lo", "out0", "up0"]


def test_what_happens_to_workloads_is_no_reason_to_look(ns, monkeypatch):
    looks, gone = [], []

    class Watched(Monitor):
        def read(self):
            events = super().read()
            gone.extend(event.value.name for event in events if event.gone and isinstance(event.value, Link))
            return events

    async def scenario():
        news = asyncio.Queue()
        async with asyncio.timeout(10):
            following = asyncio.create_task(follow("h", "oci", news.put_nowait))
            await news.get()
            with RouteSocket(ns) as sock:
                for number in range(5):
                    sock.request(link.create_veth(End(f"oci{number}", up=True), End(f"ocp{number}")))
                    add_address(sock, f"oci{number}", f"fd00::{number}", 64)
                for number in range(5):
                    sock.request(link.delete(f"oci{number}"))
                while "oci4" not in gone:
                    await asyncio.to_thread(len, gone)
                for _ in range(20):  # enough turns for a look to begin
                    await asyncio.to_thread(len, looks)
                assert len(looks) == 1
                sock.request(link.create_veth(End("up0"), End("out0")))
            while not any(one.name == "up0" for one in await news.get()):
                pass
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    inside = present

    def look(*words):
        looks.append(words)
        return within(ns, inside, *words)

    monkeypatch.setattr("ocicat.agent.interfaces.present", look)
    monkeypatch.setattr("ocicat.agent.interfaces.Monitor", Watched)
    monkeypatch.setattr("ocicat.agent.interfaces._BURST_S", 0.0)
    with namespace.inside(ns):
        asyncio.run(scenario())


def within(ns, call, *words):
    with namespace.inside(ns):
        return call(*words)


def addresses_of(interfaces, name):
    return next((one.addresses for one in interfaces if one.name == name), ())
