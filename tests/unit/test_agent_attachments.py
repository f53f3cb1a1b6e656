"""What is stale of a network, and whether it can serve."""

from __future__ import annotations

import pytest
from agent_bed import scenario

from ocicat.agent.attachments import Attachments
from ocicat.agent.status import AgentStatus
from ocicat.cni.config import NetworkConfig
from ocicat.errors import OcicatError
from ocicat.model.codec import encode_json

NET1 = NetworkConfig("net1", "ocicat")


def networks(one, **wrong):
    async def status():
        return encode_json(AgentStatus(host="h1", version="1", pid=7, started="", endpoints=0, **wrong))

    return Attachments(one.allocator, one.local, status)


def stale(one, network="net1", valid=()):
    return {(each.container_id, each.interface) for each in networks(one).stale(network, frozenset(valid))}


@scenario()
async def test_stale_is_what_a_runtime_attached_to_this_network_and_names_no_more(one):
    for container, interface in (("c1", "eth0"), ("c1", "eth1"), ("c2", "eth0")):
        await one.add(container=container, interface=interface, network="net1", args={})
    await one.add(container="other", network="net2", args={})
    await one.add(container="task", network="net1")
    assert stale(one) == {("c1", "eth0"), ("c1", "eth1"), ("c2", "eth0")}
    assert stale(one, valid=[("c1", "eth0"), ("c2", "eth0"), ("gone", "eth0")]) == {("c1", "eth1")}
    assert stale(one, "net2") == {("other", "eth0")}
    assert stale(one, "net3") == set()
    for each in networks(one).stale("net1", frozenset()):
        await one.workloads.delete(each)
    assert {each.spec.container_id for each in (await one.stored()).values()} == {"other", "task"}


@scenario()
async def test_a_network_is_ready_when_an_add_could_be_served(one):
    await networks(one).ready(NET1)
    for wrong, words in (({"store": "gone"}, "the datastore: gone"), ({"dataplane": "hangs"}, "the kernel: hangs")):
        with pytest.raises(OcicatError, match=words):
            await networks(one, **wrong).ready(NET1)
    with pytest.raises(OcicatError, match="no IPv6 pool"):
        await networks(one).ready(NetworkConfig("net1", "ocicat", assign_ipv6=True))
    with pytest.raises(OcicatError, match="nowhere"):
        await networks(one).ready(NetworkConfig("net1", "ocicat", pools=("nowhere",)))
    await one.lock()
    with pytest.raises(OcicatError, match="locked"):
        await networks(one).ready(NET1)
