"""Flow logs on and off, and what the reader is told of the datastore."""

from __future__ import annotations

import pytest

from ocicat.agent.flowlog.control import FlowLog
from ocicat.agent.flowlog.parties import Parties
from ocicat.calc.graph import Graph
from ocicat.calc.records import PeerRecord
from ocicat.model.net import Addr
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import Endpoint, HostEndpoint, HostEndpointGone, PolicyGone, Tier
from ocicat.policy import HostInterface

HEP = KINDS["HostEndpoint"].prefix() + "h1-up0"
POLICY = KINDS["GlobalNetworkPolicy"].prefix() + "sec.base"
OWN = Addr.parse("10.0.0.1")
TIERED = Endpoint("/a", "ocia", (), (), ingress=(Tier("sec", "Deny", (POLICY,)),))
GOVERNED = HostEndpoint(HEP, "up0", forward_egress=(Tier("far", "Deny", (POLICY + "-2",)),))


class FakeGraph(Graph):
    """As much of a graph as is asked."""

    def __init__(self):
        self.interval, self.told = None, None

    def flow_log_interval_s(self):
        return self.interval

    def follow_peers(self, told):
        self.told = told

    def peers(self):
        return iter([(HEP, PeerRecord({"role": "edge"}, (), ()))])


class FakeReader:
    def __init__(self, interval_s, tier_of):
        self.interval_s, self.tier_of = interval_s, tier_of
        self.parties, self.state = Parties(), ""

    def start(self):
        self.state = "runs"

    def stop(self):
        self.state = "stopped"

    def change(self, change):
        change(self.parties)


@pytest.fixture
def made():
    return []


@pytest.fixture
def log(made):
    def make(interval_s, tier_of):
        made.append(FakeReader(interval_s, tier_of))
        return made[-1]

    return FlowLog(make)


@pytest.fixture
def graph():
    return FakeGraph()


def own(reader):
    return reader.parties.find(OWN.pack()).name().name


def test_there_is_no_reader_until_it_is_switched_on_and_none_after(log, graph, made):
    log.follow(graph, ())
    assert made == []
    graph.interval = 10.0
    log.follow(graph, ())
    log.follow(graph, ())
    assert [(one.state, one.interval_s) for one in made] == [("runs", 10.0)]
    graph.interval = 20.0
    log.follow(graph, ())
    assert made[0].interval_s == 20.0
    graph.interval = None
    log.follow(graph, ())
    assert (made[0].state, graph.told) == ("stopped", None)
    graph.interval = 5.0
    log.follow(graph, ())
    assert [one.state for one in made] == ["stopped", "runs"]


def test_a_reader_knows_what_came_before_it(log, graph, made):
    log.interfaces([HostInterface("h1", "up0", (OWN,))])
    log.follow(graph, (TIERED, GOVERNED))
    graph.interval = 10.0
    log.follow(graph, ())
    assert own(made[0]) == "h1-up0"
    assert (made[0].tier_of("gnp/sec.base"), made[0].tier_of("gnp/sec.base-2")) == ("sec", "far")
    assert made[0].parties.find(OWN.pack()).name().labels == ("role=edge",)


def test_a_reader_hears_of_changes(log, graph, made):
    graph.interval = 10.0
    log.follow(graph, (GOVERNED, TIERED))
    log.interfaces([HostInterface("h1", "up0", (OWN,))])
    assert own(made[0]) == "h1-up0"
    log.follow(graph, (HostEndpointGone("up0"), PolicyGone(POLICY)))
    assert (own(made[0]), made[0].tier_of("gnp/sec.base")) == ("pvt", "")
    graph.told(HEP, PeerRecord({}, (), (OWN,)))
    assert own(made[0]) == "h1-up0"
    graph.told(HEP, None)
    assert own(made[0]) == "pvt"


def test_a_policy_that_moves_to_another_tier(log, graph):
    log.follow(graph, (TIERED,))
    log.follow(graph, (Endpoint("/a", "ocia", (), (), egress=(Tier("default", "Deny", (POLICY,)),)),))
    assert log.tier_of("gnp/sec.base") == "default"
