"""NFLOG by real packets: what the kernel copies, who may read it, and that losses are counted to the last one."""

import os
import select
import socket

import pytest
from dataplane_bed import Bed

from ocicat.errors import Refused
from ocicat.netlink import link, namespace
from ocicat.netlink.nflog import HOOK_INPUT, HOOK_OUTPUT, Copying, NflogSocket, bind
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

RULES = """
table inet t {
    chain in { type filter hook input priority 0; udp dport 9 log prefix "comes" group 1 snaplen 40; }
    chain out { type filter hook output priority 0; udp dport 9 meta mark set 0x10 log prefix "goes" group 2 snaplen 40; }
}
"""


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    with RouteSocket(fd) as sock:
        sock.request(link.change("lo", up=True))
    Bed.run(fd, "nft", "-f", "-", text=RULES)
    yield fd
    os.close(fd)


def send(ns, target="127.0.0.1", count=1):
    with namespace.inside(ns):
        sock = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        for number in range(count):
            sock.sendto(b"%08d" % number, (target, 9))


def heard(sock, count):
    """At least so many copies, and what is lost."""
    found = []
    while len(found) + sock.lost < count:
        assert select.select([sock], [], [], 5)[0], (len(found), sock.lost)
        for some in sock.read():
            found += some
    return found


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_a_packet_is_copied_at_each_rule_that_logs_it(ns, target):
    with NflogSocket((1, 2), ns) as sock:
        send(ns, target)
        by_group = {one.group: one for one in heard(sock, 2)}
    comes, goes = by_group[1], by_group[2]
    assert (comes.prefix, comes.hook, comes.indev, comes.outdev) == ("comes", HOOK_INPUT, 1, 0)
    assert (goes.prefix, goes.hook, goes.indev, goes.outdev) == ("goes", HOOK_OUTPUT, 0, 1)
    assert comes.mark == goes.mark == 0x10
    whole = (28 if target == "127.0.0.1" else 48) + 8
    assert comes.packet[: min(40, whole)] == goes.packet
    assert comes.time > 1_600_000_000


def test_a_group_has_one_reader(ns):
    with NflogSocket((1, 2), ns), pytest.raises(Refused, match="group 2: another program reads it"):
        NflogSocket((2,), ns)
    NflogSocket((1, 2), ns).close()


def test_what_one_group_hears_before_the_next_is_bound_is_kept(ns, monkeypatch):
    def bind_late(group, copying):
        if group == 2:
            send(ns, count=20)
        return bind(group, copying)

    monkeypatch.setattr("ocicat.netlink.nflog.bind", bind_late)
    with NflogSocket((1, 2), ns) as sock:
        assert [one.number for one in heard(sock, 20)] == list(range(20))
        assert sock.lost == 0


def test_without_a_reader_nothing_is_kept(ns):
    send(ns)
    with NflogSocket((1, 2), ns) as sock:
        assert list(sock.read()) == []


def test_copies_come_together(ns):
    with NflogSocket((1,), ns, copying=Copying(threshold=10)) as sock:
        send(ns, count=100)
        sizes = [len(some) for some in sock.read()]
    assert sizes == [10] * 10


def test_a_few_are_not_kept_back_for_long(ns):
    with NflogSocket((1,), ns, copying=Copying(threshold=50, timeout_ms=20)) as sock:
        send(ns, count=3)
        assert [one.number for one in heard(sock, 3)] == [0, 1, 2]


def test_what_finds_no_room_is_counted_exactly(ns):
    with NflogSocket((1, 2), ns, rcvbuf_bytes=60_000) as sock:
        send(ns, count=5000)
        read = sum(len(some) for some in sock.read())
        assert read < 5000
        send(ns, count=64)  # each group says of these how many were before
        heard(sock, 2 * 5064 - read)
        while select.select([sock], [], [], 0.3)[0]:
            read += sum(len(some) for some in sock.read())
    assert sock.lost > 1000
