"""`--install` on a minimal Debian: what is missing is named, installed by apt-get, and started by us and nobody else."""

import os
import subprocess
import sys

import apt_bed
import debian_root
import pytest
from bare_host import HOME, bare_hosts, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(apt_bed.missing()), reason=apt_bed.missing()),
]

HOLD = """
import fcntl, sys
held = [open(path, "w") for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock")]
for each in held:
    fcntl.lockf(each, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
SAID = f"{HOME}/said"
SHORT = "from ocicat.services import packages; packages.install(['etcd-server'], print, locked_s=1.0)"


INITS = {
    "no init": debian_root.DEFAULT,
    "systemd": (*debian_root.DEFAULT, "systemd", "systemd-sysv"),
}
LONG = pytest.mark.skipif(
    "OCICAT_LONG" not in os.environ, reason="a repository and a Debian of its own: make test-long"
)


@pytest.fixture(scope="module", params=[pytest.param(each, marks=LONG) for each in ("no init", "systemd")])
def root(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    debian_root.unpack(folder, INITS[request.param])
    return folder, request.param == "systemd"


@pytest.fixture
def host(root):
    folder, systemd = root
    repository = apt_bed.repository()
    with bare_hosts("h1", root=folder, systemd=systemd, binds=(repository,)) as bed:
        bed["h1"].write(apt_bed.SOURCES, apt_bed.source(repository))
        bed["h1"].systemd = systemd
        yield bed["h1"]


def holder(host):
    """Another package manager at work, until its input ends."""
    process = subprocess.Popen(
        host.enter("/usr/bin/python3", "-c", HOLD), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_what_is_missing_is_installed_and_serves(host):
    bare = host.run("ocicat services up zookeeper etcd", check=False)
    assert bare.status == 1
    assert "needs software that is not installed: default-jre-headless, libzookeeper-java" in bare.err

    held = holder(host)
    try:
        late = host.run([sys.executable, "-c", SHORT], check=False)
        assert late.status != 0
        assert "Could not get lock /var/lib/dpkg/lock-frontend" in late.err
        line = "ocicat services up etcd --install"
        with (host.path(SAID)).open("wb") as said:
            going = subprocess.Popen(
                host.enter("bash", "-lc", line), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        wait_for(lambda: "waiting for that, 300 s at most" in host.read(SAID), "it to tell of the lock")
        assert going.poll() is None
    finally:
        held.communicate()
    assert going.wait(90) == 0, host.read(SAID)
    assert "ocicat: apt-get install -q=2 --yes --no-install-recommends etcd-server" in host.read(SAID)
    if host.systemd:
        assert host.run("systemctl is-enabled etcd", check=False).out.strip() == "disabled"
        assert host.run("systemctl is-active etcd", check=False).out.strip() == "inactive"
    assert host.run("grep -lx etcd /proc/[0-9]*/comm | wc -l").out.strip() == "1"

    up = host.run("ocicat services up zookeeper --heap-mb 64 --install")
    assert "useradd --system" in up.err
    assert host.run("ocicat services health --wait 60").status == 0
    again = host.run("ocicat services up zookeeper etcd --install")
    assert "apt-get" not in again.err


def test_what_cannot_be_had_is_told_in_the_words_of_apt(host):
    host.mark()
    host.write(apt_bed.SOURCES, "deb [trusted=yes] file:/nowhere ./\n")
    done = host.run("ocicat services up etcd --install", check=False)
    assert done.status == 1
    assert "going on with the lists that are there" in done.err
    assert "apt-get install: Unable to locate package etcd-server" in done.err
    assert "install the packages yourself" in done.err
    changed = [path for path in host.changed() if not path.startswith(("/var/lib/apt", "/var/cache/apt", "/etc/apt"))]
    assert changed == []
