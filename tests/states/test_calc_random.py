"""Random histories: after every flush the dataplane holds what the present content asks for, and nothing a value holds raises."""

from __future__ import annotations

from calc_mock import MockDataplane
from calc_naive import USED, picture_of
from calc_world import (
    HOST,
    block,
    configuration,
    endpoint,
    host_endpoint,
    network_set,
    node,
    policy,
    pool,
    profile,
    tier,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocicat.calc import Graph
from ocicat.model import keys
from ocicat.model.net import Addr
from ocicat.model.v3.kinds import KINDS
from ocicat.policy import HostInterface

FLUSH = ("", None)
FLOATING = [
    {"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"},
    {"internalIP": "10.0.0.2", "externalIP": "192.0.2.2"},
    {"internalIP": "10.0.0.1", "externalIP": "10.0.0.2"},
    {"internalIP": "10.0.0.1", "externalIP": "192.168.0.2"},
]
INTERFACES = "interfaces"
SELECTORS = [
    "group == 'a'",
    "group != 'a'",
    "has(role)",
    "!has(role)",
    "role in {'x', 'y'}",
    "all()",
    "",
    "role ==",
    "!has(group) || role == 'x'",
    "global()",
]

names = st.sampled_from(["a", "b", "c"])
hosts = st.sampled_from([HOST, HOST, "host2"])
labels = st.dictionaries(st.sampled_from(["group", "role"]), st.sampled_from(["a", "b", "x"]), max_size=2)
addresses = st.sampled_from(
    [["10.0.0.1/32"], ["10.0.0.2/32"], ["10.0.0.1/32", "fd00::1"], ["fd00::1/128"], [], ["10.0.0.0/24"]]
)
ports = st.lists(
    st.builds(
        lambda name, protocol, port: {"name": name, "protocol": protocol, "port": port},
        st.sampled_from(["http", "dns"]),
        st.sampled_from(["TCP", "UDP"]),
        st.sampled_from([80, 81]),
    ),
    max_size=2,
)
host_ports = st.lists(
    st.builds(
        lambda host_port, host_ip, protocol: {
            "protocol": protocol,
            "port": 80,
            "hostPort": host_port,
            "hostIP": host_ip,
        },
        st.sampled_from([8080, 8080, 8081, 70000]),
        st.sampled_from(["", "192.168.0.1", "192.168.0.2", "0.0.0.0", "fd01::1"]),
        st.sampled_from(["TCP", "TCP", "ICMP"]),
    ),
    max_size=2,
)
sides = st.fixed_dictionaries(
    {},
    optional={
        "selector": st.sampled_from(SELECTORS),
        "notSelector": st.sampled_from(SELECTORS),
        "namespaceSelector": st.sampled_from(["all()", "global()", "has(team)"]),
        "nets": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/64", "10.0.0.1/32"]), max_size=2),
        "ports": st.lists(st.sampled_from([80, "1:9", "http", "dns"]), max_size=2),
        "notPorts": st.lists(st.sampled_from([81, "http"]), max_size=1),
    },
)
rules = st.lists(
    st.builds(
        lambda action, protocol, version, source, destination: {
            "action": action,
            "protocol": protocol,
            "ipVersion": version,
            "source": source,
            "destination": destination,
        },
        st.sampled_from(["Allow", "Deny", "Pass", "Log"]),
        st.sampled_from([None, "TCP", "UDP", "ICMP"]),
        st.sampled_from([None, 4, 5]),
        sides,
        sides,
    ),
    max_size=3,
)
namespaces = st.sampled_from(["default", "prod"])
endpoints = st.builds(
    lambda name, addresses, **fields: endpoint(name, *addresses, **fields),
    st.sampled_from(["e1", "e2", "e3", "e4"]),
    addresses,
    node=hosts,
    profiles=st.lists(st.one_of(names, st.just("projectcalico-default-allow")), max_size=3),
    labels=labels,
    namespace=namespaces,
    interface=st.sampled_from([None, "eth0", "ocie1"]),
    mac=st.sampled_from(["", "02:00:00:00:00:0a", "02-00-00-00-00-0A", "02:00:00:00:00", "nonsense"]),
    ports=st.builds(lambda named, mapped: [*named, *mapped], ports, host_ports),
    allowSpoofedSourcePrefixes=st.sampled_from([[], [], ["10.9.0.0/16"]]),
    ipNATs=st.sampled_from([[], [], FLOATING[:1], FLOATING[:2], FLOATING[1:], FLOATING[2:], FLOATING]),
)
profiles = st.builds(
    lambda name, rules, **fields: profile(name, *rules, **fields),
    st.one_of(names, st.sampled_from(["kns.prod", "projectcalico-default-allow"])),
    rules,
    egress=rules,
    labels=st.one_of(labels, st.just({"pcns.team": "t"})),
)
host_endpoints = st.builds(
    lambda name, interface, addresses, **fields: host_endpoint(name, interface, *addresses, **fields),
    names,
    st.sampled_from(["", "eth0", "eth1", "*", "ocie1"]),
    st.lists(st.sampled_from(["192.168.0.1", "192.168.0.9", "nonsense"]), max_size=2),
    node=hosts,
    profiles=st.lists(names, max_size=2),
    labels=labels,
    ports=ports,
)
network_sets = st.builds(
    lambda name, nets, **fields: network_set(name, *nets, **fields),
    names,
    st.lists(st.sampled_from(["10.0.0.1/32", "10.0.0.0/24", "fd00::/64", "0.0.0.0/0", "x"]), max_size=3),
    labels=labels,
    namespace=st.sampled_from(["", "default", "prod"]),
)
tiers = st.builds(
    tier,
    st.sampled_from(["first", "second", "default"]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from(["Deny", "Pass", None]),
)
STAGED = st.sampled_from(["", "", "", "Set", "Learn", "Delete", "Ignore"])
policies = st.builds(
    lambda name, selector, rules, **fields: policy(name, selector, *rules, **fields),
    names,
    st.sampled_from(SELECTORS),
    rules,
    egress=rules,
    namespace=st.sampled_from(["", "default", "prod"]),
    tier=st.sampled_from(["default", "first", "second"]),
    order=st.sampled_from([None, 1, 2]),
    types=st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], []]),
    staged=STAGED,
)
global_policies = st.builds(
    lambda name, selector, rules, hook, **fields: policy(name, selector, *rules, namespace="", **hook, **fields),
    names,
    st.sampled_from(SELECTORS),
    rules,
    st.sampled_from(
        [
            {"applyOnForward": True},
            {"applyOnForward": True, "preDNAT": True},
            {"applyOnForward": True, "doNotTrack": True},
            {"namespaceSelector": "has(team)"},
        ]
    ),
    order=st.sampled_from([None, 1]),
    staged=STAGED,
)
configurations = st.builds(
    lambda name, fields: configuration(name, **fields),
    st.sampled_from(["default", f"node.{HOST}", "node.host2", "other"]),
    st.fixed_dictionaries(
        {},
        optional={
            "workloadSourceSpoofing": st.sampled_from(["Any", "Disabled"]),
            "floatingIPs": st.sampled_from(["Enabled", "Disabled"]),
            "interfacePrefix": st.sampled_from(["oci", "eth,oci"]),
            "logPrefix": st.sampled_from(["x", "y"]),
            "natPortRange": st.sampled_from([0, 5000, "5000:6000", "http"]),
            "natOutgoingAddress": st.sampled_from(["192.168.0.1", "fd00::1"]),
            "natOutgoingExclusions": st.sampled_from(["IPPoolsOnly", "IPPoolsAndHostIPs", "x"]),
            "iptablesNATOutgoingInterfaceFilter": st.sampled_from(["eth+", "eth0", "eth*"]),
            "defaultEndpointToHostAction": st.sampled_from(["ACCEPT", "Return"]),
            "failsafeInboundHostPorts": st.sampled_from([[], [{"protocol": "TCP", "port": 22}], [{"protocol": "x"}]]),
        },
    ),
)
nodes = st.builds(
    lambda name, ipv4, ipv6, interfaces: node(name, ipv4, ipv6, **interfaces),
    hosts,
    st.sampled_from(["", "192.168.0.1/24", "192.168.0.2", "x"]),
    st.sampled_from(["", "fd01::1"]),
    st.sampled_from([{}, {"eth1": "192.168.0.9"}, {"eth0": "nonsense"}]),
)
pools = st.builds(
    pool,
    st.sampled_from(["p1", "p2"]),
    st.sampled_from(["10.0.0.0/16", "10.1.0.0/16", "fd00::/48", "10.0.0.1/16"]),
    natOutgoing=st.booleans(),
    disabled=st.booleans(),
)
blocks = st.builds(
    block,
    st.sampled_from(["10.0.0.0/26", "10.0.0.64/26", "fd00::/122"]),
    st.one_of(st.none(), hosts),
    deleted=st.booleans(),
)

puts = st.one_of(
    endpoints,
    profiles,
    nodes,
    pools,
    blocks,
    policies,
    global_policies,
    tiers,
    network_sets,
    host_endpoints,
    configurations,
)
deletes = puts.map(lambda put: (put[0], None))
garbage = st.tuples(puts, st.binary(max_size=8)).map(lambda pair: (pair[0][0], pair[1]))
truncated = st.tuples(puts, st.integers(0, 200)).map(lambda pair: (pair[0][0], pair[0][1][: pair[1]]))
found = st.sampled_from([(), (HostInterface(HOST, "eth0", (Addr.parse("192.168.0.1"),)),)])
interfaces = found.map(lambda those: (INTERFACES, those))
changes = st.lists(
    st.one_of(puts, puts, endpoints, policies, deletes, garbage, truncated, interfaces, st.just(FLUSH)), max_size=25
)
worlds = st.lists(
    st.tuples(endpoints, endpoints, profiles, policies, global_policies, tiers, network_sets, host_endpoints),
    max_size=3,
).map(lambda rounds: [put for puts in rounds for put in puts])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds, changes)
def test_any_history_ends_in_the_picture_of_its_content(world, changes):
    graph, dataplane, content, interfaces = Graph(HOST), MockDataplane(), {}, ()
    graph.in_sync()
    for revision, (key, value) in enumerate([*world, FLUSH, *changes, FLUSH], start=1):
        if not key:
            dataplane.apply(graph.flush(revision))
            assert (dataplane.picture, graph.problems().keys()) == picture_of(content, interfaces)
        elif key == INTERFACES:
            interfaces = value
            graph.interfaces(interfaces)
        else:
            graph.update(key, value)
            content = {known: held for known, held in {**content, key: value}.items() if held is not None}


PREFIXES = [*(KINDS[kind].prefix() for kind in USED), keys.BLOCKS]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PREFIXES), st.text(max_size=20), st.binary())
def test_no_key_and_no_bytes_raise(prefix, rest, value):
    graph = Graph(HOST)
    graph.update(prefix + rest, value)
    assert graph.problems().keys() <= {prefix + rest}
    graph.update(prefix + rest, None)
    assert graph.problems() == {}
