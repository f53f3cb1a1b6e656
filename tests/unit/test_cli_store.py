"""`ocicat pool`, `endpoints` and `store`: data on standard output, talk on standard error, exit codes that mean something."""

from __future__ import annotations

import json

import pytest
from cli_bed import Shell

from ocicat.cli import opening
from ocicat.errors import Unavailable
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.store.base import Put


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def endpoint(host, container):
    name = f"{host}-mesos-{container}-eth0"
    spec = WorkloadEndpointSpec(
        orchestrator="mesos",
        node=host,
        container_id=container,
        endpoint="eth0",
        ip_networks=("10.65.0.1/32",),
        profiles=("a", "b"),
    )
    stored = WorkloadEndpoint(metadata=Metadata(name=name, namespace="default"), spec=spec)
    return Put(keys.workload("default", name), encode_json(stored))


# --- exit codes -------------------------------------------------------------------------------------------------


def test_0_when_it_is_done(shell):
    ended = shell.ok("pool", "add", "default", "10.65.0.0/16")
    assert (ended.out, ended.err) == ("", "pool default added: 10.65.0.0/16\n")


def test_1_when_the_rules_say_no(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    ended = shell("pool", "add", "other", "10.65.1.0/24")
    assert (ended.code, ended.out) == (1, "")
    assert "pool other: 10.65.1.0/24 overlaps pool default (10.65.0.0/16)" in ended.err


def test_2_when_it_is_asked_wrongly(shell):
    ended = shell("pool", "add", "default", "10.65.0.1/16")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "ocicat: pool default: '10.65.0.1/16' has host bits set\n  did you mean 10.65.0.0/16?\n"


def test_3_when_somebody_was_first(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    ended = shell("pool", "add", "default", "10.66.0.0/16")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "ocicat: pool 'default' exists already\n  `ocicat pool list` shows it\n"


def test_4_when_the_store_does_not_answer(shell, monkeypatch):
    async def held(url):
        raise Unavailable(f"store {url}: another process holds it", hint="try again")

    shell.write()
    monkeypatch.setattr(opening, "open_store", held)
    ended = shell("pool", "list")
    assert (ended.code, ended.out) == (4, "")
    assert "another process holds it" in ended.err


@pytest.mark.parametrize("words", [("pool", "list"), ("endpoints",), ("store", "status"), ("store", "lock")])
def test_5_when_there_is_no_store_and_looking_makes_none(shell, tmp_path, words):
    ended = shell(*words)
    assert (ended.code, ended.out) == (5, "")
    assert "there is no such file" in ended.err
    assert list(tmp_path.iterdir()) == []


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Default", "10.65.0.0/16"), "pool name 'Default' is not a DNS name"),
        (("", "10.65.0.0/16"), "the name '' holds no letter or digit"),
        (("p", "garbage"), "pool p: 'garbage' is not an IP address"),
        (("p", "10.65.0.0/33"), "the length must be 0 to 32"),
        (("p", "10.65.0.0/30"), "holds less than one block of /26"),
        (("p", "0.0.0.0/0"), "overlaps 169.254.0.0/16"),
        (("p", "10.65.0.0/16", "--block-size", "0"), "block size 0 is not in 20 to 32"),
        (("p", "10.65.0.0/16", "--block-size", "x"), "'x' is not a valid integer"),
        (("p", "10.65.0.0/16", "--store", "/var/lib/x"), "is no address of a store"),
        (("p", "10.65.0.0/16", "--store", "etcd://x?y=1"), "has no parameter y"),
        (("p",), "Missing argument 'CIDR'"),
        (("p", "\udcff"), "is not an IP address"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(shell, tmp_path, words, said):
    ended = shell("pool", "add", *words)
    assert ended.code in (1, 2)
    assert said in ended.err
    assert ended.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_finds_what_the_real_one_would_and_writes_nothing(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    assert shell("pool", "add", "default", "10.65.0.0/16", "--dry-run").code == 3
    assert shell("pool", "add", "other", "10.65.0.0/24", "--dry-run").code == 1
    assert (
        shell.ok("pool", "add", "other", "10.66.0.0/24", "--dry-run").err == "pool other could be added: 10.66.0.0/24\n"
    )
    assert shell.ok("pool", "list", "-o", "name").out == "ippool/default\n"


# --- output -----------------------------------------------------------------------------------------------------


def test_pools_as_a_table_as_names_and_as_they_are_stored(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    shell.ok("pool", "add", "six", "fd00::/64")
    assert shell.ok("pool", "list").out == (
        "NAME     CIDR          BLOCK SIZE  DISABLED\n"
        "default  10.65.0.0/16  26          no\n"
        "six      fd00::/64     122         no\n"
    )
    assert shell.ok("pool", "list", "-o", "name").out == "ippool/default\nippool/six\n"
    first = json.loads(shell.ok("pool", "list", "-o", "json").out)[0]
    assert first == json.loads(shell.read(keys.pool("default")))


def test_endpoints_as_a_table_as_names_and_as_they_are_stored(shell):
    shell.write(endpoint("h1", "c1"), endpoint("h2", "c2"))
    assert shell.ok("endpoints", "--host", "h2").out == (
        "HOST  CONTAINER  INTERFACE  ADDRESS    PROFILES\nh2    c2         eth0       10.65.0.1  a,b\n"
    )
    assert shell.ok("endpoints", "-o", "name").out.splitlines()[0] == "workloadendpoint/default/h1-mesos-c1-eth0"
    assert [each["spec"]["node"] for each in json.loads(shell.ok("endpoints", "-o", "json").out)] == ["h1", "h2"]


def test_nothing_is_an_empty_list(shell):
    shell.write()
    assert shell.ok("endpoints", "-o", "json").out == "[]\n"
    assert shell.ok("endpoints", "-o", "name").out == ""


def test_one_bad_object_is_told_and_never_hides_the_others(shell):
    shell.write(endpoint("h1", "c1"), Put(keys.workload("default", "bad"), b'{"kind": 1}'))
    shell.write(Put(keys.pool("bad"), b'{"metadata":{"name":"bad"},"spec":{"cidr":"nonsense"}}'))
    listed = shell.ok("endpoints", "-o", "name")
    assert listed.out == "workloadendpoint/default/h1-mesos-c1-eth0\n"
    assert "left out: /calico/resources/v3/projectcalico.org/workloadendpoints/default/bad" in listed.err
    added = shell.ok("pool", "add", "good", "10.65.0.0/16")
    assert "left out: pool bad: 'nonsense' is not an IP address" in added.err


# --- the lock ---------------------------------------------------------------------------------------------------


def test_the_lock_is_shown(shell):
    shell.write()
    for command, locked in (("lock", True), ("lock", True), ("unlock", False)):
        assert shell.ok("store", command).out == ""
        (found,) = json.loads(shell.ok("store", "status", "-o", "json").out)
        assert found["locked"] is locked
        assert shell.ok("store", "status").out.splitlines()[1].endswith("yes" if locked else "no")
    assert sorted(found) == ["compacted", "keys", "locked", "revision", "size_bytes", "url"]


def test_locking_keeps_what_other_tools_wrote(shell):
    theirs = {
        "kind": "ClusterInformation",
        "metadata": {"name": "default", "generation": 2},
        "spec": {"calicoVersion": "v3"},
    }
    shell.write(Put(keys.CLUSTER_INFORMATION, json.dumps(theirs).encode()))
    shell.ok("store", "lock")
    assert json.loads(shell.read(keys.CLUSTER_INFORMATION)) == {
        **theirs,
        "spec": {"calicoVersion": "v3", "datastoreReady": False},
    }
