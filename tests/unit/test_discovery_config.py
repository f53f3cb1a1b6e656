"""Every setting of the DNS server that cannot work is refused before anything is touched."""

from __future__ import annotations

import re

import pytest

from ocicat.agent.discovery.config import parse
from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint

MASTER = "10.0.0.1:5050"


def test_without_an_address_no_names_are_served():
    assert parse((), MASTER) is None
    assert parse((), "") is None


def test_what_is_served_where():
    config = parse(
        ("10.0.0.11", "[fd00::11]:5353", "fd00::12"),
        "m1,10.0.0.2:5051",
        zone="Cluster.Example.",
        upstream=("10.0.0.9",),
    )
    assert config.listen == (Endpoint("10.0.0.11", 53), Endpoint("fd00::11", 5353), Endpoint("fd00::12", 53))
    assert [f"{address} {port}" for address, port in config.addresses] == [
        "10.0.0.11 53",
        "fd00::11 5353",
        "fd00::12 53",
    ]
    assert config.naming.zone == "cluster.example"
    assert config.upstream == (Endpoint("10.0.0.9", 53),)
    assert config.listed_masters == (Endpoint("m1", 5050), Endpoint("10.0.0.2", 5051))


@pytest.mark.parametrize("master", ["zk://10.0.0.1:2181/mesos", "file:///etc/mesos/zk"])
def test_masters_that_are_elected_are_not_listed(master):
    assert parse(("10.0.0.11",), master).listed_masters == ()


@pytest.mark.parametrize(
    ("listen", "master", "changed", "said"),
    [
        (("10.0.0.11",), "", {}, "no Mesos master is named, whose tasks should have names (--mesos-master HOST:PORT)"),
        (("10.0.0.11",), "http://x", {}, "only host:port and zk:// are understood here"),
        (("h1",), MASTER, {}, "DNS: --dns 'h1' is no address"),
        (("10.0.0.11:0",), MASTER, {}, "DNS: --dns '10.0.0.11:0' is no address"),
        (("fd00::11x",), MASTER, {}, "DNS: --dns 'fd00::11x' is no address"),
        (("0.0.0.0",), MASTER, {}, "answers would come from another address than was asked"),
        (("[::]:53",), MASTER, {}, "answers would come from another address than was asked"),
        (("10.0.0.11",), MASTER, {"upstream": ("dns.example",)}, "DNS: --dns-upstream 'dns.example' is no address"),
        (("10.0.0.11",), MASTER, {"upstream": ("10.0.0.11:53",)}, "--dns-upstream 10.0.0.11:53 is this server itself"),
        (("10.0.0.11",), MASTER, {"zone": "."}, "DNS: zone '.' is no domain"),
        (("10.0.0.11",), MASTER, {"zone": "me sos"}, "DNS: zone 'me sos' is no domain"),
        (("10.0.0.11",), MASTER, {"zone": "x" * 64}, "is no domain"),
        (("10.0.0.11",), MASTER, {"zone": ".".join(["x" * 60] * 5)}, "is longer than 128 characters"),
        (("10.0.0.11",), MASTER, {"ttl_s": -1}, "DNS: a time to live of -1 s"),
        ((), MASTER, {"upstream": ("10.0.0.9",)}, "no DNS is served, so nothing can be said about it"),
        ((), MASTER, {"only": ("reachable",)}, "no DNS is served, so nothing can be said about it"),
    ],
)
def test_a_setting_that_cannot_work_is_named(listen, master, changed, said):
    with pytest.raises(UserError, match=re.escape(said)):
        parse(listen, master, **changed)
