"""Debian's podman, with its CNI back end, uses the plugin unchanged."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cni_bed import HOST, OUTSIDE6, POOL, POOL6, Bed, wait_for

from ocicat.netlink import namespace

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("podman"), reason="podman is not installed"),
    pytest.mark.skipif(not Path("/bin/busybox").exists(), reason="busybox-static is not installed"),
]

SETTINGS = """
[network]
network_backend = "cni"
cni_plugin_dirs = ["{plugins}"]
network_config_dir = "{directory}/net"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "oct",
    "plugins": [{"type": "ocicat", "assign_ipv6": True, "capabilities": {"portMappings": True}}],
}
# crun refuses hosts with both versions of cgroups, and libcni's cache has one place for all.
PRIVATE = """
[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified
[ ! -d /var/lib/cni ] || mount -t tmpfs none /var/lib/cni
echo; exec cat
"""
# The limits: podman asks for more than a container may have that has lost the right to raise them.
RUN = ("--network=oct", "--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


class Podman:
    """On the bed's host, with everything it writes below the bed's directory, in mounts of its own."""

    def __init__(self, bed):
        self.bed = bed
        self.directory = bed.directory / "podman"
        (self.directory / "net").mkdir(parents=True)
        settings = SETTINGS.format(plugins=bed.plugin.parent, directory=self.directory)
        (self.directory / "containers.conf").write_text(settings)
        (self.directory / "net/oct.conflist").write_text(json.dumps(NETWORK))
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "unchanged", "sh", "-c"]
        self._mounts = subprocess.Popen([*command, PRIVATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._mounts.stdout.readline() == b"\n"

    def close(self):
        """What podman does when a container has ended may still be on its way."""
        self("rm", "--all", "--force", "--time=0")
        self._mounts.communicate()
        wait_for(self._removed, "podman to be through")

    def _removed(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        return not self.directory.exists()

    def __call__(self, *arguments):
        """(exit status, standard output, standard error)."""
        enter = ["nsenter", f"--target={self._mounts.pid}", "--mount", f"--net=/proc/self/fd/{self.bed.host}"]
        places = [f"--{option}={self.directory / option}" for option in ("root", "runroot", "tmpdir")]
        environment = {**os.environ, "CONTAINERS_CONF": str(self.directory / "containers.conf")}
        found = subprocess.run(
            [*enter, "podman", *places, "--storage-driver=vfs", *arguments],
            env=environment,
            pass_fds=[self.bed.host],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return found.returncode, found.stdout, found.stderr

    def run(self, name, *options):
        """The address that `podman inspect` shows of a new container."""
        root = self.directory / "roots" / name
        for directory in ("bin", "proc", "sys", "dev", "etc", "run", "tmp", "var"):
            (root / directory).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        command = ["--rootfs", str(root), "/bin/busybox", "sleep", "120"]
        status, _, error = self("run", "--detach", f"--name={name}", *RUN, *options, *command)
        assert status == 0, error
        return self.shown(name, "IPAddress")

    def shown(self, name, field):
        return self("inspect", name, f"--format={{{{.NetworkSettings.Networks.oct.{field}}}}}")[1].strip()


@pytest.fixture
def bed():
    bed = Bed()
    try:
        namespace.delete(namespace.create(f"oct-cni-{os.getpid()}").name)  # /run/netns is a shared mount from now on
        bed.cli("pool", "add", "default", POOL)
        bed.cli("pool", "add", "six", POOL6)
        bed.start()
        yield bed
    finally:
        bed.close()


@pytest.fixture
def podman(bed):
    podman = Podman(bed)
    yield podman
    podman.close()


def test_two_containers_reach_each_other_and_go_without_a_trace(podman, bed):
    one, two = podman.run("one"), podman.run("two", "--ip=10.65.0.77")
    assert two == "10.65.0.77"
    six = podman.shown("one", "GlobalIPv6Address")
    assert bed.routes() == {f"{one}/32", f"{six}/128", f"{two}/32"}  # who asks for an address by name gets that alone
    for name, target in (("one", two), ("two", one), ("one", "10.0.0.2"), ("one", OUTSIDE6)):
        assert podman("exec", name, "/bin/busybox", "ping", "-c1", "-W5", target)[0] == 0
    assert podman("rm", "--force", "--time=0", "one")[0] == 0
    assert bed.routes() == {f"{two}/32"}
    assert podman("rm", "--force", "--time=0", "two")[0] == 0
    bed.check_nothing_left()


def test_a_container_that_cannot_have_its_address_says_why(podman, bed):
    podman.run("one", "--ip=10.65.0.77")
    with pytest.raises(AssertionError, match=r"10\.65\.0\.77 is in use by"):
        podman.run("two", "--ip=10.65.0.77")
    assert bed.routes() == {"10.65.0.77/32"}


def test_a_published_port_leads_to_the_container(podman, bed):
    """From the host, whose packets no policy stops."""
    podman.run("one", "--publish=8080:80")
    assert podman("exec", "--detach", "one", "/bin/busybox", "httpd", "-p", "80", "-h", "/bin")[0] == 0
    ask = f"wget -q -T5 -O- http://{HOST}:8080/busybox | head -c4"
    wait_for(lambda: bed.output("sh", "-c", ask) == b"\x7fELF", "the page")
    with pytest.raises(AssertionError, match="host port tcp/8080 leads to endpoint"):
        podman.run("two", "--publish=8080:81")
