"""The deb under the real systemd: the unit as shipped, and what installing, upgrading and removing do to an agent that runs."""

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest
from bare_host import VOLATILE, bare_hosts, child_of, wait_for
from packages_bed import built

pytestmark = pytest.mark.system

NEXT = "99.0"
UNIT = "ocicat-agent"
PLUGIN = "/opt/ocicat/plugins/ocicat"
# Of dpkg; and a directory that is empty here from the beginning, which `systemctl disable` then removes.
NOT_OURS = (*VOLATILE, "/var/lib/dpkg", "/var/cache", "/etc/systemd/system/multi-user.target.wants")
MESOS = "/run/mesos/isolators/network/cni"
ETCD = "http://127.0.0.1:2379"


@pytest.fixture(scope="module")
def host():
    """With systemd, and the package, of which nothing has been started."""
    deb, new = built().deb, built(NEXT).deb
    with bare_hosts("h1", systemd=True, ocicat=False, binds=(deb.parent, new.parent)) as bed:
        bed["h1"].run(["dpkg", "-i", str(deb)])
        yield bed["h1"]


def prop(host, name):
    return host.run(f"systemctl show --property {name} --value {UNIT}").out.strip()


def configure(host):
    host.write("/etc/ocicat/ocicat.toml", f'[host]\nname = "h1"\naddress = "{host.address}/24"\n', mode=0o640)
    host.run("ocicat store init && ocicat pool add tasks 10.65.0.0/24")


def wait_until_ready(host, since=0):
    """An agent that is not the one with that process id; its own."""
    wait_for(lambda: is_ready(host, since), "the agent to be ready")
    return int(prop(host, "MainPID"))


def is_ready(host, since):
    assert prop(host, "ActiveState") != "failed", journal(host)
    pid = int(prop(host, "MainPID"))
    return pid not in {0, since} and "ready: host" in journal(host, f"_PID={pid}")


def journal(host, match=f"--unit={UNIT}"):
    return host.run(f"journalctl --quiet --output=cat {match}").out


def add(host, name, netns=""):
    """The container's address."""
    asked = json.dumps({"name": "net1", "type": "ocicat", "cniVersion": "0.2.0"})
    variables = {"CNI_CONTAINERID": name, "CNI_NETNS": netns or f"/run/netns/{name}", "CNI_IFNAME": "eth0"}
    found = host.run([PLUGIN], given=asked, check=False, CNI_COMMAND="ADD", **variables)
    assert found.status == 0, found.out
    return json.loads(found.out)["ip4"]["ip"].partition("/")[0]


@contextmanager
def pinging(host, name, address):
    """That address, from that container, all the time; afterwards every packet must have been answered."""
    line = f"ip netns exec {name} ping -n -i 0.02 {address}"
    enter = host.enter("bash", "-c", f"exec {line}")
    with subprocess.Popen(enter, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            os.kill(child_of(process.pid), signal.SIGINT)
            said = process.stdout.read()
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+)", said)}
    assert len(answered) > 20
    assert answered == set(range(1, max(answered) + 1)), said[-500:]


def test_the_unit_has_no_mistakes(host):
    assert host.run(f"systemd-analyze verify {UNIT}.service").err == ""
    assert prop(host, "LoadState") == "loaded"


def test_installing_neither_starts_nor_enables_it(host):
    assert host.run(f"systemctl is-enabled {UNIT}", check=False).out == "disabled\n"
    assert prop(host, "ActiveState") == "inactive"


def test_an_agent_that_does_not_run_is_not_started_by_an_upgrade(host):
    host.run(["dpkg", "-i", str(built().deb)])
    assert prop(host, "ActiveState") == "inactive"


def test_a_datastore_that_comes_late_is_waited_for_however_often_the_agent_has_ended(host):
    told = f'[store]\nurl = "etcd://{ETCD.partition("//")[2]}"\n[host]\nname = "h1"\naddress = "{host.address}/24"\n'
    host.write("/etc/ocicat/ocicat.toml", told, mode=0o640)
    for _ in range(8):  # systemd's own limit is five starts in ten seconds
        host.run(f"systemctl restart {UNIT}")
    wait_for(lambda: int(prop(host, "NRestarts")) > 0, "the agent to end without a datastore, and to be started again")
    assert prop(host, "ActiveState") != "failed"
    etcd = host.spawn(f"etcd --data-dir /tmp/etcd --listen-client-urls {ETCD} --advertise-client-urls {ETCD}")
    wait_until_ready(host)
    host.run(f"systemctl stop {UNIT}")
    os.kill(child_of(etcd.pid), signal.SIGKILL)
    etcd.wait()


def test_its_life_from_the_first_start_to_the_last_file(host):
    configure(host)
    host.run(f"systemctl enable --now {UNIT}")
    first = wait_until_ready(host)
    host.run("ip netns add c1; ip netns add c2")
    add(host, "c1")
    with pinging(host, "c1", add(host, "c2")):
        host.run(f"systemctl reload {UNIT}")
        wait_for(lambda: "the settings were read again" in journal(host), "the settings to be read again")
        host.run(["dpkg", "-i", str(built(NEXT).deb)])
        second = wait_until_ready(host, since=first)
        host.run(f"kill -KILL {second}")
        third = wait_until_ready(host, since=second)
        assert f"ocicat, version {NEXT}\n" == host.run("ocicat --version").out
        host.run("dpkg -r ocicat")
        assert not host.path(f"/proc/{third}").exists()
        assert host.run(f"systemctl is-enabled {UNIT}", check=False).out != "enabled\n"
    host.run("dpkg -P ocicat")
    assert host.changed(ignore=NOT_OURS) == {}


@pytest.fixture
def running(host):
    host.run(["dpkg", "-i", str(built().deb)])
    configure(host)
    host.run(f"systemctl enable --now {UNIT}")
    wait_until_ready(host)
    return host


def test_it_reaches_every_containers_namespace_and_comes_back_at_boot(running):
    host = running
    # As Mesos does it: its directory is a peer group of mounts of its own, made after the agent was started.
    host.bash(f"""mkdir -p {MESOS}; mount --bind {MESOS} {MESOS}; mount --make-private {MESOS}; mount --make-shared {MESOS}
ip netns add m1; touch {MESOS}/m1; mount --bind /run/netns/m1 {MESOS}/m1""")
    assert add(host, "m1", f"{MESOS}/m1")
    # As Docker does it: a process of some user.
    sleeper = host.run(
        "unshare --net setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600 >/dev/null 2>&1 & echo $!"
    ).out
    wait_for(lambda: "65534" in host.run(f"ps -o uid= {sleeper}").out, "the process to have changed its user")
    assert add(host, "d1", f"/proc/{sleeper.strip()}/ns/net")
    host.reboot()
    wait_until_ready(host)
