"""Named states of the datastore with what they ask of the dataplane, and the sequences that lead through them."""

from __future__ import annotations

from dataclasses import dataclass, field

from calc_world import Content, allow, block, endpoint, node, profile

from ocicat.model import keys


@dataclass(frozen=True)
class State:
    """`members` by selector text, `rules`: profiles sent, `endpoints`: name -> profiles, `routes`: cidr -> gateway or "local"."""

    name: str
    content: Content
    members: dict[str, set[str]] = field(default_factory=dict)
    rules: set[str] = field(default_factory=set)
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
    "all of it": [ROUTES, GROUP, BLOCKS_SWAPPED, TWO_GROUPS, BAD_RULE, NODE_MOVED, MOVED],
}
