"""The guides' commands, as they are written, take three bare hosts to a cluster that passes the demo's matrix, and back.

Every host has a real systemd and its own file system; Mesos is the real one. After the way back every file, rule and setting is as
it was.
"""

import os
import subprocess
import sys
from pathlib import Path

import debian_root
import mesos_package
import packages_bed
import pytest
from bare_host import HOME, VOLATILE, bare_hosts, wait_for
from doc_runner import BACK, play

from ocicat.lab.lab import silent
from ocicat.lab.mesos import library

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

DOCS = Path(__file__).resolve().parents[2] / "docs"
MATRIX = Path(__file__).with_name("bare_matrix.py")
BUILD, IMAGE = Path(__file__).resolve().parents[2] / "packaging/docker/build", "ocicat:0.1.0"
HOSTS = ("h1", "h2", "h3")
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
MATRIX_PATIENCE_S = 180.0
BUILD_PATIENCE_S = 300.0
# Books of the package manager, and what Mesos writes of itself: it is the operator's, before and after.
OTHERS = (
    *VOLATILE,
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/lib/PackageKit",
    "/var/cache",
    "/var/lib/mesos",
    "/etc/systemd/system/multi-user.target.wants",
)


def cluster(words, masters, **options):
    """Three bare hosts on which Mesos is installed, and the package lies in root's directory."""
    library.ensure(library.default_cache(), silent)
    package = packages_bed.built().deb

    def given(host):
        files = mesos_package.files(host, masters=masters, quorum=2)
        return files | ({f"{HOME}/{package.name}": package} if "packages" in words else {})

    return bare_hosts(
        *HOSTS,
        systemd=True,
        subnet="10.0.0",
        domain="example.com",
        ocicat="packages" not in words,
        given=given,
        **options,
    )


def there(bed, words, *pages):
    for page in pages:
        play(bed, DOCS / page, words)


def back(bed, words, *pages):
    for page in reversed(pages):
        play(bed, DOCS / page, words, section=BACK)


def matrix(bed, master, store):
    """The demo's ten tasks: 180 probes, and nothing left of them."""
    hosts = [f"{host.name}={host.pid}" for host in bed]
    line = bed.beside("h1", sys.executable, str(MATRIX), master, store, *hosts)
    done = subprocess.run(line, capture_output=True, text=True, timeout=MATRIX_PATIENCE_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "90 pairs, 180 probes: all as expected" in said
    assert "no address, endpoint, route, interface or set element left" in said


def registered(bed, master):
    """All three Mesos agents are known to the master that leads."""
    answer = bed["h1"].run(["curl", "-sL", "-m", "5", f"http://{master}/metrics/snapshot"], check=False).out
    return 'slaves_active":3' in answer.replace("\\", "")


def looks(bed):
    return {host.name: (host.rules(), host.sysctls()) for host in bed}


def as_before(bed, before):
    """Every file, rule, link, address and setting is as it was."""
    for host in bed:
        assert host.changed(OTHERS) == {}, host.name
        rules, sysctls = before[host.name]
        differing = set(host.rules().splitlines()) ^ set(rules.splitlines())
        differing |= set(host.sysctls().items()) ^ set(sysctls.items())
        assert differing == set(), (host.name, differing)


def test_without_docker_three_members_of_etcd_and_zookeeper_with_tls():
    """Three masters, three members of etcd that ask for certificates."""
    words, pages = ("packages", "etcd"), ("guide-hosts.md", "guide-services.md", "guide-packages.md")
    masters = f"zk://{','.join(f'{address}:2181' for address in ADDRESSES)}/mesos"
    with cluster(words, masters) as bed:
        for host in bed:  # whom Debian's package makes
            host.run("id zookeeper || useradd --system --no-create-home zookeeper")
            host.mark()
        before = looks(bed)
        there(bed, words, *pages)
        wait_for(lambda: any(registered(bed, f"{address}:5050") for address in ADDRESSES), "the Mesos agents")
        tls = bed["h1"].path("/etc/ocicat/tls/h1")
        members = ",".join(f"{address}:2379" for address in ADDRESSES)
        matrix(bed, masters, f"etcd://{members}?ca={tls}/ca.crt&cert={tls}/tls.crt&key={tls}/tls.key")
        back(bed, words, *pages)
        as_before(bed, before)


@pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
def test_with_docker_embedded_datastore(tmp_path):
    """One master; a datastore in a directory that the hosts share, as only those with one kernel can; engines and their rules."""
    words, pages = ("packages", "embedded", "docker"), ("guide-hosts.md", "guide-services.md", "guide-docker.md")
    context = tmp_path / "context"
    subprocess.run(
        [sys.executable, BUILD, IMAGE, "--only-prepare", "--context", context], capture_output=True, check=True
    )
    base = debian_root.tarball()
    disks = ("/var/lib/docker", "/var/lib/containerd")
    given = {"shared": ("/srv/ocicat",), "volumes": disks, "binds": (context, base.parent)}
    with cluster(words, "10.0.0.11:5050", **given) as bed:
        for host in bed:
            host.run("systemctl start docker")
        built = image(bed["h1"], base, context)
        for host in bed:
            into = host.enter("sh", "-c", "cat > ocicat-image.tar")
            subprocess.run(into, input=built, check=True)
            host.mark()
        before = looks(bed)
        there(bed, words, *pages)
        wait_for(lambda: registered(bed, "10.0.0.11:5050"), "the Mesos agents")
        matrix(bed, "10.0.0.11:5050", f"sqlite://{bed.shared_path('/srv/ocicat/store.db')}")
        back(bed, words, *pages)
        as_before(bed, before)


def image(host, base, context):
    """As `docker save` prints it; nothing of it stays on the host."""
    host.run(f"docker import {base} base", timeout_s=BUILD_PATIENCE_S)
    host.run(f"{BUILD} {IMAGE} --base base --context {context}", timeout_s=BUILD_PATIENCE_S, DOCKER_BUILDKIT="0")
    saved = subprocess.run(host.enter("docker", "save", IMAGE), capture_output=True, check=True).stdout
    host.run(f"docker image rm {IMAGE} base")
    return saved
