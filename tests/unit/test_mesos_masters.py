"""How masters may be named."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, parse_master


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("10.0.0.1:5051", (Endpoint("10.0.0.1", 5051),)),
        ("master.example", (Endpoint("master.example", 5050),)),
        ("h1:1, h2,", (Endpoint("h1", 1), Endpoint("h2", 5050))),
        ("[fd00::1]:5051", (Endpoint("fd00::1", 5051),)),
        ("[fd00::1]", (Endpoint("fd00::1", 5050),)),
    ],
)
def test_masters_are_host_and_port(text, endpoints):
    assert parse_master(text) == endpoints


@pytest.mark.parametrize("text", ["", ",", "h:", ":5050", "h:x", "h:70000", "h:0", "fd00::1", "[]:1"])
def test_nonsense_is_refused(text):
    with pytest.raises(UserError):
        parse_master(text)


def test_zookeeper_is_refused_with_the_form_that_works():
    with pytest.raises(UserError, match=r"only host:port is understood .*host1:5050,host2:5050"):
        parse_master("zk://z:2181/mesos")


def test_an_endpoint_reads_as_it_is_written():
    assert [str(Endpoint("h", 1)), str(Endpoint("fd00::1", 2))] == ["h:1", "[fd00::1]:2"]
