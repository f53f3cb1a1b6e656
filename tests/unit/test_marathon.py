"""Marathon's definitions of all ages: what they become, and that no field of them is passed over."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.mesos.frameworks.application import Backoff, Check, Upgrade, absolute, task_name
from ocicat.mesos.frameworks.marathon import REFUSED, REPORTED, read_any
from ocicat.mesos.types import (
    Constraint,
    Discovery,
    DiscoveryPort,
    Fetch,
    HealthCheck,
    HostPort,
    Image,
    NetworkRequest,
    PortMapping,
)


def read(raw, default_network=""):
    apps, remarks = read_any(raw, "app.json:1", default_network)
    return apps, remarks


def one(default_network="", **more):
    apps, _ = read({"id": "/web", "cmd": "true", **more}, default_network)
    return apps[0]


def problem(**more):
    with pytest.raises(UserError) as error:
        read({"id": "/web", "cmd": "true", **more})
    return error.value.message


def test_little_is_needed_and_the_rest_is_as_with_marathon():
    app = one()
    assert (app.id, app.instances, app.spec.cpus, app.spec.mem_mb, app.spec.disk_mb) == ("/web", 1, 1.0, 128.0, 0.0)
    assert (app.upgrade, app.backoff, app.inactive_after_s) == (Upgrade(1, 1), Backoff(1, 1.15, 300), 0.0)
    assert (app.spec.name, app.spec.command, app.spec.network) == ("web", "true", None)
    assert app.spec.host_ports == (HostPort(0, "default"),)


PORTS = {"groups": ["a"], "discovery": {"ports": [{"number": 9, "name": "x"}, {"number": 8080, "name": "http-api"}]}}


def test_readiness_is_asked_once_of_a_port_by_its_name():
    app = one("net", ipAddress=PORTS, readinessChecks=[{"name": "r"}])
    usual = Check(
        protocol="HTTP", port=8080, grace_s=0.0, interval_s=30.0, timeout_s=10.0, failures=0, statuses=(200,), once=True
    )
    assert (app.checks, app.checked) == ((usual,), True)
    raw = {
        "protocol": "HTTPS",
        "path": "/up",
        "portName": "b",
        "intervalSeconds": 1,
        "timeoutSeconds": 2,
        "httpStatusCodesForReady": [200, 302],
        "preserveLastResponse": True,
    }
    app = one(portDefinitions=[{"port": 0, "name": "a"}, {"port": 0, "name": "b"}], readinessChecks=[raw])
    (check,) = app.checks
    assert (check.protocol, check.path, check.port, check.port_index) == ("HTTPS", "/up", 0, 1)
    assert (check.interval_s, check.timeout_s, check.statuses) == (1.0, 2.0, (200, 302))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({}, "readinessChecks[0].portName: 'http-api': the application names default"),
        ({"portName": "default", "protocol": "TCP"}, "readinessChecks[0].protocol: 'TCP' is none of HTTP, HTTPS"),
        ({"portName": "default", "httpStatusCodesForReady": [20]}, "readinessChecks[0].httpStatusCodesForReady: [20]"),
        ({"portName": "default", "maxConsecutiveFailures": 1}, "there is no such field"),
    ],
)
def test_a_check_of_readiness_that_cannot_be_asked_is_refused(check, words):
    assert words in problem(readinessChecks=[check])


def test_everything_an_application_says_of_itself():
    app = one(
        instances=3,
        cpus=0.5,
        mem=64,
        disk=10,
        user="www",
        env={"A": "1", "B": 2, "C": True},
        labels={"team": "shop"},
        constraints=[["hostname", "UNIQUE"], ["rack", "like", "a.*"], ["@hostname", "MAX_PER", 2]],
        uris=["http://x/a.tgz"],
        fetch=[{"uri": "http://x/b", "executable": True, "extract": False, "cache": True, "destPath": "bin/b"}],
        upgradeStrategy={"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.2},
        backoffSeconds=2,
        backoffFactor=2,
        maxLaunchDelaySeconds=60,
        taskKillGracePeriodSeconds=7,
        killSelection="OLDEST_FIRST",
        unreachableStrategy={"inactiveAfterSeconds": 30},
        dependencies=["../db", "/cache"],
        portDefinitions=[],
    )
    spec = app.spec
    assert (app.instances, spec.cpus, spec.mem_mb, spec.disk_mb, spec.user) == (3, 0.5, 64, 10, "www")
    assert (spec.environment, spec.labels) == ({"A": "1", "B": "2", "C": "true"}, {"team": "shop"})
    assert spec.constraints == (
        Constraint("hostname", "UNIQUE"),
        Constraint("rack", "LIKE", "a.*"),
        Constraint("hostname", "MAX_PER", "2"),
    )
    assert spec.fetch == (Fetch("http://x/a.tgz"), Fetch("http://x/b", True, False, True, "bin/b"))
    assert (app.upgrade, app.backoff) == (Upgrade(0.5, 0.2), Backoff(2, 2, 60))
    assert (spec.kill_grace_s, app.oldest_first, app.inactive_after_s) == (7.0, True, 30.0)
    assert app.dependencies == ("/db", "/cache")
    assert spec.host_ports == ()
    assert one(unreachableStrategy="disabled").inactive_after_s is None
    assert one(cmd=None, args=["sleep", "1"]).spec.command == ("sleep", "1")


def test_the_address_of_the_first_age():
    discovery = {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}
    app = one(ipAddress={"groups": ["a", "b"], "labels": {"x": "y"}, "discovery": discovery}, default_network="ocicat")
    assert app.spec.network == NetworkRequest("ocicat", ("a", "b"), {"x": "y"}, ("",))
    assert app.spec.discovery == Discovery(name="web", ports=(DiscoveryPort(80, "http", "tcp"),))
    assert app.spec.host_ports == ()
    assert one(ipAddress={"networkName": "n"}, default_network="ocicat").spec.network.name == "n"


def test_networks_and_port_mappings():
    mappings = [
        {"containerPort": 80, "hostPort": 8080, "name": "http", "labels": {"VIP": "/web:80"}},
        {"containerPort": 0, "hostPort": 0, "protocol": "udp"},
        {"containerPort": 9000, "name": "admin"},
    ]
    app = one(
        networks=[{"mode": "container", "name": "n", "labels": {"app": "x"}}],
        container={"type": "MESOS", "portMappings": mappings},
        healthChecks=[{"portIndex": 0}, {"portIndex": 1, "protocol": "TCP"}, {"portIndex": 2}],
    )
    spec = app.spec
    assert spec.network.port_mappings == (PortMapping(8080, 80), PortMapping(0, 0, "udp"))
    assert (spec.network.name, spec.network.labels, spec.network.ip_addresses) == ("n", {"app": "x"}, ("",))
    assert spec.host_ports == (HostPort(8080, "http"), HostPort(0))
    assert [(port.number, port.labels["network-scope"]) for port in spec.discovery.ports] == [
        (8080, "host"),
        (0, "host"),
        (9000, "container"),
    ]
    assert [(check.port, check.port_index) for check in app.checks] == [(80, -1), (0, 1), (9000, -1)]


def test_several_networks_and_the_bridge():
    app = one(networks=[{"name": "a"}, {"name": "b"}])
    assert [network.name for network in app.spec.networks] == ["a", "b"]
    bridged = one(networks=[{"mode": "container/bridge"}], container={"portMappings": [{"containerPort": 80}]})
    assert bridged.spec.network == NetworkRequest(
        "mesos-bridge", ip_addresses=("",), port_mappings=(PortMapping(0, 80),)
    )
    assert bridged.spec.host_ports == (HostPort(0),)


def test_ports_of_the_host_are_chosen_unless_required():
    app = one(portDefinitions=[{"port": 9000, "name": "http"}])
    assert app.spec.host_ports == (HostPort(0, "http"),)
    assert one(portDefinitions=[{"port": 9000}], requirePorts=True).spec.host_ports == (HostPort(9000),)
    assert one(ports=[9000, 0], requirePorts=True).spec.host_ports == (HostPort(9000), HostPort(0))
    _, remarks = read({"id": "/web", "cmd": "true", "ports": [9000]})
    why = "nothing here balances load on service ports"
    assert remarks == [f"app.json:1: /web: port numbers have no effect without requirePorts: {why}"]


def test_health_checks():
    app = one(
        portDefinitions=[{"port": 0}],
        healthChecks=[
            {"path": "/ok", "gracePeriodSeconds": 5, "intervalSeconds": 2, "timeoutSeconds": 1, "ignoreHttp1xx": True},
            {"protocol": "TCP", "port": 80, "maxConsecutiveFailures": 0, "ipProtocol": "IPv6"},
            {"protocol": "COMMAND", "command": {"value": "test -f ok"}, "delaySeconds": 1},
        ],
    )
    assert app.checks == (
        Check(path="/ok", port_index=0, grace_s=5, interval_s=2, timeout_s=1, ignore_1xx=True),
        Check(protocol="TCP", port=80, failures=0, ipv6=True),
    )
    assert app.spec.health_check == HealthCheck(
        kind="COMMAND", command="test -f ok", delay_s=1, grace_s=300, interval_s=60, timeout_s=20, failures=3
    )
    assert app.checked
    https = one(healthChecks=[{"protocol": "MESOS_HTTPS", "port": 443, "path": "/x"}]).spec.health_check
    assert (https.kind, https.scheme, https.port, https.path) == ("HTTP", "https", 443, "/x")


def test_images_of_both_containerizers():
    docker = {"image": "nginx", "forcePullImage": True, "privileged": True, "parameters": [{"key": "a", "value": "b"}]}
    app = one(container={"type": "DOCKER", "docker": docker}, networks=[{"name": "n"}])
    assert app.spec.image == Image("nginx", "DOCKER", True, True, (("a", "b"),))
    assert one(container={"docker": {"image": "nginx"}}).spec.image == Image("nginx", "DOCKER")
    assert one(container={"type": "MESOS", "docker": {"image": "nginx"}}).spec.image == Image("nginx", "MESOS")
    old = one(container={"docker": {"image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}})
    assert old.spec.network == NetworkRequest("bridge", ip_addresses=("",), port_mappings=(PortMapping(0, 80),))


def test_groups_are_flattened_and_hand_their_dependencies_down():
    group = {
        "id": "/shop",
        "dependencies": ["/net"],
        "apps": [{"id": "web", "cmd": "true", "dependencies": ["db"]}, {"id": "/shop/db", "cmd": "true"}],
        "groups": [{"id": "pay", "apps": [{"id": "card", "cmd": "true"}]}],
    }
    apps, _ = read(group)
    assert {app.id: app.dependencies for app in apps} == {
        "/shop/web": ("/net", "/shop/db"),
        "/shop/db": ("/net",),
        "/shop/pay/card": ("/net",),
    }
    assert [app.spec.name for app in apps] == ["web.shop", "db.shop", "card.pay.shop"]


@pytest.mark.parametrize(
    ("text", "base", "found"),
    [
        ("web", "/", "/web"),
        ("/a/b", "/x", "/a/b"),
        ("../b", "/x/y", "/x/b"),
        ("Web", "/", ""),
        ("a b", "/", ""),
        ("-a", "/", ""),
        ("", "/", ""),
        ("/", "/", ""),
    ],
)
def test_ids(text, base, found):
    assert absolute(text, base) == found


def test_tasks_are_named_as_marathon_names_them():
    assert task_name("/shop/pay/card") == "card.pay.shop"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"id": None}, "id: is missing"),
        ({"id": "Web!"}, "id: 'Web!': lower-case letters"),
        ({"cmd": None}, "the command is empty"),
        ({"args": ["a"]}, "args: stands beside cmd"),
        ({"instances": -1}, "instances: -1 is not 0 or more"),
        ({"instances": 1.5}, "instances: 1.5 is no whole number"),
        ({"instances": "3"}, "instances: must be a number, not text"),
        ({"cpus": 0}, "cpus: 0 is not 0.01 or more"),
        ({"mem": 0}, "mem_mb is 0"),
        ({"env": {"A": {"secret": "s"}}}, "env.A: must be text"),
        ({"args": [1], "cmd": None}, "args: must hold text, not a number"),
        ({"labels": []}, "labels: must be an object, not a list"),
        ({"constraints": [["hostname"]]}, "constraints[0]: must be like"),
        ({"constraints": [["hostname", "NEAR"]]}, "constraints[0]: 'NEAR' is no operator"),
        ({"constraints": [["@zone", "UNIQUE"]]}, "@zone is not supported"),
        ({"dependencies": ["No!"]}, "dependencies: 'No!' is no id"),
        (
            {"upgradeStrategy": {"minimumHealthCapacity": 2}},
            "upgradeStrategy.minimumHealthCapacity: 2 is not 0 or more, up to 1",
        ),
        ({"upgradeStrategy": {"fast": True}}, "upgradeStrategy.fast: there is no such field"),
        ({"ipAddress": {}}, "the network has no name"),
        ({"networks": [{"mode": "container"}]}, "the network has no name"),
        ({"networks": [{"mode": "bridge"}]}, "networks[0].mode: 'bridge' is none of container, container/bridge, host"),
        ({"networks": [{"mode": "host"}, {"name": "a"}]}, "several networks must all have mode container"),
        ({"networks": [{"mode": "host", "name": "a"}]}, "takes neither name nor labels"),
        ({"networks": [{"name": "n"}], "ipAddress": {"networkName": "n"}}, "ipAddress: stands beside networks"),
        ({"networks": [{"name": "n"}], "portDefinitions": [{"port": 80}]}, "portDefinitions: are ports of the host"),
        ({"ipAddress": {"networkName": "n"}, "ports": [80]}, "ports: are ports of the host"),
        ({"container": {"portMappings": [{"containerPort": 1}]}}, "needs a network with mode container"),
        (
            {
                "networks": [{"name": "a"}, {"name": "b"}],
                "container": {"type": "MESOS", "portMappings": [{"containerPort": 1, "hostPort": 2}]},
            },
            "hostPort needs a single network",
        ),
        ({"container": {"volumes": [{"hostPath": "/x"}]}}, "container.volumes: not supported"),
        ({"container": {"type": "DOCKER"}}, "container.docker: is missing"),
        ({"container": {"docker": {"image": "x", "network": "NONE"}}}, "NONE is not supported"),
        (
            {"container": {"type": "MESOS", "docker": {"image": "x", "privileged": True}}},
            "are for the Docker containerizer",
        ),
        ({"ports": [0], "portDefinitions": [{"port": 0}]}, "ports: stands beside portDefinitions"),
        ({"ports": [70000]}, "ports: 70000 is no port"),
        ({"healthChecks": [{"portIndex": 3}]}, "healthChecks[0].portIndex: 3: the application has 1 ports"),
        ({"healthChecks": [{}], "portDefinitions": []}, "the application names no port"),
        ({"healthChecks": [{"protocol": "PING"}]}, "healthChecks[0].protocol: 'PING' is none of"),
        ({"healthChecks": [{"protocol": "COMMAND"}]}, "healthChecks[0].command.value: is missing"),
        (
            {"healthChecks": [{"protocol": "MESOS_TCP"}, {"protocol": "MESOS_TCP"}]},
            "Mesos asks one check for each task",
        ),
        ({"healthChecks": [{"path": "x"}]}, "healthChecks[0].path: 'x' does not begin with a slash"),
        ({"executor": "/my/executor"}, "executor: '/my/executor' is not supported"),
        ({"acceptedResourceRoles": ["db"]}, "acceptedResourceRoles: only unreserved resources"),
        ({"killSelection": "ALL"}, "killSelection: 'ALL' is none of"),
        ({"unreachableStrategy": "later"}, "unreachableStrategy: 'later' is none of disabled"),
        ({"color": "red"}, "color: there is no such field"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(more, said):
    text = problem(**more)
    assert text.startswith("app.json:1: ")
    assert said in text


def test_all_that_is_wrong_comes_at_once():
    text = problem(cpus=-1, color="red", instances="x")
    assert all(words in text for words in ("cpus:", "color:", "instances:"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused_with_the_reason_unless_it_asks_for_nothing(name):
    assert f"{name}: not supported: {REFUSED[name]}" in problem(**{name: {"x": 1}})
    assert one(**{name: []}).id == "/web"


@pytest.mark.parametrize("name", REPORTED)
def test_what_marathon_reports_is_told_and_no_more(name):
    apps, remarks = read({"id": "/web", "cmd": "true", name: 3})
    assert apps == [one()]
    assert remarks == [f"app.json:1: /web: {name} has no effect: it is what Marathon reports"]
