"""A container's interface from ADD to DEL: what is there afterwards, what is said, and that nothing is ever left behind."""

from __future__ import annotations

import asyncio

import pytest
from agent_bed import POOL6, agent, interface, request, scenario, until

from ocicat.agent import identity
from ocicat.cni.spec import CniError, Code
from ocicat.errors import Bug, NotFound, Refused, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.model.resources import Metadata, Profile, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.store.base import Put

# --- ADD --------------------------------------------------------------------------------------------------------


@scenario()
async def test_add_gives_an_address_and_stores_its_endpoint(one):
    made = await one.add(groups=("web",), labels={"app": "shop"})
    ((key, endpoint),) = (await one.stored()).items()
    assert key == keys.workload("default", "h1-mesos-c1-eth0")
    assert endpoint.spec.ip_networks == tuple(f"{address}/32" for address in made.addresses)
    assert endpoint.spec.profiles == ("web",)
    assert endpoint.metadata.labels["app"] == "shop"
    assert one.kernel.links == {interface(): key}
    assert [str(gateway) for gateway in made.gateways] == ["169.254.1.1"]


@scenario()
async def test_add_waits_until_policy_is_in_force(one):
    one.script.watch.clear()
    adding = asyncio.create_task(one.add())
    await until(lambda: one.kernel.links)
    assert not adding.done()
    one.script.watch.set()
    await adding


@scenario()
async def test_add_again_gives_the_same_answer(one):
    assert await one.add() == await one.add()
    assert len(await one.stored()) == 1
    await one.delete()
    assert await one.left() == []


@scenario()
async def test_add_again_waits_for_the_kernel_again(one):
    await one.add()
    one.kernel.links.clear()  # somebody deleted the interface
    await one.add()
    assert one.kernel.links


@scenario()
async def test_add_again_with_another_address_is_refused_and_changes_nothing(one):
    first = await one.add(address="10.65.0.9")
    with pytest.raises(Refused, match=r"has 10\.65\.0\.9 on eth0 already \(DEL it"):
        await one.add(address="10.65.0.10")
    assert (await one.add()).addresses == first.addresses


@scenario()
async def test_both_families_have_their_gateways_and_an_add_again_that_wants_less_is_refused(one):
    await one.store.write(POOL6)
    both = await one.add(assign_ipv6=True)
    assert [str(each) for each in both.gateways] == ["169.254.1.1", "fe80::ecee:eeff:feee:eeee"]
    assert (await one.add(assign_ipv6=True)).addresses == both.addresses
    with pytest.raises(Refused, match="on eth0 already"):
        await one.add()
    await one.delete()
    assert await one.left() == []


@pytest.mark.parametrize(("settings", "times"), [({}, 1), ({"address6": "2001:db8::11/64"}, 0)])
def test_ipv6_addresses_that_other_hosts_cannot_reach_are_told_once(settings, times, caplog):
    @scenario(**settings)
    async def test(one):
        await one.store.write(POOL6)
        for name in ("c1", "c2"):
            await one.add(container=name, assign_ipv6=True)

    test()
    assert caplog.text.count("start this agent with --address6") == times


@scenario()
async def test_add_again_in_another_namespace_is_refused_and_changes_nothing(one):
    first = await one.add()
    with pytest.raises(Refused, match=r"has eth0 already, as endpoint .*/default/"):
        await one.add(labels={"projectcalico.org/namespace": "prod"})
    assert (await one.add()).addresses == first.addresses


@scenario()
async def test_an_endpoint_that_was_deleted_by_hand_is_made_anew(one):
    await one.add()
    one.script.watch.clear()  # the syncer does not know yet
    await one.forget(keys.workload("default", "h1-mesos-c1-eth0"))
    adding = asyncio.create_task(one.add())
    await asyncio.sleep(0.01)
    one.script.watch.set()
    assert (await adding).addresses


@scenario()
async def test_many_at_once_get_an_address_each(one):
    names = [f"c{n}" for n in range(60)]
    made = await asyncio.gather(*(one.add(container=name, groups=("g",)) for name in names))
    assert len({each.addresses for each in made}) == len(names)
    await asyncio.gather(*(one.delete(container=name) for name in names))
    assert await one.left() == []


@scenario()
async def test_two_interfaces_of_one_container_live_apart(one):
    await one.add(interface="eth0")
    second = await one.add(interface="eth1")
    await one.delete(interface="eth0")
    assert one.kernel.links.keys() == {interface(name="eth1")}
    assert (await one.add(interface="eth1")).addresses == second.addresses


@scenario()
async def test_names_with_dots_never_share_addresses(one):
    await one.add(container="a", interface="b.eth0")
    kept = await one.add(container="a.b", interface="eth0")
    await one.delete(container="a", interface="b.eth0")
    assert one.allocator.addresses_of(identity.handle("a.b", "eth0")) == kept.addresses


@scenario()
async def test_a_label_chooses_the_namespace(one):
    labels = {"projectcalico.org/namespace": "prod"}
    await one.add(labels=labels)
    assert list(await one.stored()) == [keys.workload("prod", "h1-mesos-c1-eth0")]
    await one.delete(labels=labels)
    assert await one.left() == []


@scenario()
async def test_a_label_cannot_claim_to_be_a_member_of_a_group(one):
    with pytest.raises(UserError, match="'mesos-group/a' marks the members of a group"):
        await one.add(labels={"mesos-group/a": ""})
    assert await one.left() == []


# --- ADD that fails ---------------------------------------------------------------------------------------------


def about_profiles(error):
    return lambda compares, operations: error if any(o.key.startswith(keys.PROFILES) for o in operations) else None


def about_endpoints(error):
    return lambda compares, operations: error if any(o.key.startswith(keys.WORKLOADS) for o in operations) else None


STEPS = {
    "the profile": ("refuse_commit", about_profiles(Unavailable("the store is busy")), Unavailable),
    "the address": ("refuse_commit", about_endpoints(Unavailable("the store is busy")), Unavailable),
    "the full disk": ("refuse_commit", about_endpoints(Refused("the disk is full")), Refused),
    "the interface": ("refuse_attach", NotFound("no such namespace"), NotFound),
    "a defect in the dataplane": ("refuse_attach", Bug("KeyError"), Bug),
    "an unforeseen error": ("refuse_attach", KeyError("x"), KeyError),
    "the policy": ("fail_endpoint", "no such chain", Refused),
}


@pytest.mark.parametrize("step", STEPS)
@scenario()
async def test_whatever_fails_nothing_is_left_and_the_next_one_succeeds(one, step):
    what, fault, error = STEPS[step]
    normal = getattr(one.script, what)
    setattr(one.script, what, fault)
    with pytest.raises(error):
        await one.add(groups=("g",))
    setattr(one.script, what, normal)
    assert await one.left() == []
    await one.add(groups=("g",))


@scenario()
async def test_an_address_that_is_in_no_pool_is_said_and_leaves_nothing(one):
    with pytest.raises(Refused, match=r"192\.0\.2\.1 lies in no pool"):
        await one.add(address="192.0.2.1")
    assert await one.left() == []


@pytest.mark.parametrize("gate", ["commits", "attaches", "reports"])
@scenario(add_timeout_s=0.05)
async def test_who_runs_out_of_time_is_told_and_leaves_nothing(one, gate):
    getattr(one.script, gate).clear()
    adding = asyncio.create_task(one.add())
    if gate == "attaches":
        await asyncio.sleep(0.1)  # past the timeout: undoing it waits in the same queue
        one.script.attaches.set()
    with pytest.raises(Unavailable, match=r"network 'net': container c1 was not attached within 0\.05 s \("):
        await adding
    getattr(one.script, gate).set()
    await one.nothing_left()
    one.workloads.config = replace(one.config, add_timeout_s=10.0)
    await one.add()


@pytest.mark.parametrize("gate", ["commits", "attaches", "reports", "watch"])
@scenario()
async def test_an_add_that_is_broken_off_leaves_nothing(one, gate):
    getattr(one.script, gate).clear()
    adding = asyncio.create_task(one.add())
    await asyncio.sleep(0.01)
    adding.cancel()
    getattr(one.script, gate).set()
    with pytest.raises(asyncio.CancelledError):
        await adding
    await one.nothing_left()
    await one.add()


@scenario()
async def test_what_cannot_be_undone_at_once_is_undone_later(one):
    one.script.fail_endpoint, one.script.refuse_detach = "no such chain", Unavailable("netlink is busy")
    with pytest.raises(Refused, match="no such chain"):
        await one.add()
    assert await one.left() != []
    one.script.refuse_detach = None
    await one.nothing_left()


@scenario()
async def test_a_second_add_that_fails_leaves_the_first_as_it_is(one):
    first = await one.add()
    one.script.refuse_attach = NotFound("no such namespace")
    with pytest.raises(NotFound):
        await one.add()
    one.script.refuse_attach = None
    assert (await one.add()).addresses == first.addresses


@scenario()
async def test_a_locked_store_refuses_with_what_to_do_and_gets_nothing_written(one):
    await one.lock()
    before = (await one.store.range("/")).revision
    with pytest.raises(Refused, match=r"the datastore is locked .*ocicat store unlock"):
        await one.add(groups=("new",))
    assert (await one.store.range("/")).revision == before


# --- DEL --------------------------------------------------------------------------------------------------------


@scenario()
async def test_del_closes_the_interface_before_the_address_is_free(one):
    await one.add()
    held = []
    one.kernel.on_detach = lambda detach: held.append(one.allocator.addresses_of(identity.handle("c1", "eth0")))
    await one.delete()
    assert [len(addresses) for addresses in held] == [1]
    assert await one.left() == []


@scenario()
async def test_del_again_and_del_of_the_unknown_succeed(one):
    await one.add()
    for container in ("c1", "c1", "never", "no-name-"):
        await one.delete(container=container)
    assert await one.left() == []


@scenario()
async def test_del_of_the_unknown_succeeds_in_a_locked_store_and_writes_nothing(one):
    await one.lock()
    before = (await one.store.range("/")).revision
    await one.delete()
    assert await one.left() == []
    assert (await one.store.range("/")).revision == before


@scenario()
async def test_del_of_the_unknown_succeeds_while_the_kernel_refuses(one):
    one.script.refuse_detach = Unavailable("netlink is busy")
    await one.delete()
    one.script.refuse_detach = None
    await one.nothing_left()


@scenario()
async def test_del_removes_the_interface_of_an_endpoint_that_was_deleted_by_hand(one):
    await one.add()
    revision = await one.store.write()
    await one.forget(keys.workload("default", "h1-mesos-c1-eth0"))
    await until(lambda: one.kernel.revision > revision)
    await one.delete()
    assert await one.left() == []


@scenario()
async def test_del_in_a_locked_store_closes_at_once_and_gives_back_when_it_is_unlocked(one):
    await one.add()
    await one.lock()
    await one.delete()
    assert one.kernel.links == {}
    assert len(await one.stored()) == 1
    await one.lock(locked=False)
    await one.nothing_left()


@pytest.mark.parametrize("error", [Refused("the disk is full"), Bug("a defect"), KeyError("unforeseen")])
@scenario()
async def test_del_succeeds_whatever_stands_in_the_way_and_gives_back_later(one, error):
    await one.add()
    one.script.refuse_release = error
    await one.delete()
    assert one.kernel.links == {}
    one.script.refuse_release = None
    await one.nothing_left()


@scenario()
async def test_del_succeeds_while_the_kernel_refuses_and_keeps_the_address_until_it_does_not(one):
    await one.add()
    one.script.refuse_detach = Unavailable("netlink is busy")
    await one.delete()
    assert one.allocator.addresses_of(identity.handle("c1", "eth0"))
    one.script.refuse_detach = None
    await one.nothing_left()


@scenario()
async def test_a_kernel_that_does_not_answer_does_not_hold_up_del(one):
    await one.add()
    one.workloads.departures.patience_s = 0.02
    one.script.detaches.clear()
    await one.delete()
    one.script.detaches.set()
    await one.nothing_left()


@scenario()
async def test_add_right_after_del_gets_a_new_endpoint(one):
    await one.add()
    one.script.watch.clear()  # the syncer lags behind
    await one.delete()
    adding = asyncio.create_task(one.add())
    await until(lambda: one.kernel.links)
    one.script.watch.set()
    made = await adding
    ((_, endpoint),) = (await one.stored()).items()
    assert endpoint.spec.ip_networks == (f"{made.addresses[0]}/32",)


@scenario()
async def test_nothing_of_an_old_del_meets_a_new_container_of_the_same_name(one):
    await one.add()
    await one.lock()
    await one.delete()
    await one.delete()  # some runtimes say it twice
    assert [task.get_name() for task in asyncio.all_tasks()].count("take back c1:eth0") == 1
    await one.lock(locked=False)
    one.workloads.departures.retry_s = 5.0  # ... so the ADD waits for what is under way as long as a busy machine needs
    made = await one.add()
    assert "take back c1:eth0" not in [task.get_name() for task in asyncio.all_tasks()]  # nothing is still to come
    assert one.allocator.addresses_of(identity.handle("c1", "eth0")) == made.addresses
    assert len(await one.stored()) == 1


@scenario()
async def test_add_while_its_predecessor_cannot_go_says_what_stands_in_the_way(one):
    await one.add()
    await one.lock()
    await one.delete()
    with pytest.raises(Unavailable, match=r"could not be given back yet: .*locked"):
        await one.add()
    assert len(await one.stored()) == 1


@scenario()
async def test_an_agent_that_stops_forgets_what_it_could_not_give_back_and_the_next_one_finds_it(one):
    await one.add()
    one.script.refuse_release = Unavailable("the store is busy")
    await one.delete()
    await one.workloads.close()
    one.script.refuse_release = None
    async with agent(store=one.store) as following:
        await following.workloads.reclaim(frozenset())
        assert await following.left() == []


# --- CHECK ------------------------------------------------------------------------------------------------------


@scenario()
async def test_check_of_what_is_right_succeeds(one):
    made = await one.add()
    await one.check()
    await one.check(prevResult={"ip4": {"ip": f"{made.addresses[0]}/32"}})


@scenario()
async def test_check_of_the_unknown_has_the_specifications_code(one):
    with pytest.raises(CniError, match="container c1 has no eth0 of ours") as raised:
        await one.check()
    assert raised.value.code is Code.UNKNOWN_CONTAINER


@scenario()
async def test_check_says_what_is_wrong(one):
    await one.add()
    one.script.faults = ["the container has no route", "it is down"]
    with pytest.raises(Refused, match="container c1, eth0: the container has no route; it is down"):
        await one.check()


@scenario()
async def test_check_compares_with_what_the_runtime_knows(one):
    await one.add()
    with pytest.raises(Refused, match=r"its prevResult says 10\.9\.9\.9"):
        await one.check(prevResult={"ip4": {"ip": "10.9.9.9/32"}})


# --- groups -----------------------------------------------------------------------------------------------------


@scenario()
async def test_a_group_is_made_once_and_then_the_operators(one):
    edited = Profile(metadata=Metadata(name="web", annotations={"by": "operator"}))
    await one.store.write(Put(keys.profile("web"), encode_json(edited)))
    one.local.profiles.discard("web")  # as if the watch had not brought it yet
    await one.add(groups=("web",))
    assert (await one.store.get(keys.profile("web"))).value == encode_json(edited)


@scenario()
async def test_two_agents_that_make_a_group_at_once_make_one(one):
    async with agent("h2", store=one.store) as other:
        await asyncio.gather(*(a.add(container=f"c{n}", groups=("web",)) for n in range(5) for a in (one, other)))
        found = await one.store.get(keys.profile("web"))
        assert found.created == found.modified
        assert len(await one.stored()) == 10


@scenario()
async def test_a_group_that_was_deleted_is_made_again_for_the_next_task(one):
    await one.add(groups=("web",))
    await one.forget(keys.profile("web"))
    await until(lambda: "web" not in one.local.profiles)
    await one.add(container="c2", groups=("web",))
    assert await one.store.get(keys.profile("web")) is not None


# --- the start --------------------------------------------------------------------------------------------------


@scenario()
async def test_what_lost_its_interface_is_given_back_and_nothing_else(one):
    await one.add(container="gone")
    await one.add(container="alive")
    await one.workloads.reclaim(frozenset({interface("alive")}))
    assert [endpoint.spec.container_id for endpoint in (await one.stored()).values()] == ["alive"]


@scenario()
async def test_endpoints_of_other_tools_on_this_host_are_theirs(one):
    spec = WorkloadEndpointSpec(
        orchestrator="cni", node="h1", container_id="x", endpoint="eth0", interface_name="cali123"
    )
    theirs = keys.workload("default", "h1-cni-x-eth0")
    endpoint = WorkloadEndpoint(metadata=Metadata(name="h1-cni-x-eth0", namespace="default"), spec=spec)
    await one.store.write(Put(theirs, encode_json(endpoint)))
    await until(lambda: one.local.endpoints)
    await one.workloads.reclaim(frozenset())
    assert list(await one.stored()) == [theirs]


@scenario()
async def test_reclaiming_from_a_locked_store_does_not_hold_up_the_start(one):
    await one.add()
    await one.lock()
    one.kernel.links.clear()
    await one.workloads.reclaim(frozenset())
    await one.lock(locked=False)
    await one.nothing_left()


def test_the_bed_asks_as_the_server_does():
    assert request("DEL").command == "DEL"
