"""Three servers of ZooKeeper with TLS among them and a password, on three hosts: the leader killed, saved, restored, removed."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from services_bed import Bed, wait_for

from ocicat.services.zookeeper_config import JARS

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        not (shutil.which("java") and Path(JARS[0]).exists()), reason="libzookeeper-java is not installed"
    ),
    pytest.mark.skipif(not importlib.util.find_spec("kazoo"), reason="kazoo is not installed"),
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed, whose user is used"),
]

PASSWORD = "etc/ocicat/services/zookeeper-mesos.password"
SMALL = ("--heap-mb", "64", "--user", "etcd")

CLIENT = """
import sys
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NodeExistsError
hosts, auth, action, *words = sys.argv[1:]
client = KazooClient(hosts=hosts, timeout=10, auth_data=[("digest", auth)] if auth else None)
client.start(timeout=30)
try:
    if action == "create":
        try:
            client.retry(client.create, words[0], words[1].encode())
        except NodeExistsError:  # the answer to the first try was lost
            pass
    elif action == "get":
        print(client.get(words[0])[0].decode())
    elif action == "names":
        print(*sorted(client.get_children(words[0])))
except NoAuthError:
    print("not allowed")
finally:
    client.stop()
    client.close()
"""


@pytest.fixture(scope="module")
def bed():
    bed = Bed(3)
    try:
        tls = dict(zip([host.name for host in bed.hosts], bed.certify(), strict=True))
        bed.before = [host.files() for host in bed.hosts]
        bed.line = lambda host: ("--members", bed.members, "--tls", tls[host.name], "--auth", *SMALL)
        first, *others = bed.hosts
        bed.said = [first.do("services", "up", "zookeeper", *bed.line(first), "--no-wait")]
        for host in others:
            (host.root / PASSWORD).parent.mkdir(parents=True)
            subprocess.run(["cp", "--preserve=all", first.root / PASSWORD, host.root / PASSWORD], check=True)
        bed.said += bed.each(lambda host: host.do("services", "up", "zookeeper", *bed.line(host)), others)
        wait_for(lambda: healthy(bed), "the ensemble")
        yield bed
    finally:
        bed.close()


def healthy(bed):
    return bed.hosts[0].health("zookeeper")[0]


def client(bed, *arguments, user=True, at=0):
    """What a client of Mesos's kind sees, at one of the servers."""
    host = bed.hosts[at]
    auth = f"mesos:{(bed.hosts[0].root / PASSWORD).read_text().strip()}" if user else ""
    done = host.run(sys.executable, "-c", CLIENT, f"{host.address}:2181", auth, *arguments)
    assert done.status == 0, done
    return done.out.strip()


def leader(bed):
    name = bed.hosts[0].health("zookeeper")[1]["zookeeper"]["leader"]
    return next(host for host in bed.hosts if host.name == name)


def test_an_ensemble_with_one_leader_and_the_address_for_mesos(bed):
    assert "waits for a majority of its members: run the same command on h2, h3" in bed.said[0].err
    assert bed.said[0].out.splitlines()[-1] == "zk://mesos:PASSWORD@10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181/mesos"
    _, found = bed.hosts[1].health()
    roles = [one["role"] for one in found["zookeeper"]["members"]]
    assert sorted(roles) == ["follower", "follower", "leader"]


def test_servers_talk_tls_and_clients_may(bed):
    host = bed.hosts[0]
    line = [
        "openssl",
        "s_client",
        "-connect",
        "10.0.0.2:{port}",
        "-CAfile",
        "/etc/tls/h1/ca.crt",
        "-verify_return_error",
    ]
    line += ["-cert", "/etc/tls/h1/tls.crt", "-key", "/etc/tls/h1/tls.key", "-verify_ip", "10.0.0.2", "-brief"]
    for port in ("3888", "2281"):
        done = host.run("sh", "-c", 'exec "$@" </dev/null', "sh", *(word.format(port=port) for word in line))
        assert done.status == 0, (port, done)
        assert "Verification: OK" in done.err


def test_only_who_has_the_password_writes(bed):
    assert client(bed, "create", "/mesos/info", "x", user=False) == "not allowed"
    assert client(bed, "create", "/elsewhere", "x", user=False) == "not allowed"
    client(bed, "create", "/mesos/log", "y")
    assert client(bed, "get", "/mesos/log", user=False, at=2) == "y"
    line = bed.hosts[0].run("sh", "-c", "cat /proc/[0-9]*/cmdline /etc/ocicat/services/zookeeper.*")
    assert (bed.hosts[0].root / PASSWORD).read_text().strip() not in line.out


def test_the_leader_is_killed_the_others_elect_one_and_it_comes_back(bed):
    lost = leader(bed)
    other = next(number for number, host in enumerate(bed.hosts) if host is not lost)
    before = lost.status("zookeeper")
    lost.run("kill", "-KILL", str(before["pid"]))
    client(bed, "create", "/mesos/while-it-is-gone", "z", at=other)
    again = wait_for(lambda: (now := lost.status("zookeeper"))["restarts"] and now, "a new process")
    assert again["last_exit"] == "ended by SIGKILL"
    wait_for(lambda: healthy(bed), "all three")
    assert client(bed, "get", "/mesos/while-it-is-gone", at=bed.hosts.index(lost)) == "z"


def test_a_backup_is_verified_and_an_ensemble_is_made_of_it(bed):
    one, *others = bed.hosts
    client(bed, "create", "/mesos/kept", "k")
    copy = "/var/backups/zookeeper.tar.gz"
    (made,) = json.loads(one.do("services", "backup", "zookeeper", copy, "-o", "json").out)
    assert made["is_verified"]
    assert made["keys"] >= 6
    client(bed, "create", "/mesos/afterwards", "a")
    for host in others:
        shutil.copy2(one.root / copy[1:], host.root / copy[1:])
    bed.each(lambda host: host.do("services", "stop", "zookeeper", "--force"))
    (one.root / "var/backups/broken").write_bytes(b"no archive")
    assert "is no copy of ZooKeeper's data" in one.refused(
        "services", "restore", "zookeeper", "/var/backups/broken", "--force"
    )
    bed.each(lambda host: host.do("services", "restore", "zookeeper", copy, "--force"))
    bed.each(lambda host: host.do("services", "start", "zookeeper"))
    wait_for(lambda: healthy(bed), "the restored ensemble")
    copy = "/var/backups/before-the-first-write"  # of a leader that was just elected
    (made,) = json.loads(leader(bed).do("services", "backup", "zookeeper", copy, "-o", "json").out)
    assert made["is_verified"]
    names = client(bed, "names", "/mesos", at=1).split()
    assert "kept" in names
    assert "afterwards" not in names


def test_after_down_with_purge_nothing_is_left(bed):
    """The last one: it takes the ensemble apart."""
    bed.each(lambda host: host.do("services", "down", "zookeeper", "--purge", "--force"))
    for host, before in zip(bed.hosts, bed.before, strict=True):
        for path in (host.root / "var/backups").iterdir():  # what the tests have put there
            path.unlink()
        assert host.files() == before, host.name
        assert host.run("pgrep", "-x", "java").status == 1
