"""What this host says itself goes before the datastore, and a running agent takes it over."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from types import SimpleNamespace

import pytest

from ocicat.agent import reload
from ocicat.agent.config import Live
from ocicat.agent.feed import Feed
from ocicat.calc.configuration import CONFIGURATIONS, THIS_HOST
from ocicat.calc.graph import Graph
from ocicat.errors import UserError
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.wanted import HostSettings
from ocicat.obs import logs
from ocicat.store.syncer import Updates


def felix(graph, name, **fields):
    spec = {"kind": "FelixConfiguration", "metadata": {"name": name}, "spec": fields}
    graph.update(CONFIGURATIONS + name, json.dumps(spec).encode())


def told(graph, revision=1):
    """The settings that the kernel is given, if they changed."""
    return next((one for one in graph.flush(revision) if isinstance(one, HostSettings)), None)


def in_sync(settings=None, host="h1"):
    graph = Graph(host, settings)
    graph.in_sync()
    return graph


# --- before the datastore ---------------------------------------------------------------------------------------------


def test_what_the_host_says_goes_before_its_object_and_before_that_of_all():
    graph = in_sync(FelixConfigurationSpec(vxlan_port=4791, log_prefix="here"))
    felix(graph, "default", vxlanPort=4789, logPrefix="all", defaultEndpointToHostAction="Accept")
    felix(graph, "node.h1", vxlanPort=4790, allowIPIPPacketsFromWorkloads=True)
    found = told(graph)
    assert (found.vxlan_port, found.log_prefix) == (4791, "here")
    assert (found.endpoint_to_host, found.ipip_from_workloads) == ("Accept", True)


def test_a_list_of_nothing_is_something_said():
    graph = in_sync(FelixConfigurationSpec(failsafe_inbound_host_ports=()))
    felix(graph, "default", failsafeInboundHostPorts=[{"protocol": "TCP", "port": 22}])
    assert (told(graph).failsafe_inbound, graph.failsafe_inbound()) == ((), ())


def test_it_is_said_of_this_host_only():
    local = FelixConfigurationSpec(workload_source_spoofing="Any", interface_prefix="tap")
    graph = Graph("h1", local)
    assert graph._configuration.of("h1").source_spoofing
    assert not graph._configuration.of("h2").source_spoofing


def test_every_part_of_the_graph_hears_of_it():
    graph = in_sync(
        FelixConfigurationSpec(
            flow_logs_local_reporter="Enabled",
            flow_logs_flush_interval="15s",
            log_action_rate_limit="10/minute",
            nftables_mark_mask=0x30000,
            log_severity_screen="Debug",
        )
    )
    found = told(graph)
    assert (graph.flow_log_interval_s(), found.flow_logs, found.mark, found.log_limit.rate) == (15.0, True, 0x10000, 10)
    assert graph.log_severity() == "Debug"


def test_where_packets_leave_the_pools_it_is_heard_too():
    graph = in_sync(FelixConfigurationSpec(nat_outgoing_address="10.0.0.9"))
    pool = {"kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": "10.65.0.0/16", "natOutgoing": True}}
    graph.update("/calico/resources/v3/projectcalico.org/ippools/p", json.dumps(pool).encode())
    nat = next(one for one in graph.flush(1) if type(one).__name__ == "OutgoingNat")
    assert list(map(str, nat.addresses)) == ["10.0.0.9"]
    graph.override(FelixConfigurationSpec(nat_outgoing_address="10.0.0.8"))
    nat = next(one for one in graph.flush(2) if type(one).__name__ == "OutgoingNat")
    assert list(map(str, nat.addresses)) == ["10.0.0.8"]


def test_it_can_change_while_the_agent_runs_and_what_is_the_same_changes_nothing():
    graph = in_sync(FelixConfigurationSpec(vxlan_port=4791))
    felix(graph, "default", vxlanPort=4790)
    assert told(graph).vxlan_port == 4791
    graph.override(FelixConfigurationSpec(vxlan_port=4792))
    assert told(graph, 2).vxlan_port == 4792
    graph.override(FelixConfigurationSpec(vxlan_port=4792))
    assert told(graph, 3) is None
    graph.override(FelixConfigurationSpec())
    assert told(graph, 4).vxlan_port == 4790


def test_what_the_graph_cannot_use_of_it_is_its_problem():
    graph = in_sync(FelixConfigurationSpec(flow_logs_flush_interval="25h"))
    assert "flowLogsFlushInterval is passed over" in graph.problems()[THIS_HOST]
    graph.override(FelixConfigurationSpec())
    assert graph.problems() == {}


# --- a signal ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def root_log():
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    yield root
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_a_signal_takes_over_what_is_read_and_one_with_errors_changes_nothing(caplog):
    taken, answers = [], [Live(log_level="debug"), UserError("f:1: is wrong"), Live(log_level="error")]

    read = asyncio.Event()

    def reread():
        read.set()
        answer = answers.pop(0)
        if isinstance(answer, UserError):
            raise answer
        return answer

    async def run():
        asked = reload.requests()
        answering = asyncio.create_task(reload.answer(asked, reread, SimpleNamespace(take_over=taken.append)))
        while answers:
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(10):
                await read.wait()
            read.clear()
        answering.cancel()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)

    with caplog.at_level(logging.INFO, "ocicat.agent.reload"):
        asyncio.run(run())
    assert [one.log_level for one in taken] == ["debug", "error"]
    assert "what is in force stays: f:1: is wrong" in caplog.text


def test_the_log_follows_this_host_and_then_the_datastore(root_log):
    submitted = []
    feed = Feed(Graph("h1"), None, None, SimpleNamespace(submit=submitted.append), live=Live())
    logs.set_up("info")

    def update(revision, *specs):
        kind, prefix = "FelixConfiguration", CONFIGURATIONS
        values = [(name, {"kind": kind, "metadata": {"name": name}, "spec": spec}) for name, spec in specs]
        for name, value in values:
            feed.graph.update(prefix + name, json.dumps(value).encode())
        feed.local = feed.allocator = SimpleNamespace(observe=lambda *_: None)
        feed.updates(Updates(updates=(), revision=revision, in_sync=True))
        return logging.getLevelName(root_log.level)

    assert update(1) == "INFO"
    assert update(2, ("default", {"logSeverityScreen": "Fatal"})) == "ERROR"
    assert update(3, ("node.h1", {"logSeverityScreen": "Trace"})) == "DEBUG"
    feed.take_over(Live(log_level="warning", felix=FelixConfigurationSpec(vxlan_port=4791)))
    assert logging.getLevelName(root_log.level) == "WARNING"
    assert next(one for one in submitted[-1] if isinstance(one, HostSettings)).vxlan_port == 4791
    before = root_log.handlers[0].formatter
    feed.take_over(Live(log_style="json"))
    assert type(root_log.handlers[0].formatter) is not type(before)
    assert logging.getLevelName(root_log.level) == "DEBUG"


def test_a_file_that_is_read_while_the_agent_starts_is_in_force_from_the_first_state_on(root_log):
    feed = Feed(
        Graph("h1"), None, None, SimpleNamespace(submit=lambda _: pytest.fail("nothing is known yet")), live=Live()
    )
    feed.take_over(Live(felix=FelixConfigurationSpec(vxlan_port=4791)))
    feed.graph.in_sync()
    assert told(feed.graph).vxlan_port == 4791
