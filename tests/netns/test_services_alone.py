"""One host, no cluster: what is in the way, what is written and taken back, a container, and what a mistake is told."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from services_bed import Bed, wait_for

from ocicat.errors import Refused
from ocicat.model.base import replace
from ocicat.netlink import namespace
from ocicat.services import etcd_backup
from ocicat.services.etcd_api import Etcd
from ocicat.services.network import Access
from ocicat.services.zookeeper_config import JARS

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed"),
    pytest.mark.skipif(
        not (shutil.which("java") and Path(JARS[0]).exists()), reason="libzookeeper-java is not installed"
    ),
]


@pytest.fixture
def host():
    bed = Bed(1)
    try:
        yield bed.hosts[0]
    finally:
        bed.close()


@pytest.fixture(scope="module")
def still():
    """A host on which nothing is ever set up: who changes it fails."""
    bed = Bed(1)
    try:
        before = bed.hosts[0].files()
        yield bed.hosts[0]
        assert bed.hosts[0].files() == before
    finally:
        bed.close()


def test_both_are_set_up_serve_and_are_taken_away_to_the_byte(host):
    (host.root / "etc/ocicat/services").mkdir(parents=True)
    (host.root / "etc/ocicat/services/etcd.yml").write_text("somebody's own\n")
    before = host.files()
    assert "-somebody's own" in host.do("services", "up", "etcd", "--dry-run").out
    dry = host.do("services", "up", "zookeeper", "--user", "etcd", "--dry-run")
    assert "+clientPortAddress=127.0.0.1" in dry.out
    assert "would start zookeeper as member h1" in dry.err
    assert host.files() == before

    up = host.do("services", "up", "etcd", "--wait", "60")
    assert up.out.splitlines()[-1] == "etcd://127.0.0.1:2379"
    assert "etcd h1 serves, under a supervisor of its own" in up.err
    again = host.do("services", "up", "etcd")
    assert again.out.splitlines() == ["etcd://127.0.0.1:2379"]
    host.do("services", "up", "zookeeper", "--heap-mb", "64", "--user", "etcd")
    well, found = host.health()
    assert well
    assert [found[name]["members"][0]["role"] for name in ("zookeeper", "etcd")] == ["standalone", "leader"]
    assert (host.root / "var/lib/ocicat-etcd").stat().st_mode & 0o777 == 0o700
    host.do("store", "init", "--store", "etcd://127.0.0.1:2379")

    host.do("services", "down", "zookeeper", "etcd")
    assert (host.root / "etc/ocicat/services/etcd.yml").read_text() == "somebody's own\n"
    assert host.run("pgrep", "-f", "etcd --config-file").status == 1
    host.do("services", "up", "etcd")
    assert "tier/default" in host.do("get", "tiers", "-o", "name", "--store", "etcd://127.0.0.1:2379").out
    assert (host.root / "var/lib/ocicat-zookeeper").is_dir()
    host.do("services", "down", "etcd", "--purge")
    shutil.rmtree(
        host.root / "var/lib/ocicat-zookeeper"
    )  # of a service that is not set up any more: what --purge was not told of
    (host.root / "var/lib/ocicat-zookeeper.ocicat.json").unlink()
    (host.root / "var/log/ocicat/zookeeper.log").unlink()
    (host.root / "var/log/ocicat").rmdir()
    assert host.files() == before


def test_a_supervisor_that_is_killed_takes_its_server_along_and_is_replaced(host):
    host.do("services", "up", "etcd")
    pid = host.status("etcd")["pid"]
    state = json.loads(host.path("/run/ocicat/services/etcd.json").read_text())
    host.run("kill", "-KILL", str(state["supervisor"]["pid"]))
    wait_for(lambda: host.run("kill", "-0", str(pid)).status != 0, "etcd to end")
    assert host.ocicat("services", "status", "etcd").status == 1
    host.do("services", "start", "etcd")
    assert host.health("etcd")[0]
    edited = host.root / "etc/ocicat/services/etcd.yml"
    text = edited.read_text()
    edited.write_text(text + "# edited\n")
    assert "edited since it was installed" in host.refused("services", "up", "etcd", "--user", "root")
    assert "left as it is" in host.refused("services", "down", "etcd")
    assert edited.read_text() == text + "# edited\n"
    edited.write_text(text)
    host.do("services", "up", "etcd")
    assert "other members" in host.refused("services", "up", "etcd", "--members", "h1=10.0.0.1")
    assert "one member" in host.refused("services", "upgrade", "etcd")
    assert "one member" in host.refused("services", "stop", "etcd")
    assert "serves again" in host.do("services", "upgrade", "etcd", "--force").err


def test_a_user_that_is_missing_is_made_when_that_is_asked_for(host):
    (host.root / "etc/login.defs").write_text("")
    beside = host.refused("services", "up", "zookeeper", "--user", "keeper", "--install", "--data", "/etc")
    assert "holds what ocicat has not put there" in beside
    assert host.run("id", "keeper").status == 1
    assert "invalid user name" in host.refused("services", "up", "zookeeper", "--user=--root=/opt", "--install")
    assert "this host has no user keeper" in host.refused("services", "up", "zookeeper", "--user", "keeper")
    up = host.do("services", "up", "zookeeper", "--user", "keeper", "--install", "--heap-mb", "64")
    assert "useradd --system" in up.err
    assert host.run("id", "keeper").status == 0
    assert "keeper" in host.run("ps", "-o", "user=", "-C", "java").out


def test_what_crashes_is_told_with_its_last_words(host):
    (host.root / "opt/crash").write_text("#!/bin/sh\necho no room for me\nexit 3\n")
    (host.root / "opt/crash").chmod(0o755)
    said = host.refused("services", "up", "etcd", "--program", "/opt/crash")
    assert "etcd does not stay up: ended with status 3; its last words: no room for me" in said
    assert "see /var/log/ocicat/etcd.log" in said
    three = ("--members", "h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3")
    assert "is on this host with other members: h1=127.0.0.1" in host.refused("services", "up", "etcd", *three)
    host.do("services", "down", "etcd")
    own = ("--program", "/usr/bin/etcd")  # what was not said again stays
    assert "waits for a majority" in host.do("services", "up", "etcd", *three, *own, "--no-wait").err


def test_a_former_start_is_no_cause(host):
    program = host.root / "opt/crash"
    program.write_text("#!/bin/sh\necho no room for me\nexit 3\n")
    program.chmod(0o755)
    assert "no room for me" in host.refused("services", "up", "etcd", "--program", "/opt/crash")
    host.do("services", "down", "etcd")
    program.write_text("#!/bin/sh\nexit 3\n")
    said = host.refused("services", "up", "etcd", "--program", "/opt/crash")
    assert "does not stay up: ended with status 3" in said
    assert "last words" not in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("up", "etcd", "--members", "h1=10.0.0.1,h2=10.0.0.2"), "2 members"),
        (("up", "etcd", "--members", "a=10.0.0.7,b=10.0.0.8,c=10.0.0.9"), "none of the members is this host"),
        (("up", "etcd", "--program", "/no/etcd"), "there is no program /no/etcd"),
        (("up", "etcd", "--program", "/no/etcd", "--install"), "there is no program /no/etcd"),
        (("up", "etcd", "--tls", "relative"), "give an absolute path"),
        (("up", "etcd", "--data", "relative"), "not the absolute path"),
        (("up", "etcd", "--data", "/etc"), "holds what ocicat has not put there"),
        (("up", "etcd", "--tls", "/no/such"), "/no/such/tls.crt cannot be read"),
        (("up", "etcd", "--secure-only"), "--secure-only"),
        (("up", "etcd", "--image", "x"), "only with --with docker"),
        (("up", "zookeeper", "etcd", "--data", "/x"), "are of one service"),
        (("up", "etcd", "--user", "nosuchuser"), "no user nosuchuser"),
        (("status",), "no service is set up on this host"),
        (("health", "etcd"), "etcd is not set up on this host"),
        (("down", "etcd"), "etcd is not set up on this host"),
        (("backup", "etcd", "/var/backups/x"), "etcd is not set up on this host"),
        (("restore", "etcd", "/var/backups/x"), "etcd is not set up on this host"),
        (("upgrade", "zookeeper"), "zookeeper is not set up on this host"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(still, line, words):
    assert words in still.refused("services", *line)


def test_a_port_that_is_taken_and_a_certificate_that_does_not_fit(still):
    with namespace.inside(still.fd):
        taken = socket.create_server(("10.0.0.1", 2380))
    with taken:
        said = still.refused("services", "up", "etcd", "--members", "h1=10.0.0.1")
        assert "port 2380 of 10.0.0.1 is taken by another program" in said


def test_a_certificate_that_does_not_fit_is_refused(host):
    host.do("pki", "init")
    host.do("pki", "issue", "wrong", "--address", "10.0.0.9")
    line = ("services", "up", "etcd", "--members", "h1=10.0.0.1", "--tls")
    assert "wrong does not name 10.0.0.1" in host.refused(*line, "/etc/ocicat/tls/wrong")
    host.do("pki", "issue", "client", "--client")
    assert "does not name" in host.refused(*line, "/etc/ocicat/tls/client")
    host.do("pki", "issue", "right", "--address", "10.0.0.1")
    key = host.root / "etc/ocicat/tls/right/tls.key"
    key.chmod(0o644)
    assert "readable by others" in host.refused(*line, "/etc/ocicat/tls/right")
    key.chmod(0o600)
    host.do(*line, "/etc/ocicat/tls/right")
    assert host.health("etcd")[1]["etcd"]["certificate_days"] > 360
    host.do("pki", "renew", "right", "--force")
    copy = host.root / "etc/ocicat/services/etcd.tls"
    assert (copy / "tls.crt").read_bytes() != key.with_name("tls.crt").read_bytes()
    assert "its configuration or certificate changes" in host.do(*line, "/etc/ocicat/tls/right").err
    assert (copy / "tls.crt").read_bytes() == key.with_name("tls.crt").read_bytes()
    assert ((copy / "tls.key").owner(), (copy / "tls.key").stat().st_mode & 0o777) == ("etcd", 0o600)
    assert host.health("etcd")[0]


def test_data_that_stayed_says_whose_cluster_it_is_of(host):
    three = ("--members", "h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3")
    host.do("services", "up", "etcd")
    assert "with other members: h1=127.0.0.1" in host.refused("services", "up", "etcd", *three)
    host.do("services", "down", "etcd")
    assert "with other members: h1=127.0.0.1" in host.refused("services", "up", "etcd", *three)
    host.do("services", "up", "etcd")
    host.do("services", "down", "etcd", "--purge")
    assert "waits for a majority" in host.do("services", "up", "etcd", *three, "--no-wait").err


def test_data_is_not_given_to_a_program_that_is_older(host):
    (host.root / "opt/old").write_text("#!/bin/sh\necho etcd Version: 3.2.1\n")
    (host.root / "opt/old").chmod(0o755)
    old = ("services", "up", "etcd", "--program", "/opt/old")
    host.do("services", "up", "etcd")
    pid = host.status("etcd")["pid"]
    for dry in ((), ("--dry-run",)):
        assert "cannot be followed by 3.2.1" in host.refused(*old, *dry)
    assert host.status("etcd")["pid"] == pid
    for gone in (("stop", "etcd", "--force"), ("down", "etcd")):
        host.do("services", *gone)
        for dry in ((), ("--dry-run",)):
            assert "cannot be followed by 3.2.1" in host.refused(*old, *dry)
    host.do("services", "up", "etcd")


def test_an_upgrade_that_cannot_be_done_stops_nobody(host):
    host.do("pki", "init")
    host.do("pki", "issue", "h1", "--address", "127.0.0.1")
    host.do("services", "up", "etcd", "--tls", "/etc/ocicat/tls/h1")
    pid = host.status("etcd")["pid"]
    upgrade = ("services", "upgrade", "etcd", "--force")
    given, used = host.root / "etc/ocicat/tls/h1", host.root / "etc/ocicat/services/etcd.tls"
    assert "set up with --tls /etc/ocicat/tls/h1" in host.refused("services", "up", "etcd")

    edited = host.root / "etc/ocicat/services/etcd.yml"
    text = edited.read_text()
    edited.write_text(text + "# edited\n")
    assert "edited since it was installed" in host.refused(*upgrade)
    edited.write_text(text)

    old = (given / "tls.crt").read_bytes()
    host.do("pki", "issue", "other", "--address", "127.0.0.1")
    shutil.copy(given.with_name("other") / "tls.crt", given / "tls.crt")
    assert "is not the key of its certificate" in host.refused(*upgrade)
    (given / "tls.crt").write_bytes(old)
    both = (given / "tls.pem").read_bytes()
    (given / "tls.pem").unlink()
    assert "tls.pem cannot be read" in host.refused(*upgrade)
    (given / "tls.pem").write_bytes(both)
    (given / "tls.pem").chmod(0o600)
    assert host.status("etcd")["pid"] == pid

    host.do("pki", "renew", "h1", "--force")
    version = host.status("etcd")["version"]
    (host.root / "opt/broken").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "etcd Version: {version}"; exit 3\n'
    )
    (host.root / "opt/broken").chmod(0o755)
    assert "the former program is back" in host.refused(*upgrade, "--program", "/opt/broken")
    assert (used / "tls.crt").read_bytes() == old
    assert host.health("etcd")[0]
    host.do(*upgrade)
    assert (used / "tls.crt").read_bytes() == (given / "tls.crt").read_bytes() != old


def test_a_copy_is_compared_key_by_key(host):
    host.do("services", "up", "etcd")
    for number in range(4):  # together more than the gateway passes on at once
        line = f"head -c 1400000 /dev/zero | tr '\\0' {number} | ETCDCTL_API=3 etcdctl put /big/{number}"
        assert host.run("sh", "-c", line).status == 0
    member = Etcd("127.0.0.1", 2379, Access(namespace_fd=host.fd, timeout_s=60.0))
    revision = int(member.status().header.revision)
    content = member.content(revision)
    assert (content.revision, content.keys) == (revision, 4)
    etcd_backup.compare(content, member)
    assert host.run("sh", "-c", "ETCDCTL_API=3 etcdctl put /big/3 other").status == 0
    etcd_backup.compare(content, member)  # as it was at that revision
    changed = member.content(revision + 1)
    assert (changed.keys, changed.digest == content.digest) == (4, False)
    with pytest.raises(Refused, match="the copy differs from etcd"):
        etcd_backup.compare(replace(changed, revision=revision), member)
    (made,) = json.loads(host.do("services", "backup", "etcd", "/var/backups/big", "-o", "json").out)
    assert (made["revision"], made["digest"]) == (revision + 1, changed.digest)
