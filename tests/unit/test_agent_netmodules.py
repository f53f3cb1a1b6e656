"""The network isolator module's steps on an agent without a kernel: who owns which address, what is left when a step fails."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from agent_bed import Script, Store, agent, interface, scenario, until

from ocicat.agent import identity
from ocicat.agent import netmodules as module
from ocicat.agent.netmodules import NetModules
from ocicat.errors import OcicatError, Refused, Unavailable, UserError
from ocicat.mesos.netmodules import protocol
from ocicat.mesos.netmodules.protocol import Allocate, Cleanup, Isolate, ReleaseAddresses, ReleaseOwner, Reserve
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.store.base import Put

TABLE = json.loads((Path(__file__).parents[1] / "data" / "netmodules.json").read_text())


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    """Every process has a network of its own."""
    monkeypatch.setattr(module, "_network_of", lambda pid: f"/proc/{pid}/ns/net")


def handler(one):
    return NetModules(one.config, one.allocator._clock, one.allocator, one.workloads)


def pool(name, cidr):
    return Put(keys.pool(name), encode_json(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr))))


def owners(one):
    return {str(held.address): held.handle for held in one.allocator.held()}


def isolate(addresses, container="c1", pid=7, **fields):
    return Isolate(container, pid, tuple(addresses), **fields)


async def with_six(one):
    revision = await one.store.write(pool("six", "fd80::/64"))
    await until(lambda: one.kernel.revision >= revision)


# --- the usual way ------------------------------------------------------------------------------------------------


@scenario()
async def test_from_allocate_to_cleanup(one):
    net = handler(one)
    got = await net.perform(Allocate("u", 2, 0))
    assert len(set(got)) == 2
    assert owners(one) == dict.fromkeys(map(str, got), "net-modules::u")
    assert await one.stored() == {}

    assert await net.perform(isolate(got, groups=("a", "public"), labels={"rack": "3A", "ipv4_addrs": "x"})) == ()
    assert owners(one) == dict.fromkeys(map(str, got), "c1:eth0")
    ((key, endpoint),) = (await one.stored()).items()
    assert endpoint.spec.ip_networks == tuple(f"{address}/32" for address in got)
    assert endpoint.spec.profiles == ("public", "a")
    assert (endpoint.metadata.labels["rack"], "ipv4_addrs" in endpoint.metadata.labels) == ("3A", False)
    (attach,) = one.kernel.attached
    assert (attach.netns_path, attach.container_interface, attach.addresses) == ("/proc/7/ns/net", "eth0", got)
    assert one.kernel.links == {interface(): key}

    await net.perform(ReleaseAddresses(got))
    assert owners(one) == dict.fromkeys(map(str, got), "c1:eth0")  # it may be another container's by now: see `cleanup`
    await net.perform(Cleanup("c1"))
    await one.nothing_left()


@scenario()
async def test_a_task_in_no_group_has_no_profile(one):
    net = handler(one)
    await net.perform(isolate(await net.perform(Allocate("u", 1, 0))))
    (endpoint,) = (await one.stored()).values()
    assert endpoint.spec.profiles == ()


@scenario()
async def test_addresses_asked_for_and_others_and_ipv6(one):
    await with_six(one)
    net = handler(one)
    asked = (Addr.parse("10.65.0.9"), Addr.parse("fd80::5"))
    assert await net.perform(Reserve("u", asked)) == ()
    got = await net.perform(Allocate("u", 1, 2, (Addr.parse("10.65.0.7"),)))
    assert [address.family for address in got] == [6, 6, 4]
    assert str(got[2]) == "10.65.0.7"
    await net.perform(isolate((*asked, *got)))
    (endpoint,) = (await one.stored()).values()
    assert len(endpoint.spec.ip_networks) == 5
    await net.perform(Cleanup("c1"))
    await one.nothing_left()


@pytest.mark.parametrize("sequence", TABLE["sequences"], ids=lambda one: f"{one['mesos']}: {one['title']}")
def test_the_recorded_sequences(sequence):
    """From the bytes of the request to those of the reply."""

    async def body():
        store = Store(Script())
        await store.write(pool("p", "192.168.0.0/26"), pool("six", "fd80::/122"))  # a block each
        async with asyncio.timeout(20), agent(store=store) as one:
            net = handler(one)
            for call in sequence["calls"]:
                request = protocol.parse(call["request"].encode())
                found = await net.perform(request)
                reply = protocol.allocated(found) if isinstance(request, Allocate) else protocol.succeeded()
                assert reply.decode() == call["reply"]
            if len(sequence["calls"]) > 1:
                await one.nothing_left()

    asyncio.run(body())


# --- owners -------------------------------------------------------------------------------------------------------


@scenario()
async def test_what_was_never_isolated_is_released_by_address_and_by_owner(one):
    net = handler(one)
    for release in (ReleaseAddresses, lambda got: ReleaseOwner("u")):
        got = await net.perform(Allocate("u", 2, 0))
        await net.perform(release(got))
        await one.nothing_left()
    await net.perform(Cleanup("never heard of"))
    await net.perform(ReleaseOwner("never heard of"))
    await net.perform(ReleaseAddresses((Addr.parse("10.65.0.1"), Addr.parse("8.8.8.8"))))


@scenario()
async def test_of_what_a_uid_has_a_part_can_be_released(one):
    net = handler(one)
    got = await net.perform(Allocate("u", 3, 0))
    await net.perform(ReleaseAddresses((got[1],)))
    assert owners(one) == {str(got[0]): "net-modules::u", str(got[2]): "net-modules::u"}


@scenario()
async def test_an_address_that_another_container_got_meanwhile_is_not_freed(one):
    net = handler(one)
    (address,) = await net.perform(Allocate("u1", 1, 0))
    await net.perform(isolate((address,), "c1"))
    await net.perform(Cleanup("c1"))
    await one.nothing_left()
    await net.perform(Reserve("u2", (address,)))
    await net.perform(isolate((address,), "c2", pid=8))
    for late in (ReleaseAddresses((address,)), Cleanup("c1"), ReleaseOwner("u1"), ReleaseOwner("u2")):
        await net.perform(late)
    assert owners(one) == {str(address): "c2:eth0"}
    assert len(await one.stored()) == 1


@scenario()
async def test_no_container_gets_what_another_has(one):
    net = handler(one)
    (address,) = await net.perform(Allocate("u1", 1, 0))
    (other,) = await net.perform(Allocate("u2", 1, 0))
    await net.perform(isolate((address,), "c1"))
    attachment = await one.add(container="cni")
    for request, text in (
        (isolate((address,), "c2"), f"IP '{address}' already in use."),
        (isolate(attachment.addresses, "c2"), f"IP '{attachment.addresses[0]}' already in use."),
        (isolate((Addr.parse("10.65.0.99"),), "c2"), "IP '10.65.0.99' is allocated to nobody on this host"),
        (Reserve("u3", (Addr.parse("10.65.0.50"), address)), f"IP '{address}' already in use."),
        (Allocate("u3", 1, 0, (other,)), f"IP '{other}' already in use."),
    ):
        with pytest.raises(Refused) as refused:
            await net.perform(request)
        assert refused.value.message == text
    assert set(owners(one).values()) == {"c1:eth0", "net-modules::u2", "cni:eth0"}
    await net.perform(Allocate("u4", 1, 0))
    with pytest.raises(Refused, match="different uids"):
        await net.perform(isolate((other, next(a for a in one.allocator.addresses_of("net-modules::u4"))), "c2"))


# --- what fails ---------------------------------------------------------------------------------------------------


@scenario()
async def test_a_reservation_that_fails_leaves_nothing(one):
    net = handler(one)
    for address, error in (("10.65.0.5", "already in use"), ("172.16.0.1", "no pool"), ("fd80::1", "no pool")):
        if "10.65" in address:
            await net.perform(Reserve("other", (Addr.parse(address),)))
        with pytest.raises(OcicatError) as refused:
            await net.perform(Reserve("u", (Addr.parse("10.65.0.1"), Addr.parse(address))))
        assert error in str(refused.value) or address in str(refused.value)
        assert "net-modules::u" not in owners(one).values()


@scenario()
async def test_an_allocation_that_fails_gives_back_what_was_reserved(one):
    net = handler(one)
    await net.perform(Reserve("u", (Addr.parse("10.65.0.1"),)))
    with pytest.raises(OcicatError, match="IPv6"):
        await net.perform(Allocate("u", 1, 1))
    await one.nothing_left()


@pytest.mark.parametrize("what", ["attach", "policy", "time"])
def test_an_interface_that_cannot_be_made_leaves_nothing(what):
    async def body():
        settings = {"add_timeout_s": 0.3} if what == "time" else {}
        async with asyncio.timeout(20), agent(**settings) as one:
            net = handler(one)
            got = await net.perform(Allocate("u", 1, 0))
            if what == "attach":
                one.script.refuse_attach = Refused("no such process")
            elif what == "policy":
                one.script.fail_endpoint = "no"
            else:
                one.script.reports.clear()
            with pytest.raises((Refused, Unavailable)):
                await net.perform(isolate(got))
            await one.nothing_left()
            await net.perform(ReleaseAddresses(got))  # what the module does then
            await net.perform(Cleanup("c1"))

    asyncio.run(body())


@scenario()
async def test_labels_that_claim_a_group_are_refused(one):
    net = handler(one)
    got = await net.perform(Allocate("u", 1, 0))
    with pytest.raises(UserError, match="marks the members of a group"):
        await net.perform(isolate(got, labels={"mesos-group/a": ""}))
    assert owners(one) == {str(got[0]): "net-modules::u"}


@scenario()
async def test_releases_succeed_while_the_store_is_locked_and_are_done_afterwards(one):
    net = handler(one)
    got = await net.perform(Allocate("u1", 1, 0))
    await net.perform(isolate(got))
    await net.perform(Allocate("u2", 1, 0))
    one.workloads.departures.patience_s = 0.05
    await one.lock()
    await net.perform(ReleaseOwner("u2"))
    await net.perform(ReleaseAddresses(got))
    await net.perform(Cleanup("c1"))
    with pytest.raises(Refused, match="locked"):
        await net.perform(Allocate("u3", 1, 0))
    assert len(owners(one)) == 2
    await one.lock(False)
    await one.nothing_left()


@scenario(add_timeout_s=0.2)
async def test_no_call_waits_for_ever(one):
    one.workloads.departures.patience_s = 0.05
    one.script.commits.clear()
    with pytest.raises(Unavailable, match=r"allocate took more than 0\.2 s"):
        await asyncio.wait_for(handler(one).perform(Allocate("u", 1, 0)), 15)
    one.script.commits.set()
    await one.nothing_left()


def test_the_network_of_a_process(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(Refused, match="has no network of its own"):
        module._network_of(os.getpid())
    with pytest.raises(Refused, match="process 99999999: No such file"):
        module._network_of(99999999)


# --- once more ----------------------------------------------------------------------------------------------------


@scenario()
async def test_every_step_may_be_asked_again(one):
    await with_six(one)
    net = handler(one)
    asked = (Addr.parse("10.65.0.9"),)
    for _ in range(2):
        await net.perform(Reserve("u", asked))
    answers = [await net.perform(Allocate("u", 2, 1, (Addr.parse("10.65.0.7"),))) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(owners(one)) == 4
    for _ in range(2):
        await net.perform(isolate((*asked, *answers[0])))
    assert len(await one.stored()) == 1
    with pytest.raises(Refused, match="already"):
        await net.perform(isolate(asked))
    for _ in range(2):
        await net.perform(Cleanup("c1"))
    await one.nothing_left()


@scenario()
async def test_an_allocation_that_was_only_partly_heard_of_is_completed(one):
    net = handler(one)
    first = await net.perform(Allocate("u", 1, 0))
    second = await net.perform(Allocate("u", 2, 0))
    assert (second[:1], len(second)) == (first, 2)


# --- what was forgotten -------------------------------------------------------------------------------------------


@scenario()
async def test_what_was_never_isolated_is_collected_after_a_while(one):
    net = handler(one)
    await net.perform(Allocate("old", 1, 0))
    one.allocator._clock.advance(200)
    await net.perform(Allocate("new", 1, 0))
    await net.collect(frozenset)
    assert len(owners(one)) == 2
    one.allocator._clock.advance(150)
    await net.collect(frozenset)
    assert list(owners(one).values()) == ["net-modules::new"]


@scenario()
async def test_an_endpoint_that_lost_its_interface_is_collected_at_the_second_look(one):
    net = handler(one)
    for name in ("c1", "c2"):
        await net.perform(isolate(await net.perform(Allocate(name, 1, 0)), name))
    for name in ("cni1", "cni2"):
        await one.add(container=name)
    present = frozenset([interface("c2"), interface("cni2")])
    for name in ("c1", "cni1"):
        del one.kernel.links[interface(name)]
    await net.collect(lambda: present)
    assert len(await one.stored()) == 4
    await net.collect(lambda: present | {interface("c1"), interface("cni1")})  # they were just being made
    await net.collect(lambda: present)
    assert len(await one.stored()) == 4
    await net.collect(lambda: present)
    left = {endpoint.spec.container_id for endpoint in (await one.stored()).values()}
    assert left == {"c2", "cni2"}
    await one.delete(container="cni1")  # that comes after all


def test_another_agent_goes_on_where_the_first_one_stopped():
    async def body():
        async with asyncio.timeout(20):
            async with agent() as one:
                store, net = one.store, handler(one)
                waiting = await net.perform(Allocate("u1", 1, 0))
                running = await net.perform(Allocate("u2", 1, 0))
                await net.perform(isolate(running, "c2"))
            async with agent(store=store) as two:
                net = handler(two)
                assert await net.perform(Allocate("u1", 1, 0)) == waiting
                await net.perform(isolate(waiting, "c1"))
                await net.perform(ReleaseAddresses(running))
                assert owners(two)[str(running[0])] == identity.handle("c2", "eth0")
                await net.perform(Cleanup("c2"))
                await net.perform(Cleanup("c1"))
                await two.nothing_left()

    asyncio.run(body())
