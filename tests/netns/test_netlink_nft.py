"""Set and map elements and conntrack entries, compared with what `nft` and `conntrack` say."""

import errno
import json
import os
import socket
import subprocess

import pytest
from dataplane_bed import wait_until

from ocicat.errors import Refused, Unavailable
from ocicat.netlink import address, conntrack, flows, link, namespace, nftset, wire
from ocicat.netlink.address import Address
from ocicat.netlink.conntrack import Side
from ocicat.netlink.errors import NetlinkError, refusal
from ocicat.netlink.inet import INET, INET6, packed, prefix
from ocicat.netlink.nftset import (
    Element,
    SetName,
    Verdict,
    concat,
    goto,
    interval,
    jump,
    key_ifname,
    key_ipv4,
    key_ipv6,
    key_mark,
    key_port,
    key_protocol,
)
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

pytestmark = pytest.mark.netns

RULESET = """
table inet oct {
    chain web { }
    chain db { }
    set hosts { type ipv4_addr; }
    set hosts6 { type ipv6_addr; }
    set nets { type ipv4_addr; flags interval; }
    set ports { type ipv4_addr . inet_proto . inet_service; }
    set ranges { type ipv4_addr . inet_service; flags interval; }
    map dispatch { type ifname : verdict; }
    map marks { type ipv4_addr : mark; }
    chain track { type filter hook input priority 0; ct state new,established accept; }
}
table inet other {
    set hosts { type ipv4_addr; elements = { 192.0.2.1 }; }
}
"""
HOSTS, DISPATCH = SetName("oct", "hosts"), SetName("oct", "dispatch")


@pytest.fixture
def ns():
    fd = namespace.unnamed()
    with RouteSocket(fd) as sock:
        sock.request(link.change("lo", up=True))
        own = [Address(1, packed(f"fd00::{i}"), 128, nodad=True) for i in (1, 2, 3)]
        assert sock.batch([address.add(one) for one in own]) == [None] * 3
    run(fd, "nft", "-f", "-", stdin=RULESET)
    yield fd
    os.close(fd)


@pytest.fixture
def nft(ns):
    with NetfilterSocket(ns) as sock:
        yield sock


def run(fd, *command, stdin=""):
    inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{fd}", *command]
    return subprocess.run(inside, input=stdin, capture_output=True, text=True, check=True).stdout


def seen_by_nft(fd, where, kind="set"):
    """The elements as `nft -j` prints them."""
    listed = json.loads(run(fd, "nft", "-j", "list", kind, "inet", where.table, where.name))
    return next(part[kind] for part in listed["nftables"] if kind in part).get("elem", [])


def hosts(*addresses):
    return [Element(key_ipv4(one)) for one in addresses]


def test_hosts_are_added_and_deleted(ns, nft):
    nft.commit(nftset.add(HOSTS, hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")))
    nft.commit(nftset.delete(HOSTS, hosts("10.0.0.2")))
    assert sorted(seen_by_nft(ns, HOSTS)) == ["10.0.0.1", "10.0.0.3"]
    assert set(nft.elements(HOSTS)) == set(hosts("10.0.0.1", "10.0.0.3"))


def test_ipv6_hosts_are_added(ns, nft):
    where = SetName("oct", "hosts6")
    nft.commit(nftset.add(where, [Element(key_ipv6("fd00::1"))]))
    assert seen_by_nft(ns, where) == ["fd00::1"]


def test_intervals_are_added_and_deleted(ns, nft):
    where = SetName("oct", "nets")
    first = interval(key_ipv4("10.0.0.0"), key_ipv4("10.0.0.255"))
    second = interval(key_ipv4("10.1.0.5"), key_ipv4("10.1.0.9"))
    top = interval(key_ipv4("255.0.0.0"), key_ipv4("255.255.255.255"))
    nft.commit(nftset.add(where, first + second + top))
    assert seen_by_nft(ns, where) == [
        {"prefix": {"addr": "10.0.0.0", "len": 24}},
        {"range": ["10.1.0.5", "10.1.0.9"]},
        {"prefix": {"addr": "255.0.0.0", "len": 8}},
    ]
    nft.commit(nftset.delete(where, second))
    assert set(first + top) <= set(nft.elements(where))
    assert not set(second) & set(nft.elements(where))


def test_concatenations_are_added(ns, nft):
    where = SetName("oct", "ports")
    element = Element(concat(key_ipv4("10.0.0.1"), key_protocol(6), key_port(443)))
    nft.commit(nftset.add(where, [element]))
    assert seen_by_nft(ns, where) == [{"concat": ["10.0.0.1", "tcp", 443]}]
    assert nft.elements(where) == [element]


def test_concatenated_ranges_are_one_element(ns, nft):
    where = SetName("oct", "ranges")
    element = Element(concat(key_ipv4("10.0.0.0"), key_port(80)), key_end=concat(key_ipv4("10.0.0.255"), key_port(89)))
    nft.commit(nftset.add(where, [element]))
    assert seen_by_nft(ns, where) == [{"concat": [{"prefix": {"addr": "10.0.0.0", "len": 24}}, {"range": [80, 89]}]}]
    assert nft.elements(where) == [element]


def test_a_verdict_map_dispatches(ns, nft):
    wanted = {
        Element(key_ifname("cali1"), goto("web")),
        Element(key_ifname("cali2"), jump("db")),
        Element(key_ifname("cali3"), Verdict(nftset.ACCEPT)),
        Element(key_ifname("cali4"), Verdict(nftset.DROP)),
        Element(key_ifname("cali5"), Verdict(nftset.RETURN)),
    }
    nft.commit(nftset.add(DISPATCH, sorted(wanted, key=lambda one: one.key)))
    assert dict(map(tuple, ((k, json.dumps(v)) for k, v in seen_by_nft(ns, DISPATCH, "map")))) == {
        "cali1": '{"goto": {"target": "web"}}',
        "cali2": '{"jump": {"target": "db"}}',
        "cali3": '{"accept": null}',
        "cali4": '{"drop": null}',
        "cali5": '{"return": null}',
    }
    assert set(nft.elements(DISPATCH)) == wanted


def test_a_map_of_values_reads_back(nft):
    where = SetName("oct", "marks")
    element = Element(key_ipv4("10.0.0.1"), key_mark(0x10))
    nft.commit(nftset.add(where, [element]))
    assert nft.elements(where) == [element]


def test_a_transaction_moves_a_key_from_one_chain_to_another(nft):
    old, new = (Element(key_ifname("cali1"), goto(chain)) for chain in ("web", "db"))
    nft.commit(nftset.add(DISPATCH, [old]))
    nft.commit([*nftset.delete(DISPATCH, [Element(old.key)]), *nftset.add(DISPATCH, [new])])
    assert nft.elements(DISPATCH) == [new]


def test_a_refused_request_leaves_everything_as_it_was(nft):
    wrong = nftset.delete(HOSTS, hosts("10.9.9.9"))
    with pytest.raises(NetlinkError) as caught:
        nft.commit([*nftset.add(HOSTS, hosts("10.0.0.1")), *wrong, *nftset.add(HOSTS, hosts("10.0.0.2"))])
    assert (caught.value.index, caught.value.errno) == (1, errno.ENOENT)
    assert str(caught.value) == "cannot delete elements of set oct/hosts: No such file or directory, ENOENT"
    assert nft.elements(HOSTS) == []


def test_the_first_of_several_refusals_is_told(nft):
    wrong = nftset.delete(HOSTS, hosts("10.9.9.9"))
    with pytest.raises(NetlinkError) as caught:
        nft.commit([*nftset.add(HOSTS, hosts("10.0.0.1")), *wrong, *wrong])
    assert caught.value.index == 1
    nft.commit(nftset.add(HOSTS, hosts("10.0.0.1")))  # and no stray answer of the former confuses the next


def test_a_set_that_is_not_there_is_missing(nft):
    for where in (SetName("oct", "nowhere"), SetName("nowhere", "hosts")):
        with pytest.raises(NetlinkError) as caught:
            nft.commit(nftset.add(where, hosts("10.0.0.1")))
        assert caught.value.missing
        with pytest.raises(NetlinkError) as caught:
            nft.elements(where)
        assert caught.value.missing


def test_adding_again_is_nothing(nft):
    nft.commit(nftset.add(HOSTS, hosts("10.0.0.1")))
    nft.commit(nftset.add(HOSTS, hosts("10.0.0.1")))
    assert nft.elements(HOSTS) == hosts("10.0.0.1")


def test_another_verdict_for_a_key_that_is_there_is_refused(nft):
    nft.commit(nftset.add(DISPATCH, [Element(key_ifname("cali1"), goto("web"))]))
    with pytest.raises(NetlinkError) as caught:
        nft.commit(nftset.add(DISPATCH, [Element(key_ifname("cali1"), goto("db"))]))
    assert caught.value.exists


def test_a_flush_empties_one_set_only(nft):
    nft.commit(nftset.add(HOSTS, hosts("10.0.0.1")))
    nft.commit([nftset.flush(HOSTS)])
    assert nft.elements(HOSTS) == []
    assert nft.elements(SetName("other", "hosts")) == hosts("192.0.2.1")


def test_an_empty_transaction_is_nothing(nft):
    nft.commit([])


def test_a_hundred_thousand_elements_are_one_transaction(ns, nft):
    wanted = [Element((0x0B000000 + i).to_bytes(4, "big")) for i in range(100_000)]
    nft.commit(nftset.add(HOSTS, wanted))
    assert set(nft.elements(HOSTS)) == set(wanted)
    nft.commit(nftset.delete(HOSTS, wanted))
    assert nft.elements(HOSTS) == []


def test_a_transaction_longer_than_the_buffer_can_be_is_refused(nft, monkeypatch):
    monkeypatch.setattr(nft, "_make_room", lambda _: None)
    wanted = [Element((0x0B000000 + i).to_bytes(4, "big")) for i in range(600_000)]
    with pytest.raises(Refused, match="split it"):
        nft.commit(nftset.add(HOSTS, wanted))


# conntrack


@pytest.fixture
def udp(ns, nft):
    """Sends datagrams inside the namespace, from address and port to port; each is a flow, when it has arrived."""
    opened = []

    def send(source, target, port):
        with namespace.inside(ns):
            sock = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        opened.append(sock)
        sock.bind((source, 0))
        sock.sendto(b"x", (target, port))
        wait_until(lambda: port in ports(nft))
        return sock.getsockname()[1]

    yield send
    for sock in opened:
        sock.close()


def ends(found):
    """Source, destination, destination port; and no ICMP errors about closed ports."""
    return {(one.original.src, one.original.dst, one.original.dst_port) for one in found if one.original.protocol == 17}


def ports(sock):
    """The destination ports of all UDP flows of both families."""
    return {port for family in (INET, INET6) for _, _, port in ends(flows.dump(sock, family))}


def v4(*pair_and_port):
    source, target, port = pair_and_port
    return packed(source), packed(target), port


def test_flows_are_those_of_the_conntrack_tool(ns, nft, udp):
    port = udp("127.0.0.1", "127.0.0.2", 4001)
    (found,) = [one for one in flows.dump(nft, INET) if one.original.protocol == 17]
    assert str(found.original) == f"127.0.0.1:{port} > 127.0.0.2:4001 proto 17"
    assert (found.reply.src, found.reply.src_port, found.reply.dst_port) == (packed("127.0.0.2"), 4001, port)
    assert f"sport={port} dport=4001" in run(ns, "conntrack", "-L", "-p", "udp")


def old_kernel(sock):
    """The same socket, on a kernel that cannot filter a flush."""
    batch = sock.batch

    def without_flush(requests):
        if all(request.verb.startswith("end the flows") for request in requests):
            return [refusal(wire.Outcome(errno.EINVAL), request) for request in requests]
        return batch(requests)

    sock.batch = without_flush


@pytest.mark.parametrize("prepare", [lambda _: None, old_kernel], ids=["filter", "dump and delete"])
def test_flushing_an_address_ends_the_flows_from_it_and_to_it_only(nft, udp, prepare):
    udp("127.0.0.1", "127.0.0.2", 4001)
    udp("127.0.0.2", "127.0.0.3", 4002)
    udp("127.0.0.1", "127.0.0.3", 4003)
    udp("fd00::1", "fd00::3", 4004)
    prepare(nft)
    flows.flush_address(nft, packed("127.0.0.2"))
    assert ports(nft) == {4003, 4004}


def test_flushing_an_ipv6_address_ends_the_flows_from_it_and_to_it_only(nft, udp):
    udp("fd00::1", "fd00::2", 4001)
    udp("fd00::2", "fd00::3", 4002)
    udp("fd00::1", "fd00::3", 4003)
    udp("127.0.0.1", "127.0.0.3", 4004)
    flows.flush_address(nft, packed("fd00::2"))
    assert ports(nft) == {4003, 4004}


def test_flushing_ends_flows_that_reach_the_address_by_dnat(ns, nft, udp):
    run(ns, "nft", "-f", "-", stdin="""table inet nat { chain out { type nat hook output priority -100;
        ip daddr 127.0.0.9 udp dport 53 dnat ip to 127.0.0.2:4001; }
        }""")  # fmt: skip
    udp("127.0.0.1", "127.0.0.9", 53)
    assert ends(flows.find(nft, packed("127.0.0.2"))) == {v4("127.0.0.1", "127.0.0.9", 53)}
    flows.flush_address(nft, packed("127.0.0.2"))
    assert ends(flows.dump(nft, INET)) == set()


ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "fd00::2"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_flows_that_touch_some_addresses(nft, udp, count):
    """Few are asked of the kernel one by one, of more it sends all it has."""
    for number, target in enumerate(ADDRESSES, 4001):
        udp("fd00::1" if ":" in target else "127.0.0.1", target, number)
    found = flows.touching(nft, [packed(each) for each in ADDRESSES[:count]])
    assert sorted(one.original.dst_port for one in found if one.original.protocol == 17) == [*range(4001, 4001 + count)]


def test_flows_that_touch_a_net(nft, udp):
    for number, target in enumerate(ADDRESSES, 4001):
        udp("fd00::1" if ":" in target else "127.0.0.1", target, number)
    found = flows.touching(nft, [packed("127.0.0.4")], [prefix("127.0.0.2/31"), prefix("fd00::2/128")])
    assert {one.original.dst_port for one in found if one.original.protocol == 17} == {4001, 4002, 4003, 4004}


def test_single_flows_are_cut_and_the_ended_ones_not_counted(nft, udp):
    udp("127.0.0.1", "127.0.0.2", 4001)
    udp("127.0.0.1", "127.0.0.2", 4002)
    chosen = [one for one in flows.dump(nft, INET) if one.original.dst_port == 4001]
    assert flows.cut(nft, chosen) == chosen
    assert flows.cut(nft, chosen) == []
    assert ends(flows.dump(nft, INET)) == {v4("127.0.0.1", "127.0.0.2", 4002)}


def test_a_new_flow_on_the_ports_of_an_ended_one_is_spared(nft, udp):
    udp("127.0.0.1", "127.0.0.2", 4001)
    (found,) = [one for one in flows.dump(nft, INET) if one.original.protocol == 17]
    impostor = wire.attributes(conntrack.delete(found).body, 4)
    assert impostor[12] == found.id.to_bytes(4, "big")
    stale = type(found)(found.original, found.reply, 0, 0, 0, found.id ^ 1, found.key)
    assert flows.cut(nft, [stale]) == []
    assert len(ends(flows.dump(nft, INET))) == 1


def test_a_refusal_other_than_of_the_filter_is_raised(nft, monkeypatch):
    denied = [refusal(wire.Outcome(errno.EPERM), conntrack.flush(packed("127.0.0.1"), side)) for side in Side]
    monkeypatch.setattr(nft, "batch", lambda _: denied)
    with pytest.raises(NetlinkError, match="EPERM"):
        flows.flush_address(nft, packed("127.0.0.1"))
    with pytest.raises(NetlinkError, match="EPERM"):
        flows.cut(nft, [])


def test_dumps_that_never_agree_are_unavailable(nft, monkeypatch):
    other = iter(range(100))
    monkeypatch.setattr(nft, "dump", lambda _: [tuple(hosts(f"10.0.0.{next(other)}"))])
    with pytest.raises(Unavailable, match="no two of 10 dumps agree"):
        nft.elements(HOSTS)


def test_an_overrun_of_the_receive_buffer_is_unavailable(nft, monkeypatch):
    nft._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    nft._chunk = 4000
    missing = [conntrack.delete(stale) for stale in [flow_that_never_was()] * 4000]
    with pytest.raises(Unavailable, match="No buffer space"):
        nft.batch(missing)


def flow_that_never_was():
    inner = wire.nest(1, wire.attr(1, packed("192.0.2.1")), wire.attr(2, packed("192.0.2.2")))
    ports = wire.nest(2, wire.attr_u8(1, 17), wire.attr(2, b"\0\1"), wire.attr(3, b"\0\2"))
    direction = conntrack.Direction(packed("192.0.2.1"), packed("192.0.2.2"), 17, 1, 2)
    return conntrack.Flow(direction, direction, 0, 0, 0, 1, inner + ports)
