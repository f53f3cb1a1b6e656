"""The DNS server's thread, with a master that says what a test tells it to, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import wraps

import pytest
from dns_bed import shown
from mesos_fake_operator import FakeOperator, raw_agent, raw_framework, raw_status, raw_task
from policy_bed import ALLOW, DENY, profile, resource, workload

from ocicat.agent.discovery.config import REACHABLE, DnsConfig
from ocicat.agent.discovery.service import Service
from ocicat.dns.client import ask
from ocicat.dns.names import wire
from ocicat.dns.server import bound
from ocicat.dns.wire import Question, Rcode, Type
from ocicat.errors import Refused, UserError
from ocicat.mesos.masters import Endpoint
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.store.syncer import Update, Updates

BOUND_S = 20.0
STATE = {
    "get_tasks": {"tasks": [raw_task("web", address="10.77.0.1")]},
    "get_agents": {"agents": [raw_agent()]},
    "get_frameworks": {"frameworks": [raw_framework()]},
}
NET = Cidr.parse("127.0.0.0/8")


def free_port():
    for _ in range(20):
        with suppress(Refused):
            sockets = bound(Endpoint("127.0.0.3", 0))
            port = sockets[0].getsockname()[1]
            for sock in sockets:
                sock.close()
            return port
    raise AssertionError("every port is taken")


@asynccontextmanager
async def serving(master, **fields):
    listen = Endpoint("127.0.0.3", free_port())
    served = Service(DnsConfig(listen=(listen,), master=master, **fields), [NET], (5051,))
    served.start()
    try:
        yield served, listen
    finally:
        served.stop()


async def said(endpoint, name, type_=Type.A):
    return await asyncio.to_thread(ask, endpoint, Question(wire(name), type_))


async def until(holds):
    """The first true answer of a coroutine function."""
    async with asyncio.timeout(BOUND_S):
        while True:
            if found := await holds():
                return found
            await asyncio.sleep(0.005)


def bounded(test):
    @wraps(test)
    def within():
        asyncio.run(asyncio.wait_for(test(), 2 * BOUND_S))

    return within


@bounded
async def test_names_follow_the_master():
    async with FakeOperator(**STATE) as master, serving(master.address) as (_, endpoint):

        async def known():
            return (await said(endpoint, "web.demo.mesos")).answers

        assert shown(await until(known)) == ["web.demo.mesos A 10.77.0.1"]
        status = raw_status("web", "TASK_FINISHED")
        update = {"framework_id": {"value": "F0"}, "state": "TASK_FINISHED", "status": status}
        await master.say("TASK_UPDATED", task_updated=update)

        async def gone():
            return (await said(endpoint, "web.demo.mesos")).rcode == Rcode.NXDOMAIN

        await until(gone)


@bounded
async def test_before_the_master_has_told_nothing_is_said():
    async with serving("127.0.0.1:1") as (served, endpoint):
        assert (await said(endpoint, "web.demo.mesos")).rcode == Rcode.SERVFAIL
        assert (await said(endpoint, "example.com")).rcode == Rcode.REFUSED
    assert await asyncio.wait_for(served.ended(), BOUND_S) is None


KEYS = {
    "WorkloadEndpoint": lambda name: keys.workload("ns", name),
    "Profile": keys.profile,
    "Node": keys.node,
    "IPPool": keys.pool,
}


def updates(*resources, in_sync=True):
    made = (Update(KEYS[one.kind](one.metadata.name), encode_json(one), 1) for one in resources)
    return Updates(1, tuple(made), in_sync)


@bounded
async def test_who_is_told_of_whom_follows_the_datastore():
    nodes = [resource("Node", f"h{n}", {"bgp": {"ipv4Address": f"10.0.0.{n}/24"}}) for n in (1, 2)]
    pool = resource("IPPool", "p", {"cidr": "10.77.0.0/16"})
    web = workload("web", "10.77.0.1/32", host="h2")
    asker, of_pool = Addr.parse("10.0.0.1"), Addr.parse("10.77.3.3")
    async with FakeOperator(**STATE) as master, serving(master.address, only=frozenset({REACHABLE})) as (served, _):
        _, parts, _ = served._ready.result()  # every asker here would be the host itself
        resolver = parts.resolver

        async def told():
            visible = resolver.visible(asker)
            return visible and resolver.book.zone.find(wire("web.demo.mesos"), Type.A, visible)

        assert resolver.visible(asker) is None
        served.observe(updates(*nodes, pool, web, profile("open", [ALLOW], [ALLOW]), in_sync=False))
        assert resolver.visible(asker) is None
        served.observe(updates())
        await until(told)
        assert resolver.served(of_pool)

        async def hidden():
            return not await told()

        served.observe(updates(profile("open", [DENY], [ALLOW])))
        await until(hidden)

        async def unserved():
            return not resolver.served(of_pool)

        served.observe(Updates(2, (Update(keys.pool("p"), None, 2),), True))
        await until(unserved)


@bounded
async def test_what_ends_the_thread_is_the_agents_error():
    async with serving("file:///nonexistent/zk") as (served, _):
        with pytest.raises(UserError, match="master file:///nonexistent/zk: No such file"):
            await asyncio.wait_for(served.ended(), BOUND_S)
        served.observe(updates())


def test_what_was_bound_is_let_go_when_one_address_cannot_be_had():
    port = free_port()
    first, second = Endpoint("127.0.0.3", port), Endpoint("192.0.2.1", port)
    with pytest.raises(UserError, match=r"DNS at 192\.0\.2\.1"):
        Service(DnsConfig(listen=(first, second), master="m"), [NET], ())
    for sock in bound(first):
        sock.close()
