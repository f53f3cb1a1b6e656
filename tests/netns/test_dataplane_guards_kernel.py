"""Guards of interfaces in the kernel: what comes in by one, when it is there, and what becomes of it when the interface goes."""

import re
import socket
import struct
import threading

import pytest
from dataplane_bed import (
    ALLOW,
    HOST,
    OUTSIDE,
    WAIT_S,
    Bed,
    batch,
    endpoint,
    flood,
    hears,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane import reaper
from ocicat.dataplane.api import Drift
from ocicat.dataplane.drivers import guards
from ocicat.dataplane.engine import Engine
from ocicat.dataplane.ownership import ifb_name
from ocicat.dataplane.reconcile.program import Program
from ocicat.dataplane.ruleset.guards import CLOSED, Guard
from ocicat.errors import Unavailable
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import EndpointGone, InSync, Revision
from ocicat.netlink import flows, inet, link, namespace, nftchain
from ocicat.netlink.inet import packed, prefix
from ocicat.netlink.link import End
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

pytestmark = pytest.mark.netns

A, B, FOREIGN = "10.65.0.2", "10.65.0.3", "10.65.0.99"
STATE = (profile("p", [ALLOW]), endpoint("a", A), endpoint("b", B))
LIMITED = Guard((packed(A),), limited=True)
UNLIMITED = replace(LIMITED, limited=False)
ARP, IP, TAGGED, OTHER = 0x0806, 0x0800, 0x8100, 0x88B5
GUARD = Guard((packed(A), packed("fd00::2")), (prefix("10.9.0.0/16"), prefix("fd09::/61"), prefix("0.0.0.0/0")))
AS_TEXT = """
table netdev ocicat {
    chain ocia {
        type filter hook ingress device ocia priority filter; policy accept;
        ip saddr 10.65.0.2 accept
        ip6 saddr fd00::2 accept
        ip saddr 10.9.0.0/16 accept
        ip6 saddr fd09::/61 accept
        meta protocol ip accept
        arp saddr ip 10.65.0.2 accept
        arp saddr ip 10.9.0.0/16 accept
        meta protocol arp accept
        drop
    }
}
"""


@pytest.fixture
def bed():
    made = Bed()
    yield made
    made.close()


@pytest.fixture
def plane(bed):
    plane = bed.plane()
    plane.submit(batch(1, *STATE))
    for name, address in (("a", A), ("b", B)):
        bed.attach(plane, name, address)
    bed.wait_in_force(1, "a", "b")
    return plane


@pytest.fixture
def kernel(bed):
    """Sockets of the host, as whose program all runs: nftables, routes."""
    with namespace.inside(bed.host), NetfilterSocket(bed.host) as netfilter, RouteSocket(bed.host) as route:
        route.request(link.create_veth(End("ocia", up=True), End("peer")))
        yield netfilter, route


def chains(bed):
    return bed.nft("list", "ruleset", "netdev")


def rules(listing):
    return [line.strip().partition(" comment ")[0] for line in listing.splitlines() if line.strip()]


def frames(bed, name, ethertype, payloads):
    """As they are, from the container's interface to the host's side."""
    with namespace.inside(bed.containers[name]):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with sock:
        for payload in payloads:
            sock.sendto(payload, ("eth0", ethertype, 0, 0, b"\xee" * 6))


def arp(sender, target=OUTSIDE):
    return struct.pack("!HHBBH6s4s6s4s", 1, IP, 6, 4, 1, b"\x02" * 6, packed(sender), bytes(6), packed(target))


def datagram(source, target, port):
    udp = struct.pack("!HHHH", port, port, 8, 0)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, packed(source), packed(target))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", 0xFFFF & ~((total & 0xFFFF) + (total >> 16))) + head[12:] + udp


def counting(bed, name, *lines):
    """What comes past the guard of that interface, and has not matched an earlier line."""
    rules = "\n".join(f"{line} counter accept" for line in lines)
    hook = f"type filter hook ingress device oci{name} priority 10;"
    bed.nft("-f", "-", text=f"table netdev seen {{\nchain c {{\n{hook}\n{rules}\n}}\n}}\n")


def counts(bed):
    return [int(packets) for packets in re.findall(r"packets (\d+)", bed.nft("list", "table", "netdev", "seen"))]


def test_a_chain_made_by_netlink_is_the_one_that_nft_makes_of_text(bed, kernel):
    netfilter, _ = kernel
    change = guards.Change("ocia", None, GUARD)
    assert guards.commit(netfilter, [change]) == [change]
    made = chains(bed)
    assert guards.read(netfilter) == {"ocia": GUARD}
    bed.nft("delete", "table", "netdev", "ocicat")
    bed.nft("-f", "-", text=AS_TEXT)
    assert rules(made) == rules(chains(bed))
    assert guards.read(netfilter)["ocia"].intact is False


def test_a_guard_leads_through_the_ifb_of_its_interface_while_there_is_one(bed, kernel):
    netfilter, route = kernel
    change = guards.Change("ocia", None, LIMITED)
    assert guards.commit(netfilter, [change]) == [replace(change, wanted=UNLIMITED)]
    assert guards.read(netfilter) == {"ocia": UNLIMITED}
    name = ifb_name(route.get(link.get("ocia")).index)
    route.request(link.create_ifb(End(name, queues=1)))
    assert guards.commit(netfilter, [replace(change, there=CLOSED)]) == [replace(change, there=CLOSED)]
    assert guards.read(netfilter) == {"ocia": LIMITED}
    assert rules(chains(bed))[3:5] == [f'ip saddr {A} fwd to "{name}"', f"arp saddr ip {A} accept"]
    route.request(link.delete(name))
    route.request(link.create_ifb(End(name, queues=1)))
    assert guards.read(netfilter) == {"ocia": replace(LIMITED, intact=False)}


def test_where_the_kernel_cannot_forward_a_guard_is_there_without_its_limit(bed, kernel, monkeypatch):
    """A kernel without nft_fwd_netdev: stood for by a word that no kernel knows."""
    netfilter, route = kernel
    route.request(link.create_ifb(End(ifb_name(route.get(link.get("ocia")).index), queues=1)))
    monkeypatch.setattr(nftchain, "_forward", lambda index: nftchain._expression("forth"))
    wanted = [guards.Change("ocia", None, LIMITED), guards.Change("lo", None, CLOSED)]
    assert guards.commit(netfilter, wanted) == [guards.Change("ocia", None, UNLIMITED), wanted[1]]
    assert guards.read(netfilter) == {"ocia": UNLIMITED, "lo": CLOSED}
    assert guards.renew(netfilter, {"ocia": LIMITED, "ocigone": LIMITED}) == {"ocia": UNLIMITED}
    assert guards.read(netfilter) == {"ocia": UNLIMITED}


def test_a_chain_that_is_gone_goes_without_anything_refused(bed, kernel):
    """Until Linux 6.15 it goes with its interface; what is refused takes the kernel 15 ms, and an ADD waits for it."""
    netfilter, _ = kernel
    guards.close(netfilter, "ocia")
    before = bed.generation()
    gone = [guards.Change(name, CLOSED, None) for name in ("ocib", "ocic")]
    wanted = [*gone, guards.Change("ocia", CLOSED, UNLIMITED)]
    assert guards.commit(netfilter, wanted) == wanted
    assert guards.read(netfilter) == {"ocia": UNLIMITED}
    assert bed.generation() == before + 1


def test_a_chain_that_another_hand_took_away_is_made_anew(bed, kernel):
    netfilter, _ = kernel
    change = guards.Change("ocia", CLOSED, UNLIMITED)
    assert guards.commit(netfilter, [change]) == [change]
    assert guards.read(netfilter) == {"ocia": UNLIMITED}


def test_a_chain_that_a_map_of_another_hand_holds_is_told_after_the_others_are_made_and_the_table_renewed(bed, kernel):
    netfilter, _ = kernel
    bed.nft("-f", "-", text=HELD_BY_A_MAP)
    wanted = [guards.Change("debug", replace(CLOSED, intact=False), None), guards.Change("ocia", None, UNLIMITED)]
    with pytest.raises(Unavailable):
        guards.commit(netfilter, wanted)
    assert guards.read(netfilter)["ocia"] == UNLIMITED
    assert guards.renew(netfilter, {"ocia": GUARD, "ocigone": GUARD}) == {"ocia": GUARD}
    assert guards.read(netfilter) == {"ocia": GUARD}
    assert "map" not in chains(bed)


def test_a_table_that_is_dormant_is_woken(bed, kernel):
    netfilter, _ = kernel
    guards.commit(netfilter, [guards.Change("ocia", None, GUARD)])
    bed.nft("add", "table", "netdev", "ocicat", "{ flags dormant; }")
    found = guards.read(netfilter)["ocia"]
    assert found == replace(GUARD, intact=False)
    guards.commit(netfilter, [guards.Change("ocia", found, GUARD)])
    assert guards.read(netfilter) == {"ocia": GUARD}


def test_a_guard_changes_and_goes_and_what_lacks_its_chain_holds_up_no_other(bed, kernel):
    netfilter, _ = kernel
    opened = Guard((packed(A),))
    guards.close(netfilter, "ocia")
    guards.close(netfilter, "ocia")
    assert guards.read(netfilter) == {"ocia": CLOSED}
    wanted = [guards.Change("ocigone", CLOSED, opened), guards.Change("ocia", CLOSED, opened)]
    assert guards.commit(netfilter, wanted) == wanted[1:]
    assert guards.read(netfilter) == {"ocia": opened}
    wanted = [guards.Change("ocigone", opened, None), guards.Change("ocia", opened, None)]
    assert guards.commit(netfilter, wanted) == wanted
    assert guards.read(netfilter) == {}


ELSEWHERE = "{ type filter hook ingress device lo priority 5 ; }"
AWAY = "flush chain netdev ocicat ocia\ndelete chain netdev ocicat ocia\nadd chain netdev ocicat ocia"


JUMP = "add chain netdev ocicat debug\ninsert rule netdev ocicat ocia jump debug"
HELD_BY_A_MAP = """
add table netdev ocicat
add chain netdev ocicat debug
add map netdev ocicat held { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump debug }; }
"""


@pytest.mark.parametrize(
    "damage",
    [
        "insert rule netdev ocicat ocia accept",
        JUMP,
        "flush chain netdev ocicat ocia",
        AWAY,
        f"{AWAY} {ELSEWHERE}",
    ],
)
def test_what_was_changed_in_a_chain_is_seen_and_set_right(bed, kernel, damage):
    netfilter, _ = kernel
    guards.commit(netfilter, [guards.Change("ocia", None, GUARD)])
    bed.nft("-f", "-", text=f"{damage}\n")
    found = guards.read(netfilter)
    assert not found["ocia"].intact
    strangers = [guards.Change(name, there, None) for name, there in found.items() if name != "ocia"]
    guards.commit(netfilter, [*strangers, guards.Change("ocia", found["ocia"], GUARD)])
    assert guards.read(netfilter) == {"ocia": GUARD}
    bed.nft("-f", "-", text=f"{damage}\n")
    guards.close(netfilter, "ocia")
    assert guards.read(netfilter)["ocia"] == CLOSED


def test_a_workload_has_no_other_name_than_its_own_in_ip_in_arp_or_in_anything_else(bed, plane):
    counting(bed, "a", f"ip saddr {A}", f"arp saddr ip {A}", "")
    frames(bed, "a", IP, [datagram(FOREIGN, OUTSIDE, 9), b"", b"\x45" * 12])
    frames(bed, "a", TAGGED, [struct.pack("!HH", 5, IP) + datagram(FOREIGN, OUTSIDE, 9)])
    frames(bed, "a", OTHER, [datagram(A, OUTSIDE, 9)])
    frames(bed, "a", ARP, [*(arp(f"10.7.0.{number}") for number in range(1, 201)), arp("0.0.0.0"), b""])
    frames(bed, "a", ARP, [arp(A)])
    frames(bed, "a", IP, [datagram(A, OUTSIDE, 9)])
    wait_until(lambda: counts(bed)[0] > 0)  # what came before it is through
    assert counts(bed) == [1, 1, 0]
    assert "10.7.0." not in bed.ip("neigh")


def test_arp_is_answered_under_an_own_or_an_allowed_name_only(bed, plane):
    more = replace(endpoint("a", A), sources=(Cidr.parse("10.9.0.0/16"),))
    plane.submit((more, Revision(2)))
    bed.wait_in_force(2, "a")
    answers = {}
    with namespace.inside(bed.containers["a"]):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ARP))
    with sock:
        sock.settimeout(WAIT_S)
        frames(bed, "a", ARP, [arp(FOREIGN), arp("10.9.1.1"), arp(A)])
        while A not in answers:
            answer = sock.recv(100)
            if struct.unpack_from("!H", answer, 6)[0] == 2:
                answers[inet.text(answer[24:28])] = inet.text(answer[14:18])
    assert answers == {"10.9.1.1": OUTSIDE, A: OUTSIDE}


def checks(bed):
    """Of sources, by the kernel: by its routes, and by the host's own addresses."""
    asked = ("net.ipv4.conf.ocia.rp_filter", "net.ipv4.conf.ocia.accept_local")
    return bed.run(bed.host, "sysctl", "-n", *asked).split()


def test_sources_are_checked_once_but_the_hosts_own_address_is_refused_where_further_ones_are_allowed(bed, plane):
    def passed():
        """Past the guard; and of that, forwarded."""
        counting(bed, "a", f"ip saddr {HOST}", f"ip saddr {A}")
        bed.nft("-f", "-", text=FORWARDED)
        frames(bed, "a", IP, [datagram(HOST, OUTSIDE, 9), datagram(A, OUTSIDE, 9)])
        wait_until(lambda: counts(bed)[1] > 0)
        found = counts(bed)[0], "packets 0 bytes 0" not in bed.nft("list", "table", "ip", "forwarded")
        bed.nft("-f", "-", text="delete table netdev seen\ndelete table ip forwarded\n")
        return found

    assert (checks(bed), passed()) == (["0", "1"], (0, False))
    more = replace(endpoint("a", A), sources=(Cidr.parse(f"{HOST}/32"),))
    for number, sources in enumerate([more.sources, (), more.sources], 2):
        plane.submit((replace(more, sources=sources), Revision(number)))
        bed.wait_in_force(number, "a")
        assert (checks(bed), passed()) == ((["0", "0"], (1, False)) if sources else (["0", "1"], (0, False)))
    bed.reports.clear()
    bed.attach(plane, "a", A)
    assert (checks(bed), passed()) == (["0", "0"], (1, False))
    plane.resync().result(10)
    assert not [each for each in bed.reports if isinstance(each, Drift)]


def test_the_kernel_refuses_the_hosts_address_before_a_guard_lets_it_in(bed, plane, monkeypatch):
    seen = []
    run = Program.run

    def looking(program, **how):
        seen.append(checks(bed))
        run(program, **how)

    monkeypatch.setattr(Program, "run", looking)
    plane.submit((replace(endpoint("a", A), sources=(Cidr.parse(f"{HOST}/32"),)), Revision(2)))
    bed.wait_in_force(2, "a")
    assert seen[0] == ["0", "0"]


FORWARDED = f"table ip forwarded {{ chain c {{ type filter hook forward priority -300; ip saddr {HOST} counter; }}; }}"


def test_nobody_enters_a_flow_of_another_workload(bed, plane):
    with flood(bed.containers["a"], OUTSIDE, 500) as ping:
        counting(bed, "b", f"ip saddr {A}")
        frames(bed, "b", IP, [datagram(A, OUTSIDE, 9)] * 50)
        assert reaches(bed.containers["b"], OUTSIDE, within_s=WAIT_S)
        assert counts(bed) == [0]
    assert ping.lost == 0


def test_an_interface_is_set_up_when_its_guard_is_there_and_not_before(bed, monkeypatch):
    plane, states = bed.plane(), []
    plane.resync().result(10)

    def watched(sock, interface):
        states.append("UP" in bed.ip("-br", "link", "show", interface).split("<")[1])
        close(sock, interface)
        states.append(guards.read(sock)[interface])

    close = guards.close
    monkeypatch.setattr(guards, "close", watched)
    bed.attach(plane, "a", A)
    assert states == [False, CLOSED]
    assert guards_now(bed) == {"ocia": CLOSED}
    plane.submit(batch(1, *STATE))
    bed.wait_in_force(1, "a")
    assert guards_now(bed) == {"ocia": Guard((packed(A),))}


def guards_now(bed):
    with NetfilterSocket(bed.host) as netfilter:
        return guards.read(netfilter)


def test_an_interface_that_nobody_attached_is_closed(bed, plane):
    bed.ip("link", "add", "ocix", "up", "type", "veth", "peer", "name", "other")
    bed.wait(lambda report: isinstance(report, Drift) and "ocix came" in str(report.by))
    assert guards_now(bed)["ocix"] == CLOSED


def test_an_endpoint_that_goes_closes_its_interface_and_the_interface_takes_the_guard_along(bed, plane):
    plane.submit((EndpointGone("/b"), Revision(2)))
    wait_until(lambda: guards_now(bed).get("ocib") == CLOSED)
    bed.detach(plane, "b")
    wait_until(lambda: guards_now(bed) == {"ocia": Guard((packed(A),))})
    bed.detach(plane, "a")
    wait_until(lambda: chains(bed) == "")


@pytest.mark.parametrize("chain", ["stays with the interface's name", "goes with the interface"])
def test_a_container_that_dies_may_come_back_whatever_its_chain_does(bed, plane, chain):
    """What a kernel does with a chain of an interface that goes is told in `ocicat.dataplane.drivers.guards`."""
    plane.stop()
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.delete("eth0"))
    if chain.startswith("goes") and "ocia" in guards_now(bed):  # an older kernel has taken it along by itself
        bed.nft("-f", "-", text="flush chain netdev ocicat ocia\ndelete chain netdev ocicat ocia\n")
    bed.reports.clear()
    again = bed.plane()
    again.submit(batch(2, *STATE))
    bed.wait_in_force(2, "b")
    bed.attach(again, "a", A)
    bed.wait_in_force(2, "a")
    assert reaches(bed.containers["a"], B, within_s=WAIT_S)
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.delete("eth0"))
    bed.detach(again, "a")
    wait_until(lambda: "ocia" not in guards_now(bed))


def test_of_two_dying_interfaces_of_one_name_the_last_takes_the_guard_along(bed, plane, monkeypatch):
    ends = [threading.Event(), threading.Event()]
    waiting = iter(ends)

    def held_up(item):
        if isinstance(item, reaper.Grave):
            next(waiting).wait(WAIT_S)
        return reap(item)

    def told(self, done):
        reaped(self, done)
        heard.append(done.item)

    reap, reaped, heard = reaper._reap, Engine.reaped, []
    monkeypatch.setattr(reaper, "_reap", held_up)
    monkeypatch.setattr(Engine, "reaped", told)
    try:
        bed.detach(plane, "a")
        bed.attach(plane, "a", A)
        bed.detach(plane, "a")
        ends[0].set()
        wait_until(lambda: any(isinstance(each, reaper.Grave) for each in heard))
        plane.answers().result(WAIT_S)
        assert "ocia" in bed.interfaces()
        assert guards_now(bed)["ocia"] == CLOSED
    finally:
        for end in ends:
            end.set()
    wait_until(lambda: "ocia" not in guards_now(bed))
    assert "ocia" not in bed.interfaces()


@pytest.mark.parametrize("taken_along", ["flush chain netdev ocicat ocia\ndelete chain netdev ocicat ocia\n", ""])
def test_the_next_owner_of_an_address_does_not_inherit_flows_of_one_that_went_while_no_agent_ran(
    bed, plane, taken_along
):
    """A kernel before Linux 6.16 takes the chain along, and nothing is left that tells of the address."""
    for name in "ab":
        assert hears(bed.containers[name], OUTSIDE, 9)
    assert flows_of(bed, A)
    plane.stop()
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.delete("eth0"))
    if "ocia" in guards_now(bed):
        bed.nft("-f", "-", text=taken_along)
    bed.reports.clear()
    again = bed.plane()
    again.submit(batch(2, STATE[0], STATE[2]))
    bed.wait_in_force(2, "b")
    wait_until(lambda: not flows_of(bed, A))
    assert flows_of(bed, B)
    again.submit((endpoint("c", A), Revision(3)))
    bed.attach(again, "c", A)
    bed.wait_in_force(3, "c")


def flows_of(bed, address):
    with NetfilterSocket(bed.host) as sock:
        return flows.touching(sock, [packed(address)])


def test_before_the_state_is_complete_no_guard_is_closed_but_that_of_a_detached_interface(bed, plane):
    plane.stop()
    again = bed.plane()
    again.resync().result(10)
    opened = {"ocia": Guard((packed(A),)), "ocib": Guard((packed(B),))}
    assert guards_now(bed) == opened
    bed.detach(again, "b")
    assert guards_now(bed).get("ocib", CLOSED) == CLOSED
    assert reaches(bed.containers["a"], OUTSIDE, within_s=WAIT_S)
    again.submit((STATE[0], InSync(), Revision(2)))
    again.resync().result(10)
    assert guards_now(bed)["ocia"] == CLOSED
    assert not reaches(bed.containers["a"], OUTSIDE)


def test_hosts_without_guards_get_them_without_a_packet_lost_and_keep_the_kernels_own_check_until_then(bed, plane):
    """As an earlier version has left it."""
    plane.stop()
    bed.nft("delete", "table", "netdev", "ocicat")
    bed.run(bed.host, "sysctl", "-qw", "net.ipv4.conf.ocia.rp_filter=1")
    with flood(bed.containers["a"], B, 1000) as ping:
        again = bed.plane()
        again.resync().result(10)
        assert chains(bed) == ""
        assert bed.run(bed.host, "sysctl", "-n", "net.ipv4.conf.ocia.rp_filter").strip() == "1"
        again.submit(batch(2, *STATE))
        bed.wait_in_force(2, "a", "b")
        wait_until(lambda: len(guards_now(bed)) == 2)
    assert ping.lost == 0
    assert bed.run(bed.host, "sysctl", "-n", "net.ipv4.conf.ocia.rp_filter").strip() == "0"
