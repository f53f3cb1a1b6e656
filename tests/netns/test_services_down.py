"""Taking a service away where not all goes well: edited files, a disk of its own, an engine that does not answer; and a race."""

import json
import shutil

import pytest
from services_bed import Bed

from ocicat.model.codec import decode_json
from ocicat.services import auth
from ocicat.services.etcd_api import Etcd
from ocicat.services.network import Access
from ocicat.services.spec import Service

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed"),
    pytest.mark.skipif(not shutil.which("etcdctl"), reason="etcd-client is not installed"),
]

STORE = ("--store", "etcd://127.0.0.1:2379")


@pytest.fixture
def host():
    bed = Bed(1)
    try:
        yield bed.hosts[0]
    finally:
        bed.close()


def test_what_was_edited_is_told_and_the_next_down_takes_the_rest(host):
    before = host.files()
    host.do("services", "up", "etcd")
    edited = host.root / "etc/ocicat/services/etcd.yml"
    text = edited.read_text()
    edited.write_text(text + "# edited\n")
    said = host.refused("services", "down", "etcd", "--purge")
    assert "left as it is: /etc/ocicat/services/etcd.yml" in said
    assert "nothing is purged before" in said
    assert (host.root / "var/lib/ocicat-etcd/member").is_dir()
    assert host.status("etcd")["state"] == "stopped"
    assert "left as it is" in host.refused("services", "down", "etcd", "--purge")
    edited.write_text(text)
    shutil.rmtree(host.root / "var/lib/ocicat-etcd")  # as a purge does that is cut off then
    assert "would remove" in host.do("services", "down", "etcd", "--purge", "--dry-run").err
    host.do("services", "down", "etcd", "--purge")
    assert host.files() == before


def test_data_on_a_disk_of_its_own_is_restored_and_purged(host):
    data = "/var/lib/ocicat-etcd"
    assert host.run("mkdir", data).status == 0
    before = host.files()
    assert host.run("mount", "-t", "tmpfs", "none", data).status == 0
    host.path(f"{data}/lost+found").mkdir()
    host.do("services", "up", "etcd")
    host.do("store", "init", "--pool", "kept=10.65.0.0/16", *STORE)
    host.do("services", "backup", "etcd", "/var/backups/x")
    host.do("pool", "add", "afterwards", "10.67.0.0/24", *STORE)
    host.do("services", "stop", "etcd", "--force")
    (host.root / "var/backups/broken").write_bytes((host.root / "var/backups/x").read_bytes()[:-100])
    assert "is no copy" in host.refused("services", "restore", "etcd", "/var/backups/broken", "--force")
    host.do("services", "start", "etcd")  # what was there is back
    assert "ippool/afterwards" in host.do("get", "ippools", "-o", "name", *STORE).out
    host.do("services", "stop", "etcd", "--force")
    host.do("services", "restore", "etcd", "/var/backups/x", "--force")
    host.do("services", "start", "etcd")
    assert host.do("get", "ippools", "-o", "name", *STORE).out.split() == ["ippool/kept"]
    host.do("services", "down", "etcd", "--purge")
    assert [path.name for path in host.path(data).iterdir()] == ["lost+found"]
    for path in (host.root / "var/backups").iterdir():
        path.unlink()
    assert host.files() == before


@pytest.mark.skipif(not shutil.which("docker"), reason="docker-cli is not installed")
def test_an_engine_that_does_not_answer_is_not_taken_for_one_without_the_container(host):
    host.do("services", "up", "etcd")
    pid = host.status("etcd")["pid"]
    said = host.refused("services", "up", "etcd", "--with", "docker", "--image", "etcd:x")
    assert "Cannot connect to the Docker daemon" in said
    assert host.status("etcd")["pid"] == pid  # nothing was stopped for it
    host.do("services", "stop", "etcd", "--force")
    told = host.root / "etc/ocicat/services/etcd.json"
    told.write_text(told.read_text().replace('"supervised"', '"docker"'))
    member = host.root / "var/lib/ocicat-etcd/member"
    for line in (("stop", "etcd", "--force"), ("down", "etcd", "--purge")):
        assert "Cannot connect to the Docker daemon" in host.refused("services", *line)
    assert member.is_dir()
    (found,) = json.loads(host.ocicat("services", "status", "etcd", "-o", "json").out)
    assert found["state"].startswith("unknown: docker inspect")


class Slow(Etcd):
    """A member whose cluster is closed by another host between two requests of ours."""

    def __init__(self, service, at, other):
        super().__init__(other.host, other.port, other.way)
        self.service, self.at, self.other, self.calls = service, at, other, 0

    def _call(self, path, wanted, **fields):
        self.calls += 1
        if self.calls == self.at:
            assert auth.secure_etcd(self.service, self.other)
        return super()._call(path, wanted, **fields)


@pytest.mark.parametrize("at", [2, 5, 9])
def test_two_hosts_close_a_cluster_at_once(host, monkeypatch, at):
    host.do("services", "up", "etcd")
    service = decode_json(Service, host.path("/etc/ocicat/services/etcd.json").read_bytes(), what="etcd.json")
    monkeypatch.setattr(auth, "password", lambda _, user: f"of {user}")
    way = Access(namespace_fd=host.fd, timeout_s=60.0)
    slow = Slow(service, at, Etcd("127.0.0.1", 2379, way))
    assert not auth.secure_etcd(service, slow)
    assert slow.calls > at
    assert auth.secure_etcd(service, Etcd("127.0.0.1", 2379, way)) is False
