"""Links, addresses, routes, neighbours and rules, made by us and read back by us and by `ip`."""

import errno
import json
import os
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from ocicat.errors import Refused, Unavailable
from ocicat.netlink import address, link, namespace, neighbour, route, rule, wire
from ocicat.netlink import socket as socket_module
from ocicat.netlink.address import Address
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, INET, INET6, Prefix, mac_packed, packed, prefix
from ocicat.netlink.link import End, Vxlan
from ocicat.netlink.neighbour import Forwarding, Neighbour
from ocicat.netlink.route import Hop, Route
from ocicat.netlink.rule import Rule
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

MAC = mac_packed("ee:ee:ee:ee:ee:ee")
MAC2 = mac_packed("ee:ee:ee:ee:ee:01")
GATEWAY = packed("169.254.1.1")


def run(fd, *command):
    """What a command prints as JSON in that namespace."""
    inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{fd}", *command]
    output = subprocess.run(inside, capture_output=True, text=True, check=True).stdout
    return json.loads(output or "[]")


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    yield fd
    os.close(fd)


@pytest.fixture
def container():
    fd = namespace.unnamed()
    yield fd
    os.close(fd)


@pytest.fixture
def host(ns):
    """A host's namespace: loopback up, a bridge 10.1.0.1/24 and fd00:1::1/64 to route over."""
    with RouteSocket(ns) as sock:
        sock.request(link.change("lo", up=True))
        sock.request(link.create_bridge(End("br0", up=True)))
        index = sock.get(link.get("br0")).index
        sock.request(address.add(Address(index, packed("10.1.0.1"), 24)))
        sock.request(address.add(Address(index, packed("fd00:1::1"), 64, nodad=True)))
        yield SimpleNamespace(sock=sock, fd=ns, br0=index)


# links


def test_one_message_makes_both_ends_of_a_veth_each_in_its_place(host, container):
    near = End("cali1", mac=MAC, up=True, queues=1)
    host.sock.request(link.create_veth(near, End("eth0", mac=MAC2, mtu=1450, netns_fd=container, queues=1)))
    (seen,) = run(container, "ip", "-j", "-d", "link", "show", "eth0")
    assert (seen["ifname"], seen["mtu"], seen["address"]) == ("eth0", 1450, "ee:ee:ee:ee:ee:01")
    assert seen["num_tx_queues"] == seen["num_rx_queues"] == 1
    (seen,) = run(host.fd, "ip", "-j", "-d", "link", "show", "cali1")
    assert (seen["linkinfo"]["info_kind"], seen["address"]) == ("veth", "ee:ee:ee:ee:ee:ee")
    assert "UP" in seen["flags"]
    with RouteSocket(container) as inside:
        far = inside.get(link.get("eth0"))
        assert (far.kind, far.mac, far.mtu, far.up) == ("veth", MAC2, 1450, False)
        assert host.sock.get(link.get(far.peer_index)).name == "cali1"


def test_a_veth_can_be_born_in_the_namespace_of_a_process(host, container):
    with namespace.inside(container):
        process = subprocess.Popen(["sleep", "60"])
    try:
        host.sock.request(link.create_veth(End("cali1"), End("eth0", netns_pid=process.pid)))
        assert run(container, "ip", "-j", "link", "show", "eth0")
    finally:
        process.kill()
        process.wait()


def test_a_link_changes_in_what_is_asked_only(host):
    host.sock.request(link.create_veth(End("a0"), End("b0")))
    before = host.sock.get(link.get("a0"))
    host.sock.request(link.change(before.index, name="a1", up=True, mtu=1400, mac=MAC, alias="web-1", master=host.br0))
    after = host.sock.get(link.get(before.index))
    assert (after.name, after.up, after.mtu, after.mac, after.alias, after.master) == (
        "a1", True, 1400, MAC, "web-1", host.br0,
    )  # fmt: skip
    host.sock.request(link.change("a1", up=False, master=0, alias=""))
    changed = host.sock.get(link.get("a1"))
    assert (changed.up, changed.master, changed.alias, changed.mtu) == (False, 0, "", 1400)


def test_a_link_moves_to_a_namespace(host, container):
    host.sock.request(link.create_veth(End("a0"), End("b0")))
    host.sock.request(link.change("b0", netns_fd=container))
    assert run(container, "ip", "-j", "link", "show", "b0")


def test_a_deleted_veth_takes_its_other_end(host, container):
    host.sock.request(link.create_veth(End("a0"), End("eth0", netns_fd=container)))
    host.sock.request(link.delete("a0"))
    assert [found["ifname"] for found in run(container, "ip", "-j", "link")] == ["lo"]


def test_a_vxlan_reads_back_as_asked_for(host):
    vxlan = Vxlan(4096, 4789, packed("10.1.0.1"), host.br0)
    host.sock.request(link.create_vxlan(End("vxlan0", mac=MAC, mtu=1400, up=True), vxlan))
    found = host.sock.get(link.get("vxlan0"))
    assert (found.vxlan, found.mtu, found.mac, found.up) == (vxlan, 1400, MAC, True)
    (seen,) = run(host.fd, "ip", "-j", "-d", "link", "show", "vxlan0")
    data = seen["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["local"], data["learning"]) == (4096, 4789, "10.1.0.1", False)


def test_a_vxlan_over_ipv6_reads_back_as_asked_for(host):
    vxlan = Vxlan(7, 4789, packed("fd00:1::1"))
    host.sock.request(link.create_vxlan(End("vxlan6"), vxlan))
    assert host.sock.get(link.get("vxlan6")).vxlan == vxlan


def test_a_dump_of_links_is_that_of_ip(host):
    host.sock.request(link.create_veth(End("a0"), End("b0")))
    found = {(one.index, one.name, one.mtu, one.mac.hex(":")) for one in host.sock.dump(link.dump())}
    seen = run(host.fd, "ip", "-j", "link")
    assert found == {(one["ifindex"], one["ifname"], one["mtu"], one["address"]) for one in seen}


# addresses


def test_addresses_read_back_as_asked_for(host):
    wanted = {
        Address(host.br0, packed("10.65.0.2"), 32),
        Address(host.br0, packed("10.66.0.2"), 24, noprefixroute=True),
        Address(host.br0, packed("10.67.0.2"), 32, peer=packed("10.67.0.1")),
        Address(host.br0, packed("fd00:65::2"), 128, nodad=True),
        Address(host.br0, packed("fd00:66::2"), 64, noprefixroute=True, nodad=True),
    }
    assert host.sock.batch([address.add(one) for one in wanted]) == [None] * 5
    found = set(host.sock.dump(address.dump(index=host.br0)))
    assert wanted <= found
    assert {one for one in found if len(one.address) == 4} == set(host.sock.dump(address.dump(INET, host.br0)))
    seen = run(host.fd, "ip", "-j", "addr", "show", "br0")[0]["addr_info"]
    assert {(one["local"], one["prefixlen"]) for one in seen} >= {("10.65.0.2", 32), ("fd00:66::2", 64)}


def test_noprefixroute_makes_no_route(host):
    before = host.sock.dump(route.dump(INET, table=route.MAIN))
    host.sock.request(address.add(Address(host.br0, packed("10.66.0.2"), 24, noprefixroute=True)))
    assert host.sock.dump(route.dump(INET, table=route.MAIN)) == before


def test_an_address_that_is_there_exists_unless_set_again(host):
    one = Address(host.br0, packed("10.1.0.1"), 24)
    assert host.sock.batch([address.add(one)])[0].exists
    host.sock.request(address.replace(one))


def test_a_deleted_address_is_gone_and_then_missing(host):
    one = Address(host.br0, packed("10.65.0.2"), 32)
    results = host.sock.batch([address.add(one), address.delete(one), address.delete(one)])
    assert results[:2] == [None, None]
    assert results[2].missing


# routes


def every_kind_of_route(host):
    return {
        Route(prefix("10.65.0.2/32"), oif=host.br0, scope=route.SCOPE_LINK, protocol=80),
        Route(prefix("10.65.1.0/26"), packed("10.1.0.9"), host.br0, protocol=80),
        Route(prefix("10.65.2.0/26"), packed("192.0.2.1"), host.br0, onlink=True, protocol=80),
        Route(prefix("10.65.3.0/26"), kind=route.BLACKHOLE, protocol=80),
        Route(prefix("10.65.4.0/26"), kind=route.UNREACHABLE, protocol=80, priority=9),
        Route(prefix("10.65.5.0/26"), kind=route.THROW, protocol=80, table=1000),
        Route(prefix("10.65.6.0/26"), packed("10.1.0.9"), host.br0, protocol=80, prefsrc=packed("10.1.0.1")),
        Route(prefix("10.65.7.0/26"), packed("fe80::9"), host.br0, protocol=80),
        Route(prefix("10.65.8.0/26"), hops=(Hop(packed("10.1.0.8"), host.br0), Hop(packed("10.1.0.9"), host.br0, weight=3)),
              protocol=80),
        Route(DEFAULT_V4, packed("10.1.0.254"), host.br0, protocol=80),
        Route(prefix("fd00:65::2/128"), oif=host.br0, protocol=80, priority=1024),
        Route(prefix("fd00:66::/64"), packed("fd00:1::9"), host.br0, protocol=80, priority=7),
        Route(prefix("fd00:67::/64"), kind=route.BLACKHOLE, protocol=80, priority=1024),
        Route(prefix("fd00:68::/64"), packed("fe80::77"), host.br0, onlink=True, protocol=80, priority=1024, table=1000),
        Route(DEFAULT_V6, packed("fd00:1::fe"), host.br0, protocol=80, priority=1024),
    }  # fmt: skip


def dump_ours(host, **narrow):
    return {r for family in (INET, INET6) for r in host.sock.dump(route.dump(family, protocol=80, **narrow))}


def test_routes_read_back_as_asked_for(host):
    wanted = every_kind_of_route(host)
    results = host.sock.batch([route.add(one) for one in wanted])
    assert results == [None] * len(wanted)
    assert dump_ours(host) == wanted
    seen = [run(host.fd, "ip", "-j", flag, "route", "show", "table", "all", "proto", "80") for flag in ("-4", "-6")]
    assert sum(map(len, seen)) == len(wanted)


def test_the_kernel_narrows_a_dump(host):
    wanted = every_kind_of_route(host)
    host.sock.batch([route.add(one) for one in wanted])
    assert dump_ours(host, table=1000) == {one for one in wanted if one.table == 1000}
    assert dump_ours(host, kind=route.BLACKHOLE) == {one for one in wanted if one.kind == route.BLACKHOLE}
    assert dump_ours(host, oif=host.br0) == {one for one in wanted if one.oif == host.br0 or one.hops}


def test_a_table_that_never_was_is_empty(host):
    assert host.sock.dump(route.dump(INET, table=4242)) == []
    assert host.sock.dump(route.dump(INET6, table=4242)) == []


def test_replace_puts_a_route_in_the_place_of_another(host):
    old = Route(prefix("10.65.1.0/26"), packed("10.1.0.8"), host.br0, protocol=80)
    new = Route(prefix("10.65.1.0/26"), packed("10.1.0.9"), host.br0, protocol=80)
    assert host.sock.batch([route.add(old), route.replace(new)]) == [None, None]
    assert dump_ours(host) == {new}


def test_deleting_spares_the_route_of_another_protocol(host):
    theirs = Route(prefix("10.65.1.0/26"), packed("10.1.0.8"), host.br0, protocol=12)
    ours = Route(prefix("10.65.1.0/26"), packed("10.1.0.8"), host.br0, protocol=80)
    results = host.sock.batch([route.add(theirs), route.delete(ours)])
    assert results[1].missing
    assert host.sock.dump(route.dump(INET, protocol=12)) == [theirs]


def test_routes_are_deleted(host):
    wanted = every_kind_of_route(host)
    host.sock.batch([route.add(one) for one in wanted])
    assert host.sock.batch([route.delete(one) for one in wanted]) == [None] * len(wanted)
    assert dump_ours(host) == set()


@pytest.mark.parametrize("target", ["10.1.0.77", "fd00:1::77"])
def test_the_kernels_own_lookup_is_asked(host, target):
    found = host.sock.get(route.get(packed(target)))
    assert (found.dst, found.oif) == (Prefix(packed(target), 8 * len(packed(target))), host.br0)


def test_no_route_is_a_refusal(host):
    with pytest.raises(NetlinkError, match="ENETUNREACH"):
        host.sock.get(route.get(packed("8.8.8.8")))


# neighbours


def test_neighbours_read_back_as_asked_for(host):
    wanted = {
        Neighbour(host.br0, packed("10.1.0.7"), MAC),
        Neighbour(host.br0, packed("fd00:1::7"), MAC),
    }
    results = host.sock.batch([neighbour.add(one) for one in wanted])
    assert results == [None, None]
    found = [host.sock.dump(neighbour.dump(family, host.br0)) for family in (INET, INET6)]
    assert wanted <= {one for part in found for one in part}
    (seen,) = run(host.fd, "ip", "-j", "neigh", "show", "10.1.0.7")
    assert (seen["lladdr"], seen["state"]) == ("ee:ee:ee:ee:ee:ee", ["PERMANENT"])
    moved = Neighbour(host.br0, packed("10.1.0.7"), MAC2)
    host.sock.request(neighbour.replace(moved))
    assert moved in host.sock.dump(neighbour.dump(INET, host.br0))
    assert host.sock.batch([neighbour.delete(one) for one in wanted]) == [None, None]


@pytest.mark.parametrize("text", ["169.254.1.1", "fe80::1"])
def test_a_proxied_neighbour_reads_back_and_goes(host, text):
    one = Neighbour(host.br0, packed(text), proxy=True)
    host.sock.request(neighbour.add(one))
    dump = neighbour.dump(INET if "." in text else INET6, proxy=True)
    assert host.sock.dump(dump) == [one]
    host.sock.request(neighbour.delete(one))
    assert host.sock.dump(dump) == []


def test_a_forwarding_entry_reads_back_and_goes(host):
    host.sock.request(link.create_vxlan(End("vxlan0", up=True), Vxlan(7, local=packed("10.1.0.1"))))
    one = Forwarding(host.sock.get(link.get("vxlan0")).index, MAC, packed("10.1.0.9"))
    host.sock.request(neighbour.replace_forwarding(one))
    assert host.sock.dump(neighbour.dump_forwarding(one.index)) == [one]
    moved = Forwarding(one.index, MAC, packed("10.1.0.10"))
    host.sock.request(neighbour.replace_forwarding(moved))
    assert host.sock.dump(neighbour.dump_forwarding(one.index)) == [moved]
    host.sock.request(neighbour.delete_forwarding(moved))
    assert host.sock.dump(neighbour.dump_forwarding(one.index)) == []


# rules


def test_rules_read_back_as_asked_for_and_go(host):
    wanted = {
        Rule(INET, 100, 1000, src=prefix("10.65.0.0/16"), iif="br0", protocol=80),
        Rule(INET, 101, 1000, dst=prefix("10.66.0.0/16"), mark=0x10, mask=0xF0, protocol=80),
        Rule(INET, 102, 1000, mark=7, invert=True, oif="br0", protocol=80),
        Rule(INET6, 100, 70000, src=prefix("fd00::/16"), protocol=80),
        Rule(INET6, 103, action=rule.UNREACHABLE, protocol=80),
    }
    assert host.sock.batch([rule.add(one) for one in wanted]) == [None] * 5
    found = {one for family in (INET, INET6) for one in host.sock.dump(rule.dump(family)) if one.protocol == 80}
    assert found == wanted
    seen = run(host.fd, "ip", "-j", "-N", "rule", "show", "pref", "100")
    assert [(one["src"], one["srclen"], one["iif"], one["table"]) for one in seen] == [("10.65.0.0", 16, "br0", "1000")]
    assert host.sock.batch([rule.delete(one) for one in wanted]) == [None] * 5
    assert all(one.protocol != 80 for family in (INET, INET6) for one in host.sock.dump(rule.dump(family)))


def test_deleting_spares_a_rule_of_the_same_priority(host):
    theirs = Rule(INET, 100, 1000, src=prefix("10.1.0.0/16"))
    ours = Rule(INET, 100, 1000, src=prefix("10.2.0.0/16"))
    results = host.sock.batch([rule.add(theirs), rule.delete(ours)])
    assert results[1].missing
    assert theirs in host.sock.dump(rule.dump(INET))


# the socket


def test_a_batch_answers_each_request_by_itself(host):
    good = Route(prefix("10.65.0.1/32"), kind=route.BLACKHOLE, protocol=80)
    lost = Route(prefix("10.65.0.2/32"), packed("192.0.2.1"), protocol=80)
    last = Route(prefix("10.65.0.3/32"), kind=route.BLACKHOLE, protocol=80)
    results = host.sock.batch([route.add(good), route.add(good), route.add(lost), route.add(last)])
    assert [error and error.errno for error in results] == [None, errno.EEXIST, errno.ENETUNREACH, None]
    assert [error.index for error in results if error] == [1, 2]
    assert "Nexthop has invalid gateway" in str(results[2])
    assert dump_ours(host) == {good, last}


def test_a_batch_of_errors_only_fits_the_receive_buffer(host):
    gone = [route.delete(Route(prefix("10.99.0.0/24"), kind=route.BLACKHOLE))] * 5000
    assert all(error.missing for error in host.sock.batch(gone))


def test_an_empty_batch_is_nothing(host):
    assert host.sock.batch([]) == []


def test_a_refusal_carries_the_kernels_own_words(host):
    with pytest.raises(NetlinkError) as caught:
        host.sock.request(link.change("br0", mtu=1 << 30))
    assert (caught.value.errno, caught.value.text) == (errno.EINVAL, "mtu greater than device maximum")
    assert str(caught.value) == "cannot change link br0: mtu greater than device maximum, EINVAL"


def test_what_is_not_there_is_missing(host):
    with pytest.raises(NetlinkError) as caught:
        host.sock.get(link.get("nowhere"))
    assert caught.value.missing


def test_sequence_numbers_begin_anew_before_they_overflow(host):
    host.sock._seq = 0xFFFFFFFF - 2
    assert host.sock.batch([link.change("br0", up=True)] * 5) == [None] * 5
    assert host.sock._seq == 5


def test_stray_answers_are_skipped(host):
    host.sock._send(wire.encode(link.get("lo").request, 0xFFFF))
    assert host.sock.get(link.get("br0")).name == "br0"


def test_a_silent_kernel_is_unavailable_after_the_time_limit(ns):
    with RouteSocket(ns, timeout_s=0.05) as sock, pytest.raises(Unavailable, match=r"0\.05 s"):
        sock._receive()


def test_a_message_longer_than_the_send_buffer_is_refused(host):
    with pytest.raises(Refused, match="too long"):
        host.sock._send(bytes(64 << 20))


def test_ten_thousand_routes_come_back_whole(host):
    wanted = {
        Route(Prefix((0x0B000000 + i).to_bytes(4, "big"), 32), kind=route.BLACKHOLE, protocol=80) for i in range(10_000)
    }
    assert host.sock.batch([route.add(one) for one in wanted]) == [None] * 10_000
    assert dump_ours(host) == wanted


@pytest.fixture
def churn(ns):
    """Something that adds and removes an address in the namespace, all the time, until the test is over."""
    stop = threading.Event()

    def work():
        with RouteSocket(ns) as sock:
            one = Address(1, packed("10.99.0.1"), 32)
            while not stop.is_set():
                sock.batch([address.add(one), address.delete(one)])

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_a_dump_that_changes_under_it_is_repeated_or_given_up(host, churn):
    wanted = {Address(host.br0, (0x0B000000 + i).to_bytes(4, "big"), 32) for i in range(3000)}
    assert host.sock.batch([address.add(one) for one in wanted]) == [None] * 3000
    torn = whole = 0
    deadline = time.monotonic() + 20
    while not (torn and whole) and time.monotonic() < deadline:
        bodies = host.sock._dump_once(address.dump(INET))
        if bodies is None:
            torn += 1
        else:
            whole += 1
            assert wanted <= set(map(address.decode, bodies))
    assert torn
    try:
        assert wanted <= set(host.sock.dump(address.dump(INET)))
    except Unavailable as error:
        assert "changed during each of 10" in str(error)  # noqa: PT017 - which of the two depends on the machine


def test_a_dump_torn_every_time_is_unavailable(host, monkeypatch):
    torn = wire.Message(20, wire.NLM_F_DUMP_INTR, 0, b"")
    done = wire.Message(wire.NLMSG_DONE, 0, 0, bytes(4))
    monkeypatch.setattr(host.sock, "_answers", lambda *_: iter([torn, done]))
    with pytest.raises(Unavailable, match="changed during each of 10"):
        host.sock.dump(address.dump(INET))


def test_a_small_receive_buffer_makes_smaller_chunks_and_the_same_results(host):
    host.sock._chunk = 3
    wanted = [Route(prefix(f"10.65.0.{i}/32"), kind=route.BLACKHOLE, protocol=80) for i in range(10)]
    results = host.sock.batch([route.add(one) for one in [*wanted, wanted[4]]])
    assert [bool(error) for error in results] == [False] * 10 + [True]
    assert results[10].index == 10


def test_without_the_right_to_force_it_a_buffer_is_as_long_as_allowed():
    asked = []

    def setsockopt(_level, option, size):
        asked.append((option, size))
        if option == 33:
            raise PermissionError

    socket_module.widen_receive(SimpleNamespace(setsockopt=setsockopt), 5000)
    assert asked == [(33, 5000), (socket_module.socket.SO_RCVBUF, 5000)]
