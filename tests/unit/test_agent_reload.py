"""What this host says itself goes before the datastore, and a running agent takes it over."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_bed import Shell

from ocicat.agent import hangup, reload
from ocicat.agent.config import Live
from ocicat.agent.feed import Feed
from ocicat.calc.configuration import CONFIGURATIONS, THIS_HOST
from ocicat.calc.graph import Graph
from ocicat.cli.commands import node_reload
from ocicat.errors import UserError
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.wanted import HostSettings
from ocicat.obs import logs
from ocicat.settings.arguments import Process
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


@pytest.fixture
def default_hangup():
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_before_there_is_a_loop_is_kept_until_it_can_be_answered(default_hangup):
    async def asked_at_once():
        asked = reload.requests().is_set()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        return asked

    hangup.remember()
    assert not asyncio.run(asked_at_once())
    hangup.remember()
    os.kill(os.getpid(), signal.SIGHUP)
    assert asyncio.run(asked_at_once())


STARTING = """
import sys, time
from ocicat.cli import main as program
class Agent:  # in place of what the agent's command imports
    def find_spec(self, name, *_):
        if name == "ocicat.cli.commands.agent":
            print("imports", flush=True)
            sys.stdin.read()
            from ocicat.agent.hangup import has_come
            import signal
            print(has_come(signal.getsignal(signal.SIGHUP)), flush=True)
            sys.exit(7)
sys.meta_path.insert(0, Agent())
sys.argv = ["ocicat", *sys.argv[1:]]
program.main()
"""


def test_the_program_takes_the_signal_before_it_imports_the_agent():
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", STARTING, "agent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "imports\n"
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, "True\n")


# --- who sends it -----------------------------------------------------------------------------------------------------

UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "ocicat-agent.service"
TAKES = """
import signal, sys
if sys.argv[1] == "takes":
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(9))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["takes", "starts"])
def process(request):
    """One that takes SIGHUP, and one that would be ended by it."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", TAKES, request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == "here\n"
        started.expected = 9 if request.param == "takes" else 0
        try:
            yield started
        finally:
            started.kill()


def test_systemd_sends_it_only_to_a_process_that_takes_it(process):
    line = re.search(r"^ExecReload=/bin/sh -c '(.*)'$", UNIT.read_text(), re.MULTILINE)[1].replace("$$", "$")
    subprocess.run(["/bin/sh", "-c", line], env={"MAINPID": str(process.pid), "PATH": "/usr/bin:/bin"}, check=True)
    process.communicate(timeout=60)
    assert process.returncode == process.expected


def test_node_reload_sends_it_to_the_agent_alone_and_only_when_it_takes_it(process, tmp_path, monkeypatch, capsys):
    shell = Shell(tmp_path, monkeypatch, capsys)
    monkeypatch.setattr(node_reload, "process_behind", {"/a.sock": process.pid}.get)
    monkeypatch.setattr(node_reload, "process", lambda _: Process(("python3", "-m", "ocicat", "agent")))
    said = shell.ok("node", "reload", "--socket", "/a.sock").err
    assert said.startswith(f"ocicat: the agent (process {process.pid}) ")
    process.communicate(timeout=60)
    assert process.returncode == process.expected
    assert ("has only just started" in said) == (process.expected == 0)
    assert shell("node", "reload", "--socket", "/b.sock").code == 5


def test_node_reload_ends_no_process_that_is_no_agent(process, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(node_reload, "process_behind", lambda _: process.pid)
    ended = Shell(tmp_path, monkeypatch, capsys)("node", "reload", "--socket", "/a.sock")
    assert (ended.code, process.poll()) == (1, None)
    assert "which is no agent" in ended.err


# --- what is taken over -----------------------------------------------------------------------------------------------


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
