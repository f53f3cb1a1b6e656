"""Which names a cluster has, beside what Mesos-DNS's own documentation and tests say."""

from __future__ import annotations

import pytest
from dns_bed import HOST, HOST2, agent, discovery, ports, shown, task

from ocicat.dns import names, records
from ocicat.dns.records import Naming
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import AgentSummary, FrameworkSummary
from ocicat.mesos.types import NetworkStatus, TaskState
from ocicat.model.net import Addr

MESOS = Naming()
OWN = "10.77.0.3"
LONG = names.canonical("web", "web.1", "0123-S1")  # web-xxxxx-s1


def of(one, naming=MESOS):
    return shown(records.of_task(one, naming))


def at(one, name, naming=MESOS):
    return [line.removeprefix(f"{name} ") for line in of(one, naming) if line.startswith(f"{name} ")]


def test_a_task_with_an_address_of_its_own():
    assert of(task("web", OWN)) == sorted(
        [
            f"web.marathon.mesos A {OWN}",
            f"{LONG}.marathon.mesos A {OWN}",
            f"web.marathon.slave.mesos A {HOST}",
            f"{LONG}.marathon.slave.mesos A {HOST}",
            "3.0.77.10.in-addr.arpa PTR web.marathon.mesos",
        ]
    )


def test_a_task_on_its_hosts_network_has_no_reverse_name():
    assert of(task("web")) == sorted(
        f"{name}.marathon.{end} A {HOST}" for name in ("web", LONG) for end in ("mesos", "slave.mesos")
    )


def test_ports_of_the_host_are_services_of_both_protocols():
    one = task("web", OWN, ports=ports((31001, 31002)))
    host = f"{LONG}.marathon.slave.mesos"
    for name in ("_web._tcp.marathon.mesos", "_web._udp.marathon.mesos", "_web._tcp.marathon.slave.mesos"):
        assert at(one, name) == [f"SRV {host}:31001", f"SRV {host}:31002"]


def test_told_ports_are_services_of_the_task_itself():
    one = task("web", OWN, ports=ports((31001, 31001)), discovery=discovery("front", "80/tcp/http", "53/udp", "99"))
    long = names.canonical("front", "web.1", "0123-S1")
    assert at(one, "front.marathon.mesos") == [f"A {OWN}"]
    assert at(one, "_front._tcp.marathon.mesos") == [
        f"SRV {long}.marathon.mesos:80",
        f"SRV {long}.marathon.mesos:99",
    ]
    assert at(one, "_front._udp.marathon.mesos") == [
        f"SRV {long}.marathon.mesos:53",
        f"SRV {long}.marathon.mesos:99",
    ]
    assert at(one, "_http._front._tcp.marathon.mesos") == [f"SRV {long}.marathon.mesos:80"]
    assert at(one, "_front._tcp.marathon.slave.mesos") == [f"SRV {long}.marathon.slave.mesos:31001"]
    assert [line for line in of(one) if line.startswith("web.")] == []


def test_told_ports_count_only_with_a_told_name():
    one = task("web", OWN, ports=ports((31001, 31001)), discovery=discovery("", "80/tcp"))
    assert at(one, "_web._tcp.marathon.mesos") == [f"SRV {LONG}.marathon.slave.mesos:31001"]


def test_ports_that_cannot_be_have_no_name():
    one = task("web", OWN, discovery=discovery("web", "0/tcp", "70000/tcp", "80/tcp"))
    assert at(one, "_web._tcp.marathon.mesos") == [f"SRV {LONG}.marathon.mesos:80"]


def test_not_every_port_of_a_host_gets_a_name():
    one = task("web", OWN, ports=ports((1, 60), (1000, 60000)))
    found = at(one, "_web._tcp.marathon.mesos")
    assert len(found) == 100
    assert f"SRV {LONG}.marathon.slave.mesos:1039" in found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("10.77.0.3", "fd00::3/64"), ["A 10.77.0.3", "AAAA fd00::3"]),
        (("fd00::3",), ["AAAA fd00::3"]),
        (("nonsense", "10.77.0.3"), ["A 10.77.0.3"]),
    ],
)
def test_addresses_are_of_both_families(given, found):
    assert at(task("web", *given), "web.marathon.mesos") == found


@pytest.mark.parametrize(
    ("networks", "labels", "found"),
    [
        ((), {}, HOST),
        ((NetworkStatus("n"),), {}, HOST),
        ((), {"Docker.NetworkSettings.IPAddress": "10.1.0.1"}, "10.1.0.1"),
        (
            (NetworkStatus("n"),),
            {
                "Docker.NetworkSettings.IPAddress": "10.1.0.1",
                "MesosContainerizer.NetworkSettings.IPAddress": "10.2.0.1",
            },
            "10.2.0.1",
        ),
        ((NetworkStatus("n", (), {}, (OWN,)),), {"Docker.NetworkSettings.IPAddress": "10.1.0.1"}, OWN),
    ],
)
def test_the_first_source_of_addresses_counts(networks, labels, found):
    assert at(task("web", networks=networks, status_labels=labels), "web.marathon.mesos") == [f"A {found}"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, True),
        ({"state": TaskState.STARTING}, False),
        ({"state": TaskState.UNREACHABLE}, False),
        ({"state": TaskState.KILLING}, False),
        ({"healthy": False}, False),
        ({"healthy": True}, True),
        ({"health_checked": True}, False),
        ({"health_checked": True, "healthy": True}, True),
        ({"framework": ""}, False),
        ({"framework": "$$$"}, False),
    ],
)
def test_only_tasks_that_run_and_are_well_have_names(fields, named):
    assert bool(of(task("web", OWN, **fields))) == named


def test_a_task_whose_name_is_nothing_has_none():
    assert of(task("$$$", OWN, labels={"app": "web"})) == []


def test_names_are_made_of_what_names_can_hold():
    one = task("Api_Server.v2", OWN, framework="Marathon Prod.eu")
    assert at(one, "api-server-v2.marathonprod.eu.mesos") == [f"A {OWN}"]
    short = Naming("Cluster.example", rfc952=True)
    assert at(
        task("0123456789abcdefghijklmnopqrstuvwxyz", OWN), "abcdefghijklmnopqrstuvwx.marathon.cluster.example", short
    )


def test_names_that_would_be_too_long_are_left_out():
    framework = ".".join(["y" * 59] * 4)
    assert of(task("web", OWN, framework=framework)) == [
        f"3.0.77.10.in-addr.arpa PTR web.{framework}.mesos",
        f"web.{framework}.mesos A {OWN}",
    ]
    assert of(task("web", OWN, framework=f"yyyy.{framework}", labels={"app": "web"})) == [
        f"web.app.label.mesos A {OWN}"
    ]


def test_tasks_by_their_labels_and_those_of_their_network():
    one = task(
        "web",
        OWN,
        labels={"app": "Web", "mesos/tier": "a.b", "note": "", "": "x"},
        network_labels={"env": "prod", "app": "Web"},
        discovery=discovery("web", "80/tcp/http"),
    )
    found = [line for line in of(one) if ".label." in line]
    long = f"{LONG}.marathon.mesos"
    assert found == sorted(
        line
        for name in ("web.app.label.mesos", "a-b.mesostier.label.mesos", "prod.env.label.mesos")
        for line in (f"{name} A {OWN}", f"_tcp.{name} SRV {long}:80", f"_http._tcp.{name} SRV {long}:80")
    )


def test_a_record_says_where_it_leads():
    one = task("web", OWN, discovery=discovery("web", "80/tcp"))
    goals = {(names.text(entry.name), entry.type): entry.goal for entry in records.of_task(one, MESOS)}
    own = goals["web.marathon.mesos", 1]
    service = goals["_web._tcp.marathon.mesos", 33]
    assert (own.addresses, own.protocol, own.port) == ((Addr.parse(OWN),), 0, 0)
    assert (service.addresses, service.protocol, service.port) == ((Addr.parse(OWN),), 6, 80)


@pytest.mark.parametrize(
    ("told", "audience"),
    [
        (discovery("web", visibility="FRAMEWORK"), "F-0000"),
        (discovery("web", visibility="CLUSTER"), "*"),
        (discovery("web", visibility="EXTERNAL"), ""),
        (None, ""),
    ],
)
def test_a_record_says_for_whom_it_is(told, audience):
    found = records.of_task(task("web", OWN, discovery=told), MESOS)
    assert {entry.audience for entry in found} == {audience}


# --- the rest of the cluster ------------------------------------------------------------------------------------


def test_agents():
    found = [entry for one in (agent(), agent("S2", HOST2, "h2")) for entry in records.of_agent(one, MESOS)]
    assert shown(set(found)) == [
        "_slave._tcp.mesos SRV slave.mesos:5051",
        f"slave.mesos A {HOST}",
        f"slave.mesos A {HOST2}",
    ]
    assert records.of_agent(agent(active=False), MESOS) == ()
    assert records.of_agent(agent(address="h1.example"), MESOS) == ()


def test_masters_and_the_one_that_leads():
    listed = (Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5050), Endpoint("m3.example", 5050))
    assert shown(records.of_masters(listed[1], listed, MESOS)) == [
        "_leader._tcp.mesos SRV leader.mesos:5050",
        "_leader._udp.mesos SRV leader.mesos:5050",
        "_master._tcp.mesos SRV master0.mesos:5050",
        "_master._tcp.mesos SRV master1.mesos:5050",
        "leader.mesos A 10.0.0.2",
        "master.mesos A 10.0.0.1",
        "master.mesos A 10.0.0.2",
        "master0.mesos A 10.0.0.1",
        "master1.mesos A 10.0.0.2",
    ]
    assert "leader.mesos A 10.0.0.9" in shown(records.of_masters(Endpoint("10.0.0.9", 5050), (), MESOS))
    assert shown(records.of_masters(None, listed[:1], MESOS)) == [
        "_master._tcp.mesos SRV master0.mesos:5050",
        "master.mesos A 10.0.0.1",
        "master0.mesos A 10.0.0.1",
    ]


@pytest.mark.parametrize(
    ("hostname", "url", "found"),
    [
        ("10.0.0.5", "", ["marathon.mesos A 10.0.0.5"]),
        (
            "h1",
            "http://h1:8080",
            ["_framework._tcp.marathon.mesos SRV marathon.mesos:8080", f"marathon.mesos A {HOST}"],
        ),
        ("elsewhere.example", "http://x:1", []),
        ("h1", "http://h1/path", [f"marathon.mesos A {HOST}"]),
        ("h1", "http://[bad", [f"marathon.mesos A {HOST}"]),
        ("", "", []),
    ],
)
def test_schedulers(hostname, url, found):
    framework = FrameworkSummary("F", "marathon", True, True, ("*",), hostname, url)
    assert shown(records.of_framework(framework, {"h1": HOST}, MESOS)) == found


@pytest.mark.parametrize(
    "name", ["leader", "Master", "master12", "slave", "ns1", "label", "x.slave", "web.LABEL.", "_leader"]
)
def test_what_the_zone_has_for_itself_is_nobody_elses(name):
    framework = FrameworkSummary("F", name, True, True, ("*",), "10.9.9.9", "http://10.9.9.9:5050")
    assert records.of_framework(framework, {}, MESOS) == ()
    assert records.of_task(task("web", OWN, framework=name), MESOS) == ()


@pytest.mark.parametrize("name", ["leaders", "mastery", "slave.eu", "labels", "ns1.eu"])
def test_what_only_resembles_the_zones_own_is_anybodys(name):
    assert shown(records.of_framework(FrameworkSummary("F", name, True, True, ("*",), HOST, ""), {}, MESOS))
    assert records.of_task(task("web", OWN, framework=name), MESOS)


def test_the_zone_has_its_server():
    assert shown(records.of_server((Addr.parse(HOST),), MESOS)) == ["mesos NS ns1.mesos", f"ns1.mesos A {HOST}"]
    data = records.start_of_authority(MESOS, 7, 5)
    assert data.startswith(names.wire("ns1.mesos") + names.wire("root.ns1.mesos") + b"\0\0\0\7")
    assert data.endswith(b"\0\0\0\5")


def test_what_cannot_be_a_name_or_port_of_others_is_left_out():
    long = FrameworkSummary("F", ".".join(["y" * 60] * 4), True, True, ("*",), HOST, "http://x:80")
    assert [line.partition(" ")[2] for line in shown(records.of_framework(long, {}, MESOS))] == [f"A {HOST}"]
    odd = AgentSummary("0123-S1", "h1", HOST, 0, True, "1.11.0")
    assert shown(records.of_agent(odd, MESOS)) == [f"slave.mesos A {HOST}"]
    assert shown(records.of_task(task("web", OWN, discovery=discovery("web", "80/$$")), MESOS)) == of(
        task("web", OWN, discovery=discovery("web"))
    )
