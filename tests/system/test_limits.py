"""Limits in the labels of a task's NetworkInfo, on the real Mesos: in the kernel while the task runs, or a reason why it failed."""

from __future__ import annotations

from lab_bed import MARKS, PATIENCE_S, framework, on, run, scenario, server, until, untouched

from ocicat.mesos.types import TaskState
from ocicat.netlink import qdisc
from ocicat.netlink.socket import RouteSocket

pytestmark = MARKS
LAB, LAB_HOSTS = "t-limits", 1
CALICO = "qos.projectcalico.org/"


def limited(lab, name, **limits):
    return server(lab, name, "h1", ("public",), labels={CALICO + key: value for key, value in limits.items()})


def rates(lab):
    """Of all buckets on the host, in bits per second."""
    with on(lab, "h1"), RouteSocket() as sock:
        return sorted(each.bucket.rate * 8 for each in sock.dump(qdisc.dump()) if each.is_ours)


@scenario
async def test_a_task_has_its_limits_as_long_as_it_runs(lab):
    async with framework(lab) as connected:
        task = await run(connected, limited(lab, "limited", ingressBandwidth="10M", egressBandwidth="1.5M"))
        assert rates(lab) == [1_500_000, 10_000_000]
        lab.restart("agent-h1")
        assert rates(lab) == [1_500_000, 10_000_000]
        wrong = await connected.launch(limited(lab, "wrong", egressBandwidth="fast"))
        ended = await wrong.wait_ended(timeout_s=PATIENCE_S)
        assert ended.state == TaskState.FAILED
        assert f"label {CALICO}egressBandwidth: 'fast' is not a quantity" in ended.message
        await task.kill()
        await task.wait_ended(timeout_s=PATIENCE_S)
    await until(lambda: rates(lab) == [])
    assert await untouched(lab) == []
