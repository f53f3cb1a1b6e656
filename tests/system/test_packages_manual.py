"""The page on installing is true: its commands, as they are written, install, start and remove, from the deb and from the wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bare_host import HOME, VOLATILE, bare_hosts, wait_for
from doc_runner import BACK, parse, play
from packages_bed import built

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PAGE = Path(__file__).resolve().parents[2] / "docs/install.md"
# Of the package manager; and a directory that is empty here from the beginning, which `systemctl disable` then removes.
NOT_OURS = (
    *VOLATILE,
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/lib/PackageKit",
    "/var/cache",
    "/etc/systemd/system/multi-user.target.wants",
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """What pip would fetch of others, in a directory: a bare host has no way out. Our own is not to be had there."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", folder, f"{built().wheel}[etcd,zk]"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    (folder / built().wheel.name).unlink()
    return folder


def test_every_block_of_the_page_is_run_or_says_why_not():
    _, unmarked = parse(PAGE.read_text())
    assert unmarked == []


@pytest.mark.parametrize("way", ["deb", "pip"])
def test_the_pages_commands_install_start_and_remove(way, request):
    file = built().deb if way == "deb" else built().wheel
    given = {f"{HOME}/{file.name}": file}
    wheels = request.getfixturevalue("wheels") if way == "pip" else None
    if wheels:
        given["/etc/pip.conf"] = f"[global]\nno-index = true\nfind-links = {wheels}\n"
    with bare_hosts("h1", systemd=True, ocicat=False, binds=[wheels] if wheels else (), given=lambda _: given) as bed:
        host = bed["h1"]
        rules = host.rules()
        play(bed, PAGE, (way,))
        wait_for(lambda: "ready: host h1" in host.run("journalctl -u ocicat-agent -o cat").out, "the agent")
        assert host.run("ocicat store status").status == 0
        play(bed, PAGE, (way,), section=BACK)
        assert host.changed(ignore=NOT_OURS) == {}
        assert host.rules() == rules
