"""GC and STATUS of the CNI specification 1.1.0: the real plugin, the real agent, real containers."""

import json
import time

import pytest
from cni_bed import POOL, Bed, wait_for

pytestmark = pytest.mark.netns
NEW = {"cniVersion": "1.1.0"}


@pytest.fixture(scope="module")
def started():
    bed = Bed()
    try:
        bed.cli("pool", "add", "default", POOL)
        bed.start()
        yield bed
    finally:
        bed.close()


@pytest.fixture
def bed(started):
    yield started
    try:
        started.check_nothing_left()
    finally:
        started.tidy()


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
    assert bed.pings(ones["kept"], "10.0.0.2")
    assert of_network(bed, "GC", **NEW) == (0, None)  # as cnitool asks: there is none
    assert containers(bed) == {"other:eth0", "task:eth0"}
    bed.delete("other")
    bed.delete("task")


def test_a_gc_that_cannot_be_read_takes_nothing_back(bed):
    bed.add("c1", bed.container(), **NEW)
    for wrong, code in (({"cniVersion": "1.0.0"}, 1), (NEW | {"cni.dev/valid-attachments": "c1"}, 7)):
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
