"""How masters may be named."""

from __future__ import annotations

import re

import pytest

from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, Ensemble, parse_master, parse_masters


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


@pytest.mark.parametrize(
    "text", ["", ",", "h:", ":5050", "h:x", "h:70000", "h:0", "fd00::1", "[]:1", "h:000080", f"h:{'9' * 5000}"]
)
def test_nonsense_is_refused(text):
    with pytest.raises(UserError):
        parse_master(text)


@pytest.mark.parametrize(
    ("text", "ensemble"),
    [
        ("zk://z:2181/mesos", Ensemble((Endpoint("z", 2181),), "/mesos")),
        (
            "zk://z1,z2:2182, z3/a/b/",
            Ensemble((Endpoint("z1", 2181), Endpoint("z2", 2182), Endpoint("z3", 2181)), "/a/b"),
        ),
        ("zk://[fd00::1]:2181,[::1]/mesos", Ensemble((Endpoint("fd00::1", 2181), Endpoint("::1", 2181)), "/mesos")),
        ("zk://me:p@ss:w/rd@z/mesos", Ensemble((Endpoint("z", 2181),), "/mesos", "me:p@ss:w/rd")),
    ],
)
def test_zookeeper_is_servers_a_path_and_perhaps_credentials(text, ensemble):
    assert parse_masters(text) == ensemble


def test_masters_may_be_named_where_zookeeper_may_be():
    assert parse_masters("h1:1,h2") == (Endpoint("h1", 1), Endpoint("h2", 5050))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("zk://", "no ZooKeeper server is named"),
        ("zk:///mesos", "no ZooKeeper server is named"),
        ("zk://z:2181", "no path"),
        ("zk://z:2181/", "no path"),
        ("zk://z:2181//mesos", "no path"),
        ("zk://z:2181/a/../b", "no path"),
        ("zk://z:x/mesos", "'z:x' is not host:port"),
        ("zk://fd00::1/mesos", "stands in brackets"),
        ("zk://me@z/mesos", "is not user:password"),
        ("zk://@z/mesos", "is not user:password"),
        ("http://z:5050", "only host:port and zk:// are understood"),
    ],
)
def test_what_is_wrong_with_a_zookeeper_is_told(text, complaint):
    with pytest.raises(UserError, match=re.escape(complaint)):
        parse_masters(text)


def test_a_password_is_never_shown():
    assert str(parse_masters("zk://me:secret@z/mesos")) == "zk://me:***@z:2181/mesos"
    for text in ("zk://me:secret@z", "zk://me:secret@", "zk://me:secret@z:x/mesos", "zk://:secret@z/mesos"):
        with pytest.raises(UserError) as caught:
            parse_masters(text)
        assert "secret" not in str(caught.value)


def test_where_zookeeper_will_not_do_it_is_refused_with_the_form_that_works():
    with pytest.raises(UserError, match=r"only host:port .*host1:5050,host2:5050"):
        parse_master("zk://z:2181/mesos")


def test_an_endpoint_reads_as_it_is_written():
    assert [str(Endpoint("h", 1)), str(Endpoint("fd00::1", 2))] == ["h:1", "[fd00::1]:2"]
