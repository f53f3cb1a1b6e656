"""When flows are logged, and how often; and what of the settings is told as not kept to."""

from __future__ import annotations

import json

import pytest

from ocicat.calc.configuration import CONFIGURATIONS
from ocicat.calc.flow_log_settings import interval_s, problems
from ocicat.calc.graph import Graph
from ocicat.calc.records import PeerRecord
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import HostSettings


def spec(**fields):
    return FelixConfigurationSpec(**fields)


ON, OFF = spec(flow_logs_local_reporter="Enabled"), spec(flow_logs_local_reporter="Disabled")


def every(text):
    return spec(flow_logs_local_reporter="Enabled", flow_logs_flush_interval=text)


@pytest.mark.parametrize(
    ("specs", "found"),
    [
        ([], None),
        ([spec()], None),
        ([OFF], None),
        ([ON], 300.0),
        ([OFF, ON], None),
        ([spec(), ON], 300.0),
        ([ON, every("15s")], 15.0),
        ([every("1m30s"), every("15s")], 90.0),
        ([spec(flow_logs_local_reporter="Perhaps")], None),
        ([every("0s")], 300.0),
        ([every("100ms"), every("2s")], 2.0),
        ([every("1.5s")], 1.5),
        ([every("25h")], 300.0),
        ([every("soon")], 300.0),
    ],
)
def test_the_interval_of_a_host(specs, found):
    assert interval_s(specs) == found


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (spec(flow_logs_local_reporter="Perhaps"), "flowLogsLocalReporter is passed over: 'Perhaps'"),
        (every("0s"), "flowLogsFlushInterval is passed over: '0s'"),
        (spec(flow_logs_goldmane_server="goldmane:7443"), "flowLogsGoldmaneServer is passed over"),
        (spec(flow_logs_policy_evaluation_mode="Continuous"), "flowLogsPolicyEvaluationMode Continuous"),
    ],
)
def test_what_is_not_kept_to_is_told(one, said):
    (text,) = problems(one)
    assert text.startswith(said)


def test_what_is_kept_to_is_not_told():
    assert problems(every("15s")) == problems(OFF) == problems(spec(flow_logs_policy_evaluation_mode="None")) == ()


# --- in the graph -----------------------------------------------------------------------------------------------------


def configuration(**fields):
    name = fields.pop("name", "default")
    found = {"kind": "FelixConfiguration", "apiVersion": "projectcalico.org/v3", "metadata": {"name": name}}
    return CONFIGURATIONS + name, json.dumps(found | {"spec": fields}).encode()


def network_set(name, *nets, **labels):
    found = {"kind": "GlobalNetworkSet", "apiVersion": "projectcalico.org/v3"}
    found |= {"metadata": {"name": name, "labels": labels}, "spec": {"nets": nets}}
    return KINDS["GlobalNetworkSet"].prefix() + name, json.dumps(found).encode()


def test_the_dataplane_is_told_and_so_are_problems():
    graph = Graph("h1")
    graph.update(*configuration(flowLogsLocalReporter="Enabled", flowLogsGoldmaneServer="x:1"))
    graph.update(*configuration(name="node.h1", flowLogsFlushInterval="10s"))
    graph.in_sync()
    (settings,) = (one for one in graph.flush(1) if isinstance(one, HostSettings))
    assert (settings.flow_logs, graph.flow_log_interval_s()) == (True, 10.0)
    assert "flowLogsGoldmaneServer" in graph.problems()[CONFIGURATIONS + "default"]
    graph.update(CONFIGURATIONS + "default", None)
    (settings,) = (one for one in graph.flush(2) if isinstance(one, HostSettings))
    assert (settings.flow_logs, graph.flow_log_interval_s()) == (False, None)


def test_who_follows_peers_may_ask_for_all_there_are_and_hears_of_changes():
    graph, told = Graph("h1"), []
    graph.update(*network_set("a", "10.1.0.0/16", zone="x"))
    graph.update(*network_set("b", "10.2.0.1/32"))
    graph.follow_peers(lambda key, record: told.append((keys.name_of(key), record)))
    assert [(keys.name_of(key), record) for key, record in graph.peers()] == [
        ("a", PeerRecord({"zone": "x"}, (), (Cidr.parse("10.1.0.0/16"),))),
        ("b", PeerRecord({}, (), (Addr.parse("10.2.0.1"),))),
    ]
    assert told == []
    graph.update(*network_set("b", "10.2.0.2/32"))
    graph.update(network_set("a")[0], None)
    assert told == [("b", PeerRecord({}, (), (Addr.parse("10.2.0.2"),))), ("a", None)]
    graph.follow_peers(None)
    graph.update(*network_set("c", "10.3.0.1/32"))
    assert len(told) == 2
