"""GC and STATUS of the CNI specification 1.1.0: the real plugin, the real agent, real containers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cni_bed import POOL, Bed, between_tests, one_agent, wait_for

pytestmark = pytest.mark.netns
NEW = {"cniVersion": "1.1.0"}


@pytest.fixture(scope="module")
def started():
    yield from one_agent(("default", POOL))


@pytest.fixture
def bed(started):
    yield from between_tests(started)


def attachments(*containers):
    """As libcni 1.2 sends them, under both names."""
    listed = [{"containerID": name, "ifname": interface} for name, interface in containers]
    return NEW | dict.fromkeys(("cni.dev/valid-attachments", "cni.dev/attachments"), listed)


def containers(bed):
    return {handle for handle in bed.owners() if ":" in handle}


def of_network(bed, command, **fields):
    return bed.call(command, "", "", interface="", **fields)


def test_a_gc_takes_back_what_no_attachment_names_and_nothing_else(bed):
    ones = {name: bed.container() for name in ("kept", "stale", "other", "task")}
    bed.add("kept", ones["kept"], **NEW)
    bed.add("kept", ones["kept"], interface="eth1", **NEW)
    bed.add("stale", ones["stale"], **NEW)
    bed.add("other", ones["other"], **NEW | {"name": "net2"})
    bed.add("task", ones["task"], args={"org.apache.mesos": {"network_info": {"name": "net1"}}})
    assert of_network(bed, "GC", **attachments(("kept", "eth0"), ("gone", "eth0"))) == (0, None)
    assert containers(bed) == {"kept:eth0", "other:eth0", "task:eth0"}
    wait_for(lambda: not bed.inside(ones["stale"], "ip", "link", "show", "eth0"), "the stale one's eth0 to be gone")
    assert bed.pings(ones["kept"], "10.0.0.2", 30)
    assert of_network(bed, "GC", **NEW) == (0, None)  # as cnitool asks: there is none
    assert containers(bed) == {"other:eth0", "task:eth0"}
    bed.delete("other")
    bed.delete("task")


def test_a_gc_that_cannot_be_read_takes_nothing_back(bed):
    bed.add("c1", bed.container(), **NEW)
    valid = "cni.dev/valid-attachments"
    misspelt, short = [{"containerId": "c1", "ifname": "eth0"}], [{"containerID": "c1"}]
    wrongs = [({"cniVersion": "1.0.0"}, 1), *((NEW | {valid: one}, 7) for one in ("c1", misspelt, short))]
    for wrong, code in wrongs:
        status, error = of_network(bed, "GC", **wrong)
        assert (status, error["code"]) == (1, code)
    assert containers(bed) == {"c1:eth0"}
    bed.delete("c1")


def test_a_status_says_whether_an_add_could_be_served(bed):
    assert of_network(bed, "STATUS", **NEW) == (0, None)
    status, error = of_network(bed, "STATUS", **NEW, pools=["nowhere"])
    assert (status, error["code"], error["cniVersion"]) == (1, 50, "1.1.0")
    assert "nowhere" in error["msg"]
    bed.cli("store", "lock")
    try:
        wait_for(lambda: of_network(bed, "STATUS", **NEW)[0] == 1, "the lock to be heard of")
        assert "locked" in json.dumps(of_network(bed, "STATUS", **NEW))
    finally:
        bed.cli("store", "unlock")
    wait_for(lambda: of_network(bed, "STATUS", **NEW) == (0, None), "the lock to be gone")


def test_a_status_does_not_wait_for_an_agent_that_is_away(bed):
    bed.kill()
    began = time.monotonic()
    status, error = of_network(bed, "STATUS", **NEW)
    assert (status, error["code"]) == (1, 50)
    assert time.monotonic() - began < 20  # an ADD waits for 45 s
    bed.start()
    assert of_network(bed, "STATUS", **NEW) == (0, None)


@pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed")
def test_a_status_tells_that_the_datastore_hangs():
    bed = Bed()
    bed.store = "etcd://127.0.0.1:2379"  # in the host's namespace
    inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{bed.host}"]
    bed.inside(f"/proc/{os.getpid()}/fd/{bed.host}", "ip", "link", "set", "lo", "up")
    command = ["setpriv", "--pdeathsig", "KILL", *inside, "etcd", "--data-dir", str(bed.directory / "etcd")]
    etcd = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        added = [*inside, sys.executable, "-m", "ocicat", "pool", "add", "default", POOL, "--store", bed.store]
        wait_for(lambda: subprocess.run(added, check=False, capture_output=True).returncode == 0, "etcd")
        bed.start()
        assert of_network(bed, "STATUS", **NEW) == (0, None)
        etcd.send_signal(signal.SIGSTOP)
        status, error = of_network(bed, "STATUS", **NEW)
        assert (status, error["code"], error["msg"]) == (1, 50, "the datastore: no answer within 3 s")
        etcd.send_signal(signal.SIGCONT)
        wait_for(lambda: of_network(bed, "STATUS", **NEW) == (0, None), "etcd to be back")
    finally:
        etcd.kill()
        etcd.wait()
        bed.close()
