"""Named states of the datastore with what they ask of the dataplane, and the sequences that lead through them."""

from __future__ import annotations

from dataclasses import dataclass, field

from calc_world import (
    Content,
    allow,
    block,
    configuration,
    endpoint,
    host_endpoint,
    network_set,
    node,
    policy,
    profile,
    tier,
)

from ocicat.model import keys
from ocicat.model.v3.kinds import KINDS


@dataclass(frozen=True)
class State:
    """What is asked for, in few words. `members` by selector text; `ports`: by selector text, protocol and name, as
    "address:port"; `rules`: profiles sent; `policies`: those sent; `endpoints`: name -> profiles; `lists`: name or interface, and
    list -> its tiers as "tier=policy,policy!" where "!" says that the rest is dropped; `routes`: cidr -> gateway or "local".
    """

    name: str
    content: Content
    members: dict[str, set[str]] = field(default_factory=dict)
    ports: dict[tuple[str, int, str], set[str]] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    lists: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    problems: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return self.name


IN_A, IN_B = "group == 'a'", "group == 'b'"
PROFILE_A = profile("a", allow(IN_A), labels={"group": "a"})
PROFILE_B = profile("b", allow(IN_B), labels={"group": "b"})
LOCAL_A = endpoint("a1", "10.0.0.1/32", profiles=["a"])
REMOTE_A = endpoint("a2", "10.0.1.2/32", node="host2", profiles=["a"])
BAD_PROFILE_A = (PROFILE_A[0], b'{"metadata": {"name": "a"}, "spec": {"ingress": 7}}')

EMPTY = State("empty", {})
PROFILE_ONLY = State("profile nobody uses", dict([PROFILE_A]))
REMOTE_ONLY = State("endpoint of another host", dict([PROFILE_A, REMOTE_A]))
LOCAL_ONLY = State(
    "endpoint of this host",
    dict([PROFILE_A, LOCAL_A]),
    members={IN_A: {"10.0.0.1"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
GROUP = State(
    "group over two hosts",
    dict([PROFILE_A, LOCAL_A, REMOTE_A]),
    members={IN_A: {"10.0.0.1", "10.0.1.2"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
MISSING_PROFILE = State("profile missing", dict([LOCAL_A, REMOTE_A]), endpoints={"a1": ("a",)})
MALFORMED_PROFILE = State(
    "profile malformed",
    dict([BAD_PROFILE_A, LOCAL_A, REMOTE_A]),
    endpoints={"a1": ("a",)},
    problems={keys.profile("a")},
)
TWO_GROUPS = State(
    "endpoint in two groups",
    dict([PROFILE_A, PROFILE_B, endpoint("a1", "10.0.0.1/32", profiles=["b", "a"]), REMOTE_A]),
    members={IN_A: {"10.0.1.2"}, IN_B: {"10.0.0.1"}},  # the first profile's label wins
    rules={"a", "b"},
    endpoints={"a1": ("b", "a")},
)
OWN_LABEL = State(
    "own label hides the inherited one",
    dict([PROFILE_A, LOCAL_A, endpoint("a2", "10.0.1.2/32", node="host2", profiles=["a"], labels={"group": "z"})]),
    members={IN_A: {"10.0.0.1"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
RELABELLED = State(
    "profile gives another label",
    dict([profile("a", allow(IN_A), labels={"group": "c"}), LOCAL_A, REMOTE_A]),
    members={IN_A: set()},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
SHARED_SELECTOR = State(
    "two profiles share a set",
    dict([PROFILE_A, profile("b", allow('group=="a"')), endpoint("a1", "10.0.0.1/32", profiles=["a", "b"]), REMOTE_A]),
    members={IN_A: {"10.0.0.1", "10.0.1.2"}},
    rules={"a", "b"},
    endpoints={"a1": ("a", "b")},
)
RENUMBERED = State(
    "endpoints with other addresses, two families",
    dict(
        [
            PROFILE_A,
            endpoint("a1", "10.0.0.9", "fd00::9/128", profiles=["a"]),
            endpoint("a2", "10.0.0.1/32", node="host2", profiles=["a"]),
        ]
    ),
    members={IN_A: {"10.0.0.9", "fd00::9", "10.0.0.1"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
SAME_ADDRESS = State(
    "two endpoints hold one address",
    dict([PROFILE_A, LOCAL_A, endpoint("a2", "10.0.0.1/32", node="host2", profiles=["a"])]),
    members={IN_A: {"10.0.0.1"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
)
MOVED = State(
    "endpoint moved to another host",
    dict([PROFILE_A, endpoint("a1", "10.0.0.1/32", node="host2", profiles=["a"]), REMOTE_A]),
)
BAD_ENDPOINTS = State(
    "endpoints that cannot be used",
    dict(
        [
            PROFILE_A,
            LOCAL_A,
            endpoint("a2", "10.0.0.0/24", node="host2", profiles=["a"]),
            endpoint("a3", profiles=["a"]),
            endpoint("a4", "10.0.0.4/32", interface="../etc", profiles=["a"]),
            endpoint("a5", "10.0.0.5/32", "nonsense", profiles=["a"]),
        ]
    ),
    members={IN_A: {"10.0.0.1"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
    problems={keys.workload("default", name) for name in ("a2", "a3", "a4", "a5")},
)
BAD_RULE = State(
    "rule that is not enforced",
    dict(
        [
            profile("a", allow(IN_A), allow("has(x)", http={"methods": ["GET"]}), labels={"group": "a"}),
            LOCAL_A,
            REMOTE_A,
        ]
    ),
    members={IN_A: {"10.0.0.1", "10.0.1.2"}},
    rules={"a"},
    endpoints={"a1": ("a",)},
    problems={keys.profile("a")},
)
MANY_SELECTORS = State(
    "selectors of every kind",
    dict(
        [
            profile(
                "m",
                allow("all()"),
                allow("has(role)"),
                allow("!has(role)"),
                allow("role in {'x', 'y'}"),
                allow("role != 'x'"),
            ),
            endpoint("a1", "10.0.0.1/32", profiles=["m"], labels={"role": "x"}),
            endpoint("a2", "10.0.1.2/32", node="host2", labels={"role": "y"}),
            endpoint("a3", "10.0.1.3/32", node="host2"),
        ]
    ),
    members={
        "all()": {"10.0.0.1", "10.0.1.2", "10.0.1.3"},
        "has(role)": {"10.0.0.1", "10.0.1.2"},
        "!has(role)": {"10.0.1.3"},
        "role in {'x', 'y'}": {"10.0.0.1", "10.0.1.2"},
        "role != 'x'": {"10.0.1.2", "10.0.1.3"},
    },
    rules={"m"},
    endpoints={"a1": ("m",)},
)

OWN_BLOCK, OTHER_BLOCK, OTHER_BLOCK6 = "10.0.0.0/26", "10.0.1.0/26", "fd00:0:0:1::/122"
NODE2 = node("host2", "192.168.0.2/24", "fd01::2/64")
BLOCKS = [block(OWN_BLOCK, "host1"), block(OTHER_BLOCK, "host2"), block(OTHER_BLOCK6, "host2")]

BLOCKS_ONLY = State("blocks without nodes", dict(BLOCKS), routes={OWN_BLOCK: "local"})
ROUTES = State(
    "blocks and nodes",
    dict([*BLOCKS, NODE2, node("host1", "192.168.0.1/24")]),
    routes={OWN_BLOCK: "local", OTHER_BLOCK: "192.168.0.2", OTHER_BLOCK6: "fd01::2"},
)
NODE_MOVED = State(
    "node with another address, of one family",
    dict([*BLOCKS, node("host2", "192.168.0.22/24")]),
    routes={OWN_BLOCK: "local", OTHER_BLOCK: "192.168.0.22"},
)
BLOCKS_SWAPPED = State(
    "blocks changed hands",
    dict([block(OWN_BLOCK, "host2"), block(OTHER_BLOCK, "host1"), block(OTHER_BLOCK6, None), NODE2]),
    routes={OWN_BLOCK: "192.168.0.2", OTHER_BLOCK: "local"},
)
BLOCKS_GOING = State(
    "blocks being deleted or malformed, node malformed",
    dict([block(OWN_BLOCK, "host1", deleted=True), (block(OTHER_BLOCK, "")[0], b"{}"), node("host2", "fd01::2/64")]),
    problems={block(OTHER_BLOCK, "")[0], keys.node("host2")},
)


# --- policies ----------------------------------------------------------------------------------------------------------

NAMESPACE = "projectcalico.org/namespace"
WEB = "app == 'web'"
DB = f"({NAMESPACE} == 'default') && (app == 'db')"
A_WEB = endpoint("a1", "10.0.0.1/32", labels={"app": "web"})
A_DB = endpoint("a2", "10.0.1.2/32", node="host2", labels={"app": "db"})
SEE_DB = policy("default.web", WEB, allow("app == 'db'"))


def key_of(text) -> str:
    """A policy's datastore key: "default/web", or "web" for a global one."""
    namespace, _, name = text.rpartition("/")
    return KINDS["NetworkPolicy" if namespace else "GlobalNetworkPolicy"].key(name, namespace)


POLICY = State(
    "policy that selects an endpoint here",
    dict([A_WEB, A_DB, SEE_DB]),
    members={DB: {"10.0.1.2"}},
    policies={"default/default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default/default.web!"},
)
POLICY_ELSEWHERE = State(
    "policy that selects nothing here",
    dict([endpoint("a1", "10.0.0.1/32", labels={"app": "x"}), A_DB, SEE_DB]),
    endpoints={"a1": ()},
)
POLICY_INHERITED = State(
    "endpoint that inherits what the policy selects by",
    dict([profile("w", labels={"app": "web"}), endpoint("a1", "10.0.0.1/32", profiles=["w"]), A_DB, SEE_DB]),
    members={DB: {"10.0.1.2"}},
    rules={"w"},
    policies={"default/default.web"},
    endpoints={"a1": ("w",)},
    lists={"a1 ingress": "default=default/default.web!"},
)
TIER_MISSING = State(
    "policy whose tier is missing",
    dict([A_WEB, policy("t.web", WEB, allow("app == 'db'"), tier="t")]),
    members={DB: set()},
    policies={"default/t.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "t=default/t.web!"},
    problems={key_of("default/t.web")},
)
TIER_CHANGED = State(
    "the same policy in another tier",
    dict([A_WEB, policy("t.web", WEB, allow("app == 'db'"))]),
    members={DB: set()},
    policies={"default/t.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default/t.web!"},
)
ORDERED = State(
    "tiers and policies in order",
    dict(
        [
            A_WEB,
            A_DB,
            tier("t", 10, "Pass"),
            tier("s", 20),
            policy("t.last", WEB, allow(), tier="t"),
            policy("t.first", "", allow(), namespace="", tier="t", order=5, egress=[allow()]),
            policy("t.other", "app == 'db'", allow(), namespace="", tier="t", order=1),
            policy("s.only", WEB, allow(), tier="s", order=1, types=["Egress"]),
            policy("default.b", WEB, allow(), namespace=""),
            policy("default.a", WEB, allow(), namespace=""),
        ]
    ),
    policies={"default/t.last", "t.first", "default/s.only", "default.a", "default.b"},
    endpoints={"a1": ()},
    lists={
        "a1 ingress": "t=t.first,default/t.last default=default.a,default.b!",
        "a1 egress": "t=t.first s=default/s.only!",
    },
)
REORDERED = State(
    "the same in other order, and another end",
    dict(
        [
            A_WEB,
            A_DB,
            tier("t"),
            tier("s", 20, "Pass"),
            policy("t.last", WEB, allow(), tier="t", order=1),
            policy("t.first", "", allow(), namespace="", tier="t", order=5, egress=[allow()], types=["Egress"]),
            policy("s.only", WEB, allow(), tier="s", order=1, types=["Egress"]),
            policy("default.b", WEB, allow(), namespace="", order=3),
            policy("default.a", WEB, allow(), namespace=""),
            tier("default", 1, "Pass"),  # is what it is, whatever somebody says
        ]
    ),
    policies={"default/t.last", "t.first", "default/s.only", "default.a", "default.b"},
    endpoints={"a1": ()},
    lists={
        "a1 ingress": "default=default.b,default.a! t=default/t.last!",
        "a1 egress": "s=default/s.only t=t.first!",
    },
)
BAD_POLICIES = State(
    "policies that cannot be in force, and a rule that cannot",
    dict(
        [
            A_WEB,
            policy("default.syntax", "app =="),
            (key_of("default/default.junk"), b"[]"),
            policy("default.http", "", allow(http={}), namespace=""),
        ]
    ),
    policies={"default.http"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.http!"},
    problems={key_of("default/default.syntax"), key_of("default/default.junk"), key_of("default.http")},
)

OUTSIDE = "role == 'outside'"
NETWORK_SETS = State(
    "network sets",
    dict(
        [
            A_WEB,
            policy("default.web", WEB, allow(OUTSIDE), namespace="", egress=[allow("team == 'x'")]),
            network_set("o", "192.0.2.0/24", "192.0.2.7/32", "fd00::/8", labels={"role": "outside"}, namespace=""),
            network_set("o", "198.51.100.0/24", "192.0.2.7/32", "nonsense", labels={"role": "outside"}),
            network_set("x", "203.0.113.0/24"),
            profile("kns.default", labels={"team": "x"}),
        ]
    ),
    members={
        OUTSIDE: {"192.0.2.0/24", "192.0.2.7", "fd00::/8", "198.51.100.0/24"},
        "team == 'x'": {"198.51.100.0/24", "192.0.2.7", "203.0.113.0/24"},
    },
    policies={"default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.web!", "a1 egress": "default=default.web!"},
    problems={KINDS["NetworkSet"].key("o", "default")},
)
FEWER_NETS = State(
    "network sets with fewer and other members",
    dict(
        [
            A_WEB,
            policy("default.web", WEB, allow(OUTSIDE), namespace=""),
            network_set("o", "192.0.2.7/32", labels={"role": "outside"}, namespace=""),
            network_set("o", "192.0.2.0/25", labels={"role": "outside"}),
        ]
    ),
    members={OUTSIDE: {"192.0.2.7", "192.0.2.0/25"}},
    policies={"default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.web!"},
)

HTTP = [{"name": "http", "protocol": "TCP", "port": 80}]
BY_NAME = allow(protocol="TCP", destination={"ports": ["http", 99]})
NAMED_PORTS = State(
    "named ports",
    dict(
        [
            endpoint("a1", "10.0.0.1/32", "fd00::1", labels={"app": "web"}, ports=HTTP),
            endpoint("a2", "10.0.1.2/32", node="host2", labels={"app": "db"}, ports=[*HTTP, {**HTTP[0], "port": 81}]),
            endpoint("a3", "10.0.1.3/32", node="host2", ports=[{**HTTP[0], "protocol": "UDP"}]),
            policy(
                "default.web",
                WEB,
                BY_NAME,
                namespace="",
                egress=[
                    {"action": "Deny", "destination": {"selector": "app == 'db'", "notPorts": ["http"]}},
                    {"action": "Allow", "protocol": "UDP", "destination": {"ports": ["http"]}},
                ],
            ),
        ]
    ),
    members={"app == 'db'": {"10.0.1.2"}},
    ports={
        ("all()", 6, "http"): {"10.0.0.1:80", "fd00::1:80", "10.0.1.2:80", "10.0.1.2:81"},
        ("all()", 17, "http"): {"10.0.1.3:80"},
        ("app == 'db'", 6, "http"): {"10.0.1.2:80", "10.0.1.2:81"},
    },
    policies={"default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.web!", "a1 egress": "default=default.web!"},
)
OTHER_PORTS = State(
    "named ports elsewhere, on the same addresses",
    dict(
        [
            endpoint("a1", "10.0.0.1/32", labels={"app": "web"}, ports=[{**HTTP[0], "port": 8080}]),
            endpoint("a2", "10.0.1.2/32", node="host2", labels={"app": "db"}),
            policy("default.web", WEB, BY_NAME, namespace=""),
        ]
    ),
    ports={("all()", 6, "http"): {"10.0.0.1:8080"}},
    policies={"default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.web!"},
)

ON_HOST = "has(host)"
HOST_POLICIES = [
    policy("default.h", ON_HOST, allow(), namespace="", egress=[allow()]),
    policy("default.f", ON_HOST, allow(), namespace="", order=1, applyOnForward=True),
    policy("default.u", ON_HOST, allow(), namespace="", egress=[allow()], applyOnForward=True, doNotTrack=True),
    policy("default.p", ON_HOST, allow(), namespace="", applyOnForward=True, preDNAT=True),
]
HOST_ENDPOINT = State(
    "host endpoint",
    dict([*HOST_POLICIES, host_endpoint("h", "eth0", labels={"host": "1"})]),
    policies={"default.h", "default.f", "default.u", "default.p"},
    lists={
        "eth0 ingress": "default=default.f,default.h!",
        "eth0 egress": "default=default.h!",
        "eth0 forward_ingress": "default=default.f!",
        "eth0 untracked_ingress": "default=default.u",
        "eth0 untracked_egress": "default=default.u",
        "eth0 pre_dnat": "default=default.p",
    },
)
EVERY_INTERFACE = State(
    "host endpoint for every interface, and others",
    dict(
        [
            *HOST_POLICIES,
            node("host1", eth1="192.168.0.9/24", eth2="192.168.1.9"),
            host_endpoint("a", "", "192.168.0.9", "192.168.1.9"),
            host_endpoint("b", "eth1"),  # the first by name is in force
            host_endpoint("c", "oci7"),  # a workload's by its name
            host_endpoint("h", "*", labels={"host": "1"}),
            host_endpoint("i", "eth0", node="host2", labels={"host": "1"}),
        ]
    ),
    policies={"default.h", "default.f", "default.u", "default.p"},
    lists={
        "eth1": "",
        "eth2": "",
        "* ingress": "default=default.f,default.h!",
        "* egress": "default=default.h!",
        "* forward_ingress": "default=default.f!",
        "* pre_dnat": "default=default.p",
    },
    problems={KINDS["HostEndpoint"].key("h")},
)
HOST_MEMBERS = State(
    "host endpoints are peers by their addresses",
    dict(
        [
            A_WEB,
            policy("default.web", WEB, allow(ON_HOST), namespace=""),
            host_endpoint("h", "eth0", labels={"host": "1"}),
            host_endpoint("i", "eth0", "192.168.0.2", node="host2", labels={"host": "1"}),
            host_endpoint("j", "eth1", "nonsense", node="host2", labels={"host": "1"}),
        ]
    ),
    members={ON_HOST: {"192.168.0.2"}},
    policies={"default.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=default.web!", "eth0": ""},
    problems={KINDS["HostEndpoint"].key("j")},
)

ETH9 = host_endpoint("h", "eth9")
OWN_INTERFACE = State("host endpoint of an interface", dict([ETH9]), lists={"eth9": ""})
WORKLOADS_INTERFACE = State(
    "workload with that interface",
    dict([ETH9, endpoint("a1", "10.0.0.1/32", interface="eth9")]),
    endpoints={"a1": ()},
)
WORKLOADS_PREFIX = State("interface named as those of workloads", dict([ETH9, configuration(interfacePrefix="x,eth")]))

SPOOFING = [A_WEB, endpoint("b1", "10.0.0.8/32", allowSpoofedSourcePrefixes=["10.9.0.0/16"])]
SPOOFING_REFUSED = State(
    "spoofing that is not configured",
    dict([*SPOOFING, configuration("node.host2", workloadSourceSpoofing="Any")]),
    endpoints={"a1": ()},
    problems={keys.workload("default", "b1")},
)
SPOOFING_ALLOWED = State(
    "spoofing that is configured for this host",
    dict(
        [
            *SPOOFING,
            configuration("node.host1", workloadSourceSpoofing="Any"),
            configuration(workloadSourceSpoofing="Disabled"),
            configuration("other"),
        ]
    ),
    endpoints={"a1": (), "b1": ()},
    problems={KINDS["FelixConfiguration"].key("other")},
)
BAD_SETTINGS = State(
    "settings that cannot be used",
    dict([*SPOOFING, configuration(failsafeInboundHostPorts=[{"protocol": "junk", "port": 1}])]),
    endpoints={"a1": ()},
    problems={keys.workload("default", "b1"), KINDS["FelixConfiguration"].key("default")},
)
SAME_INTERFACE = State(
    "two endpoints on one interface",
    dict(
        [
            endpoint("b", "10.0.0.1/32", interface="oci1", namespace="a"),
            endpoint("a", "10.0.0.2/32", interface="oci1", namespace="a-b"),
        ]
    ),
    endpoints={"a/b": ()},
    problems={keys.workload("a-b", "a")},
)
SECOND_REMAINS = State(
    "the second of two on one interface remains",
    dict(
        [
            endpoint("b", "10.0.0.1/32", interface="oci2", namespace="a"),
            endpoint("a", "10.0.0.2/32", interface="oci1", namespace="a-b"),
        ]
    ),
    endpoints={"a/b": (), "a-b/a": ()},
)
DEFAULT_ALLOW = State(
    "the profile that always is",
    dict(
        [
            endpoint("a1", "10.0.0.1/32", profiles=["projectcalico-default-allow"]),
            profile("projectcalico-default-allow", {"action": "Deny"}),
        ]
    ),
    rules={"projectcalico-default-allow"},
    endpoints={"a1": ("projectcalico-default-allow",)},
)

SEQUENCES: dict[str, list[State]] = {
    "life of a group": [EMPTY, PROFILE_ONLY, REMOTE_ONLY, GROUP, LOCAL_ONLY, EMPTY],
    "profile comes, breaks and goes": [
        GROUP,
        MISSING_PROFILE,
        GROUP,
        MALFORMED_PROFILE,
        MISSING_PROFILE,
        MALFORMED_PROFILE,
        GROUP,
    ],
    "labels change": [GROUP, TWO_GROUPS, OWN_LABEL, RELABELLED, GROUP, OWN_LABEL, TWO_GROUPS],
    "sets are shared": [GROUP, SHARED_SELECTOR, TWO_GROUPS, SHARED_SELECTOR, LOCAL_ONLY],
    "addresses move": [GROUP, RENUMBERED, SAME_ADDRESS, GROUP, SAME_ADDRESS, LOCAL_ONLY, RENUMBERED, MOVED, GROUP],
    "bad objects": [GROUP, BAD_ENDPOINTS, BAD_RULE, GROUP, BAD_RULE, MALFORMED_PROFILE, BAD_ENDPOINTS, EMPTY],
    "kinds of selectors": [GROUP, MANY_SELECTORS, EMPTY, MANY_SELECTORS, TWO_GROUPS],
    "routes": [BLOCKS_ONLY, ROUTES, NODE_MOVED, BLOCKS_SWAPPED, ROUTES, BLOCKS_GOING, BLOCKS_ONLY, BLOCKS_SWAPPED],
    "life of a policy": [POLICY_ELSEWHERE, POLICY, POLICY_INHERITED, POLICY, EMPTY, POLICY, POLICY_ELSEWHERE],
    "tiers": [TIER_MISSING, TIER_CHANGED, TIER_MISSING, ORDERED, REORDERED, POLICY, ORDERED, TIER_MISSING, REORDERED],
    "bad policies": [POLICY, BAD_POLICIES, ORDERED, BAD_POLICIES],
    "network sets": [NETWORK_SETS, FEWER_NETS, POLICY, FEWER_NETS, NETWORK_SETS],
    "named ports": [NAMED_PORTS, OTHER_PORTS, POLICY, NAMED_PORTS],
    "host endpoints": [HOST_ENDPOINT, EVERY_INTERFACE, HOST_MEMBERS, HOST_ENDPOINT, EMPTY, EVERY_INTERFACE],
    "whose interface": [OWN_INTERFACE, WORKLOADS_INTERFACE, OWN_INTERFACE, WORKLOADS_PREFIX, WORKLOADS_INTERFACE],
    "settings": [SPOOFING_REFUSED, SPOOFING_ALLOWED, BAD_SETTINGS, SPOOFING_ALLOWED, SPOOFING_REFUSED],
    "interfaces of workloads": [SAME_INTERFACE, SECOND_REMAINS, SAME_INTERFACE, DEFAULT_ALLOW],
    "policies, all of it": [POLICY, HOST_MEMBERS, NAMED_PORTS, GROUP, NETWORK_SETS, ORDERED, EVERY_INTERFACE],
    "all of it": [ROUTES, GROUP, BLOCKS_SWAPPED, TWO_GROUPS, BAD_RULE, NODE_MOVED, MOVED],
}
