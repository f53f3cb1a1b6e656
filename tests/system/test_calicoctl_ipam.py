"""Addresses, endpoints and nodes that our agents make, as a real calicoctl sees and changes them; and the other way round."""

from __future__ import annotations

import re

import pytest
from calicoctl_bed import Bed, Failed, agent, needed

from ocicat.agent import node
from ocicat.agent.config import AgentConfig
from ocicat.clock import ManualClock
from ocicat.errors import Refused
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model.v3.metadata import API_VERSION
from ocicat.store.etcd.kv import EtcdStore

HOSTS = {"h1": "10.0.0.1/24", "h2": "10.0.0.2/24"}
CONTAINERS = 5  # of each host


class Written(EtcdStore):
    """The store as the agents' test bed wants it."""

    async def write(self, *operations):
        return await self.commit([], operations)


@pytest.fixture(scope="module")
def started():
    bed = Bed(needed())
    yield bed
    bed.close()


@pytest.fixture
def bed(started):
    """A datastore that is ready, with the pool of the agents' test bed."""
    started.ocicat("store", "init", "--pool", "p=10.65.0.0/24")
    yield started
    started.empty()


@pytest.fixture
def calicoctl(bed):
    return bed.calicoctl


def with_agent(bed, scenario, host="h1"):
    """Runs a coroutine function on a host's agent whose store is the etcd of the bed."""

    async def played(_store):
        store = await Written.open(bed.url)
        try:
            await node.register(store, AgentConfig(host=host, address=HOSTS.get(host, "10.0.0.9/24")))
            async with agent(host, store) as one:
                return await scenario(one)
        finally:
            await store.close()

    return bed.play(played)


def run_containers(bed) -> dict[str, list[str]]:
    """CONTAINERS of each host; their addresses by host."""

    def of(host: str) -> list[str]:
        async def add(one):
            made = [await one.add(container=f"{host}-{number}", groups=["web"]) for number in range(CONTAINERS)]
            return [str(attachment.addresses[0]) for attachment in made]

        return with_agent(bed, add, host)

    return {host: of(host) for host in HOSTS}


def problems(calicoctl) -> int:
    """How many `ipam check` finds. It ends with an error if there are any."""
    try:
        said = calicoctl("ipam", "check")
    except Failed as failed:
        said = str(failed)
    return int(re.search(r"found (\d+) problems", said)[1])


def test_endpoints_and_nodes_of_agents_are_listed(bed, calicoctl):
    addresses = run_containers(bed)
    endpoints = calicoctl.get("WorkloadEndpoint")
    assert {
        host: [item["spec"]["ipNetworks"] for item in endpoints if item["spec"]["node"] == host] for host in HOSTS
    } == {host: [[f"{address}/32"] for address in those] for host, those in addresses.items()}
    assert {item["metadata"]["name"]: item["spec"]["bgp"]["ipv4Address"] for item in calicoctl.get("Node")} == HOSTS
    assert {item["metadata"]["name"] for item in calicoctl.get("Profile")} >= {"web"}
    wide = calicoctl("get", "wep", "-A", "-o", "wide")
    assert all(f"{address}/32" in wide for those in addresses.values() for address in those)


def test_it_finds_no_problem_with_our_addresses(bed, calicoctl):
    addresses = run_containers(bed)
    assert problems(calicoctl) == 0
    blocks = re.findall(r"Block +\| (\S+) +\| +64 \| (\d+)", calicoctl("ipam", "show", "--show-blocks"))
    assert [int(used) for _, used in blocks] == [CONTAINERS] * len(HOSTS)
    for those in addresses.values():
        assert "is in use" in calicoctl("ipam", "show", f"--ip={those[0]}")


def test_nothing_is_left_after_the_containers(bed, calicoctl):
    addresses = run_containers(bed)
    for host in HOSTS:

        async def delete(one, host=host):
            for number in range(CONTAINERS):
                await one.delete(container=f"{host}-{number}", groups=["web"])

        with_agent(bed, delete, host)
    assert problems(calicoctl) == 0
    assert calicoctl.get("WorkloadEndpoint") == []
    assert "is not assigned" in calicoctl("ipam", "show", f"--ip={addresses['h1'][0]}")


def test_it_sees_an_address_that_was_lost(bed, calicoctl):
    """`ipam check` is no formality: an endpoint that goes without its address is a problem to it."""
    run_containers(bed)
    calicoctl("delete", "wep", calicoctl.get("WorkloadEndpoint")[0]["metadata"]["name"])
    assert problems(calicoctl) == 1


def test_an_address_that_it_releases_is_free_for_us(bed, calicoctl):
    async def scenario(one):
        given = await one.add(container="c1")
        address = str(given.addresses[0])
        calicoctl("ipam", "release", f"--ip={address}")
        await one.delete(container="c1")
        again = await one.add(container="c2", address=address)
        assert str(again.addresses[0]) == address

    with_agent(bed, scenario)
    assert problems(calicoctl) == 0


def test_its_lock_stops_our_allocations(bed, calicoctl):
    async def scenario(one):
        calicoctl("datastore", "migrate", "lock")
        with pytest.raises(Refused, match="locked"):
            await one.add(container="c1")
        calicoctl("datastore", "migrate", "unlock")
        assert (await one.add(container="c1")).addresses

    with_agent(bed, scenario)


def test_strict_affinity_is_what_we_do_anyway(bed, calicoctl):
    calicoctl("ipam", "configure", "--strictaffinity=true")
    run_containers(bed)
    assert problems(calicoctl) == 0
    shown = calicoctl("ipam", "show", "--show-borrowed")
    assert not re.search(r"\| 10\.", shown)


def test_labels_that_it_gives_a_node_choose_its_pools(bed, calicoctl):
    with_agent(bed, nothing)
    for rack, cidr in (("a", "10.71.0.0/26"), ("b", "10.72.0.0/26")):
        calicoctl("create", "-f", "-", stdin=pool(rack, cidr, f"rack == '{rack}'"))
    calicoctl("delete", "ippool", "p")
    calicoctl("label", "node", "h1", "rack=b")

    async def scenario(store):
        allocator = Allocator(store, "h1", ManualClock())
        await allocator.start()
        try:
            return str((await allocator.allocate(Request(handle="x"))).addresses[0])
        finally:
            await allocator.close()

    assert bed.play(scenario).startswith("10.72.")


async def nothing(_one) -> None:
    """The agent has said what it says at its start."""


def pool(name: str, cidr: str, selector: str) -> dict:
    spec = {"cidr": cidr, "nodeSelector": selector}
    return {"apiVersion": API_VERSION, "kind": "IPPool", "metadata": {"name": name}, "spec": spec}
