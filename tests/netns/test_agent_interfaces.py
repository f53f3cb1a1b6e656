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
from ocicat.netlink.link import End
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


def within(ns, call, *words):
    with namespace.inside(ns):
        return call(*words)


def addresses_of(interfaces, name):
    return next((one.addresses for one in interfaces if one.name == name), ())
