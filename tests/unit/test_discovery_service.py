"""The DNS server's thread, with a master that says what a test tells it to, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from functools import wraps

import pytest
from dns_bed import shown
from mesos_fake_operator import FakeOperator, raw_agent, raw_framework, raw_status, raw_task
from policy_bed import ALLOW, DENY, profile, resource, workload

from ocicat.agent import beside
from ocicat.agent.discovery import service
from ocicat.agent.discovery.config import REACHABLE, DnsConfig
from ocicat.agent.discovery.followed import Policies
from ocicat.agent.discovery.names import Names
from ocicat.agent.discovery.service import Service
from ocicat.dns import reach
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
    def within(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), 2 * BOUND_S))

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
    assert not served._thread.is_alive()


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


def test_a_master_that_cannot_be_is_said_before_anything_is_begun():
    with pytest.raises(UserError, match="master file:///nonexistent/zk: No such file"):
        Service(DnsConfig(listen=(Endpoint("127.0.0.3", free_port()),), master="file:///nonexistent/zk"), [NET], ())


@bounded
async def test_what_the_datastore_tells_after_the_end_is_nobodys():
    async with serving("127.0.0.1:1") as (served, _):
        pass
    served.observe(updates())


def test_what_was_bound_is_let_go_when_one_address_cannot_be_had():
    port = free_port()
    first, second = Endpoint("127.0.0.3", port), Endpoint("192.0.2.1", port)
    with pytest.raises(UserError, match=r"DNS at 192\.0\.2\.1"):
        Service(DnsConfig(listen=(first, second), master="m"), [NET], ())
    for sock in bound(first):
        sock.close()


@bounded
async def test_what_goes_wrong_later_is_told_and_begun_again(monkeypatch, caplog):
    monkeypatch.setattr(beside, "FIRST_PAUSE_S", 0.01)
    failures, hear = [ZeroDivisionError, UserError], Names.hear

    def failing(names, cluster, change, now):
        hear(names, cluster, change, now)
        if failures and not change.complete:
            raise failures.pop(0)("of ours")

    monkeypatch.setattr(Names, "hear", failing)
    async with FakeOperator(**STATE) as master, serving(master.address) as (served, endpoint):

        async def known():
            return (await said(endpoint, "web.demo.mesos")).answers

        await until(known)
        for left in (1, 0):
            status = raw_status("web", "TASK_RUNNING", address=f"10.77.0.{3 - left}")
            update = {"framework_id": {"value": "F0"}, "state": "TASK_RUNNING", "status": status}
            await master.say("TASK_UPDATED", task_updated=update)

            async def again(left=left):
                assert await known()  # what was known is served meanwhile
                return len(failures) == left and len(master.authorizations) == 3 - left

            await until(again)
        assert served._thread.is_alive()
    texts = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert texts == [f"DNS: follow Mesos: failed, begins again in {pause_s} s" for pause_s in (0.01, 0.02)]


def test_an_object_that_cannot_be_read_takes_no_other_ones_place(monkeypatch, caplog):
    plain = reach._read
    monkeypatch.setattr(reach, "_read", lambda key, value: plain(key, value) if "odd" not in key else 1 // 0)
    policies = Policies(())
    policies.observe(updates(profile("odd", [ALLOW], [ALLOW]), profile("open", [ALLOW], [ALLOW])))
    assert [one.metadata.name for one in policies._known.documents()] == ["open"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@bounded
async def test_the_end_waits_for_no_view_of_policy(monkeypatch):
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def slow(self, documents):
        begun.set()
        go_on.wait(BOUND_S)
        over.set()

    monkeypatch.setattr(Policies, "_made", slow)
    async with serving("127.0.0.1:1", only=frozenset({REACHABLE})) as (served, _):
        served.observe(updates(profile("open", [ALLOW], [ALLOW])))
        await asyncio.to_thread(begun.wait, BOUND_S)
    try:
        assert not over.is_set()
        assert not served._thread.is_alive()
    finally:
        go_on.set()


@bounded
async def test_the_end_waits_for_a_thread_that_does_not_end_so_long_only(monkeypatch, caplog):
    monkeypatch.setattr(service, "_END_S", 0.01)
    go_on = threading.Event()
    async with serving("127.0.0.1:1") as (served, _):
        served._ready.result()[0].call_soon_threadsafe(go_on.wait, BOUND_S)
    assert "DNS: its thread has not ended in 0.01 s, and is left" in caplog.messages
    go_on.set()
    await asyncio.to_thread(served._thread.join, BOUND_S)
