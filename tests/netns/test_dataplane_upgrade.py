"""A start on a table that another version of ours has left: the new one takes over, and no packet is lost meanwhile."""

import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from dataplane_bed import HOST, Bed, batch, endpoint, flood, members, profile, reaches, wait_until

from ocicat.dataplane.api import Applied, DataplaneConfig, Drift, Problem
from ocicat.dataplane.ruleset.skeleton import chains
from ocicat.model.net import Cidr
from ocicat.model.wanted import AddressSet, HostEndpoint, Match, Tier, WantedRule
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
OLDER = Path(__file__).parent.parent / "golden" / "older-table.nft"
NETS = (Cidr.parse("10.65.0.0/29"), Cidr.parse("10.66.0.0/16"), Cidr.parse("fd00::/8"))
STATE = (
    members("p", A, B),
    AddressSet("s:nets", nets_added=frozenset([Cidr.parse("10.65.0.0/30"), Cidr.parse("255.0.0.0/8")])),
    AddressSet("s:all", nets_added=frozenset([Cidr.parse("0.0.0.0/0"), Cidr.parse("::/0")])),
    profile(
        "p",
        [
            WantedRule("Deny", protocol=6, destination=Match(ports=((22, 23), (25, 25)))),
            WantedRule("Allow", source=Match(sets=("s:p", "s:nets", "s:all"), nets=NETS)),
        ],
    ),
    endpoint("a", A),
    endpoint("b", B),
)


@pytest.fixture
def bed():
    made = Bed()
    yield made
    made.close()


def left(bed, table, *more):
    """Both workloads are there, and that table in place of ours. `more`: of the state before."""
    plane = bed.plane()
    plane.submit(batch(1, *STATE, *more))
    bed.attach(plane, "a", A)
    bed.attach(plane, "b", B)
    bed.wait_in_force(1, "a", "b")
    plane.resync().result(10)
    before = bed.nft("-s", "list", "table", "inet", "ocicat")
    plane.stop()
    bed.nft("-f", "-", text=f"delete table inet ocicat\n{table(before)}")
    bed.reports.clear()
    assert reaches(bed.containers["a"], B)
    return before


UDP_HEADER_BYTES, NO_CHECKSUM = 8, 0
MOST_FLOWS = 60_000  # connection tracking has room for them on a small machine too
ENDS = f"""
table ip ends {{
    chain first {{ type filter hook prerouting priority -450; ip saddr {A} udp dport 9 counter; }}
    chain last {{ type filter hook postrouting priority 450; ip saddr {A} udp dport 9 counter; }}
}}
"""


@contextmanager
def new_flows(bed, name, target):
    """Each packet that the container sends begins a flow of its own, some thousand in a second; `.sent` and `.lost` afterwards."""
    bed.nft("-f", "-", text=ENDS)
    result, ended = SimpleNamespace(sent=0, lost=None), threading.Event()
    with namespace.inside(bed.containers[name]):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    sock.connect((target, 0))

    def send():
        for source_port in range(1, MOST_FLOWS):
            if ended.is_set():
                return
            sock.send(struct.pack("!HHHH", source_port, 9, UDP_HEADER_BYTES, NO_CHECKSUM))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield result
    finally:
        ended.set()
        thread.join()
        sock.close()
    came, left = (int(packets) for packets in re.findall(r"packets (\d+)", bed.nft("list", "table", "ip", "ends")))
    bed.nft("delete", "table", "ip", "ends")
    result.sent, result.lost = came, came - left


def test_a_table_of_an_earlier_version_becomes_the_new_one(bed):
    before = left(bed, lambda _: OLDER.read_text())
    with flood(bed.containers["a"], B) as ping, new_flows(bed, "a", B) as flows:
        plane = bed.plane()
        assert "another version" in bed.problem("dataplane")
        plane.submit(batch(2, *STATE))
        bed.wait(lambda report: report == Applied(2))
        plane.resync().result(10)
    assert (ping.lost, flows.lost) == (0, 0)
    assert flows.sent > 1000
    assert same(bed.nft("-s", "list", "table", "inet", "ocicat"), before)
    assert not reaches(bed.containers["a"], B, 22)


def test_base_chains_at_other_places_stay_in_force_until_all_is_known_and_are_replaced_at_once(bed):
    before = left(bed, moved)
    sets = handles(bed, "table|set|map")
    with flood(bed.containers["a"], B) as ping, new_flows(bed, "a", B) as flows:
        plane = bed.plane()
        assert "another version" in bed.problem("dataplane")
        bed.wait(lambda report: isinstance(report, Problem))
        assert "priority filter - 3" in bed.nft("-s", "list", "table", "inet", "ocicat")
        plane.submit(batch(2, *STATE))
        bed.wait(lambda report: report == Applied(2))
    assert (ping.lost, flows.lost) == (0, 0)
    assert flows.sent > 1000
    assert handles(bed, "table|set|map") == sets  # a new one would be empty for a moment
    assert same(bed.nft("-s", "list", "table", "inet", "ocicat"), before)
    assert not reaches(bed.containers["a"], B, 22)
    bed.wait(lambda report: report == Problem("dataplane", ""))
    generation = bed.generation()
    plane.resync().result(10)
    assert bed.generation() == generation
    assert not [report for report in bed.reports if isinstance(report, Drift)]


BEFORE_GUARDS = """
    set sources4 { type iface_index . ipv4_addr; elements = { ocia . 10.65.0.2, ocib . 10.65.0.3 }; }
    set sources6 { type iface_index . ipv6_addr; }
    map workload-sources { type ifname : verdict; }
    chain source-check {
        iifname vmap @workload-sources comment "275d0bfe7d"
        drop comment "39db114f50 source address is not the workload's own"
    }
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        iif . ip saddr @sources4 accept comment "5729f9ed1b"
        iif . ip6 saddr @sources6 accept comment "954d6a83c3"
        iifname "oci*" goto source-check comment "01bb95c4fe"
    }
"""


def test_the_check_of_sources_moves_to_the_interfaces_and_loses_no_packet_nor_lets_one_in(bed):
    """The version before guards asked in prerouting, and had the kernel ask its routes too."""
    before = left(bed, lambda table: "delete table netdev ocicat\n" + table.replace("{\n", "{" + BEFORE_GUARDS, 1))
    bed.run(bed.host, "sysctl", "-qw", "net.ipv4.conf.ocia.rp_filter=1", "net.ipv4.conf.ocib.rp_filter=1")
    bed.nft("-f", "-", text=FORGED)
    bed.run(bed.containers["b"], "ip", "addr", "add", "10.65.0.9/32", "dev", "eth0")
    with flood(bed.containers["a"], B) as ping, new_flows(bed, "a", B) as flows, forging(bed, "b") as forged:
        plane = bed.plane()
        plane.resync().result(10)
        assert "source-check" in bed.nft("list", "table", "inet", "ocicat")
        plane.submit(batch(2, *STATE))
        bed.wait(lambda report: report == Applied(2))
        plane.resync().result(10)
        wait_until(lambda: "source-check" not in bed.nft("list", "table", "inet", "ocicat"))
    assert (ping.lost, flows.lost) == (0, 0)
    assert flows.sent > 1000
    assert same(bed.nft("-s", "list", "table", "inet", "ocicat"), before)
    assert "packets 0 bytes 0" in bed.nft("list", "table", "ip", "forged")
    assert forged.sent > 1000
    assert bed.run(bed.host, "sysctl", "-n", "net.ipv4.conf.ocia.rp_filter").strip() == "0"


FORGED = """
table ip forged {
    chain passed { type filter hook postrouting priority 450; ip saddr 10.65.0.9 counter; }
}
"""


@contextmanager
def forging(bed, name):
    """Datagrams in another's name, as fast as they go; `.sent` afterwards."""
    result, ended = SimpleNamespace(sent=0), threading.Event()
    with namespace.inside(bed.containers[name]):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("10.65.0.9", 0))
    sock.connect((A, 9))

    def send():
        while not ended.is_set():
            with suppress(OSError):
                result.sent += sock.send(b"?")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield result
    finally:
        ended.set()
        thread.join()
        sock.close()


def moved(table):
    return table.replace("input priority filter;", "input priority filter + 5;").replace(
        "forward priority filter;", "forward priority filter - 3;"
    )


STAGES = """
    }
    chain input-workload { type filter hook input priority filter - 1; iifname "oci*" ct state new goto from-workload; }
    chain forward-workload-out { type filter hook forward priority filter - 1; iifname "oci*" ct state new goto from-workload; }
}
"""
ARRIVING = f"""
table ip arriving {{
    chain came {{ type filter hook prerouting priority 450; ip daddr {HOST} udp dport 9 counter; }}
    chain passed {{ type filter hook input priority 450; ip daddr {HOST} udp dport 9 counter; }}
}}
"""


def test_a_policy_that_nft_refuses_opens_nothing_while_an_older_version_is_replaced(bed):
    """There Allow of egress was `accept` at a stage of its own; here it would be past the drop of what goes to the host."""

    def older(table):
        allow = r'meta mark set meta mark \| 0x10000000 return comment "[0-9a-f]{10}'
        accepts, count = re.subn(allow, 'accept comment "0123456789', table)
        assert count
        accepts = accepts.replace("chain forward {", "chain forward-workload-in {")
        return re.sub(".* jump from-workload .*\n|.*\tjump from-workload .*\n", "", accepts).rstrip("}\n") + STAGES

    third = endpoint("c", "10.65.0.4", profiles=["broken"])
    left(bed, older, profile("broken", [WantedRule("Allow")]), third)
    broken = profile("broken", [WantedRule("Allow", source=Match(sets=("s:nowhere",)))])
    with new_flows(bed, "a", HOST):
        bed.nft("-f", "-", text=ARRIVING)
        plane = bed.plane()
        plane.submit(batch(2, *STATE, broken, third))
        assert "nft" in bed.problem("profile broken")
        plane.resync().result(10)
    came, passed = (int(each) for each in re.findall(r"packets (\d+)", bed.nft("list", "table", "ip", "arriving")))
    assert came > 100
    assert passed == 0


def handles(bed, kinds):
    """The kernel's numbers of what is in force: what goes and comes has another one."""
    listed = bed.nft("-a", "-t", "list", "table", "inet", "ocicat")
    return set(re.findall(rf"^\s*(?:{kinds}) .* # handle \d+$", listed, re.MULTILINE))


def same(one, other):
    """The same lines, wherever they stand."""
    return sorted(one.split()) == sorted(other.split())


def test_nft_lists_every_base_chain_where_we_put_it(bed):
    plane, tiers = bed.plane(), (Tier("t", "Deny", ()),)
    plane.submit(batch(1, HostEndpoint("/hep", "up0", (), untracked_ingress=tiers, pre_dnat=tiers)))
    bed.wait(lambda report: report == Applied(1))
    listed = bed.nft("list", "table", "inet", "ocicat")
    places = [
        f"type filter hook {each.hook} priority {each.priority};" for each in chains(DataplaneConfig()) if each.hook
    ]
    assert all(place in listed for place in places)
