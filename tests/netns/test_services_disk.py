"""A disk that is full, or too small: what is told names it, what was there stays, and the same command works when there is room."""

import shutil

import pytest
from services_bed import Bed

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed"),
    pytest.mark.skipif(not shutil.which("etcdctl"), reason="etcd-client is not installed"),
]

SMALL, FULL = "/var/lib/small", "No space left on device"


@pytest.fixture
def host():
    """With a disk of 4 MiB."""
    bed = Bed(1)
    try:
        host = bed.hosts[0]
        host.run("mkdir", SMALL)
        assert host.run("mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "none", SMALL).status == 0
        yield host
    finally:
        bed.close()


def fill(host):
    host.run("sh", "-c", f"cat /dev/zero > {SMALL}/fill; cat /dev/zero > {SMALL}/rest")


def empty(host):
    assert host.run("sh", "-c", f"rm {SMALL}/fill {SMALL}/rest").status == 0


def test_etcd_has_no_room_and_its_data_comes_back(host):
    said = host.refused("services", "up", "etcd", "--data", f"{SMALL}/etcd")
    assert "does not stay up" in said
    assert "no space left on device" in said.lower()
    assert "make room on the disk of its data" in said
    host.do("services", "down", "etcd", "--purge")

    host.do("services", "up", "etcd")
    host.do("store", "init", "--store", "etcd://127.0.0.1:2379")
    fill(host)
    said = host.refused("services", "backup", "etcd", f"{SMALL}/copy")
    assert f"{SMALL}/copy cannot be written: {FULL} make room there" in said
    assert host.run("sh", "-c", f"ls -A {SMALL}").out.split() == ["fill", "rest"]
    empty(host)
    host.do("services", "backup", "etcd", "/var/backups/copy")
    host.do("services", "down", "etcd", "--purge", "--force")

    fill(host)
    said = host.refused("services", "up", "etcd", "--data", f"{SMALL}/etcd")
    assert FULL in said
    assert "make room there, and run it again" in said
    said = host.refused("services", "restore", "etcd", "/var/backups/copy")
    assert "no copy" not in said
    host.ocicat("services", "down", "etcd", "--purge", "--force")


def test_a_name_is_free_again_when_its_certificate_could_not_be_written(host):
    host.do("pki", "init")
    fill(host)
    said = host.refused("pki", "issue", "h1", "--address", "10.0.0.1", "--out", f"{SMALL}/h1")
    assert f"{FULL} make room there" in said
    assert "h1" not in host.do("pki", "show", "-o", "name").out.split()
    host.do("pki", "issue", "h1", "--address", "10.0.0.1")
    empty(host)
    host.do("pki", "issue", "h2", "--address", "10.0.0.2", "--out", f"{SMALL}/h1")
    assert host.ocicat("pki", "check").status == 0
