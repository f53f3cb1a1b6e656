"""Results: each version of the specification has its shape, written out here by hand."""

import json

import pytest

from ocicat.cni.config import Dns
from ocicat.cni.result import Attachment, render
from ocicat.cni.spec import VERSIONS
from ocicat.model.base import replace
from ocicat.model.net import Addr

V4 = Attachment("eth0", "/ns/a", "02:11:22:33:44:55", (Addr.parse("10.65.0.7"),), (Addr.parse("169.254.1.1"),))
DUAL = Attachment(
    "eth0",
    "/ns/a",
    "02:11:22:33:44:55",
    (Addr.parse("10.65.0.7"), Addr.parse("fd00::7")),
    (Addr.parse("169.254.1.1"), Addr.parse("fe80::1")),
)
OLD = {"ip4": {"ip": "10.65.0.7/32", "gateway": "169.254.1.1", "routes": [{"dst": "0.0.0.0/0"}]}}
INTERFACES = [{"name": "eth0", "mac": "02:11:22:33:44:55", "sandbox": "/ns/a"}]
ROUTES = [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}]
LISTED = {"address": "10.65.0.7/32", "gateway": "169.254.1.1", "interface": 0}
NUMBERED = {"interfaces": INTERFACES, "ips": [{**LISTED, "version": "4"}], "routes": ROUTES}
GOLDEN = {
    "0.1.0": OLD,
    "0.2.0": OLD,
    "0.3.0": NUMBERED,
    "0.3.1": NUMBERED,
    "0.4.0": NUMBERED,
    "1.0.0": {"interfaces": INTERFACES, "ips": [LISTED], "routes": ROUTES},
    "1.1.0": {"interfaces": INTERFACES, "ips": [LISTED], "routes": ROUTES},
}


def shown(version, attachment):
    return json.loads(render(version, attachment))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_its_shape(version):
    assert shown(version, V4) == {"cniVersion": version, **GOLDEN[version]}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_old_versions_hold_one_address_of_each_family(version):
    assert shown(version, DUAL) == {
        "cniVersion": version,
        **OLD,
        "ip6": {"ip": "fd00::7/128", "gateway": "fe80::1", "routes": [{"dst": "::/0"}]},
    }


def test_mesos_gets_ipv6_without_the_prefix_length_that_it_would_report():
    found = shown("0.2.0", replace(DUAL, for_mesos=True))
    assert (found["ip4"]["ip"], found["ip6"]["ip"]) == ("10.65.0.7/32", "fd00::7")


def test_new_versions_list_both_families():
    found = shown("0.4.0", DUAL)
    assert [entry["version"] for entry in found["ips"]] == ["4", "6"]
    assert found["routes"] == [*ROUTES, {"dst": "::/0", "gw": "fe80::1"}]


@pytest.mark.parametrize("version", VERSIONS)
def test_resolver_settings_are_handed_through_without_empty_ones(version):
    attachment = Attachment(
        V4.interface, V4.netns, V4.mac, V4.addresses, V4.gateways, Dns(nameservers=("10.0.0.53",), search=("a.b",))
    )
    assert shown(version, attachment)["dns"] == {"nameservers": ["10.0.0.53"], "search": ["a.b"]}
