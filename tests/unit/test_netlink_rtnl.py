"""Our rtnetlink bytes read by pyroute2, and pyroute2's read by us."""

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ocicat.errors import Bug, UserError
from ocicat.netlink import address, link, neighbour, route, rule, wire
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, INET, INET6, Prefix, mac_packed, packed, prefix
from ocicat.netlink.link import End, Link, Vxlan
from ocicat.netlink.neighbour import Forwarding, Neighbour
from ocicat.netlink.route import Hop, Route
from ocicat.netlink.rule import Rule

MAC = mac_packed("ee:ee:ee:ee:ee:ee")
GATEWAY = packed("169.254.1.1")


def oracle(message_class, request):
    """The request as pyroute2 understands it."""
    message = message_class(wire.encode(request, 1))
    message.decode()
    return message


def foreign_body(message_class, fields, attrs):
    """The body of a message that pyroute2 made."""
    message = message_class()
    message.update(fields)
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data)[16:]


def body_of(request):
    return request.body


# links


def test_a_veth_pair_is_one_message_with_both_ends():
    near = End("cali1", mac=MAC, up=True, queues=1)
    seen = oracle(ifinfmsg, link.create_veth(near, End("eth0", mtu=1450, netns_fd=9)))
    peer = seen.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert seen.get_attr("IFLA_IFNAME") == "cali1"
    assert seen.get_attr("IFLA_ADDRESS") == "ee:ee:ee:ee:ee:ee"
    assert (seen["flags"], seen["change"]) == (1, 1)
    assert seen.get_attr("IFLA_NUM_TX_QUEUES") == seen.get_attr("IFLA_NUM_RX_QUEUES") == 1
    assert seen.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    assert [peer.get_attr(f"IFLA_{name}") for name in ("IFNAME", "MTU", "NET_NS_FD")] == ["eth0", 1450, 9]


def test_a_far_end_can_be_born_in_the_namespace_of_a_process():
    seen = oracle(ifinfmsg, link.create_veth(End("a"), End("b", netns_pid=77)))
    peer = seen.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert peer.get_attr("IFLA_NET_NS_PID") == 77


def test_a_far_end_that_should_be_up_at_once_is_a_bug():
    with pytest.raises(Bug, match="cannot be made up"):
        link.create_veth(End("a"), End("b", up=True))


def test_a_creation_is_exclusive():
    assert link.create_bridge(End("br0")).flags == wire.NLM_F_CREATE | wire.NLM_F_EXCL


def test_a_bridge_is_named_and_up():
    seen = oracle(ifinfmsg, link.create_bridge(End("br0", up=True)))
    assert seen.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
    assert seen["flags"] == 1


@pytest.mark.parametrize("local", ["10.0.0.1", "fd00::1"])
def test_a_vxlan_has_its_parameters(local):
    vxlan = Vxlan(4096, 4789, packed(local), parent=3)
    seen = oracle(ifinfmsg, link.create_vxlan(End("vxlan0", mac=MAC), vxlan))
    data = seen.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    assert data.get_attr("IFLA_VXLAN_ID") == 4096
    assert data.get_attr("IFLA_VXLAN_PORT") == 4789
    assert data.get_attr("IFLA_VXLAN_LINK") == 3
    assert data.get_attr("IFLA_VXLAN_LEARNING") == 0
    assert data.get_attr("IFLA_VXLAN_LOCAL" if "." in local else "IFLA_VXLAN_LOCAL6") == local


def test_a_change_has_what_is_given_and_nothing_else():
    seen = oracle(ifinfmsg, link.change(7, name="eth1", up=False, mtu=1400, mac=MAC, alias="web", master=0, netns_fd=3))
    assert (seen["index"], seen["flags"], seen["change"]) == (7, 0, 1)
    expected = {"IFNAME": "eth1", "MTU": 1400, "ADDRESS": "ee:ee:ee:ee:ee:ee", "IFALIAS": "web", "MASTER": 0}
    assert {name: seen.get_attr(f"IFLA_{name}") for name in expected} == expected
    assert seen.get_attr("IFLA_NET_NS_FD") == 3
    assert oracle(ifinfmsg, link.change(7))["attrs"] == []
    assert oracle(ifinfmsg, link.change(7))["change"] == 0


def test_a_link_is_meant_by_index_or_name():
    assert oracle(ifinfmsg, link.delete(7))["index"] == 7
    assert oracle(ifinfmsg, link.delete("eth0")).get_attr("IFLA_IFNAME") == "eth0"


def test_renaming_by_name_is_a_bug():
    with pytest.raises(Bug, match="needs its ifindex"):
        link.change("eth0", name="eth1")


@pytest.mark.parametrize("name", ["", "a" * 16, "é" * 8])
def test_a_name_that_the_kernel_cannot_hold_is_refused(name):
    with pytest.raises(UserError, match="1 to 15 bytes"):
        link.create_bridge(End(name))


def test_a_link_of_pyroute2_is_read():
    fields = {"index": 7, "flags": 0x10001}
    attrs = [
        ["IFLA_IFNAME", "cali1"],
        ["IFLA_MTU", 1450],
        ["IFLA_ADDRESS", "ee:ee:ee:ee:ee:ee"],
        ["IFLA_LINK", 2],
        ["IFLA_LINK_NETNSID", 0],
        ["IFLA_MASTER", 5],
        ["IFLA_IFALIAS", "web"],
        ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"]]}],
    ]
    expected = Link(7, "cali1", "veth", MAC, 1450, True, True, 5, 2, 0, "web")
    assert link.decode(foreign_body(ifinfmsg, fields, attrs)) == expected


def test_a_vxlan_is_read_as_it_was_asked_for():
    vxlan = Vxlan(99, 8472, packed("10.0.0.1"), parent=4, learning=True)
    assert link.decode(link.create_vxlan(End("v0"), vxlan).body).vxlan == vxlan


# addresses


@pytest.mark.parametrize("text", ["10.65.0.2", "fd00::2"])
def test_an_address_is_encoded(text):
    request = address.add(Address(7, packed(text), 24, noprefixroute=True, nodad=True))
    seen = oracle(ifaddrmsg, request)
    assert (seen["index"], seen["prefixlen"], seen["family"]) == (7, 24, INET if "." in text else INET6)
    assert seen.get_attr("IFA_LOCAL") == seen.get_attr("IFA_ADDRESS") == text
    assert seen.get_attr("IFA_FLAGS") == 0x202


def test_an_address_of_pyroute2_is_read():
    attrs = [["IFA_ADDRESS", "10.0.0.9"], ["IFA_LOCAL", "10.0.0.2"], ["IFA_FLAGS", 0x280], ["IFA_LABEL", "eth0"]]
    body = foreign_body(ifaddrmsg, {"family": INET, "prefixlen": 32, "index": 7}, attrs)
    expected = Address(7, packed("10.0.0.2"), 32, noprefixroute=True, peer=packed("10.0.0.9"))
    assert address.decode(body) == expected


ADDRESSES = [
    Address(7, packed("10.65.0.2"), 32),
    Address(7, packed("10.65.0.2"), 24, scope=253, noprefixroute=True),
    Address(7, packed("10.65.0.2"), 32, peer=packed("10.65.0.1")),
    Address(7, packed("fd00::2"), 128, nodad=True),
]


@pytest.mark.parametrize("value", ADDRESSES, ids=str)
def test_an_address_survives(value):
    assert [address.decode(make(value).body) for make in (address.add, address.replace, address.delete)] == [value] * 3


# routes


def test_a_route_is_encoded():
    wanted = Route(
        prefix("10.0.0.0/26"),
        GATEWAY,
        5,
        True,
        scope=0,
        protocol=80,
        table=1000,
        priority=9,
        prefsrc=packed("10.1.1.1"),
    )
    seen = oracle(rtmsg, route.add(wanted))
    assert (seen["family"], seen["dst_len"], seen["proto"], seen["type"], seen["flags"]) == (INET, 26, 80, 1, 4)
    expected = {
        "DST": "10.0.0.0",
        "GATEWAY": "169.254.1.1",
        "OIF": 5,
        "TABLE": 1000,
        "PRIORITY": 9,
        "PREFSRC": "10.1.1.1",
    }
    assert {name: seen.get_attr(f"RTA_{name}") for name in expected} == expected


def test_hops_are_encoded():
    hops = (Hop(packed("10.1.0.1"), 3, weight=2), Hop(packed("10.1.0.2"), 4, onlink=True))
    first, second = oracle(rtmsg, route.add(Route(DEFAULT_V4, hops=hops))).get_attr("RTA_MULTIPATH")
    assert (first["oif"], first["hops"], first.get_attr("RTA_GATEWAY")) == (3, 1, "10.1.0.1")
    assert (second["oif"], second["flags"], second.get_attr("RTA_GATEWAY")) == (4, 4, "10.1.0.2")


def test_an_ipv4_route_may_go_by_an_ipv6_gateway():
    seen = oracle(rtmsg, route.add(Route(DEFAULT_V4, packed("fe80::1"), 3)))
    assert seen.get_attr("RTA_VIA") == {"family": INET6, "addr": "fe80::1"}


def test_a_filtered_dump_asks_the_kernel_to_filter():
    seen = oracle(rtmsg, route.dump(INET6, table=1000, protocol=80, oif=3, kind=route.BLACKHOLE).request)
    assert (seen["family"], seen["proto"], seen["type"]) == (INET6, 80, 6)
    assert (seen.get_attr("RTA_TABLE"), seen.get_attr("RTA_OIF")) == (1000, 3)


def test_a_route_of_pyroute2_is_read():
    attrs = [["RTA_TABLE", 254], ["RTA_OIF", 3], ["RTA_GATEWAY", "10.0.0.1"], ["RTA_PRIORITY", 5]]
    body = foreign_body(rtmsg, {"family": INET, "dst_len": 0, "type": 1, "proto": 12}, attrs)
    assert route.decode(body) == Route(DEFAULT_V4, packed("10.0.0.1"), 3, protocol=12, priority=5)


ROUTES = [
    Route(prefix("10.65.0.2/32"), oif=5, scope=route.SCOPE_LINK, protocol=80),
    Route(DEFAULT_V4, GATEWAY, 5, onlink=True),
    Route(DEFAULT_V6, packed("fe80::1"), 5, priority=1024),
    Route(prefix("10.65.0.0/26"), kind=route.BLACKHOLE, protocol=80, table=70000),
    Route(prefix("fd00::/64"), kind=route.UNREACHABLE, priority=3),
    Route(DEFAULT_V4, packed("fe80::1"), 3),
    Route(DEFAULT_V4, hops=(Hop(packed("10.1.0.1"), 3, weight=256), Hop(packed("fe80::1"), 4), Hop(oif=9))),
]


@pytest.mark.parametrize("value", ROUTES, ids=str)
def test_a_route_survives(value):
    assert [route.decode(make(value).body) for make in (route.add, route.replace, route.delete)] == [value] * 3


def test_a_rejecting_ipv6_route_has_no_interface_though_the_kernel_shows_the_loopback():
    body = body_of(route.add(Route(prefix("fd00::/64"), oif=1, kind=route.BLACKHOLE)))
    assert route.decode(body).oif == 0


def test_a_route_of_another_family_is_a_bug():
    with pytest.raises(Bug, match="family 28"):
        route.decode(bytes((28,)) + bytes(11))


def test_a_next_hop_cut_short_is_a_bug():
    body = body_of(route.add(Route(DEFAULT_V4))) + wire.attr(9, b"\x20\0\0\0\0\0\0\0")
    with pytest.raises(Bug, match="cut short"):
        route.decode(body)


# neighbours


def test_a_neighbour_is_encoded():
    seen = oracle(ndmsg, neighbour.add(Neighbour(7, GATEWAY, MAC)))
    assert (seen["ifindex"], seen["state"], seen["flags"]) == (7, neighbour.PERMANENT, 0)
    assert (seen.get_attr("NDA_DST"), seen.get_attr("NDA_LLADDR")) == ("169.254.1.1", "ee:ee:ee:ee:ee:ee")


def test_a_proxied_neighbour_has_the_flag_and_no_state():
    seen = oracle(ndmsg, neighbour.add(Neighbour(7, GATEWAY, proxy=True)))
    assert (seen["state"], seen["flags"]) == (0, 8)


def test_a_forwarding_entry_is_of_the_device_itself():
    seen = oracle(ndmsg, neighbour.replace_forwarding(Forwarding(7, MAC, packed("10.0.0.9"))))
    assert (seen["family"], seen["flags"], seen["state"]) == (7, 2, neighbour.PERMANENT)


NEIGHBOURS = [
    Neighbour(7, GATEWAY, MAC),
    Neighbour(7, packed("fe80::1"), MAC, neighbour.STALE),
    Neighbour(7, GATEWAY, proxy=True),
]


@pytest.mark.parametrize("value", NEIGHBOURS, ids=str)
def test_a_neighbour_survives(value):
    makers = (neighbour.add, neighbour.replace, neighbour.delete)
    assert [neighbour.decode(make(value).body) for make in makers] == [value] * 3


# rules


def test_a_rule_is_encoded():
    wanted = Rule(
        INET, 100, 1000, src=prefix("10.0.0.0/8"), dst=prefix("10.1.0.0/16"), iif="eth0", oif="eth1", mark=5, mask=7
    )
    seen = oracle(fibmsg, rule.add(wanted))
    expected = {
        "PRIORITY": 100, "TABLE": 1000, "SRC": "10.0.0.0", "DST": "10.1.0.0", "IIFNAME": "eth0", "OIFNAME": "eth1",
        "FWMARK": 5, "FWMASK": 7,
    }  # fmt: skip
    assert {name: seen.get_attr(f"FRA_{name}") for name in expected} == expected
    assert (seen["src_len"], seen["dst_len"], seen["action"]) == (8, 16, rule.TO_TABLE)


RULES = [
    Rule(INET, 100, 1000),
    Rule(INET6, 7, 254, src=prefix("fd00::/64"), invert=True, protocol=80),
    Rule(INET, 7, action=rule.BLACKHOLE, mark=0x10),
    Rule(INET, 7, dst=Prefix(packed("10.0.0.1"), 32), iif="cali1", mark=0x10, mask=0xF0),
]


@pytest.mark.parametrize("value", RULES, ids=str)
def test_a_rule_survives(value):
    assert [rule.decode(make(value).body) for make in (rule.add, rule.delete)] == [value] * 2


# what people read


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (route.add(ROUTES[1]), "add route 0.0.0.0/0 via 169.254.1.1 link 5 table 254"),
        (route.delete(ROUTES[3]), "delete route blackhole 10.65.0.0/26 table 70000"),
        (address.add(ADDRESSES[0]), "add address 10.65.0.2/32 on link 7"),
        (neighbour.replace(NEIGHBOURS[2]), "set proxied neighbour 169.254.1.1 on link 7"),
        (rule.add(RULES[0]), "add IPv4 rule 100 to table 1000"),
        (link.delete("eth0"), "delete link eth0"),
        (link.create_veth(End("cali1"), End("eth0")), "create veth pair with far end eth0 and near end cali1"),
    ],
)
def test_a_request_says_what_it_asks(request_, text):
    assert str(request_) == text
