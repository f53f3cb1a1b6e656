"""The guides' commands, as they are written, take three bare hosts to a cluster that passes the demo's matrix, and back.

Every host has a real systemd and its own file system; Mesos is the real one. What must be the same after the way back is compared file
by file and rule by rule.
"""

import os
import subprocess
import sys
from pathlib import Path

import mesos_package
import packages_bed
import pytest
from bare_host import VOLATILE, bare_hosts, wait_for
from doc_runner import BACK, play

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

DOCS = Path(__file__).resolve().parents[2] / "docs"
MATRIX = Path(__file__).with_name("bare_matrix.py")
HOSTS = ("h1", "h2", "h3")
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
MATRIX_PATIENCE_S = 180.0
# Books of the package manager, and what Mesos writes of itself: it is the operator's, before and after.
OTHERS = (*VOLATILE, "/var/lib/dpkg", "/var/lib/apt", "/var/lib/PackageKit", "/var/cache", "/var/lib/mesos", "/etc/systemd/system/multi-user.target.wants")


def cluster(words, masters, **options):
    """Three bare hosts on which Mesos is installed, and the package lies in root's directory."""
    package = packages_bed.built().deb

    def given(host):
        files = mesos_package.files(host, masters=masters, quorum=2)
        return files | ({f"/root/{package.name}": package} if "packages" in words else {})

    return bare_hosts(*HOSTS, systemd=True, subnet="10.0.0", domain="example.com", ocicat="packages" not in words, given=given, **options)


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
    changed = {host.name: host.changed(OTHERS) for host in bed}
    assert changed == dict.fromkeys(HOSTS, {}), changed
    for host in bed:
        rules, sysctls = before[host.name]
        assert host.rules() == rules
        assert host.sysctls() == sysctls


def test_without_docker_embedded_datastore():
    words, pages = ("packages", "embedded"), ("guide-hosts.md", "guide-services.md", "guide-packages.md")
    with cluster(words, "10.0.0.11:5050", shared=("/srv/ocicat",)) as bed:
        before = looks(bed)
        there(bed, words, *pages)
        wait_for(lambda: registered(bed, "10.0.0.11:5050"), "the Mesos agents")
        matrix(bed, "10.0.0.11:5050", f"sqlite://{bed.shared_path('/srv/ocicat/store.db')}")
        back(bed, words, *pages)
        as_before(bed, before)
