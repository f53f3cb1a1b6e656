"""Requests: what runtimes really send is understood, and every mistake is refused with its code and the name of what is wrong."""

import json

import pytest

from ocicat.cni.request import parse
from ocicat.cni.spec import CniError, Code
from ocicat.cni.wishes import Wishes
from ocicat.model.net import Addr
from ocicat.model.wanted import PortMapping

ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "3a52b5b8-54a5-4a2a-8d4e-5c1f0f7d6a11",
    "CNI_NETNS": "/run/mesos/isolators/network/cni/3a52b5b8/ns",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}
MINIMAL = {"name": "net1", "type": "ocicat"}

# As Apache Mesos 1.11.0 sends it.
MESOS = (
    b'{"args":{"org.apache.mesos":{"network_info":{"groups":["web"],"labels":{"labels":[{"key":"app","value":"x"}]},'
    b'"name":"net1"}}},"cniVersion":"0.2.0","name":"net1","type":"ocicat"}'
)


def request(command="ADD", document=None, environment=None, **fields):
    variables = {**ENVIRONMENT, "CNI_COMMAND": command, **(environment or {})}
    variables = {name: value for name, value in variables.items() if value is not None}
    body = document if document is not None else json.dumps({**MINIMAL, **fields}).encode()
    return parse(variables, body)


def refusal(*args, **kwargs):
    with pytest.raises(CniError) as caught:
        request(*args, **kwargs)
    return caught.value


def mesos(**info):
    return {"org.apache.mesos": {"network_info": {"name": "net1", **info}}}


def labelled(ip_addresses=(), **requests):
    labels = [{"key": f"cni.projectcalico.org/{name}", "value": text} for name, text in requests.items()]
    return mesos(labels={"labels": labels}, ip_addresses=list(ip_addresses))


def mesos_port(**more):
    return {"host_port": 8080, "container_port": 80, "protocol": "tcp", **more}


def runtime_port(**more):
    return {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", **more}


def test_what_mesos_sends():
    found = request(document=MESOS)
    assert (found.command, found.container_id, found.interface) == ("ADD", ENVIRONMENT["CNI_CONTAINERID"], "eth0")
    assert found.netns == ENVIRONMENT["CNI_NETNS"]
    assert (found.config.name, found.config.type, found.config.version) == ("net1", "ocicat", "0.2.0")
    assert found.info.groups == ("web",)
    assert [(label.key, label.value) for label in found.info.labels.labels] == [("app", "x")]
    assert found.orchestrator == "mesos"
    assert found.wishes == Wishes(families=(4,))


def test_every_field_of_mesos_network_info():
    info = {"ip_addresses": [{"protocol": "IPv4"}], "groups": [], "labels": {"labels": [{"key": "bare"}]}}
    found = request(args={**mesos(**info), "other": {"kept": 1}})
    assert (found.wishes, found.info.labels.labels[0].value) == (Wishes(families=(4,)), "")


def test_what_podman_sends():
    arguments = "IgnoreUnknown=1;K8S_POD_NAME=web;IP=10.65.0.9"
    found = request(environment={"CNI_ARGS": arguments}, cniVersion="0.4.0", runtimeConfig={"portMappings": []})
    assert found.wishes == Wishes((Addr.parse("10.65.0.9"),))
    assert (found.orchestrator, found.config.version) == ("cni", "0.4.0")


@pytest.mark.parametrize("container", ["a", "a.b", "6f9e.2c1d.x_y-z", "0" * 64])
def test_nested_and_long_container_ids(container):
    assert request(environment={"CNI_CONTAINERID": container}).container_id == container


@pytest.mark.parametrize("fields", [{}, {"cniVersion": ""}])
def test_without_a_version_it_is_0_2_0(fields):
    assert request(**fields).config.version == "0.2.0"


def test_our_own_fields():
    dns = {"nameservers": ["10.0.0.53"], "domain": "x", "search": ["x"], "options": ["ndots:2"]}
    found = request(pools=["default"], defaultProfile="web", mtu=1400, dns=dns).config
    assert (found.pools, found.default_profile, found.mtu) == (("default",), "web", 1400)
    assert found.dns.options == ("ndots:2",)


@pytest.mark.parametrize(
    "sent",
    [
        {"args": mesos(ip_addresses=[{"protocol": "IPv4", "ip_address": "10.65.0.7"}])},
        {"runtimeConfig": {"ips": ["10.65.0.7/24"]}},
        {"environment": {"CNI_ARGS": "IP=10.65.0.7"}},
        {"runtimeConfig": {"ips": ["10.65.0.7"]}, "environment": {"CNI_ARGS": "IP=10.65.0.7"}},
        {"args": labelled(ipAddrs='["10.65.0.7"]')},
        {"args": labelled(ipAddrs="10.65.0.7", ip_addresses=[{"protocol": "IPv4"}])},
    ],
)
def test_ways_to_ask_for_an_address(sent):
    assert request(**sent).wishes == Wishes((Addr.parse("10.65.0.7"),))


# --- families and several addresses -------------------------------------------------------------------------------

V4, V6, BOTH = {"protocol": "IPv4"}, {"protocol": "IPv6"}, {"assign_ipv6": True}
ONE, SIX = Addr.parse("10.65.0.7"), Addr.parse("fd00::7")


@pytest.mark.parametrize(
    ("config", "entries", "wanted"),
    [
        ({}, [], Wishes((), (4,))),
        (BOTH, [], Wishes((), (4, 6))),
        ({"assign_ipv4": "true", "assign_ipv6": "true"}, [], Wishes((), (4, 6))),
        ({"assign_ipv4": False, "assign_ipv6": True}, [], Wishes((), (6,))),
        ({"assign_ipv4": "false", "assign_ipv6": "true"}, [V4], Wishes((), (6,))),
        (BOTH, [V4], Wishes((), (4, 6))),  # what Marathon sends with every task
        (BOTH, [{}], Wishes((), (4, 6))),
        ({}, [V6], Wishes((), (6,))),
        ({}, [V4, V6], Wishes((), (4, 6))),
        ({}, [{}, {}], Wishes((), (4, 4))),
        (BOTH, [{"ip_address": "10.65.0.7"}], Wishes((ONE,))),
        ({}, [{"protocol": "IPv4", "ip_address": "fd00::7"}], Wishes((SIX,))),
        ({}, [{"ip_address": "10.65.0.7"}, {"protocol": "IPv6", "ip_address": "fd00::7"}], Wishes((ONE, SIX))),
        ({}, [{"ip_address": "10.65.0.7"}, V4, V6], Wishes((ONE,), (4, 6))),
        ({}, [{"ip_address": "10.65.0.7"}, {"ip_address": "10.65.0.7"}], Wishes((ONE,))),
    ],
)
def test_what_is_asked_for_by_network_and_network_info(config, entries, wanted):
    nested = {"CNI_CONTAINERID": "task.nested"}  # whose executor is elsewhere
    assert request(**config, args=mesos(ip_addresses=entries), environment=nested).wishes == wanted


@pytest.mark.parametrize(
    "sent",
    [{"runtimeConfig": {"ips": ["10.65.0.7/24", "fd00::7/64"]}}, {"environment": {"CNI_ARGS": "IP=10.65.0.7,fd00::7"}}],
)
def test_several_addresses_in_cnis_own_ways(sent):
    assert request(**sent).wishes == Wishes((ONE, SIX))


@pytest.mark.parametrize(
    "fields", [{"assign_ipv4": False, "assign_ipv6": True, "args": mesos()}, {"args": mesos(ip_addresses=[V6])}]
)
def test_an_executor_must_have_ipv4_for_its_agent(fields):
    error = refusal(**fields)
    assert error.code == Code.REFUSED
    assert "reaches its Mesos agent by IPv4 only" in error.message
    assert request(**fields, environment={"CNI_IFNAME": "eth1"}).wishes.families == (6,)
    assert request(**fields, environment={"CNI_CONTAINERID": "task.nested"}).wishes.families == (6,)


def test_labels_choose_pools_by_family():
    found = request(args=labelled(ipv4pools='["a", "10.65.0.0/24"]', ipv6pools=" b , c ")).wishes
    assert found == Wishes((), (4,), {4: ("a", "10.65.0.0/24"), 6: ("b", "c")})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"args": mesos(ip_addresses=[{"protocol": "IPX"}])}, "protocol 'IPX'"),
        (
            {"args": mesos(ip_addresses=[{"protocol": "IPv6", "ip_address": "10.65.0.7"}])},
            "10.65.0.7 is not of protocol",
        ),
        ({"args": labelled(ipAddrs="[10")}, "label cni.projectcalico.org/ipAddrs: '[10' is not a list"),
        ({"args": labelled(ipAddrs='["10.0.0"]')}, "'10.0.0'"),
        ({"args": labelled(ipv4pools=" , ")}, "label cni.projectcalico.org/ipv4pools: names nothing"),
        ({"args": labelled(hwAddr="02:00:00:00:00:01")}, "cni.projectcalico.org/hwAddr: there is no such request"),
        ({"assign_ipv6": True, "mtu": 1279}, "mtu: 1279 is too small for IPv6"),
        ({"assign_ipv4": False}, "assign_ipv4 and assign_ipv6: both are false"),
        ({"assign_ipv6": "yes"}, "assign_ipv6"),
    ],
)
def test_wishes_that_cannot_be_are_code_7_and_named(fields, named):
    error = refusal(**fields)
    assert error.code == Code.INVALID_CONFIGURATION
    assert named in error.message


# --- mistakes in the environment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_missing(name, value):
    error = refusal(environment={name: value})
    assert (error.code, error.message) == (Code.INVALID_ENVIRONMENT, f"{name} is not set")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CNI_COMMAND", "add"),
        ("CNI_COMMAND", "STAT"),
        ("CNI_CONTAINERID", "../x"),
        ("CNI_CONTAINERID", ".a"),
        ("CNI_CONTAINERID", "a b"),
        ("CNI_CONTAINERID", "a\n"),
        ("CNI_IFNAME", "a/b"),
        ("CNI_IFNAME", "a:b"),
        ("CNI_IFNAME", "eth 0"),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "."),
        ("CNI_IFNAME", "sixteen-letters-"),
        ("CNI_IFNAME", "\udcff"),
    ],
)
def test_a_variable_that_is_wrong(name, value):
    error = refusal(environment={name: value})
    assert error.code == Code.INVALID_ENVIRONMENT
    assert error.message == f"{name} is {value!r}"
    assert "must" in error.hint


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("FOO=1", "FOO"),
        ("IgnoreUnknown=0;FOO=1", "FOO"),
        ("IgnoreUnknown=1;MAC=02:00:00:00:00:01", "MAC"),
        ("x", "'x'"),
    ],
)
def test_arguments_that_nobody_serves(arguments, named):
    error = refusal(environment={"CNI_ARGS": arguments})
    assert error.code == Code.INVALID_ENVIRONMENT
    assert "CNI_ARGS" in error.message
    assert named in error.message


# --- mistakes in the configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [b"", b"{", b'{"name": }', b"[]", b"null", b'"x"', b"\xff", b'{"name":"a"} x'])
@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL"])
def test_what_is_no_json_object_is_code_6(document, command):
    assert refusal(command, document=document).code == Code.DECODING_FAILURE


def test_a_del_is_possible_whatever_version_its_configuration_names():
    assert request("DEL", cniVersion="9.9.9").config.name == MINIMAL["name"]


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}, {("c1", "eth0")}),
        ({"cni.dev/attachments": [{"containerID": "c1", "ifname": "eth0"}]}, {("c1", "eth0")}),
        ({"cni.dev/valid-attachments": [], "cni.dev/attachments": None}, set()),
        ({}, set()),
    ],
)
def test_what_a_gc_is_to_leave(fields, valid):
    document = json.dumps({**MINIMAL, "cniVersion": "1.1.0", **fields}).encode()
    found = parse({"CNI_COMMAND": "GC", "CNI_PATH": "/opt/cni/bin"}, document)
    assert (found.command, found.config.name, found.valid) == ("GC", "net1", valid)


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_about_a_network_only_the_configuration_is_looked_at(command):
    document = json.dumps({**MINIMAL, "cniVersion": "1.1.0", "pools": ["a"]}).encode()
    found = parse({"CNI_COMMAND": command}, document)
    assert (found.command, found.config.pools) == (command, ("a",))
    for fields, code in (({"cniVersion": "1.0.0"}, 1), ({}, 1), ({"cniVersion": "1.1.0", "mtuu": 1}, 2)):
        with pytest.raises(CniError) as caught:
            parse({"CNI_COMMAND": command}, json.dumps({**MINIMAL, **fields}).encode())
        assert caught.value.code == code


@pytest.mark.parametrize(("mtu", "code"), [(1280, None), (1279, 7)])
def test_a_status_is_no_where_every_add_would_be_refused_for_its_mtu(mtu, code):
    document = json.dumps({**MINIMAL, "cniVersion": "1.1.0", "assign_ipv6": True, "mtu": mtu}).encode()
    assert parse({"CNI_COMMAND": "GC"}, document).command == "GC"
    if code is None:
        assert parse({"CNI_COMMAND": "STATUS"}, document).command == "STATUS"
        return
    with pytest.raises(CniError) as caught:
        parse({"CNI_COMMAND": "STATUS"}, document)
    assert caught.value.code == code


def test_attachments_that_cannot_be_read_are_refused_before_anything_is_taken_back():
    misspelt, empty = {"containerId": "c1", "ifname": "eth0"}, {"containerID": "c1", "ifname": ""}
    for valid in (
        "c1",
        {"containerID": "c1"},
        [{"containerID": 1}],
        ["c1"],
        [{"containerID": "c1"}],
        [misspelt],
        [empty],
    ):
        document = json.dumps({**MINIMAL, "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}).encode()
        with pytest.raises(CniError) as caught:
            parse({"CNI_COMMAND": "GC"}, document)
        assert caught.value.code == Code.INVALID_CONFIGURATION


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_a_version_of_the_future_is_code_1(command):
    error = refusal(command, cniVersion="9.9.9")
    assert error.code == Code.INCOMPATIBLE_VERSION
    assert "'9.9.9'" in error.message
    assert "1.0.0" in error.hint


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"type": "ocicat"}, "`name`"),
        ({"name": "a"}, "`type`"),
        ({**MINIMAL, "name": ""}, "name"),
        ({**MINIMAL, "name": "a/b"}, "a/b"),
        ({**MINIMAL, "name": 1}, "name"),
        ({**MINIMAL, "type": ""}, "type"),
        ({**MINIMAL, "cniVersion": 1}, "cniVersion"),
        ({**MINIMAL, "mtu": 575}, "mtu: 575"),
        ({**MINIMAL, "mtu": 65536}, "mtu: 65536"),
        ({**MINIMAL, "mtu": "1500"}, "mtu"),
        ({**MINIMAL, "pools": "default"}, "pools"),
        ({**MINIMAL, "dns": []}, "dns"),
        ({**MINIMAL, "args": {"org.apache.mesos": {"network_info": {"groups": "web"}}}}, "network_info.groups"),
        ({**MINIMAL, "args": mesos(ip_addresses=[{"ip_address": "10.0.0"}])}, "'10.0.0'"),
        ({**MINIMAL, "runtimeConfig": {"ips": ["x"]}}, "'x'"),
    ],
)
def test_a_wrong_value_is_code_7_and_names_the_field(document, named):
    error = refusal(document=json.dumps(document).encode())
    assert error.code == Code.INVALID_CONFIGURATION
    assert named in error.message


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ipam": {"type": "host-local"}}, "ipam"),
        ({"plugins": []}, "plugins"),
        ({"pool": "default"}, "pool"),
        ({"ipMasq": True}, "ipMasq"),
        ({"runtimeConfig": {"mac": "02:00:00:00:00:01"}}, "runtimeConfig.mac"),
        ({"runtimeConfig": {"bandwidth": {"ingressRate": 1}}}, "runtimeConfig.bandwidth"),
        ({"prevResult": {"cniVersion": "0.4.0"}}, "prevResult"),
    ],
)
def test_what_is_not_served_is_code_2_and_says_so(fields, named):
    error = refusal(**fields)
    assert error.code == Code.UNSUPPORTED_FIELD
    assert named in error.message


@pytest.mark.parametrize("fields", [{"ipMasq": False}, {"runtimeConfig": {"mac": ""}}, {"prevResult": None}])
def test_a_field_that_asks_for_nothing_is_no_mistake(fields):
    assert request(**fields).wishes == Wishes(families=(4,))


# --- ports of the host -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "ports"),
    [
        ({}, ()),
        (
            {"args": mesos(port_mappings=[mesos_port(), mesos_port(host_port=53, protocol="UDP")])},
            (PortMapping(6, 8080, 80), PortMapping(17, 53, 80)),
        ),
        (
            {"runtimeConfig": {"portMappings": [runtime_port(), runtime_port(protocol="sctp", hostIP="10.0.0.1")]}},
            (PortMapping(6, 8080, 80), PortMapping(132, 8080, 80, Addr.parse("10.0.0.1"))),
        ),
        (
            {"runtimeConfig": {"portMappings": [runtime_port(hostIP="fd00::1")]}},
            (PortMapping(6, 8080, 80, Addr.parse("fd00::1")),),
        ),
        (
            {"args": mesos(port_mappings=[mesos_port()]), "runtimeConfig": {"portMappings": [runtime_port()]}},
            (PortMapping(6, 8080, 80),),
        ),
        (
            {
                "runtimeConfig": {
                    "portMappings": [runtime_port(hostIP="10.0.0.1"), runtime_port(hostIP="10.0.0.2", containerPort=81)]
                }
            },
            (
                PortMapping(6, 8080, 80, Addr.parse("10.0.0.1")),
                PortMapping(6, 8080, 81, Addr.parse("10.0.0.2")),
            ),
        ),
    ],
)
def test_ports_are_asked_for_in_either_way(fields, ports):
    assert request(**fields).ports == ports


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"args": mesos(port_mappings=[{}])}, "NetworkInfo.port_mappings.host_port: 0 is not a port"),
        ({"args": mesos(port_mappings=[mesos_port(host_port=65536)])}, "host_port: 65536 is not a port"),
        ({"args": mesos(port_mappings=[mesos_port(container_port=-1)])}, "container_port: -1 is not a port"),
        ({"args": mesos(port_mappings=[mesos_port(protocol="icmp")])}, "port_mappings.protocol: 'icmp' has no ports"),
        ({"args": mesos(port_mappings=[mesos_port(), mesos_port(container_port=81)])}, "tcp/8080 is asked for twice"),
        ({"args": mesos(port_mappings=[mesos_port(host_port="x")])}, "host_port"),
        ({"runtimeConfig": {"portMappings": [runtime_port(hostPort=0)]}}, "portMappings.hostPort: 0 is not a port"),
        ({"runtimeConfig": {"portMappings": [runtime_port(hostIP="x")]}}, "hostIP: 'x' is not an IP address"),
        ({"runtimeConfig": {"portMappings": [runtime_port(hostIP="127.0.0.1")]}}, "ports of 127.0.0.1 are not mapped"),
        (
            {"runtimeConfig": {"portMappings": [runtime_port(), runtime_port(hostIP="10.0.0.1")]}},
            "host port tcp/8080 is asked for twice",
        ),
        (
            {"runtimeConfig": {"portMappings": [runtime_port(hostIP="0.0.0.0"), runtime_port(hostIP="10.0.0.1")]}},
            "host port tcp/8080 of 0.0.0.0 is asked for twice",
        ),
    ],
)
def test_a_port_that_cannot_be_is_code_7_and_named(fields, named):
    error = refusal(**fields)
    assert error.code == Code.INVALID_CONFIGURATION
    assert named in error.message


# --- DEL and CHECK -----------------------------------------------------------------------------------------------


def test_del_after_a_reboot_has_no_namespace():
    assert request("DEL", environment={"CNI_NETNS": None}).netns == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 7},
        {"type": None},
        {"ipam": {}},
        {"misspelt": 1},
        {"mtu": "x"},
        {"args": 1},
        {"args": mesos(port_mappings=[{}], ip_addresses=[{}, {}])},
        {"prevResult": {"ips": [{"address": "10.0.0.1/32"}]}},
    ],
)
def test_del_does_not_look_at_what_it_does_not_need(fields):
    found = request("DEL", environment={"CNI_ARGS": "garbage"}, **fields)
    assert (found.container_id, found.interface, found.wishes) == (ENVIRONMENT["CNI_CONTAINERID"], "eth0", Wishes())


@pytest.mark.parametrize(
    "previous",
    [
        {"ip4": {"ip": "10.65.0.7/32"}},
        {"ips": [{"address": "10.65.0.7/32", "version": "4"}]},
        {
            "interfaces": [{"name": "oci0"}, {"name": "eth0", "sandbox": "/ns"}],
            "ips": [{"address": "10.65.0.7/32", "interface": 1}, {"address": "10.1.1.1/24", "interface": 0}],
        },
    ],
)
def test_check_takes_the_addresses_of_the_result_before(previous):
    assert request("CHECK", prevResult=previous).previous == (Addr.parse("10.65.0.7"),)


def test_check_without_a_result_before_has_nothing_to_compare():
    assert request("CHECK").previous is None
