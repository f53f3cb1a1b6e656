"""Constraints and ports: which agents suit a task, and what it gets of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.mesos.matching import first_fit, why_not_placed
from ocicat.mesos.placing import constraint_problem, granted, misfit, settled, without
from ocicat.mesos.types import (
    Constraint,
    Discovery,
    DiscoveryPort,
    HealthCheck,
    HostPort,
    NetworkRequest,
    Offer,
    PortMapping,
    PortRange,
    TaskSpec,
)

H1, H2, H3 = ({"hostname": name, "rack": rack} for name, rack in (("h1", "a"), ("h2", "a"), ("h3", "b")))


@pytest.mark.parametrize(
    ("words", "place", "kin", "fits"),
    [
        (("hostname", "UNIQUE"), H1, [], True),
        (("hostname", "UNIQUE"), H1, [H2, H3], True),
        (("hostname", "UNIQUE"), H1, [H2, H1], False),
        (("rack", "UNIQUE"), H1, [H2], False),
        (("hostname", "CLUSTER", "h1"), H1, [], True),
        (("hostname", "CLUSTER", "h1"), H2, [], False),
        (("rack", "CLUSTER"), H1, [], True),
        (("rack", "CLUSTER"), H1, [H2], True),
        (("rack", "CLUSTER"), H1, [H3], False),
        (("hostname", "LIKE", "h[12]"), H2, [], True),
        (("hostname", "LIKE", "h[12]"), H3, [], False),
        (("hostname", "LIKE", "h"), H1, [], False),
        (("hostname", "UNLIKE", "h[12]"), H3, [], True),
        (("hostname", "UNLIKE", "h[12]"), H1, [], False),
        (("rack", "MAX_PER", "2"), H1, [H1, H3], True),
        (("rack", "MAX_PER", "2"), H1, [H1, H2], False),
        (("rack", "GROUP_BY"), H1, [], True),
        (("rack", "GROUP_BY"), H1, [H1, H3], True),
        (("rack", "GROUP_BY"), H1, [H1, H2, H3], False),
        (("rack", "GROUP_BY", "2"), H2, [H1], False),
        (("rack", "GROUP_BY", "2"), H3, [H1], True),
        (("zone", "UNIQUE"), H1, [], False),
        (("zone", "UNLIKE", "a"), H1, [], True),
    ],
)
def test_a_constraint_means_what_it_means_to_marathon(words, place, kin, fits):
    assert (misfit([Constraint(*words)], place, kin) == "") is fits


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hostname", "NEAR"), "'NEAR' is no operator"),
        (("hostname", "LIKE", "("), "'(' is none"),
        (("hostname", "LIKE"), "takes a regular expression"),
        (("hostname", "MAX_PER"), "takes a number"),
        (("hostname", "MAX_PER", "0"), "takes a number"),
        (("hostname", "GROUP_BY", "x"), "takes a number"),
    ],
)
def test_a_constraint_that_says_nothing_is_named(words, said):
    assert said in constraint_problem(Constraint(*words))


def offer(host, ports=(), disk_mb=0.0):
    return Offer(f"o-{host}", f"s-{host}", host, "*", 4, 1024, disk_mb, tuple(PortRange(*pair) for pair in ports))


def test_instances_that_find_a_place_together_count_for_each_other():
    spec = TaskSpec("t", "true", constraints=(Constraint("hostname", "UNIQUE"),), kin="/a")
    other = TaskSpec("t", "true", constraints=(Constraint("hostname", "UNIQUE"),), kin="/b")
    tasks = [("1", spec), ("2", spec), ("3", spec), ("x", other)]
    matched = first_fit(tasks, [offer("h1"), offer("h2"), offer("h3")], {"/a": [{"hostname": "h2"}]})
    assert matched.placed == {"o-h1": ["1", "x"], "o-h3": ["2"]}
    assert matched.missed["3"]["h2"] == "breaks hostname UNIQUE"
    assert "h2 breaks hostname UNIQUE" in why_not_placed(spec, matched.missed["3"])


def test_disk_is_counted():
    tasks = [("1", TaskSpec("t", "true", disk_mb=60)), ("2", TaskSpec("t", "true", disk_mb=60))]
    matched = first_fit(tasks, [offer("h1", disk_mb=100)])
    assert (matched.placed, matched.missed) == ({"o-h1": ["1"]}, {"2": {"h1": "40 MB of disk"}})
    assert why_not_placed(tasks[1][1], matched.missed["2"]).endswith("and 60 MB of disk, but h1 had 40 MB of disk")


def test_ports_are_given_once():
    wanted = TaskSpec("t", "true", host_ports=(HostPort(0), HostPort(31001)))
    matched = first_fit([("1", wanted), ("2", wanted)], [offer("h1", [(31000, 31005)]), offer("h2", [(31000, 31005)])])
    assert matched.ports == {"1": (31000, 31001), "2": (31000, 31001)}
    assert matched.placed == {"o-h1": ["1"], "o-h2": ["2"]}


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 12).map(HostPort), max_size=5),
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), max_size=3),
)
def test_what_is_granted_was_free_and_as_wanted(wanted, spans):
    free = [PortRange(first, first + more) for first, more in spans]
    numbers = granted(wanted, free)
    there = {number for ports in free for number in ports.numbers()}
    if numbers is None:
        named = [port.number for port in wanted if port.number]
        assert len(wanted) > len(there) or len(named) > len(set(named)) or not set(named) <= there
        return
    assert len(set(numbers)) == len(numbers) == len(wanted)
    assert set(numbers) <= there
    assert all(port.number in (0, number) for port, number in zip(wanted, numbers, strict=True))
    left = {number for ports in without(free, numbers) for number in ports.numbers()}
    assert left == there - set(numbers)


def test_ports_reach_everything_that_names_them():
    spec = TaskSpec(
        "t",
        "true",
        environment={"PORT1": "mine"},
        network=NetworkRequest("n", port_mappings=(PortMapping(0, 80), PortMapping(8443, 0, "udp"))),
        host_ports=(HostPort(0, "http-web"), HostPort(8443)),
        discovery=Discovery(ports=(DiscoveryPort(0, "http-web"), DiscoveryPort(9000))),
        health_check=HealthCheck(kind="TCP", port_index=0),
    )
    done = settled(spec, (31000, 8443), "h1")
    assert done.network.port_mappings == (PortMapping(31000, 80), PortMapping(8443, 8443, "udp"))
    assert done.environment == {
        "HOST": "h1",
        "PORT": "31000",
        "PORTS": "31000,8443",
        "PORT0": "31000",
        "PORT1": "mine",
        "PORT_HTTP_WEB": "31000",
    }
    assert [port.number for port in done.discovery.ports] == [31000, 9000]
    assert done.health_check.port == 31000
    assert [port.number for port in done.host_ports] == [31000, 8443]


def test_without_ports_nothing_changes():
    spec = TaskSpec("t", "true", network=NetworkRequest("n", port_mappings=(PortMapping(80, 80),)))
    assert settled(spec, (), "h1") is spec
