"""`ocicat host check` asks the real Mesos and the real etcd of a peer: names of agents, and what time it is there."""

import json
import os
import shutil
import signal

import mesos_package
import pytest
from bare_host import bare_hosts, child_of, wait_for

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bed():
    with bare_hosts("h1", "h2") as bed:
        for host in (bed["h1"], bed["h2"]):  # and without what this machine may have: of their own file system only
            host.run(
                "sysctl -qw net.ipv4.ip_forward=1; rm -rf /var/lib/ocicat /opt/ocicat /etc/cni/net.d /etc/sysctl.d/*"
            )
        yield bed


@pytest.fixture(scope="module")
def mesos(bed):
    """A master and an agent on h2; the agent goes by the name of h1."""
    h2 = bed["h2"]
    for path, text in mesos_package.files(h2, masters=f"{h2.address}:5050").items():
        h2.write(path, text, 0o755)
    started = []
    for kind, port, more in (("master", 5050, ""), ("agent", 5051, "MESOS_HOSTNAME=h1.cluster.example ")):
        started.append(
            h2.spawn(f"env $(cat /etc/default/mesos-{kind}) {more}mesos-{kind}", log=f"/var/log/mesos-{kind}")
        )
        wait_for(lambda port=port: ask(h2, f"http://{h2.address}:{port}/version"), f"the Mesos {kind}", 60)
    wait_for(lambda: "h1.cluster" in ask(h2, f"http://{h2.address}:5050/slaves"), "the agent's registration", 60)
    yield
    for process in reversed(started):
        os.kill(child_of(process.pid), signal.SIGKILL)
        process.wait()


def ask(host, url):
    return host.run(["curl", "-sk", "--max-time", "3", url], check=False).out


def check(host, peer, *options):
    line = [
        "ocicat",
        "host",
        "check",
        "-o",
        "json",
        "--role",
        "agent",
        "--peer",
        peer,
        "--skip",
        "time-daemon",
        *options,
    ]
    done = host.run(line, check=False)
    return json.loads(done.out) if done.out else [], done.err


def test_a_master_tells_of_another_host_with_this_name_and_what_time_it_is(bed, mesos):
    (found,), told = check(bed["h1"], "h2/master,agent", "--up")
    assert found["about"] == "duplicate-name"
    assert "master 172.31.9.12:5050 knows a host h1.cluster.example at 172.31.9.12" in found["problem"]
    assert "nothing there tells the time" not in told


def test_mesos_calls_its_host_by_another_name(bed, mesos):
    """Seen on h2 itself, whose agent listens at the address that it is configured with."""
    (found,), _ = check(bed["h2"], "h1", "--skip", "duplicate-name")
    assert found["about"] == "names-differ"
    assert "Mesos calls this host h1.cluster.example" in found["problem"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_etcd_tells_the_time(bed, scheme):
    h2, url = bed["h2"], f"{scheme}://{bed['h2'].address}:2379"
    tls = "--auto-tls" if scheme == "https" else ""
    server = h2.spawn(
        f"{shutil.which('etcd')} {tls} --data-dir /srv/{scheme} --listen-client-urls {url} --advertise-client-urls {url}"
        " --listen-peer-urls http://127.0.0.1:0",
        log="/var/log/etcd",
    )
    try:
        wait_for(lambda: "etcdserver" in ask(h2, f"{url}/version"), "etcd", 30)
        found, told = check(bed["h1"], "h2/services")
    finally:
        h2.run("pkill -x etcd")
        server.wait()
    assert found == []
    assert "nothing there tells the time" not in told
