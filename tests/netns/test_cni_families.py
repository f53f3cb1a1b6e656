"""IPv6 and both families, several addresses and several networks: the real plugin, the real agent, real packets."""

import json
import socket
from contextlib import closing

import pytest
from cni_bed import HOST6, OUTSIDE, OUTSIDE6, POOL, POOL6, Bed, between_tests, wait_for

from ocicat.cni.spec import VERSIONS
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

DUAL, SIX = {"assign_ipv6": True}, {"assign_ipv4": "false", "assign_ipv6": "true"}
GATEWAYS = {4: "169.254.1.1", 6: "fe80::ecee:eeff:feee:eeee"}
DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}


@pytest.fixture(scope="module")
def started():
    bed = Bed()
    try:
        bed.cli("pool", "add", "default", POOL)
        bed.cli("pool", "add", "six", POOL6)
        bed.cli("pool", "add", "other-six", "fd66::/112")
        bed.start()
        yield bed
        wait_for(lambda: not bed.ruleset(), "the ruleset to be tidied")
    finally:
        bed.close()


@pytest.fixture
def bed(started):
    yield from between_tests(started)


def addresses(result):
    """All of them, without prefix lengths, of a result of any version."""
    old = [result[name]["ip"] for name in ("ip4", "ip6") if name in result]
    return [text.partition("/")[0] for text in old + [each["address"] for each in result.get("ips", [])]]


def mesos(*entries, groups=("public",), name="net1", **info):
    return {
        "args": {
            "org.apache.mesos": {
                "network_info": {"name": name, "groups": list(groups), "ip_addresses": list(entries), **info}
            }
        }
    }


def shown(bed, netns, *command):
    """What `ip -j` says in the container."""
    return json.loads(bed.output("nsenter", f"--net={netns}", "ip", "-j", *command))


# --- both families, one family -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_both_families_from_add_to_del(bed, version):
    netns = bed.container()
    result = bed.add("c1", netns, cniVersion=version, **DUAL)
    four, six = addresses(result)
    if version < "0.3":
        assert result["ip4"] == {"ip": f"{four}/32", "gateway": GATEWAYS[4], "routes": [{"dst": DEFAULTS[4]}]}
        assert result["ip6"] == {"ip": f"{six}/128", "gateway": GATEWAYS[6], "routes": [{"dst": DEFAULTS[6]}]}
    else:
        assert [each["gateway"] for each in result["ips"]] == list(GATEWAYS.values())
        assert result["routes"] == [{"dst": DEFAULTS[n], "gw": GATEWAYS[n]} for n in (4, 6)]
    assert bed.call("CHECK", "c1", netns, cniVersion=version, prevResult=result, **DUAL) == (0, None)
    assert bed.pings(netns, OUTSIDE, 30)
    assert bed.pings(netns, OUTSIDE6, 30)
    bed.delete("c1", netns, cniVersion=version, prevResult=result, **DUAL)


def test_ipv6_alone(bed):
    one, two = bed.container(), bed.container()
    bed.add("c1", one, **SIX)
    (target,) = addresses(bed.add("c2", two, **SIX))
    assert bed.pings(one, target, 30)
    assert bed.pings(one, OUTSIDE6, 30)
    assert not bed.inside(one, "ip", "-4", "route", "get", OUTSIDE)
    bed.delete("c1", one)
    bed.delete("c2", two)


def test_an_address_is_in_use_at_once_and_waits_for_no_neighbour(bed):
    """Detection of duplicates would keep it tentative for a second."""
    netns = bed.container()
    bed.add("c1", netns, **SIX)
    (eth0,) = shown(bed, netns, "-6", "addr", "show", "dev", "eth0", "scope", "global")
    assert eth0["addr_info"][0]["nodad"]
    bed.delete("c1", netns)


def test_a_namespace_where_ipv6_was_turned_off(bed):
    netns = bed.container()
    assert bed.inside(netns, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")
    bed.add("c1", netns, **DUAL)
    assert bed.pings(netns, OUTSIDE6, 30)
    bed.delete("c1", netns)


def test_policy_and_reverse_path_hold_for_ipv6(bed):
    one, two, three = bed.container(), bed.container(), bed.container()
    bed.add("t.c1", one, **mesos(groups=("a",)), **SIX)
    (target,) = addresses(bed.add("t.c2", two, **mesos(groups=("a",)), **SIX))
    bed.add("t.c3", three, **mesos(groups=("b",)), **SIX)
    assert bed.pings(one, target, 30)
    assert not bed.pings(three, target)
    assert bed.inside(three, "ip", "-6", "addr", "add", "fd65::ff00/128", "dev", "eth0", "nodad")
    assert not bed.inside(three, "ping", "-c1", "-W1", "-I", "fd65::ff00", OUTSIDE6)
    for name in ("t.c1", "t.c2", "t.c3"):
        bed.delete(name)


def test_a_restart_keeps_both_families(bed):
    netns = bed.container()
    first = bed.add("c1", netns, **DUAL)
    bed.kill()
    assert bed.pings(netns, OUTSIDE6, 30)
    bed.start()
    assert bed.add("c1", netns, **DUAL) == first
    assert bed.pings(netns, OUTSIDE6, 30)
    bed.delete("c1", netns)


def test_the_hosts_addresses_of_both_families_are_told(bed):
    (node,) = [json.loads(item.value) for item in bed.stored("/calico/resources/v3/projectcalico.org/nodes/")]
    assert node["spec"]["bgp"] == {"ipv4Address": "10.0.0.1/24", "ipv6Address": f"{HOST6}/64"}


# --- what a task asks for ----------------------------------------------------------------------------------------


def test_addresses_by_name_of_both_families_and_more_of_each(bed):
    netns, other = bed.container(), bed.container()
    wanted = [{"ip_address": "10.65.0.9"}, {"protocol": "IPv6", "ip_address": "fd65::9"}, {}, {"protocol": "IPv6"}]
    result = bed.add("c1", netns, **mesos(*wanted), cniVersion="1.0.0")
    four, six, more, more6 = addresses(result)
    assert (four, six) == ("10.65.0.9", "fd65::9")
    assert bed.call("CHECK", "c1", netns, **mesos(*wanted), cniVersion="1.0.0", prevResult=result) == (0, None)
    bed.add("c2", other, **DUAL)
    for target in (four, six, more, more6):
        assert bed.pings(other, target, 30)
    assert bed.add("c1", netns, **mesos(*wanted), cniVersion="1.0.0") == result
    bed.delete("c1", netns)
    bed.delete("c2", other)


def test_one_message_names_everything_that_cannot_be_had(bed):
    bed.add("c1", bed.container(), **mesos({"ip_address": "10.65.0.9"}, {"ip_address": "fd65::9"}))
    wanted = ("10.65.0.9", "fd65::9", "10.65.0.10", "192.0.2.1", "fd99::1")
    refused = bed.refused("ADD", "c2", bed.container(), **mesos(*({"ip_address": text} for text in wanted)))
    assert refused["code"] == 100
    said = refused["msg"].split("; ")
    assert said == [
        "10.65.0.9 is in use by c1:eth0",
        "fd65::9 is in use by c1:eth0",
        "192.0.2.1 lies in no pool",
        "fd99::1 lies in no pool",
    ]
    bed.add("c3", bed.container(), **mesos({"ip_address": "10.65.0.10"}))  # nothing of it stayed
    for name in ("c1", "c2", "c3"):
        bed.delete(name)


def test_labels_choose_pools_and_addresses_and_are_no_labels(bed):
    pools = [{"key": "cni.projectcalico.org/ipv6pools", "value": '["six"]'}, {"key": "app", "value": "x"}]
    result = bed.add("c1", bed.container(), **mesos(labels={"labels": pools}), **DUAL)
    assert addresses(result)[1].startswith("fd65::")
    named = [{"key": "cni.projectcalico.org/ipAddrs", "value": '["10.65.0.77", "fd65::77"]'}]
    assert addresses(bed.add("c2", bed.container(), **mesos({}, labels={"labels": named}))) == [
        "10.65.0.77",
        "fd65::77",
    ]
    stored = [
        json.loads(item.value) for item in bed.stored("/calico/resources/v3/projectcalico.org/workloadendpoints/")
    ]
    labels = [set(each["metadata"]["labels"]) for each in stored]
    assert labels[0] - labels[1] == {"app"}
    for name in ("c1", "c2"):
        bed.delete(name)


def test_a_network_with_ipv6_and_no_pool_for_it_says_so(bed):
    error = bed.refused("ADD", "c1", bed.container(), pools=["default"], **DUAL)
    assert error["msg"] == "none of the pools default is of IPv6"


# --- several networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["eth0 eth1 eth2", "eth2 eth1 eth0", "eth1 eth0 eth2"])
def test_each_network_answers_from_its_own_addresses_and_eth0_is_the_way_out(bed, order):
    netns, other = bed.container(), bed.container()
    names = order.split()
    by_name = {name: addresses(bed.add("two", netns, interface=name, **mesos(), **DUAL)) for name in names}
    bed.add("one", other, **mesos(), **DUAL)
    for target in (text for found in by_name.values() for text in found):
        assert bed.pings(other, target, 30)
    for version, target in (("-4", OUTSIDE), ("-6", OUTSIDE6)):
        (chosen,) = shown(bed, netns, version, "route", "get", target)
        assert chosen["dev"] == "eth0"
        assert chosen["prefsrc"] in by_name["eth0"]
    for found in by_name.values():
        for own, target in zip(found, (OUTSIDE, OUTSIDE6), strict=True):
            assert bed.inside(netns, "ping", "-c1", "-W2", "-I", own, target)
    for name in names:
        assert bed.call("CHECK", "two", netns, interface=name, **mesos(), **DUAL) == (0, None)
        bed.delete("two", netns, interface=name)
    bed.delete("one", other)


# --- ports of the host ------------------------------------------------------------------------------------------


def reaches(bed, netns, port, host_port):
    """Does whoever asks for the host's port by IPv6 from outside get to the container?"""
    with namespace.inside(int(netns.rpartition("/")[2])):
        listening = socket.create_server(("::", port), family=socket.AF_INET6)
    with namespace.inside(bed.outside):
        client = socket.socket(socket.AF_INET6)
    with closing(listening), closing(client):
        client.settimeout(2)
        return client.connect_ex((HOST6, host_port)) == 0


def test_a_port_of_the_host_leads_to_the_container_by_ipv6_too(bed):
    netns, other = bed.container(), bed.container()
    mappings = [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}]
    bed.add("c1", netns, **mesos(port_mappings=mappings), **DUAL)
    assert reaches(bed, netns, 80, 8080)
    of_one = {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": HOST6}]}
    bed.add("c2", other, **mesos(), **DUAL, runtimeConfig=of_one)
    assert reaches(bed, other, 80, 8081)
    bed.delete("c1", netns)
    bed.delete("c2", other)


def test_a_port_of_an_address_of_another_family_than_the_containers_is_refused(bed):
    of_one = {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": HOST6}]}
    error = bed.refused("ADD", "c1", bed.container(), runtimeConfig=of_one)
    assert error["msg"] == f"container c1: host port tcp/8081 of {HOST6} cannot lead to it: it has no IPv6 address"
