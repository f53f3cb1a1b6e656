"""Random histories: after every flush the dataplane holds what the present content asks for, and nothing a value holds raises."""

from __future__ import annotations

from calc_mock import MockDataplane
from calc_naive import picture_of
from calc_world import HOST, allow, block, endpoint, node, profile
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.calc import Graph
from ocicat.model import keys

FLUSH = ("", None)
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
]

names = st.sampled_from(["a", "b", "c"])
hosts = st.sampled_from([HOST, "host2", "host3"])
labels = st.dictionaries(st.sampled_from(["group", "role"]), st.sampled_from(["a", "b", "x"]), max_size=2)
addresses = st.lists(st.sampled_from(["10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "10.0.0.0/24"]), max_size=2)
rules = st.lists(st.builds(allow, st.sampled_from(SELECTORS), ipVersion=st.sampled_from([None, 4, 5])), max_size=3)
endpoints = st.builds(
    lambda name, addresses, **fields: endpoint(name, *addresses, **fields),
    st.sampled_from(["e1", "e2", "e3", "e4"]),
    addresses,
    node=hosts,
    profiles=st.lists(names, max_size=3),
    labels=labels,
)
profiles = st.builds(
    lambda name, rules, **fields: profile(name, *rules, **fields), names, rules, egress=rules, labels=labels
)
nodes = st.builds(
    node, hosts, st.sampled_from(["", "192.168.0.1/24", "192.168.0.2", "x"]), st.sampled_from(["", "fd01::1"])
)
blocks = st.builds(
    block,
    st.sampled_from(["10.0.0.0/26", "10.0.0.64/26", "fd00::/122"]),
    st.one_of(st.none(), hosts),
    deleted=st.booleans(),
)

puts = st.one_of(endpoints, profiles, nodes, blocks)
deletes = puts.map(lambda put: (put[0], None))
garbage = st.tuples(puts, st.binary(max_size=8)).map(lambda pair: (pair[0][0], pair[1]))
truncated = st.tuples(puts, st.integers(0, 200)).map(lambda pair: (pair[0][0], pair[0][1][: pair[1]]))
histories = st.lists(
    st.one_of(puts, puts, endpoints, profiles, deletes, garbage, truncated, st.just(FLUSH)), max_size=40
)


@settings(max_examples=250, deadline=None)
@given(histories)
def test_any_history_ends_in_the_picture_of_its_content(history):
    graph, dataplane, content = Graph(HOST), MockDataplane(), {}
    graph.in_sync()
    for revision, (key, value) in enumerate([*history, FLUSH], start=1):
        if not key:
            dataplane.apply(graph.flush(revision))
            assert (dataplane.picture, graph.problems().keys()) == picture_of(content)
        else:
            graph.update(key, value)
            content = {known: held for known, held in {**content, key: value}.items() if held is not None}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([keys.WORKLOADS, keys.PROFILES, keys.NODES, keys.BLOCKS]), st.text(max_size=20), st.binary())
def test_no_key_and_no_bytes_raise(prefix, rest, value):
    graph = Graph(HOST)
    graph.update(prefix + rest, value)
    assert graph.problems().keys() <= {prefix + rest}
    graph.update(prefix + rest, None)
    assert graph.problems() == {}
