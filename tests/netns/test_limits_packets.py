"""Limits of bandwidth, packets and connections, and DSCP, with real traffic through a host, in namespaces."""

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from dataplane_bed import (
    ALLOW,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    WAIT_S,
    Bed,
    batch,
    endpoint,
    pings,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import DataplaneConfig, Drift
from ocicat.dataplane.apply import cleanup
from ocicat.dataplane.drivers import guards, links
from ocicat.dataplane.drivers import qdisc as driver
from ocicat.dataplane.flows.cuts import Cuts
from ocicat.dataplane.ruleset.guards import Guard
from ocicat.dataplane.ruleset.shaping import Shaper, bucket
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.wanted import EndpointGone, Limits, OutgoingNat
from ocicat.netlink import link, namespace, nftchain, qdisc
from ocicat.netlink.inet import packed
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

pytestmark = pytest.mark.netns

A, A6 = "10.65.0.1", "fd65::1"
B = "10.65.0.2"
OPEN = profile("p", ingress=(ALLOW,))
RATE = 8_000_000
REFUSED = Limits(2 * RATE, peak_bit_s=RATE)
SECONDS = 1.5
BURST_S = 0.06  # what of the rate passes at once: 50 ms, and a packet
BUSY_S = 60.0  # so long a busy machine may take until it is as fast as it is allowed to be
SO_RCVBUFFORCE = 33
REDIRECT = (
    "tc qdisc add dev ocia ingress && tc filter add dev ocia parent ffff: prio 1 protocol all "
    "u32 match u32 0 0 action mirred egress redirect dev"
)
"""Past the guard, as versions of ours did it that had none."""


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture
def plane(bed):
    return bed.plane()


def limited(name="a", *addresses, **more):
    return replace(endpoint(name, *(addresses or (A,))), **more)


def up(bed, plane, *endpoints, revision=1):
    for each in endpoints:
        bed.attach(plane, each.key[1:], *map(str, each.addresses))
    plane.submit(batch(revision, OPEN, *endpoints))
    bed.wait_in_force(revision, *(each.key[1:] for each in endpoints))
    if any(
        each.addresses[0].family == 6 for each in endpoints
    ):  # the host's own address on the uplink is being checked
        wait_until(lambda: pings(bed.containers[endpoints[0].key[1:]], OUTSIDE6))


def change(bed, plane, revision, *endpoints):
    plane.submit(batch(revision, *endpoints))
    bed.wait_in_force(revision, *(each.key[1:] for each in endpoints))


def sock_in(fd, kind, target="0.0.0.0"):
    with namespace.inside(fd):
        return socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, kind)


@dataclass(frozen=True)
class Passed:
    """So many bits in that time, which begins before the first was sent and ends after the last was received."""

    bits: int
    seconds: float

    def keeps_to(self, rate):
        """Whatever else the machine does: a token bucket lets no more through."""
        return self.bits <= rate * (self.seconds + BURST_S)

    @property
    def rate(self):
        return self.bits / self.seconds


def tcp(sender, receiver, target):
    """The payload of one flow."""
    with flow(sender, receiver, target) as (client, accepted):
        sending = threading.Thread(target=_send_for, args=(client, SECONDS))
        began, count = time.monotonic(), 0
        sending.start()
        accepted.settimeout(WAIT_S)
        while data := accepted.recv(1 << 20):
            count, last = count + len(data), time.monotonic()
        sending.join()
    return Passed(8 * count, last - began)


def fills(rate, send, share=0.85):
    """Does what `send` sends come near that rate, and never above? A busy machine is too slow for it at times."""
    end = time.monotonic() + BUSY_S
    while (passed := send()).rate < share * rate:
        assert passed.keeps_to(rate)
        assert time.monotonic() < end, f"{passed.rate} bit/s at most, where {rate} are allowed"
    return passed.keeps_to(rate)


def _send_for(client, seconds):
    end = time.monotonic() + seconds
    client.settimeout(10)
    while time.monotonic() < end:
        client.send(b"x" * 65536)
    client.close()


@contextmanager
def flow(sender, receiver, target):
    """Both ends of an established connection."""
    with sock_in(receiver, socket.SOCK_STREAM, target) as server, sock_in(sender, socket.SOCK_STREAM, target) as client:
        server.bind((target, 0))
        server.listen(1)
        client.connect(server.getsockname()[:2])
        with server.accept()[0] as accepted:
            yield client, accepted


def udp(sender, receiver, target, bits_s, size=1400):
    """What arrives, IP and Ethernet headers too, of so many bits of payload sent in a second."""
    with sock_in(receiver, socket.SOCK_DGRAM, target) as server, sock_in(sender, socket.SOCK_DGRAM, target) as client:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        server.bind((target, 0))
        client.connect(server.getsockname()[:2])
        count, start, sent = 0, time.monotonic(), 0
        while (passed := time.monotonic() - start) < SECONDS:
            while sent * 8 * size < bits_s * passed:
                client.send(b"x" * size)
                sent += 1
            count += _drain(server)
        time.sleep(0.05)  # what waits in the queue
        count += _drain(server)
        return Passed(8 * count * (size + 42), time.monotonic() - start)


def _drain(server):
    count = 0
    while True:
        try:
            server.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return count
        count += 1


def arrive(server, count):
    """How many of so many datagrams arrive, one after the other without a long pause."""
    server.settimeout(WAIT_S)
    arrived = 0
    with suppress(TimeoutError):
        while arrived < count:
            server.recv(65536)
            arrived += 1
    server.settimeout(None)
    return arrived


def shapers(bed):
    with RouteSocket(bed.host) as sock:
        return [each for each in sock.dump(qdisc.dump()) if each.is_ours]


def ifbs(bed):
    return {name for name in bed.interfaces() if name.startswith("bwoci")}


# --- bandwidth


@pytest.mark.parametrize("target", [OUTSIDE, OUTSIDE6])
def test_what_a_workload_sends_and_receives_keeps_to_its_bandwidth(bed, plane, target):
    own = A6 if ":" in target else A
    up(bed, plane, limited("a", own, ingress_limits=Limits(RATE), egress_limits=Limits(2 * RATE)))
    inside = bed.containers["a"]
    assert fills(2 * RATE, lambda: tcp(inside, bed.outside, target))
    assert fills(RATE, lambda: tcp(bed.outside, inside, own))
    assert udp(inside, bed.outside, target, 4 * RATE).keeps_to(2 * RATE)
    assert udp(bed.outside, inside, own, 2 * RATE).keeps_to(RATE)


def test_without_a_limit_nothing_is_held_back(bed, plane):
    up(bed, plane, limited())
    wait_until(lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE).rate > 10 * RATE)
    assert not shapers(bed)
    assert not ifbs(bed)


def test_a_limit_comes_changes_and_goes_under_an_established_flow(bed, plane):
    up(bed, plane, limited())
    inside = bed.containers["a"]
    with flow(inside, bed.outside, OUTSIDE) as (client, accepted):
        change(bed, plane, 2, limited(egress_limits=Limits(RATE)))
        (made,) = shapers(bed)
        assert made.bucket.rate * 8 == RATE
        slow = takes(client, accepted, RATE // 8, least=0.8, most=1.3)
        change(bed, plane, 3, limited(egress_limits=Limits(4 * RATE)))
        assert [each.bucket.rate * 8 for each in shapers(bed)] == [4 * RATE]
        faster = takes(client, accepted, 3 * RATE // 8, least=0.6, most=2.5)  # the sender finds out only by and by
        change(bed, plane, 4, limited())
        fast = takes(client, accepted, RATE // 8, least=0, most=0.5)
    assert (slow, faster, fast) == (True, True, True)
    wait_until(lambda: not ifbs(bed) and not shapers(bed))


def _pass(client, accepted, size):
    """How long `size` bytes take."""
    start = time.monotonic()
    sending = threading.Thread(target=client.sendall, args=(b"x" * size,))
    sending.start()
    accepted.settimeout(WAIT_S)
    while size:
        size -= len(accepted.recv(min(size, 1 << 20)))
    sending.join()
    return time.monotonic() - start


def takes(client, accepted, size, *, least, most):
    """Do `size` bytes take `most` seconds or less, once the machine has time for them, and never less than `least`?"""
    end = time.monotonic() + BUSY_S
    while (took := _pass(client, accepted, size)) > most:
        assert time.monotonic() < end, f"{size} bytes take {took} s"
    return took >= least


def test_a_burst_passes_at_once_and_the_rest_at_its_rate(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(RATE, burst_bits=8 * RATE)))
    with flow(bed.containers["a"], bed.outside, OUTSIDE) as ends:
        burst = _pass(*ends, RATE * 7 // 8)
        assert burst < 3.5  # it would be 7 at the rate; a hundredth of that when nothing else runs
        assert burst + _pass(*ends, RATE * 2 // 8) > 0.9


def test_a_peak_holds_back_the_burst(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(RATE, burst_bits=8 * RATE, peak_bit_s=2 * RATE)))
    assert fills(2 * RATE, lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE), share=0.75)


def test_a_burst_smaller_than_a_packet_stops_nothing(bed, plane):
    up(bed, plane, limited(ingress_limits=Limits(RATE, burst_bits=1000), egress_limits=Limits(RATE, burst_bits=1000)))
    wait_until(lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE).rate > 0.5 * RATE)
    wait_until(lambda: udp(bed.outside, bed.containers["a"], A, RATE / 2).rate > 0.4 * RATE)


def test_limits_are_there_as_soon_as_the_interface_is(bed, plane):
    plane.submit(batch(1, OPEN, limited(ingress_limits=Limits(RATE), egress_limits=Limits(RATE))))
    bed.attach(plane, "a", A)
    bed.wait_in_force(1, "a")
    assert len(shapers(bed)) == 2


def test_what_a_workload_sends_is_limited_and_has_no_other_name_than_its_own(bed, plane):
    up(bed, plane, limited("a", A, A6, egress_limits=Limits(RATE)), limited("b", B))
    inside = bed.containers["a"]
    wait_until(lambda: reaches(inside, OUTSIDE6))  # the host's own address on the uplink is being checked
    wait_until(lambda: reaches(inside, OUTSIDE))
    bed.run(inside, "ip", "addr", "add", "10.65.0.9/32", "dev", "eth0")
    bed.ip("route", "add", "10.65.0.9", "dev", "ocia")  # an answer would find its way
    assert not reaches(inside, OUTSIDE, source="10.65.0.9")
    assert "10.65.0.9" not in bed.ip("neigh")


def test_a_redirection_of_an_earlier_version_goes_and_the_limit_stays(bed, plane):
    wanted = limited(egress_limits=Limits(RATE))
    up(bed, plane, wanted)
    plane.stop()
    (ifb,) = ifbs(bed)
    bed.run(bed.host, "sh", "-c", f"{REDIRECT} {ifb}")
    bed.nft("delete", "table", "netdev", "ocicat")
    with RouteSocket(bed.host) as sock:
        index, target = (sock.get(link.get(name)).index for name in ("ocia", ifb))
        assert qdisc.Redirect(index, first=True, target=target) in sock.dump(qdisc.filters(index))
        again = bed.plane()
        again.submit(batch(2, OPEN, wanted))
        bed.wait_in_force(2, "a")
        assert not sock.dump(qdisc.filters(index))
    assert "ingress" not in bed.run(bed.host, "tc", "qdisc", "show", "dev", "ocia")
    assert f'fwd to "{ifb}"' in bed.nft("list", "table", "netdev", "ocicat")
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)


@pytest.mark.parametrize("lacks", ["forwarding", "a bucket"])
def test_where_a_limit_is_refused_a_redirection_of_an_earlier_version_goes_all_the_same(bed, plane, monkeypatch, lacks):
    """It would bring all that the workload sends past its guard."""
    up(bed, plane, limited("a", A, A6, egress_limits=Limits(RATE)))
    plane.stop()
    (ifb,) = ifbs(bed)
    bed.run(bed.host, "sh", "-c", f"{REDIRECT} {ifb}")
    bed.nft("delete", "table", "netdev", "ocicat")
    if lacks == "forwarding":
        monkeypatch.setattr(nftchain, "_forward", lambda index: nftchain._expression("forth"))
    bed.reports.clear()
    again = bed.plane()
    again.submit(batch(2, OPEN, limited("a", A, A6, egress_limits=REFUSED if lacks == "a bucket" else Limits(RATE))))
    bed.wait_in_force(2, "a")
    bed.problem("endpoint /a")
    assert "ingress" not in bed.run(bed.host, "tc", "qdisc", "show", "dev", "ocia")
    with namespace.inside(bed.host), NetfilterSocket(bed.host) as sock:
        assert guards.read(sock) == {"ocia": Guard((packed(A), packed(A6)))}
    wait_until(lambda: not ifbs(bed))
    assert reaches(bed.containers["a"], OUTSIDE, within_s=WAIT_S)


@pytest.mark.parametrize("lacks", ["forwarding", "a bucket"])
def test_a_limit_that_is_refused_is_one_fault_and_no_drift(bed, plane, monkeypatch, lacks):
    searches = []
    monkeypatch.setattr(Cuts, "note_everything", lambda self: searches.append(1))
    if lacks == "forwarding":
        monkeypatch.setattr(nftchain, "_forward", lambda index: nftchain._expression("forth"))
    up(bed, plane, limited(egress_limits=REFUSED if lacks == "a bucket" else Limits(RATE)))
    plane.resync().result(10)
    before = bed.generation()
    searches.clear()
    for _ in range(2):
        plane.resync().result(10)
    assert (bed.generation() - before, searches) == (0, [])
    (fault,) = plane.verify("/a").result(10)
    assert "the egress bandwidth" in fault
    bed.nft("add", "chain", "netdev", "ocicat", "theirs")
    assert bed.wait(lambda report: isinstance(report, Drift)).what == ("guard of theirs",)


def test_a_limit_that_is_refused_leaves_the_one_before_in_force(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(RATE)))
    plane.submit(batch(2, limited(egress_limits=REFUSED)))
    bed.problem("endpoint /a")
    plane.resync().result(10)
    assert [each.bucket.rate * 8 for each in shapers(bed)] == [RATE]
    assert "fwd to" in bed.nft("list", "table", "netdev", "ocicat")
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)


def test_a_detached_workload_leaves_nothing(bed, plane):
    up(bed, plane, limited(ingress_limits=Limits(RATE), egress_limits=Limits(RATE)))
    bed.detach(plane, "a")
    plane.submit(batch(2, EndpointGone("/a")))
    wait_until(lambda: not shapers(bed) and not ifbs(bed) and "ocia" not in bed.interfaces())


def test_a_limit_that_comes_back_at_once_is_kept(bed, plane):
    """The interface made for it is being deleted meanwhile."""
    wanted = limited(egress_limits=Limits(RATE))
    up(bed, plane, wanted)
    for revision in range(2, 12, 2):
        change(bed, plane, revision, limited())
        change(bed, plane, revision + 1, wanted)
    wait_until(lambda: len(ifbs(bed)) == 1)
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)


def test_limits_outlive_the_agent_and_go_with_what_went_meanwhile(bed, plane):
    wanted = limited(ingress_limits=Limits(RATE), egress_limits=Limits(RATE), dscp=46)
    other = limited("b", B, egress_limits=Limits(RATE))
    up(bed, plane, wanted, other)
    before, generation = shapers(bed), bed.generation()
    plane.stop()
    again = bed.plane()
    again.submit(batch(2, OPEN, wanted, other))
    bed.wait_in_force(2, "a", "b")
    assert shapers(bed) == before
    assert bed.generation() == generation
    again.stop()
    third = bed.plane()
    third.submit(batch(3, OPEN, wanted))
    bed.wait_in_force(3, "a")
    wait_until(lambda: len(shapers(bed)) == 2)


@pytest.mark.parametrize(
    "damage",
    [
        "tc qdisc del dev ocia root",
        f"{REDIRECT} bwoci{{index:x}}",
        "tc qdisc replace dev ocia root tbf rate 1kbit burst 10k latency 1ms",
        "tc qdisc replace dev bwoci{index:x} root tbf rate 1mbit burst 10k latency 1ms",
        "ip link del bwoci{index:x}",
        "ip link set bwoci{index:x} down",
    ],
)
def test_what_another_hand_does_to_a_limit_is_mended(bed, plane, damage):
    up(bed, plane, limited(ingress_limits=Limits(RATE), egress_limits=Limits(RATE)))
    with RouteSocket(bed.host) as sock:
        index = sock.get(link.get("ocia")).index
    before = {each.bucket for each in shapers(bed)}
    bed.reports.clear()
    bed.run(bed.host, "sh", "-c", damage.format(index=index))
    found = bed.wait(lambda report: isinstance(report, Drift))
    assert any("bandwidth of interface" in text for text in found.by)
    assert any("bandwidth of interface" in text for text in found.what)
    assert {each.bucket for each in shapers(bed)} == before
    assert len(shapers(bed)) == 2
    assert fills(RATE, lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE))


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ("tc qdisc add dev ocia clsact && tc filter add dev ocia ingress prio 7 u32 match u32 0 0", "pref 7"),
        ("tc qdisc add dev ocia ingress && tc filter add dev ocia ingress prio 7 u32 match u32 0 0", "pref 7"),
        ("tc qdisc add dev ocia clsact", "clsact"),
    ],
)
def test_what_others_have_on_the_interface_stays(bed, plane, theirs, said):
    up(bed, plane, limited())
    bed.run(bed.host, "sh", "-c", theirs)
    change(bed, plane, 2, limited(egress_limits=Limits(RATE)))
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)
    change(bed, plane, 3, limited())
    wait_until(lambda: not ifbs(bed))
    assert said in bed.run(bed.host, "sh", "-c", "tc qdisc show dev ocia; tc filter show dev ocia ingress")
    wait_until(lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE).rate > 2 * RATE)


def test_an_interface_that_is_about_to_go_is_not_used_again(bed, plane):
    index = bed.attach(plane, "a", A).index
    shaper, wanted = Shaper(index, "egress"), bucket(Limits(RATE), 1500)
    with RouteSocket(bed.host) as sock:
        driver.put(sock, shaper, wanted)
        idle = driver.remove(sock, shaper)
        driver.put(sock, shaper, wanted)
        links.remove(sock, idle.index)
        assert driver.read(sock) == {shaper: wanted}
        links.remove(sock, f"bwoci{index:x}")


def test_our_own_changes_are_no_drift(bed, plane):
    up(bed, plane, limited())
    bed.reports.clear()
    for revision in range(2, 10):
        change(bed, plane, revision, limited(egress_limits=Limits(RATE * revision), ingress_limits=Limits(RATE)))
    change(bed, plane, 10, limited())
    wait_until(lambda: not ifbs(bed))
    plane.verify("/a").result(10)
    assert not [report for report in bed.reports if isinstance(report, Drift)]


def test_clean_up_takes_limits_along(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(RATE)))
    plane.stop()
    with namespace.inside(bed.host):
        cleanup(DataplaneConfig())
    assert not ifbs(bed)


# --- packets


def answered(fd, target, port, count):
    """Of so many UDP packets sent at once, how many arrive."""
    with sock_in(fd, socket.SOCK_DGRAM, target) as client:
        client.connect((target, port))
        for _ in range(count):
            client.send(b"?")


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("own", [A, A6])
def test_packets_beyond_the_rate_and_its_burst_are_dropped_established_or_not(bed, plane, direction, own):
    limits = {f"{direction}_limits": Limits(packets_s=10, burst_packets=50)}
    up(bed, plane, limited("a", own, **limits))
    inside, there = bed.containers["a"], OUTSIDE6 if ":" in own else OUTSIDE
    sender, receiver, target = (bed.outside, inside, own) if direction == "ingress" else (inside, bed.outside, there)
    with sock_in(receiver, socket.SOCK_DGRAM, target) as server, sock_in(sender, socket.SOCK_DGRAM, target) as client:
        server.bind((target, 0))
        client.connect(server.getsockname()[:2])
        client.send(b"?")
        _, back = server.recvfrom(1)
        server.sendto(b"!", back)  # established
        client.recv(1)
        began = time.monotonic()
        for _ in range(200):
            client.send(b"?")
        least = arrive(server, 30)
        assert 30 <= least + _drain(server) <= 50 + 10 * (time.monotonic() - began) + 1


def test_the_other_way_is_not_limited_and_nor_is_another_workload(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(packets_s=1, burst_packets=1)), limited("b", B))
    for name, target in (("a", A), ("b", B)):
        with (
            sock_in(bed.containers[name], socket.SOCK_DGRAM) as server,
            sock_in(bed.outside, socket.SOCK_DGRAM) as client,
        ):
            server.bind((target, 0))
            client.connect(server.getsockname())
            for _ in range(100):
                client.send(b"?")
            assert arrive(server, 100) == 100


def test_what_goes_to_the_host_counts_too(bed, plane):
    up(bed, plane, limited("a", A6, egress_limits=Limits(packets_s=1, burst_packets=2)))
    stage = bed.nft("list", "chain", "inet", "ocicat", "limit-packets-to-host")
    assert "hook input priority filter - 2" in stage
    assert [reaches(bed.containers["a"], HOST6, 5051) for _ in range(6)].count(True) <= 2


def test_stages_are_there_only_while_somebody_needs_them(bed, plane):
    def stages():
        return {
            word for word in bed.nft("list", "table", "inet", "ocicat").split() if word.startswith(("limit-", "mark-"))
        }

    up(bed, plane, limited())
    assert not stages()
    everything = Limits(packets_s=10, connections=3)
    change(bed, plane, 2, limited(ingress_limits=everything, egress_limits=everything, dscp=46))
    assert len(stages()) == 7
    change(bed, plane, 3, limited())
    wait_until(lambda: not stages())


# --- connections


class Server:
    """Accepts in that namespace; keeps every connection until it is closed."""

    def __init__(self, fd, address):
        self.sock = sock_in(fd, socket.SOCK_STREAM, address)
        self.sock.bind((address, 0))
        self.sock.listen(64)
        self.target = self.sock.getsockname()[:2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def connect(fd, target):
    client = sock_in(fd, socket.SOCK_STREAM, target[0])
    client.settimeout(2)
    try:
        client.connect(target)
    except OSError:
        client.close()
        raise
    return client


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("own", [A, A6])
def test_connections_beyond_the_limit_are_reset(bed, plane, direction, own):
    up(bed, plane, limited("a", own, **{f"{direction}_limits": Limits(connections=3)}))
    inside, there = bed.containers["a"], OUTSIDE6 if ":" in own else OUTSIDE
    client, server, address = (bed.outside, inside, own) if direction == "ingress" else (inside, bed.outside, there)
    with Server(server, address) as listening:
        held = [connect(client, listening.target) for _ in range(3)]
        with pytest.raises(ConnectionRefusedError):
            connect(client, listening.target)
        held.pop().close()
        accepted = [listening.sock.accept()[0] for _ in range(3)]
        for each in accepted:
            each.settimeout(2)
        assert accepted[2].recv(1) == b""
        accepted[2].close()

        def again():
            try:
                held.append(connect(client, listening.target))
            except ConnectionRefusedError:
                return False
            return True

        wait_until(again)
        held[0].send(b"still")  # established ones were never touched
        assert accepted[0].recv(5) == b"still"
        for each in (*held, *accepted):
            each.close()


def test_only_the_endpoints_own_connections_count(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(connections=1)), limited("b", B, egress_limits=Limits(connections=1)))
    with Server(bed.outside, OUTSIDE) as listening:
        held = [connect(bed.containers[name], listening.target) for name in ("a", "b")]
        for name in ("a", "b"):
            with pytest.raises(ConnectionRefusedError):
                connect(bed.containers[name], listening.target)
        with Server(bed.containers["a"], A) as inside:
            held += [connect(bed.outside, inside.target) for _ in range(3)]  # the other way
        for each in held:
            each.close()


def test_what_is_not_tcp_is_no_connection(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(connections=1)))
    with Server(bed.outside, OUTSIDE) as listening:
        for port in range(2000, 2005):
            with sock_in(bed.containers["a"], socket.SOCK_DGRAM) as client:
                client.sendto(b"?", (OUTSIDE, port))
        connect(bed.containers["a"], listening.target).close()


def test_another_limit_that_changes_leaves_the_count_of_connections_alone(bed, plane):
    up(bed, plane, limited(egress_limits=Limits(connections=1)))
    with Server(bed.outside, OUTSIDE) as listening, connect(bed.containers["a"], listening.target):
        change(bed, plane, 2, limited(egress_limits=Limits(RATE, packets_s=1000, connections=1), dscp=10))
        with pytest.raises(ConnectionRefusedError):
            connect(bed.containers["a"], listening.target)


# --- DSCP


def received_tos(receiver, sender, target, **more):
    """The byte that carries the DSCP, of one packet from `sender`."""
    with sock_in(receiver, socket.SOCK_DGRAM, target) as server, sock_in(sender, socket.SOCK_DGRAM, target) as client:
        six = ":" in target
        server.setsockopt(
            *((socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS) if six else (socket.SOL_IP, socket.IP_RECVTOS)), 1
        )
        server.bind((target, 0))
        server.settimeout(2)
        client.connect(server.getsockname()[:2])
        client.send(b"?")
        _, ancillary, _, _ = server.recvmsg(8, 64)
        ((_, _, data),) = ancillary
        return struct.unpack("=i", data)[0] if six else data[0]


@pytest.mark.parametrize(("own", "target", "pool"), [(A, OUTSIDE, "10.65.0.0/16"), (A6, OUTSIDE6, "fd65::/64")])
def test_what_leaves_the_pools_is_marked(bed, plane, own, target, pool):
    other = B if "." in own else "fd65::2"
    up(bed, plane, limited("a", own, dscp=46), limited("b", other))
    plane.submit(batch(2, OutgoingNat(inside=(Cidr.parse(pool),))))
    plane.resync().result(10)
    assert received_tos(bed.outside, bed.containers["a"], target) == 46 << 2
    assert received_tos(bed.outside, bed.containers["b"], target) == 0
    assert received_tos(bed.containers["b"], bed.containers["a"], other) == 0
    change(bed, plane, 3, limited("a", own, dscp=0))
    assert received_tos(bed.outside, bed.containers["a"], target) == 0


def test_without_the_kernels_forwarding_nothing_is_limited_and_that_is_told(bed, plane, monkeypatch):
    """A kernel without nft_fwd_netdev: stood for by a word that no kernel knows."""
    monkeypatch.setattr(nftchain, "_forward", lambda index: nftchain._expression("forth"))
    up(bed, plane, limited(egress_limits=Limits(RATE)))
    assert "nft_fwd_netdev" in bed.problem("endpoint /a")
    assert not ifbs(bed)
    wait_until(lambda: tcp(bed.containers["a"], bed.outside, OUTSIDE).rate > 2 * RATE)
    monkeypatch.undo()
    plane.resync().result(10)
    bed.wait(lambda r: getattr(r, "object", "") == "endpoint /a" and not r.text)
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)
    assert "can-lead" not in bed.nft("list", "ruleset")


def test_one_problem_tells_of_a_limit_that_the_kernel_cannot_keep(bed, plane):
    """A kernel without token buckets: stood for by a bucket that no kernel takes."""
    up(bed, plane, limited(egress_limits=REFUSED))
    assert "EINVAL" in bed.problem("endpoint /a")
    assert reaches(bed.containers["a"], OUTSIDE)
    change(bed, plane, 2, limited(egress_limits=Limits(RATE)))
    bed.wait(lambda r: getattr(r, "object", "") == "endpoint /a" and not r.text)
    assert tcp(bed.containers["a"], bed.outside, OUTSIDE).keeps_to(RATE)
