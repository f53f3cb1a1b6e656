"""Ports of the host for containers: the real plugin and agent, real connections, and what a restart and a removal leave."""

import socket
from contextlib import closing

import pytest
from cni_bed import HOST, OUTSIDE, POOL, between_tests, one_agent

from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

WAIT_S = 2.0


@pytest.fixture(scope="module")
def started():
    yield from one_agent(("default", POOL))


@pytest.fixture
def bed(started):
    yield from between_tests(started)


def mesos(*pairs, protocol="tcp", name="net1"):
    """As Mesos passes them; in the group that everybody may reach."""
    listed = [{"host_port": host, "container_port": port, "protocol": protocol} for host, port in pairs]
    return {
        "args": {"org.apache.mesos": {"network_info": {"name": name, "groups": ["public"], "port_mappings": listed}}}
    }


def server(fd, port, kind=socket.SOCK_STREAM, address="0.0.0.0"):
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_INET, kind)
    sock.settimeout(WAIT_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def netns_fd(path):
    return int(path.rpartition("/")[2])


def client_of(bed, netns, port, host_port):
    """Who asks for the host's port from outside, as the container sees him; None: he does not get there."""
    with namespace.inside(bed.outside):
        client = socket.socket()
    with closing(server(netns_fd(netns), port)) as listening, closing(client):
        client.settimeout(WAIT_S)
        try:
            client.connect((HOST, host_port))
        except OSError:
            return None
        accepted, peer = listening.accept()
        accepted.close()
        return peer[0]


def test_a_mapped_port_from_add_to_del(bed):
    netns = bed.container()
    bed.add("c1", netns, **mesos((8080, 80)))
    assert client_of(bed, netns, 80, 8080) == OUTSIDE
    assert bed.call("CHECK", "c1", netns, **mesos((8080, 80))) == (0, None)
    assert bed.add("c1", netns, **mesos((8080, 80)))
    bed.delete("c1", netns)
    other = bed.container()
    bed.add("c2", other, **mesos((8080, 81)))
    assert client_of(bed, other, 81, 8080) == OUTSIDE
    bed.delete("c2", other)


def test_a_conflict_fails_the_add_with_one_message_and_loses_nothing(bed):
    first, second = bed.container(), bed.container()
    bed.add("c1", first, **mesos((8080, 80)))
    refused = bed.refused("ADD", "c2", second, **mesos((8080, 80)))
    assert refused["code"] == 100
    assert (
        "host port tcp/8080 leads to endpoint /calico/resources/v3/projectcalico.org/workloadendpoints"
        in refused["msg"]
    )
    assert refused["details"] == "choose another port, or remove that container"
    assert client_of(bed, first, 80, 8080) == OUTSIDE
    bed.delete("c2", second)
    assert client_of(bed, first, 80, 8080) == OUTSIDE
    bed.delete("c1", first)


def test_a_port_of_a_program_of_the_host_is_not_taken(bed):
    netns, other = bed.container(), bed.container()
    with closing(server(bed.host, 8080)):
        refused = bed.refused("ADD", "c1", other, **mesos((8080, 80)))
        assert refused["msg"] == "host port tcp/8080 is in use: a program of this host listens on 0.0.0.0 port 8080"
        bed.add("c1", other, **mesos((8080, 80), protocol="udp"))
        bed.delete("c1", other)
    with closing(server(bed.host, 8080, address="127.0.0.1")):
        bed.add("c2", netns, **mesos((8080, 80)))
        assert client_of(bed, netns, 80, 8080) == OUTSIDE
        bed.delete("c2", netns)


def test_a_restart_keeps_the_ports(bed):
    netns = bed.container()
    bed.add("c1", netns, **mesos((8080, 80)))
    bed.kill()
    assert client_of(bed, netns, 80, 8080) == OUTSIDE  # while no agent runs
    bed.start()
    assert client_of(bed, netns, 80, 8080) == OUTSIDE
    assert "leads to endpoint" in bed.refused("ADD", "c2", bed.container(), **mesos((8080, 80)))["msg"]
    bed.delete("c2")
    bed.delete("c1", netns)


def test_a_container_with_two_networks_has_ports_for_each(bed):
    netns = bed.container()
    bed.add("c1", netns, **mesos((8080, 80)))
    bed.add("c1", netns, interface="eth1", **mesos((8081, 80)))
    assert client_of(bed, netns, 80, 8080) == OUTSIDE
    assert client_of(bed, netns, 80, 8081) == OUTSIDE
    bed.delete("c1", netns, interface="eth1")
    assert client_of(bed, netns, 80, 8080) == OUTSIDE
    bed.delete("c1", netns)


def test_a_pool_with_nat_outgoing_leaves_with_the_hosts_address(bed):
    bed.cli("pool", "add", "nat", "10.66.0.0/24", "--nat-outgoing")
    netns = bed.container()
    bed.add("c1", netns, pools=["nat"], **mesos())
    with namespace.inside(netns_fd(netns)):
        client = socket.socket()
    with closing(server(bed.outside, 80)) as listening, closing(client):
        client.settimeout(WAIT_S)
        client.connect((OUTSIDE, 80))
        accepted, peer = listening.accept()
        accepted.close()
    assert peer[0] == HOST
    bed.delete("c1", netns)
