"""Both services in containers of a real Docker engine: started by each of three tools, killed, saved, moved, and gone again."""

import importlib.util
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from services_bed import Bed, wait_for
from services_engine_bed import ETCD, SCRIPT, WAYS, ZOOKEEPER, engine, load_etcd, load_zookeeper, missing, only

from ocicat.services.zookeeper_config import JARS

LONG = pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
LACK = missing("etcd", "java", "docker")
pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(bool(LACK), reason=LACK),
    pytest.mark.skipif(not Path(JARS[0]).exists(), reason="libzookeeper-java is not installed"),
    pytest.mark.skipif(not SCRIPT.exists(), reason="zookeeper, whose zkServer.sh is used, is not installed"),
]

PASSWORD = "etc/ocicat/services/zookeeper-mesos.password"


@pytest.fixture
def host():
    bed = Bed(1)
    try:
        with engine(bed.hosts[0]):
            yield bed.hosts[0]
    finally:
        bed.close()


def containers(host):
    return host.run("docker", "ps", "--all", "--quiet").out


def volumes(host):
    return host.run("docker", "volume", "ls", "--quiet").out


def labels(host, name):
    return host.run("docker", "inspect", "--format={{.Config.Labels}}", name).out


def kill(host, which):
    """Its process. The engine starts it again."""
    host.run("kill", "-KILL", str(host.status(which)["pid"]))
    wait_for(lambda: host.status(which)["restarts"] and host.health(which)[0], "the container")


@pytest.mark.parametrize("way", [WAYS[0], *(pytest.param(each, marks=LONG) for each in WAYS[1:])])
def test_both_in_containers(host, way, monkeypatch):
    if lack := only(host, way, monkeypatch):
        pytest.skip(lack)
    load_etcd(host)
    load_zookeeper(host)
    before = host.files()
    up = host.do("services", "up", "etcd", "--with", "docker", "--image", ETCD)
    assert "in the container ocicat-etcd" in up.err
    up = host.do("services", "up", "zookeeper", "--with", "docker", "--image", ZOOKEEPER, "--heap-mb", "64")
    assert up.out.splitlines()[-1] == "zk://127.0.0.1:2181/mesos"
    well, found = host.health()
    assert well, found
    for name in ("etcd", "zookeeper"):
        status = host.status(name)
        assert (status["state"], status["how"]) == ("running", "docker")
        assert ("com.docker.compose.project:ocicat-services" in labels(host, f"ocicat-{name}")) is (way != "run")
    dry = host.do("services", "upgrade", "etcd", "--image", "127.0.0.1:9/no:no", "--force", "--dry-run")
    assert "would fetch 127.0.0.1:9/no:no" in dry.err
    line = host.path(f"/proc/{host.status('zookeeper')['pid']}/cmdline").read_text().split("\0")
    assert {"-Xmx64m", "-XX:+ExitOnOutOfMemoryError"} <= set(line)
    host.do("store", "init", "--store", "etcd://127.0.0.1:2379")
    kill(host, "etcd")
    kill(host, "zookeeper")
    for name in ("etcd", "zookeeper"):
        (made,) = json.loads(host.do("services", "backup", name, f"/var/backups/{name}", "-o", "json").out)
        assert made["is_verified"]
        (host.root / "var/backups" / name).unlink()
    host.do("services", "upgrade", "zookeeper", "--force")
    host.do("services", "down", "zookeeper", "etcd", "--purge", "--force")
    assert (containers(host), volumes(host)) == ("", "")
    assert host.files() == before


@LONG
def test_a_member_moves_from_a_container_to_the_host_and_back(host, monkeypatch):
    only(host, "run", monkeypatch)
    load_etcd(host)
    load_zookeeper(host)
    inside = {"etcd": ("--image", ETCD), "zookeeper": ("--image", ZOOKEEPER, "--heap-mb", "64")}
    outside = {"etcd": (), "zookeeper": ("--heap-mb", "64", "--user", "etcd")}
    url = "etcd://127.0.0.1:2379"
    for name in ("etcd", "zookeeper"):
        host.do("services", "up", name, "--with", "docker", *inside[name])
    host.do("store", "init", "--store", url)
    for name in ("etcd", "zookeeper"):
        host.do("services", "up", name)  # as it is
        assert host.status(name)["how"] == "docker"
        host.do("services", "up", name, "--with", "native", *outside[name])
        assert host.status(name)["how"] == "supervised"
    assert "tier/default" in host.do("get", "tiers", "-o", "name", "--store", url).out
    assert containers(host) == ""
    for name in ("etcd", "zookeeper"):
        host.do("services", "up", name, "--with", "docker", *inside[name])
    assert "tier/default" in host.do("get", "tiers", "-o", "name", "--store", url).out
    assert host.health()[0]


@LONG
@pytest.mark.skipif(not importlib.util.find_spec("kazoo"), reason="kazoo is not installed")
def test_three_in_containers_with_tls_and_a_password(monkeypatch):
    """Lost, brought back, saved, restored, another image: as without containers."""
    bed = Bed(3)
    try:
        with ExitStack() as stack:
            for host in bed.hosts:
                stack.enter_context(engine(host))
            only(bed.hosts[0], "run", monkeypatch)  # each host by its own tools
            bed.each(load_zookeeper)
            cluster(bed)
    finally:
        bed.close()


def cluster(bed):
    tls = bed.certify()
    before = [host.files() for host in bed.hosts]
    line = ("services", "up", "zookeeper", "--with", "docker", "--image", ZOOKEEPER, "--heap-mb", "64", "--auth")
    line += ("--members", bed.members)
    one, *others = bed.hosts
    one.do(*line, "--tls", tls[0], "--no-wait")
    for host in others:
        (host.root / PASSWORD).parent.mkdir(parents=True)
        shutil.copy2(one.root / PASSWORD, host.root / PASSWORD)
    said = bed.each(lambda host: host.do(*line, "--tls", tls[bed.hosts.index(host)]), others)
    assert "asked for from now on" in "".join(up.err for up in said)
    one.do("services", "health", "--wait", "60")

    lost = leader(bed)
    lost.run("kill", "-KILL", str(lost.status("zookeeper")["pid"]))
    wait_for(lambda: lost.status("zookeeper")["restarts"], "the engine to start it again")
    one.do("services", "health", "--wait", "60")

    load_zookeeper(lost, "zookeeper:next")
    lost.do("services", "upgrade", "zookeeper", "--image", "zookeeper:next")
    assert lost.run("docker", "inspect", "--format={{.Config.Image}}", "ocicat-zookeeper").out == "zookeeper:next\n"
    pid = lost.status("zookeeper")["pid"]
    assert "cannot be fetched" in lost.refused("services", "upgrade", "zookeeper", "--image", "127.0.0.1:9/no:no")
    assert lost.status("zookeeper")["pid"] == pid
    load_etcd(lost)  # a wrong image
    assert "the former program is back" in lost.refused("services", "upgrade", "zookeeper", "--image", ETCD)
    one.do("services", "health", "--wait", "60")

    copy = "/var/backups/zookeeper.tar.gz"
    (made,) = json.loads(one.do("services", "backup", "zookeeper", copy, "-o", "json").out)
    assert made["is_verified"]
    for host in others:
        shutil.copy2(one.root / copy[1:], host.root / copy[1:])
    bed.each(lambda host: host.do("services", "stop", "zookeeper", "--force"))
    bed.each(lambda host: host.do("services", "restore", "zookeeper", copy, "--force"))
    bed.each(lambda host: host.do("services", "start", "zookeeper"))
    one.do("services", "health", "--wait", "60")
    bed.each(lambda host: host.do("services", "down", "zookeeper", "--purge", "--force"))
    for host, files in zip(bed.hosts, before, strict=True):
        (host.root / copy[1:]).unlink()
        assert (containers(host), volumes(host)) == ("", "")
        assert host.files() == files


def leader(bed):
    name = bed.hosts[0].health("zookeeper")[1]["zookeeper"]["leader"]
    return next(host for host in bed.hosts if host.name == name)
