"""`port_mappings` on the real Mesos: a port of the host leads to the task, is one task's, and lives as long as that."""

from __future__ import annotations

import socket

from lab_bed import MARKS, PATIENCE_S, framework, on, run, scenario, server, until, untouched

from ocicat.lab.demo import PORT
from ocicat.mesos.types import PortMapping, TaskState
from ocicat.model.base import replace

pytestmark = MARKS
LAB, LAB_HOSTS = "t-ports", 2
PUBLISHED = 31080


def published(lab, name, host="h1"):
    """A task that everybody may reach, by its host's port."""
    spec = server(lab, name, host, ("public",))
    return replace(spec, network=replace(spec.network, port_mappings=(PortMapping(PUBLISHED, PORT),)))


def who_reach(lab, host="h1"):
    """From which hosts the port answers."""
    (address,) = (node.ip for node in lab.spec.nodes if node.name == host)
    return [source for source in ("master", "h1", "h2") if _connects(lab, source, address)]


def _connects(lab, source, address):
    with on(lab, source):
        sock = socket.socket()
    with sock:
        sock.settimeout(1)
        return sock.connect_ex((address, PUBLISHED)) == 0


@scenario
async def test_a_published_port_lives_as_long_as_its_task(lab):
    async with framework(lab) as connected:
        first = await run(connected, published(lab, "first"))
        await until(lambda: who_reach(lab) == ["master", "h1", "h2"])
        assert who_reach(lab, "h2") == []
        second = await connected.launch(published(lab, "second"))
        ended = await second.wait_ended(timeout_s=PATIENCE_S)
        assert ended.state == TaskState.FAILED
        assert f"host port tcp/{PUBLISHED} leads to endpoint" in ended.message
        other = await run(connected, published(lab, "other", "h2"))
        await until(lambda: who_reach(lab, "h2") == ["master", "h1", "h2"])
        lab.restart("agent-h1")
        assert who_reach(lab) == ["master", "h1", "h2"]
        await first.kill()
        await first.wait_ended(timeout_s=PATIENCE_S)
        assert who_reach(lab) == []
        third = await run(connected, published(lab, "third"))
        await until(lambda: who_reach(lab) == ["master", "h1", "h2"])
        for task in (other, third):
            await task.kill()
            await task.wait_ended(timeout_s=PATIENCE_S)
    assert await untouched(lab) == []
