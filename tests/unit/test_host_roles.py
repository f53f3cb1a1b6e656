"""What a host is told it is to be: peers, ports, and how packets grow on their way."""

import pytest

from ocicat.errors import UserError
from ocicat.host import ports, sysctls
from ocicat.host.roles import Asked, Peer, overhead_bytes, parse_peer, parse_peers


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("h2", Peer("h2", "", ("agent",))),
        ("H2.Example", Peer("h2.example", "", ("agent",))),
        ("h2=10.0.0.12", Peer("h2", "10.0.0.12", ("agent",))),
        ("10.0.0.12", Peer("", "10.0.0.12", ("agent",))),
        ("fd00::0:1", Peer("", "fd00::1", ("agent",))),
        ("h2=fd00::1/master", Peer("h2", "fd00::1", ("master",))),
        ("m1/services,master", Peer("m1", "", ("master", "services"))),
    ],
)
def test_a_peer(text, peer):
    assert parse_peer(text, ["agent"]) == peer


@pytest.mark.parametrize(
    "text", ["", "=10.0.0.1", "h2=", "h2=h3", "h 2", "h2/", "h2/x", "h2/master,", "0.0.0.0", "-h", "h2=224.0.0.1"]
)
def test_what_is_no_peer(text):
    with pytest.raises(UserError, match="peer"):
        parse_peer(text, ["agent"])


@pytest.mark.parametrize("texts", [["h2", "H2"], ["h2=10.0.0.1", "h3=10.0.0.1"], ["10.0.0.1", "h3=10.0.0.1"]])
def test_no_two_peers_are_one(texts):
    with pytest.raises(UserError, match="two peers have the"):
        parse_peers(texts, ["agent"])


def asked(*roles, **more):
    peers = parse_peers(more.pop("peers", ()), roles)
    return Asked(roles=roles, peers=peers, **more)


def open_to(told):
    return {str(one.opening): [str(peer) for peer in one.peers] for one in ports.wanted(told)}


def test_ports_are_those_of_the_roles_and_of_the_routing():
    assert open_to(asked("master")) == {"5050/tcp": []}
    assert open_to(asked("agent")) == {"5051/tcp": []}
    assert open_to(asked("agent", routings=("vxlan", "ipip", "bgp"))).keys() == {
        "5051/tcp",
        "4789/udp",
        "IP protocol 4 (IP in IP)",
        "179/tcp",
    }
    assert open_to(asked("master", routings=("vxlan",))).keys() == {"5050/tcp"}
    assert open_to(asked("services")).keys() == {"2181/tcp", "2888/tcp", "3888/tcp", "2379/tcp", "2380/tcp"}


def test_ports_between_hosts_of_one_role_are_for_these_only():
    peers = ["s2", "a1/agent"]
    found = open_to(asked("services", peers=peers, port_names=("marathon", "53/udp")))
    assert found["2181/tcp"] == found["8080/tcp"] == found["53/udp"] == ["s2", "a1"]
    assert found["2888/tcp"] == found["2380/tcp"] == ["s2"]


def test_what_a_host_calls_at_a_peer_are_the_ports_of_the_peers_roles():
    told = asked("agent", peers=["s1/services,master"])
    assert {str(one) for one in ports.called(told, told.peers[0])} == {"5050/tcp", "2181/tcp", "2379/tcp"}


@pytest.mark.parametrize(("text", "port"), [("8080", 8080), ("53/udp", 53), ("1/tcp", 1), ("etcd-legacy", 4001)])
def test_a_further_port(text, port):
    assert ports.parse(text).port == port


@pytest.mark.parametrize("text", ["", "0", "65536", "x", "80/sctp", "٣", "1" * 5000])
def test_what_is_no_port(text):
    with pytest.raises(UserError, match="port"):
        ports.parse(text)


def test_packets_grow_by_what_carries_them():
    sizes = [overhead_bytes(routing, ipv6=False) for routing in ("direct", "bgp", "ipip", "vxlan")]
    assert (sizes, overhead_bytes("vxlan", ipv6=True)) == ([0, 0, 20, 50], 70)


def test_settings_are_for_hosts_with_containers_and_grow_with_them():
    def values(told):
        return {want.name: want.value for want in sysctls.wants(told)}

    assert values(asked("master", "services")) == {}
    assert "net.ipv6.conf.all.forwarding" not in values(asked("agent"))
    assert values(asked("agent", ipv6=True))["net.ipv6.conf.all.forwarding"] == "1"
    many = values(asked("agent", containers=2000))
    assert many["net.ipv4.neigh.default.gc_thresh3"] == "4000"
    assert many["net.netfilter.nf_conntrack_max"] == "512000"


def test_a_setting_may_be_met_by_more():
    (least,) = [want for want in sysctls.wants(asked("agent")) if want.name == "net.netfilter.nf_conntrack_max"]
    assert (least.is_met("65536"), least.is_met("262144"), least.is_met("1000")) == (True, True, False)
    (exact,) = [want for want in sysctls.wants(asked("agent")) if want.name == "net.ipv4.ip_forward"]
    assert (exact.is_met("1"), exact.is_met("2")) == (True, False)
