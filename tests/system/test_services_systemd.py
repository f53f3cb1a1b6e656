"""Under a real systemd: the services are units, come back when they are killed and after a reboot, and leave nothing."""

import json
import shutil
import time
from pathlib import Path

import pytest
from bare_host import bare_hosts

from ocicat.services.zookeeper_config import JARS

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed"),
    pytest.mark.skipif(
        not (shutil.which("java") and Path(JARS[0]).exists()), reason="libzookeeper-java is not installed"
    ),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="systemd is not installed"),
]

WAIT_S = 90.0


@pytest.fixture(scope="module")
def host():
    with bare_hosts("h1", systemd=True) as bed:
        yield bed["h1"]


def until(condition, what):
    """Its value, once it is true."""
    end = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {WAIT_S} s for {what}"
        time.sleep(0.05)
    return value


def healthy(host):
    return host.run("ocicat services health", check=False).status == 0


def status(host, name):
    return json.loads(host.run(f"ocicat services status {name} -o json", check=False).out)[0]


def test_units_that_come_back_and_go(host):
    host.run("ocicat services up zookeeper --user etcd --heap-mb 64 --wait 80")
    said = host.run("ocicat services up etcd --wait 80").err
    assert "under systemd as ocicat-etcd" in said
    assert healthy(host)
    assert host.run("systemctl is-enabled ocicat-etcd ocicat-zookeeper").out.split() == ["enabled", "enabled"]
    host.run("ocicat store init --store etcd://127.0.0.1:2379")

    before = status(host, "etcd")
    assert (before["how"], before["state"], before["restarts"]) == ("systemd", "active (running)", 0)
    host.run(f"kill -KILL {before['pid']}")
    again = until(lambda: (now := status(host, "etcd"))["pid"] not in (0, before["pid"]) and now, "a new process")
    assert again["restarts"] == 1
    until(lambda: healthy(host), "both")

    host.reboot()
    until(lambda: healthy(host), "both after the reboot")
    assert "tier/default" in host.run("ocicat get tiers -o name --store etcd://127.0.0.1:2379").out
    host.run("ocicat services stop zookeeper --force")
    assert host.run("systemctl is-enabled ocicat-zookeeper", check=False).out.strip() == "disabled"

    host.run("ocicat services down zookeeper etcd --purge")
    assert host.run("systemctl list-unit-files --quiet 'ocicat-*'", check=False).out == ""
    assert host.run("ls /etc/ocicat /var/lib/ocicat-etcd /var/lib/ocicat-zookeeper", check=False).out == ""


def test_what_systemd_cannot_keep_up_is_told_with_its_last_words(host):
    host.write("/opt/crash", "#!/bin/sh\necho no room for me\nexit 3\n", 0o755)
    done = host.run("ocicat services up etcd --program /opt/crash", check=False)
    assert done.status == 1
    assert "does not stay up" in done.err
    assert "no room for me" in done.err
    host.run("ocicat services down etcd")
    host.write("/opt/crash", "#!/bin/sh\nexit 3\n", 0o755)
    done = host.run("ocicat services up etcd --program /opt/crash", check=False)
    assert "does not stay up" in done.err
    assert "no room for me" not in done.err  # of the former start
    host.run("ocicat services down etcd --purge")
