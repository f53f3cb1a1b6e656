"""Limits from the task's labels to the kernel, and changed while the task runs: the real plugin, agent and command line."""

import pytest
from cni_bed import POOL, one_agent, wait_for

from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import WorkloadEndpoint
from ocicat.netlink import qdisc
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

CALICO = "qos.projectcalico.org/"


@pytest.fixture
def bed():
    yield from one_agent(("default", POOL))


def mesos(**limits):
    """A NetworkInfo with labels of these names."""
    labels = [{"key": CALICO + name, "value": value} for name, value in limits.items()]
    return {"args": {"org.apache.mesos": {"network_info": {"name": "net1", "labels": {"labels": labels}}}}}


def rates(bed):
    """Of all buckets on the host, in bits per second, and what serves those that workloads send through."""
    with RouteSocket(bed.host) as sock:
        found = [each.bucket.rate * 8 for each in sock.dump(qdisc.dump()) if each.is_ours]
    return sorted(found)


def endpoints(bed):
    return [decode_json(WorkloadEndpoint, item.value) for item in bed.stored(keys.WORKLOADS)]


def patch(bed, controls):
    (endpoint,) = endpoints(bed)
    bed.cli("patch", f"workloadendpoint/{endpoint.metadata.name}", "-p", f'{{"spec": {{"qosControls": {controls}}}}}')


def test_labels_limit_a_task_and_a_patch_changes_that_while_it_runs(bed):
    netns = bed.container()
    labels = mesos(ingressBandwidth="10M", egressBandwidth="20M", egressPacketRate="500", ingressMaxConnections="9")
    bed.add("c1", netns, **labels)
    assert rates(bed) == [10_000_000, 20_000_000]  # as soon as ADD has returned
    ruleset = bed.output("nft", "list", "table", "inet", "ocicat").decode()
    assert "limit rate over 500/second" in ruleset
    assert "ct count over 9" in ruleset
    assert bed.call("CHECK", "c1", netns, **labels) == (0, None)
    patch(bed, '{"ingressBandwidth": 30000000, "egressBandwidth": null}')
    wait_for(lambda: rates(bed) == [30_000_000], "the other limit")
    bed.add("c1", netns, **labels)  # asked again, as after a lost answer: what is in force stays
    assert rates(bed) == [30_000_000]
    bed.kill()
    patch(bed, '{"ingressBandwidth": 40000000}')
    bed.start()
    wait_for(lambda: rates(bed) == [40_000_000], "the limit that changed while no agent ran")
    bed.delete("c1", netns)
    wait_for(lambda: not rates(bed) and b"ifb" not in bed.output("ip", "-d", "link"), "nothing to be left")
    bed.check_nothing_left()


def test_a_wrong_limit_fails_the_add_in_words_and_leaves_nothing(bed):
    found = bed.refused("ADD", "c2", bed.container(), **mesos(egressBandwidth="fast"))
    assert "c2" in found["msg"] + found.get("details", "")
    assert f"label {CALICO}egressBandwidth: 'fast' is not a quantity" in found["msg"] + found.get("details", "")
    bed.check_nothing_left()


def test_a_limit_that_somebody_removed_is_a_fault(bed):
    netns = bed.container()
    labels = mesos(ingressBandwidth="10M")
    bed.add("c3", netns, **labels)
    (interface,) = bed.interfaces()

    def checked():
        bed.output("tc", "qdisc", "del", "dev", interface, "root")
        return bed.call("CHECK", "c3", netns, **labels)

    found = next(
        found for status, found in (checked() for _ in range(10)) if status
    )  # 0: the agent has mended it meanwhile
    assert "ingress bandwidth" in found["msg"] + found.get("details", "")


def test_tc_reads_the_limit_as_it_was_meant(bed):
    bed.add("c4", bed.container(), **mesos(ingressBandwidth="10M", ingressBurst="1M", ingressPeakrate="20M"))
    (interface,) = bed.interfaces()
    said = bed.output("tc", "qdisc", "show", "dev", interface).decode()
    assert "qdisc tbf c1c: root refcnt 2 rate 10Mbit burst 125000b peakrate 20Mbit" in said
    assert "minburst 1512b" in said  # 1514; tc counts in whole microseconds
