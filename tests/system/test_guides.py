"""The guides' commands, as they are written, take three bare hosts to a cluster that passes the demo's matrix, and back.

Every host has a real systemd and its own file system; Mesos is the real one. After the way back every file, rule and setting is as
it was. Both ways are gone with Docker and without, with three members of etcd and ZooKeeper (and three masters), and with the
embedded datastore, in a directory that the hosts share, as only those with one kernel can (and one master).
"""

import itertools
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import image_bed
import mesos_package
import packages_bed
import pytest
from bare_host import HOME, VOLATILE, bare_hosts, wait_for
from bare_host_kernel import Before
from doc_runner import BACK, parse, play, timed

from ocicat.lab.lab import silent
from ocicat.lab.mesos import library
from ocicat.services.spec import IMAGES

sys.path[:0] = [str(Path(__file__).parent.parent / "netns")]

from services_engine_bed import ETCD, load_etcd, load_zookeeper  # noqa: E402

DOCS = Path(__file__).resolve().parents[2] / "docs"
MATRIX = Path(__file__).with_name("bare_matrix.py")
HOSTS = ("h1", "h2", "h3")
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
SHARED, STORE = "/srv/ocicat", "/srv/ocicat/store.db"
MATRIX_PATIENCE_S = 180.0
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


@dataclass(frozen=True)
class Way:
    """What the operator has chosen: the words by which the guides tell who a command is for."""

    datastore: str
    keeper: str

    @property
    def words(self):
        return (self.datastore, self.keeper)

    @property
    def pages(self):
        agent = "guide-docker.md" if self.keeper == "docker" else "guide-packages.md"
        return ("guide-hosts.md", "guide-services.md", agent, "guide-mesos.md")

    @cached_property
    def masters(self):
        """As Mesos is told of them."""
        return f"zk://{_joined(2181)}/mesos" if self.datastore == "etcd" else f"{ADDRESSES[0]}:5050"

    def store(self, bed):
        """The datastore's URL for a program beside the hosts."""
        if self.datastore == "embedded":
            return f"sqlite://{bed.shared_path(STORE)}"
        tls = bed["h1"].path("/etc/ocicat/tls/h1")
        return f"etcd://{_joined(2379)}?ca={tls}/ca.crt&cert={tls}/tls.crt&key={tls}/tls.key"

    def there(self, bed):
        for page in self.pages:
            play(bed, DOCS / page, self.words)

    def back(self, bed):
        for page in reversed(self.pages):
            play(bed, DOCS / page, self.words, section=BACK)


def _joined(port):
    return ",".join(f"{address}:{port}" for address in ADDRESSES)


WAYS = [Way(*words) for words in itertools.product(("etcd", "embedded"), ("packages", "docker"))]


def test_every_command_of_the_guides_is_for_somebody():
    """A word that no way has would leave a command out of all of them."""
    steps = {(page, step) for way in WAYS for page in way.pages for step in parse((DOCS / page).read_text())[0]}
    left = {f"{page}:{step.line}" for page, step in steps if not any(step.applies(way.words) for way in WAYS)}
    assert left == set()
    asked = {word.removeprefix("not ") for _, step in steps for word in step.when.split(" and ")}
    assert asked <= {"", *itertools.chain(*(way.words for way in WAYS))}


def cluster(way):
    """Three bare hosts on which Mesos is installed; the package, and the image of Docker, lie in root's directory."""
    library.ensure(library.default_cache(), silent)
    package = packages_bed.built().deb
    images = (image_bed.saved().parent,) if way.keeper == "docker" else ()

    def given(host):
        files = mesos_package.files(host, masters=way.masters, quorum=2)
        return files | {f"{HOME}/{package.name}": package}

    return bare_hosts(
        *HOSTS,
        systemd=True,
        subnet="10.0.0",
        domain="example.com",
        ocicat=False,
        given=given,
        shared=(SHARED,),
        volumes=image_bed.DISKS,
        binds=images,
    )


def ready(way, bed):
    """What the guides suppose besides: an engine that runs, with the image at hand; users of the distribution's packages."""

    def one(host):
        if way.keeper == "docker":
            host.run(f"systemctl start docker; ln -s {image_bed.saved()} {HOME}/ocicat-image.tar")
            if way.datastore == "etcd":
                registry(host)
        else:
            host.run("id zookeeper || useradd --system --no-create-home zookeeper")  # whom Debian's package makes

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, bed))


def registry(host):
    """The images that an engine would fetch."""
    load_etcd(host)
    host.run(f"docker tag {ETCD} {IMAGES['etcd']} && docker image rm {ETCD}")
    load_zookeeper(host, IMAGES["zookeeper"])


def matrix(bed, master, store):
    """The demo's ten tasks: 180 probes, and nothing left of them."""
    hosts = [f"{host.name}={host.pid}" for host in bed]
    line = bed.beside("h1", sys.executable, str(MATRIX), master, store, *hosts)
    done = subprocess.run(line, capture_output=True, text=True, timeout=MATRIX_PATIENCE_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "90 pairs, 180 probes: all as expected" in said
    assert "no address, endpoint, route, interface or set element left" in said


def registered(bed, way):
    """All three Mesos agents are known to the master that leads."""
    for address in ADDRESSES if way.datastore == "etcd" else ADDRESSES[:1]:
        answer = bed["h1"].run(["curl", "-sL", "-m", "5", f"http://{address}:5050/metrics/snapshot"], check=False).out
        if 'slaves_active":3' in answer.replace("\\", ""):
            return True
    return False


# What is still there of programs of ours: processes, and containers.
RUNS = "pgrep -af '[/]opt/ocicat|[b]in/ocicat'; [ ! -S /run/docker.sock ] || docker ps --all --quiet"
LONG = pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
ENGINE = pytest.mark.skipif(not shutil.which("dockerd"), reason="docker.io is not installed")
MARKS = {
    ("etcd", "packages"): [],
    ("embedded", "packages"): [LONG],
    ("etcd", "docker"): [LONG, ENGINE],
    ("embedded", "docker"): [LONG, ENGINE],
}


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("way", [pytest.param(way, marks=MARKS[way.words], id="-".join(way.words)) for way in WAYS])
def test_there_and_back(way):
    with timed("package and image"):
        hosts = cluster(way)
    with timed("all of it"), hosts as bed:
        with timed("hosts made ready"):
            ready(way, bed)
            before = Before(bed, OTHERS)
        way.there(bed)
        with timed("agents registered"):
            wait_for(lambda: registered(bed, way), "the Mesos agents")
        with timed("matrix"):
            matrix(bed, way.masters, way.store(bed))
        way.back(bed)
        with timed("compared"):
            assert before.differing() == {}
            assert [host.run(RUNS, check=False).out for host in bed] == ["", "", ""]
