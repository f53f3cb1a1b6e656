"""`ocicat pool` and `ocicat endpoints`: short for what `get` and `create` do, by the same rules."""

from __future__ import annotations

import asyncio
import json

import pytest
from cli_bed import Shell

from ocicat.cli import opening
from ocicat.errors import Unavailable
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.document import parse
from ocicat.resources import Create, Rejected, commit
from ocicat.store.base import Put
from ocicat.store.open import open_store


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def endpoint(host, container, **labels):
    name = f"{host}-mesos-{container}-eth0"
    spec = WorkloadEndpointSpec(
        orchestrator="mesos",
        node=host,
        container_id=container,
        endpoint="eth0",
        ip_networks=("10.65.0.1/32",),
        profiles=("a", "b"),
    )
    labels = {f"mesos/{key}": value for key, value in labels.items()}
    stored = WorkloadEndpoint(metadata=Metadata(name=name, namespace="default", labels=labels), spec=spec)
    return Put(keys.workload("default", name), encode_json(stored))


# --- pools ------------------------------------------------------------------------------------------------------


def test_a_pool_is_added(shell):
    assert shell.ok("pool", "add", "default", "10.65.0.0/16").out == "ippool/default created\n"
    stored = json.loads(shell.read(keys.pool("default")))
    assert (stored["spec"]["cidr"], stored["spec"]["blockSize"]) == ("10.65.0.0/16", 26)
    assert stored["metadata"]["uid"]


def test_what_is_there_is_3(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    ended = shell("pool", "add", "default", "10.66.0.0/16")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("ocicat: IPPool default: exists already")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Default", "10.65.0.0/16"), 'metadata.name = "Default"'),
        (("", "10.65.0.0/16"), 'IPPool: metadata.name = ""'),
        (("p", "garbage"), 'spec.cidr = "garbage"'),
        (("p", "10.65.0.1/16"), "did you mean 10.65.0.0/16?"),
        (("p", "10.65.0.0/33"), "spec.cidr"),
        (("p", "10.65.0.0/30"), "spec.cidr"),
        (("p", "10.65.0.0/16", "--block-size", "12"), "spec.blockSize = 12"),
        (("p", "10.65.0.0/16", "--block-size", "x"), "'x' is not a valid integer"),
        (("p", "169.254.0.0/20"), "spec.cidr"),
        (("p", "10.65.0.0/16", "--store", "/var/lib/x"), "is no address of a store"),
        (("p",), "Missing argument 'CIDR'"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(shell, tmp_path, words, said):
    ended = shell("pool", "add", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_finds_what_the_real_one_would_and_writes_nothing(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    assert shell("pool", "add", "default", "10.65.0.0/16", "--dry-run").code == 3
    assert shell("pool", "add", "other", "10.65.0.0/24", "--dry-run").code == 2
    assert shell.ok("pool", "add", "other", "10.66.0.0/24", "--dry-run").out.startswith(
        "ippool/other created (dry run)"
    )
    assert shell.ok("pool", "list", "-o", "name").out == "ippool/default\n"


def test_of_two_overlapping_pools_at_once_one_is_added(shell):
    """Whoever comes second has read before the first has written."""

    def pool(name, cidr):
        return Create(document=parse(encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr)))))

    async def race():
        stores = [await open_store(shell.url) for _ in range(4)]
        changes = [pool(f"p{n}", f"10.65.{n}.0/16" if n == 9 else f"10.65.0.0/{16 + n}") for n in range(4)]
        ended = await asyncio.gather(
            *(commit(store, [change]) for store, change in zip(stores, changes, strict=True)), return_exceptions=True
        )
        for store in stores:
            await store.close()
        return ended

    ended = asyncio.run(race())
    assert sorted(isinstance(one, Rejected) for one in ended) == [False, True, True, True]
    assert len(shell.ok("pool", "list", "-o", "name").out.split()) == 1


def test_pools_are_listed(shell):
    shell.ok("pool", "add", "default", "10.65.0.0/16")
    shell.ok("pool", "add", "six", "fd00::/64", "--block-size", "124", "--nat-outgoing")
    assert shell.ok("pool", "list").out == (
        "NAME     CIDR          BLOCK SIZE  DISABLED\n"
        "default  10.65.0.0/16  26          false\n"
        "six      fd00::/64     124         false\n"
    )
    assert shell.ok("pool", "list", "-o", "name").out == "ippool/default\nippool/six\n"
    assert [line for line in shell.ok("get", "pools", "-o", "yaml").out.splitlines() if "natOutgoing" in line] == [
        "    natOutgoing: true"
    ]
    for style in ("json", "yaml", "wide"):
        assert shell.ok("pool", "list", "-o", style).out == shell.ok("get", "pools", "-o", style).out


# --- endpoints --------------------------------------------------------------------------------------------------


def test_endpoints_are_listed(shell):
    shell.write(endpoint("h1", "c1"), endpoint("h2", "c2", framework="marathon", task="shop"))
    assert shell.ok("endpoints", "--host", "h2").out == (
        "HOST  CONTAINER  INTERFACE  ADDRESS    PROFILES  FRAMEWORK  TASK\n"
        "h2    c2         eth0       10.65.0.1  a,b       marathon   shop\n"
    )
    assert shell.ok("endpoints", "-o", "name").out.splitlines()[0] == "workloadendpoint/default/h1-mesos-c1-eth0"
    assert shell.ok("endpoints", "-o", "wide").out.startswith("NAMESPACE  NAME  ")
    listed = json.loads(shell.ok("endpoints", "-o", "json").out)
    assert (listed["kind"], [one["spec"]["node"] for one in listed["items"]]) == ("WorkloadEndpointList", ["h1", "h2"])


def test_no_endpoints_are_a_table_without_rows(shell):
    shell.write()
    assert shell.ok("endpoints").out == "HOST  CONTAINER  INTERFACE  ADDRESS  PROFILES  FRAMEWORK  TASK\n"
    assert shell.ok("endpoints", "-o", "name").out == ""


# --- both -------------------------------------------------------------------------------------------------------


def test_one_bad_object_is_told_and_never_hides_the_others(shell):
    shell.write(endpoint("h1", "c1"), Put(keys.workload("default", "bad"), b'{"kind": 1}'))
    listed = shell.ok("endpoints", "-o", "name")
    assert listed.out == "workloadendpoint/default/h1-mesos-c1-eth0\n"
    assert "left out: WorkloadEndpoint default/bad" in listed.err
    shell.write(Put(keys.pool("bad"), b"{"))
    assert "left out: IPPool bad" in shell.ok("pool", "list").err


@pytest.mark.parametrize("words", [("pool", "list"), ("endpoints",), ("get", "nodes")])
def test_5_when_there_is_no_store_and_looking_makes_none(shell, tmp_path, words):
    ended = shell(*words)
    assert (ended.code, ended.out) == (5, "")
    assert "there is no such file" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("pool", "list"), ("endpoints",), ("get", "nodes", "-w")])
def test_4_when_the_store_does_not_answer(shell, monkeypatch, words):
    async def held(url, **_):
        raise Unavailable(f"store {url}: another process holds it", hint="try again")

    shell.write()
    monkeypatch.setattr(opening, "open_store", held)
    ended = shell(*words)
    assert (ended.code, ended.out) == (4, "")
    assert "another process holds it" in ended.err
