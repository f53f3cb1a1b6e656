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
    pool,
    profile,
    tier,
)

from ocicat.model import keys
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import Limits


@dataclass(frozen=True)
class State:
    """What is asked for, in few words. `members` by selector text; `ports`: by selector text, protocol and name, as
    "address:port"; `rules`: profiles sent; `policies`: those sent; `endpoints`: name -> profiles; `lists`: name or interface, and
    list -> its tiers as "tier=policy,policy!" where "!" says that the rest is dropped; `routes`: cidr -> gateway or "local";
    `translated`: "protocol:host address:host port" or a floating address -> where it leads; `outgoing`: sources, what is inside
    with a "!" each, and the rest; `limits`: name -> to it, from it, DSCP.
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
    translated: dict[str, str] = field(default_factory=dict)
    outgoing: str = ""
    limits: dict[str, tuple[Limits, Limits, int | None]] = field(default_factory=dict)

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
BORROWED = State(
    "addresses of our block on another host and of another's here, of one without a host anywhere, beside a block of one",
    dict(
        [
            block(OWN_BLOCK, "host1", used=["host1", "host2", "", "host3", "host2"]),
            block(OTHER_BLOCK, "host2", used=["host1", "host2"]),
            block(OTHER_BLOCK6, None, used=["host2", "host1", ""]),
            block("10.0.0.4/32", "host1"),
            NODE2,
        ]
    ),
    routes={
        OWN_BLOCK: "local",
        OTHER_BLOCK: "192.168.0.2",
        "10.0.0.1/32": "192.168.0.2",
        "fd00:0:0:1::/128": "fd01::2",
        "10.0.0.4/32": "192.168.0.2",
    },
)
GIVEN_BACK = State(
    "a borrowed address given back, another one moved on",
    dict([block(OWN_BLOCK, "host1", used=["host2", "host1"]), NODE2]),
    routes={OWN_BLOCK: "local", "10.0.0.0/32": "192.168.0.2"},
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
    """A policy's datastore key: "default/web", or "web" for a global one; "?web" for a staged one."""
    namespace, _, name = text.lstrip("?").rpartition("/")
    kind = "NetworkPolicy" if namespace else "GlobalNetworkPolicy"
    return KINDS[f"Staged{kind}" if text.startswith("?") else kind].key(name, namespace)


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
STAGED = State(
    "staged policies at their places, alone in a tier and beside others",
    dict(
        [
            A_WEB,
            A_DB,
            tier("t", 10),
            policy("t.only", WEB, allow("app == 'db'"), tier="t", staged="Set"),
            policy("default.b", WEB, allow(), order=2),
            policy("default.b", WEB, allow(), order=1, staged="Learn"),
            policy("default.c", WEB, allow(), namespace="", staged="Set", types=["Egress"]),
            policy("default.d", WEB, allow(), staged="Ignore"),
            policy("default.b", namespace="", staged="Delete"),
        ]
    ),
    members={DB: {"10.0.1.2"}},
    policies={"?default/t.only", "default/default.b", "?default/default.b", "?default.c"},
    endpoints={"a1": ()},
    lists={
        "a1 ingress": "t=?default/t.only default=?default/default.b,default/default.b!",
        "a1 egress": "default=?default.c",
    },
)
IN_FORCE = State(
    "the same in force",
    dict(
        [
            A_WEB,
            A_DB,
            tier("t", 10),
            policy("t.only", WEB, allow("app == 'db'"), tier="t"),
            policy("default.b", WEB, allow(), order=1),
            policy("default.c", WEB, allow(), namespace="", types=["Egress"]),
        ]
    ),
    members={DB: {"10.0.1.2"}},
    policies={"default/t.only", "default/default.b", "default.c"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "t=default/t.only! default=default/default.b!", "a1 egress": "default=default.c!"},
)
BAD_STAGED = State(
    "staged policies that cannot be asked, a rule that would deny, and a tier that is missing",
    dict(
        [
            A_WEB,
            policy("default.syntax", "app ==", staged="Set"),
            policy("default.gone", "app ==", staged="Delete"),
            policy("default.http", "", allow(http={}), namespace="", staged="Set"),
            policy("t.web", WEB, allow(), tier="t", staged="Set"),
        ]
    ),
    policies={"?default.http", "?default/t.web"},
    endpoints={"a1": ()},
    lists={"a1 ingress": "default=?default.http t=?default/t.web"},
    problems={key_of("?default/default.syntax"), key_of("?default.http"), key_of("?default/t.web")},
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

# --- translation ---------------------------------------------------------------------------------------------------------


def mapped(port, host_port, host="", protocol="TCP"):
    return {"port": port, "hostPort": host_port, "hostIP": host, "protocol": protocol}


def floats(inside, outside):
    return {"internalIP": inside, "externalIP": outside}


FLOATING_ON = configuration(floatingIPs="Enabled")
NAMED = {"name": "http", "port": 8000, "protocol": "TCP"}
WEB_1 = endpoint("w1", "10.0.0.1/32", ports=[NAMED, mapped(80, 8080)], ipNATs=[floats("10.0.0.1", "192.0.2.1")])
MAPPED = State(
    "a port of the host, and a floating address that does not count",
    dict([WEB_1]),
    endpoints={"w1": ()},
    translated={"6::8080": "10.0.0.1:80"},
)
FLOATING = State(
    "floating addresses count",
    dict([WEB_1, FLOATING_ON]),
    endpoints={"w1": ()},
    translated={"6::8080": "10.0.0.1:80", "192.0.2.1": "10.0.0.1"},
)
CLAIMED_TWICE = State(
    "two endpoints claim the same, the first by key has it",
    dict(
        [
            WEB_1,
            FLOATING_ON,
            endpoint(
                "w2",
                "10.0.0.2/32",
                ports=[mapped(81, 8080, "192.168.0.1"), mapped(81, 8080, protocol="UDP")],
                ipNATs=[floats("10.0.0.2", "192.0.2.1")],
            ),
        ]
    ),
    endpoints={"w1": (), "w2": ()},
    translated={"6::8080": "10.0.0.1:80", "17::8080": "10.0.0.2:81", "192.0.2.1": "10.0.0.1"},
    problems={keys.workload("default", "w2")},
)
SECOND_HAS_IT = State(
    "the first is gone, and the second claims a port of one address, a third of another",
    dict(
        [
            FLOATING_ON,
            endpoint(
                "w2", "10.0.0.2/32", ports=[mapped(81, 8080, "192.168.0.1")], ipNATs=[floats("10.0.0.2", "192.0.2.1")]
            ),
            endpoint("w3", "10.0.0.3/32", ports=[mapped(82, 8080, "192.168.0.2"), mapped(83, 8080, "0.0.0.0")]),
        ]
    ),
    endpoints={"w2": (), "w3": ()},
    translated={"6:192.168.0.1:8080": "10.0.0.2:81", "6:192.168.0.2:8080": "10.0.0.3:82", "192.0.2.1": "10.0.0.2"},
    problems={keys.workload("default", "w3")},
)
FLOATING_ELSEWHERE = State(
    "floating addresses of another host, one claimed there twice, one claimed here too but later by key, one a block",
    dict(
        [
            WEB_1,
            FLOATING_ON,
            NODE2,
            block("192.0.2.3/32", "host1"),
            endpoint(
                "w0",
                "10.0.1.1/32",
                "fd00::1/128",
                node="host2",
                ipNATs=[floats("10.0.1.1", "192.0.2.1"), floats("10.0.1.1", "192.0.2.3"), floats("fd00::1", "fd99::1")],
            ),
            endpoint("w9", "10.0.1.9/32", node="host2", ipNATs=[floats("10.0.1.9", "192.0.2.2")]),
            endpoint("w8", "10.0.1.8/32", node="host3", ipNATs=[floats("10.0.1.8", "192.0.2.2")]),
        ]
    ),
    endpoints={"w1": ()},
    translated={"6::8080": "10.0.0.1:80"},
    routes={"192.0.2.1/32": "192.168.0.2", "192.0.2.3/32": "local", "fd99::1/128": "fd01::2"},
    problems={keys.workload("default", "w1")},
)
FLOATING_MOVED = State(
    "a floating address that has moved here, one whose first claimant is gone, one whose block is gone",
    dict(
        [
            WEB_1,
            FLOATING_ON,
            NODE2,
            endpoint("w0", "10.0.1.1/32", node="host2", ipNATs=[floats("10.0.1.1", "192.0.2.3")]),
            endpoint("w9", "10.0.1.9/32", node="host2", ipNATs=[floats("10.0.1.9", "192.0.2.2")]),
        ]
    ),
    endpoints={"w1": ()},
    translated={"6::8080": "10.0.0.1:80", "192.0.2.1": "10.0.0.1"},
    routes={"192.0.2.2/32": "192.168.0.2", "192.0.2.3/32": "192.168.0.2"},
)
COVETOUS = endpoint(
    "w1",
    "10.0.0.1/32",
    ipNATs=[floats("10.0.0.1", one) for one in ("192.168.0.2", "10.0.1.1", "10.0.0.1", "192.0.2.4")],
)
FLOATING_TAKEN = State(
    "floating addresses that are a host's own, a workload's own on another host, and its own",
    dict(
        [
            FLOATING_ON,
            NODE2,
            COVETOUS,
            endpoint("w0", "10.0.1.1/32", node="host2", ipNATs=[floats("10.0.1.9", "192.0.2.4")]),
        ]
    ),
    endpoints={"w1": ()},
    translated={"10.0.0.1": "10.0.0.1", "192.0.2.4": "10.0.0.1"},
    problems={keys.workload("default", "w1")},
)
FLOATING_FREED = State(
    "floating addresses that are nobody's own any more",
    dict([FLOATING_ON, COVETOUS]),
    endpoints={"w1": ()},
    translated=dict.fromkeys(["192.168.0.2", "10.0.1.1", "10.0.0.1", "192.0.2.4"], "10.0.0.1"),
)
BAD_TRANSLATIONS = State(
    "what cannot be translated is passed over",
    dict(
        [
            FLOATING_ON,
            endpoint(
                "w1",
                "10.0.0.1/32",
                ports=[mapped(80, 8080, "fd00::1"), mapped(80, 8081, protocol="ICMP"), mapped(80, 8082)],
                ipNATs=[
                    floats("10.0.0.9", "192.0.2.1"),
                    floats("10.0.0.1", "127.0.0.1"),
                    floats("10.0.0.1", "224.0.0.1"),
                ],
            ),
        ]
    ),
    endpoints={"w1": ()},
    translated={"6::8082": "10.0.0.1:80"},
    problems={keys.workload("default", "w1")},
)
INTERFACE_LOST = State(
    "who is not in force claims nothing",
    dict([endpoint("v1", "10.0.0.9/32", interface="ociw1"), WEB_1, FLOATING_ON]),
    endpoints={"v1": ()},
    problems={keys.workload("default", "w1")},
)
POOL, POOL_6 = pool("p1", "10.0.0.0/16", natOutgoing=True), pool("p6", "fd00::/48", natOutgoing=True, disabled=True)
POOLS = State(
    "pools, one of them without translation, one disabled",
    dict([POOL, POOL_6, pool("p2", "10.1.0.0/16"), NODE2]),
    outgoing="10.0.0.0/16,fd00::/48 !10.0.0.0/16 !10.1.0.0/16 !fd00::/48",
)
NO_TRANSLATION = State("no pool with translation", dict([pool("p1", "10.0.0.0/16"), NODE2]), outgoing=" !10.0.0.0/16")
POOLS_AND_HOSTS = State(
    "hosts are spared, and how to leave is said",
    dict(
        [
            POOL,
            NODE2,
            configuration(natOutgoingExclusions="IPPoolsAndHostIPs", natPortRange="5000:6000"),
            configuration("node.host1", natOutgoingAddress="192.168.0.1", iptablesNATOutgoingInterfaceFilter="eth+"),
        ]
    ),
    outgoing="10.0.0.0/16 !10.0.0.0/16 !192.168.0.2/32 !fd01::2/128 (5000, 6000) 192.168.0.1 eth*",
)
BAD_NAT_SETTINGS = State(
    "settings that cannot be used, and a pool",
    dict(
        [
            POOL,
            (pool("p2", "")[0], b"{}"),
            configuration(natOutgoingExclusions="x", natPortRange="http", natOutgoingAddress="fd00::1"),
        ]
    ),
    outgoing="10.0.0.0/16 !10.0.0.0/16",
    problems={configuration()[0], pool("p2", "")[0]},
)
LIMITED = State(
    "limits in both directions, and a mark",
    dict(
        [
            endpoint(
                "w1",
                "10.0.0.1/32",
                qosControls={
                    "ingressBandwidth": 10_000_000,
                    "ingressBurst": 1_000_000,
                    "ingressPeakrate": 20_000_000,
                    "ingressMinburst": 3000,
                    "egressPacketRate": 100,
                    "egressPacketBurst": 10,
                    "egressMaxConnections": 7,
                    "dscp": "ef",
                },
            ),
            endpoint("w2", "10.0.0.2/32", node="host2", qosControls={"ingressBurst": 1_000_000}),
        ]
    ),
    endpoints={"w1": ()},
    limits={
        "w1": (
            Limits(10_000_000, 1_000_000, 20_000_000, 3000),
            Limits(packets_s=100, burst_packets=10, connections=7),
            46,
        )
    },
)
OTHER_LIMITS = State(
    "limits that are left of some that cannot be had",
    dict(
        [
            endpoint(
                "w1",
                "10.0.0.1/32",
                qosControls={
                    "ingressBandwidth": 10_000_000,
                    "ingressPeakrate": 10_000_000,
                    "egressBandwidth": 7,
                    "egressPacketRate": 100,
                    "dscp": 64,
                },
            )
        ]
    ),
    endpoints={"w1": ()},
    limits={"w1": (Limits(10_000_000), Limits(packets_s=100), None)},
    problems={endpoint("w1")[0]},
)
UNLIMITED = State("no limits", dict([endpoint("w1", "10.0.0.1/32")]), endpoints={"w1": ()})

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
    "borrowed addresses": [ROUTES, BORROWED, GIVEN_BACK, BORROWED, BLOCKS_SWAPPED, BORROWED, BLOCKS_GOING, GIVEN_BACK],
    "life of a policy": [POLICY_ELSEWHERE, POLICY, POLICY_INHERITED, POLICY, EMPTY, POLICY, POLICY_ELSEWHERE],
    "tiers": [TIER_MISSING, TIER_CHANGED, TIER_MISSING, ORDERED, REORDERED, POLICY, ORDERED, TIER_MISSING, REORDERED],
    "staged policies": [STAGED, IN_FORCE, POLICY, STAGED, BAD_STAGED, STAGED, EMPTY],
    "bad policies": [POLICY, BAD_POLICIES, ORDERED, BAD_POLICIES],
    "network sets": [NETWORK_SETS, FEWER_NETS, POLICY, FEWER_NETS, NETWORK_SETS],
    "named ports": [NAMED_PORTS, OTHER_PORTS, POLICY, NAMED_PORTS],
    "host endpoints": [HOST_ENDPOINT, EVERY_INTERFACE, HOST_MEMBERS, HOST_ENDPOINT, EMPTY, EVERY_INTERFACE],
    "whose interface": [OWN_INTERFACE, WORKLOADS_INTERFACE, OWN_INTERFACE, WORKLOADS_PREFIX, WORKLOADS_INTERFACE],
    "settings": [SPOOFING_REFUSED, SPOOFING_ALLOWED, BAD_SETTINGS, SPOOFING_ALLOWED, SPOOFING_REFUSED],
    "interfaces of workloads": [SAME_INTERFACE, SECOND_REMAINS, SAME_INTERFACE, DEFAULT_ALLOW],
    "translation": [
        MAPPED,
        FLOATING,
        CLAIMED_TWICE,
        SECOND_HAS_IT,
        INTERFACE_LOST,
        CLAIMED_TWICE,
        BAD_TRANSLATIONS,
        MAPPED,
    ],
    "who claims what": [CLAIMED_TWICE, FLOATING, SECOND_HAS_IT, CLAIMED_TWICE, INTERFACE_LOST, FLOATING, EMPTY],
    "floating addresses elsewhere": [
        FLOATING_ELSEWHERE,
        FLOATING_MOVED,
        FLOATING,
        FLOATING_MOVED,
        FLOATING_ELSEWHERE,
        MAPPED,
        FLOATING_ELSEWHERE,
        FLOATING_TAKEN,
        FLOATING_FREED,
        FLOATING_TAKEN,
        FLOATING,
        FLOATING_TAKEN,
        FLOATING_MOVED,
    ],
    "outgoing": [POOLS, NO_TRANSLATION, POOLS_AND_HOSTS, BAD_NAT_SETTINGS, POOLS_AND_HOSTS, POOLS, EMPTY, POOLS],
    "limits": [UNLIMITED, LIMITED, OTHER_LIMITS, LIMITED, UNLIMITED, EMPTY, OTHER_LIMITS],
    "policies, all of it": [POLICY, HOST_MEMBERS, NAMED_PORTS, GROUP, NETWORK_SETS, ORDERED, EVERY_INTERFACE],
    "all of it": [ROUTES, GROUP, BLOCKS_SWAPPED, TWO_GROUPS, BAD_RULE, NODE_MOVED, MOVED],
}
