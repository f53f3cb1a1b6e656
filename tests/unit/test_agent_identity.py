"""What an interface is called, which profiles it has, and how its labels are written."""

from __future__ import annotations

import json

import pytest

from ocicat.agent import identity, profiles
from ocicat.cni.request import parse
from ocicat.errors import UserError
from ocicat.model.net import Addr
from ocicat.model.v3.endpoints import QoSControls


def request(container="c1", interface="eth0", network="ocicat", info=None, **config):
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": container,
        "CNI_IFNAME": interface,
        "CNI_NETNS": "/run/netns/x",
    }
    document = {"name": network, "type": "ocicat", **config}
    if info is not None:
        document["args"] = {"org.apache.mesos": {"network_info": {"name": network, **info}}}
    return parse(environment, json.dumps(document).encode())


def test_two_networks_of_one_container_never_share_a_name():
    first, second = (identity.identify("h1", request(interface=name)) for name in ("eth0", "eth1"))
    assert {first.interface, first.key, first.handle, first.mac}.isdisjoint(
        {second.interface, second.key, second.handle, second.mac}
    )


def test_a_nested_container_never_shares_a_name_with_its_parent():
    parent, child = (identity.identify("h1", request(container=name)) for name in ("p", "p.c"))
    assert parent.interface != child.interface
    assert parent.handle != child.handle


def test_the_interface_fits_the_kernel():
    name = identity.interface_name("x" * 200, "eth0")
    assert len(name) == 15
    assert name.startswith("oci")


def test_the_mac_is_unicast_and_locally_administered():
    assert identity.identify("h1", request()).mac[0] & 0b11 == 0b10


def test_mesos_and_other_runtimes_are_told_apart():
    mesos = identity.identify("h1", request(info={}))
    other = identity.identify("h1", request())
    assert mesos.name == "h1-mesos-c1-eth0"
    assert other.name == "h1-cni-c1-eth0"


def test_labels_are_cleaned_as_calicos_plugin_does():
    info = {
        "labels": {"labels": [{"key": "app", "value": "my shop"}, {"key": "team/role", "value": "a/b"}, {"key": "?"}]}
    }
    asked = request(info=info)
    endpoint = identity.endpoint("h1", asked, identity.identify("h1", asked), (Addr.parse("10.0.0.1"),))
    assert endpoint.metadata.labels == {
        "app": "my-shop",
        "team/role": "a.b",
        "projectcalico.org/namespace": "default",
        "projectcalico.org/orchestrator": "mesos",
    }
    assert endpoint.spec.ip_networks == ("10.0.0.1/32",)


def test_a_label_chooses_the_namespace():
    info = {"labels": {"labels": [{"key": "projectcalico.org/namespace", "value": "prod"}]}}
    assert identity.identify("h1", request(info=info)).key.endswith("/workloadendpoints/prod/h1-mesos-c1-eth0")


def test_groups_become_profiles_in_order_and_once():
    assert identity.profile_names(request(info={"groups": ["b", "a", "b"]})) == ("b", "a")


def test_public_comes_first():
    assert identity.profile_names(request(info={"groups": ["b", "public", "a"]})) == ("public", "b", "a")


def test_frameworks_that_cannot_say_groups_say_them_in_a_label():
    def asked(value, **info):
        return request(info={"labels": {"labels": [{"key": "mesos-groups", "value": value}]}, **info})

    assert identity.profile_names(asked(" web, db ,,web")) == ("web", "db")
    assert identity.profile_names(asked("db", groups=["web"])) == ("web", "db")
    assert identity.profile_names(asked(" ,", groups=[])) == ("ocicat",)
    made = identity.endpoint("h1", asked("web"), identity.identify("h1", asked("web")), (Addr.parse("10.0.0.1"),))
    assert "mesos-groups" not in made.metadata.labels


@pytest.mark.parametrize(
    "key", ["mesos/role", "mesos/anything", "mesos-group/web", "docker/container", "docker/network", "!docker/network"]
)
def test_labels_that_are_not_for_a_framework_to_give_are_refused(key):
    asked = request(info={"labels": {"labels": [{"key": key, "value": "x"}]}})
    with pytest.raises(UserError, match=f"container c1: the label '{key.removeprefix('!')}'"):
        identity.endpoint("h1", asked, identity.identify("h1", asked), (Addr.parse("10.0.0.1"),))


def test_no_group_is_the_networks_own_profile():
    assert identity.profile_names(request(network="blue", info={})) == ("blue",)
    assert identity.profile_names(request(network="blue", info={}, defaultProfile="shared")) == ("shared",)
    assert identity.profile_names(request(network="blue", info={}, defaultProfile="")) == ("blue",)
    assert identity.profile_names(request(network="blue", info={}, defaultProfile=None)) == ()


def test_groups_that_are_no_resource_names_stay_apart():
    names = {profiles.profile_name(group) for group in ("web", "Web", "a/b", "a.b", "WEB")}
    assert len(names) == 5
    assert "web" in names


def test_a_group_without_letters_is_refused():
    with pytest.raises(UserError, match="holds no letter or digit"):
        profiles.profile_name("///")


def test_members_of_a_group_reach_each_other_and_public_is_reached_by_all():
    group, public = profiles.group_profile("a"), profiles.group_profile("public")
    assert group.spec.labels_to_apply == {"mesos-group/a": ""}
    assert group.spec.ingress[0].source.selector == "has(mesos-group/a)"
    assert public.spec.ingress[0].source.selector == ""
    assert group.spec.egress[0].action == public.spec.egress[0].action == "Allow"


def test_labels_that_limit_become_qos_controls_and_no_labels():
    labels = [{"key": "qos.projectcalico.org/ingressBandwidth", "value": "10M"}, {"key": "app", "value": "x"}]
    asked = request(info={"labels": {"labels": labels}})
    made = identity.endpoint("h1", asked, identity.identify("h1", asked), (Addr.parse("10.0.0.1"),))
    assert made.spec.qos_controls == QoSControls(ingress_bandwidth=10_000_000)
    assert made.metadata.labels["app"] == "x"
    assert not any("qos" in key for key in made.metadata.labels)


def test_a_limit_that_is_wrong_names_container_and_label():
    asked = request(info={"labels": {"labels": [{"key": "qos.projectcalico.org/dscp", "value": "99"}]}})
    with pytest.raises(UserError, match=r"container c1: label qos\.projectcalico\.org/dscp = 99"):
        identity.endpoint("h1", asked, identity.identify("h1", asked), (Addr.parse("10.0.0.1"),))
