"""No setting is read and then ignored: each one, said in the file, reaches the agent. What then becomes of packets and processes is
shown where those are: `tests/netns`, `tests/system`."""

from __future__ import annotations

import json

import pytest

from ocicat.agent.settings import agent_config
from ocicat.calc.graph import Graph
from ocicat.model.net import Addr
from ocicat.policy import HostInterface
from ocicat.settings import felix, layers, table
from ocicat.settings.felix_fields import spec
from ocicat.settings.resolve import resolve
from ocicat.settings.values import toml_text

OF_COMMANDS = {"mesos.framework", "dns.server"}  # tests/unit/test_cli_config.py
NAMES = '[dns]\nlisten = ["10.0.0.11"]\n[mesos]\nmaster = "10.0.0.1:5050"\n'
NEEDS = {  # what else must be said for it to count
    "docker.engine": '[docker]\nplugin = "/run/docker/plugins/ocicat.sock"\n',
    **dict.fromkeys(("dns.zone", "dns.upstream", "dns.only", "dns.ttl_s", "dns.rfc952", "mesos.master"), NAMES),
    "dns.listen": '[mesos]\nmaster = "10.0.0.1:5050"\n',
}
WITH = {
    "felix.flowLogsFlushInterval": "felix.flowLogsLocalReporter",
    "felix.logActionRateLimitBurst": "felix.logActionRateLimit",
}
OTHER = {  # where the example is the default
    "agent.add_timeout_s": 3.0, "agent.resync_interval_s": 3.0, "agent.socket": "/run/other.sock", "flows.log": "/other.log",
    "mesos.agent_ports": (5061,), "docker.engine": "/other.sock", "dns.zone": "other", "dns.ttl_s": 7, "log.level": "debug",
    "log.style": "json", "mesos.master": "10.0.0.2:5050",
}  # fmt: skip
V3 = "/calico/resources/v3/projectcalico.org/"


def said(key, text=""):
    """Of the file, which says that setting besides."""
    setting = table.setting(key)
    value = OTHER.get(key, setting.example)
    assert value != setting.default
    line = f"{key} = {toml_text(value)}\n"
    return resolve([layers.of_file(line, "f"), layers.of_file(text, "f")])


@pytest.mark.parametrize(
    "key", [one.key for one in table.SETTINGS if one.section != felix.SECTION and one.key not in OF_COMMANDS]
)
def test_a_setting_reaches_the_agent(key):
    known = '[host]\nname = "h9"\naddress = "10.0.0.19/24"\n' + NEEDS.get(key, "")
    without, found = agent_config(resolve([layers.of_file(known, "f")]), "f"), agent_config(said(key, known), "f")
    assert (without.faults, found.faults) == ((), ())
    assert found.config != without.config


def put(graph, path, kind, **of):
    name = path.rpartition("/")[2]
    value = {
        "kind": kind,
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": name} | ({"namespace": "default"} if kind == "WorkloadEndpoint" else {}),
        "spec": of,
    }
    graph.update(V3 + path, json.dumps(value).encode())


def wanted(key, other=""):
    """Everything that the kernel, the flow logs and the operator are told on a host with something of each kind on it."""
    values = {one: table.setting(one).example for one in (key, other) if one}
    graph = Graph("h1", spec(values))
    graph.in_sync()
    there = {"eth0": "10.0.0.11", "tap1": "10.0.0.7"}
    graph.interfaces(tuple(HostInterface("h1", name, (Addr.parse(address),)) for name, address in there.items()))
    put(graph, "nodes/h1", "Node", bgp={"ipv4Address": "10.0.0.11/24"})
    put(graph, "ippools/p", "IPPool", cidr="10.65.0.0/16", natOutgoing=True)
    put(graph, "hostendpoints/all", "HostEndpoint", node="h1", interfaceName="*")
    put(graph, "hostendpoints/tap", "HostEndpoint", node="h1", expectedIPs=["10.0.0.7"])
    for name, more in (
        ("a", {"ipNATs": [{"internalIP": "10.65.0.1", "externalIP": "10.0.9.9"}]}),
        ("b", {"allowSpoofedSourcePrefixes": ["10.9.0.0/24"]}),
    ):
        put(
            graph,
            f"workloadendpoints/h1-k8s-{name}-eth0",
            "WorkloadEndpoint",
            node="h1",
            orchestrator="k8s",
            pod=name,
            endpoint="eth0",
            interfaceName=f"oci{name}",
            ipNetworks=[f"10.65.0.{1 if name == 'a' else 2}/32"],
            **more,
        )
    return list(map(repr, graph.flush(1))), graph.flow_log_interval_s(), dict(graph.problems()), graph.log_severity()


@pytest.mark.parametrize("key", [one.key for one in felix.FELIX])
def test_a_field_of_felix_configuration_changes_what_is_wanted(key):
    other = WITH.get(key, "")
    assert wanted(key, other) != wanted("", other)


def test_the_picture_by_which_that_is_told_is_the_same_each_time():
    assert wanted("") == wanted("")
