"""The agent as Docker's driver, without a kernel and an engine: what is stored, what is freed when, what is refused and why."""

from __future__ import annotations

import asyncio

import pytest
from agent_bed import POOL6, scenario, until

from ocicat.agent import beside, identity
from ocicat.agent.docker import followers, wiring
from ocicat.agent.docker.addresses import DOUBTED_S, OWNER, UNCLAIMED_S
from ocicat.agent.docker.config import DEFAULT_PLUGIN, DockerConfig, parse
from ocicat.agent.docker.driver import Driver
from ocicat.agent.docker.networks import NETWORKS
from ocicat.docker import messages
from ocicat.docker.engine import Container, Member, Network
from ocicat.docker.messages import Interface, Pool, RequestAddress, RequestPool
from ocicat.errors import NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.model.codec import with_field
from ocicat.store.base import Put

N, GENERIC = "n" * 64, "com.docker.network.generic"
OURS = (Pool("ocicat", "0.0.0.0/0", "169.254.1.1/32"),)
SANDBOX = "/var/run/docker/netns/abc"


class Engine:
    """`containers`: endpoint id -> container, once the engine knows of it."""

    def __init__(self):
        self.name, self.containers, self.asked, self.problem = "net", {}, [], None

    async def network(self, network_id):
        self.asked.append(network_id)
        if self.problem:
            raise self.problem
        members = {container.id: Member("c", endpoint) for endpoint, container in self.containers.items()}
        return Network(self.name, members)

    async def container(self, container_id):
        return next(each for each in self.containers.values() if each.id == container_id)


def driver(one, engine=None):
    made = wiring.make(DockerConfig(), one.workloads)
    made.networks.engine = made.followers.engine = engine or Engine()
    return made


def published(*ports):
    listed = [{"Proto": 6, "Port": port, "HostPort": host, "HostPortEnd": host} for host, port in ports]
    return {"com.docker.network.portmap": listed}


async def address(docker, wanted="", pool="ipv4:0.0.0.0/0"):
    reply = await docker.perform(RequestAddress(pool, wanted))
    return reply["Address"]


async def network(docker, options=None, network_id=N, ipv4=OURS):
    await docker.perform(messages.CreateNetwork(network_id, {GENERIC: options or {}}, ipv4))


async def endpoint(docker, name="e1", options=None, wanted="", **interface):
    """Its address."""
    got = await address(docker, wanted)
    await docker.perform(messages.CreateEndpoint(N, name, Interface(got, **interface), options or {}))
    return got.partition("/")[0]


async def removed(docker, name="e1", got=""):
    await docker.perform(messages.Leave(N, name))
    await docker.perform(messages.DeleteEndpoint(N, name))
    if got:
        await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))


async def stored(one):
    return {each.spec.endpoint: each for each in (await one.stored()).values()}


def owners(one):
    return {str(held.address): held.handle for held in one.allocator.held()}


# --- the usual way ------------------------------------------------------------------------------------------------


@scenario()
async def test_from_the_network_to_the_end_of_a_container(one):
    docker = driver(one)
    await network(docker, {"ocicat.label.app": "web", "ocicat.label.tier": "front"})
    got = await address(docker)
    assert owners(one)[got.partition("/")[0]].startswith(OWNER)
    call = messages.CreateEndpoint(N, "e1", Interface(got), {"ocicat.label.tier": "back"})
    reply = await docker.perform(call)
    (made,) = (await stored(one)).values()
    assert reply == {"Interface": {"MacAddress": made.spec.mac}}
    assert (made.metadata.name, made.spec.profiles) == ("h1-libnetwork-libnetwork-e1", ("net",))
    labels = {key: value for key, value in made.metadata.labels.items() if not key.startswith("projectcalico.org/")}
    assert labels == {"app": "web", "tier": "back", "docker/network": "net"}
    assert made.spec.ip_networks == (got,)
    assert owners(one) == {got.partition("/")[0]: "libnetwork:e1"}
    (attached,) = one.kernel.attached
    assert (attached.netns_path, attached.container_interface) == ("", identity.lent_name(made.spec.interface_name))
    assert await docker.perform(messages.Join(N, "e1", SANDBOX)) == {
        "InterfaceName": {"SrcName": attached.container_interface, "DstPrefix": "eth"},
        "Gateway": "169.254.1.1",
        "GatewayIPv6": "",
        "StaticRoutes": [{"Destination": "169.254.1.1/32", "RouteType": 1}],
        "DisableGatewayService": True,
    }
    info = await docker.perform(messages.EndpointOperInfo(N, "e1"))
    assert info["Value"]["ocicat.interface"] == made.spec.interface_name
    await removed(docker, got=got.partition("/")[0])
    await one.nothing_left()
    await docker.perform(messages.DeleteNetwork(N))
    assert (await one.store.range(NETWORKS)).items == ()


@scenario()
async def test_two_families(one):
    await one.store.write(POOL6)
    docker = driver(one)
    await network(docker)
    await until(lambda: _serves(one, 6))
    four, six = await address(docker), await address(docker, pool="ipv6:::/0")
    await docker.perform(messages.CreateEndpoint(N, "e1", Interface(four, six)))
    assert (await stored(one))["e1"].spec.ip_networks == (four, six)
    assert set(owners(one).values()) == {"libnetwork:e1"}
    reply = await docker.perform(messages.Join(N, "e1", SANDBOX))
    assert (reply["Gateway"], reply["GatewayIPv6"]) == ("169.254.1.1", "fe80::ecee:eeff:feee:eeee")
    await removed(docker)
    await one.nothing_left()


@scenario()
async def test_ipv6_alone_as_engines_from_27_on_ask_for_it(one):
    await one.store.write(POOL6)
    docker = driver(one)
    await until(lambda: _serves(one, 6))
    pool = await docker.perform(RequestPool(v6=True))
    assert (pool["PoolID"], pool["Pool"]) == ("ipv6:::/0", "::/0")
    await docker.perform(messages.CreateNetwork(N, {GENERIC: {}}, (), (Pool("ocicat", pool["Pool"]),)))
    six = await address(docker, pool=pool["PoolID"])
    await docker.perform(messages.CreateEndpoint(N, "e1", Interface("", six)))
    assert (await stored(one))["e1"].spec.ip_networks == (six,)
    reply = await docker.perform(messages.Join(N, "e1", SANDBOX))
    assert (reply["Gateway"], reply["GatewayIPv6"], reply["StaticRoutes"]) == ("", "fe80::ecee:eeff:feee:eeee", [])
    await removed(docker, got=six)
    await one.nothing_left()


def _serves(one, family):
    try:
        return one.allocator.serving(family)
    except OcicatError:
        return ()


@scenario()
async def test_every_call_may_be_asked_again(one):
    docker = driver(one)
    await network(docker)
    await network(docker)
    got = await address(docker)
    call = messages.CreateEndpoint(N, "e1", Interface(got))
    assert await docker.perform(call) == await docker.perform(call)
    join = messages.Join(N, "e1", SANDBOX)
    assert await docker.perform(join) == await docker.perform(join)
    for _ in range(2):
        await removed(docker, got=got)
    for _ in range(2):
        await docker.perform(messages.DeleteNetwork(N))
    await one.nothing_left()


@scenario()
async def test_what_there_is_nothing_to_do_for(one):
    docker = driver(one)
    for call in (messages.Discover(), messages.ReleasePool("x"), messages.FreeNetwork(N)):
        assert await docker.perform(call) == {}
    with pytest.raises(UserError, match="networks of a swarm are not served"):
        await docker.perform(messages.AllocateNetwork(N))


# --- pools and addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "pool_id", "cidr"),
    [
        (RequestPool("ocicat"), "ipv4:0.0.0.0/0", "0.0.0.0/0"),
        (RequestPool("ocicat", "10.65.0.0/24"), "ipv4:10.65.0.0/24", "10.65.0.0/24"),
        (RequestPool("ocicat", options={"ocicat.pool": "p"}), "ipv4:10.65.0.0/24", "10.65.0.0/24"),
    ],
)
@scenario()
async def test_a_pool(one, request_, pool_id, cidr):
    docker = driver(one)
    reply = await docker.perform(request_)
    gateway = {"com.docker.network.gateway": "169.254.1.1/32"}
    assert reply == {"PoolID": pool_id, "Pool": cidr, "Data": gateway}
    assert (await address(docker, pool=pool_id)).startswith("10.65.0.")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (RequestPool("ocicat", "10.9.0.0/24"), "there is no pool '10.9.0.0/24' (there are: p (10.65.0.0/24))"),
        (RequestPool("ocicat", v6=True), "there is no IPv6 pool (add a pool"),
        (RequestPool("ocicat", "10.65.0.0/24", sub_pool="10.65.0.0/28"), "--ip-range 10.65.0.0/28 is not served"),
        (RequestPool("ocicat", options={"pool": "p"}), "--ipam-opt pool: unknown (there is ocicat.pool=NAME)"),
        (RequestPool("ocicat", "10.65.0.0/24", options={"ocicat.pool": "p"}), "are both given"),
        (RequestAddress("other"), "there is no pool 'other'"),
        (RequestAddress("ipv4:10.65.0.0/24", "10.1.1.1"), "10.1.1.1 lies in no pool of 10.65.0.0/24"),
        (RequestAddress("x", "10.65.0.1", {"RequestAddressType": "com.docker.network.gateway"}), "--gateway 10.65.0.1"),
    ],
)
@scenario()
async def test_what_cannot_be_had_is_refused_in_one_line(one, request_, words):
    with pytest.raises(OcicatError) as caught:
        await driver(one).perform(request_)
    assert words in str(caught.value)
    await one.nothing_left()


@scenario()
async def test_a_static_address_is_had_once(one):
    docker = driver(one)
    assert await address(docker, "10.65.0.77") == "10.65.0.77/32"
    with pytest.raises(Refused, match=r"10\.65\.0\.77 is in use by"):
        await address(docker, "10.65.0.77")


@scenario()
async def test_an_address_that_was_never_used_is_released(one):
    docker = driver(one)
    got = await address(docker)
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", "169.254.1.1"))
    one.workloads.clock.advance(DOUBTED_S - 1)
    await docker.collect()
    assert set(owners(one)) == {got.partition("/")[0]}
    one.workloads.clock.advance(2)
    await docker.collect()
    await one.nothing_left()


@scenario()
async def test_a_clock_that_is_set_ends_no_doubt(one):
    docker, clock = driver(one), one.workloads.clock
    got = await address(docker)
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    clock._now += DOUBTED_S + 5
    await docker.collect()
    assert set(owners(one)) == {got.partition("/")[0]}
    clock._now -= DOUBTED_S + 5
    clock.advance(DOUBTED_S + 1)
    await docker.collect()
    await one.nothing_left()


@scenario()
async def test_an_address_that_was_released_can_be_asked_for_by_name_at_once(one):
    docker = driver(one)
    await network(docker)
    await address(docker, "10.65.0.77")
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", "10.65.0.77/32"))
    again = await address(docker, "10.65.0.77")
    with pytest.raises(Refused, match=r"10\.65\.0\.77 is in use by"):  # that one is not released
        await address(docker, "10.65.0.77")
    await docker.perform(messages.CreateEndpoint(N, "e1", Interface(again)))
    assert owners(one) == {"10.65.0.77": "libnetwork:e1"}


@scenario()
async def test_a_late_release_never_frees_the_next_owner_s_address(one):
    docker = driver(one)
    await network(docker)
    got = await endpoint(docker, "e1", wanted="10.65.0.9")
    await docker.perform(messages.DeleteEndpoint(N, "e1"))
    again = await address(docker, "10.65.0.9")
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    await docker.perform(messages.CreateEndpoint(N, "e2", Interface(again)))
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    assert owners(one) == {got: "libnetwork:e2"}


@scenario()
async def test_a_release_that_comes_after_a_restart_of_the_agent_never_frees_the_next_owner_s_address(one):
    docker = driver(one)
    await network(docker)
    got = await endpoint(docker, "e1", wanted="10.65.0.9")
    await docker.perform(messages.DeleteEndpoint(N, "e1"))
    restarted = driver(one)
    again = await address(restarted, "10.65.0.9")
    await restarted.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    await restarted.collect()
    assert owners(one)[got].startswith(OWNER)
    await restarted.perform(messages.CreateEndpoint(N, "e2", Interface(again)))
    one.workloads.clock.advance(DOUBTED_S + 1)
    await restarted.collect()
    assert owners(one) == {got: "libnetwork:e2"}


@scenario()
async def test_what_was_asked_for_and_never_used_is_collected(one):
    docker = driver(one)
    await network(docker)
    await address(docker)
    kept = await endpoint(docker, "kept")
    await docker.perform(messages.Join(N, "kept", SANDBOX))
    await until(lambda: one.local.find("libnetwork", "kept")[1].metadata.annotations)
    await endpoint(docker, "never")
    await docker.collect()
    assert len(owners(one)) == 3
    one.workloads.clock.advance(UNCLAIMED_S + 1)
    await docker.collect()
    await until(lambda: owners(one) == {kept: "libnetwork:kept"})


@scenario()
async def test_a_defect_in_collecting_is_told_and_it_goes_on(one, caplog, monkeypatch, tmp_path):
    looks = []

    async def collect(driver):
        looks.append(driver)
        if len(looks) == 1:
            raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(wiring, "COLLECT_S", 0.001)
    monkeypatch.setattr(beside, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(Driver, "collect", collect)
    async with wiring.served(DockerConfig(plugin=str(tmp_path / "p.sock")), one.workloads):
        await until(lambda: len(looks) > 2)
    assert "unforeseen" in caplog.text


@scenario()
async def test_what_is_collected_is_released_late_without_harm(one):
    docker = driver(one)
    await network(docker)
    got = await endpoint(docker, "never", wanted="10.65.0.9")
    one.workloads.clock.advance(UNCLAIMED_S + 1)
    await docker.collect()
    await until(lambda: owners(one) == {})
    again = await address(docker, "10.65.0.9")
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    assert owners(one)[got].startswith(OWNER)
    await docker.perform(messages.CreateEndpoint(N, "e2", Interface(again)))
    assert owners(one) == {got: "libnetwork:e2"}


@scenario()
async def test_what_is_just_being_joined_is_not_collected(one):
    docker = driver(one)
    await network(docker)
    got = await endpoint(docker)
    one.workloads.clock.advance(UNCLAIMED_S + 1)
    one.script.commits.clear()
    joining = asyncio.create_task(docker.perform(messages.Join(N, "e1", SANDBOX)))
    await until(lambda: docker.endpoints.sandboxes.places)
    collecting = asyncio.create_task(docker.collect())
    one.script.commits.set()
    await asyncio.gather(joining, collecting)
    assert owners(one) == {got: "libnetwork:e1"}


@scenario()
async def test_an_endpoint_that_was_taken_back_as_lost_is_in_no_sandbox(one):
    docker = driver(one)
    await network(docker)
    for name in ("e1", "e2"):
        await endpoint(docker, name)
    await docker.perform(messages.Join(N, "e1", SANDBOX))
    await until(lambda: one.local.find("libnetwork", "e1")[1].metadata.annotations)
    ((_, leaving),) = ((key, each) for key, each in one.workloads.lost(frozenset()).items() if key.endswith("-e1"))
    await one.workloads.departures.take_back(leaving)
    await until(lambda: one.local.find("libnetwork", "e1") is None)
    await docker.collect()
    assert (await docker.perform(messages.Join(N, "e2", SANDBOX)))["Gateway"] == "169.254.1.1"


# --- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ipv4", "words"),
    [
        ((Pool("LocalDefault", "172.18.0.0/16"),), "create the network with --ipam-driver ocicat"),
        ((Pool("ocicat", "10.65.0.0/24", aux_addresses={"router": "x"}),), "--aux-address router is not served"),
    ],
)
@scenario()
async def test_a_network_whose_addresses_are_not_ours_is_refused(one, ipv4, words):
    with pytest.raises(UserError, match=words):
        await network(driver(one), ipv4=ipv4)
    assert (await one.store.range(NETWORKS)).items == ()


@scenario()
async def test_the_engine_is_asked_for_a_network_s_name_once(one):
    engine = Engine()
    docker = driver(one, engine)
    await network(docker)
    assert engine.asked == []
    for name in ("e1", "e2"):
        await endpoint(docker, name)
    assert engine.asked == [N]
    assert {each.spec.profiles for each in (await stored(one)).values()} == {("net",)}


@scenario()
async def test_an_endpoint_of_a_network_without_a_name_is_refused_and_leaves_nothing(one):
    engine = Engine()
    docker = driver(one, engine)
    await network(docker)
    engine.problem = Unavailable("Docker's engine does not answer")
    got = await address(docker)
    with pytest.raises(Unavailable, match="does not answer"):
        await docker.perform(messages.CreateEndpoint(N, "e1", Interface(got)))
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    await one.nothing_left()


@scenario()
async def test_a_network_of_another_datastore_is_refused(one):
    docker = driver(one)
    with pytest.raises(NotFound, match="network nnnnnnnnnnnn was not made with this agent's datastore"):
        await endpoint(docker)


@scenario()
async def test_nothing_is_written_to_a_locked_datastore(one):
    docker = driver(one)
    await one.lock()
    with pytest.raises(Refused, match="the datastore is locked"):
        await network(docker)
    assert (await one.store.range(NETWORKS)).items == ()


@pytest.mark.parametrize(
    ("options", "profiles"),
    [
        ({"ocicat.profile": "open"}, ("open",)),
        ({"ocicat.profile": ""}, ()),
        ({"ocicat.groups": "a,b"}, ("a", "b")),
    ],
)
@scenario()
async def test_the_profiles_of_a_network_s_endpoints(one, options, profiles):
    docker = driver(one)
    await network(docker, options)
    await endpoint(docker)
    assert (await stored(one))["e1"].spec.profiles == profiles


# --- endpoints ----------------------------------------------------------------------------------------------------


@scenario()
async def test_a_failed_endpoint_leaves_nothing_and_its_address_s_release_means_nothing(one):
    docker = driver(one)
    await network(docker)
    one.script.refuse_attach = Refused("no")
    got = await address(docker, "10.65.0.9")
    with pytest.raises(Refused, match="no"):
        await docker.perform(messages.CreateEndpoint(N, "e1", Interface(got)))
    await one.nothing_left()
    one.script.refuse_attach = None
    again = await address(docker, "10.65.0.9")
    await docker.perform(messages.ReleaseAddress("ipv4:0.0.0.0/0", got))
    await docker.perform(messages.CreateEndpoint(N, "e2", Interface(again)))
    assert owners(one) == {"10.65.0.9": "libnetwork:e2"}


@scenario()
async def test_a_failed_endpoint_gives_back_its_own_claim_and_not_the_next_one_s(one, monkeypatch):
    docker = driver(one)
    await network(docker)
    add = type(one.workloads).add

    async def slowly(self, request):
        try:
            return await add(self, request)
        except Refused:
            assert await address(docker, "10.65.0.9") == "10.65.0.9/32"  # somebody else's, meanwhile
            raise

    monkeypatch.setattr(type(one.workloads), "add", slowly)
    one.script.refuse_attach = Refused("no")
    got = await address(docker, "10.65.0.9")
    with pytest.raises(Refused, match="no"):
        await docker.perform(messages.CreateEndpoint(N, "e1", Interface(got)))
    assert owners(one)["10.65.0.9"].startswith(OWNER)


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        (Interface(), "the endpoint has no address"),
        (Interface("10.65.0.9/32", mac_address="02:zz"), "--mac-address '02:zz' is no MAC address"),
    ],
)
@scenario()
async def test_an_endpoint_that_cannot_be_is_refused(one, interface, words):
    docker = driver(one)
    await network(docker)
    with pytest.raises(OcicatError, match=words):
        await docker.perform(messages.CreateEndpoint(N, "e1", interface))


@scenario()
async def test_an_address_that_another_container_has_is_refused(one):
    docker = driver(one)
    await network(docker)
    got = await endpoint(docker, "e1")
    with pytest.raises(Refused, match=f"{got} is in use by libnetwork:e1"):
        await docker.perform(messages.CreateEndpoint(N, "e2", Interface(f"{got}/32")))
    assert owners(one) == {got: "libnetwork:e1"}


@scenario()
async def test_a_mac_that_the_user_gave(one):
    docker = driver(one)
    await network(docker)
    got = await address(docker)
    call = messages.CreateEndpoint(N, "e1", Interface(got, mac_address="02:42:ac:11:00:02"))
    assert await docker.perform(call) == {"Interface": {}}
    assert (await stored(one))["e1"].spec.mac == "02:42:ac:11:00:02"
    assert one.kernel.attached[0].mac == bytes.fromhex("0242ac110002")


@scenario()
async def test_of_several_networks_of_a_container_the_first_has_the_default_route(one):
    docker = driver(one)
    await network(docker)
    for name in ("e1", "e2", "e3"):
        await endpoint(docker, name)
    gateways = [
        (await docker.perform(messages.Join(N, name, sandbox)))["Gateway"]
        for name, sandbox in (("e1", SANDBOX), ("e2", SANDBOX), ("e3", "/other"))
    ]
    assert gateways == ["169.254.1.1", "", "169.254.1.1"]


@scenario()
async def test_the_next_agent_knows_who_is_in_a_sandbox(one):
    docker = driver(one)
    await network(docker)
    for name in ("e1", "e2"):
        await endpoint(docker, name)
    await docker.perform(messages.Join(N, "e1", SANDBOX))
    await until(lambda: one.local.find("libnetwork", "e1")[1].metadata.annotations)
    await docker.followers.close()
    after = driver(one)
    assert (await after.perform(messages.Join(N, "e2", SANDBOX)))["Gateway"] == ""
    await after.followers.close()


# --- ports --------------------------------------------------------------------------------------------------------


@scenario()
async def test_published_ports_come_and_go(one):
    docker = driver(one)
    await network(docker)
    for name in ("e1", "e2"):
        await endpoint(docker, name)
    await docker.perform(messages.ProgramExternalConnectivity(N, "e1", published((8080, 80))))
    assert [(each.host_port, each.port) for each in (await stored(one))["e1"].spec.ports] == [(8080, 80)]
    taken = messages.ProgramExternalConnectivity(N, "e2", published((8080, 81)))
    with pytest.raises(Refused, match="host port tcp/8080 leads to endpoint"):
        await docker.perform(taken)
    assert (await stored(one))["e2"].spec.ports == ()
    await docker.perform(messages.RevokeExternalConnectivity(N, "e1"))
    await docker.perform(taken)
    assert {name: len(each.spec.ports) for name, each in (await stored(one)).items()} == {"e1": 0, "e2": 1}


@scenario()
async def test_what_others_wrote_into_an_endpoint_stays_when_its_ports_change(one):
    docker = driver(one)
    await network(docker)
    await endpoint(docker)
    ((key, _),) = (await one.stored()).items()
    value = (await one.store.get(key)).value
    await one.store.write(Put(key, with_field(value, ("spec", "newWord"), 7)))
    await docker.perform(messages.ProgramExternalConnectivity(N, "e1", published((8080, 80))))
    assert b'"newWord":7' in (await one.store.get(key)).value


@scenario()
async def test_no_ports_are_no_change(one):
    docker = driver(one)
    await network(docker)
    await endpoint(docker)
    attached = len(one.kernel.attached)
    await docker.perform(messages.ProgramExternalConnectivity(N, "e1", {}))
    await docker.perform(messages.RevokeExternalConnectivity(N, "e1"))
    assert len(one.kernel.attached) == attached


# --- labels of containers -----------------------------------------------------------------------------------------


def container(**labels):
    return Container("c" * 64, ("/web.1",), {f"ocicat.label.{key}": value for key, value in labels.items()})


async def joined(docker, options=None):
    await network(docker)
    await endpoint(docker, options=options)
    await docker.perform(messages.Join(N, "e1", SANDBOX))


async def labels_when(one, condition):
    for _ in range(1000):
        found = (await stored(one))["e1"].metadata.labels
        if condition(found):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(found)


@scenario()
async def test_a_container_s_labels_come_as_soon_as_the_engine_knows_it(one):
    engine = Engine()
    docker = driver(one, engine)
    await joined(docker, {"ocicat.label.app": "said"})
    await until(lambda: len(engine.asked) > 2)
    engine.containers["e1"] = container(app="other", tier="back", **{"projectcalico.org/namespace": "x"})
    found = await labels_when(one, lambda labels: "docker/container" in labels)
    assert (found["app"], found["tier"], found["docker/container"]) == ("said", "back", "web.1")
    assert found["projectcalico.org/namespace"] == "default"
    one.kernel.namespaces.add(SANDBOX)
    await until(lambda: docker.followers._tasks == {})


@scenario()
async def test_the_next_agent_asks_for_the_labels_that_are_missing(one):
    docker = driver(one)
    await joined(docker)
    await until(lambda: one.local.find("libnetwork", "e1")[1].metadata.annotations)
    await docker.followers.close()
    engine = Engine()
    engine.containers["e1"] = container(tier="back")
    after = driver(one, engine)
    after.followers.resume()
    assert (await labels_when(one, lambda labels: "docker/container" in labels))["tier"] == "back"


@scenario()
async def test_an_engine_that_is_away_for_a_moment_is_asked_again(one):
    engine = Engine()
    docker = driver(one, engine)
    await network(docker)
    await endpoint(docker)
    engine.problem = Unavailable("nobody there")
    await docker.perform(messages.Join(N, "e1", SANDBOX))
    await until(lambda: len(engine.asked) > 2)
    engine.containers["e1"] = container(tier="back")
    engine.problem = None
    assert (await labels_when(one, lambda labels: "docker/container" in labels))["tier"] == "back"
    await removed(docker)


@scenario()
async def test_an_engine_that_does_not_answer_is_told_and_ends_nothing(one, caplog, monkeypatch):
    monkeypatch.setattr(followers, "PATIENCE_S", 0.05)
    engine = Engine()
    docker = driver(one, engine)
    await network(docker)
    await endpoint(docker)
    engine.problem = Unavailable("nobody there")
    one.kernel.namespaces.add(SANDBOX)
    await docker.perform(messages.Join(N, "e1", SANDBOX))
    await until(lambda: docker.followers._tasks == {})
    assert "nobody there" in caplog.text
    await removed(docker)
    await one.nothing_left()


@scenario()
async def test_a_defect_in_one_part_is_told_and_the_other_goes_on_and_ends_with_the_endpoint(one, caplog):
    engine = Engine()
    docker = driver(one, engine)
    engine.name = "net"
    await network(docker)
    await endpoint(docker)
    engine.problem = ZeroDivisionError("unforeseen")
    await docker.perform(messages.Join(N, "e1", SANDBOX))
    await until(lambda: "unforeseen" in caplog.text)
    assert docker.followers._tasks
    one.kernel.namespaces.add(SANDBOX)
    await until(lambda: one.kernel.completed)
    await until(lambda: docker.followers._tasks == {})
    await removed(docker)


@scenario()
async def test_a_label_of_docker_s_own_cannot_be_had_by_another_spelling(one):
    docker = driver(one)
    await network(docker)
    got = await address(docker)
    call = messages.CreateEndpoint(N, "e1", Interface(got), {"ocicat.label.!docker/container": "mesos-victim"})
    with pytest.raises(UserError, match=r"labels docker/\.\.\. are told by the agent itself"):
        await docker.perform(call)
    engine = docker.followers.engine
    await joined(docker)
    engine.containers["e1"] = container(**{"!docker/network": "prod", "!docker/container": "mesos-victim"})
    found = await labels_when(one, lambda labels: "docker/container" in labels)
    assert (found["docker/container"], found["docker/network"]) == ("web.1", "net")
    await removed(docker)


@scenario()
async def test_an_endpoint_that_goes_takes_its_follower_with_it(one):
    docker = driver(one)
    await joined(docker)
    assert docker.followers._tasks
    await removed(docker)
    assert docker.followers._tasks == {}
    await one.nothing_left()


# --- routes of further networks -----------------------------------------------------------------------------------


@scenario()
async def test_routes_are_completed_as_soon_as_the_engine_has_taken_the_interface(one):
    docker = driver(one)
    await joined(docker)
    assert one.kernel.completed == []
    one.kernel.namespaces.add(SANDBOX)
    await until(lambda: one.kernel.completed)
    (complete,) = one.kernel.completed
    (made,) = (await stored(one)).values()
    assert (complete.interface, complete.netns_path) == (made.spec.interface_name, SANDBOX)
    assert [f"{each}/32" for each in complete.addresses] == list(made.spec.ip_networks)
    await removed(docker)


# --- settings -----------------------------------------------------------------------------------------------------


def test_where_docker_is():
    assert parse("", "unix:///run/d.sock") is None
    assert parse(str(DEFAULT_PLUGIN), "unix:///run/d.sock") == DockerConfig(engine="/run/d.sock")
    for plugin, engine in (("p.sock", "/run/d.sock"), ("/p.sock", "tcp://1.2.3.4:2375"), ("/" + "p" * 120, "/d")):
        with pytest.raises(UserError, match="is no socket"):
            parse(plugin, engine)
