"""Ports of the host at ADD: one container each, none that a program listens at, and nothing lost by a refusal."""

from __future__ import annotations

import asyncio

import pytest
from agent_bed import scenario, until

from ocicat.errors import Refused, Unavailable
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.endpoints import WorkloadEndpointPort
from ocicat.model.v3.felix import FelixConfiguration, FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.kinds import KINDS
from ocicat.netlink.sockdiag import Listener
from ocicat.store.base import Put

KEY = keys.workload("default", "h1-mesos-c1-eth0")


def ports(*pairs, **more):
    listed = [{"hostPort": host, "containerPort": port, **more} for host, port in pairs]
    return {"runtimeConfig": {"portMappings": listed}}


@scenario()
async def test_ports_are_stored_with_the_endpoint_and_reach_the_kernel(one):
    await one.add(**ports((8080, 80), protocol="udp", hostIP="10.0.0.11"))
    stored = (await one.stored())[KEY].spec.ports
    assert stored == (WorkloadEndpointPort(protocol="UDP", port=80, host_port=8080, host_ip="10.0.0.11"),)
    (mapping,) = one.kernel.endpoints[KEY].port_mappings
    assert (mapping.protocol, mapping.host_port, mapping.port, str(mapping.host_address)) == (17, 8080, 80, "10.0.0.11")


@scenario()
async def test_a_port_is_one_containers_until_its_del(one):
    await one.add(**ports((8080, 80)))
    with pytest.raises(Refused, match=rf"host port tcp/8080 leads to endpoint {KEY} already \(choose another"):
        await one.add(container="c2", **ports((9090, 80), (8080, 80)))
    assert [*await one.stored()] == [KEY]
    await one.add(container="c3", **ports((8081, 80)))
    await one.add(container="c4", **ports((8080, 80), protocol="udp"))
    await one.delete()
    await one.add(container="c2", **ports((8080, 80)))


@scenario()
async def test_a_port_is_free_at_once_when_its_container_is_gone(one):
    await one.add(**ports((8080, 80)))
    one.script.watch.clear()  # the agent has not heard of its own removal
    await one.delete()
    adding = asyncio.create_task(one.add(container="c2", **ports((8080, 80))))
    await until(lambda: len(one.kernel.links) == 1)
    one.script.watch.set()
    await adding


@scenario()
async def test_a_port_whose_container_is_about_to_go_is_waited_for(one):
    one.workloads.ports.patience_s = 60.0
    await one.add(**ports((8080, 80)))
    adding = asyncio.create_task(one.add(container="c2", **ports((8080, 80))))
    await until(lambda: one.workloads.ports._under_way)
    with pytest.raises(Refused, match="leads to endpoint"):  # one who waits is enough
        await one.add(container="c3", **ports((8080, 80)))
    assert not adding.done()
    await one.delete()
    await adding


@scenario()
async def test_of_two_that_ask_at_once_one_gets_it_and_the_other_leaves_nothing(one):
    asked = [one.add(container=name, **ports((8080, 80))) for name in ("c1", "c2")]
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    assert not isinstance(first, Exception)
    assert isinstance(second, Refused)
    await one.delete()
    assert await one.left() == []


@scenario()
async def test_an_add_that_fails_gives_its_ports_back(one):
    one.script.refuse_attach = Unavailable("no")
    with pytest.raises(Unavailable):
        await one.add(**ports((8080, 80)))
    one.script.refuse_attach = None
    await one.nothing_left()
    await one.add(container="c2", **ports((8080, 80)))


@scenario()
async def test_an_endpoint_of_another_tool_has_its_ports_too(one):
    spec = WorkloadEndpointSpec(
        orchestrator="x",
        node="h1",
        workload="w",
        endpoint="eth0",
        ip_networks=("10.9.9.9/32",),
        interface_name="other0",
        ports=(WorkloadEndpointPort(protocol="TCP", port=1, host_port=8080, host_ip="10.0.0.11"),),
    )
    key = keys.workload("default", "h1-x-w-eth0")
    endpoint = WorkloadEndpoint(metadata=Metadata(name="h1-x-w-eth0", namespace="default"), spec=spec)
    await one.store.write(Put(key, encode_json(endpoint)))
    await until(lambda: key in one.local.endpoints)
    with pytest.raises(Refused, match=f"leads to endpoint {key}"):
        await one.add(**ports((8080, 80)))
    await one.add(**ports((8080, 80), hostIP="10.0.0.12"))


@pytest.mark.parametrize(
    ("listening", "host", "taken"),
    [
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("10.0.0.11", "", True),
        ("10.0.0.11", "10.0.0.11", True),
        ("0.0.0.0", "10.0.0.11", True),
        ("10.0.0.12", "10.0.0.11", False),
        ("127.0.0.1", "", False),
        ("::1", "", False),
        ("::ffff:127.0.0.1", "", False),
        ("::ffff:10.0.0.11", "10.0.0.11", True),
        ("::ffff:10.0.0.12", "10.0.0.11", False),
    ],
)
@scenario()
async def test_a_port_at_which_a_program_listens_is_not_taken(one, listening, host, taken):
    one.listeners.append(Listener(6, Addr.parse(listening).pack(), 8080))
    if taken:
        with pytest.raises(Refused, match=r"in use: a program of this host listens on .*\(stop it, or choose another"):
            await one.add(**ports((8080, 80), hostIP=host))
        assert await one.left() == []
    else:
        await one.add(**ports((8080, 80), hostIP=host))


@pytest.mark.parametrize(
    ("port", "protocol", "words"),
    [
        (5051, "tcp", r"host port tcp/5051 is that of this host's Mesos agent \(choose another port\)"),
        (22, "tcp", r"host port tcp/22 is one of this host's failsafe ports \(choose .* failsafeInboundHostPorts\)"),
        (68, "udp", "host port udp/68 is one of"),
        (22, "udp", ""),
        (5051, "udp", ""),
    ],
)
@scenario()
async def test_a_port_that_is_the_hosts_own_is_not_taken_even_while_nothing_listens(one, port, protocol, words):
    if words:
        with pytest.raises(Refused, match=words):
            await one.add(**ports((port, 80), protocol=protocol))
        assert await one.left() == []
    else:
        await one.add(**ports((port, 80), protocol=protocol))


@scenario()
async def test_failsafe_ports_are_what_the_configuration_says_now(one):
    said = FelixConfigurationSpec(failsafe_inbound_host_ports=(ProtoPort(protocol="TCP", port=8080),))
    felix = FelixConfiguration(metadata=Metadata(name="default"), spec=said)
    await one.add(**ports((8080, 80)))
    await one.store.write(Put(KINDS["FelixConfiguration"].key("default"), encode_json(felix)))
    await until(lambda: [each.port for each in one.feed.graph.failsafe_inbound()] == [8080])
    await one.add(**ports((8080, 80)))  # again: it is the container's
    await one.delete()
    with pytest.raises(Refused, match="failsafe"):
        await one.add(**ports((8080, 80)))
    await one.add(**ports((22, 80)))


@scenario()
async def test_add_again_gives_the_same_answer_and_with_other_ports_none(one):
    first = await one.add(**ports((8080, 80)))
    one.listeners.append(Listener(6, bytes(4), 8080))  # too late: the port is the container's
    assert await one.add(**ports((8080, 80))) == first
    with pytest.raises(Refused, match=r"other ports of the host for eth0 already \(DEL it"):
        await one.add(**ports((8081, 80)))
    assert (await one.stored())[KEY].spec.ports[0].host_port == 8080
