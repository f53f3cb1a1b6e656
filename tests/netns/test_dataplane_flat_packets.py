"""More than a thousand policies on one workload, looked up: real packets get the verdict of the first rule that matches, while
peers come and go and policies change."""

import json
import os
import select
import socket
import subprocess
import threading
import time

import pytest
from dataplane_bed import (
    ALLOW,
    WAIT_S,
    Bed,
    addr,
    batch,
    endpoint,
    members,
    profile,
    reaches,
    wait_until,
)

from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import AddressSet, Match, PolicyRules, Revision, Tier, WantedRule
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

KEY = "/calico/resources/v3/projectcalico.org/networkpolicies/prod/"
WORKLOAD, WORKLOAD6 = "10.65.0.2", "fd65::2"
COUNT = 1200
NET = Cidr.parse("10.77.0.0/24")


def policy(number, *rules):
    return PolicyRules(f"{KEY}p{number:05}", tuple(rules), ())


def tcp(action, port, last=None, **source):
    return WantedRule(action, protocol=6, source=Match(**source), destination=Match(ports=((port, last or port),)))


def peer(number):
    """The address of set `number`, and in the other family."""
    return f"10.66.{number >> 8}.{number & 255}", f"fd66::{number:x}"


def rules_of(number):
    """Every set is let in at a port of its own; every tenth port is open to all, but not every hundredth to set 1."""
    yield tcp("Allow", 10000 + number, sets=(f"s:{number}",))
    if number % 100 == 50:
        yield tcp("Deny", 20000 + number, sets=("s:1",))
    if number % 10 == 0:
        yield tcp("Allow", 20000 + number)


POLICIES = [
    *(policy(number, *rules_of(number)) for number in range(COUNT)),
    policy(COUNT, tcp("Allow", 40000, 40009, nets=(NET,), not_nets=(Cidr.parse("10.77.0.128/25"),))),
    policy(
        COUNT + 1, WantedRule("Allow", protocol=17, source=Match(sets=("s:3",)), destination=Match(ports=((53, 53),)))
    ),
]
TIER = Tier("default", "Deny", tuple(each.policy_id for each in POLICIES))


@pytest.fixture(scope="module")
def bed():
    bed = Bed()
    for command in ("-4 route add 10.66.0.0/15 via 10.0.0.2", "-4 route add 10.77.0.0/24 via 10.0.0.2"):
        bed.ip(*command.split())
    bed.ip("-6", "route", "add", "fd66::/64", "via", "fd00::2")
    sources = [peer(number) for number in (1, 3, 7, 8, 500, 1199, 2000)]
    for address in [*(each for pair in sources for each in pair), "10.77.0.5", "10.77.0.200"]:
        bed.run(bed.outside, "ip", "addr", "add", address, "dev", "lo")
    yield bed
    bed.close()


@pytest.fixture(scope="module")
def plane(bed):
    plane = bed.plane()
    bed.attach(plane, "a", WORKLOAD, WORKLOAD6)
    sets = [members(str(number), *peer(number)) for number in range(COUNT)]
    workload = replace(endpoint("a", WORKLOAD, WORKLOAD6), ingress=(TIER,))
    plane.submit(batch(1, *sets, *POLICIES, profile("p", [ALLOW]), workload))
    bed.wait_in_force(1, "a")
    wait_until(lambda: lets_in(bed, 10001, 1, workload=WORKLOAD6))  # the neighbours have link-local addresses by now
    return plane


REVISIONS = iter(range(2, 10**6))


def change(bed, plane, *messages):
    revision = next(REVISIONS)
    plane.submit((*messages, Revision(revision)))
    bed.wait(lambda report: getattr(report, "revision", 0) >= revision)


def lets_in(bed, port, number=None, source=None, workload=WORKLOAD):
    source = source or peer(number)[workload == WORKLOAD6]
    return reaches(bed.outside, workload, port, source=source)


@pytest.mark.parametrize("workload", [WORKLOAD, WORKLOAD6])
@pytest.mark.parametrize("number", [1, 7, 500, 1199])
def test_a_peer_is_let_in_where_its_own_rule_says(bed, plane, number, workload):
    assert lets_in(bed, 10000 + number, number, workload=workload)
    assert not lets_in(bed, 10001 + number, number, workload=workload)
    assert not lets_in(bed, 10000 + number, 2000, workload=workload)


@pytest.mark.parametrize(("port", "number", "expected"), [
    (20010, 2000, True), (20010, 7, True), (20011, 7, False), (20050, 1, False), (20050, 7, True), (20100, 1, True),
    (21190, 2000, True), (21190, 1, True), (21150, 1, False), (21150, 2000, True),
])  # fmt: skip
def test_a_rule_for_all_stands_behind_those_before_it(bed, plane, port, number, expected):
    assert lets_in(bed, port, number) == expected


@pytest.mark.parametrize(("source", "port", "expected"), [
    ("10.77.0.5", 40000, True), ("10.77.0.5", 40009, True), ("10.77.0.5", 40010, False),
    ("10.77.0.200", 40005, False), ("10.77.0.200", 20010, True),
])  # fmt: skip
def test_nets_and_what_they_leave_out(bed, plane, source, port, expected):
    assert lets_in(bed, port, source=source) == expected


def test_a_new_connection_meets_few_rules(bed, plane):
    """However many policies there are."""
    bed.nft(
        "-f",
        "-",
        text="table inet traced { chain c { type filter hook prerouting priority -500; meta nftrace set 1; }; }",
    )
    try:
        met = rules_met(bed, lambda: lets_in(bed, 11199, 1199), " rule tcp dport 11199 ")
    finally:
        bed.nft("delete", "table", "inet", "traced")
    assert 0 < len([line for line in met if " inet ocicat " in line and " rule " in line]) < 25, met


def rules_met(bed, send, last):
    """By the packet that comes to the rule with `last` in it, as the kernel traces them."""
    inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{bed.host}", "nft", "monitor", "trace"]
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as monitor:
        output, end = b"", time.monotonic() + WAIT_S
        while last.encode() not in output and time.monotonic() < end:
            send()
            if select.select([monitor.stdout], [], [], 0.1)[0]:
                output += os.read(monitor.stdout.fileno(), 1 << 20)
        monitor.terminate()
    lines = output.decode().splitlines()
    its_id = next(line.split()[2] for line in lines if last in line)
    return [line for line in lines if its_id in line]


def test_a_peer_that_joins_or_leaves_is_one_element(bed, plane):
    outsider = peer(2000)[0]
    before = maps(bed)
    change(bed, plane, members("7", outsider))
    assert lets_in(bed, 10007, 2000)
    assert not lets_in(bed, 10008, 2000)
    change(bed, plane, members("8", outsider))  # a combination that there was not yet: a chain more
    assert lets_in(bed, 10007, 2000)
    assert lets_in(bed, 10008, 2000)
    change(bed, plane, AddressSet("s:7", removed=frozenset([addr(outsider)])))
    assert not lets_in(bed, 10007, 2000)
    assert lets_in(bed, 10008, 2000)
    change(bed, plane, AddressSet("s:8", removed=frozenset([addr(outsider)])))
    assert not lets_in(bed, 10008, 2000)
    assert maps(bed) == before


def maps(bed):
    """How many elements there are in each."""
    listing = json.loads(bed.nft("-j", "list", "maps", "inet"))
    return {each["map"]["name"]: len(each["map"].get("elem", ())) for each in listing["nftables"] if "map" in each}


def test_nets_in_a_set(bed, plane):
    change(bed, plane, AddressSet("s:500", nets_added=frozenset([NET])))
    assert lets_in(bed, 10500, source="10.77.0.5")
    assert lets_in(bed, 10500, 500)
    assert lets_in(bed, 40000, source="10.77.0.5")
    change(bed, plane, AddressSet("s:500", nets_removed=frozenset([NET])))
    assert not lets_in(bed, 10500, source="10.77.0.5")
    assert lets_in(bed, 10500, 500)


def test_no_packet_meets_a_change_half_done(bed, plane):
    """Flows that are allowed before and after each change always pass, flows that are denied before and after never do."""
    middle = COUNT // 2
    variants = [
        (tcp("Allow", 10000 + middle, sets=(f"s:{middle}",)),),
        (
            tcp("Deny", 9, sets=("s:3",)),
            tcp("Allow", 8),
            WantedRule("Allow", protocol=17, destination=Match(ports=((7, 7),))),
        ),
        (WantedRule("Deny", protocol=6, source=Match(nets=(NET,))),),
    ]
    with Flows(bed, peer(3)[0], 53) as allowed, Flows(bed, peer(3)[0], 54) as denied:
        for number in range(12):
            change(bed, plane, policy(middle, *variants[number % 3]), members("3", f"10.66.200.{number}"))
    assert allowed.sent == allowed.received() > 100
    assert denied.received() == 0


def test_another_agent_finds_everything_as_it_should_be(bed, plane):
    """The first ones take away what nothing used any more, if they live long enough; then the next one has nothing to do."""
    plane.stop()
    assert any(not changes(bed) for _ in range(4))
    assert changes(bed) == 0
    assert lets_in(bed, 10007, 7)


def changes(bed):
    """Transactions of an agent that starts, has all in force, and stops."""
    before = bed.generation()
    restarted(bed)
    return bed.generation() - before


def restarted(bed):
    plane = bed.plane()
    bed.reports.clear()
    sets = [members(str(number), *peer(number)) for number in range(COUNT)]
    workload = replace(endpoint("a", WORKLOAD, WORKLOAD6), ingress=(TIER,))
    plane.submit(batch(1, *sets, *POLICIES, profile("p", [ALLOW]), workload))
    bed.wait_in_force(1, "a")
    plane.stop()


class Flows:
    """New UDP flows to the workload, one after the other, until the end of the context."""

    def __init__(self, bed, source, port):
        self._bed, self._source, self._port = bed, source, port
        self._over = threading.Event()
        self.sent = 0

    def __enter__(self):
        with namespace.inside(self._bed.containers["a"]):
            self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._server.bind((WORKLOAD, self._port))
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def _send(self):
        with namespace.inside(self._bed.outside):
            while not self._over.is_set() and self.sent < 20000:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((self._source, 0))
                    sock.sendto(self.sent.to_bytes(4, "big"), (WORKLOAD, self._port))
                self.sent += 1
                self._over.wait(0.002)

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def received(self):
        """All that has come; nothing is on its way any more: a packet passes from one namespace to the other while it is sent."""
        found = set()
        self._server.setblocking(False)
        while True:
            try:
                found.add(self._server.recv(4))
            except BlockingIOError:
                self._server.close()
                return len(found)
