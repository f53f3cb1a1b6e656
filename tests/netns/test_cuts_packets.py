"""When policy tightens, exactly the forbidden established flows are ended: long-lived TCP and UDP, among a host's workloads and
beyond it. A flow that stays keeps its entry and its data; one that is ended is gone, and cannot come back from its other end."""

import socket
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from dataplane_bed import (
    ALLOW,
    BLOCKED_S,
    DENY,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    Bed,
    addr,
    batch,
    from_set,
    members,
    profile,
)

from ocicat.dataplane.api import Applied, Drift, FlowsCut
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSet,
    Endpoint,
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    Match,
    OpenPort,
    PolicyGone,
    PolicyRules,
    PortSet,
    Revision,
    Tier,
    WantedRule,
)
from ocicat.netlink import flows, namespace
from ocicat.netlink.inet import INET, INET6, packed
from ocicat.netlink.socket import NetfilterSocket

pytestmark = pytest.mark.netns

A, B, C = "10.65.0.2", "10.65.0.3", "10.65.0.4"
A6, B6, C6 = "fd65::2", "fd65::3", "fd65::4"
OWN = {"a": (A, A6), "b": (B, B6), "c": (C, C6), "outside": (OUTSIDE, OUTSIDE6), "host": (HOST, HOST6)}
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
KINDS = [(TCP, 4), (TCP, 6), (UDP, 4), (UDP, 6)]


@dataclass
class Talk:
    """A flow between two sockets. `entry`: its id in the host's table."""

    near: socket.socket
    far: socket.socket
    entry: int

    def close(self):
        self.near.close()
        self.far.close()


@contextmanager
def closed_on_failure(sock):
    try:
        yield
    except OSError:
        sock.close()
        raise


class Talks:
    """Flows among the places of a bed, and the host's table of them."""

    def __init__(self, bed):
        self.bed = bed
        self._open = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self._open:
            each.close()

    def fd(self, place):
        return {"outside": self.bed.outside, "host": self.bed.host}.get(place) or self.bed.containers[place]

    def open(self, here, there, port=80, *, kind=TCP, family=4, to=None):
        """From a place to a port of another one, which answers it. `to`: the address and port that are asked for it."""
        target = to or (OWN[there][family == 6], port)
        near = self._socket(here, kind, family)
        with self._socket(there, kind, family) as listener, closed_on_failure(near):
            listener.bind(("", port))
            if kind == TCP:
                listener.listen()
                near.connect(target)
                far, _ = listener.accept()
            else:
                near.connect(target)
                near.send(b"?")
                _, back = listener.recvfrom(1)
                listener.connect(back)
                far = listener.dup()
        for each in (near, far):
            each.settimeout(BLOCKED_S)
        talk = Talk(near, far, 0)
        self._open.append(talk)
        assert self.passes(talk)
        talk.entry = self.entries()[self._key(talk, kind)]
        return talk

    def _socket(self, place, kind, family):
        with namespace.inside(self.fd(place)):
            found = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.settimeout(5)
        return found

    @staticmethod
    def _key(talk, kind):
        source, port = talk.near.getsockname()[:2]
        return packed(source), port, 6 if kind == TCP else 17

    def entries(self):
        """Ids by source, port and protocol."""
        with NetfilterSocket(self.bed.host) as sock:
            found = [flow for family in (INET, INET6) for flow in flows.dump(sock, family)]
        return {(one.original.src, one.original.src_port, one.original.protocol): one.id for one in found}

    def passes(self, talk):
        return self.says(talk.near, talk.far) and self.says(talk.far, talk.near)

    @staticmethod
    def says(one, other):
        try:
            one.send(b"!")
            return other.recv(1) == b"!"
        except (TimeoutError, PermissionError):
            return False

    def stays(self, *talks):
        ids = set(self.entries().values())
        return all(talk.entry in ids and self.passes(talk) for talk in talks)

    def is_gone(self, *talks):
        ids = set(self.entries().values())
        return all(talk.entry not in ids and not self.says(talk.near, talk.far) for talk in talks)


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture
def talks(bed):
    with Talks(bed) as talks:
        yield talks


POLICY, OTHER = "/calico/x/policy", "/calico/x/other"


def policy(*ingress, name=POLICY, egress=(ALLOW,), **more):
    return PolicyRules(name, tuple(ingress), tuple(egress), **more)


def workload(name, *tiers, profiles=("open",)):
    return Endpoint(f"/{name}", f"oci{name}", tuple(map(addr, OWN[name])), tuple(profiles), ingress=tuple(tiers))


TIER = Tier("default", "Deny", (POLICY,))
ALL = [members("a", A, A6), members("c", C, C6), AddressSet("s:net", nets_added=frozenset())]


def port(number, protocol=6, **more):
    return WantedRule("Allow", protocol=protocol, destination=Match(ports=((number, number),)), **more)


def tcp_and_udp(number):
    return port(number), port(number, 17)


def start(bed, *messages, endpoints=None, **settings):
    """Workloads a, b and c; b has a policy, the others are open."""
    plane = bed.plane(**settings)
    plane.submit(
        batch(
            1,
            *ALL,
            profile("open", [ALLOW]),
            *messages,
            *(endpoints or (workload("a"), workload("b", TIER), workload("c"))),
        )
    )
    for name in "abc":
        bed.attach(plane, name, *OWN[name])
    bed.wait_in_force(1, *"abc")
    return plane


def change(bed, plane, revision, *messages):
    plane.submit((*messages, Revision(revision)))
    bed.wait(lambda report: report == Applied(revision))


def change_and_cut(bed, plane, revision, *messages):
    """How many were ended."""
    change(bed, plane, revision, *messages)
    return cut(bed)


def cut(bed):
    found = bed.wait(lambda report: isinstance(report, FlowsCut))
    bed.reports.remove(found)
    return found


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_a_rule_that_goes_ends_its_flows_and_no_other(bed, talks, kind, family):
    plane = start(bed, policy(*tcp_and_udp(80), *tcp_and_udp(81)))
    forbidden = [talks.open(here, "b", 80, kind=kind, family=family) for here in ("a", "c")]
    others = [
        talks.open("a", "b", 81, kind=kind, family=family),
        talks.open("b", "a", 80, kind=kind, family=family),
        talks.open("a", "c", 80, kind=kind, family=family),
        talks.open("b", "outside", 80, kind=kind, family=family),
        talks.open("host", "b", 90, kind=kind, family=family),
    ]
    assert change_and_cut(bed, plane, 2, policy(*tcp_and_udp(81))).count == 2
    assert talks.is_gone(*forbidden)
    assert talks.stays(*others)


@pytest.mark.parametrize(("kind", "family"), KINDS)
def test_a_member_that_leaves_a_set(bed, talks, kind, family):
    """So when a label changes."""
    plane = start(bed, policy(from_set("a"), from_set("c")))
    from_a, from_c = (talks.open(here, "b", kind=kind, family=family) for here in ("a", "c"))
    gone = AddressSet("s:a", removed=frozenset(map(addr, (A, A6))))
    assert change_and_cut(bed, plane, 2, gone).by == (("ingress of /b: end of tier default", 1),)
    assert talks.is_gone(from_a)
    assert talks.stays(from_c)


def test_a_member_that_joins_a_set_that_is_denied(bed, talks):
    plane = start(bed, policy(from_set("c", "Deny"), ALLOW))
    from_a, from_c = talks.open("a", "b"), talks.open("c", "a")
    assert change_and_cut(bed, plane, 2, members("c", A, A6)).count == 1
    assert talks.is_gone(from_a)
    assert talks.stays(from_c)


def test_a_named_port_that_is_another_now(bed, talks):
    named = WantedRule("Allow", destination=Match(named=("s:b:http",)))
    http = {number: (addr(B), 6, number) for number in (80, 81)}
    plane = start(bed, PortSet("s:b:http", frozenset(http.values())), policy(named))
    at_80, at_81 = talks.open("a", "b", 80), talks.open("a", "b", 81)
    assert change_and_cut(bed, plane, 2, PortSet("s:b:http", removed=frozenset([http[80]]))).count == 1
    assert talks.is_gone(at_80)
    assert talks.stays(at_81)


@pytest.mark.parametrize(("family", "net"), [(4, "10.0.0.0/29"), (6, "fd00::/126")])
def test_a_net_that_leaves_a_network_set(bed, talks, family, net):
    nets = frozenset([Cidr.parse(net)])
    plane = start(bed, AddressSet("s:net", nets_added=nets), policy(from_set("net"), from_set("c")))
    from_outside = [talks.open("outside", "b", kind=kind, family=family) for kind in (TCP, UDP)]
    from_c = talks.open("c", "b", family=family)
    assert change_and_cut(bed, plane, 2, AddressSet("s:net", nets_removed=nets)).count == 2
    assert talks.is_gone(*from_outside)
    assert talks.stays(from_c)


def test_a_profiles_rules(bed, talks):
    plane = start(bed, profile("p", [ALLOW]), endpoints=(workload("a"), workload("b", profiles=["p"]), workload("c")))
    to_b, to_c, from_b = talks.open("a", "b"), talks.open("a", "c"), talks.open("b", "outside")
    assert change_and_cut(bed, plane, 2, profile("p", [from_set("c")])).count == 1
    assert talks.is_gone(to_b)
    assert talks.stays(to_c, from_b)


def test_egress_counts_as_much(bed, talks):
    plane = start(bed, profile("p", [ALLOW]), endpoints=(workload("a", profiles=["p"]), workload("b"), workload("c")))
    to_outside, to_a = talks.open("a", "outside"), talks.open("b", "a")
    assert change_and_cut(bed, plane, 2, profile("p", [ALLOW], [DENY])).count == 1
    assert talks.is_gone(to_outside)
    assert talks.stays(to_a)


def test_a_tier_that_comes_before(bed, talks):
    plane = start(bed, policy(ALLOW), policy(from_set("a", "Deny"), WantedRule("Pass"), name=OTHER))
    from_a, from_c, among_others = talks.open("a", "b"), talks.open("c", "b"), talks.open("a", "c")
    first = Tier("first", "Deny", (OTHER,))
    assert change_and_cut(bed, plane, 2, workload("b", first, TIER)).count == 1
    assert talks.is_gone(from_a)
    assert talks.stays(from_c, among_others)


def test_a_policy_that_goes(bed, talks):
    both = Tier("default", "Deny", (POLICY, OTHER))
    plane = start(
        bed,
        policy(from_set("a")),
        policy(from_set("c"), name=OTHER),
        endpoints=(workload("a"), workload("b", both), workload("c")),
    )
    from_a, from_c = talks.open("a", "b"), talks.open("c", "b")
    assert change_and_cut(bed, plane, 2, workload("b", TIER), PolicyGone(OTHER)).count == 1
    assert talks.is_gone(from_c)
    assert talks.stays(from_a)


@pytest.mark.parametrize("interface", ["up0", "*"])
def test_a_host_endpoints_policy(bed, talks, interface):
    """What it governs: the host's own flows, and by forward policy those of its workloads with the world. What is for all
    interfaces has a say between workloads too."""
    both, one = [*tcp_and_udp(22), *tcp_and_udp(80)], tcp_and_udp(80)
    tiers = (TIER,)
    host = HostEndpoint("/h", interface, ingress=tiers, egress=tiers, forward_ingress=tiers, forward_egress=tiers)
    plane = start(bed, policy(*both, egress=both), host, endpoints=tuple(map(workload, "abc")))
    forbidden = [
        talks.open("outside", "host", 22),
        talks.open("outside", "a", 22),
        talks.open("host", "outside", 22),
        talks.open("a", "outside", 22, kind=UDP),
    ]
    between = talks.open("a", "b", 22)
    others = [
        talks.open("outside", "host", 80, kind=UDP),
        talks.open("outside", "a", 80),
        talks.open("host", "a", 22),
        talks.open("a", "b", 80),
    ]
    (forbidden if interface == "*" else others).append(between)
    assert change_and_cut(bed, plane, 2, policy(*one, egress=one)).count == len(forbidden)
    assert talks.is_gone(*forbidden)
    assert talks.stays(*others)


def test_a_host_endpoint_that_goes_leaves_its_flows_to_the_one_for_all(bed, talks):
    every = HostEndpoint("/every", "*", ingress=(Tier("default", "Deny", (OTHER,)),))
    plane = start(
        bed, policy(ALLOW), policy(*tcp_and_udp(80), name=OTHER), every, HostEndpoint("/h", "up0", ingress=(TIER,))
    )
    at_22, at_80 = talks.open("outside", "host", 22), talks.open("outside", "host", 80)
    assert change_and_cut(bed, plane, 2, HostEndpointGone("up0")).count == 1
    assert talks.is_gone(at_22)
    assert talks.stays(at_80)


def test_a_failsafe_port_that_is_one_no_more(bed, talks):
    safe = HostSettings(failsafe_inbound=(OpenPort(6, 22), OpenPort(6, 23)))
    plane = start(bed, policy(), safe, HostEndpoint("/h", "up0", ingress=(TIER,)))
    at_22, at_23 = talks.open("outside", "host", 22), talks.open("outside", "host", 23)
    assert change_and_cut(bed, plane, 2, HostSettings(failsafe_inbound=(OpenPort(6, 22),))).count == 1
    assert talks.is_gone(at_23)
    assert talks.stays(at_22)


def test_from_workloads_to_their_host(bed, talks):
    """And the agent's port stays open whatever is said; so does the host's own way to its workloads."""
    plane = start(bed, policy(ALLOW), HostSettings(endpoint_to_host="Accept"))
    to_host, to_agent = talks.open("a", "host", 90), talks.open("b", "host", 5051)
    checked = talks.open("host", "b", 8080)
    change(bed, plane, 2, HostSettings(), policy(egress=()), workload("b", TIER))
    assert cut(bed).count == 1
    assert talks.is_gone(to_host)
    assert not talks.says(to_host.far, to_host.near)
    assert talks.is_gone(to_host)
    assert talks.stays(to_agent, checked)


LOOSER = {
    "a rule more": [policy(from_set("a"), port(9))],
    "a member more": [members("a", C, C6)],
    "a denial less": [policy(from_set("a"))],
    "a policy of nobody's": [policy(DENY, name=OTHER)],
    "a staged policy": [policy(DENY, name=OTHER, staged=True), workload("b", Tier("default", "Deny", (OTHER, POLICY)))],
    "a set of nobody's": [members("c", A, A6)],
    "what is the same, said otherwise": [policy(from_set("a"), from_set("a"))],
    "a host endpoint that allows it": [HostEndpoint("/h", "up0"), HostSettings(log_prefix="x")],
    "another workload's": [workload("c", Tier("default", "Deny", (OTHER,)))],
}


@pytest.mark.parametrize("what", LOOSER)
def test_nothing_is_ended_that_is_still_allowed(bed, talks, what):
    plane = start(
        bed, policy(from_set("c", "Deny"), from_set("a")) if what == "a denial less" else policy(from_set("a"))
    )
    kept = [talks.open("a", "b", kind=kind, family=family) for kind, family in KINDS] + [talks.open("b", "outside")]
    change(bed, plane, 2, *LOOSER[what])
    sentinel = talks.open("b", "a", 7)
    assert change_and_cut(bed, plane, 3, workload("a", Tier("default", "Deny", ("/unknown",)))).count == 1
    assert talks.is_gone(sentinel)
    assert talks.stays(*kept)


@pytest.mark.parametrize("family", [4, 6])
def test_a_tcp_flow_does_not_come_back_from_its_other_end(bed, talks, family):
    """Which may open flows to where this one came from, and still may."""
    plane = start(bed, policy(from_set("a")))
    ended, kept = talks.open("a", "b", family=family), talks.open("b", "a", 81, family=family)
    change_and_cut(bed, plane, 2, policy())
    for _ in range(3):
        assert not talks.says(ended.far, ended.near)
        assert not talks.says(ended.near, ended.far)
    assert talks.is_gone(ended)
    assert talks.stays(kept, talks.open("b", "a", 82, family=family))
    assert not [each for each in talks.entries() if each[1] == 80]


def test_a_flow_that_is_allowed_again_goes_on(bed, talks):
    """TCP takes it up where it was, if its own end speaks first; a new one is none of that."""
    plane = start(bed, policy(from_set("a")))
    ended = talks.open("a", "b")
    change_and_cut(bed, plane, 2, policy())
    change(bed, plane, 3, policy(from_set("a")))
    assert talks.passes(ended)
    assert talks.passes(talks.open("a", "b", 81))


def test_what_was_tightened_while_nobody_watched(bed, talks):
    plane = start(bed, policy(from_set("a"), from_set("c")))
    from_a, from_c = talks.open("a", "b"), talks.open("c", "b", kind=UDP)
    plane.stop()
    again = bed.plane()
    rules = policy(from_set("c"))
    again.submit(batch(2, *ALL, profile("open", [ALLOW]), rules, workload("a"), workload("b", TIER), workload("c")))
    assert cut(bed).count == 1
    assert talks.is_gone(from_a)
    assert talks.stays(from_c)


def test_what_came_in_while_another_hand_had_removed_our_rules(bed, talks):
    plane = start(bed, policy(from_set("a")))
    allowed = talks.open("a", "b")
    open_the_gate(bed)
    drift = bed.wait(lambda report: isinstance(report, Drift))
    open_the_gate(bed)  # it is mended, but not twice within a second
    came_in = talks.open("c", "b")
    bed.wait(lambda report: isinstance(report, Drift) and report is not drift)
    assert cut(bed).count == 1
    assert talks.is_gone(came_in)
    assert talks.stays(allowed)
    assert plane.verify("/b").result(5) == []


def open_the_gate(bed):
    bed.nft("flush", "chain", "inet", "ocicat", "forward")


def test_the_real_destination_is_judged(bed, talks):
    """Where another hand translates."""
    plane = start(bed, policy(*tcp_and_udp(80)))
    chain = "chain pre {\n type nat hook prerouting priority dstnat;"
    rule = f"ip daddr {HOST} tcp dport 8080 dnat to {B}:80"
    bed.nft("-f", "-", text=f"table ip other {{\n{chain}\n{rule}\n}}\n}}\n")
    translated, kept = talks.open("outside", "b", to=(HOST, 8080)), talks.open("outside", "c")
    assert change_and_cut(bed, plane, 2, policy(*tcp_and_udp(8080))).count == 1
    assert talks.is_gone(translated)
    assert not talks.says(translated.far, translated.near)
    assert talks.stays(kept)
