"""What users of Docker say with options and labels."""

from __future__ import annotations

import pytest

from ocicat.docker import options
from ocicat.docker.options import Settings
from ocicat.errors import UserError
from ocicat.model.net import Addr
from ocicat.model.wanted import PortMapping

GENERIC = "com.docker.network.generic"


def network(**said):
    return options.of_network({GENERIC: {name.replace("__", "."): value for name, value in said.items()}})


def published(**fields):
    return {"com.docker.network.portmap": [{"Proto": 6, "IP": "", "Port": 80, "HostIP": "", **fields}]}


def test_a_network_s_options():
    said = {
        "ocicat.label.app": "web",
        "ocicat.label.example.com/tier": "front",
        "ocicat.groups": "a, b,",
        "ocicat.profile": "open",
        "com.docker.network.driver.mtu": "1400",
    }
    assert options.of_network({GENERIC: said, "com.docker.network.enable_ipv6": False}) == Settings(
        labels={"app": "web", "example.com/tier": "front"}, groups=("a", "b"), profile="open", mtu=1400
    )


@pytest.mark.parametrize("nothing", [{}, {GENERIC: {}}, {GENERIC: None}])
def test_a_network_without_options(nothing):
    assert options.of_network(nothing) == Settings()


def test_no_profile_is_another_thing_than_none_said():
    assert (network(ocicat__profile="").profile, network().profile) == ("", None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ocicat.lable.app", "web", "option ocicat.lable.app: unknown"),
        ("ocicat.label.", "web", "option ocicat.label.: unknown"),
        ("ocicat.label.docker/container", "x", "labels docker/... are told by the agent itself"),
        ("ocicat.label.!docker/container", "x", "option ocicat.label.!docker/container: labels docker/..."),
        ("ocicat.label. docker/network", "x", "labels docker/... are told by the agent itself"),
        ("parent", "eth0", "option parent: unknown"),
        ("com.docker.network.driver.mtu", "big", "'big' is not a size"),
        ("com.docker.network.driver.mtu", "100", "576 to 65535 bytes"),
    ],
)
def test_what_a_network_cannot_have_is_refused_by_name(name, value, words):
    with pytest.raises(UserError) as caught:
        options.of_network({GENERIC: {name: value}})
    assert words in str(caught.value)


def test_an_internal_network_is_refused():
    with pytest.raises(UserError, match="--internal is not served"):
        options.of_network({"com.docker.network.internal": True})


def test_an_endpoint_s_options_beside_those_of_the_engine():
    said = {"com.docker.network.endpoint.exposedports": [], "ocicat.label.app": "db", "ocicat.groups": "x"}
    assert options.of_endpoint(said) == Settings(labels={"app": "db"}, groups=("x",))


@pytest.mark.parametrize("name", ["ocicat.profile", "ocicat.group"])
def test_an_endpoint_s_unknown_options_of_ours_are_refused(name):
    with pytest.raises(UserError, match=f"option {name}: unknown .the options of an endpoint are"):
        options.of_endpoint({name: "x"})


def test_an_endpoint_goes_before_its_network():
    net = Settings(labels={"app": "web", "tier": "front"}, groups=("a",), profile="p", mtu=1400)
    assert options.joined(net, Settings()) == net
    found = options.joined(net, Settings(labels={"app": "db"}, groups=("b",)))
    assert found == Settings(labels={"app": "db", "tier": "front"}, groups=("b",), profile="p", mtu=1400)


def test_labels_of_a_container():
    said = {
        "ocicat.label.app": "web",
        "org.projectcalico.label.app": "older",
        "org.projectcalico.label.role": "x",
        "maintainer": "somebody",
        "ocicat.label.": "none",
        "ocicat.label.docker/network": "other",
        "ocicat.label.!docker/network": "other",
    }
    assert options.of_container(said) == {"app": "web", "role": "x"}


def test_published_ports():
    assert options.ports({}) == options.ports({"com.docker.network.portmap": None}) == ()
    assert options.ports(published(HostPort=8080, HostPortEnd=8080)) == (PortMapping(6, 8080, 80),)
    assert options.ports(published(Proto=17, HostPort=53, HostIP="10.0.0.1")) == (
        PortMapping(17, 53, 80, Addr.parse("10.0.0.1")),
    )
    assert options.ports(published(HostPort=8080, HostIP="0.0.0.0")) == (PortMapping(6, 8080, 80),)


def test_both_families_of_one_published_port_are_one():
    both = published(HostPort=8080, HostIP="0.0.0.0")
    both["com.docker.network.portmap"] += published(HostPort=8080, HostIP="::")["com.docker.network.portmap"]
    assert options.ports(both) == (PortMapping(6, 8080, 80),)


@pytest.mark.parametrize("which", [{}, {"HostPort": 8000, "HostPortEnd": 8010}])
def test_a_port_that_the_engine_would_have_to_learn_is_refused(which):
    with pytest.raises(UserError, match=r"without a port of the host .name the one .* --publish PORT:80"):
        options.ports(published(**which))
